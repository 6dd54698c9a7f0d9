//! Against the same programs in `f64`, at every instruction set, with equal bits; strides, tails, in place.

use super::*;
use crate::simd::for_each_level;
use alloc::vec;
use alloc::vec::Vec;

const KINDS: [RowKind; 4] = [
    RowKind::Softmax,
    RowKind::LogSoftmax,
    RowKind::LayerNorm { epsilon: 1e-5 },
    RowKind::RmsNorm { epsilon: 1e-6 },
];

#[test]
fn f32_agrees_with_f64() {
    for kind in KINDS {
        for n in [1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 260] {
            for rows in [0, 1, 3, 5, 16, 21] {
                let p = Rows { kind, rows, n, ldx: n + 3, ldy: n + 1 };
                let x: Vec<f32> = (0..rows * (n + 3)).map(|i| (i * 53 % 97) as f32 / 9.0 - 5.0).collect();
                let scale: Vec<f32> = (0..n).map(|i| 1.0 + (i % 100) as f32 / 7.0).collect();
                let bias: Vec<f32> = (0..n).map(|i| (i % 100) as f32 / 5.0 - 1.0).collect();
                let widen = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
                let mut want = vec![0.0f64; rows * (n + 1)];
                p.run(&mut want, &widen(&x), &widen(&scale), &widen(&bias));
                let mut first: Option<Vec<f32>> = None;
                for_each_level(|level| {
                    let mut y = vec![0.0f32; rows * (n + 1)];
                    p.run(&mut y, &x, &scale, &bias);
                    for (got, want) in y.iter().zip(&want) {
                        let close = (f64::from(*got) - want).abs() <= 4e-6 * want.abs().max(1.0);
                        assert!(close, "{kind:?} n={n} {}: {got} {want}", level.name());
                    }
                    assert_eq!(first.get_or_insert(y.clone()), &y, "{kind:?} n={n} at {}", level.name());
                    let same = Rows { ldx: n, ldy: n, ..p.clone() };
                    let dense: Vec<f32> = (0..rows).flat_map(|r| x[r * (n + 3)..][..n].to_vec()).collect();
                    let mut over = dense.clone();
                    same.run_in_place(&mut over, &scale, &bias);
                    let mut apart = vec![0.0; rows * n];
                    same.run(&mut apart, &dense, &scale, &bias);
                    assert_eq!(over, apart);
                });
            }
        }
    }
}

#[test]
fn infinities_and_nan_follow_ieee() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for_each_level(|level| {
        for n in [4usize, 20] {
            let p = Rows { kind: RowKind::Softmax, rows: 1, n, ldx: n, ldy: n };
            let run = |head: [f32; 3]| {
                let mut y = vec![0.0f32; n];
                y[..3].copy_from_slice(&head);
                p.run_in_place(&mut y, &[], &[]);
                y
            };
            assert!(run([nan, 1.0, 2.0]).iter().all(|v| v.is_nan()), "{}", level.name());
            let masked = run([-inf, 1.0, -inf]);
            assert!(masked[0] == 0.0 && masked[1] > 0.0 && masked[2] == 0.0, "{masked:?}");
            assert!(run([1e30, -1e30, 0.0])[0] == 1.0);
            let p = Rows { kind: RowKind::Softmax, rows: 1, n: 2, ldx: 2, ldy: 2 };
            let mut y = [-inf; 2];
            p.run_in_place(&mut y, &[], &[]);
            assert!(y[0].is_nan() && y[1].is_nan());
        }
    });
}
