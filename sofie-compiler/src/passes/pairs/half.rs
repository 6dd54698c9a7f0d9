//! One of each two pairs: a value over pairs (i, j) of n, cut to the pairs (i, i + d mod n) for d up to n / 2, and a
//! symmetric one made whole again.
//!
//! With as many pairs for each i, they are rows of a matrix, whatever n is, and what stands at their second end is a window
//! that moves over the rows, begun again at the first. Any value can be cut, and each operation that treats pairs alike is
//! the same operation over what is left of its operands.

use super::index::Index;
use super::mirror::{is_one_matrix, source_axis};
use crate::ir::{Dim, Invalid, Node, Op, Rewriter, Shape, ValueId};
use std::collections::HashMap;

/// Cuts the values of a graph to one of each two pairs.
pub struct Half {
    n: Dim,
    index: Index,
    done: HashMap<(ValueId, usize), ValueId>,
}

impl Half {
    /// Of pairs of `n`.
    pub fn of(r: &mut Rewriter<'_>, n: &Dim) -> Result<Half, Invalid> {
        Ok(Half { n: n.clone(), index: Index::of(&mut r.b, n)?, done: HashMap::new() })
    }

    /// The number of which pairs are made.
    pub fn n(&self) -> &Dim {
        &self.n
    }

    /// What is left of an old value with pairs along `axis` and the axis behind it, or one of either alone.
    pub fn cut(&mut self, r: &mut Rewriter<'_>, v: ValueId, axis: usize) -> Result<ValueId, Invalid> {
        if let Some(done) = self.done.get(&(v, axis)) {
            return Ok(*done);
        }
        let cut = self.build(r, v, axis)?;
        self.done.insert((v, axis), cut);
        Ok(cut)
    }

    /// The shape with as many columns as are left.
    fn with_left(&self, shape: &Shape, axis: usize) -> Shape {
        let mut shape = shape.clone();
        shape.dims_mut()[axis + 1] = self.index.left.clone();
        shape
    }

    fn build(&mut self, r: &mut Rewriter<'_>, v: ValueId, axis: usize) -> Result<ValueId, Invalid> {
        let old = r.old;
        let shape = old.shape(v).clone();
        if shape[axis + 1].is(1) {
            return r.get(v);
        }
        if shape[axis].is(1) {
            let x = r.get(v)?;
            let column = Shape::new([&shape.dims()[..axis], &shape.dims()[axis + 1..]].concat());
            let column = r.b.reshape(x, column)?;
            let more = self.index.left.sub(&Dim::ONE)?;
            let again = r.b.slice_axis(column, axis, Dim::Fixed(0), more)?;
            let around = r.b.one(Op::Concat(axis), &[column, again])?;
            let (count, len) = (self.n.clone(), self.index.left.clone());
            return r.b.one(Op::Windows { axis, count, len }, &[around]);
        }
        let Some(node) = old.producer(v) else { return self.collected(r, v, axis) };
        match self.alike(r, node, &shape, axis)? {
            Some((op, operands)) => {
                r.b.set_origin(&node.origin);
                r.b.one(op, &operands)
            }
            None => self.collected(r, v, axis),
        }
    }

    /// The operation over what is left of its operands, where it treats pairs alike.
    fn alike(
        &mut self,
        r: &mut Rewriter<'_>,
        node: &Node,
        shape: &Shape,
        axis: usize,
    ) -> Result<Option<(Op, Vec<ValueId>)>, Invalid> {
        let old = r.old;
        let apart = |along: &usize| *along != axis && *along != axis + 1;
        let rows = axis + 2 < shape.rank();
        let x = node.inputs.first().copied().ok_or_else(|| Invalid::new("an operation of nothing"))?;
        let (op, at) = match &node.op {
            Op::Map(e) if !e.is_placed() => (node.op.clone(), axis),
            Op::Concat(along) if apart(along) => (node.op.clone(), axis),
            Op::Reduce(_, along) if along.iter().all(apart) => (node.op.clone(), axis),
            Op::MatMul(_) | Op::Rows(_) if rows => {
                let matrix = node.inputs.get(1).filter(|_| matches!(node.op, Op::MatMul(_)));
                if matrix.is_some_and(|w| !is_one_matrix(old.shape(*w), axis)) {
                    return Ok(None);
                }
                let mut operands = vec![self.cut(r, x, axis)?];
                for &other in &node.inputs[1..] {
                    let residual = Some(&other) != matrix && old.shape(other) == shape;
                    operands.push(if residual { self.cut(r, other, axis)? } else { r.get(other)? });
                }
                return Ok(Some((node.op.clone(), operands)));
            }
            Op::Reshape(to) => match source_axis(old.shape(x), to, axis) {
                Some(from) => (Op::Reshape(self.with_left(to, axis)), from),
                None => return Ok(None),
            },
            Op::Transpose(perm) if perm[axis] + 1 == perm[axis + 1] => (node.op.clone(), perm[axis]),
            Op::Broadcast(to) => (Op::Broadcast(self.with_left(to, axis)), axis),
            Op::Slice { start, step, shape: to }
                if (axis..=axis + 1).all(|a| step[a] == 1 && to[a] == old.shape(x)[a]) =>
            {
                (
                    Op::Slice { start: start.clone(), step: step.clone(), shape: self.with_left(to, axis) },
                    axis,
                )
            }
            _ => return Ok(None),
        };
        let operands = node.inputs.iter().map(|x| self.cut(r, *x, at)).collect::<Result<_, _>>()?;
        Ok(Some((op, operands)))
    }

    /// The pairs that are left, taken out of a value that holds them all.
    fn collected(&self, r: &mut Rewriter<'_>, v: ValueId, axis: usize) -> Result<ValueId, Invalid> {
        let x = r.get(v)?;
        self.gather(r, x, [&self.n, &self.n], axis, self.index.taken)
    }

    /// All pairs of a symmetric value of which a [`cut`](Half::cut) is given.
    pub fn whole(&self, r: &mut Rewriter<'_>, cut: ValueId, axis: usize) -> Result<ValueId, Invalid> {
        self.gather(r, cut, [&self.n, &self.index.left], axis, self.index.back)
    }

    /// Pairs of a value that holds them along `axis` and the one behind it, by their positions.
    fn gather(
        &self,
        r: &mut Rewriter<'_>,
        x: ValueId,
        [rows, columns]: [&Dim; 2],
        axis: usize,
        index: ValueId,
    ) -> Result<ValueId, Invalid> {
        let shape = r.b.shape(x).clone();
        let pairs = rows.mul(columns)?;
        let flat = Shape::new([&shape.dims()[..axis], &[pairs], &shape.dims()[axis + 2..]].concat());
        let flat = r.b.reshape(x, flat)?;
        r.b.one(Op::Gather { axis, batch: 0 }, &[flat, index])
    }
}
