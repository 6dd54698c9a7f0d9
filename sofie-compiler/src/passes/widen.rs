//! Arithmetic over 16-bit floats in `f32`: results are kept there from one operation to the next, through conversions around
//! operations that a converter left in `f32`, too. They are rounded where the model gives them out, or converts to 16 bits and
//! back with nothing in between. That is what ONNX Runtime and OpenVINO do on a CPU: closer to what was trained than a
//! rounding at every node, and the kernels for `f32` are the fast ones.

use crate::ir::{Graph, Inst, Invalid, MapExpr, Node, Op, Rewriter, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;
use std::collections::HashMap;

/// A 16-bit float as the `f32` that it would be without rounding.
#[derive(Clone, Copy)]
struct Wide {
    value: ValueId,
    /// It comes from arithmetic over 16 bits, and not from a conversion alone.
    computed: bool,
}

/// The wide forms of values.
type Wides = HashMap<ValueId, Wide>;

/// Computes in `f32` what is computed in `f16` or `bf16`.
pub fn widen(graph: &Graph) -> Result<Graph, Invalid> {
    let mut wide = Wides::new();
    Rewriter::run(graph, |r, node| {
        let halves = |values: &[ValueId]| values.iter().any(|v| graph.dtype(*v).is_half());
        if !halves(&node.inputs) && !halves(&node.outputs) {
            return Ok(None);
        }
        let op = match &node.op {
            Op::Const(_) | Op::Plain(_) | Op::Custom(_) => return Ok(None),
            // Its bodies are widened on their own.
            op if !op.bodies().is_empty() => return Ok(None),
            Op::Map(e) if computes(e) => Op::Map(over_floats(e)?),
            Op::Map(e) => return converted(graph, r, &mut wide, node, e).map(|v| v.map(|v| vec![v])),
            op if moves(op) && !node.inputs.iter().any(|v| wide.contains_key(v)) => return Ok(None),
            Op::Pad { before, after, value } => {
                Op::Pad { before: before.clone(), after: after.clone(), value: float(*value) }
            }
            op => op.clone(),
        };
        rewritten(graph, r, &mut wide, node, op).map(Some)
    })
}

/// A conversion: to 16 bits it leaves what was there to arithmetic, from them it takes what arithmetic gave.
fn converted(
    graph: &Graph,
    r: &mut Rewriter<'_>,
    wide: &mut Wides,
    node: &Node,
    e: &MapExpr,
) -> Result<Option<ValueId>, Invalid> {
    let ([Inst::Input(0), Inst::Cast(to, 0)], [x]) = (e.insts(), node.inputs.as_slice()) else {
        return Ok(None);
    };
    if to.is_half() && graph.dtype(*x) == DType::F32 {
        wide.insert(node.outputs[0], Wide { value: r.get(*x)?, computed: false });
    }
    Ok(wide.get(x).filter(|x| x.computed && *to == DType::F32).map(|x| x.value))
}

fn rewritten(
    graph: &Graph,
    r: &mut Rewriter<'_>,
    wide: &mut Wides,
    node: &Node,
    op: Op,
) -> Result<Vec<ValueId>, Invalid> {
    let mut inputs = Vec::new();
    // What is only moved was computed where the operands were.
    let from_here = |v: &ValueId| wide.get(v).is_some_and(|x| x.computed);
    let computed = !moves(&node.op) || node.inputs.iter().any(from_here);
    for v in &node.inputs {
        inputs.push(match wide.get(v) {
            Some(x) => x.value,
            None if graph.dtype(*v).is_half() => {
                let half = r.get(*v)?;
                let float = r.b.cast(half, DType::F32)?;
                wide.insert(*v, Wide { value: float, computed: false });
                float
            }
            None => r.get(*v)?,
        });
    }
    let mut results = r.b.push(op, &inputs)?;
    for (old, new) in node.outputs.iter().zip(&mut results) {
        if graph.dtype(*old).is_half() {
            wide.insert(*old, Wide { value: *new, computed });
            *new = r.b.cast(*new, graph.dtype(*old))?;
        }
    }
    Ok(results)
}

/// Whether every element of the result is one of the operands', or a constant.
fn moves(op: &Op) -> bool {
    op.is_view()
        || matches!(
            op,
            Op::Cut { .. }
                | Op::Concat(_)
                | Op::Pad { .. }
                | Op::Gather { .. }
                | Op::GatherElements(_)
                | Op::GatherNd { .. }
        )
}

/// Whether an expression does more than convert.
fn computes(e: &MapExpr) -> bool {
    let converts = |i: &Inst| matches!(i, Inst::Input(_) | Inst::Const(_) | Inst::Iota(_) | Inst::Cast(..));
    !e.insts().iter().all(converts)
}

fn float(x: Scalar) -> Scalar {
    if x.dtype.is_half() { Scalar::from_f64(DType::F32, x.to_f64()) } else { x }
}

/// The expression with `f32` in place of 16-bit floats; a conversion to one of them still rounds, but for that of a result
/// that was computed in `f32` as here.
fn over_floats(e: &MapExpr) -> Result<MapExpr, Invalid> {
    let wider = |t: DType| if t.is_half() { DType::F32 } else { t };
    let mut new = MapExpr::over(&e.inputs().iter().map(|t| wider(*t)).collect::<Vec<_>>());
    let mut at = Vec::new();
    for (i, inst) in e.insts().iter().enumerate() {
        let next = match inst.map_operands(|r| at[r]) {
            Inst::Cast(to, x) if to.is_half() && i + 1 == e.insts().len() => match new.reg_type(x) {
                Some(DType::F32) => x,
                _ => new.push(Inst::Cast(DType::F32, x))?,
            },
            Inst::Const(x) => new.push(Inst::Const(float(x)))?,
            Inst::Cast(to, x) if to.is_half() => {
                let rounded = new.push(Inst::Cast(to, x))?;
                new.push(Inst::Cast(DType::F32, rounded))?
            }
            Inst::Cast(to, x) if new.reg_type(x) == Some(to) => x,
            other => new.push(other)?,
        };
        at.push(next);
    }
    match at.last() {
        Some(result) => Ok(new.finish(*result)),
        None => Err(Invalid::new("an expression without instructions")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Epilogue, Shape, Tensor};
    use sofie_infer_runtime::map::Unary;

    #[test]
    fn a_layer_over_halves_is_one_over_floats_between_two_conversions() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F16, Shape::of(&[2, 3]));
        let w = b.tensor(Tensor::of(&[3, 4], &[half::f16::from_f32(0.5); 12]));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = b.unary(Unary::Relu, y).unwrap();
        let y = b.transpose(y, &[1, 0]).unwrap();
        let y = b.unary(Unary::Tanh, y).unwrap();
        b.output("y", y);
        let text = crate::passes::optimize(b.finish(), None).unwrap().to_string();
        assert_eq!(text.matches("f16").count(), 3, "the input, and a conversion to the output\n{text}");
        assert!(text.contains("f32[2, 4] = matmul"), "{text}");
    }

    /// The optimised graph of a conversion to 16 bits and back with something in between.
    fn there_and_back(between: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> Graph {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[2, 3]));
        let y = b.cast(x, DType::F16).unwrap();
        let y = between(&mut b, y);
        let y = b.cast(y, DType::F32).unwrap();
        b.output("y", y);
        crate::passes::optimize(b.finish(), None).unwrap()
    }

    #[test]
    fn what_a_model_rounds_itself_is_rounded() {
        let graph = there_and_back(|_, y| y);
        assert!(graph.to_string().contains("f16(x0)"), "{graph}");
    }

    #[test]
    fn what_was_moved_between_two_conversions_is_rounded() {
        let graph = there_and_back(|b, y| b.transpose(y, &[1, 0]).unwrap());
        assert!(graph.to_string().contains("f16(x0)"), "{graph}");
    }

    #[test]
    fn conversions_around_an_operation_in_floats_round_nothing() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F16, Shape::of(&[2, 3]));
        let w = b.tensor(Tensor::of(&[3, 3], &[half::f16::from_f32(0.5); 9]));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = b.cast(y, DType::F32).unwrap();
        let y = b.unary(Unary::Tanh, y).unwrap();
        let y = b.cast(y, DType::F16).unwrap();
        let y = b.one(Op::MatMul(Epilogue::NONE), &[y, w]).unwrap();
        let y = b.cast(y, DType::F32).unwrap();
        b.output("y", y);
        let text = crate::passes::optimize(b.finish(), None).unwrap().to_string();
        assert!(!text.contains("f16(x0)") && text.contains("Tanh"), "{text}");
    }

    #[test]
    fn what_is_only_moved_keeps_its_type() {
        let mut b = Builder::new();
        let x = b.input("x", DType::BF16, Shape::of(&[2, 3]));
        let y = b.one(Op::Concat(0), &[x, x]).unwrap();
        b.output("y", y);
        let graph = b.finish();
        assert_eq!(widen(&graph).unwrap(), graph);
    }
}
