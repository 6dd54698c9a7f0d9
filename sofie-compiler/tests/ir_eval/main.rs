//! The reference evaluator against values worked out by hand: it is the oracle of everything else, so nothing
//! else may be its own.

use sofie_infer_compiler::ir::{Invalid, Op, Shape, Tensor, eval, infer};

mod graphs;
mod indexing;
mod maps;
mod products;
mod reductions;
mod sequences;
mod views;
mod windows;

/// The results of an operation, or why there are none.
fn try_eval(op: &Op, x: &[&Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let shapes: Vec<_> = x.iter().map(|t| (t.dtype(), t.shape())).collect();
    let results = infer(op, &shapes.iter().map(|(t, s)| (*t, s)).collect::<Vec<_>>())?;
    let dims = |s: &Shape| s.fixed().ok_or_else(|| Invalid::new(format!("{s} is not fixed")));
    let results = results.iter().map(|(t, s)| Ok((*t, dims(s)?))).collect::<Result<Vec<_>, Invalid>>()?;
    eval::apply(op, x, &results)
}

/// The one result of an operation.
fn one(op: Op, x: &[&Tensor]) -> Tensor {
    let results = try_eval(&op, x).unwrap_or_else(|e| panic!("{op}: {e}"));
    assert_eq!(results.len(), 1);
    results.into_iter().next().unwrap()
}

fn refused(op: Op, x: &[&Tensor]) -> String {
    try_eval(&op, x).unwrap_err().to_string()
}

fn f(dims: &[usize], x: &[f32]) -> Tensor {
    Tensor::of(dims, x)
}

fn i(dims: &[usize], x: &[i64]) -> Tensor {
    Tensor::of(dims, x)
}

/// 0, 1, 2, …
fn iota(dims: &[usize]) -> Tensor {
    Tensor::of(dims, &(0..dims.iter().product()).map(|i: usize| i as f32).collect::<Vec<_>>())
}

fn floats(t: &Tensor) -> Vec<f32> {
    t.to_vec().expect("f32")
}
