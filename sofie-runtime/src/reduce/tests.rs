//! Against plain sums over positions, on every instruction set, with equal bits.

use super::*;
use crate::simd::for_each_level;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const KINDS: [ReduceKind; 10] = [
    ReduceKind::Sum,
    ReduceKind::Mean,
    ReduceKind::Prod,
    ReduceKind::Max,
    ReduceKind::Min,
    ReduceKind::L1,
    ReduceKind::L2,
    ReduceKind::SumSquare,
    ReduceKind::LogSum,
    ReduceKind::LogSumExp,
];

fn oracle(kind: ReduceKind, x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match kind {
        ReduceKind::Sum => x.iter().sum(),
        ReduceKind::Mean => x.iter().sum::<f64>() / x.len() as f64,
        ReduceKind::Prod => x.iter().product(),
        ReduceKind::Max => max,
        ReduceKind::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
        ReduceKind::L1 => x.iter().map(|x| x.abs()).sum(),
        ReduceKind::L2 => x.iter().map(|x| x * x).sum::<f64>().sqrt(),
        ReduceKind::SumSquare => x.iter().map(|x| x * x).sum(),
        ReduceKind::LogSum => x.iter().sum::<f64>().ln(),
        ReduceKind::LogSumExp => x.iter().map(|x| (x - max).exp()).sum::<f64>().ln() + max,
    }
}

/// The elements of each result, for a permuted view of dense data.
fn cells(dims: &[usize], strides: &[isize], axes: &[usize]) -> Vec<Vec<usize>> {
    let mut cells = vec![Vec::new()];
    for (a, &dim) in dims.iter().enumerate() {
        if !axes.contains(&a) {
            cells = cells.into_iter().flat_map(|_| vec![Vec::new(); dim]).collect();
        }
    }
    let total: usize = dims.iter().product();
    for i in 0..total {
        let (mut rest, mut at, mut cell) = (i, 0isize, 0);
        let mut index = vec![0; dims.len()];
        for a in (0..dims.len()).rev() {
            index[a] = rest % dims[a];
            rest /= dims[a];
        }
        for a in 0..dims.len() {
            at += index[a] as isize * strides[a];
            if !axes.contains(&a) {
                cell = cell * dims[a] + index[a];
            }
        }
        cells[cell].push(at as usize);
    }
    cells
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn f32_agrees_with_plain_sums(
        shape in prop::collection::vec(0usize..40, 1..4),
        perm in Just([2usize, 0, 1]),
        mask in 0usize..8,
        permuted: bool,
    ) {
        let rank = shape.len();
        let mut strides = vec![1isize; rank];
        for a in (0..rank - 1).rev() {
            strides[a] = strides[a + 1] * shape[a + 1].max(1) as isize;
        }
        let order: Vec<usize> = if permuted { perm.iter().copied().filter(|&a| a < rank).collect() } else { (0..rank).collect() };
        let dims: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let strides: Vec<isize> = order.iter().map(|&a| strides[a]).collect();
        let axes: Vec<usize> = (0..rank).filter(|a| mask >> a & 1 == 1).collect();
        let x: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i * 37 % 101) as f32 / 50.0 + 0.1).collect();
        let kept: Vec<usize> = (0..rank).map(|a| if axes.contains(&a) { 1 } else { dims[a] }).collect();
        let cells = cells(&dims, &strides, &axes);
        let view = Strided::new(&dims, &strides, 0).unwrap();
        for kind in KINDS {
            let r = Reduce::new(kind, &Strided::dense(&kept).unwrap(), &view, &axes).unwrap();
            let mut first: Option<Vec<u32>> = None;
            for_each_level(|level| {
                let mut y = vec![f32::NAN; kept.iter().product()];
                r.run(&mut y, &x);
                for (cell, &got) in cells.iter().zip(&y) {
                    let values: Vec<f64> = cell.iter().map(|&i| x[i] as f64).collect();
                    let want = oracle(kind, &values) as f32;
                    let close = (got - want).abs() <= 2e-5 * want.abs().max(1.0);
                    assert!(close || got == want || got.is_nan() && want.is_nan() || kind == ReduceKind::Prod && want.abs() > 1e20 || values.is_empty(), "{kind:?} {}: {got} {want}", level.name());
                }
                let bits: Vec<u32> = y.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect();
                assert_eq!(first.get_or_insert(bits.clone()), &bits, "{kind:?} at {}", level.name());
            });
        }
    }
}

#[test]
fn nothing_reduces_to_the_start() {
    let x = Strided::dense(&[2, 0]).unwrap();
    let y = Strided::dense(&[2, 1]).unwrap();
    for (kind, want) in [
        (ReduceKind::Sum, 0.0),
        (ReduceKind::Prod, 1.0),
        (ReduceKind::Max, f32::NEG_INFINITY),
        (ReduceKind::Min, f32::INFINITY),
        (ReduceKind::LogSumExp, f32::NEG_INFINITY),
    ] {
        let mut out = [7.0f32; 2];
        Reduce::new(kind, &y, &x, &[1]).unwrap().run(&mut out, &[]);
        assert_eq!(out, [want; 2], "{kind:?}");
    }
}

#[test]
fn nan_and_infinity_flow() {
    let (x, y) = (Strided::dense(&[3, 2]).unwrap(), Strided::dense(&[3, 1]).unwrap());
    let data = [f32::NAN, 1.0, f32::INFINITY, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
    for_each_level(|_| {
        let mut out = [0.0f32; 3];
        Reduce::new(ReduceKind::Max, &y, &x, &[1]).unwrap().run(&mut out, &data);
        assert!(out[0].is_nan() && out[1] == f32::INFINITY && out[2] == f32::NEG_INFINITY);
        Reduce::new(ReduceKind::LogSumExp, &y, &x, &[1]).unwrap().run(&mut out, &data);
        assert!(out[0].is_nan() && out[1] == f32::INFINITY && out[2] == f32::NEG_INFINITY);
    });
}

#[test]
fn other_types_wrap_or_widen() {
    let (x, y) = (Strided::dense(&[3]).unwrap(), Strided::dense(&[1]).unwrap());
    let sum = |kind| Reduce::new(kind, &y, &x, &[0]).unwrap();
    let mut small = [0u8];
    sum(ReduceKind::Sum).run(&mut small, &[200u8, 100, 1]);
    assert_eq!(small, [45]);
    // A mean lies among its elements, even where their sum does not fit.
    sum(ReduceKind::Mean).run(&mut small, &[227u8, 0, 45]);
    assert_eq!(small, [90]);
    let mut wide = [0i64];
    sum(ReduceKind::Mean).run(&mut wide, &[i64::MAX, i64::MAX, i64::MAX - 3]);
    assert_eq!(wide, [i64::MAX - 1]);
    sum(ReduceKind::Mean).run(&mut wide, &[i64::MAX, 1, -3]);
    assert_eq!(wide, [(i64::MAX - 2) / 3]);
    let mut half = [crate::f16::ZERO];
    sum(ReduceKind::Sum).run(&mut half, &[2048.0, 1.0, 1.0].map(crate::f16::from_f32));
    assert_eq!(half[0].to_f32(), 2050.0);
    let mut double = [0.0f64];
    sum(ReduceKind::L2).run(&mut double, &[3.0, 4.0, 12.0]);
    assert_eq!(double, [13.0]);
}

#[test]
fn arguments_follow_numpy() {
    let (x, y) = (Strided::dense(&[2, 3]).unwrap(), Strided::dense(&[2, 1]).unwrap());
    let run = |largest, last, data: [f32; 6]| {
        let mut out = [0; 2];
        ArgReduce::new(largest, last, &y, &x, 1).unwrap().run(&mut out, &data);
        out
    };
    let data = [1.0, 3.0, 3.0, -1.0, -1.0, 0.0];
    assert_eq!(run(true, false, data), [1, 2]);
    assert_eq!(run(true, true, data), [2, 2]);
    assert_eq!(run(false, true, data), [0, 1]);
    assert_eq!(run(true, false, [1.0, f32::NAN, 9.0, 0.0, -0.0, 0.0]), [1, 0]);
    assert!(
        ArgReduce::new(true, false, &Strided::dense(&[1]).unwrap(), &Strided::dense(&[0]).unwrap(), 0)
            .is_none()
    );
}

/// The position by NumPy's rules, in plain words.
fn position(largest: bool, last: bool, x: &[f64]) -> i64 {
    let best = x.iter().copied().reduce(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, _) => a,
        (_, true) => b,
        _ if largest => a.max(b),
        _ => a.min(b),
    });
    let same = |x: &f64| Some(*x) == best || x.is_nan() && best.is_some_and(f64::is_nan);
    (if last { x.iter().rposition(same) } else { x.iter().position(same) }).unwrap() as i64
}

#[test]
fn arguments_along_any_axis() {
    let values: Vec<f32> =
        (0..7000).map(|i: u32| ((i.wrapping_mul(2_654_435_761) >> 20) % 9) as f32).collect();
    let strange = |(i, x): (usize, &f32)| match i.wrapping_mul(7919) % 31 {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => -0.0,
        _ => *x - 4.0,
    };
    let floats: Vec<f32> = values.iter().enumerate().map(strange).collect();
    let bytes: Vec<i8> = values.iter().map(|x| *x as i8 - 4).collect();
    for dims in [[1usize, 6, 130], [3, 5, 17], [2, 7, 64], [2, 1, 9], [4, 300, 2], [5, 1, 1], [3, 33, 31]] {
        for axis in 0..3 {
            let x = Strided::dense(&dims).unwrap();
            let mut of_y = dims;
            of_y[axis] = 1;
            let y = Strided::dense(&of_y).unwrap();
            let n: usize = of_y.iter().product();
            let step: usize = dims[axis + 1..].iter().product();
            for (largest, last) in [(true, false), (true, true), (false, false), (false, true)] {
                let oracle = |value: &dyn Fn(usize) -> f64| -> Vec<i64> {
                    let start = |i: usize| i / step * step * dims[axis] + i % step;
                    let column =
                        |i| (0..dims[axis]).map(|k| value(start(i) + k * step)).collect::<Vec<f64>>();
                    (0..n).map(|i| position(largest, last, &column(i))).collect()
                };
                let arg = ArgReduce::new(largest, last, &y, &x, axis).unwrap();
                let (of_floats, of_bytes) =
                    (oracle(&|i| f64::from(floats[i])), oracle(&|i| f64::from(bytes[i])));
                let halves: Vec<crate::f16> = floats.iter().map(|x| crate::f16::from_f32(*x)).collect();
                for_each_level(|level| {
                    let mut out = vec![-1; n];
                    arg.run(&mut out, &floats);
                    assert_eq!(out, of_floats, "{arg:?}, {}", level.name());
                    arg.run(&mut out, &halves);
                    assert_eq!(out, of_floats, "{arg:?}, half floats");
                    arg.run(&mut out, &bytes);
                    assert_eq!(out, of_bytes, "{arg:?}, bytes");
                });
            }
        }
    }
}

#[test]
fn arguments_into_a_strided_result() {
    let (x, y) = (Strided::dense(&[3, 20]).unwrap(), Strided::new(&[1, 20], &[0, 2], 1).unwrap());
    let data: Vec<f32> = (0..60).map(|i| (i * 7 % 13) as f32).collect();
    let mut out = [-1; 40];
    ArgReduce::new(true, false, &y, &x, 0).unwrap().run(&mut out, &data);
    for i in 0..20 {
        let column: Vec<f64> = (0..3).map(|k| f64::from(data[20 * k + i])).collect();
        assert_eq!([out[2 * i], out[2 * i + 1]], [-1, position(true, false, &column)]);
    }
}

#[test]
fn axes_that_could_have_been_merged_change_no_bit() {
    let data: Vec<f32> = (0..2000).map(|i| (i * 7919 % 2003) as f32 / 300.0 - 3.0).collect();
    for dims in [[1usize, 37, 5], [37, 1, 9], [9, 37, 1], [1, 1, 40], [4, 5, 6], [1, 40, 1]] {
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]] {
            let x = Strided::dense(&dims).unwrap();
            let of_y: Vec<usize> = (0..3).map(|a| if axes.contains(&a) { 1 } else { dims[a] }).collect();
            let y = Strided::dense(&of_y).unwrap();
            for kind in [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::LogSumExp] {
                let merged = Reduce::new(kind, &y, &x, axes).unwrap();
                // As it is set up for extents of which none is 1, and for these after that.
                let mut apart = Reduce {
                    rank: 0,
                    dims: [1; RANK],
                    x: [0; RANK],
                    y: [0; RANK],
                    folded: 0,
                    folded_dims: [1; RANK],
                    folded_x: [0; RANK],
                    ..merged.clone()
                };
                for (a, (&dim, &step)) in dims.iter().zip(x.strides()).enumerate() {
                    if axes.contains(&a) {
                        let at = apart.folded;
                        (apart.folded_dims[at], apart.folded_x[at]) = (dim, step);
                        apart.folded += 1;
                    } else {
                        let at = apart.rank;
                        (apart.dims[at], apart.x[at], apart.y[at]) = (dim, step, y.strides()[a]);
                        apart.rank += 1;
                    }
                }
                let len = of_y.iter().product();
                for_each_level(|level| {
                    let (mut one, mut other) = (vec![0.0f32; len], vec![0.0f32; len]);
                    merged.run(&mut one, &data);
                    apart.run(&mut other, &data);
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&one), bits(&other), "{} {kind:?} {dims:?} {axes:?}", level.name());
                });
            }
        }
    }
}
