//! Runs a session on stored inputs and compares with stored outputs: what `test = "reference.npz"` calls.

use crate::npz::{Array, Npz, Tolerance, distance};
use crate::rt::DynSession;

/// Runs `session` on the arrays of the archive at `path` that are named after its inputs, and compares its
/// outputs with the arrays named after them (a missing output is not compared, one at least must be there).
///
/// # Panics
/// When an array is missing or has another type or shape, or an output differs by more than 1e-4 of the largest
/// reference value.
pub fn check(session: &mut impl DynSession, path: &str) {
    let archive = Npz::open(path).unwrap_or_else(|e| panic!("{e}"));
    for (i, info) in session.input_info().iter().enumerate() {
        let array = archive.array(info.name).unwrap_or_else(|e| panic!("input: {e}"));
        let given = (array.dtype, &array.shape[..]);
        assert!(
            given == (info.dtype, info.shape),
            "input {:?} of {path} is {given:?}, not {info:?}",
            info.name
        );
        session.input_bytes(i).copy_from_slice(&array.bytes);
    }
    session.run();
    let mut compared = 0;
    for (i, info) in session.output_info().iter().enumerate() {
        let Ok(want) = archive.array(info.name) else { continue };
        let bytes = session.output_bytes(i).to_vec();
        let got = Array { dtype: info.dtype, shape: info.shape.to_vec(), bytes };
        let d = distance(&got, &want, Tolerance::default())
            .unwrap_or_else(|e| panic!("output {:?}: {e}", info.name));
        assert!(
            d.agrees(),
            "output {:?} differs from {path} by {:.2e} of its largest value",
            info.name,
            d.max_normalised
        );
        compared += 1;
    }
    assert!(compared > 0, "{path} holds none of the outputs {:?}", session.output_info());
}
