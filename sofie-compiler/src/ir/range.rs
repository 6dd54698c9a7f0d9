//! The interval that an extent lies in, from the bounds of its symbols. Atoms count as independent of one another,
//! so the interval may be wider than what occurs, never narrower.

use super::dim::{Atom, Dim};

/// More atoms than this are not tried at the corners of their box, of which there are as many as two to that power.
const CORNERS: u32 = 8;

fn clamped(n: i128) -> i64 {
    n.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn product(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    let all = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)];
    let all = all.map(|(x, y)| clamped(i128::from(x) * i128::from(y)));
    (all.into_iter().min().unwrap_or(0), all.into_iter().max().unwrap_or(0))
}

fn quotient(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    let all = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)];
    let all = all.map(|(x, y)| x.div_euclid(y.max(1)));
    (all.into_iter().min().unwrap_or(0), all.into_iter().max().unwrap_or(0))
}

impl Atom {
    fn range(&self, floor: i64) -> (i64, i64) {
        let (least, most) = match self {
            Atom::Symbol(symbol) => (symbol.least, symbol.most),
            Atom::FloorDiv(a, b) => quotient(a.interval(floor), b.interval(floor)),
            Atom::Min(a, b) => {
                let (a, b) = (a.interval(floor), b.interval(floor));
                (a.0.min(b.0), a.1.min(b.1))
            }
            Atom::Max(a, b) => {
                let (a, b) = (a.interval(floor), b.interval(floor));
                (a.0.max(b.0), a.1.max(b.1))
            }
        };
        (least.max(floor), most.max(floor))
    }
}

impl Dim {
    /// The least and the largest value that it can have where every extent in it (what is divided, what is compared)
    /// is one, so not negative.
    pub fn range(&self) -> (i64, i64) {
        self.interval(0)
    }

    /// The least and the largest value, whatever the extents in it may be.
    pub fn whole_range(&self) -> (i64, i64) {
        self.interval(i64::MIN)
    }

    fn interval(&self, floor: i64) -> (i64, i64) {
        if let Some(n) = self.fixed() {
            return (n, n);
        }
        let terms = self.monomials();
        let mut atoms: Vec<&Atom> = terms.iter().flat_map(|(m, _)| m.iter().map(|(a, _)| a)).collect();
        atoms.sort();
        atoms.dedup();
        let linear = terms.iter().all(|(m, _)| m.iter().all(|(_, power)| *power == 1));
        let ranges: Vec<(i64, i64)> = atoms.iter().map(|a| a.range(floor)).collect();
        let of = |atom: &Atom| atoms.iter().position(|a| *a == atom).map_or((0, i64::MAX), |i| ranges[i]);
        if linear && atoms.len() <= CORNERS as usize {
            // Linear in each atom: the extremes are at corners of the box.
            let corners = (0..1u32 << atoms.len()).map(|corner| {
                let at = |atom: &Atom| match atoms.iter().position(|a| *a == atom) {
                    Some(i) if corner >> i & 1 == 1 => ranges[i].1,
                    Some(i) => ranges[i].0,
                    None => 0,
                };
                let term = |(m, c): &(Vec<(Atom, u32)>, i64)| {
                    m.iter().fold(i128::from(*c), |n, (a, _)| n.saturating_mul(at(a).into()))
                };
                terms.iter().map(term).fold(0i128, i128::saturating_add)
            });
            let (least, most) = corners.fold((i128::MAX, i128::MIN), |(l, m), x| (l.min(x), m.max(x)));
            return (clamped(least), clamped(most));
        }
        let mut sum = (0i128, 0i128);
        for (monomial, c) in &terms {
            let powers = monomial.iter().flat_map(|(a, power)| std::iter::repeat_n(of(a), *power as usize));
            let (least, most) = powers.fold((*c, *c), product);
            sum = (sum.0 + i128::from(least), sum.1 + i128::from(most));
        }
        (clamped(sum.0), clamped(sum.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_symbols_bound_what_is_computed_of_them() {
        let n = Dim::bounded("n", 8, 100);
        let b = Dim::bounded("b", 0, 4);
        let less = n.sub(&3.into()).unwrap();
        assert_eq!(less.range(), (5, 97));
        assert_eq!(less.mul(&b).unwrap().range(), (0, 388));
        assert_eq!(n.floor_div(&2.into()).unwrap().range(), (4, 50));
        let half = b.sub(&3.into()).unwrap().floor_div(&2.into()).unwrap();
        assert_eq!((half.range(), half.whole_range()), ((0, 0), (-2, 0)));
        assert_eq!(n.mul(&n).unwrap().sub(&n).unwrap().range(), (64 - 100, 10_000 - 8));
        assert_eq!(Dim::symbol("m").sub(&n).unwrap().range(), (-100, i64::MAX - 8));
    }

    #[test]
    fn comparisons_know_the_bounds() {
        let n = Dim::bounded("n", 8, 100);
        assert_eq!(Dim::Fixed(8).le(&n), Some(true));
        assert_eq!(Dim::Fixed(9).le(&n), None);
        assert_eq!(n.same(&Dim::Fixed(7)), Some(false));
        assert_eq!(Dim::min(&n, &128.into()), n);
        assert_eq!(Dim::max(&n, &8.into()), n);
        assert_eq!(Dim::bounded("n", 1, 100).same(&Dim::Fixed(0)), Some(false));
    }
}
