//! One micro-benchmark a kernel family, at sizes that its users have: `cargo bench --bench kernels`.

use criterion::{BenchmarkId, Criterion, Throughput};
use sofie_infer::rt::Act;
use sofie_infer::rt::gemm::{Gemm, Init, Layout, pack};

/// Some numbers, neither zero nor huge.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0 - 0.5).collect()
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for (m, k, n) in
        [(1, 64, 64), (1, 512, 512), (64, 64, 64), (700, 32, 32), (2048, 64, 64), (256, 576, 128)]
    {
        let layer =
            Gemm { m, k, n, lda: k, ldc: n, ldr: 0, event: 0, lde: 0, act: Act::Relu, init: Init::Bias };
        let (a, w, bias) = (numbers(m * k), pack(&numbers(k * n), k, n, Layout::KN), numbers(n));
        let mut out = vec![0.0; m * n];
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{k}x{n}")), |b| {
            b.iter(|| layer.run(&mut out, &a, &w, &bias, &[]));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    gemm(&mut criterion);
    criterion.final_summary();
}
