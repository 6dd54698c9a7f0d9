//! One plan for all extents: the graph is planned at a few, the plans differ in numbers alone, and each number is a
//! polynomial in the extents, solved from those plans and checked on others.
//!
//! So the planner and the kernels' constructors know nothing of symbols, and what they decide is decided for extents
//! near the bounds, and generically: two numbers are equal there only where they are so at all extents. That the
//! family is a plan at any other extent, 0 and 1 among them, is proved where it is made (the checker, at the least
//! extents and some others) and in the tests (the evaluator's bits, at all small ones).

mod defined;
mod fit;
mod index;
mod numbers;
mod samples;
mod scratch;

pub use index::{Index, StepIndex};
pub use numbers::{Kind, Numbers};
pub use samples::{probes, symbols};

use super::memory::{ALIGN, Live, lower_bound, place};
use super::{Kernel, Plan, Root, Step, check, plan};
use crate::ir::{Dim, Extents, Graph, Invalid, Symbol, Valuation, shown_extents};
use fit::{Independent, Solver};
use std::sync::Arc;

/// Plans beside those that are solved from, which the polynomials must agree with.
const HELD_OUT: usize = 2;
/// Extents that are tried until enough plans of one structure are found, for each that is needed.
const TRIES: usize = 12;
/// Bytes of arena up to which a family is proved while it is made; a tag is kept for each.
const PROVED_BYTES: usize = 1 << 18;

/// The plans of one graph at all extents within the bounds.
#[derive(Clone, Debug)]
pub struct Family {
    /// The free extents, in order.
    pub symbols: Vec<Symbol>,
    /// The plan at extents near the bounds; buffers have the sizes and places of the bounds.
    pub template: Plan,
    /// Every number of the plan, in the order of [`Numbers`].
    pub numbers: Vec<Dim>,
    /// Where the numbers of each part stand.
    pub index: Index,
    /// Operations of each step; 0 where they are no polynomial.
    pub flop: Vec<Dim>,
    /// Those of the free extents that each session bounds: the template stands at extents that are large enough to
    /// choose kernels for, and where buffers lie is computed again when a session is made.
    pub open: Vec<Arc<str>>,
    /// The extents that values decide, in the order in which they are found.
    pub found: Vec<FoundAt>,
}

/// An extent that values decide.
#[derive(Clone, Debug)]
pub struct FoundAt {
    /// Its name and bounds.
    pub symbol: Symbol,
    /// The most that it can be, by the extents of the run.
    pub room: Dim,
    /// The step that finds it.
    pub step: usize,
}

impl Family {
    /// Plans a graph with symbols in its inputs' shapes.
    ///
    /// # Errors
    /// Where an extent has no upper bound, the graph is not defined for all extents within the bounds, no kernel
    /// serves an operation, or a number of the plan is no polynomial.
    pub fn new(graph: &Graph) -> Result<Family, Invalid> {
        Family::open(graph, Vec::new())
    }

    /// The same where each session bounds some of the extents.
    ///
    /// # Errors
    /// As [`Family::new`], or where the scratch of a kernel depends on such an extent in a way that is not followed.
    pub fn open(graph: &Graph, mut open: Vec<Arc<str>>) -> Result<Family, Invalid> {
        let symbols = symbols(graph);
        // There is as much room for what values decide as those extents give it.
        for found in graph.found() {
            if found.room.symbols().iter().any(|name| open.contains(name)) {
                open.push(found.symbol.name);
            }
        }
        open.retain(|name| symbols.iter().any(|s| s.name == *name));
        if let Some(s) = symbols.iter().find(|s| s.most == i64::MAX) {
            return Err(Invalid::new(format!("{} has no upper bound", s.name)));
        }
        let body = graph.nodes().iter().find(|n| !n.op.bodies().is_empty());
        if let Some(node) = body.filter(|_| !open.is_empty()) {
            let origin = node.origin.join(" + ");
            return Err(Invalid::new(format!(
                "{origin} runs a body by itself, which needs bounds of all extents"
            )));
        }
        defined::everywhere(graph, &symbols)?;
        let near: Vec<Symbol> =
            symbols.iter().map(|s| Symbol { most: nominal(s, &open), ..s.clone() }).collect();
        let (basis, plans) = plans(graph, &near)?;
        let mut family = solve(symbols, open, basis, plans)?;
        family.lay_out()?;
        family.prove(graph)?;
        Ok(family)
    }

    /// The plan at given extents, in the arena of the bounds.
    ///
    /// # Errors
    /// Where an extent is not known.
    pub fn at(&self, extents: &Extents) -> Result<Plan, Invalid> {
        let mut plan = self.template.clone();
        set(&mut plan, &self.numbers, extents)?;
        for step in &mut plan.steps {
            let reads = step.reads.iter_mut().flatten();
            for o in step.writes.iter_mut().chain(reads) {
                if o.holds.as_ref().is_some_and(|(_, layout)| layout.is_empty()) {
                    (o.start, o.len) = (0, 0);
                }
            }
            if let Some(b) = scratch_of(step)
                && let Some(o) = step.writes.last_mut()
            {
                o.len = plan.buffers[b].bytes / o.dtype.size();
            }
        }
        Ok(plan)
    }

    /// The extent that a step finds, where it is the first to do so.
    pub fn finds(&self, step: usize) -> Option<&Symbol> {
        self.found.iter().find(|f| f.step == step).map(|f| &f.symbol)
    }

    /// The descriptor of a step with its numbers replaced by what `value` makes of them.
    pub fn kernel_at(&self, step: usize, value: &mut dyn FnMut(&Dim) -> i64) -> Kernel {
        let mut kernel = self.template.steps[step].kernel.clone();
        let mut numbers = self.numbers[self.index.steps[step].kernel.clone()].iter();
        kernel.numbers(&mut |_, n| numbers.next().map_or(n, &mut *value));
        kernel
    }

    /// The least and the largest extents.
    pub fn corner(&self, most: bool) -> Extents {
        let of = |s: &Symbol| if most { nominal(s, &self.open) } else { s.least };
        self.symbols.iter().map(|s| (s.name.clone(), of(s))).collect()
    }

    /// What an extent or a size is at the most; with extents that sessions bound, what it is where kernels are chosen.
    pub(super) fn most(&self, d: &Dim) -> i64 {
        if self.open.is_empty() {
            return d.whole_range().1;
        }
        let corner = self.corner(true);
        d.eval(&|name| corner.get(name).copied()).unwrap_or(i64::MAX)
    }

    /// For each buffer the bytes that its operands reach to; nothing for scratch, whose size is no polynomial.
    pub fn ends(&self) -> Result<Vec<Vec<Dim>>, Invalid> {
        let mut ends = vec![Vec::new(); self.template.buffers.len()];
        let scratch: Vec<usize> = self.template.steps.iter().filter_map(scratch_of).collect();
        for (o, at) in self.index.operands(&self.template) {
            let Root::Buffer(b) = o.root else { continue };
            let end = self.numbers[at].add(&self.numbers[at + 1])?.mul(&o.dtype.size().into())?;
            if !scratch.contains(&b) && !ends[b].contains(&end) {
                ends[b].push(end);
            }
        }
        Ok(ends)
    }

    /// Gives every buffer the size that it needs at the most, and places all.
    fn lay_out(&mut self) -> Result<(), Invalid> {
        let limits = scratch::limits(self)?;
        for step in scratch::missing(self, &limits) {
            self.add_scratch(step);
        }
        let mut bytes = vec![0usize; self.template.buffers.len()];
        for (bytes, ends) in bytes.iter_mut().zip(self.ends()?) {
            for end in ends {
                let most = if self.open.is_empty() { end.range().1 } else { self.most(&end) };
                let most = usize::try_from(most).ok().filter(|n| *n < isize::MAX as usize);
                let most =
                    most.ok_or_else(|| Invalid::new("the bounds of the extents are larger than memory"))?;
                *bytes = (*bytes).max(most.next_multiple_of(ALIGN));
            }
        }
        for (step, limit) in self.template.steps.iter().zip(limits) {
            if let (Some(b), Some(o)) = (scratch_of(step), step.writes.last()) {
                bytes[b] = (limit * o.dtype.size()).next_multiple_of(ALIGN);
            }
        }
        let plan = &mut self.template;
        for (buffer, bytes) in plan.buffers.iter_mut().zip(bytes) {
            buffer.bytes = bytes;
        }
        let lives = |scratch: bool| -> Vec<Live> {
            let live = |b: &super::Buffer| Live {
                bytes: if b.scratch && !scratch { 0 } else { b.bytes },
                first: b.first,
                last: b.last,
            };
            plan.buffers.iter().map(live).collect()
        };
        let (offsets, arena_bytes) = place(&lives(true));
        let (_, without_scratch) = place(&lives(false));
        plan.bound_bytes = lower_bound(&lives(false));
        plan.arena_bytes = arena_bytes;
        plan.scratch_bytes = arena_bytes - without_scratch.min(arena_bytes);
        for (buffer, offset) in plan.buffers.iter_mut().zip(offsets) {
            buffer.offset = offset;
        }
        Ok(())
    }

    /// Gives a step scratch that needs none where the template stands.
    fn add_scratch(&mut self, step: usize) {
        let plan = &mut self.template;
        let Some(o) = plan.steps.get_mut(step).and_then(|step| step.writes.last_mut()) else { return };
        o.root = Root::Buffer(plan.buffers.len());
        plan.buffers.push(super::Buffer { bytes: 0, first: step, last: step, offset: 0, scratch: true });
    }

    /// Checks the plan at the least extents and at some others.
    fn prove(&self, graph: &Graph) -> Result<(), Invalid> {
        for extents in probes(&self.symbols, &graph.found(), 3) {
            let plan = self.at(&extents)?;
            let graph = graph.at(&extents)?;
            if plan.arena_bytes <= PROVED_BYTES {
                let at = |e: Invalid| Invalid::new(format!("at {}: {e}", shown_extents(&extents)));
                check::check(&graph, &plan).map_err(at)?;
            }
        }
        Ok(())
    }
}

/// The largest extent of a symbol; of one that sessions bound an extent that is large enough to choose kernels for.
fn nominal(s: &Symbol, open: &[Arc<str>]) -> i64 {
    const NOMINAL: i64 = 128;
    if open.contains(&s.name) { s.least.saturating_add(samples::ROOM).max(NOMINAL) } else { s.most }
}

/// The buffer of a step's scratch, which has the same size at all extents.
pub fn scratch_of(step: &Step) -> Option<usize> {
    match (step.kernel.takes_scratch(), step.writes.last()?.root) {
        (true, Root::Buffer(b)) => Some(b),
        _ => None,
    }
}

/// A plan at known values of the extents' atoms.
struct Sample {
    values: Valuation,
    plan: Plan,
}

/// Plans of one structure.
struct Alike {
    structure: Plan,
    independent: Independent,
    /// At independent extents, as many as there are monomials in the end.
    solved: Vec<Sample>,
    held_out: Vec<Sample>,
}

impl Alike {
    fn add(&mut self, sample: Sample, row: &[i64], monomials: usize) {
        if self.solved.len() < monomials && self.independent.add(row) {
            self.solved.push(sample);
        } else if self.held_out.len() < HELD_OUT {
            self.held_out.push(sample);
        }
    }

    fn is_complete(&self, monomials: usize) -> bool {
        self.solved.len() == monomials && self.held_out.len() == HELD_OUT
    }
}

/// Plans of one structure: as many as there are monomials, at which those are independent, then those held out.
fn plans(graph: &Graph, symbols: &[Symbol]) -> Result<(Vec<Dim>, Vec<Sample>), Invalid> {
    let basis = fit::basis(graph)
        .ok_or_else(|| Invalid::new("the shapes are made of too many different products of extents"))?;
    let wanted = basis.len() + HELD_OUT;
    let mut kinds: Vec<Alike> = Vec::new();
    let mut failed = None;
    for values in samples::candidates(graph, symbols, &basis, TRIES * wanted) {
        let Some(row) = fit::row(&basis, &values) else { continue };
        // Candidates beyond close bounds need not mean anything.
        let plan = match graph.valued(&values).and_then(|graph| plan(&graph)) {
            Ok(plan) => plan,
            Err(e) => {
                failed = Some(e);
                continue;
            }
        };
        let structure = skeleton(&plan);
        let known = kinds.iter().position(|kind| kind.structure == structure);
        let at = known.unwrap_or_else(|| {
            let independent = Independent::default();
            kinds.push(Alike { structure, independent, solved: Vec::new(), held_out: Vec::new() });
            kinds.len() - 1
        });
        kinds[at].add(Sample { values, plan }, &row, basis.len());
        if kinds[at].is_complete(basis.len()) {
            let Alike { mut solved, held_out, .. } = kinds.swap_remove(at);
            solved.extend(held_out);
            return Ok((basis, solved));
        }
    }
    Err(match (kinds.len(), failed) {
        (0, Some(e)) => e,
        (0 | 1, _) => Invalid::new("too few different extents are within the bounds"),
        _ => Invalid::new("other kernels are chosen for some of the extents than for others"),
    })
}

/// What plans of one structure have in common: everything but the numbers, and where buffers are.
fn skeleton(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.numbers(&mut |_, _| 0);
    for buffer in &mut plan.buffers {
        (buffer.bytes, buffer.offset) = (0, 0);
    }
    (plan.arena_bytes, plan.bound_bytes, plan.scratch_bytes) = (0, 0, 0);
    plan
}

fn solve(
    symbols: Vec<Symbol>,
    open: Vec<Arc<str>>,
    basis: Vec<Dim>,
    samples: Vec<Sample>,
) -> Result<Family, Invalid> {
    let list = |plan: &Plan| {
        let mut all = Vec::new();
        plan.clone().numbers(&mut |_, n| {
            all.push(n);
            n
        });
        all
    };
    let values: Vec<Vec<i64>> = samples.iter().map(|s| list(&s.plan)).collect();
    let count = values.iter().map(Vec::len).min().unwrap_or(0);
    if values.iter().any(|v| v.len() != count) {
        return Err(Invalid::new("plans of one structure hold different numbers"));
    }
    let n = basis.len();
    let rows: Option<Vec<Vec<i64>>> = samples[..n].iter().map(|s| fit::row(&basis, &s.values)).collect();
    let solver = rows.and_then(|rows| Solver::new(basis, &rows));
    let solver =
        solver.ok_or_else(|| Invalid::new("the extents that were planned at are not independent"))?;
    let template = &samples[0].plan;
    let index = Index::new(template);
    let scratch: Vec<usize> = template
        .steps
        .iter()
        .zip(&index.steps)
        .filter(|(step, _)| scratch_of(step).is_some())
        .filter_map(|(_, at)| at.writes.last().map(|first| first + 1))
        .collect();
    let mut numbers = Vec::with_capacity(count);
    for i in 0..count {
        let of: Vec<i64> = values.iter().map(|v| v[i]).collect();
        if scratch.contains(&i) || of.iter().all(|x| *x == of[0]) {
            numbers.push(Dim::Fixed(of[0]));
            continue;
        }
        let agrees = |d: &Dim| samples.iter().zip(&of).all(|(s, n)| fit::value(d, &s.values) == Some(*n));
        let number = solver.solve(&of[..n]).filter(agrees);
        numbers.push(number.ok_or_else(|| unsolved(template, &index, i))?);
    }
    let flop = (0..template.steps.len()).map(|step| {
        let flop = |s: &Sample| s.plan.steps.get(step).and_then(|step| i64::try_from(step.cost().flop).ok());
        let of: Option<Vec<i64>> = samples.iter().map(flop).collect();
        let agrees =
            |d: &Dim, of: &[i64]| samples.iter().zip(of).all(|(s, n)| fit::value(d, &s.values) == Some(*n));
        of.and_then(|of| solver.solve(&of[..n]).filter(|d| agrees(d, &of))).unwrap_or(Dim::Fixed(0))
    });
    let flop = flop.collect();
    let mut found: Vec<FoundAt> = Vec::new();
    for (step, at) in index.steps.iter().enumerate() {
        let [extent, room] = &numbers[at.kernel.clone()] else { continue };
        let is_found = matches!(template.steps[step].kernel, Kernel::Found(_));
        if let Some(symbol) = extent.as_symbol().filter(|s| is_found && found.iter().all(|f| f.symbol != **s))
        {
            found.push(FoundAt { symbol: symbol.clone(), room: room.clone(), step });
        }
    }
    let template = samples.into_iter().next().map(|s| s.plan).unwrap_or_default();
    Ok(Family { symbols, template, numbers, index, flop, open, found })
}

/// Which step the number is of that is no polynomial.
fn unsolved(plan: &Plan, index: &Index, number: usize) -> Invalid {
    let step = index.steps.iter().rposition(|s| s.kernel.start <= number);
    let origin = step.and_then(|i| plan.steps.get(i)).map(|s| s.origin.join(" + ")).unwrap_or_default();
    Invalid::new(format!("how {origin} works on its operands is no polynomial of the extents"))
}

fn set(plan: &mut Plan, numbers: &[Dim], extents: &Extents) -> Result<(), Invalid> {
    let mut next = numbers.iter();
    let mut unknown = None;
    plan.numbers(&mut |_, n| {
        let Some(d) = next.next() else { return n };
        d.eval(&|name| extents.get(name).copied()).unwrap_or_else(|| {
            unknown = Some(d.clone());
            n
        })
    });
    match unknown {
        Some(d) => Err(Invalid::new(format!("{d} has no value at {}", shown_extents(extents)))),
        None => Ok(()),
    }
}
