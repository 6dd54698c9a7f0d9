//! Sequences and optionals: lists of operands while the graph is built, and nothing in the graph. How long a sequence is
//! and whether an optional has an element is known while compiling; of a model's inputs, because the user says so.

use super::Ctx;
use super::operand::Operand;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, ValueId, axis_in};

type Results = Result<Vec<Operand>>;

/// What elements of one sequence have in common.
fn kind(c: &Ctx<'_, '_>, operand: &Operand) -> Result<String> {
    Ok(match operand {
        Operand::Value(v) => c.dtype(*v).to_string(),
        Operand::Extents(_) => "i64".to_owned(),
        Operand::Stored(_, storage) => storage.to_string(),
        Operand::Sequence(_) | Operand::Nothing | Operand::Poisoned => {
            return Err(Error::new("an element of a sequence has to be a tensor"));
        }
    })
}

/// A sequence whose elements have one type.
fn sequence(c: &Ctx<'_, '_>, elements: Vec<Operand>) -> Results {
    let kinds = elements.iter().map(|e| kind(c, e)).collect::<Result<Vec<_>>>()?;
    match kinds.iter().find(|k| **k != kinds[0]) {
        Some(other) => Err(Error::new(format!("a sequence of {} and {other}", kinds[0]))),
        None => Ok(vec![Operand::Sequence(elements)]),
    }
}

/// The operand at `i`, whatever it is.
fn operand(c: &Ctx<'_, '_>, i: usize, what: &str) -> Result<Operand> {
    let operand = c.operands.get(i).cloned().flatten();
    operand.ok_or_else(|| Error::new(format!("input {i} ({what}) is missing")))
}

fn elements(c: &Ctx<'_, '_>) -> Result<Vec<Operand>> {
    match operand(c, 0, "the sequence")? {
        Operand::Sequence(elements) => Ok(elements),
        _ => Err(Error::new("a tensor; a sequence is needed").at_tensor(c.tensor_name(0))),
    }
}

/// The position that operand `i` names among `n`, counted from either end.
fn position(c: &Ctx<'_, '_>, i: usize, n: usize) -> Result<Option<usize>> {
    let Some(at) = c.const_int(i, "the position")? else { return Ok(None) };
    let from_start = if at < 0 { at + n as i64 } else { at };
    let inside = usize::try_from(from_start).ok().filter(|&at| at < n);
    inside.map(Some).ok_or_else(|| Error::new(format!("position {at} in a sequence of {n}")))
}

/// `SequenceConstruct`.
pub(super) fn construct(c: &mut Ctx<'_, '_>) -> Results {
    let parts = (0..c.operands.len()).map(|i| operand(c, i, "variadic")).collect::<Result<_>>()?;
    sequence(c, parts)
}

/// `SequenceEmpty`.
pub(super) fn empty(c: &mut Ctx<'_, '_>) -> Results {
    c.attrs.ignore(&["dtype"]);
    Ok(vec![Operand::Sequence(Vec::new())])
}

/// `SequenceAt`.
pub(super) fn at(c: &mut Ctx<'_, '_>) -> Results {
    let elements = elements(c)?;
    let at = position(c, 1, elements.len())?.ok_or_else(|| Error::new("input 1 (position) is missing"))?;
    Ok(vec![elements[at].clone()])
}

/// `SequenceInsert`: at the end where no position is given.
pub(super) fn insert(c: &mut Ctx<'_, '_>) -> Results {
    let mut elements = elements(c)?;
    let n = elements.len();
    // Behind the last one is a position as well, though not one that is counted from the end.
    let at = match c.const_int(2, "the position")? {
        Some(at) if at == n as i64 => n,
        _ => position(c, 2, n)?.unwrap_or(n),
    };
    elements.insert(at, operand(c, 1, "the tensor")?);
    sequence(c, elements)
}

/// `SequenceErase`: the last one where no position is given.
pub(super) fn erase(c: &mut Ctx<'_, '_>) -> Results {
    let mut elements = elements(c)?;
    let last = elements.len().checked_sub(1).ok_or_else(|| Error::new("the sequence is empty"))?;
    elements.remove(position(c, 1, elements.len())?.unwrap_or(last));
    Ok(vec![Operand::Sequence(elements)])
}

/// `SequenceLength`.
pub(super) fn length(c: &mut Ctx<'_, '_>) -> Results {
    let n = elements(c)?.len() as i64;
    Ok(vec![Operand::Value(c.b.scalar(n))])
}

/// `SplitToSequence`: parts of one extent, of extents listed, or slices of extent 1.
pub(super) fn split(c: &mut Ctx<'_, '_>) -> Results {
    let v = c.required(0, "input")?;
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    let n = c.shape(v)[axis].fixed();
    let n = n.ok_or_else(|| Error::new(format!("the extent {} is not fixed", c.shape(v)[axis])))?;
    let keep = c.attrs.flag_or("keepdims", true)?;
    let given = c.const_ints(1, "split")?;
    // The attribute is ignored where parts are given.
    let drop = given.is_none() && !keep;
    let scalar = c.optional(1)?.is_some_and(|split| c.rank(split) == 0);
    let parts: Vec<i64> = match given.as_deref() {
        None => vec![1; n as usize],
        Some([part]) if scalar && *part > 0 => {
            (0..n).step_by(*part as usize).map(|start| (*part).min(n - start)).collect()
        }
        Some(parts) if !scalar && parts.iter().all(|p| *p >= 0) && parts.iter().sum::<i64>() == n => {
            parts.to_vec()
        }
        Some(parts) => return Err(Error::new(format!("parts of {parts:?} elements for extent {n}"))),
    };
    let (mut start, mut elements) = (0, Vec::new());
    for part in parts {
        let element = c.b.slice_axis(v, axis, Dim::Fixed(start), Dim::Fixed(part))?;
        elements.push(Operand::Value(if drop { c.drop_axes(element, &[axis])? } else { element }));
        start += part;
    }
    Ok(vec![Operand::Sequence(elements)])
}

/// `ConcatFromSequence`: along an axis that is there, or along a new one.
pub(super) fn concat(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    // The elements are operands like those of `Concat`.
    c.operands = elements(c)?.into_iter().map(Some).collect();
    let mut parts = c.variadic()?;
    let new = c.attrs.flag_or("new_axis", false)?;
    let rank = c.rank(parts[0]) + usize::from(new);
    let axis = axis_in(c.attrs.require("axis", c.attrs.int("axis")?)?, rank)?;
    if new {
        for part in &mut parts {
            let mut dims = c.shape(*part).dims().to_vec();
            dims.insert(axis.min(dims.len()), Dim::ONE);
            *part = c.b.reshape(*part, Shape::new(dims))?;
        }
    }
    Ok(vec![c.b.one(Op::Concat(axis), &parts)?])
}

/// `Optional`: what is given, or nothing. An optional with an element is that element.
pub(super) fn optional(c: &mut Ctx<'_, '_>) -> Results {
    c.attrs.ignore(&["type"]);
    Ok(vec![c.operands.first().cloned().flatten().unwrap_or(Operand::Nothing)])
}

/// `OptionalHasElement`.
pub(super) fn has_element(c: &mut Ctx<'_, '_>) -> Results {
    let has = !matches!(c.operands.first(), None | Some(None | Some(Operand::Nothing)));
    Ok(vec![Operand::Value(c.b.scalar(has))])
}

/// `OptionalGetElement`.
pub(super) fn get_element(c: &mut Ctx<'_, '_>) -> Results {
    match operand(c, 0, "input")? {
        Operand::Nothing => Err(Error::new("the optional has no element").at_tensor(c.tensor_name(0))),
        element => Ok(vec![element]),
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{Tensor, eval};
    use crate::onnx::{Attribute, DimSpec, Graph, Node, TensorType, ValueType};
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    /// A node: its operator, inputs, output and attributes.
    type Step<'a> = (&'a str, &'a [&'a str], &'a str, &'a [(&'a str, Attribute)]);

    /// Nodes one behind the other, over inputs `x0`, `x1`, …; the last one's result is `y0`.
    fn chain(args: &[Arg], nodes: &[Step<'_>]) -> Result<Tensor, String> {
        let mut graph: Graph = model("Identity", 18, &[], args, 1);
        let first = graph.nodes.remove(0);
        for (op, inputs, output, attributes) in nodes {
            graph.nodes.push(Node {
                op_type: op.to_string(),
                inputs: inputs.iter().map(|i| (!i.is_empty()).then(|| (*i).into())).collect(),
                outputs: vec![Some((*output).into())],
                attributes: attributes.iter().map(|(n, a)| (n.to_string(), a.clone())).collect(),
                ..first.clone()
            });
        }
        let lowered = lower_graph(&graph, &Default::default()).map_err(|e| e.to_string())?;
        let inputs: Vec<_> =
            args.iter().filter_map(|a| if let Arg::In(t) = a { Some(t.clone()) } else { None }).collect();
        Ok(eval::run(&lowered, &inputs).map_err(|e| e.to_string())?.remove(0))
    }

    fn at(n: i64) -> Arg {
        Arg::Const(Tensor::of(&[], &[n]))
    }

    #[test]
    fn elements_come_and_go() {
        let args = [f32s(&[1], &[1.0]), f32s(&[2], &[2.0, 3.0]), at(-1), at(0), at(3)];
        let made: Step<'_> = ("SequenceConstruct", &["x0", "x1"], "s", &[]);
        let y = chain(
            &args,
            &[
                made,
                ("SequenceInsert", &["s", "x0", "x2"], "t", &[]),
                ("SequenceErase", &["t", "x3"], "u", &[]),
                ("ConcatFromSequence", &["u"], "y0", &[("axis", Attribute::Int(0))]),
            ],
        );
        assert_eq!(y, Ok(Tensor::of(&[3], &[1.0f32, 2.0, 3.0])));
        let y = chain(&args, &[made, ("SequenceLength", &["s"], "y0", &[])]);
        assert_eq!(y, Ok(Tensor::of(&[], &[2i64])));
        let y = chain(&args, &[made, ("SequenceAt", &["s", "x4"], "y0", &[])]);
        assert!(y.unwrap_err().contains("position 3 in a sequence of 2"));
        let y = chain(&args, &[made, ("Relu", &["s"], "y0", &[])]);
        assert!(y.unwrap_err().contains("a sequence"));
    }

    #[test]
    fn parts_of_a_tensor() {
        let args = [f32s(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), at(2), at(1)];
        let y = chain(
            &args,
            &[
                ("SplitToSequence", &["x0", "x1"], "s", &[("keepdims", Attribute::Int(0))]),
                ("SequenceAt", &["s", "x2"], "y0", &[]),
            ],
        );
        assert_eq!(y, Ok(Tensor::of(&[1, 2], &[4.0f32, 5.0])));
        let y = chain(
            &args,
            &[
                (
                    "SplitToSequence",
                    &["x0"],
                    "s",
                    &[("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(0))],
                ),
                (
                    "ConcatFromSequence",
                    &["s"],
                    "y0",
                    &[("axis", Attribute::Int(0)), ("new_axis", Attribute::Int(1))],
                ),
            ],
        );
        assert_eq!(y, Ok(Tensor::of(&[2, 3], &[0.0f32, 2.0, 4.0, 1.0, 3.0, 5.0])));
    }

    #[test]
    fn optionals_are_what_they_hold() {
        let args = [f32s(&[1], &[1.0])];
        let y = chain(&args, &[("Optional", &["x0"], "o", &[]), ("OptionalGetElement", &["o"], "y0", &[])]);
        assert_eq!(y, Ok(Tensor::of(&[1], &[1.0f32])));
        let y = chain(&args, &[("Optional", &[], "o", &[]), ("OptionalHasElement", &["o"], "y0", &[])]);
        assert_eq!(y, Ok(Tensor::of(&[], &[false])));
        let y = chain(&args, &[("Optional", &[], "o", &[]), ("OptionalGetElement", &["o"], "y0", &[])]);
        assert!(y.unwrap_err().contains("no element"));
    }

    #[test]
    fn inputs_and_outputs_of_given_length() {
        let mut graph: Graph = model("Identity", 18, &[], &[f32s(&[1], &[0.0])], 1);
        let shape = Some(vec![DimSpec::Symbol("n".into())]);
        let tensor = ValueType::Tensor(TensorType { element: Some(DType::F32.into()), shape });
        graph.inputs[0].ty = ValueType::Sequence(tensor.into());
        let error = lower_graph(&graph, &Default::default()).unwrap_err().to_string();
        assert!(error.contains("dims(x0 = 2)"), "{error}");
        let dims = [("x0", 2), ("x0_0_0", 1), ("x0_1_0", 3)].map(|(name, n)| (name.to_owned(), n));
        let lowered = lower_graph(&graph, &dims.into()).unwrap();
        let names: Vec<_> = lowered.outputs().iter().map(|o| &*o.name).collect();
        assert_eq!(names, ["y0.0", "y0.1"]);
        let x = [Tensor::of(&[1], &[1.0f32]), Tensor::of(&[3], &[2.0f32, 3.0, 4.0])];
        assert_eq!(eval::run(&lowered, &x).unwrap(), x);
    }
}
