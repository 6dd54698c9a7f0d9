//! Classifies 10,000 jets with a ParticleNet, on one core and on all, and says how many a second.
//!
//! `cargo run --release --features threads --example many_events`; without the feature everything runs on one core. The
//! scores are the same bits either way.
#![forbid(unsafe_code)]

use std::time::Instant;

use sofie_infer::rt::parallel::alone;

sofie_infer::sofie_model!(mod particlenet = "assets/models/particlenet_lite_k7_p100.onnx");

const JETS: usize = 10_000;
/// Runs of each kind, in turns; the median counts.
const ROUNDS: usize = 3;

/// Where 100 particles are, five numbers about each, and whether it is there at all: a column each, as they come out of a
/// file of events.
#[derive(Default)]
struct Jets {
    points: Vec<[[f32; 100]; 2]>,
    features: Vec<[[f32; 100]; 5]>,
    mask: Vec<[[f32; 100]; 1]>,
}

impl Jets {
    /// Jets of 30 to 100 particles, made up.
    fn new(n: usize) -> Jets {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let mut jets = Jets::default();
        for _ in 0..n {
            let particles = (65.0 + 35.0 * random()) as usize;
            let mut row = || std::array::from_fn(|i| if i < particles { random() } else { 0.0 });
            jets.points.push([row(), row()]);
            jets.features.push([row(), row(), row(), row(), row()]);
            jets.mask.push([std::array::from_fn(|i| f32::from(i < particles))]);
        }
        jets
    }
}

fn main() {
    let jets = Jets::new(JETS);
    let mut session = particlenet::Session::new();
    let mut classify = |scores: &mut [[f32; 5]]| {
        let start = Instant::now();
        session.infer_many(&jets.points, &jets.features, &jets.mask, scores);
        start.elapsed().as_secs_f64()
    };
    let (mut one, mut all) = (vec![[0.0; 5]; JETS], vec![[0.0; 5]; JETS]);
    // In turns, so that what else the machine does falls on both.
    let rounds = [(); ROUNDS].map(|()| (alone(|| classify(&mut one)), classify(&mut all)));
    assert!(one == all, "the same bits on any number of cores");
    let [one, all] = [rounds.map(|round| round.0), rounds.map(|round| round.1)].map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        JETS as f64 / seconds[ROUNDS / 2]
    });
    println!("one core   {one:8.0} jets/s");
    println!("all cores  {all:8.0} jets/s, {:.2} times as many", all / one);
    if cfg!(not(feature = "threads")) {
        println!("built without the feature `threads`: all cores are one");
    }
}
