//! Values made from nothing: `Constant`, `ConstantOfShape`, `Range`, `EyeLike`, and `Shape` and `Size`,
//! which are constants as far as the extents are known.

use super::Ctx;
use super::driver::dense;
use super::expr::{Expr, num, x, y};
use super::operand::{Extents, Operand};
use crate::error::{Error, Result};
use crate::ir::{Dim, Shape, Tensor, ValueId};
use crate::onnx::Attribute;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;

/// `Constant`: one of the attributes holds the value.
pub(super) fn constant(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let names = ["value", "sparse_value", "value_float", "value_floats", "value_int", "value_ints"];
    let present: Vec<_> = names.iter().filter_map(|n| c.attrs.get(n)).collect();
    let tensor = match present.as_slice() {
        [Attribute::Tensor(t) | Attribute::SparseTensor(t)] => {
            return Ok(vec![super::stored::constant(c.b, t)?]);
        }
        [Attribute::Float(v)] => Tensor::of(&[], &[*v]),
        [Attribute::Floats(v)] => Tensor::of(&[v.len()], v),
        [Attribute::Int(v)] => Tensor::of(&[], &[*v]),
        [Attribute::Ints(v)] => Tensor::of(&[v.len()], v),
        [] if c.attrs.has("value_string") || c.attrs.has("value_strings") => {
            return Err(Error::new("constants of strings are not supported"));
        }
        [] => return Err(Error::new("the attribute \"value\" is missing")),
        _ => return Err(Error::new(format!("one of {names:?} is needed, found {}", present.len()))),
    };
    Ok(vec![Operand::Value(c.b.tensor(tensor))])
}

/// One number in a shape: a broadcast scalar, which takes no memory however large the shape is.
pub(super) fn filled(c: &mut Ctx<'_, '_>, value: Scalar, shape: Vec<Dim>) -> Result<ValueId> {
    if let Some(n) = shape.iter().find(|d| d.fixed().is_some_and(|n| n < 0)) {
        return Err(Error::new(format!("an extent is {n}")));
    }
    let value = c.b.scalar(value);
    Ok(c.b.broadcast(value, &Shape::new(shape))?)
}

/// `ConstantOfShape`: f32 zeros where no value is given.
pub(super) fn constant_of_shape(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let value = match c.attrs.tensor("value")? {
        None => Scalar::from(0.0f32),
        Some(t) if t.len() == 1 => dense(t)?.get(0),
        Some(t) => return Err(Error::new(format!("value has {} elements; one is needed", t.len()))),
    };
    let signed = |to: &[usize]| Some(to.iter().map(|&n| n as i64).collect());
    if let Some(shape) = super::runtime::repeated(c, 0, "the shape", signed)? {
        return Ok(vec![filled(c, value, shape)?]);
    }
    let shape = match c.extents(0, "the shape")? {
        Some(shape) => shape,
        None => return Err(Error::new("input 0 (input) is missing")),
    };
    Ok(vec![filled(c, value, shape)?])
}

/// `Range`: `start, start + delta, …` before `limit`.
pub(super) fn range(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    c.attrs.ignore(&["stash_type"]);
    let names = ["start", "limit", "delta"];
    if c.operands.iter().flatten().any(|o| matches!(o, Operand::Extents(_))) {
        return open_range(c);
    }
    if let Some(y) = super::runtime::range(c)? {
        return Ok(vec![y]);
    }
    let mut parts = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match c.constant(i, name)? {
            Some(t) if t.len() == 1 => parts.push(t),
            Some(t) => return Err(Error::new(format!("{name} has {} elements; one is needed", t.len()))),
            None => return Err(Error::new(format!("input {i} ({name}) is missing"))),
        }
    }
    let dtype = parts[0].dtype();
    let values = match parts.iter().map(Tensor::to_ints).collect::<Option<Vec<_>>>() {
        Some(ns) => {
            let (start, limit, delta) = (ns[0][0] as i128, ns[1][0] as i128, ns[2][0] as i128);
            let n = elements((limit - start) as f64 / delta as f64, delta == 0)?;
            (0..n as i128).map(|i| (start + i * delta) as i64).map(|n| integer(dtype, n)).collect::<Vec<_>>()
        }
        None => {
            let [start, limit, delta] = [0, 1, 2].map(|i| parts[i].get(0).to_f64());
            let n = elements((limit - start) / delta, delta == 0.0)?;
            // Each element from the start, as ONNX's text has it: no error adds up.
            (0..n).map(|i| Scalar::from_f64(dtype, start + i as f64 * delta)).collect()
        }
    };
    let bytes: Vec<u8> = values.iter().flat_map(|s| s.bits.to_le_bytes()[..dtype.size()].to_vec()).collect();
    let tensor = Tensor::from_bytes(dtype, vec![values.len()], bytes);
    let tensor = tensor.ok_or_else(|| Error::new("a range does not fit its type"))?;
    Ok(vec![c.b.tensor(tensor)])
}

fn integer(dtype: DType, n: i64) -> Scalar {
    let bits = if dtype.size() == 8 { n as u64 } else { n as u64 & ((1 << (8 * dtype.size())) - 1) };
    Scalar { dtype, bits }
}

/// The number of elements of a range, `max(ceil(quotient), 0)`.
fn elements(quotient: f64, still: bool) -> Result<usize> {
    /// A range beyond this is a mistake in the file, and would not fit memory.
    const MOST: f64 = (1u64 << 31) as f64;
    if still || quotient.is_nan() || quotient > MOST {
        return Err(Error::new("the range does not end"));
    }
    Ok(quotient.ceil().max(0.0) as usize)
}

/// A range of i64 by ones over extents that are not fixed.
fn open_range(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let [start, limit, delta] = [(0, "start"), (1, "limit"), (2, "delta")].map(|(i, name)| c.extent(i, name));
    let (Some(start), Some(limit), Some(delta)) = (start?, limit?, delta?) else {
        return Err(Error::new("a range needs start, limit and delta"));
    };
    let Some(first) = start.fixed().filter(|_| delta.is(1)) else {
        let dims = vec![start, limit, delta];
        return Err(Extents { scalar: false, dims }.refused_in(c.b));
    };
    let n = Dim::max(&limit.sub(&start)?, &Dim::Fixed(0));
    let base = filled(c, first.into(), vec![n])?;
    Ok(vec![c.map(x() + Expr::Iota(0), &[base])?])
}

/// `EyeLike`: ones on the `k`-th diagonal of a matrix shaped as the operand.
pub(super) fn eye_like(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let dtype = match c.attrs.int("dtype")? {
        Some(_) => {
            let code = c.attrs.int_or("dtype", 0)?;
            crate::onnx::ElementType::from_onnx(i32::try_from(code).unwrap_or(0))?.dtype()?
        }
        None => c.dtype(v),
    };
    let k = c.attrs.int_or("k", 0)?;
    let shape = c.shape(v);
    if shape.rank() != 2 {
        return Err(Error::new(format!("a matrix is needed, found {shape}")));
    }
    let zeros = filled(c, 0i64.into(), shape.dims().to_vec())?;
    let diagonal = Expr::Iota(0) + x() + Expr::Typed(k.into());
    Ok(vec![c.map(diagonal.eq(Expr::Iota(1)).cast(dtype), &[zeros])?])
}

/// `Trilu`: one triangle of the last two axes, the other zero.
pub(super) fn trilu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let k = c.optional(1)?;
    let rank = c.rank(v);
    if rank < 2 {
        return Err(Error::new(format!("a matrix is needed, found {}", c.shape(v))));
    }
    let k = match k {
        Some(k) => {
            let shape = vec![Dim::ONE; rank];
            c.b.reshape(k, Shape::new(shape))?
        }
        None => c.b.scalar(0i64),
    };
    let (row, column) = (Expr::Iota(rank - 2) + y(), Expr::Iota(rank - 1));
    let keep = if c.attrs.flag_or("upper", true)? { column.ge(row) } else { row.ge(column) };
    Ok(vec![c.map(keep.select(x(), num(0.0)), &[v, k])?])
}

/// `Shape`, between the attributes `start` and `end` since opset 15.
pub(super) fn shape(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let dims = match c.operands.first() {
        Some(Some(Operand::Extents(e))) => e.shape(),
        Some(Some(Operand::Stored(v, _))) => c.shape(*v),
        _ => c.shape(c.required(0, "data")?),
    };
    let rank = dims.rank() as i64;
    let clamp = |n: i64| (if n < 0 { n.saturating_add(rank) } else { n }).clamp(0, rank) as usize;
    let (start, end) = (clamp(c.attrs.int_or("start", 0)?), clamp(c.attrs.int_or("end", rank)?));
    let dims = dims.dims().get(start..end).unwrap_or_default().to_vec();
    Ok(vec![Extents { scalar: false, dims }.settle(c.b)])
}

/// `Size`: the number of elements.
pub(super) fn size(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let n = match c.operands.first() {
        Some(Some(Operand::Extents(e))) => Dim::from(e.dims.len()),
        Some(Some(Operand::Stored(v, _))) => c.b.shape(*v).numel()?,
        _ => c.b.shape(c.required(0, "data")?).numel()?,
    };
    Ok(vec![Extents { scalar: true, dims: vec![n] }.settle(c.b)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::DimSpec;
    use crate::ops::testing::*;

    #[test]
    fn constants_in_every_attribute() {
        let of = |name: &str, a: Attribute| run("Constant", 13, &[(name, a)], &[]);
        assert_eq!(of("value_float", Attribute::Float(2.5)), Tensor::of(&[], &[2.5f32]));
        assert_eq!(of("value_ints", Attribute::Ints(vec![3, -4])), Tensor::of(&[2], &[3i64, -4]));
        assert!(lowered("Constant", 13, &[], &[], 1).unwrap_err().contains("missing"));
        assert!(
            lowered("Constant", 13, &[("value_string", text("a"))], &[], 1).unwrap_err().contains("strings")
        );
    }

    #[test]
    fn ranges_of_integers_and_floats() {
        let range = |parts: [Tensor; 3]| run("Range", 11, &[], &parts.map(Arg::Const));
        let i = |n: i32| Tensor::of(&[], &[n]);
        let f = |n: f32| Tensor::of(&[], &[n]);
        assert_eq!(range([i(10), i(4), i(-2)]), Tensor::of(&[3], &[10i32, 8, 6]));
        assert_eq!(range([i(1), i(0), i(1)]), Tensor::of::<i32>(&[0], &[]));
        assert_eq!(range([f(1.0), f(2.1), f(0.5)]), Tensor::of(&[3], &[1.0f32, 1.5, 2.0]));
        let still = [i(0), i(4), i(0)].map(Arg::Const);
        assert!(lowered("Range", 11, &[], &still, 1).unwrap_err().contains("does not end"));
    }

    #[test]
    fn diagonals_and_triangles() {
        let x = Arg::In(Tensor::of(&[2, 3], &[1i32, 2, 3, 4, 5, 6]));
        let k = Attribute::Int(1);
        assert_eq!(
            run("EyeLike", 9, &[("k", k)], std::slice::from_ref(&x)),
            Tensor::of(&[2, 3], &[0i32, 1, 0, 0, 0, 1])
        );
        assert_eq!(
            run("Trilu", 14, &[], std::slice::from_ref(&x)),
            Tensor::of(&[2, 3], &[1i32, 2, 3, 0, 5, 6])
        );
        let lower =
            run("Trilu", 14, &[("upper", Attribute::Int(0))], &[x, Arg::In(Tensor::of(&[], &[-1i64]))]);
        assert_eq!(lower, Tensor::of(&[2, 3], &[0i32, 0, 0, 4, 0, 0]));
    }

    #[test]
    fn shapes_are_constants_or_extents() {
        let x = f32s(&[2, 3, 4], &[0.0; 24]);
        assert_eq!(run("Shape", 13, &[], std::slice::from_ref(&x)), Tensor::of(&[3], &[2i64, 3, 4]));
        let part = [("start", Attribute::Int(-2)), ("end", Attribute::Int(9))];
        assert_eq!(run("Shape", 15, &part, std::slice::from_ref(&x)), Tensor::of(&[2], &[3i64, 4]));
        assert_eq!(run("Size", 13, &[], &[x]), Tensor::of(&[], &[24i64]));
        let open = Arg::Open(DType::F32, vec![DimSpec::Symbol("batch".into()), DimSpec::Const(3)]);
        // As an output, what depends on a free extent is a value of each run.
        let graph = lowered("Shape", 13, &[], &[open], 1).unwrap();
        let inputs = [Tensor::of(&[5, 3], &[0f32; 15])];
        assert_eq!(crate::ir::eval::run(&graph, &inputs).unwrap(), [Tensor::of(&[2], &[5i64, 3])]);
    }
}
