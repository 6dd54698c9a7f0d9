//! Spectra: `DFT`, `STFT`, the windows, and `MelWeightMatrix`.

use super::Ctx;
use super::expr::{Expr, x, y};
use crate::error::{Error, Result};
use crate::ir::{Op, Tensor, ValueId, axis_in};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary, binary, cast, unary};
use sofie_infer_runtime::plain;

/// A function of one number, by the runtime's mathematics: a constant does not depend on the host.
fn function(op: Unary, x: f64) -> f64 {
    unary(op, Scalar::from(x)).to_f64()
}

/// What a transform is asked for.
struct Transform {
    axis: usize,
    /// The length; by default all of the axis.
    length: Option<i64>,
    inverse: bool,
    onesided: bool,
}

/// The transform of `v [.., 1 or 2]` along an axis.
fn transform(c: &mut Ctx<'_, '_>, v: ValueId, t: &Transform) -> Result<ValueId> {
    let dims = c.fixed(v, "a Fourier transform")?;
    let rank = dims.len();
    if rank < 2 || t.axis + 1 >= rank || !matches!(dims[rank - 1], 1 | 2) {
        return Err(Error::new(format!(
            "{dims:?} along axis {}; real and imaginary parts are the last axis",
            t.axis
        )));
    }
    let complex_in = dims[rank - 1] == 2;
    let (inverse, onesided) = (t.inverse, t.onesided);
    if onesided && !inverse && complex_in {
        return Err(Error::new("onesided spectra are of real signals, and this one is complex"));
    }
    let extent = dims[t.axis];
    let default = if inverse && onesided { 2 * extent.saturating_sub(1) } else { extent };
    let n = match t.length {
        None => default,
        Some(n) => usize::try_from(n).map_err(|_| Error::new(format!("dft_length is {n}")))?,
    };
    if n == 0 {
        return Err(Error::new("a transform of no points"));
    }
    let kept = if onesided && !inverse { n / 2 + 1 } else { n };
    let complex_out = !(inverse && onesided);
    let mut to = dims.clone();
    to[t.axis] = kept;
    to[rank - 1] = 1 + usize::from(complex_out);
    let kernel = plain::Dft {
        outer: dims[..t.axis].iter().product(),
        extent,
        n,
        kept,
        inner: dims[t.axis + 1..rank - 1].iter().product(),
        complex_in,
        complex_out,
        half: inverse && onesided,
        inverse,
    };
    let dtype = c.dtype(v);
    Ok(c.plain(kernel, &[v], vec![(dtype, to)])?.remove(0))
}

/// `DFT`: the axis is an attribute in opset 17 (default 1) and an operand since 20 (default -2).
pub(super) fn dft(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let rank = c.rank(v);
    let (inverse, onesided) = (c.attrs.flag_or("inverse", false)?, c.attrs.flag_or("onesided", false)?);
    if c.version() >= 20 && c.computed(2)?.is_some() {
        let to = c.declares(0, 2, "axis")?;
        let chosen = super::runtime::by_axis(c, 2, rank, |c, axis| {
            if axis + 1 >= rank {
                return Ok(None);
            }
            // An axis that the transform does not take is not the one.
            let Ok(y) = along(c, v, axis, inverse, onesided) else { return Ok(None) };
            Ok((c.fixed(y, "a spectrum")? == to).then_some(y))
        })?;
        return Ok(chosen.into_iter().collect());
    }
    let axis =
        if c.version() < 20 { c.attrs.int_or("axis", 1)? } else { c.const_int(2, "axis")?.unwrap_or(-2) };
    let axis = axis_in(axis, rank)?;
    Ok(vec![along(c, v, axis, inverse, onesided)?])
}

/// `DFT` along an axis, of the length that operand 1 says.
fn along(c: &mut Ctx<'_, '_>, v: ValueId, axis: usize, inverse: bool, onesided: bool) -> Result<ValueId> {
    let Some((length, _)) = c.computed(1)? else {
        let length = c.const_int(1, "dft_length")?;
        return transform(c, v, &Transform { axis, length, inverse, onesided });
    };
    let to = c.declares(0, 1, "dft_length")?;
    let kept = to.get(axis).copied().unwrap_or(0) as i64;
    // A one-sided spectrum does not tell even lengths from odd ones.
    let lengths = if onesided && !inverse { vec![2 * kept - 2, 2 * kept - 1] } else { vec![kept] };
    let mut chosen: Option<(ValueId, ValueId)> = None;
    for n in lengths.into_iter().filter(|&n| n > 0) {
        let y = transform(c, v, &Transform { axis, length: Some(n), inverse, onesided })?;
        let is = c.is_list(length, &[n])?;
        chosen = Some(match chosen {
            None => (y, is),
            Some((so_far, any)) => (c.b.select(is, y, so_far)?, c.b.binary(Binary::Or, any, is)?),
        });
    }
    let (y, any) = chosen.ok_or_else(|| Error::new(format!("a spectrum is declared as {to:?}")))?;
    c.check(any);
    Ok(y)
}

/// A signal `[batch, length]` as `[batch, length, 1]`: PyTorch's exporter of `torch.stft` leaves the last axis out, and ONNX
/// Runtime takes that for real numbers, though the operator's text asks for the axis.
fn unsqueezed(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    match c.shape(v).dims() {
        [batch, length] => {
            let to = [batch.clone(), length.clone(), crate::ir::Dim::ONE];
            c.reshape(v, &to)
        }
        _ => Ok(v),
    }
}

/// `STFT`: the transforms of frames, each weighted by a window.
pub(super) fn stft(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "signal")?;
    let v = unsqueezed(c, v)?;
    let dims = c.fixed(v, "a Fourier transform")?;
    let [_, length, _] = dims[..] else {
        return Err(Error::misfit(format!("signal has shape {dims:?}; three axes are needed")));
    };
    let window = c.optional(2)?;
    let given = match (c.computed(1)?, c.computed(3)?) {
        (Some((step, 1)), length) => Some((step, length)),
        _ => None,
    };
    if let Some((step, length)) = given {
        return computed_stft(c, v, &dims, step, window, length.map(|(v, _)| v));
    }
    let step = c.const_int(1, "frame_step")?.ok_or_else(|| Error::new("input 1 (frame_step) is missing"))?;
    let frame = match (c.const_int(3, "frame_length")?, window) {
        (Some(n), _) => n,
        (None, Some(w)) => c.fixed(w, "a window")?.first().map_or(0, |&n| n as i64),
        (None, None) => length as i64,
    };
    let (step, frame) = match (usize::try_from(step), usize::try_from(frame)) {
        (Ok(step), Ok(frame)) if step > 0 && frame > 0 && frame <= length => (step, frame),
        _ => return Err(Error::new(format!("frames of {frame} every {step} elements of {length}"))),
    };
    let frames = (length - frame) / step + 1;
    let index: Vec<i64> = (0..frames).flat_map(|f| (0..frame).map(move |i| (f * step + i) as i64)).collect();
    let index = c.b.tensor(Tensor::of(&[frames, frame], &index));
    let mut cut = c.b.one(Op::Gather { axis: 1, batch: 0 }, &[v, index])?;
    if let Some(w) = window {
        if c.fixed(w, "a window")? != [frame] {
            return Err(Error::new(format!("a window {} for frames of {frame}", c.shape(w))));
        }
        let w = c.reshape(w, &[frame.into(), crate::ir::Dim::ONE])?;
        cut = c.map(x() * y(), &[cut, w])?;
    }
    let onesided = c.attrs.flag_or("onesided", true)?;
    let t = Transform { axis: 2, length: None, inverse: false, onesided };
    Ok(vec![transform(c, cut, &t)?])
}

/// `STFT` whose step (and perhaps whose frames' length) is computed.
fn computed_stft(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    dims: &[usize],
    step: ValueId,
    window: Option<ValueId>,
    length: Option<ValueId>,
) -> Result<Vec<ValueId>> {
    let to = c.declares(0, 1, "frame_step")?;
    let [_, frames, bins, _] = to[..] else { return Err(Error::new(format!("a spectrogram {to:?}"))) };
    let onesided = c.attrs.flag_or("onesided", true)?;
    let all = dims[1];
    let frame = match (window, length) {
        (Some(w), _) => c.fixed(w, "a window")?.first().copied().unwrap_or(0),
        (None, None) => match c.const_int(3, "frame_length")? {
            Some(n) => usize::try_from(n).map_err(|_| Error::new(format!("frame_length is {n}")))?,
            None => all,
        },
        (None, Some(_)) if !onesided => bins,
        (None, Some(length)) => {
            // Two lengths have as many bins.
            let mut chosen: Option<(ValueId, ValueId)> = None;
            for n in [2 * bins.max(1) - 2, 2 * bins.max(1) - 1] {
                if n == 0 || n > all {
                    continue;
                }
                let y = framed(c, v, all, step, window, (frames, n), onesided)?;
                let is = c.is_list(length, &[n as i64])?;
                let fits = c.is_frames(step, all, n, frames)?;
                let is = c.b.binary(Binary::And, is, fits)?;
                chosen = Some(match chosen {
                    None => (y, is),
                    Some((so_far, any)) => (c.b.select(is, y, so_far)?, c.b.binary(Binary::Or, any, is)?),
                });
            }
            let (y, any) = chosen.ok_or_else(|| Error::new(format!("a spectrogram {to:?}")))?;
            c.check(any);
            return Ok(vec![y]);
        }
    };
    if let Some(length) = length {
        c.check_list(length, &[frame as i64])?;
    }
    if frame == 0 || frame > all || frames == 0 {
        return Err(Error::new(format!("frames of {frame} elements of {all}")));
    }
    let fits = c.is_frames(step, all, frame, frames)?;
    c.check(fits);
    Ok(vec![framed(c, v, all, step, window, (frames, frame), onesided)?])
}

impl Ctx<'_, '_> {
    /// Whether frames of `frame` elements of `all`, `step` apart, are as many.
    fn is_frames(&mut self, step: ValueId, all: usize, frame: usize, frames: usize) -> Result<ValueId> {
        let int = |n: usize| Expr::Typed((n as i64).into());
        let count = int(all - frame) / x() + int(1);
        let holds = x().gt(int(0)).binary(Binary::And, count.eq(int(frames)));
        let holds = self.map(holds, &[step])?;
        self.all(holds)
    }
}

/// The spectra of frames that start `step` apart, which is computed.
fn framed(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    all: usize,
    step: ValueId,
    window: Option<ValueId>,
    (frames, frame): (usize, usize),
    onesided: bool,
) -> Result<ValueId> {
    let first: Vec<i64> = (0..frames as i64).collect();
    let first = c.b.tensor(Tensor::of(&[frames, 1], &first));
    let within = c.integers(&(0..frame as i64).collect::<Vec<_>>());
    let zero = Expr::Typed(0i64.into());
    // Inside even where the check fails.
    let last = Expr::Typed((all as i64 - 1).into());
    let index = (x() * super::expr::z() + y()).max(zero).min(last);
    let index = c.map(index, &[first, within, step])?;
    let mut cut = c.b.one(Op::Gather { axis: 1, batch: 0 }, &[v, index])?;
    if let Some(w) = window {
        if c.fixed(w, "a window")? != [frame] {
            return Err(Error::new(format!("a window {} for frames of {frame}", c.shape(w))));
        }
        let w = c.reshape(w, &[frame.into(), crate::ir::Dim::ONE])?;
        cut = c.map(x() * y(), &[cut, w])?;
    }
    transform(c, cut, &Transform { axis: 2, length: None, inverse: false, onesided })
}

/// A constant of numbers in a type.
fn constant(c: &mut Ctx<'_, '_>, dtype: DType, dims: &[usize], values: &[f64]) -> Result<ValueId> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|x| cast(Scalar::from(*x), dtype).bits.to_le_bytes()[..dtype.size()].to_vec())
        .collect();
    let tensor = Tensor::from_bytes(dtype, dims.to_vec(), bytes);
    Ok(c.b.tensor(tensor.ok_or_else(|| Error::new("a constant of another size than its shape"))?))
}

/// `a0 - a1·cos(2πi/n) + a2·cos(4πi/n)`: `HannWindow`, `HammingWindow`, `BlackmanWindow`.
pub(super) fn window(c: &mut Ctx<'_, '_>, [a0, a1, a2]: [f64; 3]) -> Result<Vec<ValueId>> {
    let size = match super::runtime::extent(c, 0, 0, "size", |to| to.first().copied())? {
        Some(size) => Some(size),
        None => c.const_int(0, "size")?,
    };
    let size = size.ok_or_else(|| Error::new("input 0 (size) is missing"))?;
    let size = usize::try_from(size).map_err(|_| Error::new(format!("size is {size}")))?;
    let periodic = c.attrs.flag_or("periodic", true)?;
    let dtype = c.dtype_attr("output_datatype")?.unwrap_or(DType::F32);
    // A symmetric window of one point is 0 / 0, as in the operator's own function.
    let n = if periodic { size } else { size.saturating_sub(1) } as f64;
    let value = |i: usize| {
        let angle = 2.0 * std::f64::consts::PI * i as f64 / n;
        let value = a0 - a1 * function(Unary::Cos, angle) + a2 * function(Unary::Cos, 2.0 * angle);
        // Integers drop the fraction of the window in f32: a peak of 1 is not to be 0 for its last bit.
        if dtype.is_int() { f64::from(value as f32) } else { value }
    };
    let values: Vec<f64> = (0..size).map(value).collect();
    Ok(vec![constant(c, dtype, &[size], &values)?])
}

/// `MelWeightMatrix`: triangles over the bins of a spectrum, as ONNX's text has them.
pub(super) fn mel_weights(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let names = ["num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"];
    for (i, name) in names.iter().enumerate() {
        let v = c.required(i, name)?;
        if c.b.constant(v).is_none() {
            return computed_mel(c, i, name);
        }
    }
    let mut operands = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match c.const_floats(i, name)?.as_deref() {
            Some([n]) => operands.push(*n),
            other => return Err(Error::new(format!("{name} is {other:?}; one number is needed"))),
        }
    }
    let [bands, length, rate, low, high] = operands[..] else { return Err(Error::new("five operands")) };
    let dtype = c.dtype_attr("output_datatype")?.unwrap_or(DType::F32);
    if !(bands >= 1.0 && length >= 1.0 && rate > 0.0 && bands < 1e6 && length < 1e9) {
        return Err(Error::new(format!("{bands} bands over {length} points at {rate} Hz")));
    }
    let (bands, bins) = (bands as usize, length as usize / 2 + 1);
    let mel = |f: f64| 2595.0 * function(Unary::Log, 1.0 + f / 700.0) / std::f64::consts::LN_10;
    let (low, high) = (mel(low), mel(high));
    let step = (high - low) / (bands + 2) as f64;
    let edge = |i: usize| {
        let exponent = (i as f64 * step + low) / 2595.0;
        let hertz = 700.0 * (binary(Binary::Pow, Scalar::from(10.0), Scalar::from(exponent)).to_f64() - 1.0);
        ((length + 1.0) * hertz / rate).floor() as i64
    };
    let mut weights = vec![0.0; bins * bands];
    for band in 0..bands {
        let (lower, centre, upper) = (edge(band), edge(band + 1), edge(band + 2));
        let mut set = |bin: i64, w: f64| {
            if let Some(at) = usize::try_from(bin).ok().filter(|&b| b < bins) {
                weights[at * bands + band] = w;
            }
        };
        if lower == centre {
            set(centre, 1.0);
        } else {
            (lower..=centre).for_each(|j| set(j, (j - lower) as f64 / (centre - lower) as f64));
        }
        (centre..upper).for_each(|j| set(j, (upper - j) as f64 / (upper - centre) as f64));
    }
    Ok(vec![constant(c, dtype, &[bins, bands], &weights)?])
}

/// `MelWeightMatrix` of which operand `by` at least is computed.
fn computed_mel(c: &mut Ctx<'_, '_>, by: usize, what: &str) -> Result<Vec<ValueId>> {
    let to = c.declares(0, by, what)?;
    let [bins, bands] = to[..] else { return Err(Error::new(format!("a matrix is declared as {to:?}"))) };
    let dtype = c.dtype_attr("output_datatype")?.unwrap_or(DType::F32);
    let f = DType::F64;
    let mut parts = Vec::new();
    for i in 0..5 {
        let v = c.required(i, "an operand")?;
        let v = c.b.cast(v, f)?;
        parts.push(c.reshape(v, &[crate::ir::Dim::ONE])?);
    }
    let number = |n: f64| Expr::Typed(n.into());
    let (x, y, z) = (x, y, super::expr::z);
    let floor = |e: Expr| e.unary(Unary::Floor);
    let counts = x()
        .eq(number(bands as f64))
        .binary(Binary::And, (floor(y() / number(2.0)) + number(1.0)).eq(number(bins as f64)));
    let counts = c.map(counts, &[parts[0], parts[1]])?;
    let counts = c.all(counts)?;
    c.check(counts);
    let mel = |e: Expr| {
        number(2595.0) * (number(1.0) + e / number(700.0)).unary(Unary::Log) / number(std::f64::consts::LN_10)
    };
    // The edges of all triangles, in bins.
    let places: Vec<f64> = (0..bands + 2).map(|i| i as f64).collect();
    let places = c.b.tensor(Tensor::of(&[bands + 2], &places));
    let step = (mel(z()) - mel(y())) / number((bands + 2) as f64);
    let scale = (x() * step + mel(y())) / number(2595.0);
    let scale = c.map(scale, &[places, parts[3], parts[4]])?;
    let hertz = number(700.0) * (number(10.0).binary(Binary::Pow, x()) - number(1.0));
    let edges = floor((y() + number(1.0)) * hertz / z());
    let edges = c.map(edges, &[scale, parts[1], parts[2]])?;
    let mut edge = |i: usize| c.b.slice_axis(edges, 0, i.into(), bands.into());
    let (lower, centre, upper) = (edge(0)?, edge(1)?, edge(2)?);
    let bin: Vec<f64> = (0..bins).map(|i| i as f64).collect();
    let bin = c.b.tensor(Tensor::of(&[bins, 1], &bin));
    let w = || Expr::Operand(3);
    let and = |a: Expr, b: Expr| a.binary(Binary::And, b);
    let le = |a: Expr, b: Expr| a.binary(Binary::Le, b);
    let rising = (x() - y()) / (z() - y());
    let rising = y().eq(z()).select(number(1.0), rising);
    let falling = (w() - x()) / (w() - z());
    let before = and(le(y(), x()), le(x(), z())).select(rising, number(0.0));
    let weight = and(le(z(), x()), x().lt(w())).select(falling, before);
    let weight = c.map(weight.cast(dtype), &[bin, lower, centre, upper])?;
    Ok(vec![weight])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn spectra_of_an_impulse() {
        let x = f32s(&[1, 4, 1], &[1.0, 0.0, 0.0, 0.0]);
        let y = run("DFT", 17, &[("onesided", Attribute::Int(1))], std::slice::from_ref(&x));
        assert_eq!(y, Tensor::of(&[1, 3, 2], &[1.0f32, 0.0, 1.0, 0.0, 1.0, 0.0]));
        let y = run("STFT", 17, &[], &[x, Arg::Const(Tensor::of(&[], &[2i64])), f32s(&[2], &[0.5, 1.0])]);
        assert_eq!(y, Tensor::of(&[1, 2, 2, 2], &[0.5f32, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn a_signal_without_a_last_axis_is_real() {
        let values = [1.0, 0.0, 0.0, 0.0, 0.5, 2.0, 0.0, -1.0];
        let rest = [Arg::Const(Tensor::of(&[], &[2i64])), f32s(&[2], &[0.5, 1.0])];
        let spectrum =
            |dims: &[usize]| run("STFT", 17, &[], &[f32s(dims, &values), rest[0].clone(), rest[1].clone()]);
        assert_eq!(spectrum(&[2, 4]), spectrum(&[2, 4, 1]));
        let err = run_all("STFT", 17, &[], &[f32s(&[8], &values), rest[0].clone(), rest[1].clone()], 1);
        assert!(err.unwrap_err().contains("three axes are needed"));
    }

    #[test]
    fn windows_begin_at_their_lowest() {
        let size = Arg::Const(Tensor::of(&[], &[4i64]));
        let y = run("HannWindow", 17, &[], std::slice::from_ref(&size));
        assert_close(&y, &Tensor::of(&[4], &[0.0f32, 0.5, 1.0, 0.5]), 1e-7);
        let whole = ("output_datatype", Attribute::Int(6));
        let y = run("BlackmanWindow", 17, std::slice::from_ref(&whole), std::slice::from_ref(&size));
        assert_eq!(y, Tensor::of(&[4], &[0i32, 0, 1, 0]));
        let y = run("HannWindow", 17, &[("periodic", Attribute::Int(0))], &[size]);
        assert_close(&y, &Tensor::of(&[4], &[0.0f32, 0.75, 0.75, 0.0]), 1e-6);
    }
}
