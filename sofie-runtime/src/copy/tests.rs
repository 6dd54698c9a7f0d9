//! Copies against a loop over all index tuples, at every instruction set.

use super::{Copy, Pad, RANK, Strided};
use crate::map::Scalar;
use crate::simd::for_each_level;
use crate::{DType, Element};
use proptest::prelude::*;

/// Calls `f` with every index tuple below `dims`, in row-major order.
pub(crate) fn each(dims: &[usize], mut f: impl FnMut(&[usize])) {
    if dims.contains(&0) {
        return;
    }
    let mut at = vec![0; dims.len()];
    loop {
        f(&at);
        let Some(a) = (0..dims.len()).rev().find(|&a| at[a] + 1 < dims[a]) else { return };
        at[a] += 1;
        at[a + 1..].fill(0);
    }
}

/// The position of element `at` of a view.
pub(crate) fn position(view: &Strided, at: &[usize]) -> usize {
    let p = view.strides().iter().zip(at).fold(view.offset(), |p, (&s, &i)| p + s * i as isize);
    usize::try_from(p).unwrap()
}

/// A view of a buffer of `len` elements, every axis a random way of walking it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) view: Strided,
    pub(crate) len: usize,
}

/// What an axis does: `0` forwards, `1` every other element, `2` backwards, `3` broadcast.
pub(crate) fn view(dims: &[usize], order: &[usize], kinds: &[u8]) -> View {
    let mut strides = vec![0isize; dims.len()];
    let (mut len, mut offset) = (1usize, 0isize);
    for &a in order {
        let extent = dims[a].max(1);
        match kinds[a] {
            0 => (strides[a], len) = (len as isize, len * extent),
            1 => {
                strides[a] = 2 * len as isize;
                offset += len as isize;
                len *= 2 * extent;
            }
            2 => {
                strides[a] = -(len as isize);
                offset += (len * (extent - 1)) as isize;
                len *= extent;
            }
            _ => {}
        }
    }
    View { view: Strided::new(dims, &strides, offset as usize).unwrap(), len }
}

/// Values that differ from their neighbours in every byte.
fn values<T: Element>(n: usize, of: impl Fn(u64) -> T) -> Vec<T> {
    (0..n as u64).map(|i| of(i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17))).collect()
}

fn check<T: Element>(dst: &View, src: &View, of: impl Fn(u64) -> T) {
    let x = values(src.len, &of);
    let before = vec![of(0x5555); dst.len];
    let mut expected = before.clone();
    each(dst.view.dims(), |at| expected[position(&dst.view, at)] = x[position(&src.view, at)]);
    let copy = Copy::new(&dst.view, &src.view).unwrap();
    for_each_level(|level| {
        let mut y = before.clone();
        copy.run(&mut y, &x);
        assert_eq!(y, expected, "{copy:?} at {}", level.name());
    });
}

fn check_all(dst: &View, src: &View) {
    check(dst, src, |b| b as u8);
    check(dst, src, |b| b as i16);
    check(dst, src, |b| b as u32);
    check(dst, src, |b| b);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_view_into_any_view(
        axes in prop::collection::vec((0usize..20, 0u8..4, 0u8..3), 0..4),
        shuffle in any::<(u64, u64)>(),
    ) {
        let dims: Vec<usize> = axes.iter().map(|a| a.0).collect();
        let order = |mut seed: u64| {
            let mut order: Vec<usize> = (0..dims.len()).collect();
            for i in (1..order.len()).rev() {
                order.swap(i, (seed % (i as u64 + 1)) as usize);
                seed /= i as u64 + 1;
            }
            order
        };
        let src = view(&dims, &order(shuffle.0), &axes.iter().map(|a| a.1).collect::<Vec<_>>());
        let dst = view(&dims, &order(shuffle.1), &axes.iter().map(|a| a.2).collect::<Vec<_>>());
        check_all(&dst, &src);
    }
}

#[test]
fn transposes_of_every_tail() {
    for (rows, cols) in [(1, 40), (3, 40), (5, 5), (16, 16), (17, 33), (40, 3), (40, 4), (64, 48), (7, 16)] {
        let dims = [2, rows, cols];
        check_all(&view(&dims, &[2, 1, 0], &[0; 3]), &view(&dims, &[1, 2, 0], &[0; 3]));
    }
}

#[test]
fn runs_of_every_length() {
    for n in (0..70).chain([127, 128, 129, 1000, 4100]) {
        check_all(&view(&[3, n], &[1, 0], &[1, 0]), &view(&[3, n], &[1, 0], &[2, 0]));
        check_all(&view(&[3, n], &[1, 0], &[1, 0]), &view(&[3, n], &[1, 0], &[0, 3]));
    }
}

#[test]
fn axes_merge_and_sort() {
    let dims = [2, 3, 4, 5];
    let dense = Strided::dense(&dims).unwrap();
    assert_eq!(Copy::new(&dense, &dense).unwrap(), Copy::dense(120));
    // The destination's order decides, whatever the order of the axes.
    let a = Strided::new(&[4, 3], &[1, 4], 0).unwrap();
    let b = Strided::new(&[4, 3], &[3, 1], 0).unwrap();
    let copy = Copy::new(&a, &b).unwrap();
    assert_eq!((copy.rank, copy.dims[..2].to_vec(), copy.dst[..2].to_vec()), (2, vec![3, 4], vec![4, 1]));
    // Reversing both sides is no reversal.
    let back = Strided::new(&[6], &[-1], 5).unwrap();
    assert!(Copy::new(&back, &back).unwrap().is_dense());
    assert!(Copy::new(&dense, &Strided::dense(&[120]).unwrap()).is_none());
    let deep = [2; RANK + 1];
    let order: Vec<usize> = (0..RANK + 1).collect();
    let even = view(&deep, &order, &[1; RANK + 1]).view;
    assert!(Copy::new(&even, &Strided::dense(&deep).unwrap()).is_none());
}

#[test]
#[should_panic(expected = "copy: outside the source")]
fn reads_stay_inside() {
    Copy::dense(5).run(&mut [0u8; 5], &[0u8; 4]);
}

#[test]
#[should_panic(expected = "copy: outside the destination")]
fn writes_stay_inside() {
    let mut copy = Copy::dense(5);
    copy.dst[0] = -1;
    copy.dst_offset = 3;
    copy.run(&mut [0u8; 5], &[0u8; 5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn pads(
        axes in prop::collection::vec((0usize..9, 0usize..4, 0usize..4, 0u8..4), 0..4),
        turned in any::<bool>(),
    ) {
        let dims: Vec<usize> = axes.iter().map(|a| a.0).collect();
        let (before, after): (Vec<_>, Vec<_>) = axes.iter().map(|a| (a.1, a.2)).unzip();
        let mut order: Vec<usize> = (0..dims.len()).rev().collect();
        if turned {
            order.reverse();
        }
        let x = view(&dims, &order, &axes.iter().map(|a| a.3).collect::<Vec<_>>());
        let padded: Vec<usize> = axes.iter().map(|a| a.0 + a.1 + a.2).collect();
        let y = Strided::dense(&padded).unwrap();
        let data = values(x.len, |b| b as i32);
        let mut expected = vec![-7; padded.iter().product()];
        each(&dims, |at| {
            let shifted: Vec<usize> = at.iter().zip(&before).map(|(i, b)| i + b).collect();
            expected[position(&y, &shifted)] = data[position(&x.view, at)];
        });
        let value = Scalar { dtype: DType::I32, bits: -7i32 as u32 as u64 };
        let pad = Pad::new(&x.view, &before, &after, value).unwrap();
        prop_assert_eq!(pad.len, expected.len());
        for_each_level(|_| {
            let mut y = vec![3; expected.len()];
            pad.run(&mut y, &data);
            assert_eq!(y, expected, "{pad:?}");
        });
    }
}
