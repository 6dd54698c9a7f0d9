//! Arithmetic over 16-bit floats in `f32`: results are kept there from one operation to the next, and rounded where the
//! model itself converts, or gives them out. That is what ONNX Runtime and OpenVINO do on a CPU: closer to what was trained
//! than a rounding at every node, and the kernels for `f32` are the fast ones.

use crate::ir::{Graph, Inst, Invalid, MapExpr, Node, Op, Rewriter, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;
use std::collections::HashMap;

/// Computes in `f32` what is computed in `f16` or `bf16`.
pub fn widen(graph: &Graph) -> Result<Graph, Invalid> {
    let mut wide = HashMap::new();
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
            Op::Map(_) => return Ok(None),
            op if moves(op) && !node.inputs.iter().any(|v| wide.contains_key(v)) => return Ok(None),
            Op::Pad { before, after, value } => {
                Op::Pad { before: before.clone(), after: after.clone(), value: float(*value) }
            }
            op => op.clone(),
        };
        rewritten(graph, r, &mut wide, node, op).map(Some)
    })
}

fn rewritten(
    graph: &Graph,
    r: &mut Rewriter<'_>,
    wide: &mut HashMap<ValueId, ValueId>,
    node: &Node,
    op: Op,
) -> Result<Vec<ValueId>, Invalid> {
    let mut inputs = Vec::new();
    for v in &node.inputs {
        inputs.push(match wide.get(v) {
            Some(float) => *float,
            None if graph.dtype(*v).is_half() => {
                let half = r.get(*v)?;
                let float = r.b.cast(half, DType::F32)?;
                wide.insert(*v, float);
                float
            }
            None => r.get(*v)?,
        });
    }
    let mut results = r.b.push(op, &inputs)?;
    for (old, new) in node.outputs.iter().zip(&mut results) {
        if graph.dtype(*old).is_half() {
            wide.insert(*old, *new);
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

/// Whether an expression does more over 16-bit floats than convert from and to them.
fn computes(e: &MapExpr) -> bool {
    let half = |r: usize| e.reg_type(r).is_some_and(DType::is_half);
    e.insts().iter().enumerate().any(|(r, inst)| match inst {
        Inst::Input(_) | Inst::Const(_) | Inst::Iota(_) | Inst::Cast(..) => false,
        _ => half(r) || inst.operands().any(half),
    })
}

fn float(x: Scalar) -> Scalar {
    if x.dtype.is_half() { Scalar::from_f64(DType::F32, x.to_f64()) } else { x }
}

/// The expression with `f32` in place of 16-bit floats; a conversion to one of them still rounds.
fn over_floats(e: &MapExpr) -> Result<MapExpr, Invalid> {
    let wider = |t: DType| if t.is_half() { DType::F32 } else { t };
    let mut new = MapExpr::over(&e.inputs().iter().map(|t| wider(*t)).collect::<Vec<_>>());
    let mut at = Vec::new();
    for inst in e.insts() {
        let next = match inst.map_operands(|r| at[r]) {
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

    #[test]
    fn what_a_model_rounds_itself_is_rounded() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[3]));
        let y = b.cast(x, DType::F16).unwrap();
        let y = b.cast(y, DType::F32).unwrap();
        b.output("y", y);
        let graph = crate::passes::optimize(b.finish(), None).unwrap();
        assert!(graph.to_string().contains("f16(x0)"), "{graph}");
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
