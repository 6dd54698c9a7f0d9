//! Models with free extents through the real macro: against stored results, and against the sessions of fixed extents,
//! bit for bit.
#![deny(warnings)]

#[path = "../assets/counting.rs"]
mod counting;
mod stored;

use counting::allocations;
use sofie_infer::rt::{Attributes, DynSession, ExtentError, View, ViewMut};
use sofie_infer::sofie_model;

sofie_model! { mod jets = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..=64) }
sofie_model! { mod jet = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = 1) }
sofie_model! { mod pair = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = 2) }
sofie_model! { mod sets = "assets/models/deepsets_eq_dyn.onnx", dims(batch = ..=6, particles = 1..=128) }
sofie_model! { mod sets_4_31 = "assets/models/deepsets_eq_dyn.onnx", dims(batch = 4, particles = 31) }
sofie_model! { mod sets_1_1 = "assets/models/deepsets_eq_dyn.onnx", dims(batch = 1, particles = 1) }
sofie_model! { mod sets_3 = "assets/models/deepsets_eq_dyn.onnx", dims(batch = 3, particles = ..=40) }
sofie_model! { mod graphs = "assets/models/graphnets_epd.onnx", dims(n = 1..=50, m = ..=211) }
sofie_model! { mod lenet = "assets/models/lenet_mnist.onnx", dims(batch = ..=8) }
sofie_model! { mod gru = "assets/models/keraslike_gru.onnx", dims(batch = ..=8) }
sofie_model! { mod particlenet = "assets/models/particlenet_trained.onnx", dims(batch = ..=8) }

// Symbols that each session bounds.
sofie_model! { mod any_jets = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..) }
sofie_model! { mod any_sets = "assets/models/deepsets_eq_dyn.onnx", dims(batch = ..=6, particles = 1..) }
sofie_model! { mod any_graphs = "assets/models/graphnets_epd.onnx", dims(n = 1.., m = ..) }
sofie_model! { mod any_gru = "assets/models/keraslike_gru.onnx", dims(batch = ..) }
sofie_model! { mod any_images = "assets/models/lenet_mnist.onnx", dims(batch = ..) }
sofie_model! { mod any_particles = "assets/models/particlenet_trained.onnx", dims(batch = ..) }
sofie_model! {
    mod distances = "ui-tests/models/custom_free.onnx",
    dims(objects = ..=20),
    op("com.acme::DeltaR"([n, 2]) -> [n, n] = distance_of_all)
}
sofie_model! {
    mod any_distances = "ui-tests/models/custom_free.onnx",
    dims(objects = ..),
    op("com.acme::DeltaR"([n, 2]) -> [n, n] = distance_of_all)
}

// Results whose extents the values decide.
sofie_model! { mod chosen = "ui-tests/models/chosen.onnx", dims(rows = 6) }
sofie_model! { mod chosen_none = "ui-tests/models/chosen.onnx", dims(rows = 0) }

fn distance_of_all(x: View<'_, f32, 2>, attributes: &Attributes, mut y: ViewMut<'_, f32, 2>) {
    assert!(attributes.float("period").is_some());
    let [n, _] = x.dims();
    assert_eq!(y.dims(), [n, n]);
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
        y[[i, j]] = (x[[i, 0]] - x[[j, 0]]).hypot(x[[i, 1]] - x[[j, 1]]);
    }
}

/// Numbers between -1 and 1.
fn noise(seed: usize, n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// What sessions of fixed extents give for one row: a row alone is summed in other chains than rows side by side.
fn fixed(batch: usize, row: [f32; 16]) -> Vec<u32> {
    match batch {
        1 => bits(&jet::Session::new().infer(&[row]).y[0]),
        _ => bits(&pair::Session::new().infer(&[row, row]).y[0]),
    }
}

#[test]
fn a_batch_of_any_size_gives_the_bits_of_fixed_sessions() {
    let mut all = jets::Session::new();
    for batch in (0..=64).chain([3, 1, 0, 64]) {
        let x: Vec<[f32; 16]> = (0..batch).map(|i| noise(i, 16).try_into().unwrap()).collect();
        let rows: Vec<_> = x.iter().map(|row| fixed(batch, *row)).collect();
        let got = all.infer(&x).unwrap().y;
        assert_eq!(got.len(), batch);
        assert_eq!(got.iter().map(|row| bits(row)).collect::<Vec<_>>(), rows, "at {batch}");
    }
}

#[test]
fn extents_outside_the_bounds_are_errors_and_leave_the_session_usable() {
    let mut session = jets::Session::new();
    let error = session.infer(&[[0.0; 16]; 65]).unwrap_err();
    let out = ExtentError::OutOfBounds { tensor: "x", axis: 0, least: 0, most: 64, found: 65 };
    assert_eq!(error, out);
    assert_eq!(session.infer(&[[0.0; 16]; 2]).unwrap().y.len(), 2);
    assert!(session.inputs(jets::Dims { batch: 65 }).is_err());
    assert_eq!(jets::Dims::MOST, jets::Dims { batch: 64 });
}

#[test]
fn several_extents_give_the_bits_of_fixed_sessions() {
    let mut free = sets::Session::new();
    let info = free.input_info()[0];
    let width = info.shape[2];
    let mut run = |batch: usize, particles: usize| {
        let x = noise(batch + particles, batch * particles * width);
        free.fit(&[&[batch, particles, width]]).unwrap();
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        free.input_bytes(0).copy_from_slice(&bytes);
        free.run();
        (bytes, free.output_bytes(0).to_vec())
    };
    let same = |session: &mut dyn DynSession, (x, y): (Vec<u8>, Vec<u8>)| {
        session.input_bytes(0).copy_from_slice(&x);
        session.run();
        assert_eq!(session.output_bytes(0), y);
    };
    same(&mut sets_4_31::Session::new(), run(4, 31));
    same(&mut sets_1_1::Session::new(), run(1, 1));
    same(&mut sets_4_31::Session::new(), run(4, 31));
    let mut some = sets_3::Session::new();
    for particles in [0, 1, 2, 17, 40] {
        some.fit(&[&[3, particles, width]]).unwrap();
        if particles > 0 {
            same(&mut some, run(3, particles));
        } else {
            some.run();
        }
    }
}

#[test]
fn inner_extents_are_views_that_must_agree() {
    let mut session = sets::Session::new();
    let width = session.input_info()[0].shape[2];
    let x = noise(1, 2 * 5 * width);
    assert!(session.infer(View::new(&x, [2, 5, width]).unwrap()).is_ok());
    let turned = View::new(&x, [2, width, 5]).unwrap();
    assert!(matches!(session.infer(turned), Err(ExtentError::Differs { axis: 2, found: 5, .. })));
}

/// All stored cases of a model in one session.
fn cases(name: &str, mut session: impl DynSession) {
    let mut compared = 0;
    for k in 0..3 {
        let folder = format!("assets/io/{name}/case{k}");
        if !std::fs::exists(format!("{folder}/inputs.npz")).unwrap() {
            continue;
        }
        stored::fill(&mut session, &folder);
        let before = allocations();
        session.run();
        assert_eq!(allocations(), before, "{name} allocates");
        stored::compare(&session, &folder);
        compared += session.output_info().len();
    }
    assert!(compared > 0, "{name} has no cases");
}

#[test]
fn stored_cases_agree() {
    cases("hls4ml_mlp_trained", jets::Session::new());
    cases("deepsets_eq_dyn", sets::Session::new());
    cases("graphnets_epd", graphs::Session::new());
    cases("lenet_mnist", lenet::Session::new());
    cases("keraslike_gru", gru::Session::new());
    cases("particlenet_trained", particlenet::Session::new());
}

#[test]
fn changing_extents_allocates_nothing() {
    let mut session = sets::Session::new();
    let width = session.input_info()[0].shape[2];
    let before = allocations();
    for (batch, particles) in [(6, 64), (1, 1), (0, 3), (5, 60)] {
        session.fit(&[&[batch, particles, width]]).unwrap();
        session.run();
    }
    assert_eq!(allocations(), before);
}

#[test]
fn inputs_are_filled_in_place() {
    let mut session = jets::Session::new();
    let inputs = session.inputs(jets::Dims { batch: 3 }).unwrap();
    inputs.x.copy_from_slice(&[[0.5; 16]; 3]);
    let got = bits(&inputs.run().unwrap().y[2]);
    assert_eq!(got, fixed(3, [0.5; 16]));
}

#[test]
fn stored_cases_agree_within_a_capacity() {
    let most = any_sets::Dims { batch: 4, particles: 100 };
    cases("deepsets_eq_dyn", any_sets::Session::with_capacity(most).unwrap());
    let most = any_graphs::Dims { n: 50, m: 211 };
    cases("graphnets_epd", any_graphs::Session::with_capacity(most).unwrap());
    cases("keraslike_gru", any_gru::Session::with_capacity(any_gru::Dims { batch: 5 }).unwrap());
    cases("lenet_mnist", any_images::Session::with_capacity(any_images::Dims { batch: 4 }).unwrap());
    let most = any_particles::Dims { batch: 8 };
    cases("particlenet_trained", any_particles::Session::with_capacity(most).unwrap());
}

/// The bits of one output after a run at these shapes, the inputs full of noise.
fn outputs_of(session: &mut dyn DynSession, shapes: &[&[usize]]) -> Vec<u8> {
    session.fit(shapes).unwrap();
    for i in 0..shapes.len() {
        let floats = session.input_bytes(i).len() / 4;
        let bytes: Vec<u8> = noise(i + 3, floats).iter().flat_map(|x| x.to_le_bytes()).collect();
        session.input_bytes(i).copy_from_slice(&bytes);
    }
    session.run();
    session.output_bytes(0).to_vec()
}

#[test]
fn any_capacity_gives_the_same_bits() {
    let mut bounded = sets::Session::new();
    let width = bounded.input_info()[0].shape[2];
    for (batch, particles) in [(1, 1), (6, 1), (3, 40), (6, 128)] {
        let most = any_sets::Dims { batch, particles };
        let mut session = any_sets::Session::with_capacity(most).unwrap();
        assert_eq!(session.capacity(), most);
        for (b, p) in [(batch, particles), (1, 1), (0, particles), (batch, particles.div_ceil(2))] {
            let shapes: &[&[usize]] = &[&[b, p, width]];
            assert_eq!(outputs_of(&mut session, shapes), outputs_of(&mut bounded, shapes), "{b} of {most:?}");
        }
    }
    let mut small = any_jets::Session::with_capacity(any_jets::Dims { batch: 1 }).unwrap();
    let mut large = any_jets::Session::with_capacity(any_jets::Dims { batch: 5000 }).unwrap();
    assert!(small.arena_bytes() * 1000 < large.arena_bytes());
    assert_eq!(outputs_of(&mut small, &[&[1, 16]]), outputs_of(&mut large, &[&[1, 16]]));
    assert_eq!(outputs_of(&mut large, &[&[5000, 16]]).len(), 5000 * 3 * 4);
}

#[test]
fn what_exceeds_a_capacity_is_an_error() {
    let mut session = any_jets::Session::with_capacity(any_jets::Dims { batch: 3 }).unwrap();
    assert!(session.infer(&[[0.5; 16]; 3]).is_ok());
    let error = session.infer(&[[0.5; 16]; 4]).unwrap_err();
    assert_eq!(error, ExtentError::OutOfBounds { tensor: "x", axis: 0, least: 0, most: 3, found: 4 });
    assert!(session.inputs(any_jets::Dims { batch: 4 }).is_err());
    assert!(session.fit(&[&[4, 16]]).is_err());
    assert_eq!(session.infer(&[[0.5; 16]; 2]).unwrap().y.len(), 2);
    assert!(any_jets::Session::with_capacity(any_jets::Dims { batch: usize::MAX }).is_err());
    let most = any_sets::Dims { batch: 7, particles: 10 };
    assert!(any_sets::Session::with_capacity(most).is_err(), "a bound of the macro's call");
    assert!(any_sets::Session::with_capacity(any_sets::Dims { batch: 1, particles: 0 }).is_err());
}

#[test]
fn own_operators_see_the_extents_of_the_run() {
    let mut bounded = distances::Session::new();
    let mut open = any_distances::Session::with_capacity(any_distances::Dims { objects: 25 }).unwrap();
    for n in [20, 3, 0, 1] {
        let x: Vec<[f32; 2]> = (0..n).map(|i| [i as f32, 0.0]).collect();
        let y = bounded.infer(&x).unwrap().y;
        assert_eq!(y.dims(), [n, n]);
        let row: f32 = (0..n).map(|j| y[[0, j]]).sum();
        assert!(n == 0 || (row - 1.0).abs() < 1e-5 && y[[0, 0]] >= y[[0, n - 1]]);
        assert_eq!(open.infer(&x).unwrap().y.elements(), y.elements());
    }
    assert!(open.infer(&[[0.0; 2]; 25]).is_ok() && bounded.infer(&[[0.0; 2]; 25]).is_err());
}

#[test]
fn outputs_have_the_extents_that_values_decide() {
    let mut fixed = chosen::Session::new();
    for seed in 0..5 {
        let x: [[f32; 3]; 6] = std::array::from_fn(|i| noise(i * 5 + seed, 3).try_into().unwrap());
        let mask: [bool; 6] = std::array::from_fn(|i| seed < 4 && (i + seed) % 3 == 0);
        let places = x.iter().enumerate().flat_map(|(i, row)| {
            row.iter().enumerate().filter(|(_, x)| **x > 0.0).map(move |(j, _)| [i as i64, j as i64])
        });
        let places: Vec<[i64; 2]> = places.collect();
        let kept: Vec<[f32; 3]> =
            x.iter().zip(&mask).filter(|(_, keep)| **keep).map(|(row, _)| *row).collect();
        let before = allocations();
        let outputs = fixed.infer(&x, &mask);
        assert_eq!(allocations(), before);
        let found: View<'_, i64, 2> = outputs.where_;
        assert_eq!(found.dims(), [2, places.len()]);
        assert!(places.iter().enumerate().all(|(k, [i, j])| found[[0, k]] == *i && found[[1, k]] == *j));
        let rows: &[[f32; 3]] = outputs.kept;
        assert_eq!(rows, kept);
        assert_eq!(fixed.output_bytes(0).len(), places.len() * 2 * 8);
        assert_eq!(fixed.output_bytes(1).len(), kept.len() * 3 * 4);
        assert_eq!((fixed.output_extent(0, 1), fixed.output_extent(1, 0)), (places.len(), kept.len()));
    }
    let mut none = chosen_none::Session::new();
    let outputs = none.infer(&[], &[]);
    assert_eq!((outputs.where_.dims(), outputs.kept.len()), ([2, 0], 0));
}
