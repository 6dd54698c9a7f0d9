//! Gathers in their shortest form: a reshape behind one goes into its index, and a product with a constant
//! matrix of zeros and ones, which is how interaction networks are often written down, is a gather or a sum.

use super::pattern::Uses;
use crate::ir::{
    Builder, Dim, Epilogue, Graph, Invalid, Node, Op, ReduceKind, Rewriter, Shape, Tensor, ValueId,
};

/// Shortens gathers and what should be one.
pub fn gathers(graph: &Graph) -> Result<Graph, Invalid> {
    let uses = Uses::of(graph);
    Rewriter::run(graph, |r, node| {
        let inputs = r.get_all(&node.inputs)?;
        let new = match &node.op {
            Op::Reshape(shape) if uses.only_by(node, node.inputs[0]) => {
                let Some(made) = r.b.graph().producer(inputs[0]).cloned() else { return Ok(None) };
                r.b.add_origin(&made.origin);
                shaped(&mut r.b, &made, shape)?
            }
            Op::MatMul(e) if *e == Epilogue::NONE => match selection(r.b.graph(), inputs[0]) {
                Some(Selection::Rows(index)) => Some(picked(&mut r.b, inputs[1], &index)?),
                Some(Selection::Runs { sums, each }) => Some(summed(&mut r.b, inputs[1], sums, each)?),
                None => None,
            },
            _ => None,
        };
        Ok(new.map(|v| vec![v]))
    })
}

/// A gather whose result has its index's axes in another form: the index is given that form. A map can then
/// read through it, and an index that is a slice needs no copy.
fn shaped(b: &mut Builder, made: &Node, shape: &Shape) -> Result<Option<ValueId>, Invalid> {
    let Op::Gather { axis, batch } = made.op else { return Ok(None) };
    let (x, index) = (made.inputs[0], made.inputs[1]);
    let (from, behind) = (b.shape(made.outputs[0]).clone(), b.shape(x).rank() - axis - 1);
    if shape.rank() < axis + behind {
        return Ok(None);
    }
    let (head, tail) = (&shape.dims()[..axis], &shape.dims()[shape.rank() - behind..]);
    if *head != from.dims()[..axis] || *tail != from.dims()[from.rank() - behind..] {
        return Ok(None);
    }
    // An extent of 0 elsewhere would leave the index's own open.
    if from.dims().iter().any(|d| d.is(0)) {
        return Ok(None);
    }
    let middle = &shape.dims()[axis..shape.rank() - behind];
    let of_index = [&b.shape(index).dims()[..batch], middle].concat();
    let index = b.reshape(index, Shape::new(of_index))?;
    b.one(Op::Gather { axis, batch }, &[x, index]).map(Some)
}

/// What a constant matrix of zeros and ones does to the rows that it is multiplied with.
enum Selection {
    /// Row i of the result is that row.
    Rows(Vec<i64>),
    /// Row i of the result is the sum of `each` neighbouring rows, of which there are `sums` times as many.
    Runs { sums: usize, each: usize },
}

/// The selection that a constant is, if it is one.
///
/// A product adds `0 · x` for every other row, so an infinity or NaN in a row spoils its whole column; here it
/// spoils the rows that have to do with it. For finite numbers the rows are the same, to the last bit.
fn selection(g: &Graph, a: ValueId) -> Option<Selection> {
    let dims = g.shape(a).fixed()?;
    let (&[m, k], batch) = (dims.last_chunk::<2>()?, &dims[..dims.len() - 2]);
    if batch.iter().any(|&d| d != 1) || m == 0 || k < 2 {
        return None;
    }
    let values = g.constant(a)?.to_vec::<f32>()?;
    if values.iter().any(|&v| v != 0.0 && v != 1.0) {
        return None;
    }
    let ones = |row: &[f32]| row.iter().filter(|v| **v == 1.0).count();
    let first = |row: &[f32]| row.iter().position(|v| *v == 1.0);
    let mut rows = values.chunks_exact(k);
    if rows.all(|row| ones(row) == 1) {
        let index = values.chunks_exact(k).filter_map(first).map(|i| i as i64);
        return Some(Selection::Rows(index.collect()));
    }
    let each = k / m;
    let is_run = |(i, row): (usize, &[f32])| {
        ones(row) == each && row.get(i * each..(i + 1) * each).is_some_and(|run| ones(run) == each)
    };
    let runs = each > 1 && m * each == k && values.chunks_exact(k).enumerate().all(is_run);
    runs.then_some(Selection::Runs { sums: m, each })
}

fn picked(b: &mut Builder, x: ValueId, index: &[i64]) -> Result<ValueId, Invalid> {
    let axis = b.shape(x).rank() - 2;
    let index = b.tensor(Tensor::of(&[index.len()], index));
    b.one(Op::Gather { axis, batch: 0 }, &[x, index])
}

fn summed(b: &mut Builder, x: ValueId, sums: usize, each: usize) -> Result<ValueId, Invalid> {
    let shape = b.shape(x).clone();
    let (axis, dims) = (shape.rank() - 2, shape.dims());
    let apart = [&dims[..axis], &[Dim::from(sums), Dim::from(each)], &dims[axis + 1..]].concat();
    let apart = b.reshape(x, Shape::new(apart))?;
    let sum = b.one(Op::Reduce(ReduceKind::Sum, vec![axis + 1]), &[apart])?;
    let together = [&dims[..axis], &[Dim::from(sums)], &dims[axis + 1..]].concat();
    b.reshape(sum, Shape::new(together))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::eval;
    use crate::ir::random::same_results;
    use sofie_infer_runtime::DType;

    /// The graph without its constants, after the pass, which must keep what it computes.
    fn after(before: &Graph, inputs: &[Tensor]) -> String {
        assert!(eval::run(before, inputs).is_ok());
        let after = gathers(before).unwrap();
        same_results(before, &after, inputs, 1e-6).unwrap();
        let text = after.to_string();
        text.lines().filter(|l| !l.contains("const")).map(|l| format!("{l}\n")).collect()
    }

    fn numbers(dims: &[usize]) -> Tensor {
        let n = dims.iter().product::<usize>();
        Tensor::of(dims, &(0..n).map(|i| (i * 37 % 19) as f32 - 9.0).collect::<Vec<_>>())
    }

    #[test]
    fn a_reshape_goes_into_the_index() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[5, 3]));
        let index = b.input("index", DType::I64, Shape::of(&[6]));
        let y = b.one(Op::Gather { axis: 0, batch: 0 }, &[x, index]).unwrap();
        let y = b.reshape(y, Shape::of(&[1, 2, 3, 3])).unwrap();
        b.output("y", y);
        let inputs = [numbers(&[5, 3]), Tensor::of(&[6], &[0i64, 4, 2, -1, 3, 3])];
        let want = "input %0 \"x\": f32[5, 3]
input %1 \"index\": i64[6]
%2: i64[1, 2, 3] = reshape(%1)
%3: f32[1, 2, 3, 3] = gather axis=0 batch=0(%0, %2)
output \"y\" = %3
";
        assert_eq!(after(&b.finish(), &inputs), want);
    }

    #[test]
    fn a_reshape_across_the_rows_stays() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[5, 4]));
        let index = b.input("index", DType::I64, Shape::of(&[6]));
        let y = b.one(Op::Gather { axis: 0, batch: 0 }, &[x, index]).unwrap();
        let y = b.reshape(y, Shape::of(&[3, 8])).unwrap();
        b.output("y", y);
        let g = b.finish();
        assert_eq!(gathers(&g).unwrap(), g);
    }

    /// `a · x` with the matrix whose row i has ones at `ones[i]`.
    fn product(ones: &[&[usize]], k: usize) -> Graph {
        let mut values = vec![0.0f32; ones.len() * k];
        for (i, row) in ones.iter().enumerate() {
            row.iter().for_each(|j| values[i * k + j] = 1.0);
        }
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[2, k, 3]));
        let a = b.tensor(Tensor::of(&[1, ones.len(), k], &values));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[a, x]).unwrap();
        b.output("y", y);
        b.finish()
    }

    #[test]
    fn a_matrix_that_picks_rows_is_a_gather() {
        let text = after(&product(&[&[1], &[3], &[1], &[0], &[2]], 4), &[numbers(&[2, 4, 3])]);
        assert!(text.contains("f32[2, 5, 3] = gather axis=1 batch=0(%0, %1)"), "{text}");
    }

    #[test]
    fn a_matrix_that_sums_runs_is_a_sum() {
        let text = after(&product(&[&[0, 1], &[2, 3], &[4, 5]], 6), &[numbers(&[2, 6, 3])]);
        assert!(text.contains("reduce Sum [2]") && !text.contains("matmul"), "{text}");
    }

    #[test]
    fn other_matrices_are_multiplied() {
        for ones in [&[&[0usize, 1][..], &[1, 2], &[4, 5]][..], &[&[0], &[]], &[&[0, 1, 2], &[3]]] {
            let g = product(ones, 6);
            assert_eq!(gathers(&g).unwrap(), g);
        }
    }
}
