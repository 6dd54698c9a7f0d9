//! What free extents cost: sessions of fixed extents beside dynamic ones at the same extents, and a dynamic one whose extents
//! change with each run: `cargo bench --bench dynamic`. A dynamic session should take no more than 1.1 times as long.

use sofie_infer::rt::DynSession;
use std::time::Instant;

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
    rnn = "assets/models/rnnip_rnn.onnx", fixed(batch = 1), free(batch = ..=8);
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

/// Microseconds of a call: the median of a block of about two milliseconds.
fn block(run: &mut dyn FnMut(), calls: usize) -> f64 {
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| run());
            start.elapsed().as_secs_f64() * 1e6 / calls as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Calls that take about 100 µs.
fn calls(run: &mut dyn FnMut()) -> usize {
    let us = (0..3).map(|_| block(run, 1)).fold(f64::INFINITY, f64::min);
    (100.0 / us).clamp(1.0, 2000.0) as usize
}

/// Both in turns, since machines drift: the median of the ratios of neighbouring blocks, and the best block of each.
fn race(name: &str, a: &mut dyn FnMut(), b: &mut dyn FnMut()) {
    let (n, m) = (calls(a), calls(b));
    let rounds: Vec<(f64, f64)> = (0..41).map(|_| (block(a, n), block(b, m))).collect();
    let mut ratios: Vec<f64> = rounds.iter().map(|(a, b)| b / a).collect();
    ratios.sort_by(f64::total_cmp);
    let best = rounds.iter().fold((f64::INFINITY, f64::INFINITY), |x, y| (x.0.min(y.0), x.1.min(y.1)));
    println!(
        "{name:44} {:10.3} {:10.3}   {:5.3} (best {:5.3})",
        best.0,
        best.1,
        ratios[ratios.len() / 2],
        best.1 / best.0
    );
}

fn main() {
    println!("{:44} {:>10} {:>10}   ratio", "us a call, one in turn with the other", "fixed", "free");
    for (name, mut fixed, mut free) in pairs() {
        let shapes: Vec<&[usize]> = fixed.input_info().iter().map(|i| i.shape).collect();
        free.fit(&shapes).expect("extents within the bounds");
        fill(&mut *fixed);
        fill(&mut *free);
        race(name, &mut || fixed.run(), &mut || free.run());
    }
    let (mut same, mut other) = (free::sets::Session::new(), free::sets::Session::new());
    same.fit(&[&[4, 31, 3]]).expect("extents within the bounds");
    let mut particles = 31;
    race("sets, the same extents or others each time", &mut || same.run(), &mut || {
        other.fit(&[&[4, particles, 3]]).expect("extents within the bounds");
        other.run();
        particles ^= 1;
    });
}
