//! Pooling against its definition, bit for bit at every level.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::simd::for_each_level;

/// The definition, over signed coordinates.
pub(crate) fn oracle(pool: &Pool, y: &mut [f32], x: &[f32]) {
    let w = &pool.window;
    for row in 0..pool.batch * w.y_pixels() {
        let o = Pixel::of_row(row, &w.y);
        for ch in 0..pool.c {
            let (mut largest, mut sum, mut count) = (f32::NEG_INFINITY, 0.0, 0);
            for tap in 0..w.taps() {
                let k = Pixel::of_row(tap, &w.kernel).at;
                let at = [0, 1, 2].map(|i| {
                    (o.at[i] * w.strides[i] + k[i] * w.dilations[i]) as isize - w.pads_begin[i] as isize
                });
                let within = |pads: bool| {
                    (0..3).all(|i| {
                        let end = w.x[i] + if pads { pool.pads_end[i] } else { 0 };
                        at[i] < end as isize && (pads || at[i] >= 0)
                    })
                };
                if within(false) {
                    let mut row = o.image;
                    for (at, extent) in at.into_iter().zip(w.x) {
                        row = row * extent + at as usize;
                    }
                    let x = x[row * pool.ldx + ch];
                    sum += x;
                    largest = if largest > x || largest.is_nan() { largest } else { x };
                }
                count += usize::from(within(pool.kind == PoolKind::AverageWithPads));
            }
            y[row * pool.ldy + ch] =
                if pool.kind == PoolKind::Max { largest } else { sum / count.max(1) as f32 };
        }
    }
}

fn axis() -> impl Strategy<Value = [usize; 7]> {
    (1usize..=8, 1usize..=4, 1usize..=3, 1usize..=2, 0usize..=3, 0usize..=3, 0usize..=2).prop_map(
        |(x, kernel, stride, dilation, begin, end, overhang)| {
            let y = (x + begin + end + overhang).saturating_sub((kernel - 1) * dilation + 1) / stride + 1;
            [x, y, kernel, stride, dilation, begin, end]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_definition(
        axes in prop::collection::vec(axis(), 1..=3), c in 0usize..90, batch in 0usize..3, apart in 0usize..2,
        kind in prop::sample::select(vec![PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPads]),
        seed in prop::collection::vec(prop_oneof![
            30 => -2.0f32..2.0,
            1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        ], 97),
    ) {
        let get = |j: usize| axes.iter().map(|a| a[j]).collect::<Vec<_>>();
        let window = Window::new(&get(0), &get(1), &get(2), &get(3), &get(4), &get(5));
        let mut pads_end = [0; 3];
        pads_end[3 - axes.len()..].copy_from_slice(&get(6));
        let pool = Pool { ldx: c + apart, ldy: c + 2 * apart, ..Pool::new(kind, batch, window, pads_end, c) };
        let x: Vec<f32> =
            (0..extent(batch * window.x_pixels(), pool.ldx, c)).map(|i| seed[(i + i / 7) % 97]).collect();
        let untouched = vec![7.5; extent(batch * window.y_pixels(), pool.ldy, c)];
        let mut expected = untouched.clone();
        if c != 0 {
            oracle(&pool, &mut expected, &x);
        }
        for_each_level(|level| {
            let mut y = untouched.clone();
            pool.run(&mut y, &x);
            for (i, (&y, &e)) in y.iter().zip(&expected).enumerate() {
                let same = y.to_bits() == e.to_bits() || y.is_nan() && e.is_nan();
                assert!(same, "{} {pool:?}: element {i} is {y:e}, expected {e:e}", level.name());
            }
        });
        let mut y = untouched.iter().map(|&y| f64::from(y)).collect::<Vec<_>>();
        pool.run_plain(&mut y, &x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        for (i, (&y, &e)) in y.iter().zip(&expected).enumerate() {
            let e = f64::from(e);
            let same = y == e || y.is_nan() && e.is_nan() || (y - e).abs() <= 1e-5;
            assert!(same, "{pool:?}: element {i} is {y:e}, expected {e:e}");
        }
        let bytes: Vec<i8> = x.iter().map(|x| (x * 70.0) as i8).collect();
        let floats: Vec<f32> = bytes.iter().map(|x| f32::from(*x)).collect();
        let mut expected: Vec<f32> = untouched.iter().map(|y| y.trunc()).collect();
        if c != 0 {
            oracle(&pool, &mut expected, &floats);
        }
        // Towards zero, and the least there is of nothing.
        let expected: Vec<i8> = expected.into_iter().map(|y| y as i8).collect();
        let mut y = untouched.iter().map(|y| *y as i8).collect::<Vec<_>>();
        pool.run_plain(&mut y, &bytes);
        assert_eq!(y, expected, "{:?}", pool);
    }
}

#[test]
fn integers_and_half_floats() {
    let window = Window::new(&[4], &[2], &[2], &[2], &[1], &[0]);
    let mut y = [0u8; 2];
    Pool::new(PoolKind::Max, 1, window, [0; 3], 1).run_plain(&mut y, &[3, 200, 0, 0]);
    assert_eq!(y, [200, 0]);
    let mut y = [0i8; 2];
    Pool::new(PoolKind::Average, 1, window, [0; 3], 1).run_plain(&mut y, &[-100, -101, 120, 127]);
    assert_eq!(y, [-100, 123]);
    let x = [1.0, 2.0, f32::NAN, 4.0].map(crate::f16::from_f32);
    let mut y = [crate::f16::ZERO; 2];
    Pool::new(PoolKind::Max, 1, window, [0; 3], 1).run_plain(&mut y, &x);
    assert_eq!(y[0].to_f32(), 2.0);
    assert!(y[1].is_nan());
}
