// A function that does not fit the operator, a result whose shape nobody says, and an operator that is not there.
use sofie_infer::rt::{Attributes, View, ViewMut};

fn delta_r(_: View<'_, f64, 2>, _: &Attributes, _: ViewMut<'_, f32, 2>) {}
fn closest(_: View<'_, f32, 2>, _: &Attributes, _: ViewMut<'_, f32, 2>, _: ViewMut<'_, i64, 1>) {}

sofie_infer::sofie_model! {
    mod mistyped = "models/custom.onnx",
    op("com.acme::DeltaR"([n, 2]) -> [n, n] = delta_r),
    op("com.acme::Closest"([n, n]) -> ([n, 1], i64[n]) = closest),
}

sofie_infer::sofie_model! {
    mod undeclared = "models/custom.onnx",
    op("com.acme::DeltaR" = delta_r),
    op("com.acme::Closest"([n, n]) -> ([n, 1], i64[n]) = closest),
}

sofie_infer::sofie_model! { mod absent = "models/dense.onnx", op("com.acme::Smooth" = delta_r) }

fn main() {}
