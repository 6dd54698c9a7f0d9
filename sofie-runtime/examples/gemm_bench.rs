//! How fast are the packed products, next to `matrixmultiply` followed by a loop for bias and ReLU?
//!
//! Prints GFLOP/s of the fastest run for every instruction set of this CPU. The contestants take turns within
//! one process, so that what else the machine does meets all of them.
//!
//! `cargo run --release -p sofie-infer-runtime --example gemm_bench [MxNxK ..]`

use std::hint::black_box;
use std::time::{Duration, Instant};

use sofie_infer_runtime::Act;
use sofie_infer_runtime::gemm::{Gemm, Init, Layout, NR, pack};
use sofie_infer_runtime::simd::{Level, with_level};

/// From the layers of a jet tagger's head to those of a transformer.
const SHAPES: &str = "1x64x16 1x32x64 1x32x32 1x5x32 1x256x256 4x64x64 13x64x64 64x64x64 100x32x32 2048x64x64 \
     2048x1x64 2048x5x64 2048x50x64 2048x128x128 2048x256x256 128x512x512 196x256x1024 196x512x4608 3136x64x64 \
     3136x64x576 64x3072x768 512x512x512 1024x1024x1024";

fn main() {
    let mut shapes: Vec<String> = std::env::args().skip(1).collect();
    if shapes.is_empty() {
        shapes = SHAPES.split_whitespace().map(String::from).collect();
    }
    let levels: Vec<Level> = Level::available().filter(|&level| level != Level::Scalar).collect();
    print!("{:>16}", "m x n x k");
    for level in &levels {
        print!("{:>9}", level.name());
    }
    println!("{:>16}   (GFLOP/s, higher is better)", "matrixmultiply");
    for shape in &shapes {
        let extents: Vec<usize> = shape.split('x').map(|x| x.parse().expect("MxNxK")).collect();
        let &[m, n, k] = extents.as_slice() else { panic!("{shape} is not MxNxK") };
        print!("{shape:>16}");
        let rates = compare(m, n, k, &levels);
        for rate in &rates[..levels.len()] {
            print!("{rate:>9.1}");
        }
        println!("{:>16.1}", rates[levels.len()]);
    }
}

/// GFLOP/s of each level and of `matrixmultiply`.
fn compare(m: usize, n: usize, k: usize, levels: &[Level]) -> Vec<f64> {
    let a: Vec<f32> = (0..m * k).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect();
    let b: Vec<f32> = (0..k * n).map(|i| (i * 53 % 103) as f32 / 103.0 - 0.5).collect();
    let (bias, w) = (vec![0.1; n], pack(&b, k, n, Layout::KN));
    let mut aligned = vec![0.0; w.len() + NR];
    let start = aligned.as_ptr().align_offset(64);
    aligned[start..start + w.len()].copy_from_slice(&w);
    let w = &aligned[start..start + w.len()];
    let gemm = Gemm { m, k, n, lda: k, ldc: n, ldr: 0, event: 0, lde: 0, act: Act::Relu, init: Init::Bias };
    let (mut c, mut other) = (vec![0.0; m * n], vec![0.0; m * n]);

    let flop = (2 * m * n * k) as f64;
    let repeat = ((1e8 / flop) as usize).clamp(1, 10_000);
    let mut best = vec![f64::MAX; levels.len() + 1];
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(400) {
        for (level, best) in levels.iter().zip(&mut best) {
            let run = || seconds(repeat, || gemm.run(black_box(&mut c), black_box(&a), w, &bias, &[]));
            *best = best.min(with_level(*level, run));
        }
        let run = || {
            general(m, n, k, &a, &b, black_box(&mut other));
            for row in other.chunks_exact_mut(n) {
                for (x, b) in row.iter_mut().zip(&bias) {
                    *x = if *x + b < 0.0 { 0.0 } else { *x + b };
                }
            }
        };
        best[levels.len()] = best[levels.len()].min(seconds(repeat, run));
    }
    let worst = c.iter().zip(&other).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "the results differ by {worst}");
    best.into_iter().map(|seconds| flop / seconds / 1e9).collect()
}

/// Seconds a call takes, over so many calls.
fn seconds(repeat: usize, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..repeat {
        call();
    }
    start.elapsed().as_secs_f64() / repeat as f64
}

fn general(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
    let (rsa, rsb) = (k as isize, n as isize);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the three matrices are row-major and have the lengths asserted above.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, rsa, 1, b, rsb, 1, 0.0, c, rsb, 1) }
}
