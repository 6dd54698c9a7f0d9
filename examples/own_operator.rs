//! A network with an operator that only this program knows: distances between objects of an event.
//!
//! `cargo run --release --example own_operator`. The file names the operator `com.acme::DeltaR`; the macro is told which
//! function computes it, and the shape of what it gives.
#![forbid(unsafe_code)]

use sofie_infer::rt::{Attributes, View, ViewMut};

/// Distances in pseudorapidity and azimuth between all pairs of objects, the azimuth taken round the detector.
fn delta_r(x: View<'_, f32, 2>, attributes: &Attributes, mut y: ViewMut<'_, f32, 2>) {
    let period = attributes.float("period").unwrap_or(std::f32::consts::TAU);
    let [n, _] = x.dims();
    for i in 0..n {
        for j in 0..n {
            let (eta, phi) = (x[[i, 0]] - x[[j, 0]], (x[[i, 1]] - x[[j, 1]]).abs());
            y[[i, j]] = eta.hypot(phi.min(period - phi));
        }
    }
}

/// For each object the distance and the index of the one that is closest.
fn closest(
    r: View<'_, f32, 2>,
    _: &Attributes,
    mut least: ViewMut<'_, f32, 2>,
    mut first: ViewMut<'_, i64, 1>,
) {
    let [n, m] = r.dims();
    for i in 0..n {
        let others = (0..m).filter(|&j| j != i);
        if let Some(j) = others.min_by(|&a, &b| r[[i, a]].total_cmp(&r[[i, b]])) {
            least[[i, 0]] = r[[i, j]];
            first[[i]] = j as i64;
        }
    }
}

sofie_infer::sofie_model! {
    mod event = "ui-tests/models/custom.onnx",
    op("com.acme::DeltaR"([n, 2]) -> [n, n] = delta_r),
    op("com.acme::Closest"([n, n]) -> ([n, 1], i64[n]) = closest),
}

fn main() {
    let objects = [[0.0, 3.0], [0.1, -3.0], [2.0, 3.0]];
    let mut session = event::Session::new();
    let outputs = session.infer(&objects);
    for (i, ([eta, phi], j)) in objects.iter().zip(outputs.first).enumerate() {
        println!("object {i} at eta {eta:4.1}, phi {phi:4.1}: closest is object {j}");
    }
    assert_eq!(*outputs.first, [1, 0, 1], "the azimuth goes round");
}
