//! `CDist`: the distances between the rows of two matrices, which skl2onnx writes for nearest neighbours and Gaussian
//! processes (`options={"optim": "cdist"}`).

use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, ValueId};
use crate::ops::Ctx;
use crate::ops::expr::{x, y};
use sofie_infer_runtime::map::Unary;

/// `CDist`: `[N, D]` and `[M, D]` to `[N, M]`.
///
/// Sums of squared differences: ONNX Runtime computes `|a|² + |b|² - 2 a·b`, which leaves near points nothing but rounding
/// (measured in f32, six coordinates about 100 that are 0.001 apart: 0.06 for a distance of 0.0025).
pub(in crate::ops) fn cdist(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    let metric = c.attrs.string_or("metric", "sqeuclidean")?;
    let (of_a, of_b) = (c.shape(a), c.shape(b));
    let ([rows, depth], [columns, also]) = (of_a.dims(), of_b.dims()) else {
        return Err(Error::new(format!("matrices are needed, not {of_a} and {of_b}")));
    };
    if depth.same(also) != Some(true) {
        return Err(Error::new(format!("points of {depth} coordinates and of {also}")));
    }
    let a = c.reshape(a, &[rows.clone(), Dim::ONE, depth.clone()])?;
    let b = c.reshape(b, &[Dim::ONE, columns.clone(), depth.clone()])?;
    let apart = c.map(x() - y(), &[a, b])?;
    let square = c.b.one(Op::Reduce(ReduceKind::SumSquare, vec![2]), &[apart])?;
    let square = c.drop_axes(square, &[2])?;
    match metric {
        "sqeuclidean" => Ok(vec![square]),
        "euclidean" => Ok(vec![c.map(x().unary(Unary::Sqrt), &[square])?]),
        other => Err(Error::new(format!("metric {other:?} is not supported"))
            .help("supported are euclidean and sqeuclidean, as in ONNX Runtime")),
    }
}
