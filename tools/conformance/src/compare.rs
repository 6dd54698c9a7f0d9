//! `numpy.testing.assert_allclose` as the suite's runner calls it: types and shapes are equal, values agree within
//! `atol + rtol * |expected|`.

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_runtime::DType;

/// Compares an output with what is expected.
///
/// # Errors
/// What differs, with the worst element.
pub fn compare(got: &Tensor, want: &Tensor, rtol: f64, atol: f64) -> Result<(), String> {
    if (got.dtype(), got.dims()) != (want.dtype(), want.dims()) {
        return Err(format!("{}{:?}, expected {}{:?}", got.dtype(), got.dims(), want.dtype(), want.dims()));
    }
    if got.bytes() == want.bytes() {
        return Ok(());
    }
    // bf16 has 8 bits; the suite compares it so.
    let rtol = if got.dtype() == DType::BF16 { rtol.max(1.0 / 64.0) } else { rtol };
    let mut worst: Option<(f64, String)> = None;
    for (i, (a, b)) in got.to_f64s().into_iter().zip(want.to_f64s()).enumerate() {
        if a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= atol + rtol * b.abs() {
            continue;
        }
        let excess =
            if (a - b).is_finite() { (a - b).abs() / (atol + rtol * b.abs()) } else { f64::INFINITY };
        if worst.as_ref().is_none_or(|(w, _)| excess > *w) {
            worst = Some((excess, format!("element {i} is {a}, expected {b}")));
        }
    }
    worst.map_or(Ok(()), |(_, message)| Err(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_those_of_numpy() {
        let t = |x: &[f32]| Tensor::of(&[x.len()], x);
        assert!(compare(&t(&[1.0009, f32::NAN]), &t(&[1.0, f32::NAN]), 1e-3, 1e-7).is_ok());
        let worst = compare(&t(&[1.1, 1.2, f32::INFINITY]), &t(&[1.0, 1.0, f32::INFINITY]), 1e-3, 1e-7);
        assert!(worst.unwrap_err().starts_with("element 1 is 1.2"));
        assert!(compare(&t(&[f32::INFINITY]), &t(&[1.0]), 1e-3, 1e-7).is_err());
        assert!(compare(&t(&[1.0]), &Tensor::of(&[1, 1], &[1.0f32]), 1e-3, 1e-7).is_err());
        assert!(compare(&t(&[1.0]), &Tensor::of(&[1], &[1.0f64]), 1e-3, 1e-7).is_err());
    }
}
