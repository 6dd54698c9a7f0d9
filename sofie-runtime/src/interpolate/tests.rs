//! Resampling against its definition, bit for bit at every level.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::simd::for_each_level;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_definition(
        outer in 0usize..3, x_extent in 1usize..8, y_extent in 0usize..8, inner in 0usize..90, taps in 1usize..6,
        seed in prop::collection::vec(any::<u32>(), 61),
        odd in prop::sample::select(vec![1.0, -0.0, f32::NAN, f32::INFINITY]),
    ) {
        let shape = Interpolate { outer, x: x_extent, y: y_extent, inner, taps };
        let at = |i: usize| seed[(i + i / 7) % 61];
        let float = |i: usize| (at(i) % 4001) as f32 / 1000.0 - 2.0;
        let index: Vec<u32> = (0..y_extent * taps).map(|i| at(i) % x_extent as u32).collect();
        let weight: Vec<f32> = (0..y_extent * taps).map(|i| float(i + 5)).collect();
        let mut x: Vec<f32> = (0..outer * x_extent * inner).map(|i| float(i + 9)).collect();
        if let Some(x) = x.last_mut() {
            *x = odd;
        }
        let mut expected = vec![0.0; outer * y_extent * inner];
        for o in 0..outer {
            for j in 0..y_extent {
                for i in 0..inner {
                    let term = |t: usize| {
                        let t = j * taps + t;
                        (weight[t], x[(o * x_extent + index[t] as usize) * inner + i])
                    };
                    let mut sum = term(0).0 * term(0).1;
                    for t in 1..taps {
                        sum = term(t).0.mul_add(term(t).1, sum);
                    }
                    expected[(o * y_extent + j) * inner + i] = sum;
                }
            }
        }
        for_each_level(|level| {
            let mut y = vec![7.5; expected.len()];
            shape.run(&mut y, &x, &index, &weight);
            for (&y, &e) in y.iter().zip(&expected) {
                let same = y.to_bits() == e.to_bits() || y.is_nan() && e.is_nan();
                assert!(same, "{} {shape:?}: {y:e}, expected {e:e}", level.name());
            }
        });
        let mut y = vec![7.5; expected.len()];
        shape.run_plain(&mut y, &x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), &index, &weight);
        for (&y, &e) in y.iter().zip(&expected) {
            let e = f64::from(e);
            assert!(y == e || y.is_nan() && e.is_nan() || (y - e).abs() <= 1e-5, "{shape:?}: {y:e}, expected {e:e}");
        }
        if taps == 1 {
            let bytes: Vec<u8> = (0..x.len()).map(|i| at(i) as u8).collect();
            let wide: Vec<i64> = bytes.iter().map(|&b| i64::from(b) << 40).collect();
            let (mut y1, mut y8) = (vec![0; expected.len()], vec![0; expected.len()]);
            shape.run_copy(&mut y1, &bytes, &index);
            shape.run_copy(&mut y8, &wide, &index);
            for o in 0..outer {
                for (j, &from) in index.iter().enumerate() {
                    for i in 0..inner {
                        let to = (o * y_extent + j) * inner + i;
                        let from = (o * x_extent + from as usize) * inner + i;
                        assert_eq!((y1[to], y8[to]), (bytes[from], wide[from]));
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "an index is outside")]
fn an_index_outside_is_refused() {
    Interpolate { outer: 1, x: 2, y: 1, inner: 1, taps: 1 }.run(&mut [0.0], &[0.0; 2], &[2], &[1.0]);
}
