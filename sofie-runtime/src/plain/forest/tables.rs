//! The tables of a forest from those of [`Trees`](super::super::Trees), worked out while compiling.

use alloc::vec::Vec;
use core::ops::Range;

use super::super::trees::{MISSING_HOLDS, Test};
use super::Tree;
use super::masks::{WORD, entry};

/// Leaves of a tree beyond which rows walk: with 127, unbalanced, all nodes take two thirds of the time of walks; with 255 as
/// much, and in balanced trees more.
const MOST_LEAVES: usize = 128;

/// The operands of a forest behind `x`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForestTables {
    /// Five numbers a tree.
    pub trees: Vec<u32>,
    /// Nodes of three or four numbers.
    pub nodes: Vec<u32>,
    /// Where the entries of each word start.
    pub words: Vec<u32>,
    /// Entries of three or four numbers.
    pub entries: Vec<u32>,
    /// Of each leaf in order, its range among the votes as they were.
    pub leaves: Vec<[u32; 2]>,
    /// Whether some node sends a missing value where its test holds.
    pub missing: bool,
}

/// What the trees are: the tables of [`Trees`](super::super::Trees).
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whether operands are of `f64`, or of `f32`, to which the thresholds are rounded.
    pub wide: bool,
    /// Elements of a row.
    pub features: usize,
    /// The first node of each tree.
    pub roots: &'a [u32],
    /// Of each node its [`Test`].
    pub tests: &'a [u8],
    /// Of each node the element of a row.
    pub feature: &'a [u32],
    /// Of each node what it is compared with.
    pub thresholds: &'a [f64],
    /// Where the test holds, and where not; of a leaf its votes.
    pub children: &'a [[u32; 2]],
    /// The targets of the votes.
    pub targets: &'a [u32],
}

/// A node that asks `x ≤ threshold`.
struct Question {
    /// Bits of the threshold.
    bits: u64,
    /// Which element of a row's copies.
    feature: u32,
    /// Where that holds, and where not.
    next: [u32; 2],
}

impl Asked<'_> {
    /// A node as a question, or `None` for what is no such question.
    fn question(&self, node: usize) -> Option<Question> {
        let asks = self.tests[node];
        let test = [Test::Le, Test::Lt, Test::Ge, Test::Gt].into_iter().find(|t| *t as u8 == asks & !MISSING_HOLDS)?;
        // `x < t` is `x ≤` the number below `t`, and never where there is none; `x ≥ t` and `x > t` are the others' contraries.
        let t = if self.wide { self.thresholds[node] } else { f64::from(self.thresholds[node] as f32) };
        let strict = matches!(test, Test::Lt | Test::Ge);
        let never = t.is_nan() || strict && t == f64::NEG_INFINITY;
        let bits = match (self.wide, strict) {
            _ if never => if self.wide { f64::NAN.to_bits() } else { f32::NAN.to_bits().into() },
            (true, false) => t.to_bits(),
            (true, true) => t.next_down().to_bits(),
            (false, false) => (t as f32).to_bits().into(),
            (false, true) => (t as f32).next_down().to_bits().into(),
        };
        let swapped = matches!(test, Test::Ge | Test::Gt);
        let missing_first = (asks & MISSING_HOLDS != 0) != swapped;
        let [yes, no] = self.children[node];
        // Whatever stands for NaN is not at most NaN.
        if never && (missing_first || t.is_nan() && swapped) {
            return None;
        }
        let feature = self.feature[node].checked_add(if missing_first { u32::try_from(self.features).ok()? } else { 0 })?;
        Some(Question { bits, feature, next: if swapped { [no, yes] } else { [yes, no] } })
    }
}

/// The bits of word `w` that stand for the first `n` leaves.
fn first_bits(n: usize, w: usize) -> u32 {
    let n = n.saturating_sub(w * WORD).min(WORD);
    ((1u64 << n) - 1) as u32
}

/// The nodes of a tree in their new order, and of each the place of its children, which are side by side: two levels of a
/// subtree together, which is about a cache line. `None` where they are more than `most`.
fn order(root: u32, questions: &[Option<Question>], most: usize) -> Option<(Vec<u32>, Vec<usize>)> {
    let (mut order, mut child) = (alloc::vec![root], alloc::vec![0]);
    let mut stack = alloc::vec![0];
    while let Some(top) = stack.pop() {
        let mut level = alloc::vec![top];
        for _ in 0..2 {
            let mut below = Vec::new();
            for node in level {
                child[node] = order.len();
                if let Some(q) = &questions[order[node] as usize] {
                    below.extend([order.len(), order.len() + 1]);
                    order.extend(q.next);
                    child.extend([0; 2]);
                }
            }
            level = below;
        }
        stack.extend(level.into_iter().rev());
        if order.len() > most {
            return None;
        }
    }
    Some((order, child))
}

/// The tables of a forest, or `None` where a node asks what a forest does not, or trees share so much that they would grow.
#[must_use]
pub fn forest_tables(asked: &Asked<'_>) -> Option<ForestTables> {
    let is_leaf = |node: u32| asked.tests[node as usize] == Test::Leaf as u8;
    let mut questions = Vec::new();
    for node in 0..asked.tests.len() {
        questions.push(if is_leaf(node as u32) { None } else { Some(asked.question(node)?) });
    }
    let features = u32::try_from(asked.features).ok()?;
    let missing = questions.iter().flatten().any(|q| q.feature >= features);
    let lowest = features.checked_mul(if missing { 2 } else { 1 })?;
    let mut made = ForestTables { missing, words: alloc::vec![0], ..ForestTables::default() };
    let width = entry(asked.wide);
    let record = |to: &mut Vec<u32>, bits: u64, feature: u32, last: u32| {
        to.push(bits as u32);
        to.extend((width > 3).then_some((bits >> 32) as u32));
        to.extend([feature, last]);
    };
    for &root in asked.roots {
        let (first_node, first_leaf) = (made.nodes.len() / width, made.leaves.len());
        let (order, child) = order(root, &questions, 2 * asked.tests.len() - first_node)?;
        // Leaves from left to right, and of each node those below it.
        let mut below: Vec<Range<usize>> = alloc::vec![0..0; order.len()];
        let (mut stack, mut leaves) = (alloc::vec![(0, false)], 0);
        while let Some((node, done)) = stack.pop() {
            if is_leaf(order[node]) {
                below[node] = leaves..leaves + 1;
                made.leaves.push(asked.children[order[node] as usize]);
                leaves += 1;
            } else if done {
                below[node] = below[child[node]].start..below[child[node] + 1].end;
            } else {
                stack.extend([(node, true), (child[node] + 1, false), (child[node], false)]);
            }
        }
        for (node, old) in order.iter().enumerate() {
            match &questions[*old as usize] {
                Some(q) => record(&mut made.nodes, q.bits, q.feature, (first_node + child[node]) as u32),
                None => record(&mut made.nodes, (first_leaf + below[node].start) as u64, lowest, (first_node + node) as u32),
            }
        }
        let mut target = Tree::MANY;
        let votes = &made.leaves[first_leaf..];
        let of = |l: &[u32; 2]| (l[1] == l[0] + 1).then(|| asked.targets.get(l[0] as usize).copied()).flatten();
        if let Some(first) = of(&votes[0])
            && votes.iter().all(|l| of(l) == Some(first))
        {
            target = first;
        }
        let word = made.words.len() - 1;
        let words = if leaves <= MOST_LEAVES { leaves.div_ceil(WORD) } else { 0 };
        for w in 0..words {
            for (node, old) in order.iter().enumerate() {
                let Some(q) = &questions[*old as usize] else { continue };
                let ruled_out = &below[child[node]];
                let bits = first_bits(ruled_out.end, w) & !first_bits(ruled_out.start, w);
                if bits != 0 {
                    record(&mut made.entries, q.bits, q.feature, !bits);
                }
            }
            made.words.push((made.entries.len() / width) as u32);
        }
        made.trees.extend([first_node, word, words, first_leaf].map(|n| n as u32));
        made.trees.push(target);
    }
    // Only then does a vote have its leaf's number.
    if made.leaves.iter().any(|[a, b]| b - a != 1) {
        made.trees.chunks_exact_mut(5).for_each(|tree| tree[4] = Tree::MANY);
    }
    Some(made)
}
