//! Top-k against a stable sort, at every instruction set.

use super::TopK;
use crate::simd::for_each_level;
use crate::{DType, Element, bf16, f16};
use core::cmp::Ordering;

fn check<T: Element>(top: &TopK, x: &[T], order: impl Fn(&T, &T) -> Ordering) {
    let (mut values, mut indices) = (vec![], vec![]);
    for r in 0..top.rows {
        let row = &x[r * top.ldx..][..top.n];
        let mut sorted: Vec<usize> = (0..top.n).collect();
        sorted.sort_by(|&a, &b| if top.largest { order(&row[b], &row[a]) } else { order(&row[a], &row[b]) });
        values.extend(sorted[..top.k].iter().map(|&i| row[i]));
        indices.extend(sorted[..top.k].iter().map(|&i| i as i64));
    }
    for_each_level(|level| {
        let (mut v, mut i) = (vec![T::default(); values.len()], vec![-1; indices.len()]);
        top.run(&mut v, &mut i, x);
        assert_eq!(i, indices, "{top:?} of {} at {}: {x:?}", T::DTYPE, level.name());
        // NaN is not equal to itself: bits, by way of Debug.
        assert_eq!(format!("{v:?}"), format!("{values:?}"), "{top:?} at {}", level.name());
        i.fill(-1);
        top.run::<T>(&mut [], &mut i, x);
        assert_eq!(i, indices);
    });
}

fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Numbers in `0..m`, evenly mixed.
fn mixed(n: usize, m: u64, seed: u64) -> Vec<u64> {
    let mut s = seed | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            s.wrapping_mul(0x2545_f491_4f6c_dd1d) % m
        })
        .collect()
}

fn sizes() -> impl Iterator<Item = TopK> {
    let shapes = [
        (1, 1, 1),
        (3, 5, 5),
        (16, 7, 3),
        (17, 16, 8),
        (5, 33, 9),
        (33, 64, 8),
        (20, 100, 8),
        (18, 128, 17),
        (4, 127, 20),
        (3, 100, 40),
        (3, 100, 41),
        (2, 70, 70),
        (1, 3000, 16),
        (0, 4, 2),
        (4, 4, 0),
    ];
    shapes.into_iter().flat_map(|(rows, n, k)| {
        [(true, 0), (false, 0), (true, 3), (false, 3)].map(|(largest, gap)| TopK {
            rows,
            n,
            k,
            ldx: n + gap,
            largest,
        })
    })
}

#[test]
fn floats_with_and_without_ties() {
    for (seed, top) in sizes().enumerate() {
        for m in [1, 3, 50, u64::MAX] {
            let x: Vec<f32> = mixed(top.rows * top.ldx, m, seed as u64 + 1)
                .into_iter()
                .map(|v| if m == u64::MAX { f32::from_bits((v as u32) >> 1) } else { v as f32 })
                .collect();
            check(&top, &x, |&a, &b| float_order(a.into(), b.into()));
        }
    }
}

#[test]
fn special_floats() {
    let special =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 1.0, -1.0, f32::MIN_POSITIVE];
    for (seed, top) in sizes().enumerate() {
        for count in [2, 4, 9] {
            let x: Vec<f32> = mixed(top.rows * top.ldx, count, seed as u64 + 1)
                .into_iter()
                .map(|v| special[v as usize])
                .collect();
            check(&top, &x, |&a, &b| float_order(a.into(), b.into()));
        }
    }
}

#[test]
fn every_type() {
    for (seed, top) in sizes().enumerate() {
        let x = mixed(top.rows * top.ldx, u64::MAX, seed as u64 + 1);
        macro_rules! check_as {
            ($($t:ty)*) => {$(
                check(&top, &x.iter().map(|&v| v as $t).collect::<Vec<_>>(), <$t>::cmp);
            )*};
        }
        check_as!(i8 i16 i32 i64 u8 u16 u32 u64);
        check(&top, &x.iter().map(|&v| v % 2 == 1).collect::<Vec<_>>(), bool::cmp);
        check(&top, &x.iter().map(|&v| f64::from_bits(v)).collect::<Vec<_>>(), |&a, &b| float_order(a, b));
        let half: Vec<f16> = x.iter().map(|&v| f16::from_bits(v as u16)).collect();
        check(&top, &half, |a, b| float_order(a.to_f64(), b.to_f64()));
        let half: Vec<bf16> = x.iter().map(|&v| bf16::from_bits(v as u16)).collect();
        check(&top, &half, |a, b| float_order(a.to_f64(), b.to_f64()));
    }
    assert_eq!(DType::F32, f32::DTYPE);
}

#[test]
#[should_panic(expected = "top_k: more elements wanted than a row has")]
fn too_many_wanted() {
    let top = TopK { rows: 1, n: 3, k: 4, ldx: 3, largest: true };
    top.run(&mut [0f32; 4], &mut [0; 4], &[0.0; 3]);
}

/// Padded particles have one and the same distance from everything: most of a row equals the k-th best, or all of it does.
#[test]
fn rows_most_of_which_are_alike() {
    for (n, k, alike) in [(100, 8, 60), (128, 17, 100), (300, 8, 250), (300, 40, 290), (70, 5, 70)] {
        for seed in 1..6 {
            let mut x: Vec<f32> = mixed(18 * n, 1000, seed).into_iter().map(|v| v as f32).collect();
            for (at, v) in x.iter_mut().enumerate() {
                let of_those = at * 7919 % n < alike;
                *v = if of_those { [-1e9, 990.0, -0.0][at / n % 3] } else { *v };
            }
            for largest in [true, false] {
                let top = TopK { rows: 18, n, k, ldx: n, largest };
                check(&top, &x, |a: &f32, b| float_order(*a as f64, *b as f64));
            }
        }
    }
}
