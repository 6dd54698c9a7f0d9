//! Inputs that decide shapes inside a model, where the shapes of its results are declared: what has to be in them is
//! solved for, and checked when the network runs.
//!
//! A model that cannot be lowered is walked again with a symbol for each element of its short integer inputs. What that
//! walk cannot lower, it leaves out, or stands in a tensor of the right shape: all it is for are the equations between
//! shapes and declarations. Nothing rests on them but a second lowering, with the elements that are found constants, and
//! the check that an input holds them: so a wrong one is a run that fails, not a wrong answer.

use super::driver::Driver;
use super::operand::{Extents, Operand};
use crate::ir::{self, Builder, Dim, Op, ReduceKind, Shape, Tensor, ValueId, axis_in};
use crate::onnx::{self, DimSpec, Node, TensorName, ValueType};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;
use std::collections::{BTreeMap, HashMap};

/// A list beyond this is data, not a shape.
const MOST: usize = 16;

/// An equation: an extent, and the number that the file declares.
pub(super) type Equation = (Dim, i64);

/// What stands in short integer inputs: numbers, or symbols of elements that are not known.
#[derive(Debug, Default)]
pub(super) struct Lists {
    values: BTreeMap<TensorName, Extents>,
    /// Whether this walk is for the equations alone.
    pub(super) exploring: bool,
}

impl Lists {
    /// A symbol for every element.
    fn open(graph: &onnx::Graph) -> Lists {
        let list = |info: &onnx::ValueInfo| {
            let ValueType::Tensor(t) = &info.ty else { return None };
            let (scalar, n) = match t.shape.as_deref() {
                Some([]) => (true, 1),
                Some([DimSpec::Const(n)]) if (1..=MOST as u64).contains(n) => (false, *n),
                _ => return None,
            };
            let dims = (0..n).map(|i| Dim::symbol(&format!("{}[{i}]", info.name))).collect();
            (t.element == Some(DType::I64.into())).then(|| (info.name.clone(), Extents { scalar, dims }))
        };
        Lists { values: graph.inputs.iter().filter_map(list).collect(), exploring: true }
    }

    /// What is known of an input.
    pub(super) fn get(&self, name: &TensorName) -> Option<&Extents> {
        self.values.get(name)
    }

    fn symbols(&self) -> Vec<String> {
        self.values.values().flat_map(Extents::symbols).collect()
    }

    /// Whether a graph speaks of an element that is not known.
    pub(super) fn stand_in(&self, graph: &ir::Graph) -> bool {
        let symbols = self.symbols();
        let mut of_values = graph.nodes().iter().flat_map(|n| &n.outputs).map(|v| graph.shape(*v));
        of_values.any(|s| s.dims().iter().flat_map(Dim::symbols).any(|s| symbols.iter().any(|o| **o == *s)))
    }

    /// Puts in what the equations say; how many elements that is. `None` where they contradict each other.
    fn solve(&mut self, equations: &[Equation]) -> Option<usize> {
        let mut found: HashMap<String, i64> = HashMap::new();
        let open = self.symbols();
        for (dim, n) in equations {
            let names = dim.symbols();
            let [name] = &names[..] else { continue };
            let Some(x) = root(dim, *n).filter(|_| open.iter().any(|o| **o == **name)) else { continue };
            if *found.entry(name.to_string()).or_insert(x) != x {
                return None;
            }
        }
        let value = |name: &str| found.get(name).copied();
        for dim in self.values.values_mut().flat_map(|e| &mut e.dims) {
            if let Some(n) = dim.eval(&value) {
                *dim = Dim::Fixed(n);
            }
        }
        Some(found.len())
    }

    /// Whether the input `v` holds what is known of it: a bool of rank 0.
    pub(super) fn holds(
        &self,
        name: &TensorName,
        b: &mut Builder,
        v: ValueId,
    ) -> Result<ValueId, ir::Invalid> {
        let dims = self.get(name).map(|e| e.dims.clone()).unwrap_or_default();
        let known: Vec<i64> = dims.iter().map(|d| d.fixed().unwrap_or(0)).collect();
        let open: Vec<bool> = dims.iter().map(|d| d.fixed().is_none()).collect();
        let v = b.reshape(v, Shape::of(&[dims.len()]))?;
        let (known, open) = (Tensor::of(&[known.len()], &known), Tensor::of(&[open.len()], &open));
        let (known, open) = (b.tensor(known), b.tensor(open));
        let same = b.binary(Binary::Eq, v, known)?;
        let same = b.binary(Binary::Or, same, open)?;
        let all = b.one(Op::Reduce(ReduceKind::Min, vec![0]), &[same])?;
        b.reshape(all, Shape::default())
    }
}

/// The one number that a symbol can be for `dim` to be `n`, where `dim` grows by the same with each.
fn root(dim: &Dim, n: i64) -> Option<i64> {
    let at = |x: i64| dim.eval(&|_| Some(x));
    let (origin, slope) = (at(0)?, at(1)?.checked_sub(at(0)?)?);
    let x = n.checked_sub(origin)?.checked_div(slope)?;
    let linear = at(2)?.checked_sub(at(1)?)? == slope && at(x)? == n;
    (linear && x >= 0).then_some(x)
}

/// What has to stand in the inputs for the results to have the shapes that the file declares.
pub(super) fn lists(graph: &onnx::Graph, given: super::Given<'_>) -> Option<Lists> {
    let mut lists = Lists::open(graph);
    let all = lists.symbols().len();
    if all == 0 {
        return None;
    }
    while lists.solve(&Driver::explore(graph, given, &lists))? > 0 {}
    lists.exploring = false;
    (lists.symbols().len() < all).then_some(lists)
}

/// A list whose elements are known or symbols.
fn extents(b: &Builder, operand: Option<&Option<Operand>>) -> Option<Vec<Dim>> {
    match operand?.as_ref()? {
        Operand::Extents(e) => Some(e.dims.clone()),
        Operand::Value(v) => b.dims_of(*v),
        _ => None,
    }
}

/// In place of a node that cannot be lowered: a value of the shape that it has if no index counts from the end and
/// nothing is clamped.
pub(super) fn stand_in(b: &mut Builder, node: &Node, operands: &[Option<Operand>]) -> Option<Operand> {
    let data = match operands.first()?.as_ref()? {
        Operand::Value(v) => Some((b.dtype(*v), b.shape(*v).clone())),
        Operand::Extents(e) => Some((DType::I64, e.shape())),
        _ => None,
    };
    let dtype = data.as_ref().map_or(DType::F32, |(dtype, _)| *dtype);
    let of_data = data.map(|(_, shape)| shape);
    let axes = |list: usize, n: usize, rank: usize| -> Option<Vec<usize>> {
        match operands.get(list) {
            None | Some(None) => Some((0..n).collect()),
            axes => extents(b, axes)?.iter().map(|d| axis_in(d.fixed()?, rank).ok()).collect(),
        }
    };
    let shape = match node.op_type.as_str() {
        "Reshape" => Shape::new(extents(b, operands.get(1))?),
        "Pad" => {
            let (mut shape, pads) = (of_data?, extents(b, operands.get(1))?);
            let axes = axes(3, pads.len() / 2, shape.rank())?;
            let (before, after) = pads.split_at(pads.len() / 2);
            for ((axis, before), after) in axes.iter().zip(before).zip(after) {
                let dim = shape.dims_mut().get_mut(*axis)?;
                *dim = dim.add(before).ok()?.add(after).ok()?;
            }
            shape
        }
        "Slice" if operands.len() < 5 => {
            let (mut shape, starts) = (of_data?, extents(b, operands.get(1))?);
            let ends = extents(b, operands.get(2))?;
            let axes = axes(3, starts.len(), shape.rank())?;
            for ((axis, start), end) in axes.iter().zip(&starts).zip(&ends) {
                *shape.dims_mut().get_mut(*axis)? = end.sub(start).ok()?;
            }
            shape
        }
        op if super::hints::KEEPING.contains(&op) => of_data?,
        _ => return None,
    };
    Some(Operand::Value(b.input("", dtype, shape)))
}

#[cfg(test)]
mod tests {
    use crate::ir::{CHECK, Tensor, eval};
    use crate::onnx::{Attribute, DimSpec, Graph, Node, TensorType, ValueType};
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    /// `y0 = x0` padded to a length and cut to one, both computed from `x1`.
    fn cropped(declared: u64) -> Graph {
        let zero = Arg::Const(Tensor::of(&[1], &[0i64]));
        let one = Arg::Const(Tensor::of(&[1], &[1i64]));
        let args = [f32s(&[3], &[0.0; 3]), Arg::In(Tensor::of(&[2], &[0i64; 2])), zero, one];
        let mut graph = model("Slice", 18, &[], &args, 1);
        let first = graph.nodes.remove(0);
        let nodes: [(&str, &[&str], &str); 6] = [
            ("Slice", &["x1", "x2", "x3"], "n"),
            ("Shape", &["x0"], "s"),
            ("Max", &["s", "n"], "m"),
            ("Sub", &["m", "s"], "more"),
            ("Concat", &["x2", "more"], "pads"),
            ("Pad", &["x0", "pads"], "padded"),
        ];
        for (op, inputs, output) in nodes.into_iter().chain([("Slice", &["padded", "x2", "n"][..], "y0")]) {
            let axis = [("axis".to_string(), Attribute::Int(0))];
            graph.nodes.push(Node {
                op_type: op.into(),
                inputs: inputs.iter().map(|i| Some((*i).into())).collect(),
                outputs: vec![Some(output.into())],
                attributes: axis.into_iter().filter(|_| op == "Concat").collect(),
                ..first.clone()
            });
        }
        let shape = Some(vec![DimSpec::Const(declared)]);
        graph.outputs[0].ty = ValueType::Tensor(TensorType { element: Some(DType::F32.into()), shape });
        graph
    }

    #[test]
    fn what_the_declared_shape_needs() {
        for (declared, expected) in [(2, vec![1.0f32, 2.0]), (5, vec![1.0, 2.0, 3.0, 0.0, 0.0])] {
            let lowered = lower_graph(&cropped(declared), &Default::default()).unwrap();
            assert_eq!(lowered.outputs()[1].name, CHECK);
            let run = |n: i64, other: i64| {
                let x = [Tensor::of(&[3], &[1.0f32, 2.0, 3.0]), Tensor::of(&[2], &[n, other])];
                let results = eval::run(&lowered, &x).unwrap();
                (results[1].get(0).bits != 0).then(|| results[0].to_vec::<f32>().unwrap())
            };
            // What decides nothing may be anything.
            assert_eq!(run(declared as i64, 7), Some(expected.clone()));
            assert_eq!(run(declared as i64, -1), Some(expected));
            assert_eq!(run(4, 7), None);
        }
    }

    #[test]
    fn without_a_declaration_it_is_refused() {
        let mut graph = cropped(2);
        graph.outputs[0].ty = ValueType::Undeclared;
        let error = lower_graph(&graph, &Default::default()).unwrap_err().to_string();
        assert!(error.contains("computed at run time"), "{error}");
    }
}
