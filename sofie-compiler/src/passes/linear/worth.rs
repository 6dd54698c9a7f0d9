//! Whether a product is taken apart: it must keep its digits, and pay.

use super::super::pattern::{Product, Uses};
use super::terms::{Group, Likely, Search, Term};
use crate::ir::{Graph, Inst, MapExpr, Op, ReduceKind, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use std::collections::BTreeMap;

/// Nanoseconds of a multiplication and addition (a core here makes 57 of them a nanosecond).
const MULTIPLY: f64 = 0.018;
/// Nanoseconds an element of a term that is added to a result: read where an index says, added, stored
/// (measured, as those below, on the maps and gathers of ParticleNet).
const ADD: f64 = 0.15;
/// Nanoseconds an element of rows that are collected before they are multiplied.
const COLLECT: f64 = 0.1;
/// Nanoseconds a row of those, however short.
const ROW: f64 = 6.0;
/// Nanoseconds of one step more.
const STEP: f64 = 150.0;
/// How much larger the products that are subtracted may be than the products that were there before.
const GROWTH: f32 = 64.0;
/// How far back it is asked whether a value is rounded.
const DEPTH: usize = 32;

/// The groups that a product is to be made of, if that is better than the product as it is.
pub fn worth_it(g: &Graph, likely: &Likely, uses: &Uses, p: &Product) -> Option<Vec<Group>> {
    let weights = g.constant(p.w)?.to_vec::<f32>()?;
    let n = *g.shape(p.w).fixed()?.last()?;
    let (m, k) = likely.rows(g.shape(p.x))?;
    let mut search = Search { graph: g, likely, whole: Vec::new() };
    loop {
        let terms = search.terms(p.x)?;
        let lost = lossy(g, &terms, &weights, n);
        if lost.is_empty() {
            let groups = grouped(g, likely, &terms, m)?;
            return pays(g, uses, p, &groups, [m, k, n]).then_some(groups);
        }
        // Differences that would lose digits stay as they are.
        search.whole.extend(lost);
    }
}

fn grouped(g: &Graph, likely: &Likely, terms: &[Term], m: usize) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for t in terms {
        let place = (t.offset, t.factor);
        match groups.iter_mut().find(|o| o.base == t.base && o.path == t.path) {
            Some(group) => group.at.push(place),
            None => {
                let (rows, width) = likely.rows(g.shape(t.base))?;
                groups.push(Group {
                    base: t.base,
                    path: t.path.clone(),
                    width,
                    rows,
                    at: vec![place],
                    moves: rows < m && g.shape(t.base).rank() >= 2,
                });
            }
        }
    }
    Some(groups)
}

/// Whether the sum of the groups' products takes less time than the product of their rows.
fn pays(g: &Graph, uses: &Uses, p: &Product, groups: &[Group], extents: [usize; 3]) -> bool {
    if !groups.iter().any(|o| o.moves) {
        return false;
    }
    let [m, k, n] = extents.map(|n| n as f64);
    let once = uses.count(p.x) == 1 && g.constant(p.x).is_none();
    let collected = if once { m * (k * COLLECT + ROW) } else { 0.0 };
    let before = m * k * n * MULTIPLY + collected;
    let (mut after, mut kept) = (0.0, 0);
    for o in groups {
        if o.moves {
            let constant = g.constant(o.base).is_some();
            let product = if constant { 0.0 } else { (o.rows * o.width) as f64 * n * MULTIPLY + STEP };
            after += product + m * n * ADD;
        } else {
            kept += 1;
            after += m * n * o.width as f64 * MULTIPLY;
        }
    }
    if kept > 1 {
        after += m * (k * COLLECT + ROW);
    }
    after + STEP < before
}

/// The maps whose differences a sum of products would lose digits of.
///
/// `W2·(x_j - x_i)` may be much smaller than `W2·x_j` is: where x has a large offset, its rounding errors are as
/// large as the result. Two things make that harmless. A value that arithmetic made has rounding errors of its
/// own that are as large, and the difference has them too ([`is_rounded`]). And where x itself is multiplied by
/// weights that are not much smaller, as EdgeConv does, the result has the offset, and its rounding errors,
/// anyway ([`keeps_digits`]). Raw coordinates of which only differences are used stay as they are.
fn lossy(g: &Graph, terms: &[Term], weights: &[f32], n: usize) -> Vec<ValueId> {
    let mut by_base: BTreeMap<ValueId, Vec<&Term>> = BTreeMap::new();
    terms.iter().for_each(|t| by_base.entry(t.base).or_default().push(t));
    let mut lost = Vec::new();
    for (base, of_base) in by_base {
        let maps = of_base.iter().filter_map(|t| t.through);
        if !is_rounded(g, base, DEPTH) && !keeps_digits(&of_base, terms, weights, n) {
            lost.extend(maps);
        }
    }
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// Whether, for each column of a base, the weights that it gets are not much larger than those that it is
/// multiplied with outside of differences.
fn keeps_digits(of_base: &[&Term], all: &[Term], weights: &[f32], n: usize) -> bool {
    let overlaps = |t: &Term, o: &Term| t.offset < o.offset + o.width && o.offset < t.offset + t.width;
    let in_difference = |t: &Term| all.iter().any(|o| overlaps(t, o) && o.factor * t.factor < 0.0);
    let width = of_base.first().map_or(0, |t| t.width);
    let largest = |row: usize| weights[row * n..(row + 1) * n].iter().fold(0.0f32, |m, w| m.max(w.abs()));
    (0..width).all(|c| {
        let size = |t: &&Term| t.factor.abs() * largest(t.offset + c);
        let everywhere: f32 = of_base.iter().map(size).sum();
        let alone: f32 = of_base.iter().filter(|t| !in_difference(t)).map(size).sum();
        everywhere <= GROWTH * alone
    })
}

/// Whether arithmetic has rounded a value, by as much as its own magnitude asks for.
fn is_rounded(g: &Graph, v: ValueId, depth: usize) -> bool {
    let Some(node) = g.producer(v) else { return false };
    if depth == 0 {
        return false;
    }
    let floats = || node.inputs.iter().filter(|v| g.dtype(**v) == DType::F32 && g.constant(**v).is_none());
    let all = || floats().count() > 0 && floats().all(|v| is_rounded(g, *v, depth - 1));
    let any = || floats().any(|v| is_rounded(g, *v, depth - 1));
    match &node.op {
        Op::MatMul(_) | Op::Conv(..) | Op::ConvTranspose(..) | Op::Rows(_) => true,
        Op::Recurrent(_) | Op::Attention(_) | Op::Interpolate(_) => true,
        Op::Reduce(kind, _) => !matches!(kind, ReduceKind::Max | ReduceKind::Min) || all(),
        Op::Map(e) => rounds(e) || all() || (multiplies(e) && any()),
        // What only moves elements, or picks them.
        _ => all(),
    }
}

/// Whether an expression rounds whatever it reads.
fn rounds(e: &MapExpr) -> bool {
    let last = e.insts().last();
    let rounding = |op: &Unary| !matches!(op, Unary::Neg | Unary::Abs | Unary::Relu | Unary::Sign);
    match last {
        Some(Inst::MulAdd(..) | Inst::Binary(Binary::Div | Binary::Pow, ..)) => true,
        Some(Inst::Unary(op, _)) => rounding(op) && e.reg_type(e.insts().len() - 1) == Some(DType::F32),
        Some(Inst::Binary(Binary::Mul, _, b)) => matches!(e.insts()[*b], Inst::Const(_)),
        _ => false,
    }
}

/// Whether an expression is a product: it keeps the relative error of either factor.
fn multiplies(e: &MapExpr) -> bool {
    e.insts().iter().all(|i| matches!(i, Inst::Input(_) | Inst::Binary(Binary::Mul, ..)))
}
