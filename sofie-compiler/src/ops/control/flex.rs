//! `FlexAttention`: attention whose scores and probabilities are changed by graphs, which are lowered in place.

use super::super::driver::Driver;
use super::super::operand::Operand;
use super::{Results, value};
use crate::error::{Error, Result};
use crate::ir::{Dim, Epilogue, Op, RowKind, Shape, ValueId};
use crate::onnx::Attrs;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// Lowers the node.
pub(super) fn flex_attention<'m>(
    d: &mut Driver<'m>,
    attrs: &Attrs<'m>,
    operands: &[Option<Operand>],
) -> Results {
    let operand = |i: usize, what: &str| value(operands.get(i).and_then(Option::as_ref), what);
    let (q, k, v) = (operand(0, "Q")?, operand(1, "K")?, operand(2, "V")?);
    let shapes = [q, k, v].map(|v| d.b.shape(v).clone());
    if shapes.iter().any(|s| s.rank() != 4) {
        return Err(Error::new(format!("{}, {}, {}; four axes are needed", shapes[0], shapes[1], shapes[2])));
    }
    let [of_q, of_k, of_v] = shapes;
    let dtype = d.b.dtype(q);
    let precision = match attrs.int("softmax_precision")?.filter(|&code| code != 0) {
        Some(code) => crate::onnx::ElementType::from_onnx(i32::try_from(code).unwrap_or(0))?.dtype()?,
        None if dtype == DType::F64 => DType::F64,
        None => DType::F32,
    };
    let scale = match (attrs.float("scale")?, of_q[3].fixed()) {
        (Some(scale), _) => f64::from(scale),
        (None, Some(depth)) => 1.0 / (depth as f64).sqrt(),
        (None, None) => return Err(Error::new(format!("the depth {} is not fixed", of_q[3]))),
    };
    let shared = of_q[1].exact_div(&of_k[1]);
    let shared = shared.ok_or_else(|| Error::new(format!("{} heads share {}", of_q[1], of_k[1])))?;
    let rows = shared.mul(&of_q[2])?;
    let grouped = |last: &Dim| Shape::new(vec![of_q[0].clone(), of_k[1].clone(), rows.clone(), last.clone()]);
    let full = |last: &Dim| Shape::new(vec![of_q[0].clone(), of_q[1].clone(), of_q[2].clone(), last.clone()]);
    let product = Op::MatMul(Epilogue::NONE);
    let (q, keys) = (d.b.cast(q, precision)?, d.b.cast(k, precision)?);
    let q = d.b.reshape(q, grouped(&of_q[3]))?;
    let keys = d.b.transpose(keys, &[0, 1, 3, 2])?;
    let s = d.b.one(product.clone(), &[q, keys])?;
    let factor = d.b.scalar(Scalar::from_f64(precision, scale));
    let s = d.b.binary(Binary::Mul, s, factor)?;
    let mut s = d.b.reshape(s, full(&of_k[2]))?;
    let changed = |d: &mut Driver<'m>, name: &str, v: ValueId| -> Result<Option<ValueId>> {
        let Some(graph) = attrs.graph(name)? else { return Ok(Some(v)) };
        let Some(results) = d.body(graph, vec![Operand::Value(v)])? else { return Ok(None) };
        let y = value(results.first(), name)?;
        if d.b.shape(y) != d.b.shape(v) || d.b.dtype(y) != d.b.dtype(v) {
            return Err(Error::new(format!("{name} gives {}{}", d.b.dtype(y), d.b.shape(y))));
        }
        Ok(Some(y))
    };
    let Some(scores) = changed(d, "score_mod", s)? else { return Ok(None) };
    s = d.b.one(Op::Rows(RowKind::Softmax), &[scores])?;
    let Some(p) = changed(d, "prob_mod", s)? else { return Ok(None) };
    let p = d.b.reshape(p, grouped(&of_k[2]))?;
    let v = d.b.cast(v, precision)?;
    let y = d.b.one(product, &[p, v])?;
    let y = d.b.reshape(y, full(&of_v[3]))?;
    Ok(Some(vec![Operand::Value(d.b.cast(y, dtype)?)]))
}
