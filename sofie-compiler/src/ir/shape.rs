//! Shapes: the extents of a value, outermost first, and the broadcasting rule between them.

use super::{Dim, Invalid};
use std::fmt;
use std::ops::Index;

/// The extents of a value, outermost first; rank 0 is a scalar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// Of extents, outermost first.
    pub fn new(dims: Vec<Dim>) -> Shape {
        Shape(dims)
    }

    /// Of known extents.
    pub fn of(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&n| n.into()).collect())
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// The extents, to change.
    pub fn dims_mut(&mut self) -> &mut Vec<Dim> {
        &mut self.0
    }

    /// The extents as numbers, if all are known.
    pub fn fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect()
    }

    /// The number of elements.
    pub fn numel(&self) -> Result<Dim, Invalid> {
        self.0.iter().try_fold(Dim::ONE, |n, d| n.mul(d))
    }

    /// ONNX's `axis`, which may count from the end, as an index below the rank.
    pub fn axis(&self, axis: i64) -> Result<usize, Invalid> {
        axis_in(axis, self.rank())
    }

    /// The shape that two broadcast to (numpy's rule), or why they do not.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, Invalid> {
        let rank = self.rank().max(other.rank());
        let dim = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map(|i| s.0[i].clone());
        let dims = (0..rank).map(|i| match (dim(self, i), dim(other, i)) {
            (Some(a), Some(b)) if b.is(1) => Ok(a),
            // Before they are compared: an extent between 1 and 1 is 1 as well, and keeps its name.
            (Some(a), Some(b)) if a.is(1) => Ok(b),
            (Some(a), Some(b)) if a.same(&b) == Some(true) => Ok(a),
            (Some(a), Some(b)) if a.same(&b).is_none() => Err(Invalid::new(format!(
                "it is not known whether {a} and {b} are equal (shapes {self} and {other})"
            ))),
            (Some(_), Some(_)) => Err(Invalid::new(format!("shapes {self} and {other} do not broadcast"))),
            (Some(a), None) | (None, Some(a)) => Ok(a),
            (None, None) => Ok(Dim::ONE),
        });
        dims.collect::<Result<_, _>>().map(Shape)
    }
}

/// ONNX's `axis`, which may count from the end, as an index below `rank`.
pub fn axis_in(axis: i64, rank: usize) -> Result<usize, Invalid> {
    let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_start)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| Invalid::new(format!("axis {axis} is outside a tensor of rank {rank}")))
}

impl Index<usize> for Shape {
    type Output = Dim;
    fn index(&self, axis: usize) -> &Dim {
        &self.0[axis]
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<I: IntoIterator<Item = Dim>>(dims: I) -> Shape {
        Shape(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy_and_refuses_what_it_cannot_know() {
        let a = Shape::of(&[4, 1, 3]);
        assert_eq!(a.broadcast(&Shape::of(&[2, 1])).unwrap(), Shape::of(&[4, 2, 3]));
        assert!(a.broadcast(&Shape::of(&[2])).is_err());
        let n = Shape::new(vec![Dim::symbol("n"), Dim::ONE]);
        assert_eq!(n.broadcast(&Shape::of(&[5])).unwrap().to_string(), "[n, 5]");
        let only = Shape::new(vec![Dim::bounded("n", 1, 1)]);
        assert_eq!(Shape::of(&[1]).broadcast(&only).unwrap(), only);
        assert_eq!(only.broadcast(&Shape::of(&[1])).unwrap(), only);
        assert!(n.broadcast(&Shape::of(&[5, 5])).unwrap_err().to_string().contains("not known"));
        assert_eq!(Shape::of(&[0, 1]).broadcast(&Shape::of(&[1, 7])).unwrap(), Shape::of(&[0, 7]));
    }

    #[test]
    fn axes_count_from_either_end() {
        let s = Shape::of(&[2, 3]);
        assert_eq!(s.axis(-1).unwrap(), 1);
        assert!(s.axis(2).is_err() && s.axis(-3).is_err() && s.axis(i64::MIN).is_err());
    }
}
