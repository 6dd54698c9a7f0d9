//! Products of one row by several small matrices, as the mean and the variance of a variational autoencoder are: one
//! product by the matrices side by side, and a slice for each. A call costs as much as what is computed in it.

use crate::ir::{Builder, Graph, Invalid, Node, Op, Rewriter, Shape, Tensor, ValueId};
use std::collections::HashMap;

/// Columns of all matrices together, two vectors. Wide products cost what their columns cost; and up to here a sum has the
/// same terms in the same order in the one product as in the many.
const MOST: usize = 32;

/// A product that may be joined with others over the same row.
struct Member<'g> {
    node: &'g Node,
    matrix: &'g Tensor,
    bias: Option<&'g Tensor>,
    columns: usize,
}

/// What products must share to be joined: the row, the rank of the matrix and the epilogue.
type Key = (ValueId, usize, String);

fn is_one_row(shape: &Shape) -> bool {
    shape.dims().split_last().is_some_and(|(_, outer)| outer.iter().all(|d| d.is(1)))
}

fn member<'g>(graph: &'g Graph, node: &'g Node) -> Option<(Key, Member<'g>)> {
    let Op::MatMul(epilogue) = &node.op else { return None };
    let (row, matrix) = (node.inputs[0], graph.constant(node.inputs[1])?);
    if epilogue.residual || !is_one_row(graph.shape(row)) {
        return None;
    }
    let bias = match epilogue.bias {
        true => Some(graph.constant(node.inputs[2])?),
        false => None,
    };
    let (&columns, outer) = matrix.dims().split_last()?;
    let (_, batch) = outer.split_last()?;
    let plain = batch.iter().all(|&n| n == 1) && bias.is_none_or(|b| b.dims() == [columns]);
    let key = (row, matrix.dims().len(), format!("{epilogue:?}"));
    plain.then_some((key, Member { node, matrix, bias, columns }))
}

/// Joins them.
pub fn siblings(graph: &Graph) -> Result<Graph, Invalid> {
    join(Builder::new(), graph)
}

/// [`siblings`] in a builder that may keep sums as they are: no bit of a result changes.
pub fn join(builder: Builder, graph: &Graph) -> Result<Graph, Invalid> {
    let mut groups: HashMap<Key, Vec<Member<'_>>> = HashMap::new();
    for (key, member) in graph.nodes().iter().filter_map(|n| member(graph, n)) {
        groups.entry(key).or_default().push(member);
    }
    groups.retain(|_, g| g.len() > 1 && g.iter().map(|m| m.columns).sum::<usize>() <= MOST);
    if groups.is_empty() {
        return Ok(graph.clone());
    }
    let mut joined: HashMap<ValueId, ValueId> = HashMap::new();
    Rewriter::run_in(builder, graph, |r, node| {
        if let Some(&slice) = node.outputs.first().and_then(|y| joined.get(y)) {
            return Ok(Some(vec![slice]));
        }
        let Some((key, _)) = member(graph, node) else { return Ok(None) };
        let Some(group) = groups.get(&key) else { return Ok(None) };
        let side_by_side = |r: &mut Rewriter<'_>, axis: usize, tensors: &[&Tensor]| {
            let parts: Vec<ValueId> = tensors.iter().map(|t| r.b.tensor((*t).clone())).collect();
            r.b.one(Op::Concat(axis), &parts)
        };
        let matrices: Vec<_> = group.iter().map(|m| m.matrix).collect();
        let biases: Vec<_> = group.iter().filter_map(|m| m.bias).collect();
        let mut inputs = vec![r.get(node.inputs[0])?, side_by_side(r, key.1 - 1, &matrices)?];
        if !biases.is_empty() {
            inputs.push(side_by_side(r, 0, &biases)?);
        }
        for m in group {
            r.b.add_origin(&m.node.origin);
        }
        let y = r.b.one(node.op.clone(), &inputs)?;
        let axis = r.b.shape(y).rank() - 1;
        let mut first = 0;
        for m in group {
            let slice = r.b.slice_axis(y, axis, first.into(), m.columns.into())?;
            joined.insert(m.node.outputs[0], slice);
            first += m.columns;
        }
        Ok(joined.get(&node.outputs[0]).map(|&v| vec![v]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Dim, Epilogue, eval, random::compare};
    use crate::passes::optimize;
    use sofie_infer_runtime::DType;

    /// Products of `[rows, 5]` by matrices of so many columns.
    fn products(rows: Dim, columns: &[usize]) -> Graph {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::new(vec![rows, 5.into()]));
        for (i, &n) in columns.iter().enumerate() {
            let numbers = |len: usize| -> Vec<f32> { (0..len).map(|j| ((i + j) % 7) as f32 - 2.5).collect() };
            let matrix = b.tensor(Tensor::of(&[5, n], &numbers(5 * n)));
            let bias = b.tensor(Tensor::of(&[n], &numbers(n)));
            let y = b.one(Op::MatMul(Epilogue::BIAS), &[x, matrix, bias]).unwrap();
            b.output(&format!("y{i}"), y);
        }
        b.finish()
    }

    fn count(graph: &Graph) -> usize {
        optimize(graph.clone(), None)
            .unwrap()
            .nodes()
            .iter()
            .filter(|n| matches!(n.op, Op::MatMul(_)))
            .count()
    }

    #[test]
    fn small_products_of_one_row_are_one() {
        let graph = products(1.into(), &[3, 4, 1]);
        assert_eq!(count(&graph), 1);
        let x = [Tensor::of(&[1, 5], &[0.5f32, -1.0, 2.0, 0.25, 3.0])];
        let (want, got) =
            (eval::run(&graph, &x).unwrap(), eval::run(&siblings(&graph).unwrap(), &x).unwrap());
        for (got, want) in got.iter().zip(&want) {
            compare(got, want, 0.0).unwrap();
        }
    }

    #[test]
    fn others_stay() {
        assert_eq!(count(&products(2.into(), &[3, 4])), 2);
        assert_eq!(count(&products(1.into(), &[30, 4])), 2);
        assert_eq!(count(&products(Dim::bounded("batch", 1, 4), &[3, 4])), 2);
    }
}
