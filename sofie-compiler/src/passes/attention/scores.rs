//! What stands between the product of queries and keys and the softmax: maps, read as one expression that must be
//! `scale · score + mask`, or a selection between the scaled score and something else.

use super::{bare, unbatched};
use crate::ir::{Graph, Inst, Invalid, MapExpr, Masking, Node, Op, Reg, ValueId};
use crate::passes::pattern::Uses;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

/// The maps that make a value as one expression: those inner ones that have its shape and no other reader, on the
/// way to a product.
pub(super) fn composed(
    g: &Graph,
    uses: &Uses,
    top: ValueId,
) -> Result<Option<(MapExpr, Vec<ValueId>)>, Invalid> {
    let mut operands = vec![top];
    let mut input = MapExpr::over(&[g.dtype(top)]);
    let x = input.push(Inst::Input(0))?;
    let mut e = input.finish(x);
    for _ in 0..8 {
        let next = operands.iter().enumerate().find_map(|(i, &v)| {
            let Node { op: Op::Map(f), inputs, .. } = g.producer(v)? else { return None };
            let inner = e.reads(i) && uses.count(v) == 1 && g.shape(v) == g.shape(top);
            (inner && leads_to_product(g, v, 8)).then_some((i, f, inputs))
        });
        let Some((i, f, inputs)) = next else { break };
        e = e.compose(i, f)?;
        operands.extend(inputs);
    }
    Ok((e.insts().len() <= 64).then_some((e, operands)))
}

fn leads_to_product(g: &Graph, v: ValueId, depth: usize) -> bool {
    let Some(node) = g.producer(v) else { return false };
    match &node.op {
        Op::MatMul(_) => true,
        Op::Reshape(_) => unbatched(g, v).is_some_and(|x| bare(g, x).is_some()),
        Op::Map(_) => depth > 0 && node.inputs.iter().any(|x| leads_to_product(g, *x, depth - 1)),
        _ => false,
    }
}

/// A register as a function of the score.
#[derive(Clone, Copy)]
enum Form {
    /// It does not depend on the score; the register of the mask's expression.
    Free(Reg),
    /// `scale · score + offset`.
    Linear(f64, Option<Reg>),
    /// The score times a scale where the register holds 0, else what it holds.
    Replaced(f64, Reg),
}

type Split = Option<(f32, Option<(MapExpr, Masking)>)>;

/// Scale and mask of an expression of operand `at`.
pub(super) fn split(e: &MapExpr, at: usize) -> Result<Split, Invalid> {
    let mut m = MapExpr::over(e.inputs());
    let mut forms: Vec<Form> = Vec::new();
    for inst in e.insts() {
        let form = match *inst {
            // An index counts along the axes of the scores, of which a mask alone may have fewer.
            Inst::Iota(_) => return Ok(None),
            Inst::Input(i) if i == at => Form::Linear(1.0, None),
            inst if inst.operands().all(|r| matches!(forms[r], Form::Free(_))) => {
                let reg = |r: Reg| match forms[r] {
                    Form::Free(m) => m,
                    _ => 0,
                };
                Form::Free(m.push(inst.map_operands(reg))?)
            }
            inst => match dependent(&mut m, &forms, inst)? {
                Some(form) => form,
                None => return Ok(None),
            },
        };
        forms.push(form);
    }
    Ok(match forms.last() {
        Some(&Form::Linear(scale, None)) => Some((scale as f32, None)),
        Some(&Form::Linear(scale, Some(offset))) => {
            Some((scale as f32, Some((m.finish(offset), Masking::Add))))
        }
        Some(&Form::Replaced(scale, fill)) => Some((scale as f32, Some((m.finish(fill), Masking::Replace)))),
        _ => None,
    })
}

/// The form of an instruction of which an operand depends on the score.
fn dependent(m: &mut MapExpr, forms: &[Form], inst: Inst) -> Result<Option<Form>, Invalid> {
    let number = |m: &MapExpr, r: Reg| match forms[r] {
        Form::Free(x) => match m.insts()[x] {
            Inst::Const(c) => Some(c.to_f64()),
            _ => None,
        },
        _ => None,
    };
    let scaled = |m: &mut MapExpr, r: Reg, c: f64| -> Result<Option<Form>, Invalid> {
        if !(c.is_finite() && c != 0.0) {
            return Ok(None);
        }
        Ok(match forms[r] {
            Form::Linear(s, None) => Some(Form::Linear(s * c, None)),
            Form::Linear(s, Some(o)) => {
                let c_ = m.push(Inst::Const(Scalar::from(c as f32)))?;
                Some(Form::Linear(s * c, Some(m.push(Inst::Binary(Binary::Mul, o, c_))?)))
            }
            _ => None,
        })
    };
    Ok(match inst {
        Inst::Binary(op @ (Binary::Add | Binary::Sub), a, b) => match (forms[a], forms[b]) {
            (Form::Linear(s, o), Form::Free(x)) => {
                let x = if op == Binary::Sub { m.push(Inst::Unary(Unary::Neg, x))? } else { x };
                let o = match o {
                    Some(o) => m.push(Inst::Binary(Binary::Add, o, x))?,
                    None => x,
                };
                Some(Form::Linear(s, Some(o)))
            }
            (Form::Free(x), Form::Linear(s, o)) if op == Binary::Add => {
                let o = match o {
                    Some(o) => m.push(Inst::Binary(Binary::Add, x, o))?,
                    None => x,
                };
                Some(Form::Linear(s, Some(o)))
            }
            _ => None,
        },
        Inst::Binary(Binary::Mul, a, b) => match (number(m, a), number(m, b)) {
            (None, Some(c)) => scaled(m, a, c)?,
            (Some(c), None) => scaled(m, b, c)?,
            _ => None,
        },
        Inst::Binary(Binary::Div, a, b) => match number(m, b) {
            Some(c) => scaled(m, a, 1.0 / c)?,
            None => None,
        },
        Inst::MulAdd(a, b, c) => {
            let product = match (number(m, a), number(m, b)) {
                (None, Some(c)) => scaled(m, a, c)?,
                (Some(c), None) => scaled(m, b, c)?,
                _ => None,
            };
            match (product, forms[c]) {
                (Some(Form::Linear(s, None)), Form::Free(x)) => Some(Form::Linear(s, Some(x))),
                _ => None,
            }
        }
        Inst::Select(c, a, b) => match (forms[c], forms[a], forms[b]) {
            (Form::Free(c), Form::Linear(s, None), Form::Free(x)) if fills(m, x) => {
                let zero = m.push(Inst::Const(Scalar::from(0.0f32)))?;
                Some(Form::Replaced(s, m.push(Inst::Select(c, zero, x))?))
            }
            (Form::Free(c), Form::Free(x), Form::Linear(s, None)) if fills(m, x) => {
                let zero = m.push(Inst::Const(Scalar::from(0.0f32)))?;
                Some(Form::Replaced(s, m.push(Inst::Select(c, x, zero))?))
            }
            _ => None,
        },
        _ => None,
    })
}

/// Whether what replaces a score is a number other than 0, which says that nothing is replaced.
fn fills(m: &MapExpr, r: Reg) -> bool {
    matches!(m.insts()[r], Inst::Const(c) if c.dtype == DType::F32 && c.to_f64() != 0.0)
}
