//! Division of extents that leaves no remainder, as that of polynomials: shapes are divided by products of their own
//! extents, which may be sums (`64*f + 64` elements in rows of `f + 1`).

use super::Dim;
use super::dim::{Atom, Monomial};
use std::cmp::Ordering;
use std::collections::BTreeMap;

impl Dim {
    /// `self / other` where the division is known to leave no remainder: long division of polynomials.
    pub fn exact_div(&self, other: &Dim) -> Option<Dim> {
        let divisor = other.monomials();
        let (by, c) = leading(&divisor)?;
        let (mut rest, mut quotient) = (self.clone(), Vec::new());
        while !rest.is(0) {
            let terms = rest.monomials();
            let (m, d) = leading(&terms)?;
            if d.checked_rem(c)? != 0 {
                return None;
            }
            let term = (divided(m, by)?, d / c);
            let part = Dim::of_monomials([term.clone()]).mul(other).ok()?;
            rest = rest.sub(&part).ok()?;
            quotient.push(term);
        }
        Some(Dim::of_monomials(quotient))
    }
}

/// The largest monomial, of the highest degree, among those the one with the higher power of the first atom in which they
/// differ; an order that multiplication keeps.
fn leading(terms: &[(Monomial, i64)]) -> Option<(&Monomial, i64)> {
    let degree = |m: &Monomial| m.iter().map(|(_, power)| power).sum::<u32>();
    let by_degree = |a: &Monomial, b: &Monomial| degree(a).cmp(&degree(b)).then_with(|| by_powers(a, b));
    terms.iter().max_by(|(a, _), (b, _)| by_degree(a, b)).map(|(m, c)| (m, *c))
}

fn by_powers(a: &Monomial, b: &Monomial) -> Ordering {
    for ((x, p), (y, q)) in a.iter().zip(b) {
        // Atoms are sorted: who has the earlier one has more of it.
        match y.cmp(x).then(p.cmp(q)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    a.len().cmp(&b.len())
}

/// `a / b` of monomials, where all powers of `b` are in `a`.
fn divided(a: &Monomial, b: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<Atom, u32> = a.iter().cloned().collect();
    for (atom, power) in b {
        let left = powers.get_mut(atom)?;
        *left = left.checked_sub(*power)?;
    }
    powers.retain(|_, power| *power > 0);
    Some(powers.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Dim {
        Dim::symbol("n")
    }

    #[test]
    fn a_common_factor_divides_out() {
        let (m, one) = (Dim::symbol("m"), Dim::ONE);
        let half = n().floor_div(&2.into()).unwrap().add(&one).unwrap();
        let of = |d: &Dim, k: usize| d.mul(&k.into()).unwrap();
        assert_eq!(of(&half, 64).exact_div(&half), Some(64.into()));
        assert_eq!(of(&half, 64).exact_div(&of(&half, 32)), Some(2.into()));
        assert_eq!(of(&half, 64).exact_div(&of(&half, 48)), None);
        let (sum, difference) = (n().add(&m).unwrap(), n().sub(&m).unwrap());
        let product = sum.mul(&difference).unwrap();
        assert_eq!(product.exact_div(&sum), Some(difference.clone()));
        assert_eq!(product.exact_div(&difference), Some(sum.clone()));
        assert_eq!(product.add(&one).unwrap().exact_div(&sum), None);
        assert_eq!(n().exact_div(&sum), None);
        assert_eq!(Dim::Fixed(0).exact_div(&n()), Some(Dim::Fixed(0)));
        assert_eq!(n().exact_div(&Dim::Fixed(0)), None);
        assert_eq!(n().mul(&n()).unwrap().mul(&m).unwrap().exact_div(&n().mul(&m).unwrap()), Some(n()));
    }
}
