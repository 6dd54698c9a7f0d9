//! How a reshape cuts its axes: groups of neighbours on either side that hold the same elements.
//! What happens inside one group leaves the others alone, which is all that a rewrite needs to know.

use crate::ir::{Dim, Shape};
use std::ops::Range;

/// Axes of the operand and axes of the result that hold the same elements; one side is empty where the
/// other is an axis of extent 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Axes of the operand.
    pub from: Range<usize>,
    /// Axes of the result.
    pub to: Range<usize>,
}

impl Group {
    /// Whether it is one axis on either side.
    pub fn is_axis(&self) -> bool {
        self.from.len() == 1 && self.to.len() == 1
    }
}

/// The smallest groups of a reshape, in order; `None` where an extent is 0 or they cannot be told.
pub fn groups(from: &Shape, to: &Shape) -> Option<Vec<Group>> {
    let (f, t) = (from.dims(), to.dims());
    if f.iter().chain(t).any(|d| d.is(0)) {
        return None;
    }
    let (mut i, mut j) = (0, 0);
    let mut groups = Vec::new();
    while i < f.len() || j < t.len() {
        let (i0, j0) = (i, j);
        match (f.get(i), t.get(j)) {
            (Some(a), Some(b)) if a.same(b) == Some(true) => (i, j) = (i + 1, j + 1),
            (Some(a), b) if a.is(1) && b.is_none_or(|b| !b.is(1)) => i += 1,
            (_, Some(b)) if b.is(1) => j += 1,
            (Some(a), Some(b)) => {
                let (mut p, mut q) = (a.clone(), b.clone());
                (i, j) = (i + 1, j + 1);
                while p.same(&q) != Some(true) {
                    if is_part(&p, &q)? {
                        p = p.mul(f.get(i)?).ok()?;
                        i += 1;
                    } else {
                        q = q.mul(t.get(j)?).ok()?;
                        j += 1;
                    }
                }
            }
            _ => return None,
        }
        groups.push(Group { from: i0..i, to: j0..j });
    }
    Some(groups)
}

/// Whether `p` is the smaller, or a factor where that depends on a free extent.
fn is_part(p: &Dim, q: &Dim) -> Option<bool> {
    p.le(q).or_else(|| q.exact_div(p).map(|_| true)).or_else(|| p.exact_div(q).map(|_| false))
}

/// Whether a reshape does nothing but add and drop axes of extent 1.
pub fn moves_units_only(groups: &[Group]) -> bool {
    groups.iter().all(|g| g.from.len() <= 1 && g.to.len() <= 1)
}

/// The extents that an operand of the result's rank has on the other side of the reshape (`shape` is the
/// result's): each of its groups must be whole or all of extent 1.
pub fn pull_back(operand: &Shape, shape: &Shape, from: &Shape, groups: &[Group]) -> Option<Shape> {
    let mut dims = Vec::new();
    for g in groups {
        let there = &operand.dims()[g.to.clone()];
        if g.to.is_empty() || there.iter().all(|d| d.is(1)) {
            dims.extend(vec![Dim::ONE; g.from.len()]);
        } else if *there == shape.dims()[g.to.clone()] {
            dims.extend_from_slice(&from.dims()[g.from.clone()]);
        } else {
            return None;
        }
    }
    Some(Shape::new(dims))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(from: &[usize], to: &[usize]) -> String {
        let Some(groups) = groups(&Shape::of(from), &Shape::of(to)) else { return "none".into() };
        let side = |r: &Range<usize>| r.clone().map(|a| a.to_string()).collect::<String>();
        let text: Vec<_> = groups.iter().map(|g| format!("{}>{}", side(&g.from), side(&g.to))).collect();
        text.join(" ")
    }

    #[test]
    fn groups_are_as_small_as_they_can_be() {
        assert_eq!(text(&[2, 3, 4], &[2, 12]), "0>0 12>1");
        assert_eq!(text(&[1, 5, 100], &[5, 1, 100]), "0> 1>0 >1 2>2");
        assert_eq!(text(&[6, 4], &[2, 12]), "01>01");
        assert_eq!(text(&[2, 1, 3, 5], &[6, 5, 1]), "012>0 3>1 >2");
        assert_eq!(text(&[], &[1, 1]), ">0 >1");
        assert_eq!(text(&[0, 3], &[3, 0]), "none");
    }

    #[test]
    fn symbols_divide() {
        let n = Dim::symbol("n");
        let from = Shape::new(vec![n.clone(), 7.into(), 2.into()]);
        let to = Shape::new(vec![n.mul(&7.into()).unwrap(), 2.into()]);
        let found = groups(&from, &to).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].from.clone(), found[0].to.clone()), (0..2, 0..1));
    }

    #[test]
    fn squares_of_symbols_divide() {
        // n² is not known to be larger: n may be 0.
        let n = Dim::bounded("n", 0, 64);
        let apart = Shape::new(vec![n.clone(), n.clone(), n.clone(), 2.into()]);
        let flat = Shape::new(vec![n.clone(), n.mul(&n).unwrap(), 2.into()]);
        let sides = |found: Vec<Group>| found.into_iter().map(|g| (g.from, g.to)).collect::<Vec<_>>();
        assert_eq!(sides(groups(&apart, &flat).unwrap()), [(0..1, 0..1), (1..3, 1..2), (3..4, 2..3)]);
        assert_eq!(sides(groups(&flat, &apart).unwrap()), [(0..1, 0..1), (1..2, 1..3), (2..3, 3..4)]);
        let m = Dim::bounded("m", 0, 64);
        assert_eq!(groups(&Shape::new(vec![n.clone(), m]), &Shape::new(vec![n.mul(&n).unwrap()])), None);
    }

    #[test]
    fn operands_are_whole_or_repeated_within_a_group() {
        let (from, to) = (Shape::of(&[6, 5]), Shape::of(&[2, 3, 5]));
        let g = groups(&from, &to).unwrap();
        assert_eq!(pull_back(&Shape::of(&[1, 1, 5]), &to, &from, &g), Some(Shape::of(&[1, 5])));
        assert_eq!(pull_back(&Shape::of(&[2, 3, 1]), &to, &from, &g), Some(Shape::of(&[6, 1])));
        assert_eq!(pull_back(&Shape::of(&[2, 1, 5]), &to, &from, &g), None);
    }
}
