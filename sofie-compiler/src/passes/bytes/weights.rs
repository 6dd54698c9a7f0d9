//! Weights that are bytes: of integers, or of floats that were made of bytes and a scale a column.

use crate::ir::Tensor;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::plain::{byte_depthwise_tables, byte_tables};

/// Weights below which a product stays one of floats.
const LEAST: usize = 1 << 8;

/// Terms of a sum beyond which it might leave `i32`.
const MOST_TERMS: usize = 1 << 15;

/// How a kernel reads weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// A matrix.
    Matrix,
    /// Runs of so many terms, each filled up to whole groups.
    Runs(usize),
    /// The taps of each channel.
    Taps,
}

/// Weights as the kernels read them.
pub struct Weights {
    /// Terms of a sum.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Added to each byte.
    pub shift: i32,
    /// The scale of each column, of weights that are floats.
    pub scales: Option<Vec<f32>>,
    /// The packed bytes.
    pub table: Tensor,
    /// The sums of the columns.
    pub sums: Tensor,
}

impl Weights {
    /// Of numbers that no more than 256 in a row hold.
    pub fn of(t: &Tensor, packing: Packing) -> Option<Weights> {
        let (&n, outer) = t.dims().split_last()?;
        let (k, rest) = match packing {
            Packing::Matrix => outer.split_last().map(|(k, rest)| (*k, rest))?,
            Packing::Runs(_) | Packing::Taps => (outer.iter().product(), &[][..]),
        };
        let few = packing != Packing::Taps && k * n < LEAST;
        if rest.iter().any(|d| *d != 1) || few || k > MOST_TERMS {
            return None;
        }
        let (values, scales) = match t.dtype() {
            DType::I32 => (t.to_vec::<i32>()?, None),
            DType::F32 => {
                let (values, scales) = quantised(&t.to_vec::<f32>()?, n)?;
                (values, Some(scales))
            }
            _ => return None,
        };
        let (low, high) = values.iter().fold((0, 0), |(low, high), x| (low.min(*x), high.max(*x)));
        if high.checked_sub(low)? > 255 || low < -255 || high > 255 {
            return None;
        }
        let shift = if low < -128 || high > 127 { low + 128 } else { 0 };
        let bytes: Vec<i8> = values.iter().map(|x| i8::try_from(x - shift).ok()).collect::<Option<_>>()?;
        let run = match packing {
            Packing::Matrix => k.max(1),
            Packing::Runs(run) => run.max(1),
            Packing::Taps => {
                let (table, sums) = byte_depthwise_tables(&bytes, n);
                let table = Tensor::of(&[n.div_ceil(16), k, 16], &table);
                let sums = Tensor::of(&[sums.len()], &sums);
                return Some(Weights { k, n, shift, scales, table, sums });
            }
        };
        let whole = run.next_multiple_of(4);
        let mut filled = Vec::with_capacity(k.div_ceil(run) * whole * n);
        for of_run in bytes.chunks(run * n) {
            filled.extend_from_slice(of_run);
            filled.resize(filled.len().next_multiple_of(whole * n), 0);
        }
        let of_all = filled.len() / n;
        let (table, sums) = byte_tables(&filled, of_all, n);
        let panels = [n.div_ceil(16), of_all.div_ceil(4), 16];
        Some(Weights {
            k,
            n,
            shift,
            scales,
            table: Tensor::of(&panels, &table),
            sums: Tensor::of(&[sums.len()], &sums),
        })
    }
}

/// Floats `[k, n]` as integers and the scale of each column, where each is the product of both to the bit.
fn quantised(values: &[f32], n: usize) -> Option<(Vec<i32>, Vec<f32>)> {
    let (mut integers, mut scales) = (vec![0i32; values.len()], Vec::with_capacity(n));
    for column in 0..n {
        let of_column = || values.iter().skip(column).step_by(n);
        let most = of_column().fold(0f32, |m, x| m.max(x.abs()));
        if !of_column().all(|x| x.is_finite()) {
            return None;
        }
        let fits = |scale: &f32| {
            let whole = |x: &f32| (x / scale).round();
            of_column().all(|x| whole(x).abs() <= 255.0 && whole(x) * scale == *x)
        };
        // The largest is as a rule the end of the range; beyond it columns need a shift, which they have to share.
        let ends = (1..=127).rev().chain(128..=255);
        let near = ends.flat_map(|end| {
            let scale = most / end as f32;
            let (up, down) = (scale.next_up(), scale.next_down());
            // The largest was rounded, and so is the quotient.
            [scale, up, down, up.next_up(), down.next_down()]
        });
        let scale = if most == 0.0 { 1.0 } else { near.into_iter().find(|s| *s > 0.0 && fits(s))? };
        let places = integers.iter_mut().skip(column).step_by(n);
        places.zip(of_column()).for_each(|(i, x)| *i = (x / scale).round() as i32);
        scales.push(scale);
    }
    Some((integers, scales))
}
