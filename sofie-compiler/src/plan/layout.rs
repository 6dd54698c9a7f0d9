//! Strided layouts: where in its root each element of a value lies, and what views do to that.

/// Element `i` of a value lies `offset + Σ i[a] * strides[a]` elements into its root.
///
/// Two are equal if all elements lie in the same places: what the stride of an axis of one element is does not count.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The extents, outermost first.
    pub dims: Vec<usize>,
    /// Elements between neighbours, per axis; 0 where broadcast, negative where reversed.
    pub strides: Vec<isize>,
    /// The position of the first element.
    pub offset: isize,
}

impl PartialEq for Layout {
    fn eq(&self, other: &Layout) -> bool {
        let strides = self.strides.iter().zip(&other.strides);
        self.dims == other.dims
            && self.offset == other.offset
            && (self.is_empty() || strides.zip(&self.dims).all(|((s, o), &n)| n == 1 || s == o))
    }
}

impl Eq for Layout {}

impl Layout {
    /// Row-major without gaps.
    pub fn dense(dims: &[usize]) -> Layout {
        let mut strides = vec![0; dims.len()];
        let mut step = 1;
        for (s, d) in strides.iter_mut().zip(dims).rev() {
            *s = step;
            step *= (*d).max(1) as isize;
        }
        Layout { dims: dims.to_vec(), strides, offset: 0 }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements from axis `from` on are row-major without gaps.
    pub fn dense_from(&self, from: usize) -> bool {
        let mut step = 1;
        for a in (from..self.dims.len()).rev() {
            if self.dims[a] != 1 && self.strides[a] != step {
                return false;
            }
            step *= self.dims[a] as isize;
        }
        true
    }

    /// Whether all elements are row-major without gaps.
    pub fn is_dense(&self) -> bool {
        self.is_empty() || self.dense_from(0)
    }

    /// Axis i of the result is axis `perm[i]`.
    pub fn transpose(&self, perm: &[usize]) -> Layout {
        Layout {
            dims: perm.iter().map(|&a| self.dims[a]).collect(),
            strides: perm.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        }
    }

    /// The layout whose transpose by `perm` this is.
    pub fn transpose_back(&self, perm: &[usize]) -> Layout {
        let mut inverse = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
        self.transpose(&inverse)
    }

    /// Along each axis the elements `start + j * step`.
    pub fn slice(&self, start: &[i64], step: &[i64], dims: &[usize]) -> Layout {
        let moved: isize = self.strides.iter().zip(start).map(|(s, &b)| s * b as isize).sum();
        Layout {
            dims: dims.to_vec(),
            strides: self.strides.iter().zip(step).map(|(s, &n)| s * n as isize).collect(),
            offset: if dims.contains(&0) { self.offset } else { self.offset + moved },
        }
    }

    /// Overlapping windows along an axis.
    pub fn windows(&self, axis: usize, count: usize, len: usize) -> Layout {
        let (mut dims, mut strides) = (self.dims.clone(), self.strides.clone());
        dims.splice(axis..=axis, [count, len]);
        strides.insert(axis, strides[axis]);
        Layout { dims, strides, offset: self.offset }
    }

    /// Extents of 1 repeated up to `dims`.
    pub fn broadcast(&self, dims: &[usize]) -> Layout {
        let strides = self.strides.iter().zip(&self.dims).zip(dims);
        Layout {
            dims: dims.to_vec(),
            strides: strides.map(|((&s, &d), &n)| if d == n { s } else { 0 }).collect(),
            offset: self.offset,
        }
    }

    /// The same elements in row-major order under other extents, where strides can say so.
    pub fn reshape(&self, dims: &[usize]) -> Option<Layout> {
        if self.is_empty() {
            return Some(Layout { offset: self.offset, ..Layout::dense(dims) });
        }
        let runs = self.runs();
        let mut runs = runs.iter().rev().copied();
        let (mut left, mut stride) = runs.next().unwrap_or((1, 1));
        let mut strides = vec![0; dims.len()];
        for (axis, &n) in dims.iter().enumerate().rev() {
            if n == 1 {
                strides[axis] = 1;
                continue;
            }
            while left == 1 {
                (left, stride) = runs.next()?;
            }
            if left % n != 0 {
                return None;
            }
            strides[axis] = stride;
            stride *= n as isize;
            left /= n;
        }
        Some(Layout { dims: dims.to_vec(), strides, offset: self.offset })
    }

    /// Extents and strides, outermost first, with neighbours merged where one continues the other.
    pub fn runs(&self) -> Vec<(usize, isize)> {
        let mut runs: Vec<(usize, isize)> = Vec::new();
        for (&d, &s) in self.dims.iter().zip(&self.strides).filter(|(d, _)| **d != 1) {
            match runs.last_mut() {
                Some((n, outer)) if *outer == s * d as isize => (*n, *outer) = (*n * d, s),
                _ => runs.push((d, s)),
            }
        }
        runs
    }

    /// The axes before `from` as one: their number of elements and the stride between them; `None` where
    /// one stride does not say it.
    pub fn rows(&self, from: usize) -> Option<(usize, isize)> {
        let outer =
            Layout { dims: self.dims[..from].to_vec(), strides: self.strides[..from].to_vec(), offset: 0 };
        match outer.runs()[..] {
            [] => Some((1, self.dims[from..].iter().product::<usize>() as isize)),
            [run] => Some(run),
            _ => None,
        }
    }

    /// The positions of the lowest and the highest element.
    pub fn reach(&self) -> Option<(isize, isize)> {
        if self.is_empty() {
            return None;
        }
        let (mut low, mut high) = (self.offset, self.offset);
        for (&d, &s) in self.dims.iter().zip(&self.strides) {
            let far = (d as isize - 1) * s;
            if far < 0 { low += far } else { high += far }
        }
        Some((low, high))
    }

    /// The positions of all elements, row-major.
    pub fn positions(&self) -> Vec<isize> {
        let mut at = vec![self.offset; self.len()];
        let mut block = self.len();
        for (&d, &s) in self.dims.iter().zip(&self.strides) {
            block /= d.max(1);
            if let Some(block) = (block > 0).then_some(block) {
                at.iter_mut().enumerate().for_each(|(i, p)| *p += (i / block % d) as isize * s);
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_compose() {
        let x = Layout::dense(&[2, 3, 4]);
        assert_eq!(x.strides, [12, 4, 1]);
        let t = x.transpose(&[2, 0, 1]);
        assert_eq!((t.dims.clone(), t.strides.clone()), (vec![4, 2, 3], vec![1, 12, 4]));
        assert_eq!(t.transpose_back(&[2, 0, 1]), x);
        let s = x.slice(&[1, 2, 0], &[1, -1, 2], &[1, 3, 2]);
        assert_eq!(s.positions(), [20, 22, 16, 18, 12, 14]);
        assert_eq!(s.reach(), Some((12, 22)));
        let w = Layout::dense(&[2, 5]).windows(1, 3, 2);
        assert_eq!(w.dims, [2, 3, 2]);
        assert_eq!(w.positions(), [0, 1, 1, 2, 2, 3, 5, 6, 6, 7, 7, 8]);
    }

    #[test]
    fn reshapes_follow_strides_or_give_up() {
        let x = Layout::dense(&[2, 3, 4]);
        assert_eq!(x.reshape(&[6, 1, 4]).unwrap().positions(), x.positions());
        let t = x.transpose(&[0, 2, 1]);
        assert_eq!(t.reshape(&[2, 2, 2, 3]).unwrap().positions(), t.positions());
        assert!(t.reshape(&[8, 3]).is_none());
        assert!(t.reshape(&[2, 12]).is_none());
        let b = Layout::dense(&[3, 1]).broadcast(&[3, 4]);
        assert_eq!(b.reshape(&[3, 2, 2]).unwrap().strides, [1, 0, 0]);
        assert!(b.reshape(&[12]).is_none());
    }

    #[test]
    fn strides_of_one_element_do_not_count() {
        let x = Layout::dense(&[1, 4, 3, 1]).slice(&[0, 0, 1, 0], &[1; 4], &[1, 4, 1, 1]);
        let back = x.reshape(&[4, 1]).unwrap();
        assert_eq!(back.reshape(&[1, 4, 1, 1]).unwrap(), x);
        assert_ne!(Layout { offset: 0, ..x.clone() }, x);
        assert_ne!(Layout::dense(&[1, 4, 1, 1]), Layout { offset: 0, ..x });
    }

    #[test]
    fn rows_have_one_stride_or_none() {
        let x = Layout::dense(&[2, 3, 8]);
        assert_eq!(x.rows(2), Some((6, 8)));
        assert_eq!(x.slice(&[0, 0, 2], &[1; 3], &[2, 3, 4]).rows(2), Some((6, 8)));
        assert_eq!(x.slice(&[0, 1, 0], &[1; 3], &[2, 2, 8]).rows(2), None);
        assert_eq!(Layout::dense(&[1, 8]).rows(1), Some((1, 8)));
    }

    #[test]
    fn nothing_is_dense_and_reaches_nowhere() {
        let x = Layout::dense(&[0, 3]);
        assert!(x.is_dense() && x.reach().is_none() && x.positions().is_empty());
        assert_eq!(x.reshape(&[3, 0]).unwrap().dims, [3, 0]);
    }
}
