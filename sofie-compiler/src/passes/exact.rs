//! Products of small integers in floats: where no sum can leave the whole numbers that `f32` holds, the kernels for
//! floats give the very integers, and they are the fast ones.

use crate::ir::{Graph, Invalid, Op, Rewriter, integral};
use sofie_infer_runtime::DType;

/// Replaces exact products of `i32`.
pub fn exact(graph: &Graph) -> Result<Graph, Invalid> {
    Rewriter::run(graph, |r, node| {
        let (Op::MatMul(_) | Op::Conv(..), [y]) = (&node.op, &node.outputs[..]) else { return Ok(None) };
        let small = |v| integral::of_value(graph, v).is_some_and(|w| w.is_exact());
        if graph.dtype(*y) != DType::I32 || !small(*y) || !node.inputs.iter().all(|v| small(*v)) {
            return Ok(None);
        }
        let mut inputs = r.get_all(&node.inputs)?;
        for v in &mut inputs {
            *v = r.b.cast(*v, DType::F32)?;
        }
        let product = r.b.one(node.op.clone(), &inputs)?;
        Ok(Some(vec![r.b.cast(product, DType::I32)?]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Epilogue, Shape, Tensor};

    fn product(k: usize, weight: i32) -> String {
        let mut b = Builder::new();
        let x = b.input("x", DType::U8, Shape::of(&[2, k]));
        let w = b.tensor(Tensor::of(&[k, 3], &vec![weight; 3 * k]));
        let x = b.cast(x, DType::I32).unwrap();
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        b.output("y", y);
        crate::passes::optimize(exact(&b.finish()).unwrap(), None).unwrap().to_string()
    }

    #[test]
    fn what_floats_hold_is_computed_in_them() {
        let text = product(500, 127);
        assert!(text.contains("f32[2, 3] = matmul"), "{text}");
        assert!(text.contains("f32[2, 500] = map f32(x0)"), "{text}");
    }

    #[test]
    fn what_they_do_not_hold_stays() {
        let text = product(600, 127);
        assert!(text.contains("i32[2, 3] =") && !text.contains("f32"), "{text}");
    }
}
