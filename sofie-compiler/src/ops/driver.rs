//! Walks a model node by node. A node that cannot be lowered poisons its outputs, and the walk goes on:
//! every problem of a file is found at once, and none twice.

use super::custom::{self, UserOperator};
use super::declared::{DimBounds, DimValues, Parts, Symbols, check_output, open_symbols};
use super::find::find;
use super::found::Same;
use super::meetings::meetings;
use super::operand::Operand;
use super::solve::{self, Lists};
use super::{Ctx, Lowering, Operator, stored, symbolic};
use crate::error::{Error, Errors, Result};
use crate::ir::{self, Builder, Shape, ValueId};
use crate::onnx::{self, Model, Node, TensorName};
use sofie_infer_runtime::DType;
use std::collections::{BTreeSet, HashMap};

/// The graph of core operations that a model is, with the extents in `dims` fixed and the others left
/// as symbols (see [`free_symbols`](super::free_symbols)).
///
/// # Errors
/// Every operator, attribute and shape that is not supported, each with its node.
///
/// ```no_run
/// # use sofie_infer_compiler::{error::Errors, onnx, ops};
/// let model = onnx::load("models/tagger.onnx".as_ref())?;
/// let graph = ops::lower(&model, &[("batch".to_owned(), 1)].into())?;
/// ops::free_symbols(&graph)?;
/// # Ok::<(), Errors>(())
/// ```
pub fn lower(model: &Model, dims: &DimValues) -> Result<ir::Graph, Errors> {
    lower_graph(&model.graph, dims)
}

/// What the macro's call says of a model.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Extents of symbolic dimensions, by name.
    pub dims: &'a DimValues,
    /// Symbolic dimensions that stay free, with their bounds.
    pub bounds: &'a DimBounds,
    /// Operators that the calling program computes.
    pub operators: &'a [UserOperator],
}

/// [`lower`] with all that a call can say.
///
/// # Errors
/// As [`lower_within`]; and an operator that no node is.
pub fn lower_given(model: &Model, given: Given<'_>) -> Result<ir::Graph, Errors> {
    lower_graph_given(&model.graph, given)
}

/// [`lower`] with some extents free within bounds.
///
/// # Errors
/// As [`lower`], and what cannot be done at some of the extents.
pub fn lower_within(model: &Model, dims: &DimValues, bounds: &DimBounds) -> Result<ir::Graph, Errors> {
    lower_given(model, Given { dims, bounds, operators: &[] })
}

/// Names, element types and shapes of a model's inputs, with the symbols that `dims(..)` may fix.
///
/// # Errors
/// An input that is no tensor of a known rank and a type that is computed in, or an entry of `dims`
/// that names no symbol.
pub fn input_shapes(model: &Model, dims: &DimValues) -> Result<Vec<(String, DType, Shape)>, Errors> {
    let bounds = DimBounds::new();
    let mut symbols = Symbols::new(&model.graph, dims, &bounds, &NONE_SAME);
    let mut errors = Errors::new();
    let mut shapes = Vec::new();
    for info in &model.graph.inputs {
        let tensors = match errors.keep(symbols.parts(info)) {
            Some(Parts::One(tensor)) => vec![tensor],
            Some(Parts::List(tensors)) => tensors,
            Some(Parts::Nothing) | None => Vec::new(),
        };
        for info in &tensors {
            if let Some((dtype, shape)) = errors.keep(symbols.input(info)) {
                shapes.push((info.name.to_string(), dtype, shape));
            }
        }
    }
    errors.extend(symbols.unknown_entries());
    errors.into_result(shapes)
}

/// [`lower`] for a graph alone.
pub(super) fn lower_graph(graph: &onnx::Graph, dims: &DimValues) -> Result<ir::Graph, Errors> {
    lower_graph_given(graph, Given { dims, bounds: &DimBounds::new(), operators: &[] })
}

pub(super) fn lower_graph_given(graph: &onnx::Graph, given: Given<'_>) -> Result<ir::Graph, Errors> {
    let errors = match attempt(graph, given, &Lists::default()) {
        Ok(lowered) => return Ok(lowered),
        Err(errors) => errors,
    };
    let Some(lists) = solve::lists(graph, given) else { return Err(errors) };
    attempt(graph, given, &lists).ok().filter(|lowered| !lists.stand_in(lowered)).ok_or(errors)
}

/// Nothing that values decide has to be something else.
static NONE_SAME: Same = Same::new();

/// The graph, with what `lists` says in its inputs. Where a node is refused that two extents meet at, the walk begins again
/// with one in the place of the other, which a run then checks.
fn attempt(graph: &onnx::Graph, given: Given<'_>, lists: &Lists) -> Result<ir::Graph, Errors> {
    let mut same = Same::new();
    let (mut result, mut meeting) = attempt_with(graph, given, lists, &same);
    while let (Err(_), Some((reached, pairs))) = (&result, meeting.take()) {
        for pair in pairs {
            same.push(pair);
            let (next, then) = attempt_with(graph, given, lists, &same);
            if next.is_ok() || then.as_ref().is_some_and(|(n, _)| *n > reached) {
                (result, meeting) = (next, then);
                break;
            }
            same.pop();
        }
    }
    result
}

/// The graph, or what is wrong and where extents may have met.
fn attempt_with(
    graph: &onnx::Graph,
    given: Given<'_>,
    lists: &Lists,
    same: &Same,
) -> (Result<ir::Graph, Errors>, Option<(usize, Same)>) {
    let mut driver = Driver::walked(graph, given, lists, same);
    driver.uncalled();
    driver.outputs();
    let Driver { b, mut errors, meeting, .. } = driver;
    let lowered = b.finish();
    if !errors.is_empty() {
        // An open extent is often what the other problems come from.
        let _ = errors.keep(open_symbols(&lowered, given.bounds));
    }
    let lowered = errors.into_result(lowered);
    (lowered.and_then(|lowered| lowered.with_room().map_err(|e| Error::from(e).into())), meeting)
}

pub(super) struct Driver<'m> {
    graph: &'m onnx::Graph,
    operators: &'m [UserOperator],
    /// Those that a node was.
    called: BTreeSet<&'m str>,
    hints: HashMap<TensorName, Shape>,
    constants: HashMap<&'m str, &'m onnx::Tensor>,
    pub(super) b: Builder,
    pub(super) values: HashMap<TensorName, Operand>,
    pub(super) errors: Errors,
    pub(super) checks: Vec<ValueId>,
    lists: &'m Lists,
    /// Extents that stand for what values decide.
    pub(super) same: &'m Same,
    /// Nodes lowered so far.
    lowered: usize,
    /// Which extents may have to be the same for the first node that was refused, and how many were lowered before it.
    meeting: Option<(usize, Same)>,
    equations: Vec<solve::Equation>,
}

impl<'m> Driver<'m> {
    /// All nodes lowered.
    fn walked(graph: &'m onnx::Graph, given: Given<'m>, lists: &'m Lists, same: &'m Same) -> Driver<'m> {
        let mut driver = Driver {
            graph,
            operators: given.operators,
            called: BTreeSet::new(),
            hints: super::hints::hints(graph, given.dims),
            constants: graph.initializers.iter().map(|i| (&*i.name, &i.tensor)).collect(),
            b: Builder::new(),
            values: HashMap::new(),
            errors: Errors::new(),
            checks: Vec::new(),
            lists,
            same,
            lowered: 0,
            meeting: None,
            equations: Vec::new(),
        };
        driver.inputs(given);
        for node in &graph.nodes {
            driver.node(node);
        }
        driver
    }

    /// The equations between the shapes that the graph has and those that the file declares.
    pub(super) fn explore(
        graph: &'m onnx::Graph,
        given: Given<'m>,
        lists: &'m Lists,
    ) -> Vec<solve::Equation> {
        Driver::walked(graph, given, lists, &NONE_SAME).equations
    }

    /// A tensor that is an input.
    fn tensor(&mut self, info: &onnx::ValueInfo, symbols: &mut Symbols<'_>) -> Operand {
        let Some((dtype, shape)) = self.errors.keep(symbols.input(info)) else { return Operand::Poisoned };
        let v = self.b.input(&info.name, dtype, shape);
        let operand = self.input(info, v);
        self.errors.keep(operand).unwrap_or(Operand::Poisoned)
    }

    /// What an input's value stands for.
    fn input(&mut self, info: &onnx::ValueInfo, v: ValueId) -> Result<Operand> {
        if let Some(storage) = info.storage() {
            return stored::input(&mut self.b, v, storage);
        }
        let Some(list) = self.lists.get(&info.name) else { return Ok(Operand::Value(v)) };
        if !self.lists.exploring {
            let holds = self.lists.holds(&info.name, &mut self.b, v)?;
            self.checks.push(holds);
        }
        Ok(list.clone().settle(&mut self.b))
    }

    fn inputs(&mut self, given: Given<'_>) {
        let mut symbols = Symbols::new(self.graph, given.dims, given.bounds, self.same);
        for info in &self.graph.inputs {
            let operand = match self.errors.keep(symbols.parts(info)) {
                Some(Parts::One(tensor)) => self.tensor(&tensor, &mut symbols),
                Some(Parts::Nothing) => Operand::Nothing,
                Some(Parts::List(tensors)) => {
                    let elements: Vec<_> = tensors.iter().map(|t| self.tensor(t, &mut symbols)).collect();
                    let known = !elements.contains(&Operand::Poisoned);
                    if known { Operand::Sequence(elements) } else { Operand::Poisoned }
                }
                None => Operand::Poisoned,
            };
            self.values.insert(info.name.clone(), operand);
        }
        self.errors.extend(symbols.unknown_entries());
    }

    /// What a name stands for. Constants enter the graph when they are first read, so that one nobody
    /// reads may be of any type.
    fn operand(&mut self, name: &TensorName) -> Result<Operand> {
        if let Some(known) = self.values.get(name) {
            return Ok(known.clone());
        }
        let Some(tensor) = self.constants.get(&**name) else {
            return Err(Error::new("no node gives this tensor").at_tensor(&**name));
        };
        let constant = stored::constant(&mut self.b, tensor).map_err(|e| e.at_tensor(&**name));
        let operand = constant.as_ref().map_or(Operand::Poisoned, Operand::clone);
        self.values.insert(name.clone(), operand);
        constant
    }

    fn node(&mut self, node: &'m Node) {
        let results = match self.lowered(node) {
            Ok(results) => results,
            Err(_) if self.lists.exploring => self.stand_in(node),
            Err(error) => {
                if self.errors.is_empty() {
                    let names = node.inputs.iter().flatten();
                    let values = names.filter_map(|n| match self.values.get(n) {
                        Some(Operand::Value(v)) => Some(*v),
                        _ => None,
                    });
                    self.meeting = Some((self.lowered, meetings(&self.b, &values.collect::<Vec<_>>())));
                }
                self.errors.push(error.at_node(node));
                Vec::new()
            }
        };
        self.lowered += 1;
        let mut results = results.into_iter();
        for name in &node.outputs {
            let result = results.next().unwrap_or(Operand::Poisoned);
            if let Some(name) = name {
                if self.lists.exploring {
                    self.equate(name, &result);
                }
                self.values.insert(name.clone(), result);
            }
        }
    }

    /// In place of the results of a node that cannot be lowered while exploring.
    fn stand_in(&mut self, node: &Node) -> Vec<Operand> {
        let operand = |n: &Option<TensorName>| n.as_ref().and_then(|n| self.values.get(n).cloned());
        let operands: Vec<_> = node.inputs.iter().map(operand).collect();
        solve::stand_in(&mut self.b, node, &operands).into_iter().collect()
    }

    /// Notes what a result's declared shape says of its extents.
    fn equate(&mut self, name: &str, result: &Operand) {
        let (Operand::Value(v), Some(declared)) = (result, self.hints.get(name)) else { return };
        let shape = self.b.shape(*v);
        let pairs = shape.dims().iter().zip(declared.dims()).filter(|(d, _)| d.fixed().is_none());
        if shape.rank() == declared.rank() {
            self.equations.extend(pairs.filter_map(|(d, n)| Some((d.clone(), n.fixed()?))));
        }
    }

    /// The node's results; fewer where an operand was refused before.
    fn lowered(&mut self, node: &'m Node) -> Result<Vec<Operand>> {
        let own = self.operators.iter().find(|o| o.name == custom::name_of(node));
        self.called.extend(own.map(|o| o.name.as_str()));
        // Asked for before its operands: what is not supported is reported even where they were refused.
        let known = if own.is_none() { Some(find(node)?) } else { None };
        let operands = node.inputs.iter().map(|n| n.as_ref().map(|n| self.operand(n)).transpose());
        let operands = operands.collect::<Result<Vec<_>>>()?;
        if operands.contains(&Some(Operand::Poisoned)) {
            return Ok(if self.lists.exploring { self.stand_in(node) } else { Vec::new() });
        }
        self.b.set_origin(&[node.origin().into()]);
        let operator = match (own, known) {
            (Some(own), _) => return self.call(own, node, operands),
            (None, Some(known)) => known,
            (None, None) => return Ok(Vec::new()),
        };
        if let Lowering::Control(control) = operator.lower {
            let mut operands = operands;
            for operand in operands.iter_mut().flatten() {
                if let Operand::Extents(e) = operand
                    && super::found::among(&self.b, &e.dims).is_some()
                    && let Some(v) = e.value(&mut self.b)?
                {
                    *operand = Operand::Value(v);
                }
            }
            return super::control::lower(self, control, node, operands);
        }
        self.applied(operator, node, operands)
    }

    /// The results of an operator. Where it asks for a value and is given extents, they become one.
    fn applied(
        &mut self,
        operator: &'static Operator,
        node: &'m Node,
        operands: Vec<Option<Operand>>,
    ) -> Result<Vec<Operand>> {
        let checks = self.checks.len();
        let error = match self.apply(operator, node, operands.clone()) {
            Err(error) if !self.lists.exploring => error,
            results => return results,
        };
        self.checks.truncate(checks);
        let mut values = operands.clone();
        for operand in values.iter_mut().flatten() {
            if let Operand::Extents(e) = operand
                && let Some(v) = e.value(&mut self.b)?
            {
                *operand = Operand::Value(v);
            }
        }
        if values == operands {
            return Err(error);
        }
        self.apply(operator, node, values).map_err(|_| {
            self.checks.truncate(checks);
            error
        })
    }

    fn apply(
        &mut self,
        operator: &'static Operator,
        node: &'m Node,
        operands: Vec<Option<Operand>>,
    ) -> Result<Vec<Operand>> {
        let mut ctx = self.ctx(node, operands);
        if ctx.version() < 6 {
            // A hint to the memory planners of 2017.
            ctx.attrs.ignore(&["consumed_inputs"]);
        }
        let results = if let Some(extents) = symbolic::lower(&mut ctx)? {
            extents
        } else if let Some(moved) = stored::lower(&mut ctx, operator)? {
            moved
        } else {
            match operator.lower {
                Lowering::Values(lower) => lower(&mut ctx)?.into_iter().map(Operand::Value).collect(),
                Lowering::Operands(lower) => lower(&mut ctx)?,
                Lowering::Control(_) => Vec::new(),
            }
        };
        ctx.attrs.finish()?;
        if let Some(i) = (results.len()..node.outputs.len()).find(|i| node.output(*i).is_some()) {
            return Err(Error::new(format!("output {i} of {} is not supported", node.op_type))
                .help("remove what reads it before exporting"));
        }
        Ok(results)
    }

    /// What the lowering of a node sees.
    fn ctx(&mut self, node: &'m Node, operands: Vec<Option<Operand>>) -> Ctx<'m, '_> {
        let declared = node.outputs.iter().map(|n| n.as_ref().and_then(|n| self.declared(n))).collect();
        let (b, checks, exploring) = (&mut self.b, &mut self.checks, self.lists.exploring);
        Ctx { b, node, attrs: node.attrs(), operands, checks, same: self.same, declared, exploring }
    }

    /// A node that the calling program computes.
    fn call(
        &mut self,
        operator: &'m UserOperator,
        node: &'m Node,
        operands: Vec<Option<Operand>>,
    ) -> Result<Vec<Operand>> {
        let results: Vec<_> = node.outputs.iter().map(|n| self.declared_type(n.as_ref()?)).collect();
        Ok(custom::lower(&mut self.ctx(node, operands), operator, &results)?
            .into_iter()
            .map(Operand::Value)
            .collect())
    }

    /// Reports operators of the program that no node is.
    fn uncalled(&mut self) {
        for operator in self.operators.iter().filter(|o| !self.called.contains(&*o.name)) {
            let mut there: Vec<String> = self.graph.nodes.iter().map(custom::name_of).collect();
            there.sort();
            there.dedup();
            self.errors.push(
                Error::new(format!("op(..) gives {:?}, but no node is that operator", operator.name))
                    .help(format!("the file has {}", there.join(", "))),
            );
        }
    }

    /// Makes the run fail where `holds`, a bool of rank 0, is false.
    pub(super) fn check(&mut self, holds: ValueId) {
        self.checks.push(holds);
    }

    /// Records a problem of the model.
    pub(super) fn refuse(&mut self, error: Error) {
        self.errors.push(error);
    }

    /// Whether this walk is for the equations between shapes alone.
    pub(super) fn exploring(&self) -> bool {
        self.lists.exploring
    }

    /// The rows that the file declares of a loop's scan outputs.
    pub(super) fn declared_rows(&self, node: &Node, states: usize) -> Option<i64> {
        let rows = |name: &TensorName| self.declared(name)?.dims().first()?.fixed();
        node.outputs.iter().skip(states).flatten().find_map(rows)
    }

    /// Lowers a graph of a node in place; `None` where it was refused, which is recorded.
    pub(super) fn body(
        &mut self,
        graph: &'m onnx::Graph,
        inputs: Vec<Operand>,
    ) -> Result<Option<Vec<Operand>>> {
        if graph.inputs.len() != inputs.len() {
            let (n, m) = (graph.inputs.len(), inputs.len());
            return Err(Error::new(format!("a body of {n} inputs is given {m}")));
        }
        for constant in &graph.initializers {
            self.constants.insert(&constant.name, &constant.tensor);
        }
        for (info, operand) in graph.inputs.iter().zip(inputs) {
            self.values.insert(info.name.clone(), operand);
        }
        let before = self.errors.len();
        for node in &graph.nodes {
            self.node(node);
            if self.errors.len() > before {
                return Ok(None);
            }
        }
        let outputs = graph.outputs.iter().map(|o| self.operand(&o.name)).collect::<Result<Vec<_>>>()?;
        Ok((self.lists.exploring || !outputs.contains(&Operand::Poisoned)).then_some(outputs))
    }

    /// The extents that the file declares of a tensor, where all are known.
    pub(super) fn declared(&self, name: &str) -> Option<Shape> {
        self.hints.get(name).cloned()
    }

    /// The type and the extents that the file declares of a tensor, where all are known.
    fn declared_type(&self, name: &TensorName) -> Option<(DType, Shape)> {
        let inside = self.graph.value_info.get(name);
        let ty = inside.or_else(|| self.graph.outputs.iter().find(|o| o.name == *name).map(|o| &o.ty))?;
        let onnx::ValueType::Tensor(tensor) = ty else { return None };
        Some((tensor.element?.dtype().ok()?, self.declared(name)?))
    }

    /// An output of the model; of a sequence, each of its tensors is one.
    fn output(&mut self, name: &TensorName, declared: &onnx::ValueType, operand: Operand) {
        let refused = |problem: &str| Error::new(problem).at_tensor(&**name);
        match operand {
            Operand::Value(v) | Operand::Stored(v, _) => {
                let info = onnx::ValueInfo { name: name.clone(), ty: declared.clone() };
                self.errors.keep(check_output(&self.b, &info, &operand));
                self.b.output(name, v);
            }
            Operand::Sequence(elements) => {
                let of = match declared {
                    onnx::ValueType::Optional(of) => of,
                    of => of,
                };
                let undeclared = onnx::ValueType::Undeclared;
                let of = if let onnx::ValueType::Sequence(of) = of { of } else { &undeclared };
                for (i, element) in elements.into_iter().enumerate() {
                    self.output(&format!("{name}.{i}").into(), of, element);
                }
            }
            Operand::Extents(e) => {
                let value = e.value(&mut self.b).map_err(Error::from);
                match self.errors.keep(value) {
                    Some(Some(v)) => self.output(name, declared, Operand::Value(v)),
                    Some(None) => self.errors.push(e.refused_in(&self.b).at_tensor(&**name)),
                    None => {}
                }
            }
            Operand::Nothing => self.errors.push(refused("the output is an optional without an element")),
            Operand::Poisoned => {}
        }
    }

    /// Whether all checks so far hold, which are forgotten then; nothing where there are none.
    pub(super) fn every_check(&mut self) -> Result<Option<ValueId>> {
        let mut all: Option<ValueId> = None;
        for holds in std::mem::take(&mut self.checks) {
            match self.b.constant(holds).map(|t| t.get(0).bits != 0) {
                Some(true) => continue,
                Some(false) => {
                    return Err(Error::misfit("an operand disagrees with the shapes that the file declares"));
                }
                None => {}
            }
            all = Some(match all {
                None => holds,
                Some(so_far) => self.b.binary(sofie_infer_runtime::map::Binary::And, so_far, holds)?,
            });
        }
        Ok(all)
    }

    /// What the checks come to: an output of its own, which is no output of the model.
    fn checks(&mut self) -> Result<()> {
        if let Some(all) = self.every_check()? {
            self.b.output(ir::CHECK, all);
        }
        Ok(())
    }

    fn outputs(&mut self) {
        for info in &self.graph.outputs {
            let operand = self.operand(&info.name);
            if let Some(operand) = self.errors.keep(operand) {
                self.output(&info.name, &info.ty, operand);
            }
        }
        let checks = self.checks();
        self.errors.keep(checks);
        if self.b.graph().outputs().is_empty() && self.errors.is_empty() {
            self.errors.push(Error::new("the graph has no outputs"));
        }
    }
}

/// The constant in the graph's own form.
pub(super) fn dense(tensor: &onnx::Tensor) -> Result<ir::Tensor> {
    let dtype = tensor.dtype()?;
    let dims: Option<Vec<usize>> = tensor.dims().iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.and_then(|dims| ir::Tensor::from_bytes(dtype, dims, tensor.bytes()))
        .ok_or_else(|| Error::new(format!("dimensions {:?} do not fit the data", tensor.dims())))
}
