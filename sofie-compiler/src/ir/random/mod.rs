//! Random graphs for the tests of passes, plans and kernels, behind the feature `test-support`.
//!
//! Every graph verifies and evaluates: operands are made to fit, indices stay inside, and values stay in a range
//! where a pass may round otherwise without changing what follows. What such a pass could flip (a floor, a
//! comparison, a top-k) is applied only to values that nothing has rounded yet.
//!
//! ```
//! use sofie_infer_compiler::ir::{eval, random, verify};
//!
//! random::cases(10, |graph, u| {
//!     verify(graph).map_err(|e| e.to_string())?;
//!     let inputs = random::inputs(graph, u);
//!     eval::run(graph, &inputs).map(drop).map_err(|e| e.to_string())
//! });
//! ```

mod check;
mod elementwise;
mod indexing;
mod layers;
mod shaping;

use super::{Builder, Graph, Op, Shape, Tensor, ValueId};
use arbitrary::Unstructured;
pub use check::{compare, keeps_meaning, passes_keep_meaning, same_results};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Elements of the largest value.
const NUMEL: usize = 1 << 12;
/// The largest rank.
const RANK: usize = 5;
/// Magnitude of the floats in inputs and constants.
const LEAF: f64 = 4.0;

/// A graph of up to a dozen nodes over all operations: small shapes of ranks 0 to 5, some with extents of 0,
/// most element types, constants, shared values, several inputs and outputs.
pub fn graph(u: &mut Unstructured) -> Graph {
    let mut g = Gen { u, b: Builder::new(), values: Vec::new(), facts: BTreeMap::new(), inputs: 0 };
    g.leaf();
    let (mut left, mut tries) = (2 + g.below(14), 60);
    while left > 0 && tries > 0 {
        let step: fn(&mut Gen) -> Option<()> = match g.below(12) {
            0..4 => elementwise::step,
            4..7 => shaping::step,
            7 | 8 => indexing::step,
            9 | 10 => layers::step,
            _ => another_leaf,
        };
        // A step that does not fit the value it drew is left out.
        left -= usize::from(step(&mut g).is_some());
        tries -= 1;
    }
    for (i, v) in g.outputs().into_iter().enumerate() {
        g.b.output(&format!("y{i}"), v);
    }
    g.b.finish()
}

/// Values for a graph's inputs: multiples of 1/8 up to 4 in magnitude, integers up to 9. Symbols in their shapes
/// are drawn between 0 and 5, each once.
pub fn inputs(graph: &Graph, u: &mut Unstructured) -> Vec<Tensor> {
    filled(graph, u, false)
}

/// The same with NaN, infinities, negative zero and the extremes of the integers among them: for passes that
/// keep every bit.
pub fn special_inputs(graph: &Graph, u: &mut Unstructured) -> Vec<Tensor> {
    filled(graph, u, true)
}

fn filled(graph: &Graph, u: &mut Unstructured, special: bool) -> Vec<Tensor> {
    let extents: BTreeMap<_, _> = graph.symbols().into_iter().map(|s| (s, below(u, 6) as i64)).collect();
    let ports = graph.inputs().iter().map(|port| {
        let dims = graph.shape(port.value).dims().iter();
        let dims = dims.map(|d| d.eval(&|name| extents.get(name).copied()));
        let dims: Vec<_> = dims.map(|n| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0)).collect();
        tensor(below(u, 1 << 16) as u64, graph.dtype(port.value), &dims, special)
    });
    ports.collect()
}

/// Runs a check over `count` random graphs, always the same ones.
///
/// # Panics
/// When a check fails, with the graph of the shortest input that fails.
pub fn cases(count: u64, check: impl Fn(&Graph, &mut Unstructured) -> Result<(), String>) {
    for seed in 0..count {
        let mut noise = Noise(seed);
        let bytes: Vec<u8> = (0..512).flat_map(|_| noise.next().to_le_bytes()).collect();
        let run = |len: usize| {
            let mut u = Unstructured::new(&bytes[..len]);
            let graph = graph(&mut u);
            let checked = catch_unwind(AssertUnwindSafe(|| check(&graph, &mut u)));
            let failed = |e: String| format!("seed {seed}, {len} bytes: {e}\n{graph}");
            // INVARIANT: a panic of the check stays one; its message stands above.
            checked.unwrap_or_else(|_| panic!("{}", failed("the check panics".into()))).map_err(failed)
        };
        if let Err(first) = run(bytes.len()) {
            let shortest = (0..bytes.len()).find_map(|len| run(len).err());
            // INVARIANT: this is what a test calls.
            panic!("{}", shortest.unwrap_or(first));
        }
    }
}

/// Splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }
}

/// A number below `n`; 0 once the bytes have run out.
fn below(u: &mut Unstructured, n: usize) -> usize {
    u.int_in_range(0..=n.saturating_sub(1)).unwrap_or(0)
}

/// A tensor of small values, and of special ones if they are asked for.
fn tensor(seed: u64, dtype: DType, dims: &[usize], special: bool) -> Tensor {
    let mut noise = Noise(seed);
    let mut element = || {
        let r = noise.next();
        let float = (r % 65) as f64 / 8.0 - LEAF;
        let x = match dtype {
            _ if special && r >> 60 == 0 && dtype.is_float() => {
                [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0][(r >> 32) as usize % 4]
            }
            // Saturates: the largest and the smallest of the type.
            _ if special && r >> 60 == 0 => {
                if r >> 32 & 1 == 0 {
                    f64::INFINITY
                } else {
                    f64::NEG_INFINITY
                }
            }
            DType::Bool => (r & 1) as f64,
            _ if dtype.is_float() => float,
            _ if dtype.is_signed_int() => (r % 19) as f64 - 9.0,
            _ => (r % 10) as f64,
        };
        Scalar::from_f64(dtype, x).bits.to_le_bytes()
    };
    let count: usize = dims.iter().product();
    let bytes: Vec<u8> = (0..count).flat_map(|_| element()[..dtype.size()].to_vec()).collect();
    match Tensor::from_bytes(dtype, dims.to_vec(), bytes) {
        Some(t) => t,
        // INVARIANT: that many bytes were made above.
        None => unreachable!("one element for each index"),
    }
}

/// What is known of a value beyond its type and shape.
#[derive(Clone, Copy)]
struct Fact {
    /// No arithmetic has rounded it: another order of additions cannot change it.
    exact: bool,
    /// A bound of its magnitude, roughly.
    size: f64,
}

/// A graph that is being made.
struct Gen<'a, 'b> {
    u: &'a mut Unstructured<'b>,
    b: Builder,
    values: Vec<ValueId>,
    facts: BTreeMap<ValueId, Fact>,
    inputs: usize,
}

impl Gen<'_, '_> {
    fn below(&mut self, n: usize) -> usize {
        below(self.u, n)
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True once in `n` times, and not once the bytes have run out.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// A small extent, 0 now and then.
    fn extent(&mut self) -> usize {
        self.choose(&[2, 1, 3, 2, 5, 1, 4, 3, 2, 7, 1, 3, 17, 2, 4, 0])
    }

    fn dims(&mut self, rank: usize) -> Vec<usize> {
        let mut dims: Vec<usize> = (0..rank).map(|_| self.extent()).collect();
        while dims.iter().product::<usize>() > NUMEL / 8 {
            dims.iter_mut().for_each(|n| *n = n.div_ceil(2));
        }
        dims
    }

    fn dims_of(&self, v: ValueId) -> Vec<usize> {
        match self.b.shape(v).fixed() {
            Some(dims) => dims,
            // INVARIANT: only fixed extents are drawn.
            None => unreachable!("every shape here is fixed"),
        }
    }

    fn fact(&self, v: ValueId) -> Fact {
        self.facts[&v]
    }

    /// Whether arithmetic on the value stays in range.
    fn tame(&self, v: ValueId) -> bool {
        self.fact(v).size <= limit(self.b.dtype(v))
    }

    fn know(&mut self, v: ValueId, exact: bool, size: f64) -> ValueId {
        self.values.push(v);
        let size = if self.b.dtype(v) == DType::Bool { 1.0 } else { size };
        // A folded or unchanged value may be known already.
        self.facts.entry(v).or_insert(Fact { exact, size });
        v
    }

    /// Adds a node; its operands are made to fit, so a refusal is a mistake here or in `infer`.
    fn push(&mut self, op: Op, inputs: &[ValueId]) -> Vec<ValueId> {
        let shapes: Vec<_> = inputs.iter().map(|v| (self.b.dtype(*v), self.b.shape(*v).clone())).collect();
        match self.b.push(op.clone(), inputs) {
            Ok(results) => results,
            // INVARIANT: operands are made to fit; a test should fail where they do not.
            Err(e) => panic!("{op} over {shapes:?}: {e}"),
        }
    }

    /// Adds a node whose results are exact where its operands are, and as large as the largest of them.
    fn moved(&mut self, op: Op, inputs: &[ValueId]) -> Option<()> {
        let facts: Vec<_> = inputs.iter().map(|v| self.fact(*v)).collect();
        let size = facts.iter().map(|f| f.size).fold(0.0, f64::max);
        for v in self.push(op, inputs) {
            self.know(v, facts.iter().all(|f| f.exact), size);
        }
        Some(())
    }

    /// Adds a node that rounds, with results up to `size`.
    fn rounded(&mut self, op: Op, inputs: &[ValueId], size: f64) -> Option<()> {
        let size = if inputs.iter().all(|v| self.tame(*v)) { size } else { return None };
        for v in self.push(op, inputs) {
            let exact = !self.b.dtype(v).is_float();
            self.know(v, exact, size);
        }
        Some(())
    }

    /// Some value, seldom a constant, and a late one more often: graphs grow deep.
    fn any(&mut self) -> ValueId {
        self.find(|g, v| g.b.constant(v).is_none()).unwrap_or(self.values[0])
    }

    /// Some value that `fits`, a late one more often.
    fn find(&mut self, fits: impl Fn(&Self, ValueId) -> bool) -> Option<ValueId> {
        let found: Vec<ValueId> = self.values.iter().rev().copied().filter(|v| fits(self, *v)).collect();
        let near = if self.flip() { found.len() } else { found.len().min(3) };
        found.get(self.below(near)).copied()
    }

    /// A new input, while there are few, or constant.
    fn leaf_of(&mut self, dtype: DType, dims: &[usize]) -> ValueId {
        if self.rarely(3) {
            return self.input(dtype, dims);
        }
        let seed = self.below(1 << 16) as u64;
        let v = self.b.tensor(tensor(seed, dtype, dims, false));
        self.know(v, true, if dtype.is_float() { LEAF } else { 9.0 })
    }

    fn input(&mut self, dtype: DType, dims: &[usize]) -> ValueId {
        let v = self.b.input(&format!("x{}", self.inputs), dtype, Shape::of(dims));
        self.inputs += 1;
        self.know(v, true, if dtype.is_float() { LEAF } else { 9.0 })
    }

    /// A value of that type and shape: one that is there, or a new one.
    fn of(&mut self, dtype: DType, dims: &[usize]) -> ValueId {
        let fits =
            |g: &Self, v| g.tame(v) && g.b.dtype(v) == dtype && g.b.shape(v).fixed().as_deref() == Some(dims);
        let found = if self.rarely(3) { None } else { self.find(fits) };
        found.unwrap_or_else(|| self.leaf_of(dtype, dims))
    }

    /// What nobody reads, but no more than four of it, and now and then a value that is read, or one twice.
    fn outputs(&mut self) -> Vec<ValueId> {
        let uses = self.b.graph().use_counts();
        let unread = |v: &ValueId| {
            uses[v.index()] == 0 && self.b.graph().producer(*v).is_some() && self.b.constant(*v).is_none()
        };
        let mut outputs: Vec<ValueId> = self.values.iter().rev().copied().filter(unread).collect();
        outputs.dedup();
        outputs.truncate(4);
        if outputs.is_empty() || self.rarely(4) {
            outputs.push(self.any());
        }
        outputs
    }

    fn leaf(&mut self) -> ValueId {
        use DType::*;
        let others = [F64, I64, I32, F16, Bool, U8, BF16, I8, U64, I16];
        let dtype = if self.flip() { self.choose(&others) } else { F32 };
        let rank = self.below(RANK + 1);
        let dims = self.dims(rank);
        self.input(dtype, &dims)
    }

    /// A float value of a rank between the bounds on which arithmetic stays in range; a new one if need be.
    fn float(&mut self, ranks: std::ops::RangeInclusive<usize>) -> ValueId {
        let fits = |g: &Self, v| {
            g.b.dtype(v).is_float()
                && ranks.contains(&g.b.shape(v).rank())
                && g.tame(v)
                && g.b.constant(v).is_none()
        };
        self.find(fits).unwrap_or_else(|| {
            let rank = ranks.start() + self.below(ranks.end() - ranks.start() + 1);
            let dims = self.dims(rank);
            let dtype = self.choose(&[DType::F32, DType::F32, DType::F64, DType::F16]);
            self.input(dtype, &dims)
        })
    }
}

fn another_leaf(g: &mut Gen) -> Option<()> {
    g.leaf();
    Some(())
}

/// The magnitude up to which arithmetic on a type's values is applied.
fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e2,
        _ if dtype.is_float() => 1e3,
        _ => f64::INFINITY,
    }
}
