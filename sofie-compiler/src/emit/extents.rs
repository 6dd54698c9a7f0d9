//! Extents as Rust expressions: a polynomial over the symbols, each of which is a variable of type `usize`.

use crate::ir::{Atom, Dim, Monomial};
use crate::plan::family::Kind;
use proc_macro2::{Group, Ident, Literal, TokenStream, TokenTree};
use quote::quote;
use std::collections::HashMap;

/// The variables of the symbols, by name.
pub type Variables = HashMap<String, Ident>;

/// Writes extents.
pub struct Writer<'a> {
    /// The variables in scope.
    pub variables: &'a Variables,
}

/// Whether it can be computed without a number below 0 on the way.
fn natural(d: &Dim) -> bool {
    d.monomials().iter().all(|(m, c)| *c >= 0 && m.iter().all(|(atom, _)| natural_atom(atom)))
}

fn natural_atom(atom: &Atom) -> bool {
    match atom {
        Atom::Symbol(_) => true,
        Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => natural(a) && natural(b),
    }
}

/// The least value of an atom.
fn least(atom: &Atom) -> i64 {
    Dim::of_monomials([(vec![(atom.clone(), 1)], 1)]).whole_range().0
}

impl Writer<'_> {
    /// As a number of this kind. A count that would be negative is 0.
    pub fn number(&self, kind: Kind, d: &Dim) -> TokenStream {
        match kind {
            Kind::Count => self.count(d),
            Kind::Stride => self.signed(d),
        }
    }

    /// As a `usize`.
    pub fn count(&self, d: &Dim) -> TokenStream {
        let terms = d.monomials();
        if !terms.iter().all(|(m, _)| m.iter().all(|(atom, _)| natural_atom(atom))) {
            let signed = self.signed(d);
            return quote!(usize::try_from(#signed).unwrap_or(0));
        }
        let part = |sign: i64| {
            let terms = terms.iter().rev().filter(|(_, c)| c.signum() == sign);
            let terms: Vec<_> = terms.map(|(m, c)| self.monomial(m, c.unsigned_abs(), false)).collect();
            quote!(#(#terms)+*)
        };
        let (plus, minus) = (part(1), part(-1));
        match (plus.is_empty(), minus.is_empty()) {
            (true, _) => quote!(0),
            (false, true) => plus,
            (false, false) => quote!((#plus).saturating_sub(#minus)),
        }
    }

    /// As an `isize`.
    pub fn signed(&self, d: &Dim) -> TokenStream {
        let mut sum = TokenStream::new();
        for (i, (m, c)) in d.monomials().iter().rev().enumerate() {
            let term = self.monomial(m, c.unsigned_abs(), true);
            sum.extend(match (i, *c < 0) {
                (0, false) => term,
                (_, true) => quote!(- #term),
                _ => quote!(+ #term),
            });
        }
        if sum.is_empty() { quote!(0) } else { sum }
    }

    /// A `usize` that it does not exceed while no symbol exceeds its variable; the largest number where that does not fit.
    pub fn most(&self, d: &Dim) -> TokenStream {
        let terms = d.monomials();
        // What is taken off counts only where it may be negative itself.
        let counts = |m: &Monomial, c: i64| c > 0 || m.iter().any(|(atom, _)| least(atom) < 0);
        let terms = terms.iter().filter(|(m, c)| counts(m, *c)).map(|(m, c)| {
            let number = Literal::u64_unsuffixed(c.unsigned_abs());
            let factors = m.iter().flat_map(|(atom, power)| {
                std::iter::repeat_n(self.most_of(atom), usize::try_from(*power).unwrap_or(0))
            });
            factors.fold(quote!(#number), |product, factor| quote!(usize::saturating_mul(#product, #factor)))
        });
        terms.reduce(|sum, term| quote!(usize::saturating_add(#sum, #term))).unwrap_or_else(|| quote!(0))
    }

    /// What the magnitude of an atom does not exceed.
    fn most_of(&self, atom: &Atom) -> TokenStream {
        let most = match atom {
            Atom::Symbol(symbol) => {
                let variable = self.variables.get(&*symbol.name);
                quote!(#variable)
            }
            // Whatever it is divided by is at least 1.
            Atom::FloorDiv(a, b) => {
                let (a, b) = (self.most(a), Literal::i64_unsuffixed(b.range().0.max(1)));
                quote!((#a / #b))
            }
            Atom::Min(a, b) => {
                let (a, b) = (self.most(a), self.most(b));
                quote!(usize::min(#a, #b))
            }
            Atom::Max(a, b) => {
                let (a, b) = (self.most(a), self.most(b));
                quote!(usize::max(#a, #b))
            }
        };
        match least(atom) {
            n if n < 0 => {
                let n = Literal::u64_unsuffixed(n.unsigned_abs());
                quote!(usize::max(#most, #n))
            }
            _ => most,
        }
    }

    fn monomial(&self, m: &Monomial, c: u64, signed: bool) -> TokenStream {
        let number = Literal::u64_unsuffixed(c);
        let factors = m.iter().flat_map(|(atom, power)| {
            std::iter::repeat_n(self.atom(atom, signed), usize::try_from(*power).unwrap_or(0))
        });
        let number = (c != 1 || m.is_empty()).then(|| quote!(#number));
        let product = |a: TokenStream, b: TokenStream| quote!(#a * #b);
        number.into_iter().chain(factors).reduce(product).unwrap_or_default()
    }

    fn atom(&self, atom: &Atom, signed: bool) -> TokenStream {
        let of = |d: &Dim| if signed { self.signed(d) } else { self.count(d) };
        match atom {
            Atom::Symbol(symbol) => {
                let variable = self.variables.get(&*symbol.name);
                if signed { quote!((#variable as isize)) } else { quote!(#variable) }
            }
            Atom::FloorDiv(a, b) => {
                let (a, b) = (of(a), of(b));
                if signed { quote!((#a).div_euclid(#b)) } else { quote!(((#a) / (#b))) }
            }
            Atom::Min(a, b) => {
                let (a, b) = (of(a), of(b));
                if signed { quote!(isize::min(#a, #b)) } else { quote!(usize::min(#a, #b)) }
            }
            Atom::Max(a, b) => {
                let (a, b) = (of(a), of(b));
                if signed { quote!(isize::max(#a, #b)) } else { quote!(usize::max(#a, #b)) }
            }
        }
    }
}

/// Numbers that stand for extents in a descriptor until it is printed: what prints numbers need not know of extents.
#[derive(Default)]
pub struct Stands {
    extents: Vec<(Kind, Dim)>,
}

/// The first of them: no number of a plan is as large.
const FIRST: i64 = 1 << 52;

impl Stands {
    /// The number that stands for an extent, the same for the same one.
    pub fn for_extent(&mut self, kind: Kind, d: &Dim) -> i64 {
        if let Some(n) = d.fixed() {
            return n;
        }
        let known = self.extents.iter().position(|(k, e)| *k == kind && e == d);
        let at = known.unwrap_or_else(|| {
            self.extents.push((kind, d.clone()));
            self.extents.len() - 1
        });
        FIRST + at as i64
    }

    /// The tokens with the extents put in, if there are any in them.
    pub fn put_in(&self, tokens: TokenStream, writer: &Writer<'_>) -> Option<TokenStream> {
        let mut found = false;
        let tokens = self.replace(tokens, writer, &mut found);
        found.then_some(tokens)
    }

    fn replace(&self, tokens: TokenStream, writer: &Writer<'_>, found: &mut bool) -> TokenStream {
        let one = |token: TokenTree| match token {
            TokenTree::Group(g) => {
                let mut group = Group::new(g.delimiter(), self.replace(g.stream(), writer, found));
                group.set_span(g.span());
                TokenStream::from(TokenTree::Group(group))
            }
            TokenTree::Literal(n) => {
                let stands = n.to_string().parse::<i64>().ok().and_then(|n| n.checked_sub(FIRST));
                match stands.and_then(|i| self.extents.get(usize::try_from(i).ok()?)) {
                    Some((kind, d)) => {
                        *found = true;
                        writer.number(*kind, d)
                    }
                    None => TokenStream::from(TokenTree::Literal(n)),
                }
            }
            other => TokenStream::from(other),
        };
        tokens.into_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::format_ident;

    fn written(d: &Dim, kind: Kind) -> String {
        let variables = ["n", "m"].map(|s| (s.to_owned(), format_ident!("{s}"))).into_iter().collect();
        Writer { variables: &variables }.number(kind, d).to_string()
    }

    #[test]
    fn polynomials_read_as_they_are_written() {
        let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
        let d = n.mul(&m).unwrap().mul(&16.into()).unwrap().add(&n).unwrap();
        assert_eq!(written(&d, Kind::Count), "n + 16 * m * n");
        let less = d.sub(&3.into()).unwrap();
        assert_eq!(written(&less, Kind::Count), "(n + 16 * m * n) . saturating_sub (3)");
        assert_eq!(written(&less, Kind::Stride), "(n as isize) + 16 * (m as isize) * (n as isize) - 3");
        let half = n.floor_div(&2.into()).unwrap();
        assert_eq!(written(&half, Kind::Count), "((n) / (2))");
        let windows = n.sub(&3.into()).unwrap().floor_div(&2.into()).unwrap().add(&1.into()).unwrap();
        let text = written(&windows, Kind::Count);
        assert_eq!(text, "usize :: try_from (((n as isize) - 3) . div_euclid (2) + 1) . unwrap_or (0)");
    }

    #[test]
    fn what_is_taken_off_is_left_out_of_bounds() {
        let variables = ["n", "m"].map(|s| (s.to_owned(), format_ident!("{s}"))).into_iter().collect();
        let most = |d: &Dim| Writer { variables: &variables }.most(d).to_string().replace("usize :: ", "");
        let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
        let d = n.mul(&m).unwrap().mul(&16.into()).unwrap().sub(&n).unwrap().add(&3.into()).unwrap();
        assert_eq!(most(&d), "saturating_add (3 , saturating_mul (saturating_mul (16 , m) , n))");
        let windows = n.sub(&3.into()).unwrap().floor_div(&2.into()).unwrap();
        assert_eq!(most(&windows), "saturating_mul (1 , max ((saturating_mul (1 , n) / 2) , 2))");
        let less = Dim::Fixed(9).sub(&windows).unwrap();
        assert!(most(&less).contains("9") && most(&less).contains("max"), "{}", most(&less));
        assert_eq!(most(&Dim::Fixed(0)), "0");
    }

    #[test]
    fn numbers_stand_for_extents() {
        let mut stands = Stands::default();
        let n = Dim::symbol("n");
        let at = stands.for_extent(Kind::Count, &n);
        assert_eq!(stands.for_extent(Kind::Count, &n), at);
        assert_eq!(stands.for_extent(Kind::Count, &7.into()), 7);
        let number = Literal::i64_unsuffixed(at);
        let variables = Variables::from([("n".to_owned(), format_ident!("tracks"))]);
        let writer = Writer { variables: &variables };
        let tokens = stands.put_in(quote!(f([#number, 3])), &writer).unwrap();
        assert_eq!(tokens.to_string(), "f ([tracks , 3])");
        assert!(stands.put_in(quote!([1, 2]), &writer).is_none());
    }
}
