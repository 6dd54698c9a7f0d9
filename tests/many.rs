//! `infer_many` is `infer`, event by event: the same bits, on one thread and, with the feature `threads`, on several.
#![forbid(unsafe_code)]

use sofie_infer::npz::Npz;

sofie_infer::sofie_model!(mod particlenet = "assets/particlenet.onnx");
sofie_infer::sofie_model!(mod tagger = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = 2));
sofie_infer::sofie_model!(mod spectrum = "ui-tests/models/winograd.onnx");
sofie_infer::sofie_model!(mod counted = "ui-tests/models/counted.onnx");
sofie_infer::sofie_model!(mod decides = "ui-tests/models/decides.onnx");
sofie_infer::sofie_model!(mod bools = "ui-tests/models/bools.onnx");
// Large enough for its kernels to be shared out.
sofie_infer::sofie_model!(mod large = "assets/models/lenet_mnist.onnx", dims(batch = 64));

/// Runs `f` as it is, and where there are threads with one, two and three.
fn each(mut f: impl FnMut() + Send) {
    f();
    #[cfg(feature = "threads")]
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&mut f);
    }
}

fn number(i: usize) -> f32 {
    (i * 2_654_435_761 % 4096) as f32 / 2048.0 - 1.0
}

#[test]
fn jets_are_those_one_by_one() {
    let jets = Npz::open("assets/particlenet_jets.npz").unwrap();
    let values = |name| jets.array(name).unwrap().values::<f32>().unwrap();
    let (points, features, mask) = (values("points"), values("features"), values("mask"));
    let (points, _) = points.as_chunks::<64>().0.as_chunks::<2>();
    let (features, _) = features.as_chunks::<64>().0.as_chunks::<5>();
    let (mask, _) = mask.as_chunks::<64>().0.as_chunks::<1>();
    let mut session = particlenet::Session::new();
    let want: Vec<[f32; 3]> = (0..points.len())
        .map(|i| session.infer(&[points[i]], &[features[i]], &[mask[i]]).softmax[0])
        .collect();
    each(|| {
        for n in [0, 1, 2, 7, points.len()] {
            let mut scores = vec![[f32::NAN; 3]; n];
            session.infer_many(&points[..n], &features[..n], &mask[..n], &mut scores);
            assert_eq!(scores, want[..n]);
        }
        // A clone has arenas of its own, and weights that are shared.
        let mut scores = vec![[f32::NAN; 3]; 20];
        session.clone().infer_many(&points[..20], &features[..20], &mask[..20], &mut scores);
        assert_eq!(scores, want[..20]);
    });
}

#[test]
fn events_may_be_batches() {
    let x: Vec<[[f32; 16]; 2]> = (0..50).map(|i| [0, 1].map(|j| [number(2 * i + j); 16])).collect();
    let mut session = tagger::Session::new();
    let want: Vec<[[f32; 3]; 2]> = x.iter().map(|x| *session.infer(x).y).collect();
    each(|| {
        let mut y = vec![[[0.0; 3]; 2]; 50];
        session.infer_many(&x, &mut y);
        assert_eq!(y, want);
    });
}

#[test]
fn transformed_weights_are_shared() {
    let x: Vec<[[[f32; 12]; 12]; 16]> = (0..40).map(|i| [[[number(i); 12]; 12]; 16]).collect();
    let mut session = spectrum::Session::new();
    let want: Vec<[[[f32; 12]; 12]; 16]> =
        x.iter().map(|x| session.infer(std::array::from_ref(x)).y[0]).collect();
    each(|| {
        let mut y = vec![[[[0.0; 12]; 12]; 16]; 40];
        session.infer_many(&x, &mut y);
        assert!(y == want);
    });
}

#[test]
fn names_of_the_expansion_are_free_to_models() {
    let mut session = counted::Session::new();
    let outputs = session.infer(&[[0.0, 1.0, -2.0, 0.0]], &[[1.0; 4]]);
    assert_eq!(outputs.event, &[[1.0, 2.0, 3.0, 1.0]]);
}

#[test]
fn bools_arrive() {
    let mut flipped = [[false; 3]; 2];
    bools::Session::new().infer_many(&[[true, false, true], [false; 3]], &mut flipped);
    assert_eq!(flipped, [[false, true, false], [true; 3]]);
}

#[test]
fn the_first_event_that_fails_is_named_and_the_others_are_computed() {
    let mut session = decides::Session::new();
    let x = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]; 4];
    each(|| {
        let mut y = [[[0.5; 2]; 3]; 4];
        session.infer_many(&x, &[[3, 2]; 4], &mut y).unwrap();
        assert_eq!(y, [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]; 4]);
        let mut y = [[[0.5; 2]; 3]; 4];
        let error = session.infer_many(&x, &[[3, 2], [2, 3], [3, -1], [1, 6]], &mut y).unwrap_err();
        assert_eq!(error.event, 1);
        assert!(error.to_string().starts_with("event 1: "), "{error}");
        assert_eq!(
            (y[0], y[1], y[2], y[3]),
            (y[2], [[0.5; 2]; 3], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], y[1])
        );
    });
}

#[test]
#[should_panic(expected = "`y` has 4 events, `x` has 5")]
fn slices_of_different_lengths_are_refused() {
    tagger::Session::new().infer_many(&[[[0.0; 16]; 2]; 5], &mut [[[0.0; 3]; 2]; 4]);
}

#[test]
fn large_networks_give_the_same_bits() {
    use sofie_infer::rt::{DynSession, parallel::alone};
    let mut session = large::Session::new();
    let mut run = |one_thread: bool| {
        for i in 0..session.input_info().len() {
            let bytes = session.input_bytes(i).as_chunks_mut::<4>().0;
            bytes.iter_mut().enumerate().for_each(|(i, b)| *b = number(i).to_le_bytes());
        }
        if one_thread {
            alone(|| session.run())
        } else {
            session.run()
        }
        (0..session.output_info().len()).map(|i| session.output_bytes(i).to_vec()).collect::<Vec<_>>()
    };
    let want = run(true);
    each(|| assert!(run(false) == want));
}
