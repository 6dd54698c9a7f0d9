//! Views made dense: transpose, slice and broadcast are one strided copy; a reshape shares the bytes.

use super::index::{broadcast_strides, split_inner, strides, walk};
use super::wide::tensor;
use crate::ir::{Dim, Invalid, Tensor};

/// Runs an expression with the constant `N` set to an element size of 1, 2, 4 or 8 bytes.
macro_rules! by_size {
    ($size:expr, $N:ident => $body:expr) => {
        match $size {
            1 => {
                const $N: usize = 1;
                $body
            }
            2 => {
                const $N: usize = 2;
                $body
            }
            4 => {
                const $N: usize = 4;
                $body
            }
            _ => {
                const $N: usize = 8;
                $body
            }
        }
    };
}
pub(super) use by_size;

pub(super) fn transpose(x: &Tensor, perm: &[usize], dims: &[usize]) -> Result<Tensor, Invalid> {
    let from = strides(x.dims());
    strided(x, 0, &perm.iter().map(|&axis| from[axis]).collect::<Vec<_>>(), dims)
}

pub(super) fn slice(x: &Tensor, start: &[Dim], step: &[i64], dims: &[usize]) -> Result<Tensor, Invalid> {
    let mut by = strides(x.dims());
    let mut offset = 0;
    for (i, s) in by.iter_mut().enumerate() {
        // Along an axis of one or no elements a start or step of any size means nothing.
        if dims[i] > 0 {
            let start = start[i].fixed().ok_or_else(|| Invalid::new("a slice from an unknown index"))?;
            offset += start as isize * *s;
        }
        *s = if dims[i] > 1 { *s * step[i] as isize } else { 0 };
    }
    strided(x, offset, &by, dims)
}

pub(super) fn broadcast(x: &Tensor, dims: &[usize]) -> Result<Tensor, Invalid> {
    if x.dims() == dims {
        return Ok(x.clone());
    }
    strided(x, 0, &broadcast_strides(x.dims()), dims)
}

pub(super) fn windows(x: &Tensor, axis: usize, dims: &[usize]) -> Result<Tensor, Invalid> {
    let mut by = strides(x.dims());
    by.insert(axis, by[axis]);
    strided(x, 0, &by, dims)
}

/// The dense tensor whose element at an index is that of `x` at `offset` plus the index's inner product
/// with `strides`, in elements.
fn strided(x: &Tensor, offset: isize, strides: &[isize], dims: &[usize]) -> Result<Tensor, Invalid> {
    let bytes = by_size!(x.dtype().size(), N => copy::<N>(x.bytes().as_chunks().0, offset, strides, dims)?);
    tensor(x.dtype(), dims, bytes)
}

fn copy<const N: usize>(
    x: &[[u8; N]],
    offset: isize,
    strides: &[isize],
    dims: &[usize],
) -> Result<Vec<u8>, Invalid> {
    let total: usize = dims.iter().product();
    let mut y = Vec::with_capacity(total);
    if total == 0 {
        return Ok(Vec::new());
    }
    let (dims, strides) = merged(dims, strides);
    let (outer, n) = split_inner(&dims);
    let step = strides.last().copied().unwrap_or(0);
    walk(outer, [&strides], |[at]| {
        let at = offset + at;
        match step {
            1 => y.extend_from_slice(&x[at as usize..][..n]),
            0 => y.extend(std::iter::repeat_n(x[at as usize], n)),
            _ => y.extend((0..n as isize).map(|j| x[(at + j * step) as usize])),
        }
        Ok(())
    })?;
    Ok(y.into_flattened())
}

/// The same box with axes of one element left out and neighbours that one stride covers joined, so that the
/// innermost run is as long as it can be.
fn merged(dims: &[usize], strides: &[isize]) -> (Vec<usize>, Vec<isize>) {
    let (mut d, mut s): (Vec<usize>, Vec<isize>) = (Vec::new(), Vec::new());
    for (&n, &by) in dims.iter().zip(strides).filter(|(n, _)| **n != 1) {
        match (d.last_mut(), s.last_mut()) {
            (Some(outer), Some(outer_by)) if *outer_by == by * n as isize => {
                *outer *= n;
                *outer_by = by;
            }
            _ => {
                d.push(n);
                s.push(by);
            }
        }
    }
    (d, s)
}
