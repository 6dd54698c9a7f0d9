//! Stored runs of a model, for sessions of any extents: inputs that fit the session to theirs, outputs to compare with.

use sofie_infer::npz::{Array, Npz, Tolerance, distance};
use sofie_infer::rt::DynSession;

/// Fits the session to the folder's inputs and fills them in.
pub fn fill(session: &mut impl DynSession, folder: &str) {
    let inputs = Npz::open(format!("{folder}/inputs.npz")).unwrap();
    let arrays: Vec<Array> = session.input_info().iter().map(|i| inputs.array(i.name).unwrap()).collect();
    let shapes: Vec<&[usize]> = arrays.iter().map(|a| &a.shape[..]).collect();
    session.fit(&shapes).unwrap_or_else(|e| panic!("{folder}: {e}"));
    for (i, array) in arrays.iter().enumerate() {
        session.input_bytes(i).copy_from_slice(&array.bytes);
    }
}

/// Compares what a run left with the folder's outputs, in shapes and numbers.
pub fn compare(session: &impl DynSession, folder: &str) {
    let outputs = Npz::open(format!("{folder}/outputs.npz")).unwrap();
    for (i, info) in session.output_info().iter().enumerate() {
        let want = outputs.array(info.name).unwrap();
        let shape = (0..info.shape.len()).map(|a| session.output_extent(i, a)).collect();
        let got = Array { dtype: info.dtype, shape, bytes: session.output_bytes(i).to_vec() };
        let d = distance(&got, &want, Tolerance::default())
            .unwrap_or_else(|e| panic!("{folder}: {}: {e}", info.name));
        assert!(d.agrees(), "{folder}: {} differs by {:.1e}", info.name, d.max_normalised);
    }
}
