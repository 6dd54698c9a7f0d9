//! Gathers against loops that follow ONNX's definitions, at every instruction set.

use super::Gather;
use crate::copy::Strided;
use crate::copy::tests::{View, each, position, view};
use crate::simd::for_each_level;
use proptest::prelude::*;

fn dense(dims: &[usize]) -> View {
    View { view: Strided::dense(dims).unwrap(), len: dims.iter().product() }
}

/// A few ways to lay out a tensor: row-major, its axes backwards in memory, every other element, reversed.
fn laid_out(dims: &[usize], way: u8) -> View {
    let mut order: Vec<usize> = (0..dims.len()).rev().collect();
    if way == 1 {
        order.reverse();
    }
    view(dims, &order, &vec![way.saturating_sub(1); dims.len()])
}

/// Indices in `-n..n`, as ONNX allows.
fn indices(len: usize, n: usize, seed: u64) -> Vec<i64> {
    (0..len as u64)
        .map(|i| {
            let r = (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            r as i64 % (2 * n as i64) - n as i64
        })
        .collect()
}

fn wrap(i: i64, n: usize) -> usize {
    usize::try_from(if i < 0 { i + n as i64 } else { i }).unwrap()
}

fn check(gather: &Gather, expected: &[u32], x: &[u32], index: &[i64]) {
    let narrow: Vec<i32> = index.iter().map(|&i| i as i32).collect();
    for_each_level(|level| {
        let mut y = vec![u32::MAX; expected.len()];
        gather.run(&mut y, x, index);
        assert_eq!(y, expected, "{gather:?} at {}", level.name());
        y.fill(u32::MAX);
        gather.run(&mut y, x, &narrow);
        assert_eq!(y, expected, "{gather:?} at {}", level.name());
        let (bytes, mut y) = (x.iter().map(|&x| x as u8).collect::<Vec<_>>(), vec![0; expected.len()]);
        gather.run(&mut y, &bytes, index);
        assert!(y.iter().zip(expected).all(|(&y, &e)| e == u32::MAX || y == e as u8), "{gather:?}");
        let (longs, mut y) = (x.iter().map(|&x| u64::from(x)).collect::<Vec<_>>(), vec![0; expected.len()]);
        gather.run(&mut y, &longs, index);
        assert!(y.iter().zip(expected).all(|(&y, &e)| e == u32::MAX || y == u64::from(e)), "{gather:?}");
    });
}

/// Of each length that has a loop of its own, and of its neighbours; dense and in a part of wider rows.
#[test]
fn rows_of_a_few_words() {
    let index = indices(13, 6, 5);
    for (len, apart) in (1..10).flat_map(|len| [(len, 0), (len, 3)]) {
        let x: Vec<u32> = (0..6 * len as u32).collect();
        let (step, dims) = ((len + apart) as isize, [13, len]);
        let y = Strided::new(&dims, &[step, 1], 0).unwrap();
        let (xv, iv) = (Strided::dense(&[6, len]).unwrap(), Strided::dense(&[13]).unwrap());
        let mut expected = vec![u32::MAX; 13 * (len + apart)];
        each(&dims, |at| {
            expected[at[0] * (len + apart) + at[1]] = x[wrap(index[at[0]], 6) * len + at[1]];
        });
        check(&Gather::slices(&y, &xv, &iv, 0, 0).unwrap(), &expected, &x, &index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn slices(
        batch in prop::collection::vec(1usize..4, 0..2),
        outer in prop::collection::vec(0usize..4, 0..2),
        n in 1usize..7,
        inner in prop::collection::vec(0usize..40, 0..2),
        which in prop::collection::vec(0usize..6, 0..3),
        ways in (0u8..4, 0u8..4, 0u8..3),
        seed in any::<u32>(),
    ) {
        let xd = [&batch[..], &outer, &[n], &inner].concat();
        let id = [&batch[..], &which].concat();
        let yd = [&batch[..], &outer, &which, &inner].concat();
        let (xv, iv, yv) = (laid_out(&xd, ways.0), laid_out(&id, ways.1), laid_out(&yd, ways.2));
        let x: Vec<u32> = (0..xv.len as u32).collect();
        let index = indices(iv.len, n, seed.into());
        let (b, o, w) = (batch.len(), outer.len(), which.len());
        let mut expected = vec![u32::MAX; yv.len];
        each(&yd, |at| {
            let i = index[position(&iv.view, &[&at[..b], &at[b + o..][..w]].concat())];
            let from = [&at[..b + o], &[wrap(i, n)], &at[b + o + w..]].concat();
            expected[position(&yv.view, at)] = x[position(&xv.view, &from)];
        });
        let gather = Gather::slices(&yv.view, &xv.view, &iv.view, b + o, b).unwrap();
        check(&gather, &expected, &x, &index);
    }

    #[test]
    fn elements(
        axes in prop::collection::vec((1usize..6, 0usize..6), 1..4),
        axis in any::<prop::sample::Index>(),
        ways in (0u8..4, 0u8..4),
        broadcast in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let xd: Vec<usize> = axes.iter().map(|a| a.0).collect();
        let axis = axis.index(xd.len());
        let id: Vec<usize> =
            axes.iter().enumerate().map(|(a, d)| if a == axis { d.1 } else { d.1.min(d.0) }).collect();
        let mut iv = laid_out(&id, ways.1);
        if broadcast {
            // One index for each place along the axis: what exporters write for whole rows.
            let kinds: Vec<u8> = (0..id.len()).map(|a| if a == axis { 0 } else { 3 }).collect();
            iv = view(&id, &(0..id.len()).collect::<Vec<_>>(), &kinds);
        }
        let xv = laid_out(&xd, ways.0);
        let x: Vec<u32> = (0..xv.len as u32).collect();
        let index = indices(iv.len, xd[axis], seed.into());
        let yv = dense(&id);
        let mut expected = vec![u32::MAX; yv.len];
        each(&id, |at| {
            let mut from = at.to_vec();
            from[axis] = wrap(index[position(&iv.view, at)], xd[axis]);
            expected[position(&yv.view, at)] = x[position(&xv.view, &from)];
        });
        let gather = Gather::elements(&yv.view, &xv.view, &iv.view, axis).unwrap();
        check(&gather, &expected, &x, &index);
    }

    #[test]
    fn nd(
        batch in prop::collection::vec(1usize..4, 0..2),
        indexed in prop::collection::vec(1usize..5, 0..4),
        inner in prop::collection::vec(0usize..20, 0..2),
        which in prop::collection::vec(0usize..6, 0..2),
        ways in (0u8..4, 0u8..4),
        seed in any::<u32>(),
    ) {
        let d = indexed.len();
        let xd = [&batch[..], &indexed, &inner].concat();
        let id = [&batch[..], &which, &[d]].concat();
        let yd = [&batch[..], &which, &inner].concat();
        let (xv, iv, yv) = (laid_out(&xd, ways.0), laid_out(&id, ways.1), dense(&yd));
        let x: Vec<u32> = (0..xv.len as u32).collect();
        // Each component inside its own axis, which the smallest extent is for all.
        let index = indices(iv.len, indexed.iter().copied().min().unwrap_or(1), seed.into());
        let (b, w) = (batch.len(), which.len());
        let mut expected = vec![u32::MAX; yv.len];
        each(&yd, |at| {
            let tuple = (0..d).map(|c| {
                wrap(index[position(&iv.view, &[&at[..b + w], &[c]].concat())], indexed[c])
            });
            let from: Vec<usize> =
                at[..b].iter().copied().chain(tuple).chain(at[b + w..].iter().copied()).collect();
            expected[position(&yv.view, at)] = x[position(&xv.view, &from)];
        });
        let gather = Gather::nd(&yv.view, &xv.view, &iv.view, b).unwrap();
        check(&gather, &expected, &x, &index);
    }
}

fn rows_of_five(index: &[i64]) {
    let s = |dims: &[usize]| Strided::dense(dims).unwrap();
    let gather = Gather::slices(&s(&[2, 3]), &s(&[5, 3]), &s(&[2]), 0, 0).unwrap();
    gather.run(&mut [0f32; 6], &[0f32; 15], index);
}

#[test]
#[should_panic(expected = "gather: index 5 is outside an axis of 5")]
fn an_index_past_the_end() {
    rows_of_five(&[0, 5]);
}

#[test]
#[should_panic(expected = "gather: index -6 is outside an axis of 5")]
fn an_index_before_the_start() {
    rows_of_five(&[-6, 0]);
}

#[test]
#[should_panic(expected = "gather: index -9223372036854775808 is outside an axis of 5")]
fn the_least_index() {
    rows_of_five(&[i64::MIN, 0]);
}

#[test]
#[should_panic(expected = "gather: outside the index")]
fn a_short_index() {
    rows_of_five(&[0]);
}
