//! `Det`, `Inverse` and `TfIdfVectorizer`.

use super::Ctx;
use super::expr::{num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::plain;
use std::borrow::Cow;

/// The batch extents of square matrices, and their rows.
fn square(c: &Ctx<'_, '_>, v: ValueId, what: &str) -> Result<(Vec<usize>, usize)> {
    let dims = c.fixed(v, what)?;
    match dims.split_last_chunk::<2>() {
        Some((batch, [n, m])) if n == m => Ok((batch.to_vec(), *n)),
        _ => Err(Error::new(format!("{dims:?} are no square matrices"))),
    }
}

/// `Det`: of matrices.
pub(super) fn det(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let (batch, n) = square(c, v, "a determinant")?;
    let dtype = c.dtype(v);
    c.plain(plain::Det { matrices: batch.iter().product(), n }, &[v], vec![(dtype, batch)])
}

/// `Inverse` of `com.microsoft`: of matrices.
pub(super) fn inverse(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let (batch, n) = square(c, v, "an inverse")?;
    let (dtype, kernel) = (c.dtype(v), plain::Inverse { matrices: batch.iter().product(), n });
    c.plain(kernel, &[v], vec![(dtype, [batch, vec![n, n]].concat())])
}

/// `TfIdfVectorizer` over integers.
pub(super) fn tf_idf(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    if c.attrs.has("pool_strings") || !matches!(c.dtype(v), DType::I32 | DType::I64) {
        return Err(Error::new("n-grams of strings are not supported")
            .help("number the words before the network, and export with pool_int64s"));
    }
    let size = |name: &str| -> Result<usize> {
        let n = c.attrs.require(name, c.attrs.int(name)?)?;
        usize::try_from(n).map_err(|_| Error::new(format!("{name} is {n}")))
    };
    let list = |name: &str| -> Result<Vec<usize>> {
        let values = c.attrs.require(name, c.attrs.ints(name)?)?;
        super::window::counts(name, values, values.len(), 0)
    };
    let (least, most, skips) = (size("min_gram_length")?, size("max_gram_length")?, size("max_skip_count")?);
    let (starts, columns) = (list("ngram_counts")?, list("ngram_indexes")?);
    let pool = c.attrs.require("pool_int64s", c.attrs.ints("pool_int64s")?)?.to_vec();
    // The pool holds the n-grams of length 1, then those of length 2, and so on.
    let (mut grams, mut kept, mut index) = (Vec::new(), Vec::new(), 0);
    for (i, &start) in starts.iter().enumerate() {
        let (len, end) = (i + 1, starts.get(i + 1).copied().unwrap_or(pool.len()));
        let part = pool.get(start..end).filter(|p| p.len() % len == 0);
        let part = part.ok_or_else(|| Error::new(format!("ngram_counts {starts:?} do not cut the pool")))?;
        for gram in part.chunks(len) {
            let column = *columns.get(index).ok_or_else(|| Error::new("ngram_indexes is too short"))?;
            index += 1;
            if (least..=most).contains(&len) {
                grams.push([len, column]);
                kept.extend(gram);
            }
        }
    }
    let columns = columns.iter().max().map_or(0, |n| n + 1);
    let dims = c.fixed(v, "TfIdfVectorizer")?;
    let (rows, extent, to) = match dims[..] {
        [] => (1, 1, vec![columns]),
        [n] => (1, n, vec![columns]),
        [r, n] => (r, n, vec![r, columns]),
        _ => return Err(Error::misfit(format!("X has shape {dims:?}; one or two axes are needed"))),
    };
    let kernel =
        plain::TfIdf { rows, extent, columns, pool: Cow::Owned(kept), grams: Cow::Owned(grams), skips };
    let counts = c.plain(kernel, &[v], vec![(DType::F32, to)])?.remove(0);
    let weights = match c.attrs.floats("weights")? {
        Some(w) if w.len() == columns => Some(c.b.tensor(Tensor::of(&[columns], w))),
        Some(w) => return Err(Error::new(format!("{} weights for {columns} columns", w.len()))),
        None => None,
    };
    let mode = c.attrs.string("mode")?;
    let mode = c.attrs.require("mode", mode)?;
    let there = || x().gt(num(0.0));
    Ok(vec![match (mode, weights) {
        ("TF", _) | ("TFIDF", None) => counts,
        ("IDF", None) => c.map(there().select(num(1.0), num(0.0)), &[counts])?,
        ("IDF", Some(w)) => c.map(there().select(y(), num(0.0)), &[counts, w])?,
        ("TFIDF", Some(w)) => c.map(x() * y(), &[counts, w])?,
        _ => return Err(Error::new(format!("mode {mode:?} is not known"))),
    }])
}
