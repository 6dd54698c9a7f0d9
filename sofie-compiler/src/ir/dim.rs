//! Symbolic extents: a `Dim` is a polynomial with integer coefficients over named symbols and opaque
//! atoms (floor division, min, max of other extents). A fixed extent is the case without symbols.
//! Comparison answers yes, no or unknown (`Option<bool>`) from the bounds of the symbols; arithmetic that
//! overflows is an error.

use super::{Extents, Invalid};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The extent of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A known number of elements.
    Fixed(i64),
    /// A polynomial that has at least one symbol or atom in it.
    Poly(Arc<Poly>),
}

/// Coefficients by monomial; the empty monomial is the constant term. No coefficient is zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Poly(BTreeMap<Monomial, i64>);

/// Atoms with their powers, sorted.
pub type Monomial = Vec<(Atom, u32)>;

/// What a polynomial treats as an unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A named extent of the model's inputs.
    Symbol(Symbol),
    /// `floor(a / b)`, `b` at least 1.
    FloorDiv(Dim, Dim),
    /// The smaller of two extents.
    Min(Dim, Dim),
    /// The larger of two extents.
    Max(Dim, Dim),
}

/// A named extent and its bounds, both among its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    /// The name.
    pub name: Arc<str>,
    /// The least value, at least 0.
    pub least: i64,
    /// The largest value; [`Symbol::OPEN`] or more where there is no bound.
    pub most: i64,
}

impl Symbol {
    /// The largest value of an extent that each session bounds: what follows from it stays a number.
    pub const OPEN: i64 = 1 << 20;
}

/// What a symbol is taken for where costs are weighed.
const LIKELY: i64 = 128;

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Fixed(n as i64)
    }
}

fn overflow() -> Invalid {
    Invalid::new("an extent overflows 64 bits")
}

impl Dim {
    /// The extent 1, along which values are broadcast.
    pub const ONE: Dim = Dim::Fixed(1);

    /// The extent named `name`, of which nothing is known.
    pub fn symbol(name: &str) -> Dim {
        Dim::bounded(name, 0, i64::MAX)
    }

    /// The extent named `name`, from `least` to `most`.
    pub fn bounded(name: &str, least: i64, most: i64) -> Dim {
        Dim::atom(Atom::Symbol(Symbol { name: name.into(), least, most }))
    }

    fn atom(atom: Atom) -> Dim {
        Dim::Poly(Arc::new(Poly(BTreeMap::from([(vec![(atom, 1)], 1)]))))
    }

    /// The number, if it is known.
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Dim::Fixed(n) => Some(*n),
            Dim::Poly(_) => None,
        }
    }

    /// Whether it is known to be `n`.
    pub fn is(&self, n: i64) -> bool {
        self.fixed() == Some(n)
    }

    /// The symbol, where it is nothing but one.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        let Dim::Poly(p) = self else { return None };
        match p.0.first_key_value() {
            Some((monomial, 1)) if p.0.len() == 1 => match &monomial[..] {
                [(Atom::Symbol(symbol), 1)] => Some(symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its monomials with their coefficients; the empty monomial is the constant term.
    pub fn monomials(&self) -> Vec<(Monomial, i64)> {
        self.terms().into_iter().collect()
    }

    /// The sum of monomials with coefficients.
    pub fn of_monomials(terms: impl IntoIterator<Item = (Monomial, i64)>) -> Dim {
        Dim::of_terms(terms.into_iter().collect())
    }

    fn terms(&self) -> BTreeMap<Monomial, i64> {
        match self {
            Dim::Fixed(0) => BTreeMap::new(),
            Dim::Fixed(n) => BTreeMap::from([(Vec::new(), *n)]),
            Dim::Poly(p) => p.0.clone(),
        }
    }

    fn of_terms(mut terms: BTreeMap<Monomial, i64>) -> Dim {
        terms.retain(|_, c| *c != 0);
        match terms.len() {
            0 => Dim::Fixed(0),
            1 if terms.contains_key(&Vec::new()) => Dim::Fixed(terms[&Vec::new()]),
            _ => Dim::Poly(Arc::new(Poly(terms))),
        }
    }

    /// `self + other`.
    pub fn add(&self, other: &Dim) -> Result<Dim, Invalid> {
        if let (Dim::Fixed(a), Dim::Fixed(b)) = (self, other) {
            return a.checked_add(*b).map(Dim::Fixed).ok_or_else(overflow);
        }
        let mut terms = self.terms();
        for (m, c) in other.terms() {
            let sum = terms.entry(m).or_insert(0);
            *sum = sum.checked_add(c).ok_or_else(overflow)?;
        }
        Ok(Dim::of_terms(terms))
    }

    /// `self - other`.
    pub fn sub(&self, other: &Dim) -> Result<Dim, Invalid> {
        self.add(&other.mul(&Dim::Fixed(-1))?)
    }

    /// `self * other`.
    pub fn mul(&self, other: &Dim) -> Result<Dim, Invalid> {
        if let (Dim::Fixed(a), Dim::Fixed(b)) = (self, other) {
            return a.checked_mul(*b).map(Dim::Fixed).ok_or_else(overflow);
        }
        let mut terms = BTreeMap::new();
        for (m, c) in self.terms() {
            for (n, d) in other.terms() {
                let mut powers: BTreeMap<Atom, u32> = m.iter().cloned().collect();
                for (atom, p) in n {
                    *powers.entry(atom).or_insert(0) += p;
                }
                let product = c.checked_mul(d).ok_or_else(overflow)?;
                let sum = terms.entry(powers.into_iter().collect()).or_insert(0i64);
                *sum = sum.checked_add(product).ok_or_else(overflow)?;
            }
        }
        Ok(Dim::of_terms(terms))
    }

    /// `floor(self / other)`: exact where every coefficient divides, else an opaque atom.
    pub fn floor_div(&self, other: &Dim) -> Result<Dim, Invalid> {
        match (self, other) {
            (_, Dim::Fixed(0)) => Err(Invalid::new("an extent is divided by zero")),
            (Dim::Fixed(a), Dim::Fixed(b)) => Ok(Dim::Fixed(
                a.checked_div_euclid(*b).ok_or_else(overflow)? - i64::from(*b < 0 && a.rem_euclid(*b) != 0),
            )),
            _ => Ok(self
                .exact_div(other)
                .unwrap_or_else(|| Dim::atom(Atom::FloorDiv(self.clone(), other.clone())))),
        }
    }

    /// `ceil(self / n)` for a positive `n`.
    pub fn ceil_div(&self, n: i64) -> Result<Dim, Invalid> {
        self.add(&Dim::Fixed(n - 1))?.floor_div(&Dim::Fixed(n))
    }

    /// The smaller of two extents.
    pub fn min(&self, other: &Dim) -> Dim {
        match (self.le(other), other.le(self)) {
            (Some(true), _) => self.clone(),
            (Some(false), _) | (_, Some(true)) => other.clone(),
            _ => Dim::atom(Atom::Min(self.clone(), other.clone())),
        }
    }

    /// The larger of two extents.
    pub fn max(&self, other: &Dim) -> Dim {
        match (self.le(other), other.le(self)) {
            (Some(true), _) => other.clone(),
            (Some(false), _) | (_, Some(true)) => self.clone(),
            _ => Dim::atom(Atom::Max(self.clone(), other.clone())),
        }
    }

    /// Whether the two are the same number for every value of the symbols.
    pub fn same(&self, other: &Dim) -> Option<bool> {
        if self == other {
            return Some(true);
        }
        match self.sub(other).ok()?.range() {
            (0, 0) => Some(true),
            (least, most) => (least > 0 || most < 0).then_some(false),
        }
    }

    /// Whether `self <= other` for every value of the symbols.
    pub fn le(&self, other: &Dim) -> Option<bool> {
        match other.sub(self).ok()?.range() {
            (least, _) if least >= 0 => Some(true),
            (_, most) => (most < 0).then_some(false),
        }
    }

    /// The names of the symbols in it, in order, each once.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        self.collect_symbols(&mut names);
        names.sort();
        names.dedup();
        names
    }

    fn collect_symbols(&self, names: &mut Vec<Arc<str>>) {
        let Dim::Poly(p) = self else { return };
        for (atom, _) in p.0.keys().flatten() {
            match atom {
                Atom::Symbol(symbol) => names.push(symbol.name.clone()),
                Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => {
                    a.collect_symbols(names);
                    b.collect_symbols(names);
                }
            }
        }
    }

    /// Its number when the symbols have the given values; `None` for a symbol that `value` does not know.
    pub fn eval(&self, value: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        self.eval_symbols(&|symbol| value(&symbol.name))
    }

    /// What it is taken for where costs are weighed: the number at an extent that is the same for all symbols, whatever
    /// their bounds are, since what is decided so may round.
    pub fn likely(&self) -> i64 {
        self.likely_times(&|_| 1)
    }

    /// The same where some symbols are taken for several times as much.
    pub fn likely_times(&self, times: &dyn Fn(&Symbol) -> i64) -> i64 {
        self.eval_symbols(&|s| Some(LIKELY.saturating_mul(times(s)))).unwrap_or(LIKELY).max(0)
    }

    /// The same with numbers for some of the symbols.
    ///
    /// # Errors
    /// Where arithmetic overflows, or a number is divided by 0.
    pub fn with(&self, extents: &Extents) -> Result<Dim, Invalid> {
        let Dim::Poly(p) = self else { return Ok(self.clone()) };
        let mut sum = Dim::Fixed(0);
        for (monomial, c) in &p.0 {
            let mut product = Dim::Fixed(*c);
            for (atom, power) in monomial {
                let factor = atom.with(extents)?;
                for _ in 0..*power {
                    product = product.mul(&factor)?;
                }
            }
            sum = sum.add(&product)?;
        }
        Ok(sum)
    }

    fn eval_symbols(&self, value: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        self.eval_atoms(&|atom| atom.eval(value))
    }

    /// Its number when the atoms have the given values, whatever they are made of.
    pub fn eval_atoms(&self, value: &dyn Fn(&Atom) -> Option<i64>) -> Option<i64> {
        let p = match self {
            Dim::Fixed(n) => return Some(*n),
            Dim::Poly(p) => p,
        };
        let mut sum = 0i64;
        for (monomial, c) in &p.0 {
            let mut product = *c;
            for (atom, power) in monomial {
                product = product.checked_mul(value(atom)?.checked_pow(*power)?)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }
}

impl Atom {
    fn with(&self, extents: &Extents) -> Result<Dim, Invalid> {
        Ok(match self {
            Atom::Symbol(symbol) => match extents.get(&symbol.name) {
                Some(n) => Dim::Fixed(*n),
                None => Dim::atom(self.clone()),
            },
            Atom::FloorDiv(a, b) => a.with(extents)?.floor_div(&b.with(extents)?)?,
            Atom::Min(a, b) => Dim::min(&a.with(extents)?, &b.with(extents)?),
            Atom::Max(a, b) => Dim::max(&a.with(extents)?, &b.with(extents)?),
        })
    }

    fn eval(&self, value: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        Some(match self {
            Atom::Symbol(symbol) => value(symbol)?,
            Atom::FloorDiv(a, b) => match b.eval_symbols(value)? {
                b if b > 0 => a.eval_symbols(value)?.div_euclid(b),
                _ => return None,
            },
            Atom::Min(a, b) => a.eval_symbols(value)?.min(b.eval_symbols(value)?),
            Atom::Max(a, b) => a.eval_symbols(value)?.max(b.eval_symbols(value)?),
        })
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = match self {
            Dim::Fixed(n) => return write!(f, "{n}"),
            Dim::Poly(p) => p,
        };
        for (i, (monomial, c)) in p.0.iter().rev().enumerate() {
            let sign = if *c < 0 { "-" } else { "+" };
            match (i, *c < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                _ => write!(f, " {sign} ")?,
            }
            if monomial.is_empty() || c.unsigned_abs() != 1 {
                write!(f, "{}", c.unsigned_abs())?;
            }
            for (j, (atom, power)) in monomial.iter().enumerate() {
                if j > 0 || c.unsigned_abs() != 1 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(symbol) => f.write_str(&symbol.name)?,
                    Atom::FloorDiv(a, b) => write!(f, "floor(({a})/({b}))")?,
                    Atom::Min(a, b) => write!(f, "min({a}, {b})")?,
                    Atom::Max(a, b) => write!(f, "max({a}, {b})")?,
                }
                if *power > 1 {
                    write!(f, "^{power}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Dim {
        Dim::symbol("n")
    }

    #[test]
    fn arithmetic_is_exact_and_printed_as_written() {
        let two_n = n().mul(&2.into()).unwrap();
        assert_eq!(two_n.add(&1.into()).unwrap().to_string(), "2*n + 1");
        assert_eq!(two_n.floor_div(&2.into()).unwrap(), n());
        assert_eq!(n().sub(&n()).unwrap(), Dim::Fixed(0));
        assert_eq!(n().floor_div(&2.into()).unwrap().to_string(), "floor((n)/(2))");
        assert!(Dim::Fixed(i64::MAX).add(&1.into()).is_err());
        assert_eq!(Dim::Fixed(-7).floor_div(&2.into()).unwrap(), Dim::Fixed(-4));
    }

    #[test]
    fn comparison_is_three_valued() {
        let n1 = n().add(&1.into()).unwrap();
        assert_eq!(n().same(&n()), Some(true));
        assert_eq!(n().same(&n1), Some(false));
        assert_eq!(n().same(&Dim::ONE), None);
        assert_eq!(n().le(&n1), Some(true));
        assert_eq!(n1.le(&n()), Some(false));
        assert_eq!(n().le(&7.into()), None);
        let zero = Dim::Fixed(0);
        assert_eq!((Dim::max(&n(), &zero), Dim::max(&zero, &n())), (n(), n()));
        assert_eq!((Dim::min(&n(), &zero), Dim::min(&zero, &n())), (zero.clone(), zero));
    }

    #[test]
    fn evaluation_follows_the_symbols() {
        let d = n().add(&3.into()).unwrap().floor_div(&2.into()).unwrap();
        assert_eq!(d.eval(&|_| Some(8)), Some(5));
        assert_eq!(d.eval(&|_| None), None);
        assert_eq!(d.symbols(), vec![Arc::from("n")]);
    }
}
