//! Monotone activations move before a maximum or minimum that a product feeds: there they are free.
//!
//! `f(max(x)) = max(f(x))` for every f that never falls, NaN included. ReLU behind max-pooling over particles, as
//! maxout layers and point networks have it, or over windows of an image, is then done in the registers of the product.

use super::pattern::{Product, Uses, until_stable};
use crate::ir::{Graph, Inst, Invalid, MapExpr, Node, Op, Pool, PoolKind, ReduceKind, Rewriter, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};

/// Moves activations before reductions.
pub fn monotone(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            let (Some(f), [x]) = (rising(e), &node.inputs[..]) else { return Ok(None) };
            let Some(reduction) = g.producer(*x).filter(|_| uses.only_by(node, *x)) else { return Ok(None) };
            let v = reduction.inputs[0];
            let has_elements = match &reduction.op {
                Op::Reduce(ReduceKind::Max | ReduceKind::Min, axes) => {
                    axes.iter().all(|&a| is_there(g, v, a))
                }
                Op::Pool(pool) => pool.kind == PoolKind::Max && windows_have_elements(g, v, pool),
                _ => false,
            };
            if !has_elements || !uses.only_by(reduction, v) || !comes_from_product(g, &uses, v) {
                return Ok(None);
            }
            let inner = r.get(v)?;
            let (op, f) = (reduction.op.clone(), f.clone());
            r.b.set_origin(&node.origin);
            let applied = r.b.one(Op::Map(f), &[inner])?;
            r.b.set_origin(&reduction.origin);
            Ok(Some(vec![r.b.one(op, &[applied])?]))
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

/// Whether there is something along an axis: the maximum of nothing is -∞, which an activation before it would not see.
fn is_there(g: &Graph, v: ValueId, axis: usize) -> bool {
    g.shape(v)[axis].range().0 > 0
}

/// Whether every window sees an element, and not pads alone.
pub fn windows_have_elements(g: &Graph, v: ValueId, pool: &Pool) -> bool {
    let w = &pool.window;
    (0..w.kernel.len()).all(|i| {
        let behind = w.pads_end[i] + pool.overhang[i];
        is_there(g, v, i + 1) && w.dilations[i] == 1 && w.pads_begin[i] < w.kernel[i] && behind < w.kernel[i]
    })
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
    use crate::ir::{Builder, Conv, Epilogue, Shape, Tensor, Window};
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

    /// A convolution, a pooling with such pads, then ReLU.
    fn windows(kind: PoolKind, pads_begin: usize, overhang: usize) -> String {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[1, 9, 2]));
        let w = b.tensor(Tensor::of(&[3, 2, 4], &[1.0f32; 24]));
        let window = |kernel: usize, stride: usize, pads_begin: usize| Window {
            kernel: vec![kernel],
            strides: vec![stride],
            dilations: vec![1],
            pads_begin: vec![pads_begin],
            pads_end: vec![0],
        };
        let y = b.one(Op::Conv(Conv::new(window(3, 1, 0), 1), Epilogue::NONE), &[x, w]).unwrap();
        let window = window(2, 2, pads_begin);
        let y = b.one(Op::Pool(Pool { kind, window, overhang: vec![overhang] }), &[y]).unwrap();
        let y = b.unary(Unary::Relu, y).unwrap();
        b.output("y", y);
        monotone(&b.finish()).unwrap().to_string()
    }

    #[test]
    fn relu_moves_before_windows_that_see_something() {
        let moves = |text: String| text.find("relu") < text.find("pool");
        for (pads, overhang) in [(0, 0), (1, 0), (1, 1)] {
            let text = windows(PoolKind::Max, pads, overhang);
            assert!(moves(text.clone()), "{text}");
        }
        for text in
            [windows(PoolKind::Average, 0, 0), windows(PoolKind::Max, 2, 0), windows(PoolKind::Max, 0, 2)]
        {
            assert!(!moves(text.clone()), "{text}");
        }
    }

    #[test]
    fn what_falls_or_costs_stays() {
        for op in [Unary::Neg, Unary::Tanh] {
            let text = network(|b, y| b.unary(op, y));
            assert!(text.find("reduce") < text.find("map"), "{text}");
        }
    }
}
