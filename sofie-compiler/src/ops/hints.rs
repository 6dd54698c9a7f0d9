//! The extents that a file declares of the tensors inside, carried backwards through operators that keep them: of what
//! stands before a square root the shape is declared where that of the root is.

use crate::ir::{Dim, Shape};
use crate::onnx::{self, Attribute, DimSpec, TensorName, ValueType};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Operators of one operand (the first) whose result has its shape.
pub(super) const KEEPING: &[&str] = &[
    "Abs",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Cos",
    "Erf",
    "Exp",
    "Floor",
    "Identity",
    "Log",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Sqrt",
    "Tan",
    "Tanh",
];

/// Operators of two operands that broadcast.
const BROADCASTING: &[&str] = &["Add", "Div", "Max", "Min", "Mod", "Mul", "Pow", "Sub"];

/// Shapes by name, as far as the file declares them with known extents.
pub(super) fn hints(graph: &onnx::Graph, dims: &BTreeMap<String, u64>) -> HashMap<TensorName, Shape> {
    let fixed = |d: &DimSpec| {
        let n = match d {
            DimSpec::Const(n) => *n,
            DimSpec::Symbol(name) => *dims.get(name)?,
            DimSpec::Unknown => return None,
        };
        i64::try_from(n).ok().map(Dim::Fixed)
    };
    let shape = |ty: &ValueType| -> Option<Shape> {
        let ValueType::Tensor(t) = ty else { return None };
        t.shape.as_ref()?.iter().map(fixed).collect()
    };
    let mut known: HashMap<TensorName, Shape> = HashMap::new();
    let inside = graph.value_info.iter();
    let ports = graph.outputs.iter().chain(&graph.inputs).map(|v| (&v.name, &v.ty));
    known.extend(inside.chain(ports).filter_map(|(name, ty)| Some((name.clone(), shape(ty)?))));
    let scalars = scalars(graph, &known);
    let roots = roots(graph, &scalars);
    for node in graph.nodes.iter().rev() {
        let (op, [Some(y), ..]) = (node.op_type.as_str(), &node.outputs[..]) else { continue };
        let Some(shape) = known.get(y).cloned() else { continue };
        let same = match &node.inputs[..] {
            [Some(x), ..] if node.domain.is_empty() && KEEPING.contains(&op) => x,
            [Some(a), Some(b)]
                if node.domain.is_empty() && node.version >= 7 && BROADCASTING.contains(&op) =>
            {
                match (scalars.contains(a), scalars.contains(b)) {
                    (_, true) => a,
                    (true, false) => b,
                    // Both have the shape of what both were made of, and so has the result.
                    _ if root(&roots, a) == root(&roots, b) => {
                        known.entry(b.clone()).or_insert_with(|| shape.clone());
                        a
                    }
                    _ => continue,
                }
            }
            _ => continue,
        };
        known.entry(same.clone()).or_insert(shape);
    }
    known
}

/// For tensors that have the shape of another one, that one.
fn roots(graph: &onnx::Graph, scalars: &HashSet<TensorName>) -> HashMap<TensorName, TensorName> {
    let mut roots = HashMap::new();
    for node in graph.nodes.iter().filter(|n| n.domain.is_empty()) {
        let (op, Some(Some(y))) = (node.op_type.as_str(), node.outputs.first()) else { continue };
        let of = match &node.inputs[..] {
            [Some(x), ..] if KEEPING.contains(&op) => x,
            [Some(a), Some(b)] if node.version >= 7 && BROADCASTING.contains(&op) => {
                match (scalars.contains(a), scalars.contains(b)) {
                    (_, true) => a,
                    (true, false) => b,
                    _ if root(&roots, a) == root(&roots, b) => a,
                    _ => continue,
                }
            }
            _ => continue,
        };
        let of = root(&roots, of).clone();
        roots.insert(y.clone(), of);
    }
    roots
}

fn root<'a>(roots: &'a HashMap<TensorName, TensorName>, name: &'a TensorName) -> &'a TensorName {
    roots.get(name).unwrap_or(name)
}

/// Tensors of rank 0.
fn scalars(graph: &onnx::Graph, known: &HashMap<TensorName, Shape>) -> HashSet<TensorName> {
    let declared = known.iter().filter(|(_, s)| s.rank() == 0).map(|(name, _)| name.clone());
    let mut scalars: HashSet<TensorName> = declared.collect();
    scalars.extend(graph.initializers.iter().filter(|i| i.tensor.rank() == 0).map(|i| i.name.clone()));
    for node in graph.nodes.iter().filter(|n| n.domain.is_empty()) {
        let Some(Some(y)) = node.outputs.first() else { continue };
        let op = node.op_type.as_str();
        let mut inputs = node.inputs.iter().flatten();
        let scalar = match op {
            "Constant" => node.attributes.values().any(|a| match a {
                Attribute::Tensor(t) => t.rank() == 0,
                Attribute::Float(_) | Attribute::Int(_) => true,
                _ => false,
            }),
            _ if KEEPING.contains(&op) => inputs.next().is_some_and(|x| scalars.contains(x)),
            _ if BROADCASTING.contains(&op) => inputs.all(|x| scalars.contains(x)),
            _ => false,
        };
        if scalar {
            scalars.insert(y.clone());
        }
    }
    scalars
}
