//! Numbers that are bytes less a zero point, perhaps times a scale: the left operand of a product of what was quantised.

use crate::ir::{Graph, Inst, Invalid, MapExpr, Op, Reg, Rewriter, Shape, Tensor, ValueId};
use crate::passes::pattern::likely_len;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// From `i8` to the bytes that the kernels take.
pub const OFFSET: i32 = 128;

/// What is taken from each byte.
#[derive(Clone, Copy)]
enum Zero {
    Known(i32),
    Value(ValueId),
}

/// A value as bytes.
pub struct Operand<'g> {
    /// The bytes, `u8` or `i8`.
    x: ValueId,
    zero: Zero,
    /// The scale, of a value of `f32`.
    pub scale: Option<f32>,
    /// What the value is of them, from the last: reshaped and transposed.
    views: Vec<&'g Op>,
}

impl<'g> Operand<'g> {
    /// `i32(x)`, `i32(x) - i32(zero)` with one zero point for all, or such numbers of `f32` times one scale.
    pub fn of(graph: &'g Graph, v: ValueId) -> Option<Operand<'g>> {
        let (mut at, mut views) = (v, Vec::new());
        let made = loop {
            let node = graph.producer(at)?;
            match &node.op {
                Op::Reshape(_) | Op::Transpose(_) => views.push(&node.op),
                Op::Map(e) => break (e, &node.inputs),
                _ => return None,
            }
            at = node.inputs[0];
        };
        let (e, inputs) = made;
        let (insts, wide) = (e.insts(), graph.dtype(at));
        let number = |reg: usize| match insts.get(reg) {
            Some(Inst::Const(c)) => Some(*c),
            _ => None,
        };
        let byte = |reg: usize| match insts.get(reg) {
            Some(Inst::Cast(to, r)) if *to == wide => match insts.get(*r) {
                Some(Inst::Input(i)) => {
                    inputs.get(*i).copied().filter(|v| matches!(graph.dtype(*v), DType::U8 | DType::I8))
                }
                _ => None,
            },
            _ => None,
        };
        let one = |v: &ValueId| likely_len(graph.shape(*v)) == Some(1) && graph.shape(*v).fixed().is_some();
        let whole = |c: Scalar| {
            let n = c.to_f64();
            (n.fract() == 0.0 && n.abs() <= 255.0).then_some(Zero::Known(n as i32))
        };
        let zero = |reg: usize| match insts.get(reg) {
            Some(Inst::Cast(_, r)) if number(*r).is_some() => whole(number(*r)?),
            Some(Inst::Const(c)) => whole(*c),
            _ => byte(reg).filter(one).map(Zero::Value),
        };
        let last = insts.len().checked_sub(1)?;
        let (last, scale) = match (wide, insts[last]) {
            (DType::I32, _) => (last, None),
            (DType::F32, Inst::Binary(Binary::Mul, a, b)) => match (number(a), number(b)) {
                (None, Some(s)) => (a, Some(s)),
                (Some(s), None) => (b, Some(s)),
                _ => return None,
            },
            _ => return None,
        };
        let (x, zero) = match insts.get(last)? {
            Inst::Binary(Binary::Sub, a, b) => (byte(*a)?, zero(*b)?),
            _ => (byte(last)?, Zero::Known(0)),
        };
        let same = match zero {
            Zero::Value(z) => graph.dtype(z) == graph.dtype(x),
            Zero::Known(z) => {
                let offset = if graph.dtype(x) == DType::I8 { OFFSET } else { 0 };
                (0..=255).contains(&(z + offset))
            }
        };
        let scale = scale.map(|s| s.to_f64() as f32).filter(|s| s.is_finite());
        (same && graph.shape(x) == graph.shape(at) && scale.is_some() == (wide == DType::F32))
            .then_some(Operand { x, zero, scale, views })
    }

    /// The bytes as `u8`, as the value has them, and their zero point.
    pub fn bytes(&self, graph: &Graph, r: &mut Rewriter<'_>) -> Result<(ValueId, ValueId), Invalid> {
        let signed = graph.dtype(self.x) == DType::I8;
        let mut x = r.get(self.x)?;
        if signed {
            x = unsigned(r, x)?;
        }
        for view in self.views.iter().rev() {
            x = r.b.one((*view).clone(), &[x])?;
        }
        let zero = match self.zero {
            Zero::Known(z) => {
                let z = z + if signed { OFFSET } else { 0 };
                r.b.tensor(Tensor::filled(Scalar::from_f64(DType::U8, f64::from(z)), &[1]))
            }
            Zero::Value(z) => {
                let z = r.get(z)?;
                let z = r.b.reshape(z, Shape::of(&[1]))?;
                if signed { unsigned(r, z)? } else { z }
            }
        };
        Ok((x, zero))
    }
}

/// `i8` as `u8`, from 0 instead of -128.
fn unsigned(r: &mut Rewriter<'_>, x: ValueId) -> Result<ValueId, Invalid> {
    let mut e = MapExpr::over(&[DType::I8]);
    e.push(Inst::Input(0))?;
    r.b.map(above_least(e)?, &[x])
}

/// What an expression of `i8` is above the least of that type, as `u8`.
pub fn above_least(mut e: MapExpr) -> Result<MapExpr, Invalid> {
    let last = e.insts().len().checked_sub(1).ok_or_else(|| Invalid::new("an empty map"))?;
    let wide = e.push(Inst::Cast(DType::I32, last))?;
    let offset = e.push(Inst::Const(Scalar::from_f64(DType::I32, f64::from(OFFSET))))?;
    let sum = e.push(Inst::Binary(Binary::Add, wide, offset))?;
    e.push(Inst::Cast(DType::U8, sum))?;
    Ok(e)
}

/// The register, of `i8`, of which an expression is that.
pub fn above_least_of(e: &MapExpr) -> Option<Reg> {
    let Inst::Cast(DType::U8, sum) = *e.insts().last()? else { return None };
    let Inst::Binary(Binary::Add, wide, offset) = e.insts()[sum] else { return None };
    let Inst::Cast(DType::I32, x) = e.insts()[wide] else { return None };
    let by = Inst::Const(Scalar::from_f64(DType::I32, f64::from(OFFSET)));
    (e.insts()[offset] == by && e.reg_type(x) == Some(DType::I8)).then_some(x)
}
