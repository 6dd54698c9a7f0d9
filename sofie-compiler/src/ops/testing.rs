//! One-node models for the operators' tests: built, lowered, evaluated.

use super::driver::lower_graph;
use crate::ir::{self, Tensor, eval};
use crate::onnx::{Attribute, Bytes, DimSpec, Graph, Initializer, Node, TensorType, ValueInfo, ValueType};
use sofie_infer_runtime::DType;

/// An operand of the node under test.
#[derive(Clone)]
pub enum Arg {
    /// Given at run time.
    In(Tensor),
    /// An initialiser.
    Const(Tensor),
    /// An input of that type and shape, never evaluated.
    Open(DType, Vec<DimSpec>),
    /// Left out.
    Left,
}

/// A run-time operand.
pub fn f32s(dims: &[usize], values: &[f32]) -> Arg {
    Arg::In(Tensor::of(dims, values))
}

/// A constant operand.
pub fn ints(values: &[i64]) -> Arg {
    Arg::Const(Tensor::of(&[values.len()], values))
}

/// A string attribute.
pub fn text(s: &str) -> Attribute {
    Attribute::String(Bytes::copy_from_slice(s.as_bytes()))
}

/// The model of one node with `outputs` outputs `y0`, `y1`, …
pub fn model(
    op: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    args: &[Arg],
    outputs: usize,
) -> Graph {
    let name = |i: usize| format!("x{i}");
    let mut graph = Graph::default();
    for (i, arg) in args.iter().enumerate() {
        let (dtype, dims) = match arg {
            Arg::In(t) => (t.dtype(), t.dims().iter().map(|&d| DimSpec::Const(d as u64)).collect()),
            Arg::Open(dtype, dims) => (*dtype, dims.clone()),
            Arg::Const(t) => {
                let dims = t.dims().iter().map(|&d| d as u64).collect();
                let bytes = Bytes::copy_from_slice(t.bytes());
                let tensor = crate::onnx::Tensor::new(t.dtype().into(), dims, bytes).unwrap();
                graph.initializers.push(Initializer { name: name(i).into(), tensor });
                continue;
            }
            Arg::Left => continue,
        };
        let ty = ValueType::Tensor(TensorType { element: Some(dtype.into()), shape: Some(dims) });
        graph.inputs.push(ValueInfo { name: name(i).into(), ty });
    }
    let outputs: Vec<_> = (0..outputs).map(|i| format!("y{i}")).collect();
    for y in &outputs {
        graph.outputs.push(ValueInfo { name: y.as_str().into(), ty: ValueType::Undeclared });
    }
    graph.nodes.push(Node {
        index: 0,
        name: String::new(),
        op_type: op.into(),
        domain: String::new(),
        version,
        inputs: args
            .iter()
            .enumerate()
            .map(|(i, a)| (!matches!(a, Arg::Left)).then(|| name(i).into()))
            .collect(),
        outputs: outputs.iter().map(|y| Some(y.as_str().into())).collect(),
        attributes: attributes.iter().map(|(n, a)| (n.to_string(), a.clone())).collect(),
        scope: None,
    });
    graph
}

/// The lowered node, or all its errors as text.
pub fn lowered(
    op: &str,
    version: i64,
    attrs: &[(&str, Attribute)],
    args: &[Arg],
    outputs: usize,
) -> Result<ir::Graph, String> {
    let graph = lower_graph(&model(op, version, attrs, args, outputs), &Default::default());
    let graph = graph.map_err(|e| e.to_string())?;
    ir::verify(&graph).map_err(|e| format!("verifier: {e}"))?;
    Ok(graph)
}

/// The node's results, or all its errors as text.
pub fn run_all(
    op: &str,
    version: i64,
    attrs: &[(&str, Attribute)],
    args: &[Arg],
    outputs: usize,
) -> Result<Vec<Tensor>, String> {
    let graph = lowered(op, version, attrs, args, outputs)?;
    let inputs: Vec<_> =
        args.iter().filter_map(|a| if let Arg::In(t) = a { Some(t.clone()) } else { None }).collect();
    eval::run(&graph, &inputs).map_err(|e| e.to_string())
}

/// The node's one result.
///
/// # Panics
/// When it cannot be lowered or evaluated.
pub fn run(op: &str, version: i64, attrs: &[(&str, Attribute)], args: &[Arg]) -> Tensor {
    match run_all(op, version, attrs, args, 1) {
        Ok(mut results) => results.remove(0),
        Err(e) => panic!("{op}-{version}: {e}"),
    }
}

/// Asserts that two tensors have one type and shape, and elements that differ by at most `tolerance`.
#[track_caller]
pub fn assert_close(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!((a.dtype(), a.dims()), (b.dtype(), b.dims()));
    for (i, (x, y)) in a.to_f64s().into_iter().zip(b.to_f64s()).enumerate() {
        let equal = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance;
        assert!(equal, "element {i}: {x} and {y}\n{a:?}\n{b:?}");
    }
}
