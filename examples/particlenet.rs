//! Classifies toy jets with a trained ParticleNet and says how well and how fast.
//!
//! `cargo run --release --example particlenet`: the network was compiled into this program when cargo built it, so the
//! program needs neither the model's file nor any library; only the jets are read, from `assets/`.
#![forbid(unsafe_code)]

use std::array::from_ref;
use std::time::{Duration, Instant};

use sofie_infer::npz::{Error, Npz};

sofie_infer::sofie_model!("assets/particlenet.onnx");

const JETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/particlenet_jets.npz");
const CLASSES: [&str; 3] = ["one prong", "two prongs", "three prongs"];
/// Jets in the table.
const SHOWN: usize = 12;
/// How often all jets are classified for the latencies.
const PASSES: usize = 50;

fn main() -> Result<(), Error> {
    // 200 jets of 64 particles: where each particle is, five numbers about it, and whether it is there at all.
    let jets = Npz::open(JETS)?;
    let (points, features, mask) =
        (jets.array("points")?.values()?, jets.array("features")?.values()?, jets.array("mask")?.values()?);
    let labels: Vec<i64> = jets.array("labels")?.values()?;
    #[allow(clippy::type_complexity, reason = "the types of three inputs")]
    let (points, features, mask): (&[[[f32; 64]; 2]], &[[[f32; 64]; 5]], &[[[f32; 64]; 1]]) = (
        points.as_chunks().0.as_chunks().0,
        features.as_chunks().0.as_chunks().0,
        mask.as_chunks().0.as_chunks().0,
    );

    let mut session = particlenet::Session::new();
    println!("jet  true class    {:>10} {:>10} {:>12}", CLASSES[0], CLASSES[1], CLASSES[2]);
    let mut correct = 0;
    for (jet, &label) in labels.iter().enumerate() {
        let [probabilities] =
            *session.infer(from_ref(&points[jet]), from_ref(&features[jet]), from_ref(&mask[jet])).softmax;
        let best = (0..3).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        correct += usize::from(best == usize::try_from(label).ok());
        if jet < SHOWN {
            let [one, two, three] = probabilities;
            let truth = usize::try_from(label).ok().and_then(|l| CLASSES.get(l)).unwrap_or(&"unknown");
            println!("{jet:3}  {truth:12}  {one:10.3} {two:10.3} {three:12.3}");
        }
    }
    println!(
        "...\naccuracy   {correct} of {} jets ({:.1} %)",
        labels.len(),
        100.0 * correct as f64 / labels.len() as f64
    );

    let mut latencies = Vec::with_capacity(PASSES * labels.len());
    let start = Instant::now();
    for jet in (0..labels.len()).cycle().take(PASSES * labels.len()) {
        let call = Instant::now();
        session.infer(from_ref(&points[jet]), from_ref(&features[jet]), from_ref(&mask[jet]));
        latencies.push(call.elapsed());
    }
    let elapsed = start.elapsed();
    latencies.sort();
    let percentile = |p: usize| latencies.get(latencies.len() * p / 100).copied().unwrap_or_default();
    println!("latency    p50 {}, p99 {}", microseconds(percentile(50)), microseconds(percentile(99)));
    println!("throughput {:.0} jets/s on one core", latencies.len() as f64 / elapsed.as_secs_f64());
    println!(
        "memory     {} bytes of arena, {} of weights",
        particlenet::ARENA_BYTES,
        particlenet::WEIGHT_BYTES
    );
    Ok(())
}

fn microseconds(duration: Duration) -> String {
    format!("{:.1} µs", duration.as_secs_f64() * 1e6)
}
