//! What free extents cost: sessions of fixed extents beside dynamic ones at the same extents, and a dynamic one whose extents
//! change with each run: `cargo bench --bench dynamic`. A dynamic session should take no more than 1.1 times as long.

use criterion::Criterion;
use sofie_infer::rt::DynSession;

/// Pairs of sessions: name, extents of the fixed one, bounds of the dynamic one.
macro_rules! pairs {
    ($($name:ident = $path:tt, fixed($($fixed:tt)*), free($($free:tt)*);)*) => {
        mod fixed {
            $(sofie_infer::sofie_model! { pub mod $name = $path, dims($($fixed)*) })*
        }
        mod free {
            $(sofie_infer::sofie_model! { pub mod $name = $path, dims($($free)*) })*
        }

        fn pairs() -> Vec<(&'static str, Box<dyn DynSession>, Box<dyn DynSession>)> {
            vec![$((
                concat!(stringify!($name), "(", stringify!($($fixed)*), ")"),
                Box::new(fixed::$name::Session::new()) as _,
                Box::new(free::$name::Session::new()) as _,
            )),*]
        }
    };
}

pairs! {
    jets_1 = "assets/models/hls4ml_mlp_trained.onnx", fixed(batch = 1), free(batch = ..=64);
    jets_32 = "assets/models/hls4ml_mlp_trained.onnx", fixed(batch = 32), free(batch = ..=64);
    flavour = "assets/models/dl1.onnx", fixed(batch = 8), free(batch = ..=64);
    sets = "assets/models/deepsets_eq_dyn.onnx", fixed(batch = 4, particles = 31), free(batch = ..=8, particles = ..=128);
    sets_1 = "assets/models/deepsets_eq_dyn.onnx", fixed(batch = 1, particles = 5), free(batch = ..=8, particles = ..=128);
    graphs = "assets/models/graphnets_epd.onnx", fixed(n = 20, m = 60), free(n = 1..=50, m = 1..=211);
    particles = "assets/models/particlenet_trained.onnx", fixed(batch = 1), free(batch = ..=8);
    digits = "assets/models/lenet_mnist.onnx", fixed(batch = 1), free(batch = ..=8);
    gru = "assets/models/keraslike_gru.onnx", fixed(batch = 5), free(batch = ..=8);
    lstm = "assets/models/rnnip_lstm.onnx", fixed(batch = 6), free(batch = ..=8);
}

/// Numbers that are neither all alike nor special; zeros for indices.
fn fill(session: &mut dyn DynSession) {
    for i in 0..session.input_info().len() {
        let is_float = session.input_info()[i].dtype.is_float();
        for (k, bytes) in session.input_bytes(i).chunks_exact_mut(4).enumerate() {
            let x = if is_float { ((k * 7919 % 2003) as f32 / 1001.0 - 1.0).to_le_bytes() } else { [0; 4] };
            bytes.copy_from_slice(&x);
        }
    }
}

fn compare(c: &mut Criterion) {
    for (name, mut fixed, mut free) in pairs() {
        let mut group = c.benchmark_group(name);
        let shapes: Vec<&[usize]> = fixed.input_info().iter().map(|i| i.shape).collect();
        free.fit(&shapes).expect("extents within the bounds");
        for (what, session) in [("fixed", &mut fixed), ("free", &mut free)] {
            fill(&mut **session);
            group.bench_function(what, |b| b.iter(|| session.run()));
        }
        group.finish();
    }
}

fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("changing");
    let mut session = free::sets::Session::new();
    group.bench_function("sets (4, 31) and (4, 32) in turn", |b| {
        b.iter(|| {
            for particles in [31, 32] {
                session.fit(&[&[4, particles, 3]]).expect("extents within the bounds");
                session.run();
            }
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    compare(&mut criterion);
    change(&mut criterion);
    criterion.final_summary();
}
