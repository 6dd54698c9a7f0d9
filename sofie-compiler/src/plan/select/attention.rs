//! Attention reads queries, keys and values where projections left them, and writes where the next one reads.

use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::Planner;
use crate::ir::{Attention, Invalid, Masking, Node};
use sofie_infer_runtime::{DType, attention};

/// Strides along four axes, none negative, 0 along an axis that is repeated up to `dims`.
fn strides(l: &Layout, dims: [usize; 4]) -> Result<[usize; 4], Invalid> {
    let mut strides = [0; 4];
    for ((stride, &s), (&d, n)) in strides.iter_mut().zip(&l.strides).zip(l.dims.iter().zip(dims)) {
        let s = usize::try_from(s).map_err(|_| Invalid::new("attention over an axis that runs backwards"))?;
        *stride = if d == n && n != 1 { s } else { 0 };
    }
    Ok(strides)
}

/// Whether no stride is negative.
fn forwards(l: &Layout) -> bool {
    l.strides.iter().all(|s| *s >= 0)
}

/// Plans an attention.
pub fn attention(p: &mut Planner<'_>, node: &Node, op: &Attention) -> Result<(), Invalid> {
    let ([q, k, v, ..], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("attention without keys or values"));
    };
    if p.graph.dtype(*q) != DType::F32 {
        return Err(Invalid::new(format!("attention over {}", p.graph.dtype(*q))));
    }
    let (&[batch, heads, queries, depth], &[_, groups, keys, width]) = (p.dims(*q), p.dims(*v)) else {
        return Err(Invalid::new("attention over other than four axes"));
    };
    // Keys and values of which neither rows nor columns are contiguous would be read element by element.
    let packs = |l: &Layout| forwards(l) && l.strides[2..].contains(&1);
    let (read_q, ql) = p.fitting(*q, forwards)?;
    let (read_k, kl) = p.fitting(*k, packs)?;
    let (read_v, vl) = p.fitting(*v, packs)?;
    let mask = match node.inputs.get(3).filter(|_| op.mask.is_some()) {
        Some(m) => {
            let rows = |l: &Layout| forwards(l) && (l.dims[3] == 1 || l.strides[3] <= 1);
            Some(p.fitting(*m, rows)?)
        }
        None => None,
    };
    let own = |l: &Layout| {
        let apart = l.dims.iter().zip(&l.strides).all(|(&d, &s)| d < 2 || s > 0);
        apart && l.dense_from(3)
    };
    let home = p.target(*y, own);
    let (write, yl) = home.operand()?;
    let of_y = strides(&yl, [batch, heads, queries, width])?;
    let kernel = attention::Attention {
        batch,
        heads,
        groups,
        queries,
        keys,
        depth,
        width,
        scale: op.scale,
        causal: op.causal,
        guarded: op.guarded,
        q: strides(&ql, [batch, heads, queries, depth])?,
        k: strides(&kl, [batch, groups, keys, depth])?,
        v: strides(&vl, [batch, groups, keys, width])?,
        mask: match &mask {
            Some((_, l)) => Some(strides(l, [batch, heads, queries, keys])?),
            None => None,
        },
        replace: op.mask == Some(Masking::Replace),
        y: [of_y[0], of_y[1], of_y[2]],
    };
    let scratch = p.scratch(DType::F32, kernel.scratch());
    let reads = vec![Some(read_q), Some(read_k), Some(read_v), mask.map(|(read, _)| read)];
    p.push(Kernel::Attention(kernel), vec![write, scratch], reads);
    p.written(*y, home)
}
