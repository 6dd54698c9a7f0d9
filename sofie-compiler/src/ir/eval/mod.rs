//! The reference evaluator: runs any graph naively, in plain loops, in the compiler's process.
//!
//! It folds constants and is the oracle of passes, plans and kernels, so it is written to be read, shares no
//! code with the kernels but the scalar functions, and gives the same bits on every host. What it promises
//! beyond [`Op`]'s own words:
//! - products (`MatMul`, `Conv`) are chains of fused multiply-adds in the order of k that begin with the bias,
//!   in `f32` for `f32`, `f16` and `bf16`; integers wrap;
//! - everything else that adds up floats does so in `f64` and rounds once;
//! - NaN is the largest *and* the smallest element of `Max`, `Min` and the positions of extremes, and the
//!   largest for `TopK`;
//! - what has no value (an index outside, a sum of bools, the position of the largest of no elements) is an
//!   error and never a panic.

mod attention;
mod concat_pad;
mod conv;
mod gather;
mod index;
mod interpolate;
mod map;
mod matmul;
mod model;
pub mod plain;
mod pool;
mod product;
mod recurrent;
mod reduce;
mod region;
mod rows;
mod scatter;
mod topk;
mod views;
mod wide;
mod window;

pub use model::{DISAGREES, run_model};

use super::at::{dims_at, op_at};
use super::{Extents, Graph, Invalid, Op, Tensor, infer};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, Unary, unary};

/// Bytes of the largest tensor that is made: a wrong extent should be an error, not a process without memory.
const LIMIT: usize = 1 << 33;

/// The results of one operation over constants; `results` are the inferred types and extents.
///
/// # Errors
/// Where the operands do not fit the operation, an index is out of range, or the operation has no value for
/// its operands.
pub fn apply(op: &Op, operands: &[&Tensor], results: &[(DType, Vec<usize>)]) -> Result<Vec<Tensor>, Invalid> {
    let shapes: Vec<_> = operands.iter().map(|t| (t.dtype(), t.shape())).collect();
    let inferred = infer(op, &shapes.iter().map(|(t, s)| (*t, s)).collect::<Vec<_>>())?;
    if !inferred.iter().map(|(t, s)| (*t, s.fixed())).eq(results.iter().map(|(t, d)| (*t, Some(d.clone())))) {
        return Err(Invalid::new(format!("{} gives {inferred:?}, not {results:?}", op.name())));
    }
    for (dtype, dims) in results {
        let bytes = dims.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        if bytes.is_none_or(|n| n > LIMIT) {
            return Err(Invalid::new(format!("a tensor {dtype}{dims:?} is too large to evaluate")));
        }
    }
    let (dtype, dims) = match results.first() {
        Some((dtype, dims)) => (*dtype, &dims[..]),
        None => return Ok(Vec::new()),
    };
    let x = operands;
    let y = match op {
        Op::Const(t) => t.clone(),
        Op::Map(e) => map::map(e, x, dtype, dims)?,
        Op::Reduce(kind, axes) => reduce::reduce(*kind, axes, x[0], dims)?,
        Op::ArgReduce { max, axis, last } => reduce::arg_reduce(x[0], *max, *axis, *last, dims)?,
        Op::Scan { product, axis, exclusive, reverse } => {
            reduce::scan(x[0], *product, *axis, *exclusive, *reverse)?
        }
        Op::Reshape(_) => x[0].reshaped(dims),
        Op::Transpose(perm) => views::transpose(x[0], perm, dims)?,
        Op::Slice { start, step, .. } => views::slice(x[0], start, step, dims)?,
        Op::Broadcast(_) => views::broadcast(x[0], dims)?,
        Op::Windows { axis, .. } => views::windows(x[0], *axis, dims)?,
        Op::Cut { axis, .. } => match x[1].get(0).to_f64() == dims[*axis] as f64 {
            true => x[0].cut(*axis, dims[*axis]),
            false => return Err(Invalid::new(DISAGREES)),
        },
        Op::Concat(axis) => concat_pad::concat(x, *axis, dtype, dims)?,
        Op::Pad { before, value, .. } => concat_pad::pad(x[0], before, *value, dims)?,
        Op::Gather { axis, batch } => gather::gather(x[0], x[1], *axis, *batch, dims)?,
        Op::GatherElements(axis) => gather::gather_elements(x[0], x[1], *axis)?,
        Op::GatherNd { batch } => gather::gather_nd(x[0], x[1], *batch, dims)?,
        Op::TopK { largest, .. } => return topk::top_k(x[0], *largest, dims),
        Op::MatMul(e) => matmul::matmul(e, x, dims)?,
        Op::Conv(c, e) => conv::conv(c, e, x, dims)?,
        Op::ConvTranspose(c, e) => conv::conv_transpose(c, e, x, dims)?,
        Op::Pool(p) => pool::pool(p, x[0], dims)?,
        Op::Interpolate(axis) => interpolate::interpolate(*axis, x, dims)?,
        Op::ScatterElements(axis, kind) => scatter::scatter_elements(x[0], x[1], x[2], *axis, *kind)?,
        Op::ScatterNd(kind) => scatter::scatter_nd(x[0], x[1], x[2], *kind)?,
        Op::Rows(kind) => rows::rows(*kind, x, dims)?,
        Op::Recurrent(r) => return recurrent::recurrent(r, x, results),
        Op::Attention(a) => attention::attention(a, x, dims)?,
        Op::Plain(p) => return plain::plain(p, x),
        Op::If(b) => return region::branch(b, x),
        Op::Loop(l) => return region::repeat(l, x, results),
        Op::Custom(c) => {
            return Err(Invalid::new(format!("{} is a function of the program that calls it", c.operator)));
        }
    };
    Ok(vec![y])
}

/// The values of all outputs of a graph for the given inputs, in order. Symbols in the inputs' shapes take
/// the extents that the inputs have, those of `Cut` the number that it finds.
///
/// # Errors
/// Where the inputs do not fit the graph, or an operation fails.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let mut symbols = bind(graph, inputs)?;
    let mut values: Vec<Option<Tensor>> = vec![None; graph.values().len()];
    for (port, x) in graph.inputs().iter().zip(inputs) {
        values[port.value.index()] = Some(x.clone());
    }
    let mut uses = graph.use_counts();
    for (i, node) in graph.nodes().iter().enumerate() {
        let at = |e: Invalid| match e.to_string() {
            why if why == DISAGREES => e,
            why => Invalid::new(format!("node {i} ({}): {why}", node.op.name())),
        };
        if let Some((symbol, count)) = node.found() {
            let n = values[count.index()].as_ref().and_then(Tensor::to_ints).and_then(|n| n.first().copied());
            let n = n.ok_or_else(|| at(Invalid::new("a number of elements is read before it is written")))?;
            if n < symbol.least {
                return Err(Invalid::new(DISAGREES));
            }
            symbols.entry(symbol.name.clone()).or_insert(n);
        }
        let results = node.outputs.iter().map(|v| Ok((graph.dtype(*v), dims_at(graph.shape(*v), &symbols)?)));
        let results = results.collect::<Result<Vec<_>, _>>().map_err(at)?;
        let operands = node.inputs.iter().map(|v| values[v.index()].as_ref()).collect::<Option<Vec<_>>>();
        let operands = operands.ok_or_else(|| at(Invalid::new("an operand is read before it is written")))?;
        let y = op_at(&node.op, &symbols).and_then(|op| apply(&op, &operands, &results)).map_err(at)?;
        for (v, y) in node.outputs.iter().zip(y) {
            values[v.index()] = Some(y);
        }
        for v in &node.inputs {
            uses[v.index()] -= 1;
            if uses[v.index()] == 0 {
                values[v.index()] = None;
            }
        }
    }
    let output = |v: &Option<Tensor>| v.clone().ok_or_else(|| Invalid::new("an output is never written"));
    graph.outputs().iter().map(|o| output(&values[o.value.index()])).collect()
}

/// The symbols' values under which the graph's inputs have the shapes of `inputs`.
fn bind(graph: &Graph, inputs: &[Tensor]) -> Result<Extents, Invalid> {
    let ports = graph.inputs();
    if ports.len() != inputs.len() {
        return Err(Invalid::new(format!("{} inputs for {} ports", inputs.len(), ports.len())));
    }
    let mut symbols = Extents::new();
    for (port, x) in ports.iter().zip(inputs) {
        for (dim, &n) in graph.shape(port.value).dims().iter().zip(x.dims()) {
            if let Some(symbol) = dim.as_symbol() {
                symbols.entry(symbol.name.clone()).or_insert(n as i64);
            }
        }
    }
    for (port, x) in ports.iter().zip(inputs) {
        let (dtype, shape) = (graph.dtype(port.value), graph.shape(port.value));
        if x.dtype() != dtype || dims_at(shape, &symbols)? != x.dims() {
            return Err(Invalid::new(format!(
                "input {:?} is {}{}, {dtype}{shape} expected",
                port.name,
                x.dtype(),
                x.shape()
            )));
        }
    }
    Ok(symbols)
}

/// A function of one `f64`, by the runtime's own mathematics and never the host's.
fn scalar(op: Unary, x: f64) -> f64 {
    unary(op, Scalar::from(x)).to_f64()
}
