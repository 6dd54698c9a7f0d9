//! Whether a rewritten graph still means what it meant.

use super::{cases, inputs};
use crate::ir::{Graph, Invalid, Tensor, eval, verify};
use arbitrary::Unstructured;
use sofie_infer_runtime::DType;

/// Whether two tensors agree: types and shapes are equal, integers and bools are equal, floats differ by no more
/// than `tolerance` times the largest finite magnitude in `expected` (at least 1) and are NaN or infinite in the
/// same places. With a tolerance of 0 floats must be equal in every bit but those of NaN. Types of 16 bits are
/// given two units in their own last place.
///
/// # Errors
/// Where they differ most, and by how much.
pub fn compare(actual: &Tensor, expected: &Tensor, tolerance: f64) -> Result<(), String> {
    if (actual.dtype(), actual.dims()) != (expected.dtype(), expected.dims()) {
        let (a, b) = ((actual.dtype(), actual.shape()), (expected.dtype(), expected.shape()));
        return Err(format!("{}{} where {}{} is expected", a.0, a.1, b.0, b.1));
    }
    if !actual.dtype().is_float() {
        let different = (0..actual.len()).find(|&i| actual.get(i) != expected.get(i));
        return different.map_or(Ok(()), |i| {
            Err(format!("{} where {} is expected, at {i}", actual.get(i).to_f64(), expected.get(i).to_f64()))
        });
    }
    let relative = match actual.dtype() {
        _ if tolerance == 0.0 => 0.0,
        DType::F16 => tolerance.max(2f64.powi(-10)),
        DType::BF16 => tolerance.max(2f64.powi(-7)),
        _ => tolerance,
    };
    let (a, b) = (actual.to_f64s(), expected.to_f64s());
    let largest = b.iter().filter(|b| b.is_finite()).fold(1.0, |m: f64, b| m.max(b.abs()));
    let error = |(a, b): (&f64, &f64)| match (a - b).abs() {
        _ if a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() => 0.0,
        // Zeros of either sign, or equal infinities.
        _ if a == b && tolerance > 0.0 => 0.0,
        difference if difference.is_finite() => difference.max(f64::MIN_POSITIVE),
        _ => f64::INFINITY,
    };
    let errors = a.iter().zip(&b).map(error).enumerate();
    match errors.max_by(|x, y| x.1.total_cmp(&y.1)) {
        Some((i, error)) if error > relative * largest => Err(format!(
            "{:e} where {:e} is expected, at {i}: {:e} of the largest",
            a[i],
            b[i],
            error / largest
        )),
        _ => Ok(()),
    }
}

/// Whether a graph computes the same from the same inputs as the one that it was made of, and verifies.
///
/// # Errors
/// What is broken or different.
pub fn same_results(before: &Graph, after: &Graph, inputs: &[Tensor], tolerance: f64) -> Result<(), String> {
    verify(after).map_err(|e| format!("the new graph is broken: {e}\n{after}"))?;
    let names =
        |g: &Graph| -> Vec<String> { g.inputs().iter().chain(g.outputs()).map(|p| p.name.clone()).collect() };
    if names(before) != names(after) {
        return Err(format!("ports {:?} became {:?}", names(before), names(after)));
    }
    let expected = eval::run(before, inputs).map_err(|e| format!("the old graph fails: {e}"))?;
    let actual = eval::run(after, inputs).map_err(|e| format!("the new graph fails: {e}\n{after}"))?;
    for (port, (a, e)) in before.outputs().iter().zip(actual.iter().zip(&expected)) {
        compare(a, e, tolerance).map_err(|e| format!("output {:?}: {e}\n{after}", port.name))?;
    }
    Ok(())
}

/// Whether a pass keeps the meaning of a graph on random inputs, and changes nothing more when it runs again.
///
/// # Errors
/// What is broken or different.
pub fn keeps_meaning(
    graph: &Graph,
    pass: impl Fn(&Graph) -> Result<Graph, Invalid>,
    tolerance: f64,
    u: &mut Unstructured,
) -> Result<(), String> {
    let after = pass(graph).map_err(|e| format!("the pass fails: {e}"))?;
    same_results(graph, &after, &inputs(graph, u), tolerance)?;
    let again = pass(&after).map_err(|e| format!("the pass fails on its own result: {e}\n{after}"))?;
    if again != after {
        return Err(format!("the pass is not idempotent: it makes\n{after}and then\n{again}of"));
    }
    Ok(())
}

/// Runs [`keeps_meaning`] over `count` random graphs, always the same ones.
///
/// # Panics
/// When a graph changes its meaning, with the smallest that was found.
pub fn passes_keep_meaning(count: u64, pass: impl Fn(&Graph) -> Result<Graph, Invalid>, tolerance: f64) {
    cases(count, |graph, u| keeps_meaning(graph, &pass, tolerance, u));
}
