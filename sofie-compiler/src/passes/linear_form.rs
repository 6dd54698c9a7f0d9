//! Elementwise expressions that are `scale * x + offset` of one operand with constant coefficients,
//! in whatever way they are written.

use super::pattern::uniform;
use crate::ir::{Builder, Graph, Inst, Invalid, MapExpr, Node, Op, Reg, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

/// A map `scale * x + offset` with constant coefficients (`f32`) of the map's rank.
#[derive(Clone, Debug)]
pub struct LinearForm {
    /// The operand that is not constant.
    pub x: ValueId,
    /// The factor; `None` is 1.
    pub scale: Option<Tensor>,
    /// What is added; `None` is 0.
    pub offset: Option<Tensor>,
    /// Instructions that compute something.
    pub steps: usize,
}

impl LinearForm {
    /// Of a map over a graph's values.
    ///
    /// # Errors
    /// Where a coefficient cannot be evaluated.
    pub fn of(g: &Graph, node: &Node) -> Result<Option<LinearForm>, Invalid> {
        let Op::Map(e) = &node.op else { return Ok(None) };
        if e.dtype() != Some(DType::F32) || e.inputs().iter().any(|t| *t != DType::F32) {
            return Ok(None);
        }
        let varies = |v: &ValueId| g.constant(*v).is_none();
        let mut varying = (0..node.inputs.len()).filter(|&i| varies(&node.inputs[i]));
        let (Some(at), None) = (varying.next(), varying.next()) else { return Ok(None) };
        let x = node.inputs[at];
        if g.shape(x) != g.shape(node.outputs[0]) {
            return Ok(None);
        }
        let Some((scale, offset)) = coefficients(e, at)? else { return Ok(None) };
        let constants: Vec<_> = node.inputs.iter().map(|v| g.constant(*v)).collect();
        let rank = g.shape(x).rank();
        let value = |e: Option<MapExpr>| e.map(|e| evaluate(&e, &constants, rank)).transpose();
        let steps = e.insts().iter().filter(|i| !matches!(i, Inst::Input(_) | Inst::Const(_))).count();
        let (scale, offset) = (value(scale)?, value(offset)?);
        let is = |t: &Tensor, n: f64| t.uniform().is_some_and(|s| s.to_f64() == n);
        Ok(Some(LinearForm {
            x,
            scale: scale.filter(|t| !is(t, 1.0)),
            offset: offset.filter(|t| !is(t, 0.0)),
            steps,
        }))
    }

    /// Whether both coefficients vary along the last axis alone.
    pub fn is_by_column(&self) -> bool {
        let row = |t: &Tensor| t.dims().iter().rev().skip(1).all(|&d| d == 1);
        self.scale.iter().chain(&self.offset).all(row)
    }

    /// Whether it may be merged with what surrounds it: coefficients are numbers, and the offset is not so
    /// large beside the result that sums in another order would lose it. (Standardised inputs such as
    /// `(energy - 1e6) / 10` are worth their own subtraction.)
    pub fn is_tame(&self) -> bool {
        let below =
            |t: &Option<Tensor>, limit: f64| t.iter().all(|t| t.to_f64s().iter().all(|x| x.abs() <= limit));
        below(&self.scale, 1e30) && below(&self.offset, 32.0)
    }
}

/// Factor and offset of an expression as expressions over the same operands, if it is of that form in
/// operand `at`; `None` inside is 0.
type Coefficients = (Option<MapExpr>, Option<MapExpr>);

fn coefficients(e: &MapExpr, at: usize) -> Result<Option<Coefficients>, Invalid> {
    let mut c = MapExpr::over(e.inputs());
    let one = c.push(Inst::Const(Scalar::from(1.0f32)))?;
    let mut forms: Vec<(Option<Reg>, Option<Reg>)> = Vec::new();
    for inst in e.insts() {
        let form = match *inst {
            Inst::Input(i) if i == at => (Some(one), None),
            Inst::Unary(Unary::Neg, a) => {
                let (s, o) = forms[a];
                (negative(&mut c, s)?, negative(&mut c, o)?)
            }
            Inst::Binary(op @ (Binary::Add | Binary::Sub), a, b) => {
                let ((s, o), (t, p)) = (forms[a], forms[b]);
                (sum(&mut c, op, s, t)?, sum(&mut c, op, o, p)?)
            }
            Inst::Binary(Binary::Mul, a, b) => match (forms[a], forms[b]) {
                ((s, o), (None, f)) | ((None, f), (s, o)) => (product(&mut c, s, f)?, product(&mut c, o, f)?),
                _ => return Ok(None),
            },
            Inst::Binary(Binary::Div, a, b) => match (forms[a], forms[b]) {
                ((s, o), (None, Some(f))) => {
                    let mut over =
                        |x: Option<Reg>| x.map(|x| c.push(Inst::Binary(Binary::Div, x, f))).transpose();
                    (over(s)?, over(o)?)
                }
                _ => return Ok(None),
            },
            Inst::MulAdd(a, b, d) => {
                let (s, o) = match (forms[a], forms[b]) {
                    ((s, o), (None, f)) | ((None, f), (s, o)) => {
                        (product(&mut c, s, f)?, product(&mut c, o, f)?)
                    }
                    _ => return Ok(None),
                };
                let (t, p) = forms[d];
                (sum(&mut c, Binary::Add, s, t)?, sum(&mut c, Binary::Add, o, p)?)
            }
            Inst::Iota(_) => return Ok(None),
            other => {
                // Of constants alone anything will do; a missing offset is 0 and not written out here.
                let operands: Option<Vec<_>> = other
                    .operands()
                    .map(|r| if forms[r].0.is_none() { forms[r].1.map(|o| (r, o)) } else { None })
                    .collect();
                let Some(operands) = operands else { return Ok(None) };
                let new = |r: Reg| operands.iter().find(|(old, _)| *old == r).map_or(r, |(_, new)| *new);
                (None, Some(c.push(other.map_operands(new))?))
            }
        };
        forms.push(form);
    }
    let Some((scale, offset)) = forms.last().copied() else { return Ok(None) };
    if scale.is_none() {
        return Ok(None);
    }
    Ok(Some((scale.map(|r| c.clone().finish(r)), offset.map(|r| c.finish(r)))))
}

fn negative(c: &mut MapExpr, x: Option<Reg>) -> Result<Option<Reg>, Invalid> {
    x.map(|x| c.push(Inst::Unary(Unary::Neg, x))).transpose()
}

fn sum(c: &mut MapExpr, op: Binary, x: Option<Reg>, y: Option<Reg>) -> Result<Option<Reg>, Invalid> {
    match (x, y) {
        (Some(x), Some(y)) => c.push(Inst::Binary(op, x, y)).map(Some),
        (None, Some(y)) if op == Binary::Sub => negative(c, Some(y)),
        (x, y) => Ok(x.or(y)),
    }
}

fn product(c: &mut MapExpr, x: Option<Reg>, y: Option<Reg>) -> Result<Option<Reg>, Invalid> {
    match (x, y) {
        (Some(x), Some(y)) => c.push(Inst::Binary(Binary::Mul, x, y)).map(Some),
        _ => Ok(None),
    }
}

/// The value of an expression over constant operands (those it reads); one of rank `rank` in any case.
fn evaluate(e: &MapExpr, operands: &[Option<&Tensor>], rank: usize) -> Result<Tensor, Invalid> {
    let mut b = Builder::new();
    let mut kept = Vec::new();
    let mut to = vec![None; operands.len()];
    for (i, t) in operands.iter().enumerate() {
        if let (true, Some(t)) = (e.reads(i), t) {
            to[i] = Some(kept.len());
            kept.push(b.tensor((*t).clone()));
        }
    }
    if kept.is_empty() {
        kept.push(b.tensor(Tensor::filled(0f32.into(), &vec![1; rank])));
    }
    let types: Vec<_> = kept.iter().map(|v| b.dtype(*v)).collect();
    let v = b.map(e.select_inputs(&to, &types)?, &kept)?;
    let t = b.constant(v).ok_or_else(|| Invalid::new("a coefficient that is not constant"))?;
    Ok(match uniform(b.graph(), v) {
        Some(s) => Tensor::filled(s, &vec![1; rank]),
        None => t.clone(),
    })
}
