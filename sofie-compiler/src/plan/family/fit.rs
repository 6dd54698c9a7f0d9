//! Numbers that are seen at several extents as polynomials: over the monomials that the shapes of the graph are made
//! of, solved exactly, and believed only where further samples agree.

use crate::ir::{Dim, Graph, Monomial, Op, Valuation};
use std::collections::BTreeSet;

/// A prime: the coefficients are small, so that arithmetic modulo it is exact where there is a solution in integers.
const PRIME: i128 = (1 << 61) - 1;
/// The largest coefficient that is believed.
const LARGEST: i128 = 1 << 40;
/// More monomials than this are too many to solve for.
const MOST: usize = 48;

fn modulo(n: i128) -> i128 {
    n.rem_euclid(PRIME)
}

fn power(mut base: i128, mut exponent: i128) -> i128 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = modulo(result * base);
        }
        base = modulo(base * base);
        exponent >>= 1;
    }
    result
}

fn inverse(n: i128) -> i128 {
    power(modulo(n), PRIME - 2)
}

/// The monomials that numbers of a plan can be made of: those of the products of any axes of a value, and their
/// factors. `None` where they are too many.
pub fn basis(graph: &Graph) -> Option<Vec<Dim>> {
    let mut monomials: BTreeSet<Monomial> = BTreeSet::from([Monomial::new()]);
    let mut seen = BTreeSet::new();
    let values = graph.values().iter().map(|v| v.shape.dims().iter().collect::<Vec<&Dim>>());
    // Where a slice or a border begins counts in elements of the whole.
    let begins = graph.nodes().iter().filter_map(|node| {
        let dims: &Vec<Dim> = match &node.op {
            Op::Slice { start, .. } => start,
            Op::Pad { before, .. } => before,
            _ => return None,
        };
        Some(graph.shape(node.inputs[0]).dims().iter().chain(dims).collect::<Vec<&Dim>>())
    });
    for dims in values.chain(begins) {
        let free: Vec<&Dim> = dims.into_iter().filter(|d| d.fixed().is_none()).collect();
        if free.len() > 8 || !seen.insert(free.clone()) {
            continue;
        }
        for subset in 1u32..1 << free.len() {
            let chosen = free.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1);
            let product = chosen.map(|(_, d)| *d).try_fold(Dim::ONE, |n, d| n.mul(d)).ok()?;
            monomials.extend(product.monomials().into_iter().map(|(m, _)| m));
        }
    }
    let mut open: Vec<Monomial> = monomials.iter().cloned().collect();
    while let Some(monomial) = open.pop() {
        for i in 0..monomial.len() {
            let mut factor = monomial.clone();
            factor[i].1 -= 1;
            factor.retain(|(_, power)| *power > 0);
            if monomials.insert(factor.clone()) {
                open.push(factor);
            }
        }
        if monomials.len() > MOST {
            return None;
        }
    }
    Some(monomials.into_iter().map(|m| Dim::of_monomials([(m, 1)])).collect())
}

/// The value of each monomial.
pub fn row(basis: &[Dim], values: &Valuation) -> Option<Vec<i64>> {
    basis.iter().map(|d| value(d, values)).collect()
}

/// The value of a polynomial.
pub fn value(d: &Dim, values: &Valuation) -> Option<i64> {
    d.eval_atoms(&|atom| values.get(atom).copied())
}

/// Rows that are linearly independent, one added at a time.
#[derive(Clone, Default)]
pub struct Independent {
    /// Reduced rows with the column that each is led by.
    rows: Vec<(usize, Vec<i128>)>,
}

impl Independent {
    /// Adds a row, unless it is a combination of those before.
    pub fn add(&mut self, row: &[i64]) -> bool {
        let mut row: Vec<i128> = row.iter().map(|n| modulo((*n).into())).collect();
        for (lead, other) in &self.rows {
            let factor = row[*lead];
            row.iter_mut().zip(other).for_each(|(x, y)| *x = modulo(*x - factor * y));
        }
        let Some(lead) = row.iter().position(|x| *x != 0) else { return false };
        let by = inverse(row[lead]);
        row.iter_mut().for_each(|x| *x = modulo(*x * by));
        self.rows.push((lead, row));
        true
    }
}

/// Solves for numbers whose values at the samples are known.
pub struct Solver {
    basis: Vec<Dim>,
    inverse: Vec<Vec<i128>>,
}

impl Solver {
    /// `rows` are the monomials at as many samples as there are monomials, independent of each other.
    pub fn new(basis: Vec<Dim>, rows: &[Vec<i64>]) -> Option<Solver> {
        let n = basis.len();
        let identity = |i: usize| (0..n).map(move |j| i128::from(i == j));
        let mut work: Vec<Vec<i128>> = rows
            .iter()
            .enumerate()
            .map(|(i, r)| r.iter().map(|x| modulo((*x).into())).chain(identity(i)).collect())
            .collect();
        for column in 0..n {
            let pivot = (column..n).find(|&i| work[i][column] != 0)?;
            work.swap(column, pivot);
            let by = inverse(work[column][column]);
            work[column].iter_mut().for_each(|x| *x = modulo(*x * by));
            let lead = work[column].clone();
            for (_, row) in work.iter_mut().enumerate().filter(|(i, _)| *i != column) {
                let factor = row[column];
                row.iter_mut().zip(&lead).for_each(|(x, y)| *x = modulo(*x - factor * y));
            }
        }
        Some(Solver { basis, inverse: work.into_iter().map(|row| row[n..].to_vec()).collect() })
    }

    /// The polynomial that has these values at the samples; `None` where none with small integers has.
    pub fn solve(&self, values: &[i64]) -> Option<Dim> {
        let values: Vec<i128> = values.iter().map(|n| modulo((*n).into())).collect();
        let mut terms = Vec::new();
        for (monomial, row) in self.basis.iter().zip(&self.inverse) {
            let sum = row.iter().zip(&values).fold(0, |sum, (a, b)| modulo(sum + modulo(a * b)));
            let c = if sum > PRIME / 2 { sum - PRIME } else { sum };
            if c == 0 {
                continue;
            }
            let c = i64::try_from(c).ok().filter(|c| i128::from(c.abs()) < LARGEST)?;
            terms.push(monomial.mul(&Dim::Fixed(c)).ok()?);
        }
        terms.iter().try_fold(Dim::Fixed(0), |sum, t| sum.add(t)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_found_and_others_are_not() {
        let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
        let half = n.floor_div(&2.into()).unwrap();
        let basis = vec![Dim::ONE, n.clone(), m.clone(), n.mul(&m).unwrap(), half.clone()];
        let atom = |d: &Dim| d.monomials()[0].0[0].0.clone();
        let at =
            |values: [i64; 3]| -> Valuation { [&n, &m, &half].map(atom).into_iter().zip(values).collect() };
        let samples = [[7, 3, 4], [8, 5, 1], [13, 4, 9], [11, 9, 2], [10, 2, 6]].map(at);
        let rows: Vec<_> = samples.iter().map(|e| row(&basis, e).unwrap()).collect();
        let mut independent = Independent::default();
        assert!(rows.iter().all(|r| independent.add(r)));
        assert!(!independent.add(&rows[0]));
        let solver = Solver::new(basis, &rows).unwrap();
        let want = n.mul(&m).unwrap().mul(&16.into()).unwrap().sub(&half).unwrap().add(&5.into()).unwrap();
        let values = |d: &Dim| -> Vec<i64> { samples.iter().map(|e| value(d, e).unwrap()).collect() };
        assert_eq!(solver.solve(&values(&want)), Some(want));
        assert_eq!(solver.solve(&[1, 0, 0, 0, 7]), None);
    }
}
