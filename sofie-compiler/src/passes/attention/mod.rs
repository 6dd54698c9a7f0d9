//! `softmax(scale · q·kᵀ + mask) · v`, in whatever way it is spelled out, becomes one operation.
//!
//! From the softmax backwards: the maps between it and the product of queries and keys are read as one expression
//! that must be `scale · score + mask`, where the mask is anything that does not depend on the scores, or a
//! selection between the score and something else. Reshapes may cut the batch of heads in any way. A factor of q or
//! k alone moves into the scale. Forwards: nobody but the product with v reads the probabilities.

mod scores;

use super::pattern::{Product, Uses, peephole, uniform};
use super::term::{Seen, Term};
use crate::ir::{
    Attention, Builder, Dim, Epilogue, Graph, Inst, Invalid, MapExpr, Masking, Node, Op, Reg, Rewriter,
    RowKind, Shape, ValueId,
};
use scores::{composed, split};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

/// Finds attention.
pub fn attention(graph: &Graph) -> Result<Graph, Invalid> {
    let upright = upright(graph)?;
    let uses = Uses::of(&upright);
    let found = Rewriter::run(&upright, |r, node| {
        let Some(found) = Found::at(r.old, &uses, node)? else { return Ok(None) };
        found.build(r, node).map(|v| v.map(|v| vec![v]))
    })?;
    peephole(&found, |b, op, inputs| Ok(shared_heads(b, op, inputs)?.map(|v| vec![v])))
}

/// A product of activations that is read transposed alone is the product of the transposed operands: `einsum` writes
/// scores keys first.
fn upright(graph: &Graph) -> Result<Graph, Invalid> {
    let uses = Uses::of(graph);
    Rewriter::run(graph, |r, node| {
        let Op::Transpose(perm) = &node.op else { return Ok(None) };
        let x = node.inputs[0];
        let Some(last) = perm.len().checked_sub(1) else { return Ok(None) };
        let turns = last > 0 && perm[last] + 1 == last && perm[last - 1] == last;
        let Some((a, b)) = bare(r.old, x).filter(|_| turns && uses.count(x) == 1) else { return Ok(None) };
        if r.old.constant(a).is_some() || r.old.constant(b).is_some() {
            return Ok(None);
        }
        let (a, b) = (r.get(a)?, r.get(b)?);
        let (left, right) = (r.b.transpose(b, perm)?, r.b.transpose(a, perm)?);
        r.b.one(Op::MatMul(Epilogue::NONE), &[left, right]).map(|v| Some(vec![v]))
    })
}

/// Keys and values that were repeated for the heads that share them are read where they are.
fn shared_heads(b: &mut Builder, op: &Op, inputs: &[ValueId]) -> Result<Option<ValueId>, Invalid> {
    let Op::Attention(_) = op else { return Ok(None) };
    let (Some(k), Some(v)) = (unrepeated(b.graph(), inputs[1]), unrepeated(b.graph(), inputs[2])) else {
        return Ok(None);
    };
    let shape = |b: &Builder, of: ValueId, x: ValueId| -> Shape {
        let (old, groups) = (b.shape(of), b.shape(x));
        [&old[0], &groups[1], &old[2], &old[3]].into_iter().cloned().collect()
    };
    let (ks, vs) = (shape(b, inputs[1], k), shape(b, inputs[2], v));
    if ks[1] != vs[1] {
        return Ok(None);
    }
    let mut inputs = inputs.to_vec();
    (inputs[1], inputs[2]) = (b.reshape(k, ks)?, b.reshape(v, vs)?);
    b.one(op.clone(), &inputs).map(Some)
}

/// `[B, G, 1, S, D]` repeated along its third axis and then flattened to `[B, H, S, D]`.
fn unrepeated(g: &Graph, v: ValueId) -> Option<ValueId> {
    let Node { op: Op::Reshape(heads), inputs, .. } = g.producer(v)? else { return None };
    let Node { op: Op::Broadcast(full), inputs, .. } = g.producer(inputs[0])? else { return None };
    let small = g.shape(inputs[0]);
    let along_third =
        small.rank() == 5 && (0..5).all(|a| if a == 2 { small[a].is(1) } else { small[a] == full[a] });
    let kept = heads.rank() == 4 && heads[0] == full[0] && heads[2] == full[3] && heads[3] == full[4];
    (along_third && kept).then_some(inputs[0])
}

/// A product of two values without any epilogue.
fn bare(g: &Graph, v: ValueId) -> Option<(ValueId, ValueId)> {
    let p = Product::bare(g, v).filter(|p| p.bias.is_none())?;
    matches!(g.producer(v)?.op, Op::MatMul(_)).then_some((p.x, p.w))
}

/// What a reshape that leaves the last two axes as they are shows.
fn unbatched(g: &Graph, v: ValueId) -> Option<ValueId> {
    let Node { op: Op::Reshape(to), inputs, .. } = g.producer(v)? else { return None };
    let from = g.shape(inputs[0]);
    let ends = |s: &Shape| s.dims().iter().rev().take(2).cloned().collect::<Vec<_>>();
    (from.rank() >= 2 && to.rank() >= 2 && ends(from) == ends(to)).then_some(inputs[0])
}

/// What `isnan(p) ? 0 : p` reads.
fn unguarded(g: &Graph, v: ValueId) -> Option<ValueId> {
    let Seen::Select(test, Term::Number(0.0), p) = Term::of(g, v).seen(g) else { return None };
    let Seen::Unary(Unary::IsNan, tested) = test.seen(g) else { return None };
    let x = p.value(g)?;
    (tested == p && g.shape(x) == g.shape(v)).then_some(x)
}

/// How often a map reads a value, itself or by a map that it alone reads.
fn reads(g: &Graph, uses: &Uses, node: &Node, x: ValueId) -> usize {
    let of = |n: &Node| n.inputs.iter().filter(|i| **i == x).count();
    let inner = |i: &ValueId| match g.producer(*i) {
        Some(n) if uses.count(*i) == 1 && matches!(n.op, Op::Map(_)) => of(n),
        _ => 0,
    };
    of(node) + node.inputs.iter().map(inner).sum::<usize>()
}

/// The parts of an attention, over the values of the old graph.
struct Found {
    q: ValueId,
    /// Transposed, as the product reads it.
    keys: ValueId,
    v: ValueId,
    scores: Scores,
    /// The extents of the scores where the mask meets them.
    shape: Shape,
    /// Probabilities that are NaN become 0.
    guarded: bool,
}

/// `scale · score + mask` of one operand of an expression.
struct Scores {
    scale: f32,
    /// The mask's expression over the operands; the score is not read.
    mask: Option<(MapExpr, Masking)>,
    operands: Vec<ValueId>,
}

impl Found {
    /// The attention whose last product a node is.
    fn at(g: &Graph, uses: &Uses, node: &Node) -> Result<Option<Found>, Invalid> {
        let Op::MatMul(_) = node.op else { return Ok(None) };
        let Some((mut p, v)) = bare(g, node.outputs[0]) else { return Ok(None) };
        if g.dtype(p) != DType::F32 || g.constant(v).is_some() {
            return Ok(None);
        }
        let mut alone = uses.count(p) == 1;
        let guarded = match unguarded(g, p) {
            Some(x) => {
                alone &= g.producer(p).is_some_and(|n| reads(g, uses, n, x) == uses.count(x));
                p = x;
                true
            }
            None => false,
        };
        alone &= guarded || uses.count(p) == 1;
        if let Some(x) = unbatched(g, p) {
            (p, alone) = (x, alone && uses.count(x) == 1);
        }
        let Some(Node { op: Op::Rows(RowKind::Softmax), inputs, .. }) = g.producer(p) else {
            return Ok(None);
        };
        let mut top = inputs[0];
        alone &= uses.count(top) == 1;
        if let Some(x) = unbatched(g, top) {
            (top, alone) = (x, alone && uses.count(x) == 1);
        }
        if !alone {
            return Ok(None);
        }
        let Some((expression, operands)) = composed(g, uses, top)? else { return Ok(None) };
        // The score is the operand that a product makes.
        for (at, &s) in operands.iter().enumerate() {
            let product = unbatched(g, s).filter(|x| uses.count(*x) == 1).unwrap_or(s);
            let fits = uses.count(s) == 1 && g.shape(s) == g.shape(top);
            let Some((q, keys)) = bare(g, product).filter(|_| fits) else { continue };
            if g.constant(keys).is_some() {
                continue;
            }
            let shape = g.shape(top).clone();
            if let Some((scale, mask)) = split(&expression, at)? {
                let scores = Scores { scale, mask, operands };
                return Ok(Some(Found { q, keys, v, scores, shape, guarded }));
            }
            break;
        }
        Ok(None)
    }

    fn build(&self, r: &mut Rewriter<'_>, node: &Node) -> Result<Option<ValueId>, Invalid> {
        let g = r.old;
        let (q, keys, v) = (r.get(self.q)?, r.get(self.keys)?, r.get(self.v)?);
        let Some(batch) = batch(&self.shape) else { return Ok(None) };
        let b = &mut r.b;
        let Some((q, in_q)) = headed(b, q, &batch)? else { return Ok(None) };
        let Some((keys, _)) = headed(b, keys, &batch)? else { return Ok(None) };
        let Some((v, _)) = headed(b, v, &batch)? else { return Ok(None) };
        if !in_q {
            return Ok(None);
        }
        let mut k = b.transpose(keys, &[0, 1, 3, 2])?;
        let mut v = v;
        if b.shape(k)[1] != b.shape(v)[1] {
            for x in [&mut k, &mut v] {
                let s = b.shape(*x);
                let full = [&s[0], &batch[1], &s[2], &s[3]].into_iter().cloned().collect();
                *x = b.broadcast(*x, &full)?;
            }
        }
        let (by_q, q) = unscaled(b, q)?;
        let (by_k, k) = unscaled(b, k)?;
        let scale = self.scores.scale * by_q * by_k;
        if !scale.is_finite() {
            return Ok(None);
        }
        let mut inputs = vec![q, k, v];
        let mut masking = None;
        if let Some((e, kind)) = &self.scores.mask {
            let mask = mask(r, g, e, &self.scores.operands)?;
            let mut dims = vec![Dim::ONE; 4];
            let full = [batch.as_slice(), &self.shape.dims()[self.shape.rank() - 2..]].concat();
            let shape = r.b.shape(mask).clone();
            // A mask of fewer axes than the scores repeats along the first ones.
            let lifted: Vec<Dim> = vec![Dim::ONE; self.shape.rank() - shape.rank()];
            let lifted = [lifted.as_slice(), shape.dims()].concat();
            let ends = lifted.len() - 2;
            dims[2..].clone_from_slice(&lifted[ends..]);
            match lifted[..ends] {
                [] => {}
                [ref h] => dims[1] = h.clone(),
                [.., ref outer, ref h] => (dims[0], dims[1]) = (outer.clone(), h.clone()),
            }
            let fits = dims.iter().zip(&full).all(|(d, f)| d.is(1) || d.same(f) == Some(true));
            if !fits {
                return Ok(None);
            }
            inputs.push(r.b.reshape(mask, Shape::new(dims))?);
            masking = Some(*kind);
        }
        let op = Attention { scale, mask: masking, causal: false, guarded: self.guarded };
        let y = r.b.one(Op::Attention(op), &inputs)?;
        r.b.reshape(y, g.shape(node.outputs[0]).clone()).map(Some)
    }
}

/// The two batch axes of four for scores of that shape: what is before the last axis of the batch must be one.
fn batch(scores: &Shape) -> Option<[Dim; 2]> {
    let dims = scores.dims();
    match &dims[..dims.len().checked_sub(2)?] {
        [] => Some([Dim::ONE, Dim::ONE]),
        [h] => Some([Dim::ONE, h.clone()]),
        [outer @ .., b, h] if outer.iter().all(|d| d.is(1)) => Some([b.clone(), h.clone()]),
        _ => None,
    }
}

/// A batch of matrices as `[B, H, m, n]`, with heads shared where it has but one (and whether they are its own).
fn headed(b: &mut Builder, x: ValueId, batch: &[Dim; 2]) -> Result<Option<(ValueId, bool)>, Invalid> {
    let shape = b.shape(x).clone();
    let (outer, ends) = shape.dims().split_at(shape.rank() - 2);
    let count = batch[0].mul(&batch[1])?;
    let mut own = Dim::ONE;
    for d in outer {
        own = own.mul(d)?;
    }
    let four = |b: Dim, h: Dim| [&[b, h], ends].concat().into_iter().collect::<Shape>();
    if own.same(&count) == Some(true) {
        let x = b.reshape(x, four(batch[0].clone(), batch[1].clone()))?;
        return Ok(Some((x, true)));
    }
    // One for all heads, or for all elements of the batch.
    let (o, h) = match outer {
        [] => (Dim::ONE, Dim::ONE),
        [h] => (Dim::ONE, h.clone()),
        [first @ .., o, h] if first.iter().all(|d| d.is(1)) => (o.clone(), h.clone()),
        _ => return Ok(None),
    };
    let repeats = |d: &Dim, of: &Dim| d.is(1) || d.same(of) == Some(true);
    if !repeats(&o, &batch[0]) || !repeats(&h, &batch[1]) {
        return Ok(None);
    }
    let x = b.reshape(x, four(o, h.clone()))?;
    let x = b.broadcast(x, &four(batch[0].clone(), h.clone()))?;
    Ok(Some((x, h.same(&batch[1]) == Some(true))))
}

/// A value seen through views, and the constant factor that it had.
fn unscaled(b: &mut Builder, v: ValueId) -> Result<(f32, ValueId), Invalid> {
    let Some(Node { op, inputs, .. }) = b.graph().producer(v).cloned() else { return Ok((1.0, v)) };
    match &op {
        Op::Map(e) => match factor(b.graph(), e, &inputs) {
            Some((c, x)) if b.shape(x) == b.shape(v) => {
                let (more, x) = unscaled(b, x)?;
                Ok((c * more, x))
            }
            _ => Ok((1.0, v)),
        },
        op if op.is_view() => {
            let (c, x) = unscaled(b, inputs[0])?;
            if c == 1.0 { Ok((1.0, v)) } else { Ok((c, b.one(op.clone(), &[x])?)) }
        }
        _ => Ok((1.0, v)),
    }
}

/// `c · x` or `x / c`.
fn factor(g: &Graph, e: &MapExpr, inputs: &[ValueId]) -> Option<(f32, ValueId)> {
    let last = e.insts().last()?;
    let number = |r: Reg| match e.insts()[r] {
        Inst::Const(c) => Some(c.to_f64() as f32),
        Inst::Input(i) => uniform(g, inputs[i]).map(|c| c.to_f64() as f32),
        _ => None,
    };
    let operand = |r: Reg| match e.insts()[r] {
        Inst::Input(i) => Some(inputs[i]),
        _ => None,
    };
    let (c, x) = match *last {
        Inst::Binary(Binary::Mul, a, b) => match (number(a), number(b)) {
            (None, Some(c)) => (c, operand(a)?),
            (Some(c), None) => (c, operand(b)?),
            _ => return None,
        },
        Inst::Binary(Binary::Div, a, b) => (1.0 / number(b)?, operand(a)?),
        _ => return None,
    };
    // Zeros and infinities would not come out the same at another place.
    (c.is_normal() && (1e-6..1e6).contains(&c.abs())).then_some((c, x))
}

/// The mask as a value, over those operands alone that it reads.
fn mask(r: &mut Rewriter<'_>, g: &Graph, e: &MapExpr, operands: &[ValueId]) -> Result<ValueId, Invalid> {
    let read: Vec<usize> = (0..operands.len()).filter(|&i| e.reads(i)).collect();
    if read.is_empty() {
        // The same number everywhere.
        let Some(Inst::Const(c)) = e.insts().last() else { return Err(Invalid::new("a mask of nothing")) };
        return Ok(r.b.tensor(crate::ir::Tensor::filled(*c, &[1, 1])));
    }
    let to: Vec<_> = (0..operands.len()).map(|i| read.iter().position(|&k| k == i)).collect();
    let types: Vec<_> = read.iter().map(|&i| g.dtype(operands[i])).collect();
    let values = read.iter().map(|&i| r.get(operands[i])).collect::<Result<Vec<_>, _>>()?;
    r.b.one(Op::Map(e.select_inputs(&to, &types)?), &values)
}
