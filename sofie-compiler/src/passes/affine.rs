//! Affine maps (batch normalisation, scales, standardised inputs) go into the weights and bias of the
//! product before them, else of all the products behind them; two in a row become one.

use super::linear_form::LinearForm;
use super::pattern::{Kind, Product, Uses, likely_len, until_stable};
use crate::ir::{
    Builder, Dim, Epilogue, Graph, Inst, Invalid, MapExpr, Node, Op, ReduceKind, Rewriter, Shape, Tensor,
    ValueId,
};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;

/// Terms of all sums of a node up to which a multiplication more of each costs less than a map of the sums.
const FEW_TERMS: usize = 512;

/// Folds affine maps into products and into each other.
pub fn affine(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let (uses, users) = (Uses::of(g), g.users());
        Rewriter::run(g, |r, node| {
            if let Some(p) = Product::of(node) {
                return Ok(into_product_behind(g, r, p, &uses, &users)?.map(|v| vec![v]));
            }
            let Some(form) = LinearForm::of(g, node)? else { return Ok(None) };
            if !uses.only_by(node, form.x) {
                return alone(r, &form);
            }
            let x = r.get(form.x)?;
            if let Some(p) = Product::bare(r.b.graph(), x)
                && p.has_weights(r.b.graph())
                && form.is_by_column()
                && form.scale.iter().all(|t| t.to_f64s().iter().all(|s| s.is_finite()))
            {
                let origin = r.b.graph().producer(x).map(|n| n.origin.clone()).unwrap_or_default();
                r.b.set_origin(&origin);
                r.b.add_origin(&node.origin);
                return into_product_before(&mut r.b, p, &form).map(|v| Some(vec![v]));
            }
            if let Some(v) = into_terms(g, r, &form, &uses)? {
                r.b.add_origin(&node.origin);
                return Ok(Some(vec![v]));
            }
            let Some(before) = r.b.graph().producer(x).cloned() else { return alone(r, &form) };
            match LinearForm::of(r.b.graph(), &before)? {
                Some(first) if first.is_tame() => {
                    r.b.set_origin(&before.origin);
                    r.b.add_origin(&node.origin);
                    merged(&mut r.b, &first, &form).map(|v| Some(vec![v]))
                }
                _ => alone(r, &form),
            }
        })
    })
}

/// A sum times a number as the sum of its terms times that number, where a map makes them: one more instruction there
/// for one map less.
fn into_terms(
    g: &Graph,
    r: &mut Rewriter<'_>,
    form: &LinearForm,
    uses: &Uses,
) -> Result<Option<ValueId>, Invalid> {
    let Some(sum) = g.producer(form.x) else { return Ok(None) };
    let Op::Reduce(ReduceKind::Sum, axes) = &sum.op else { return Ok(None) };
    let terms = sum.inputs[0];
    let from_map = g.producer(terms).is_some_and(|n| matches!(n.op, Op::Map(_)));
    let few = likely_len(g.shape(terms)).is_some_and(|n| n <= FEW_TERMS);
    let number = form.scale.as_ref().and_then(Tensor::uniform).filter(|_| form.offset.is_none());
    let Some(number) = number.filter(|n| n.to_f64() != 0.0 && form.is_tame()) else { return Ok(None) };
    if !from_map || !few || !uses.only_by(sum, terms) {
        return Ok(None);
    }
    let x = r.get(terms)?;
    r.b.add_origin(&sum.origin);
    let scale = r.b.tensor(Tensor::filled(number, &vec![1; g.shape(terms).rank()]));
    let scaled = r.b.binary(Binary::Mul, x, scale)?;
    r.b.one(Op::Reduce(ReduceKind::Sum, axes.clone()), &[scaled]).map(Some)
}

/// A coefficient as a list of its columns (one, where it is the same for all).
fn columns(b: &mut Builder, t: &Tensor) -> Result<ValueId, Invalid> {
    let n = t.dims().last().copied().unwrap_or(1);
    let v = b.tensor(t.clone());
    b.reshape(v, Shape::of(&[n]))
}

/// A coefficient as a list of exactly `n` columns.
fn all_columns(b: &mut Builder, t: &Tensor, n: &Dim) -> Result<ValueId, Invalid> {
    let v = columns(b, t)?;
    b.broadcast(v, &Shape::new(vec![n.clone()]))
}

/// `act-free product * scale + offset` as a product with other weights and bias.
fn into_product_before(b: &mut Builder, mut p: Product, form: &LinearForm) -> Result<ValueId, Invalid> {
    let n = result_columns(b, &p)?;
    if let Some(scale) = &form.scale {
        let factor = columns(b, scale)?;
        let by_weight = match &p.kind {
            Kind::ConvTranspose(c) if c.group > 1 && !b.shape(factor)[0].is(1) => {
                // Filter m of group g scales by column g * (M / g) + m, for every channel of the group.
                let (dims, group) = (b.shape(p.w).clone(), Dim::from(c.group));
                let (channels, filters) = (&dims[dims.rank() - 2], &dims[dims.rank() - 1]);
                let each = channels.floor_div(&group)?;
                let apart = b.reshape(factor, Shape::new(vec![group.clone(), Dim::ONE, filters.clone()]))?;
                let full = b.broadcast(apart, &Shape::new(vec![group, each, filters.clone()]))?;
                b.reshape(full, Shape::new(vec![channels.clone(), filters.clone()]))?
            }
            _ => factor,
        };
        p.w = b.binary(Binary::Mul, p.w, by_weight)?;
        p.bias = match p.bias {
            Some(bias) => {
                let shape = Shape::new(vec![n.clone()]);
                let bias = b.reshape(bias, shape)?;
                Some(b.binary(Binary::Mul, bias, factor)?)
            }
            None => None,
        };
    }
    if let Some(offset) = &form.offset {
        let offset = all_columns(b, offset, &n)?;
        p.bias = Some(plus(b, p.bias, offset, &n)?);
    }
    p.push(b)
}

fn plus(b: &mut Builder, bias: Option<ValueId>, more: ValueId, n: &Dim) -> Result<ValueId, Invalid> {
    match bias {
        Some(bias) => {
            let bias = b.reshape(bias, Shape::new(vec![n.clone()]))?;
            b.binary(Binary::Add, bias, more)
        }
        None => Ok(more),
    }
}

/// The number of columns of a product's result.
fn result_columns(b: &Builder, p: &Product) -> Result<Dim, Invalid> {
    let m = b.shape(p.w).dims().last().cloned().ok_or_else(|| Invalid::new("weights without axes"))?;
    match &p.kind {
        Kind::ConvTranspose(c) => m.mul(&c.group.into()),
        _ => Ok(m),
    }
}

/// Whether a product that reads an affine map can take it into its weights: padding sees no offset.
fn absorbs(g: &Graph, node: &Node, v: ValueId, form: &LinearForm) -> bool {
    let Some(p) = Product::of(node) else { return false };
    let elsewhere = [Some(p.w), p.bias, p.residual].contains(&Some(v));
    let fits = match &p.kind {
        Kind::MatMul => true,
        Kind::Conv(c) => {
            let pads = c.window.pads_begin.iter().chain(&c.window.pads_end);
            form.offset.is_none() || pads.copied().all(|n| n == 0)
        }
        Kind::ConvTranspose(_) => false,
    };
    p.x == v && !elsewhere && fits && p.has_weights(g)
}

/// The product over the operand of the affine map that it reads, if all that read that map are products
/// that can take it.
fn into_product_behind(
    g: &Graph,
    r: &mut Rewriter<'_>,
    p: Product,
    uses: &Uses,
    users: &[Vec<crate::ir::NodeId>],
) -> Result<Option<ValueId>, Invalid> {
    let Some(map) = g.producer(p.x) else { return Ok(None) };
    let Some(form) = LinearForm::of(g, map)? else { return Ok(None) };
    let readers = &users[p.x.index()];
    let all_absorb = readers.iter().all(|n| absorbs(g, &g.nodes()[n.index()], p.x, &form));
    if !all_absorb || readers.len() != uses.count(p.x) || !form.is_by_column() || !form.is_tame() {
        return Ok(None);
    }
    let v = p.x;
    let mut new = p.moved(r)?;
    new.x = r.get(form.x)?;
    debug_assert!(g.shape(v) == r.b.shape(new.x));
    r.b.add_origin(&map.origin);
    let b = &mut r.b;
    let n = result_columns(b, &new)?;
    let w = new.w;
    if let Some(offset) = &form.offset {
        let more = match &new.kind {
            Kind::MatMul => {
                let dims = b.shape(w).dims();
                let k = dims[dims.len() - 2].clone();
                let row = all_columns(b, offset, &k)?;
                let row = b.to_rank(row, b.shape(w).rank())?;
                b.one(Op::MatMul(Epilogue::NONE), &[row, w])?
            }
            Kind::Conv(c) => {
                let by_weight = by_input_channel(b, offset, w, c.group)?;
                let terms = b.binary(Binary::Mul, w, by_weight)?;
                let axes = (0..b.shape(w).rank() - 1).collect();
                b.one(Op::Reduce(ReduceKind::Sum, axes), &[terms])?
            }
            Kind::ConvTranspose(_) => return Ok(None),
        };
        let more = b.reshape(more, Shape::new(vec![n.clone()]))?;
        new.bias = Some(plus(b, new.bias, more, &n)?);
    }
    if let Some(scale) = &form.scale {
        let group = if let Kind::Conv(c) = &new.kind { c.group } else { 1 };
        let by_weight = by_input_channel(b, scale, w, group)?;
        new.w = b.binary(Binary::Mul, w, by_weight)?;
    }
    new.push(b).map(Some)
}

/// A coefficient of each input channel as `[C / g, M]`, beside weights `[…, C / g, M]`; filter m belongs to
/// group m / (M / g).
fn by_input_channel(b: &mut Builder, t: &Tensor, w: ValueId, group: usize) -> Result<ValueId, Invalid> {
    let dims = b.shape(w).dims();
    let (c, m) = (dims[dims.len() - 2].clone(), dims[dims.len() - 1].clone());
    let group = Dim::from(group);
    let all = all_columns(b, t, &c.mul(&group)?)?;
    if group.is(1) {
        return b.reshape(all, Shape::new(vec![c, Dim::ONE]));
    }
    let apart = b.reshape(all, Shape::new(vec![group.clone(), c.clone()]))?;
    let apart = b.transpose(apart, &[1, 0])?;
    let apart = b.reshape(apart, Shape::new(vec![c.clone(), group.clone(), Dim::ONE]))?;
    let each = m.floor_div(&group)?;
    let full = b.broadcast(apart, &Shape::new(vec![c.clone(), group, each]))?;
    b.reshape(full, Shape::new(vec![c, m]))
}

/// The affine map of an affine map.
fn merged(b: &mut Builder, first: &LinearForm, second: &LinearForm) -> Result<ValueId, Invalid> {
    let mut tensor = |t: &Option<Tensor>| t.as_ref().map(|t| b.tensor(t.clone()));
    let (s, o) = (tensor(&first.scale), tensor(&first.offset));
    let (t, p) = (tensor(&second.scale), tensor(&second.offset));
    let mut both = |op: Binary, x: Option<ValueId>, y: Option<ValueId>| match (x, y) {
        (Some(x), Some(y)) => b.binary(op, x, y).map(Some),
        (x, y) => Ok(x.or(y)),
    };
    let scale = both(Binary::Mul, s, t)?;
    let moved = if o.is_some() { both(Binary::Mul, o, t)? } else { None };
    let offset = both(Binary::Add, moved, p)?;
    written(b, first.x, scale, offset)
}

/// A map of several steps that one step says.
fn alone(r: &mut Rewriter<'_>, form: &LinearForm) -> Result<Option<Vec<ValueId>>, Invalid> {
    if form.steps < 2 || !form.is_tame() {
        return Ok(None);
    }
    let x = r.get(form.x)?;
    let mut tensor = |t: &Option<Tensor>| t.as_ref().map(|t| r.b.tensor(t.clone()));
    let (scale, offset) = (tensor(&form.scale), tensor(&form.offset));
    written(&mut r.b, x, scale, offset).map(|v| Some(vec![v]))
}

/// `scale * x + offset` in its shortest form.
fn written(
    b: &mut Builder,
    x: ValueId,
    scale: Option<ValueId>,
    offset: Option<ValueId>,
) -> Result<ValueId, Invalid> {
    match (scale, offset) {
        (None, None) => Ok(x),
        (Some(s), None) => b.binary(Binary::Mul, x, s),
        (None, Some(o)) => b.binary(Binary::Add, x, o),
        (Some(s), Some(o)) => {
            let mut e = MapExpr::over(&[DType::F32; 3]);
            let [x_, s_, o_] = [e.push(Inst::Input(0))?, e.push(Inst::Input(1))?, e.push(Inst::Input(2))?];
            e.push(Inst::MulAdd(x_, s_, o_))?;
            b.map(e, &[x, s, o])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::eval;
    use sofie_infer_runtime::map::Unary;

    /// `sum(exp(x), axis 1) * scale` of `n` terms a row, and how many maps are left of it.
    fn maps_of_scaled_sum(n: usize, scale: f32) -> usize {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[3, n]));
        let terms = b.unary(Unary::Exp, x).unwrap();
        let sum = b.one(Op::Reduce(ReduceKind::Sum, vec![1]), &[terms]).unwrap();
        let scale = b.tensor(Tensor::of(&[1, 1], &[scale]));
        let y = b.binary(Binary::Mul, sum, scale).unwrap();
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        let x: Vec<f32> = (0..3 * n).map(|i| (i % 7) as f32 * 0.3 - 1.0).collect();
        let x = [Tensor::of(&[3, n], &x)];
        let (y, z) = (eval::run(&before, &x).unwrap(), eval::run(&after, &x).unwrap());
        for (y, z) in y[0].to_f64s().into_iter().zip(z[0].to_f64s()) {
            assert!((y - z).abs() <= 1e-5 * y.abs(), "{y} {z}");
        }
        after.nodes().iter().filter(|n| matches!(n.op, Op::Map(_))).count()
    }

    #[test]
    fn factors_of_short_sums_go_into_their_terms() {
        assert_eq!(maps_of_scaled_sum(20, 0.5), 1);
        assert_eq!(maps_of_scaled_sum(2000, 0.5), 2);
        assert_eq!(maps_of_scaled_sum(20, 0.0), 2);
    }
}
