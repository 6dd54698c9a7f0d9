//! Control flow through the real macro: what runs, how often, and when a run fails.
#![forbid(unsafe_code)]
#![deny(warnings)]

use sofie_infer::rt::ShapeError;
use sofie_infer::sofie_model;

sofie_model!(mod dear = "sofie-compiler/tests/fixtures/control/if_dear_then/model.onnx");
sofie_model!(mod rates = "sofie-compiler/tests/fixtures/control/if_rates_low/model.onnx", dims(n = 2, k = 4));
sofie_model!(mod trips = "sofie-compiler/tests/fixtures/control/loop_trips_0/model.onnx");
sofie_model!(mod ends = "sofie-compiler/tests/fixtures/control/loop_while_one/model.onnx");
sofie_model!(mod nested = "sofie-compiler/tests/fixtures/control/loop_nested_1_1/model.onnx");
sofie_model!(mod rows = "sofie-compiler/tests/fixtures/control/loop_rows_open_all/model.onnx");
#[cfg(feature = "safetensors")]
sofie_model!(mod outside = "sofie-compiler/tests/fixtures/control/loop_if_a/model.onnx", weights = external);

#[test]
fn one_branch_runs() {
    let mut session = dear::Session::new();
    let soft = session.infer(&[[1.0; 4]; 2]).y;
    // The rows of a softmax.
    assert!(soft.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6), "{soft:?}");
    let hard = *session.infer(&[[-1.0; 4]; 2]).y;
    assert!(hard.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() > 1e-3), "{hard:?}");
}

#[test]
fn the_branch_that_was_left_out_is_an_error() {
    let mut session = rates::Session::new();
    let x = [[0.5; 4]; 2];
    let y = *session.infer(&x, &8000).unwrap().y;
    assert_eq!(session.infer(&x, &16000).err(), Some(ShapeError));
    assert_eq!(*session.infer(&x, &8000).unwrap().y, y);
}

#[test]
fn an_input_says_how_often() {
    let mut session = trips::Session::new();
    let x = [[0.5; 4], [-0.25; 4]];
    let mut run = |n| {
        let outputs = session.infer(&n, &x).unwrap();
        assert_eq!(*outputs.kept, x);
        *outputs.y
    };
    let [none, one, two, never] = [0, 1, 2, -3].map(&mut run);
    assert!(none == x && never == x && one != x && two != one);
    assert_eq!(run(1), one);
}

#[test]
fn a_condition_ends_a_loop() {
    let mut session = ends::Session::new();
    let mut run = |x, first| {
        let outputs = session.infer(&x, &first).unwrap();
        (*outputs.y, *outputs.n)
    };
    assert_eq!(run([1000.0, 4.0, 2.0], true), ([0.9765625, 0.00390625, 0.001953125], 10));
    assert_eq!(run([1.0, 0.0, 0.0], true), ([0.5, 0.0, 0.0], 1));
    assert_eq!(run([5.0, 6.0, 7.0], false), ([5.0, 6.0, 7.0], 0));
}

#[test]
fn rows_have_an_extent() {
    let mut session = rows::Session::new();
    let outputs = session.infer(&[1.0, 2.0]);
    assert_eq!((outputs.rows.len(), outputs.rows[3]), (4, [-5.0, -10.0]));
    assert_eq!(session.infer(&[0.0, 0.0]).rows.len(), 40);
}

#[test]
fn loops_in_loops_run() {
    let mut session = nested::Session::new();
    let x = [0.5f32, -1.0];
    let outputs = session.infer(&[2], &3, &x).unwrap();
    let inner = |s: f32, t: f32| (0..3).fold(t, |a, _| a.sin() + s);
    for (i, &x) in x.iter().enumerate() {
        let (s, t) = (inner(x, x), x);
        let (y, z) = (inner(s, t), s);
        assert!((outputs.y[i] - y).abs() < 1e-5 && (outputs.z[i] - z).abs() < 1e-5);
    }
}

#[test]
#[cfg(feature = "safetensors")]
fn weights_of_bodies_are_among_the_others() {
    assert!(outside::WEIGHTS.blocks.iter().any(|block| block.len >= 16), "{:?}", outside::WEIGHTS.blocks);
}
