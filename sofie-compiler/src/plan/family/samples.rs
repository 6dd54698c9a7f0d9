//! Extents to plan at: near the upper bounds, since kernels are chosen for those, and generic, so that no number
//! meets another by chance. What follows from a symbol otherwise than as a polynomial, such as `floor(n / 2)`, counts as
//! independent: for even `n` its rows would meet others that they do not meet for odd ones.

use crate::ir::{Atom, Dim, Extents, Found, Graph, Symbol, Valuation};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The least number of values to choose from, beyond the bounds where they are close.
pub const ROOM: i64 = 40;

/// The symbols of the graph's inputs, and those that values decide, with their bounds, in order.
pub fn symbols(graph: &Graph) -> Vec<Symbol> {
    let dims = graph.inputs().iter().flat_map(|i| graph.shape(i.value).dims());
    let mut symbols: Vec<Symbol> = dims.filter_map(|d| d.as_symbol().cloned()).collect();
    symbols.extend(graph.found().into_iter().map(|f| f.symbol));
    symbols.sort();
    symbols.dedup();
    symbols
}

/// A generator of numbers that are the same at each run.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number from `least` to `most`.
    pub fn within(&mut self, least: i64, most: i64) -> i64 {
        // Xorshift, Marsaglia 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let room = most.saturating_sub(least).max(0) as u64 + 1;
        least + (self.0 % room) as i64
    }
}

/// The extents that the graph's shapes hold as numbers.
fn fixed(graph: &Graph) -> BTreeSet<i64> {
    graph.values().iter().flat_map(|v| v.shape.dims()).filter_map(Dim::fixed).collect()
}

/// Candidates: all symbols in the upper halves of their ranges, apart from each other and from the numbers in the graph,
/// and the other atoms of `basis` not far from what they are then.
pub fn candidates(graph: &Graph, symbols: &[Symbol], basis: &[Dim], count: usize) -> Vec<Valuation> {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let taken = fixed(graph);
    let range = |s: &Symbol| {
        let least = s.least.max(3).max(s.most / 2 + 1);
        (least, if s.most - least < ROOM { least + ROOM } else { s.most })
    };
    let monomials = basis.iter().flat_map(Dim::monomials).flat_map(|(m, _)| m);
    let mut atoms: Vec<Atom> = monomials.map(|(atom, _)| atom).collect();
    atoms.sort();
    atoms.dedup();
    let mut all = Vec::new();
    for _ in 0..count {
        let (mut extents, mut values) = (Extents::new(), Valuation::new());
        for symbol in symbols {
            let (least, most) = range(symbol);
            let mut n = random.within(least, most);
            for _ in 0..32 {
                if !taken.contains(&n) && !extents.values().any(|m| *m == n) {
                    break;
                }
                n = random.within(least, most);
            }
            extents.insert(symbol.name.clone(), n);
        }
        for atom in &atoms {
            let d = Dim::of_monomials([(vec![(atom.clone(), 1)], 1)]);
            let Some(n) = d.eval(&|name| extents.get(name).copied()) else { continue };
            let away = if matches!(atom, Atom::Symbol(_)) { 0 } else { random.within(1, 6) };
            values.insert(atom.clone(), n.max(1) + away);
        }
        all.push(values);
    }
    all
}

/// Extents inside the bounds to prove a family at: the least, small ones, and a few others. What values decide is no more
/// than there is room for, and all of it in one of them.
pub fn probes(symbols: &[Symbol], found: &[Found], count: usize) -> Vec<Extents> {
    let mut random = Random::new(0x2545_f491_4f6c_dd1d);
    let at = |f: &mut dyn FnMut(&Symbol) -> i64| -> Extents {
        symbols.iter().map(|s| (s.name.clone(), f(s).clamp(s.least, s.most))).collect()
    };
    let mut all = vec![at(&mut |_| 0), at(&mut |_| 1), at(&mut |_| 2)];
    all.extend((0..count).map(|_| at(&mut |s| random.within(s.least, s.least.saturating_add(6)))));
    if let (Some(last), false) = (all.last().cloned(), found.is_empty()) {
        let full = |(name, n): (Arc<str>, i64)| {
            let is_found = found.iter().any(|f| f.symbol.name == name);
            (name, if is_found { i64::MAX } else { n })
        };
        all.push(last.into_iter().map(full).collect());
    }
    // One may limit another that is found before it.
    for _ in 0..=found.len() {
        for extents in &mut all {
            for f in found {
                for room in f.limits.iter().chain([&f.room]) {
                    let room = room.eval(&|name| extents.get(name).copied()).unwrap_or(0);
                    extents.entry(f.symbol.name.clone()).and_modify(|n| *n = (*n).min(room));
                }
            }
        }
    }
    all.dedup();
    all
}
