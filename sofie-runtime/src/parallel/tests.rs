//! Kernels and events give the same bits on one thread, two and three, and on a thread that is none of the pool's.

use super::*;
use crate::attention::Attention;
use crate::conv::{Algo, Conv, ConvPool, ConvTranspose, Window};
use crate::copy::Strided;
use crate::gemm::{BatchedGemm, Gemm, GemmRows, Init, Layout, OffsetTable, pack};
use crate::map::{Binary, Map, MapProgram, MapSpec, Unary, Value, View};
use crate::pool::{Pool, PoolKind};
use crate::rows::{RowKind, Rows};
use crate::simd::for_each_level;
use crate::{Act, DType};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Runs `f` with so many threads.
fn with<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

fn numbers(n: usize) -> Vec<f32> {
    let mut state = n as u32 | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// `f` writes `len` floats; they are the same at any number of threads, whatever was there before.
fn same(what: &str, len: usize, f: impl Fn(&mut [f32]) + Sync) {
    let run = |fill: f32| {
        let mut y = vec![fill; len];
        f(&mut y);
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for_each_level(|level| {
        let want = alone(|| run(f32::NAN));
        for threads in [1, 2, 3] {
            assert!(with(threads, || run(0.0)) == want, "{what} on {threads} threads at {}", level.name());
        }
        assert!(run(0.0) == want, "{what} from outside at {}", level.name());
    });
}

#[test]
fn shares_are_the_whole() {
    for (n, grain, parts) in [(10, 1, 3), (100, 12, 7), (5, 12, 3), (0, 1, 2), (usize::MAX / 2, 12, 5)] {
        let shares: Vec<_> = (0..parts).map(|i| share(n, grain, parts, i)).collect();
        assert!(shares.windows(2).all(|w| w[0].end == w[1].start && w[0].start <= w[0].end), "{shares:?}");
        assert_eq!((shares[0].start, shares[parts - 1].end), (0, n));
    }
}

#[test]
fn parts_are_cut_where_it_pays() {
    assert_eq!(with(2, || parts(LEAST as usize - 1, 100)), 1);
    assert_eq!(with(1, || parts(usize::MAX, 100)), 1);
    assert_eq!(with(2, || parts(LEAST as usize, 1)), 1);
    assert_eq!(with(3, || parts(usize::MAX, 100)), 48);
    assert_eq!(with(3, || parts(usize::MAX, 8)), 6);
    assert_eq!(with(3, || alone(|| parts(usize::MAX, 100))), 1);
    assert_eq!(parts(LEAST as usize, 100), 1, "a small kernel stays where it is");
    // Parts are not cut again.
    let inner = Mutex::new(BTreeSet::new());
    with(2, || for_each(8, |_| _ = inner.lock().unwrap().insert(parts(usize::MAX, 100))));
    assert_eq!(inner.into_inner().unwrap(), BTreeSet::from([1]));
}

#[test]
fn products_are_the_same() {
    for (m, k, n, act) in [
        (300, 70, 130, Act::Relu),
        (49, 600, 400, Act::GeluErf),
        (1, 900, 1500, Act::Tanh),
        (1, 40_000, 20, Act::None),
        (5, 1024, 700, Act::Sigmoid),
        (200, 1024, 131, Act::None),
        (400, 300, 19, Act::Silu),
    ] {
        let (a, w, bias) = (numbers(m * k), pack(&numbers(k * n), k, n, Layout::KN), numbers(n));
        let residual = numbers(m * n);
        let g = Gemm { m, k, n, lda: k, ldc: n + 3, ldr: n, event: 0, lde: 0, act, init: Init::Bias };
        same(&format!("{g:?}"), (m - 1) * (n + 3) + n, |c| {
            c.fill(7.0);
            g.run(c, &a, &w, &bias, &residual);
        });
        // Parts begin within events.
        let event = [20usize, 7, 1].into_iter().find(|rows| m.is_multiple_of(*rows)).unwrap_or(1);
        let g = Gemm { ldr: 0, event, lde: n, ..g };
        same(&format!("{g:?}"), (m - 1) * (n + 3) + n, |c| {
            c.fill(7.0);
            g.run(c, &a, &w, &bias, &residual);
        });
    }
    let (m, n, segments, segment) = (500, 40, 9, 16);
    let a = numbers(4000);
    let offsets: Vec<u32> =
        (0..m * segments).map(|i| if i % 7 == 0 { u32::MAX } else { (i * 31 % 3900) as u32 }).collect();
    let w = pack(&numbers(segments * segment * n), segments * segment, n, Layout::KN);
    let g = GemmRows { m, n, segments, segment, ldc: n, ldr: 0, act: Act::None, init: Init::Bias };
    same("rows in pieces", m * n, |c| {
        g.run(c, &a, &OffsetTable { offsets: &offsets, segments }, &w, &[], &[]);
    });
}

#[test]
fn products_of_unknown_sides_are_the_same() {
    for (items, m, k, n, transposed) in
        [(12, 20, 64, 80, false), (1, 300, 64, 90, true), (2, 200, 50, 70, false), (40, 3, 300, 60, true)]
    {
        let g = BatchedGemm {
            batch: [items, 1, 0, 0, 0, 0],
            batch_rank: 2,
            a_batch: [m * k, 0, 0, 0, 0, 0],
            b_batch: [k * n, 0, 0, 0, 0, 0],
            c_batch: [m * n, 0, 0, 0, 0, 0],
            m,
            k,
            n,
            a_row: k,
            a_column: 1,
            b_row: if transposed { 1 } else { n },
            b_column: if transposed { k } else { 1 },
            c_row: n,
            alpha: 0.125,
            act: Act::GeluErf,
        };
        let (a, b) = (numbers(items * m * k), numbers(items * k * n));
        same(&format!("{g:?}"), items * m * n, |c| g.run(c, &a, &b, &mut vec![0.0; g.scratch()]));
    }
}

#[test]
fn attention_is_the_same() {
    for (heads, groups, queries, keys, causal) in
        [(4, 2, 70, 90, false), (1, 1, 130, 130, true), (8, 2, 1, 2000, false)]
    {
        let (depth, width) = (1024 / heads, 64);
        let (kd, q_row) = (depth * groups, depth * heads);
        let a = Attention {
            batch: 1,
            heads,
            groups,
            queries,
            keys,
            depth,
            width,
            scale: 0.1,
            causal,
            guarded: false,
            q: [0, depth, q_row, 1],
            k: [0, depth, kd, 1],
            v: [0, width, width * groups, 1],
            mask: None,
            replace: false,
            y: [0, width, width * heads],
        };
        let (q, k, v) = (numbers(queries * q_row), numbers(keys * kd), numbers(keys * width * groups));
        same(&format!("{a:?}"), queries * width * heads, |y| {
            a.run(y, &q, &k, &v, &[], &mut vec![0.0; a.scratch()]);
        });
    }
}

/// Planar convolutions, Winograd's with many blocks and with one, depthwise ones, windows on lines and in pieces.
#[test]
fn convolutions_are_the_same() {
    let mut seen = BTreeSet::new();
    for (batch, x, kernel, stride, pad, c, m, group) in [
        (1, [1, 40, 40], [1, 3, 3], 1, 1, 32, 32, 1),
        (1, [1, 9, 9], [1, 3, 3], 1, 1, 128, 96, 1),
        (1, [1, 64, 64], [1, 7, 7], 2, 3, 3, 24, 1),
        (2, [1, 20, 20], [1, 3, 3], 2, 1, 64, 48, 1),
        (1, [1, 24, 24], [1, 1, 1], 1, 0, 64, 80, 1),
        (1, [1, 30, 30], [1, 3, 3], 1, 1, 48, 48, 48),
        (1, [1, 60, 60], [1, 5, 5], 1, 2, 40, 2, 1),
        (3, [1, 20, 20], [1, 3, 3], 1, 1, 64, 64, 16),
        (1, [1, 20, 20], [1, 3, 3], 1, 1, 128, 128, 2),
        (2, [6, 10, 10], [3, 3, 3], 1, 1, 24, 32, 1),
        (12, [1, 90, 90], [1, 3, 3], 1, 1, 1, 4, 1),
        (1, [1, 1, 4000], [1, 1, 3], 1, 1, 32, 32, 1),
        (1, [1, 1, 6000], [1, 1, 9], 1, 4, 3, 40, 1),
    ] {
        let pads = [0, 1, 2].map(|i| if kernel[i] == 1 { 0 } else { pad });
        let strides = [0, 1, 2].map(|i| if x[i] == 1 { 1 } else { stride });
        let y = [0, 1, 2].map(|i| (x[i] + 2 * pads[i] - kernel[i]) / strides[i] + 1);
        let window = Window::new(&x, &y, &kernel, &strides, &[1; 3], &pads);
        let mut conv = Conv::new(batch, window, c, m, group);
        (conv.ldx, conv.ldy, conv.act) = (c + 1, m + 2, Act::GeluErf);
        seen.insert(format!("{:?}", conv.algo));
        let pixels = batch * window.y_pixels();
        let mut image = numbers(batch * window.x_pixels() * (c + 1));
        if let Algo::Winograd(_) = conv.algo {
            image[5] = f32::INFINITY;
        }
        let (w, bias, residual) =
            (conv.pack(&numbers(window.taps() * c / group * m)), numbers(m), numbers(pixels * m));
        let mut prepared = vec![0.0; conv.prepared_len()];
        conv.prepare(&w, &mut prepared);
        for residual in [&[][..], &residual] {
            same(&format!("{conv:?}"), (pixels - 1) * (m + 2) + m, |y| {
                y.fill(7.0);
                let mut scratch = vec![0.0; conv.scratch()];
                conv.run(y, &image, &w, &prepared, &bias, residual, &mut scratch);
            });
        }
    }
    assert!(seen.len() >= 7, "{seen:?}");
}

#[test]
fn transposed_convolutions_are_the_same() {
    for (batch, x, y, stride, c, m) in [
        (1, [1, 20, 20], [1, 40, 40], 2, 64, 32),
        (1, [1, 40, 40], [1, 81, 81], 2, 40, 1),
        (2, [1, 1, 1500], [1, 1, 3000], 2, 32, 2),
        (3, [2, 8, 8], [4, 16, 16], 2, 48, 2),
    ] {
        let kernel = [0, 1, 2].map(|i| if x[i] == 1 { 1 } else { 4 });
        let strides = [0, 1, 2].map(|i| if x[i] == 1 { 1 } else { stride });
        let pads = [0, 1, 2].map(|i| usize::from(x[i] != 1));
        let window = Window::new(&x, &y, &kernel, &strides, &[1; 3], &pads);
        let up = ConvTranspose::new(batch, window, c, m, 1);
        let (image, w) = (numbers(batch * window.x_pixels() * c), up.pack(&numbers(window.taps() * c * m)));
        let bias = numbers(m);
        same(&format!("{up:?}"), batch * window.y_pixels() * m, |y| {
            up.run(y, &image, &w, &bias, &[], &mut vec![0.0; up.scratch()]);
        });
    }
}

#[test]
fn rows_are_the_same() {
    for (kind, rows, n) in [
        (RowKind::Softmax, 700, 300),
        (RowKind::LogSoftmax, 90, 3000),
        (RowKind::LayerNorm { epsilon: 1e-5 }, 999, 130),
        (RowKind::RmsNorm { epsilon: 1e-5 }, 333, 700),
    ] {
        let p = Rows { kind, rows, n, ldx: n + 5, ldy: n + 5 };
        let (x, scale, bias) = (numbers(rows * (n + 5)), numbers(n), numbers(n));
        same(&format!("{p:?}"), x.len(), |y| {
            y.fill(7.0);
            p.run(y, &x, &scale, &bias);
        });
        same(&format!("{p:?} in place"), x.len(), |y| {
            y.copy_from_slice(&x);
            p.run_in_place(y, &scale, &bias);
        });
    }
}

/// Over memory that is dense, repeated, gathered, transposed, and the result's own.
#[test]
fn maps_are_the_same() {
    let dims = [90, 37, 130];
    let [a, b, c] = dims.map(|n| n as isize);
    let view = |strides: [isize; 3]| Strided::new(&dims, &strides, 0).unwrap();
    let (dense, repeated, column) = (Strided::dense(&dims).unwrap(), view([c, 0, 1]), view([b, 1, 0]));
    let (row, turned) = (view([0, 0, 1]), view([1, a, a * b]));
    let gathered =
        View::Indexed { slice: (0, &row), index: (1, &column), index_type: DType::I64, extent: 90, step: c };
    let len = dims.iter().product();
    let (x, y) = (numbers(len), numbers(len + 1)[1..].to_vec());
    let index: Vec<i64> = (0..dims[0] * dims[1]).map(|i| (i * 7919 % 90) as i64).collect();
    let cases: [(&Strided, Vec<View<'_>>); 5] = [
        (&dense, vec![View::Slice(0, &dense), View::Slice(2, &repeated)]),
        (&dense, vec![gathered, View::Slice(2, &column)]),
        (&turned, vec![View::Slice(0, &dense), View::Slice(2, &turned)]),
        (&dense, vec![View::Out, View::Slice(2, &dense)]),
        (&turned, vec![View::Out, gathered]),
    ];
    for (i, (out, views)) in cases.into_iter().enumerate() {
        let mut values: Vec<Value> = (0..2).map(Value::Input).collect();
        values.push(Value::Binary(Binary::Mul, 0, 1));
        values.push(Value::Unary(Unary::GeluErf, 2));
        let program = MapProgram::compile(&values, &[DType::F32; 2]).unwrap();
        let map = Map::new(MapSpec::of_views(out, &views, program).unwrap());
        same(&format!("map {i}"), len, |out| {
            out.copy_from_slice(&y);
            map.run(out.into(), &[x.as_slice().into(), index.as_slice().into(), y.as_slice().into()]);
        });
    }
}

#[test]
fn pools_are_the_same() {
    for kind in [PoolKind::Max, PoolKind::Average] {
        let window = Window::new(&[61, 60], &[31, 30], &[3, 3], &[2, 2], &[1, 1], &[1, 1]);
        let pool = Pool { ldy: 70, ..Pool::new(kind, 2, window, [0; 3], 67) };
        let x = numbers(2 * 61 * 60 * 67);
        same("a pool", (2 * 31 * 30 - 1) * 70 + 67, |y| {
            y.fill(7.0);
            pool.run(y, &x);
        });
    }
}

#[test]
fn pools_behind_convolutions_are_the_same() {
    for (kind, kernel, batch) in
        [(PoolKind::Max, 2, 1), (PoolKind::Average, 3, 2), (PoolKind::AverageWithPads, 2, 3)]
    {
        let image = Window::new(&[121, 90], &[121, 90], &[5, 5], &[1, 1], &[1, 1], &[2, 2]);
        let windows = Window::new(&[121, 90], &[61, 46], &[kernel; 2], &[2, 2], &[1, 1], &[1, 1]);
        let conv = Conv { act: Act::Relu, algo: Algo::Planar, ..Conv::direct(batch, image, 2, 6, 1) };
        let pool = Pool { ldy: 9, ..Pool::new(kind, batch, windows, [0, 1, 1], 6) };
        let both = ConvPool::new(conv, pool).unwrap();
        let (x, w) = (numbers(batch * 121 * 90 * 2), both.conv.pack(&numbers(25 * 2 * 6)));
        same(&format!("{both:?}"), (batch * 61 * 46 - 1) * 9 + 6, |y| {
            y.fill(7.0);
            both.run(y, &x, &w, &numbers(6), &mut vec![0.0; both.scratch()]);
        });
    }
}

#[test]
fn events_are_shared_out_and_the_first_that_fails_is_named() {
    for threads in [1, 2, 3] {
        let (mut a, mut b) = (vec![0; 1000], vec![[0; 2]; 1000]);
        let seen = Mutex::new(BTreeSet::new());
        let failed = with(threads, || {
            let (mut arena, mut arenas) = (crate::Arena::new(64), Arenas::new());
            spread(&mut arena, &mut arenas, 100_000, 1000, (&mut a[..], &mut b[..]), |arena, i, (a, b)| {
                seen.lock().unwrap().insert(arena.get(crate::span::<u8>(0, 1)).as_ptr() as usize);
                (*a, *b) = (i, [i, i + 1]);
                i < 700 || i % 2 == 0
            })
        });
        assert_eq!(failed, Some(701));
        assert!(a.iter().enumerate().all(|(i, &a)| a == i) && b[999] == [999, 1000]);
        assert!(seen.into_inner().unwrap().len() <= threads, "an arena a thread");
    }
}

#[test]
#[should_panic(expected = "`b` has 2 events, `a` has 3")]
fn events_of_another_number_are_refused() {
    events(&[("a", 3), ("b", 2)]);
}
