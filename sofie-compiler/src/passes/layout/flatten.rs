//! Flattenings beside products: where a transpose stands between an image and the list that a dense layer
//! reads (or writes), the rows (or columns) of its weights are permuted while compiling, and no element of
//! the image is moved.

use super::super::groups::groups;
use super::super::pattern::{Kind, Product, Uses, until_stable};
use super::carry::inverse;
use crate::ir::{Builder, Graph, Invalid, Node, NodeId, Op, Rewriter, Shape, ValueId};

/// Permutes the weights of products beside flattened transposes.
pub fn flatten(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| match &node.op {
            Op::MatMul(_) => behind(g, r, node),
            Op::Transpose(q) => before(g, r, &uses, node, q),
            _ => Ok(None),
        })
    })
}

/// Of a transpose with layout `order` (axes of `from` that are longer than 1) against axes of which those
/// from `first` on are flattened together: whether it permutes those alone.
fn permutes_only_from(order: &[usize], first: usize) -> bool {
    let lead: Vec<_> = order.iter().copied().take_while(|&a| a < first).collect();
    lead.is_sorted() && order.iter().skip(lead.len()).all(|&a| a >= first)
}

/// The axes of a reshape's operand that become its last axis, if they are more than one.
fn flattened(from: &Shape, to: &Shape) -> Option<usize> {
    let groups = groups(from, to)?;
    let last = groups.last().filter(|g| g.to.len() == 1 && g.from.len() > 1 && g.from.end == from.rank())?;
    Some(last.from.start)
}

fn long_axes(perm: impl Iterator<Item = usize>, shape: &Shape) -> Vec<usize> {
    perm.filter(|&a| !shape[a].is(1)).collect()
}

fn is_matmul_with_weights(g: &Graph, node: &Node, x: ValueId) -> bool {
    Product::of(node).is_some_and(|p| p.kind == Kind::MatMul && p.x == x && p.has_weights(g))
}

/// Whether node `n` is a reshape that flattens axes in the order `class` for products with weights alone.
pub fn absorbs(g: &Graph, users: &[Vec<NodeId>], n: usize, class: &[usize], shape: &Shape) -> bool {
    let node = &g.nodes()[n];
    let (Op::Reshape(to), Some(&y)) = (&node.op, node.outputs.first()) else { return false };
    let Some(first) = flattened(shape, to) else { return false };
    let products = users[y.index()].iter().all(|u| is_matmul_with_weights(g, &g.nodes()[u.index()], y));
    let output = g.outputs().iter().any(|o| o.value == y);
    products && !output && permutes_only_from(class, first)
}

/// Whether node `p` is a reshape that spreads the columns of a product with weights over the axes of `v`,
/// of which layout `class` permutes those alone.
pub fn supplies(g: &Graph, users: &[Vec<NodeId>], p: usize, class: &[usize], v: ValueId) -> bool {
    let node = &g.nodes()[p];
    let (Op::Reshape(_), Some(&x)) = (&node.op, node.inputs.first()) else { return false };
    let Some(first) = flattened(g.shape(v), g.shape(x)) else { return false };
    users[v.index()].len() == 1
        && !g.outputs().iter().any(|o| o.value == v)
        && permutes_only_from(class, first)
        && product_behind_maps(g, &Uses::of(g), node, x).is_some()
}

/// `MatMul(Reshape(Transpose(x)), W)`: a reshape of `x`, and rows of `W` in its order.
fn behind(g: &Graph, r: &mut Rewriter<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, Invalid> {
    let Some(p) = Product::of(node).filter(|p| is_matmul_with_weights(g, node, p.x)) else { return Ok(None) };
    let Some(Node { op: Op::Reshape(flat), inputs: image, .. }) = g.producer(p.x) else { return Ok(None) };
    let Some(Node { op: Op::Transpose(q), inputs: from, .. }) = g.producer(image[0]) else { return Ok(None) };
    let (turned, x) = (g.shape(image[0]), g.shape(from[0]));
    let Some(first) = flattened(turned, flat) else { return Ok(None) };
    // In the order of x: which axis of the transposed image stands where.
    let order = inverse(q);
    if !permutes_only_from(&long_axes(order.iter().copied(), turned), first) {
        return Ok(None);
    }
    let mut p = p.moved(r)?;
    let x_new = r.get(from[0])?;
    debug_assert_eq!(r.b.shape(x_new), x);
    let kept = order.into_iter().filter(|&a| a >= first).collect::<Vec<_>>();
    p.x = r.b.reshape(x_new, flat.clone())?;
    p.w = permuted_axis(
        &mut r.b,
        p.w,
        2,
        &turned.dims()[first..],
        &kept.iter().map(|a| a - first).collect::<Vec<_>>(),
    )?;
    p.push(&mut r.b).map(|v| Some(vec![v]))
}

/// A constant whose axis `from_end` from the end (1 is the last) is read as axes `dims`, permuted, and
/// flattened again.
fn permuted_axis(
    b: &mut Builder,
    w: ValueId,
    from_end: usize,
    dims: &[crate::ir::Dim],
    perm: &[usize],
) -> Result<ValueId, Invalid> {
    let shape = b.shape(w).clone();
    let axis = shape.rank() - from_end;
    let apart = [&shape.dims()[..axis], dims, &shape.dims()[axis + 1..]].concat();
    let rank = apart.len();
    let apart = b.reshape(w, Shape::new(apart))?;
    let order = (0..axis).chain(perm.iter().map(|a| axis + a)).chain(axis + dims.len()..rank);
    let turned = b.transpose(apart, &order.collect::<Vec<_>>())?;
    b.reshape(turned, shape)
}

/// A product with weights whose result goes through maps of one large operand into a reshape.
struct Chain<'g> {
    product: Product,
    /// The maps between, nearest to the product first, with the operand that comes from it.
    maps: Vec<(&'g Node, ValueId)>,
}

/// The chain that ends in `v`, which `reader` alone reads.
fn product_behind_maps<'g>(g: &'g Graph, uses: &Uses, reader: &Node, v: ValueId) -> Option<Chain<'g>> {
    let (mut v, mut reader, mut maps) = (v, reader, Vec::new());
    loop {
        if !uses.only_by(reader, v) {
            return None;
        }
        let node = g.producer(v)?;
        if let Some(product) = Product::of(node) {
            let known = |v: &ValueId| g.constant(*v).is_some();
            let fits = product.kind == Kind::MatMul
                && product.has_weights(g)
                && product.residual.is_none()
                && product.bias.iter().all(known);
            maps.reverse();
            return fits.then_some(Chain { product, maps });
        }
        let Op::Map(e) = &node.op else { return None };
        let mut large = node.inputs.iter().filter(|i| g.constant(**i).is_none());
        let (Some(&x), None) = (large.next(), large.next()) else { return None };
        let by_column = |s: &Shape| s.dims().iter().rev().skip(1).all(|d| d.is(1));
        let constants = node.inputs.iter().filter(|i| **i != x).all(|i| by_column(g.shape(*i)));
        let counts = e.is_placed();
        if !constants || counts || g.shape(x) != g.shape(v) {
            return None;
        }
        maps.push((node, x));
        (v, reader) = (x, node);
    }
}

/// `Transpose(Reshape(maps(x · W + b)))`: the columns of `W`, `b` and the maps' constants in another order.
fn before(
    g: &Graph,
    r: &mut Rewriter<'_>,
    uses: &Uses,
    node: &Node,
    q: &[usize],
) -> Result<Option<Vec<ValueId>>, Invalid> {
    let image = node.inputs[0];
    let Some(spread @ Node { op: Op::Reshape(_), inputs: list, .. }) = g.producer(image) else {
        return Ok(None);
    };
    let (shape, flat) = (g.shape(image), g.shape(list[0]));
    let Some(first) = flattened(shape, flat) else { return Ok(None) };
    if !uses.only_by(node, image) || !permutes_only_from(&long_axes(q.iter().copied(), shape), first) {
        return Ok(None);
    }
    let Some(chain) = product_behind_maps(g, uses, spread, list[0]) else { return Ok(None) };
    let perm: Vec<_> = q.iter().filter(|&&a| a >= first).map(|a| a - first).collect();
    let dims = &shape.dims()[first..];
    let n = flat.dims().last().cloned();
    let columns = |b: &mut Builder, v: ValueId| -> Result<ValueId, Invalid> {
        if b.shape(v).dims().last().cloned() == n { permuted_axis(b, v, 1, dims, &perm) } else { Ok(v) }
    };
    let mut p = chain.product.moved(r)?;
    let b = &mut r.b;
    p.w = columns(b, p.w)?;
    p.bias = p.bias.map(|v| columns(b, v)).transpose()?;
    let mut y = p.push(b)?;
    for (map, x) in chain.maps {
        let mut operands = Vec::new();
        for &v in &map.inputs {
            let new = r.get(v)?;
            operands.push(if v == x { y } else { columns(&mut r.b, new)? });
        }
        y = r.b.one(map.op.clone(), &operands)?;
    }
    let to = g.shape(node.outputs[0]).clone();
    r.b.reshape(y, to).map(|v| Some(vec![v]))
}
