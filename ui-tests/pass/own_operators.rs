//! Operators of the calling program: found relative to the call, given typed views and attributes, several results, their
//! shapes by a rule or declared by the file.
use sofie_infer::rt::{Attributes, View, ViewMut};

fn delta_r(x: View<'_, f32, 2>, attributes: &Attributes, mut y: ViewMut<'_, f32, 2>) {
    let period = attributes.float("period").unwrap();
    let [n, _] = x.dims();
    for i in 0..n {
        for j in 0..n {
            let (eta, mut phi) = (x[[i, 0]] - x[[j, 0]], (x[[i, 1]] - x[[j, 1]]).abs());
            if phi > period / 2.0 {
                phi = period - phi;
            }
            y[[i, j]] = (eta * eta + phi * phi).sqrt();
        }
    }
}

mod operators {
    use super::{Attributes, View, ViewMut};

    pub fn closest(
        r: View<'_, f32, 2>,
        attributes: &Attributes,
        mut least: ViewMut<'_, f32, 2>,
        mut first: ViewMut<'_, i64, 1>,
    ) {
        assert_eq!((attributes.ints("axes"), attributes.string("kind")), (Some(&[1][..]), Some("euclid")));
        let [n, m] = r.dims();
        for i in 0..n {
            let others = (0..m).filter(|&j| j != i);
            let j = others.min_by(|&a, &b| r[[i, a]].total_cmp(&r[[i, b]])).unwrap();
            least[[i, 0]] = r[[i, j]];
            first[[i]] = j as i64;
        }
    }
}

sofie_infer::sofie_model! {
    mod custom = "ui-tests/models/custom.onnx",
    op("com.acme::DeltaR"([n, 2]) -> [n, n] = delta_r),
    op("com.acme::Closest"([n, m]) -> ([n, m - m + 1], i64[n]) = crate::operators::closest),
}

fn main() {
    let mut session = custom::Session::new();
    let outputs = session.infer(&[[0.0, 3.0], [0.0, -3.0], [2.0, 3.0]]);
    let across = core::f32::consts::TAU - 6.0;
    assert_eq!(*outputs.first, [1, 0, 0]);
    let row: f32 = outputs.y[0].iter().sum();
    assert!((row - (1.0 + 3.0 * across)).abs() < 1e-4, "{row}");
}
