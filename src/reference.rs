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
    let infos = session.input_info();
    let array = |name| archive.array(name).unwrap_or_else(|e| panic!("input: {e}"));
    let arrays: Vec<Array> = infos.iter().map(|info| array(info.name)).collect();
    for (array, info) in arrays.iter().zip(infos) {
        let given = (array.dtype, array.shape.len());
        let fits = given == (info.dtype, info.shape.len());
        assert!(fits, "input {:?} of {path} is {}{:?}, not {info:?}", info.name, array.dtype, array.shape);
    }
    let shapes: Vec<&[usize]> = arrays.iter().map(|array| &array.shape[..]).collect();
    session.fit(&shapes).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (i, array) in arrays.iter().enumerate() {
        session.input_bytes(i).copy_from_slice(&array.bytes);
    }
    session.run();
    let mut compared = 0;
    for (i, info) in session.output_info().iter().enumerate() {
        let Ok(want) = archive.array(info.name) else { continue };
        let bytes = session.output_bytes(i).to_vec();
        let shape = (0..info.shape.len()).map(|axis| session.output_extent(i, axis)).collect();
        let got = Array { dtype: info.dtype, shape, bytes };
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
