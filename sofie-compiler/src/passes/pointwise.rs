//! Convolutions whose windows are single pixels are products of the pixels with a matrix: as such they take
//! part in everything that holds for products. A border of zeros before a convolution becomes its padding.

use super::pattern::{Kind, Product, peephole};
use crate::ir::{Builder, Conv, Dim, Graph, Invalid, Node, Op, Shape, ValueId};

/// Rewrites convolutions over single pixels, and zero borders before convolutions.
pub fn pointwise(graph: &Graph) -> Result<Graph, Invalid> {
    peephole(graph, |b, op, inputs| {
        let node = Node { op: op.clone(), inputs: inputs.to_vec(), outputs: Vec::new(), origin: Vec::new() };
        let Some(mut p) = Product::of(&node) else { return Ok(None) };
        let Kind::Conv(conv) = &p.kind else { return Ok(None) };
        if let Some((x, padded)) = unpadded(b, conv, p.x) {
            p.x = x;
            p.kind = Kind::Conv(padded);
            return p.push(b).map(|v| Some(vec![v]));
        }
        if !is_pointwise(conv) {
            return Ok(None);
        }
        let spatial = conv.window.kernel.len();
        // [1…, C, M] is [1, 1…, C, M] short of the batch axis's partner.
        let matrix = b.shape(p.w).dims()[spatial..].to_vec();
        let w = [vec![Dim::ONE; spatial], matrix].concat();
        p.w = b.reshape(p.w, Shape::new(w))?;
        p.kind = Kind::MatMul;
        p.push(b).map(|v| Some(vec![v]))
    })
}

fn is_pointwise(c: &Conv) -> bool {
    let w = &c.window;
    let all = |list: &[usize], n: usize| list.iter().all(|&x| x == n);
    c.group == 1 && all(&w.kernel, 1) && all(&w.strides, 1) && all(&w.pads_begin, 0) && all(&w.pads_end, 0)
}

/// The operand of a border of zeros around pixels, and the convolution with that border as its padding.
fn unpadded(b: &Builder, conv: &Conv, x: ValueId) -> Option<(ValueId, Conv)> {
    let Node { op: Op::Pad { before, after, value }, inputs, .. } = b.graph().producer(x)? else {
        return None;
    };
    let fixed = |dims: &[Dim]| -> Option<Vec<usize>> {
        dims.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect()
    };
    let (before, after) = (fixed(before)?, fixed(after)?);
    let last = before.len().checked_sub(1)?;
    let elsewhere = before[0] + after[0] + before[last] + after[last];
    if value.to_f64() != 0.0 || elsewhere != 0 {
        return None;
    }
    let mut conv = conv.clone();
    for i in 0..conv.window.kernel.len() {
        conv.window.pads_begin[i] += before[i + 1];
        conv.window.pads_end[i] += after[i + 1];
    }
    Some((inputs[0], conv))
}
