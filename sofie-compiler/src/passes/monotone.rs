//! Monotone activations move before a maximum or minimum that a product feeds: there they are free.
//!
//! `f(max(x)) = max(f(x))` for every f that never falls, NaN included. ReLU behind max-pooling over particles, as
//! maxout layers and point networks have it, is then done in the registers of the product.

use super::pattern::{Product, Uses, until_stable};
use crate::ir::{Graph, Inst, Invalid, MapExpr, Node, Op, ReduceKind, Rewriter, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};

/// Moves activations before reductions.
pub fn monotone(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            let (Some(f), [x]) = (rising(e), &node.inputs[..]) else { return Ok(None) };
            let Some(reduction) = g.producer(*x).filter(|_| uses.only_by(node, *x)) else { return Ok(None) };
            let Op::Reduce(kind @ (ReduceKind::Max | ReduceKind::Min), axes) = &reduction.op else {
                return Ok(None);
            };
            let v = reduction.inputs[0];
            if !uses.only_by(reduction, v) || !has_elements(g, v, axes) || !comes_from_product(g, &uses, v) {
                return Ok(None);
            }
            let inner = r.get(v)?;
            let (kind, axes, f) = (*kind, axes.clone(), f.clone());
            r.b.set_origin(&node.origin);
            let applied = r.b.one(Op::Map(f), &[inner])?;
            r.b.set_origin(&reduction.origin);
            Ok(Some(vec![r.b.one(Op::Reduce(kind, axes), &[applied])?]))
        })
    })
}

/// A map of one operand that never falls and that products can apply in registers.
fn rising(e: &MapExpr) -> Option<&MapExpr> {
    let constant = |r: usize| matches!(e.insts()[r], Inst::Const(_));
    let rises = |inst: &Inst| match *inst {
        Inst::Input(_) | Inst::Const(_) | Inst::Unary(Unary::Relu, _) => true,
        Inst::Binary(Binary::Max | Binary::Min, a, b) => constant(a) || constant(b),
        _ => false,
    };
    (e.inputs().len() == 1 && e.insts().len() > 1 && e.insts().iter().all(rises)).then_some(e)
}

/// The maximum of nothing is -∞, which an activation before it would not see.
fn has_elements(g: &Graph, v: ValueId, axes: &[usize]) -> bool {
    axes.iter().all(|&a| g.shape(v)[a].range().0 > 0)
}

/// Whether a value is, seen through reshapes, the result of a product that nothing else reads.
fn comes_from_product(g: &Graph, uses: &Uses, v: ValueId) -> bool {
    match g.producer(v) {
        Some(Node { op: Op::Reshape(_), inputs, .. }) => {
            uses.count(inputs[0]) == 1 && comes_from_product(g, uses, inputs[0])
        }
        Some(_) => Product::bare(g, v).is_some(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Epilogue, Shape, Tensor};
    use sofie_infer_runtime::DType;

    fn network(f: impl FnOnce(&mut Builder, ValueId) -> Result<ValueId, Invalid>) -> String {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[6, 2]));
        let w = b.tensor(Tensor::of(&[2, 4], &[1.0f32; 8]));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = b.reshape(y, Shape::of(&[2, 3, 4])).unwrap();
        let y = b.one(Op::Reduce(ReduceKind::Max, vec![1]), &[y]).unwrap();
        let y = f(&mut b, y).unwrap();
        b.output("y", y);
        monotone(&b.finish()).unwrap().to_string()
    }

    #[test]
    fn relu_moves_before_the_maximum() {
        let text = network(|b, y| b.unary(Unary::Relu, y));
        let order: Vec<_> = ["reshape", "map relu(x0)", "reduce Max"].map(|t| text.find(t)).into();
        assert!(order.is_sorted() && order.iter().all(Option::is_some), "{text}");
    }

    #[test]
    fn what_falls_or_costs_stays() {
        for op in [Unary::Neg, Unary::Tanh] {
            let text = network(|b, y| b.unary(op, y));
            assert!(text.find("reduce") < text.find("map"), "{text}");
        }
    }
}
