//! Networks that go on behind a result whose extents values decide, through the real macro: all runs of a model in one
//! session, forwards and backwards, against what ONNX Runtime gave.
#![forbid(unsafe_code)]
#![deny(warnings)]

#[path = "../dynamic/stored.rs"]
mod stored;

use sofie_infer::rt::{DynSession, ExtentError};
use sofie_infer::sofie_model;
use stored::{compare, fill};

sofie_model!(mod positive = "sofie-compiler/tests/fixtures/decided/positive_some/model.onnx");
sofie_model!(mod kept = "sofie-compiler/tests/fixtures/decided/kept_some/model.onnx");
sofie_model!(mod detection = "sofie-compiler/tests/fixtures/decided/detection_some/model.onnx");
sofie_model!(mod nested = "sofie-compiler/tests/fixtures/decided/nested_some/model.onnx");
sofie_model!(mod unique = "sofie-compiler/tests/fixtures/decided/unique_some/model.onnx");
sofie_model!(mod top = "sofie-compiler/tests/fixtures/decided/top_two/model.onnx");
sofie_model!(mod shapes = "sofie-compiler/tests/fixtures/decided/shapes_some/model.onnx");
sofie_model!(mod meets = "sofie-compiler/tests/fixtures/decided/meets_same/model.onnx");
sofie_model!(mod limited = "sofie-compiler/tests/fixtures/decided/limited_some/model.onnx");
sofie_model!(mod regions = "sofie-compiler/tests/fixtures/decided/regions_some/model.onnx");
sofie_model!(mod first = "sofie-compiler/tests/fixtures/decided/first_some/model.onnx");
sofie_model!(mod looped = "sofie-compiler/tests/fixtures/decided/looped_some/model.onnx");
sofie_model!(mod twice = "sofie-compiler/tests/fixtures/decided/twice_some/model.onnx");
sofie_model!(mod signal = "sofie-compiler/tests/fixtures/decided/signal_some/model.onnx");
sofie_model!(mod batched = "sofie-compiler/tests/fixtures/decided/batched_some/model.onnx");
sofie_model!(mod rows = "sofie-compiler/tests/fixtures/decided/rows_six/model.onnx", dims(rows = ..=8));
sofie_model!(mod any_rows = "sofie-compiler/tests/fixtures/decided/rows_six/model.onnx", dims(rows = ..));
sofie_model!(mod six_rows = "sofie-compiler/tests/fixtures/decided/rows_six/model.onnx", dims(rows = 6));
sofie_model!(mod clusters = "sofie-compiler/tests/fixtures/decided/clusters_one/model.onnx", dims(n = ..=8));
sofie_model!(mod any_clusters = "sofie-compiler/tests/fixtures/decided/clusters_one/model.onnx", dims(n = ..));

const FIXTURES: &str = "sofie-compiler/tests/fixtures/decided";

/// One stored run.
fn run(session: &mut impl DynSession, folder: &str) {
    fill(session, folder);
    session.run();
    compare(session, folder);
}

/// All runs of a model in one session, each behind each other.
fn runs(name: &str, mut session: impl DynSession) {
    let entries = std::fs::read_dir(FIXTURES).unwrap().map(|e| e.unwrap().path());
    let folders = entries.filter(|p| p.join("outputs.npz").exists()).map(|p| p.display().to_string());
    let mut folders: Vec<String> =
        folders.filter(|p| p.rsplit_once('/').unwrap().1.rsplit_once('_').unwrap().0 == name).collect();
    folders.sort();
    assert!(folders.len() > 2, "{folders:?}");
    for first in &folders {
        for second in &folders {
            run(&mut session, first);
            run(&mut session, second);
        }
    }
}

#[test]
fn agrees_with_onnx_runtime() {
    runs("positive", positive::Session::new());
    runs("kept", kept::Session::new());
    runs("detection", detection::Session::new());
    runs("nested", nested::Session::new());
    runs("unique", unique::Session::new());
    runs("top", top::Session::new());
    runs("shapes", shapes::Session::new());
    runs("meets", meets::Session::new());
    runs("limited", limited::Session::new());
    runs("regions", regions::Session::new());
    runs("first", first::Session::new());
    runs("looped", looped::Session::new());
    runs("twice", twice::Session::new());
    runs("signal", signal::Session::new());
    runs("batched", batched::Session::new());
}

#[test]
fn agrees_with_onnx_runtime_at_free_extents() {
    runs("rows", rows::Session::new());
    runs("clusters", clusters::Session::new());
    runs("rows", any_rows::Session::with_capacity(any_rows::Dims { rows: 8 }).unwrap());
    runs("clusters", any_clusters::Session::with_capacity(any_clusters::Dims { n: 11 }).unwrap());
    run(&mut six_rows::Session::new(), &format!("{FIXTURES}/rows_six"));
}

#[test]
fn outputs_are_slices_and_views() {
    let mut session = kept::Session::new();
    let x = [[1.0; 3], [2.0; 3], [-1.0; 3], [0.5; 3], [3.0; 3], [-2.0; 3]];
    let outputs = session.infer(&x, &[true, false, true, true, false, false]).unwrap();
    let y: &[[f32; 2]] = outputs.y;
    assert_eq!((y.len(), outputs.alike.dims(), outputs.twice.len()), (3, [3, 3], 7));
    let inputs = session.inputs();
    (*inputs.x, *inputs.mask) = (x, [true; 6]);
    assert_eq!(inputs.run().unwrap().y.len(), 6);
    let shape = kept::OUTPUTS.iter().find(|o| o.name == "alike").unwrap().shape;
    assert_eq!(shape, [6, 6]);
}

#[test]
fn extents_that_disagree_are_errors_and_leave_the_session_usable() {
    let mut session = meets::Session::new();
    let (x, a) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [true, false, true, false, false, false]);
    let b = [false, false, false, false, true, true];
    assert_eq!(session.infer(&x, &x, &a, &b).unwrap().sum, [6.0, 9.0]);
    let error = session.infer(&x, &x, &a, &[true; 6]).unwrap_err();
    assert!(matches!(error, ExtentError::Values { expected: 2, found: 6, .. }), "{error}");
    assert_eq!(session.infer(&x, &x, &b, &a).unwrap().sum, [6.0, 9.0]);
    let mut session = first::Session::new();
    assert!(matches!(
        session.infer(&[[1.0; 3]; 6], &[false; 6]),
        Err(ExtentError::Values { expected: 1, found: 0, .. })
    ));
    assert_eq!(*session.infer(&[[1.0; 3]; 6], &[true; 6]).unwrap().y, [1.0; 3]);
    let more = top::Session::new().infer(&[[0.0; 6]; 3], &[7]).err();
    assert!(matches!(more, Some(ExtentError::Shape(_))), "{more:?}");
}
