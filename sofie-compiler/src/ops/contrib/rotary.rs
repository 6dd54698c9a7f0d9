//! `RotaryEmbedding`, the ancestor of ONNX's own: positions come before the tables, and may be one offset for all.

use super::refused;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId};
use crate::ops::Ctx;
use crate::ops::attention::turn;
use crate::ops::constant::filled;
use crate::ops::expr::{Expr, x, y};
use sofie_infer_runtime::DType;

/// Rows of the tables, shaped for [`turn`]: `at` holds an offset for all events, or a position each `[B, L]`.
pub(super) fn angles(
    c: &mut Ctx<'_, '_>,
    tables: [ValueId; 2],
    at: ValueId,
    len: &Dim,
) -> Result<[ValueId; 2]> {
    let mut at = c.b.cast(at, DType::I64)?;
    if c.b.shape(at).numel()?.is(1) && c.rank(at) < 2 {
        let zeros = filled(c, 0i64.into(), vec![Dim::ONE, len.clone()])?;
        at = c.map(x() + y() + Expr::Iota(1), &[zeros, at])?;
    }
    let mut rows = |table: ValueId| -> Result<ValueId> {
        let t = c.b.one(Op::Gather { axis: 0, batch: 0 }, &[table, at])?;
        let dims = c.shape(t).dims().to_vec();
        match &dims[..] {
            [b, l, n] if l == len => c.reshape(t, &[b.clone(), l.clone(), Dim::ONE, n.clone()]),
            _ => Err(Error::new(format!("angles of shape {} for {len} positions", c.shape(t)))),
        }
    };
    Ok([rows(tables[0])?, rows(tables[1])?])
}

/// `RotaryEmbedding`.
pub(in crate::ops) fn rotary(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, at) = (c.required(0, "input")?, c.required(1, "position_ids")?);
    let tables = [c.required(2, "cos_cache")?, c.required(3, "sin_cache")?];
    let (heads, turned) = (c.attrs.int_or("num_heads", 0)?, c.attrs.int_or("rotary_embedding_dim", 0)?);
    if c.attrs.flag_or("is_packed_batching", false)? {
        return Err(refused("is_packed_batching is not supported"));
    }
    if c.attrs.float_or("scale", 1.0)? != 1.0 {
        return Err(refused("a scale other than 1 is not supported"));
    }
    let half = c.fixed(tables[0], "the tables of angles")?.get(1).map_or(0, |&n| n as i64);
    if turned > 0 && turned != 2 * half {
        return Err(Error::new(format!("rotary_embedding_dim is {turned}, but there are {half} angles")));
    }
    let whole = c.shape(v);
    let flat = whole.rank() == 3;
    let apart = match whole.dims() {
        [b, l, width] => {
            let depth = match heads {
                0 => Some(Dim::Fixed(2 * half)),
                heads => width.exact_div(&Dim::Fixed(heads)),
            };
            let heads = depth.as_ref().filter(|d| !d.is(0)).and_then(|d| width.exact_div(d));
            let (Some(heads), Some(depth)) = (heads, depth) else {
                return Err(Error::new(format!("{width} does not divide into heads")));
            };
            c.reshape(v, &[b.clone(), l.clone(), heads, depth])?
        }
        [_, _, _, _] => c.b.transpose(v, &[0, 2, 1, 3])?,
        _ => return Err(Error::new(format!("input has shape {whole}; three or four axes are needed"))),
    };
    let len = c.shape(apart)[1].clone();
    let angles = angles(c, tables, at, &len)?;
    let interleaved = c.attrs.flag_or("interleaved", false)?;
    let result = turn(c, apart, angles, interleaved)?;
    Ok(vec![if flat { c.b.reshape(result, whole)? } else { c.b.transpose(result, &[0, 2, 1, 3])? }])
}
