//! `ModelProto` → [`Model`]: names resolved, attributes and tensors decoded, problems collected.
//! Subgraphs recurse through here; calls of model-local functions go through `function.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::external::ExternalData;
use super::function::Functions;
use super::limits::{MAX_EXPANDED, node_weight, weight};
use super::model::{Graph, Initializer, Model, Node, Opsets, TensorName, ValueInfo, ValueType, canonical};
use super::names::{Names, Scope};
use super::opsets::{check_ir_version, opsets};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, ValueInfoProto,
};
use super::sort::sort;
use super::tensor_decode::TensorDecoder;
use super::value_type::value_type;
use crate::error::{Error, Errors, NodePlace, Result};

/// How many problems are collected before the rest of the file is no longer worth reading.
const MAX_ERRORS: usize = 1000;

/// The state of reading one model.
pub(super) struct Converter<'p> {
    pub(super) functions: Functions<'p>,
    pub(super) names: Names,
    pub(super) tensors: TensorDecoder<'p>,
    errors: Errors,
    /// What has been counted against [`MAX_EXPANDED`].
    expanded: usize,
}

/// What is the same for all nodes of a graph or a function body.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The operator sets that the nodes are of.
    pub(super) opsets: &'a Opsets,
    /// The call that the nodes are inlined for; `None` outside functions.
    pub(super) call: Option<&'a Call<'a>>,
    /// The subgraph or function in words; `None` is the model's own graph.
    pub(super) place: Option<&'a Arc<str>>,
    /// Subgraphs and calls around the nodes.
    pub(super) depth: usize,
}

/// A call of a function.
pub(super) struct Call<'a> {
    /// The function.
    pub(super) function: super::function::Key<'a>,
    /// What the names of its tensors and nodes begin with.
    pub(super) prefix: String,
    /// The values of its attributes, to be decoded where they were written: a graph among them
    /// knows the names there.
    pub(super) attributes: HashMap<&'a str, Argument<'a>>,
    /// The call around this one.
    pub(super) outer: Option<&'a Call<'a>>,
}

/// An attribute that a call passes, and where it was written.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    pub(super) proto: &'a AttributeProto,
    pub(super) frame: Frame<'a>,
    pub(super) scope: &'a Scope<'a>,
}

/// Reads a decoded model.
pub(super) fn model(proto: &ModelProto, external: &dyn ExternalData) -> Result<Model, Errors> {
    check_ir_version(proto.ir_version())?;
    let opsets = opsets(&proto.opset_import)?;
    let mut converter = Converter {
        functions: Functions::new(&proto.functions, &opsets)?,
        names: Names::default(),
        tensors: TensorDecoder::new(external),
        errors: Errors::new(),
        expanded: 0,
    };
    let frame = Frame { opsets: &opsets, call: None, place: None, depth: 0 };
    let empty = GraphProto::default();
    let graph = converter.graph(proto.graph.as_ref().unwrap_or(&empty), frame, None);
    let mut seen = HashSet::new();
    for output in &graph.outputs {
        if !seen.insert(&output.name) {
            converter.fail(Error::new("the graph lists the output twice").at_tensor(&*output.name));
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let producer = format!("{} {}", text(proto.producer_name()), text(proto.producer_version()));
    let metadata = |e: &StringStringEntryProto| (e.key().to_owned(), e.value().to_owned());
    let model = Model {
        producer: producer.trim().to_owned(),
        ir_version: proto.ir_version(),
        graph,
        doc: text(proto.doc_string()),
        metadata: proto.metadata_props.iter().map(metadata).collect(),
        files: external.files(),
        opsets: opsets.clone(),
    };
    converter.errors.into_result(model)
}

impl<'p> Converter<'p> {
    /// Keeps a problem.
    pub(super) fn fail(&mut self, error: Error) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    /// Keeps a result's problem and gives its value.
    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(error)).ok()
    }

    /// Counts bytes that do not stand in the model's own graph; says whether there is room for them.
    pub(super) fn room_for(&mut self, bytes: usize, frame: Frame<'_>) -> bool {
        let before = self.expanded;
        self.expanded = before.saturating_add(if frame.depth == 0 { 0 } else { bytes });
        if before <= MAX_EXPANDED && self.expanded > MAX_EXPANDED {
            self.fail(
                Error::new(format!("functions and subgraphs expand to more than {} MiB", MAX_EXPANDED >> 20))
                    .help("simplify the model before exporting it, for example with `onnxslim`"),
            );
        }
        self.expanded <= MAX_EXPANDED
    }

    /// Reads a graph whose names may be those of `outer`.
    pub(super) fn graph<'a>(
        &mut self,
        proto: &'a GraphProto,
        frame: Frame<'a>,
        outer: Option<&'a Scope<'a>>,
    ) -> Graph
    where
        'p: 'a,
    {
        let values = proto.input.iter().chain(&proto.output).chain(&proto.value_info);
        let names = values.map(|v| v.name()).chain(proto.initializer.iter().map(|t| t.name()));
        let weight = names.map(|name| weight(name, frame)).sum();
        if !self.room_for(weight, frame) {
            return Graph::default();
        }
        let mut graph = Graph { name: proto.name().to_owned(), ..Graph::default() };
        let mut scope = Scope::inside(outer);

        for tensor in &proto.initializer {
            let Some(name) = self.initializer(tensor.name(), &mut scope, frame) else { continue };
            let tensor = self.tensors.tensor(tensor).map_err(|e| scoped(e, frame));
            graph.initializers.extend(self.keep(tensor).map(|tensor| Initializer { name, tensor }));
        }
        for sparse in &proto.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            let Some(name) = self.initializer(name, &mut scope, frame) else { continue };
            let tensor = self.tensors.sparse(sparse).map_err(|e| scoped(e, frame));
            graph.initializers.extend(self.keep(tensor).map(|tensor| Initializer { name, tensor }));
        }
        let mut inputs = HashSet::new();
        for input in &proto.input {
            let constant = scope.here(input.name()).is_some();
            if !inputs.insert(input.name()) {
                self.fail(scoped(Error::new("the input is there twice").at_tensor(input.name()), frame));
            } else if input.name().is_empty() {
                self.fail(scoped(Error::new("an input has no name"), frame));
            } else if !constant {
                let name = self.define(input.name(), &mut scope, frame);
                let ty = self.value_type(input, frame);
                graph.inputs.push(ValueInfo { name, ty });
            }
        }
        self.define_outputs(&proto.node, &mut scope, frame);

        graph.nodes = self.body(&proto.node, frame, &scope);
        for output in &proto.output {
            match scope.lookup(output.name()) {
                Some(Some(name)) => {
                    let ty = self.value_type(output, frame);
                    graph.outputs.push(ValueInfo { name: name.clone(), ty });
                }
                _ => self
                    .fail(scoped(Error::new("no node computes the output").at_tensor(output.name()), frame)),
            }
        }
        for info in &proto.value_info {
            if let Some(Some(name)) = scope.here(info.name()) {
                let ty = self.value_type(info, frame);
                graph.value_info.insert(name.clone(), ty);
            }
        }
        match sort(std::mem::take(&mut graph.nodes)) {
            Ok(nodes) => graph.nodes = nodes,
            Err(error) => self.fail(error),
        }
        graph
    }

    /// Defines the name of an initialiser.
    fn initializer<'a>(
        &mut self,
        name: &'a str,
        scope: &mut Scope<'a>,
        frame: Frame<'_>,
    ) -> Option<TensorName> {
        if name.is_empty() {
            self.fail(scoped(Error::new("an initializer has no name"), frame));
            return None;
        }
        if scope.here(name).is_some() {
            self.fail(scoped(Error::new("the initializer is there twice").at_tensor(name), frame));
            return None;
        }
        Some(self.define(name, scope, frame))
    }

    /// Gives a name of the file, which has no meaning in `scope` yet, a tensor name of its own.
    pub(super) fn define<'a>(
        &mut self,
        name: &'a str,
        scope: &mut Scope<'a>,
        frame: Frame<'_>,
    ) -> TensorName {
        let fresh = match frame.call {
            Some(call) => self.names.fresh(&format!("{}/{name}", call.prefix)),
            None => self.names.fresh(name),
        };
        scope.define(name, Some(fresh.clone()));
        fresh
    }

    /// Defines the outputs of all nodes of a graph.
    fn define_outputs<'a>(&mut self, nodes: &'a [NodeProto], scope: &mut Scope<'a>, frame: Frame<'_>) {
        for (index, node) in nodes.iter().enumerate() {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                if scope.here(output).is_some() {
                    let error = Error::new("the tensor is defined twice").at_tensor(output.as_str());
                    self.fail(error.at_node(place(index, node, frame)));
                } else {
                    self.define(output, scope, frame);
                }
            }
        }
    }

    /// Reads nodes whose outputs are defined in `scope`.
    pub(super) fn body<'a>(
        &mut self,
        nodes: &'a [NodeProto],
        frame: Frame<'a>,
        scope: &'a Scope<'a>,
    ) -> Vec<Node>
    where
        'p: 'a,
    {
        let mut out = Vec::new();
        for (index, proto) in nodes.iter().enumerate() {
            if !self.room_for(node_weight(proto, frame), frame) || self.errors.len() >= MAX_ERRORS {
                break;
            }
            let place = place(index, proto, frame);
            if let Err(error) = self.node(index, proto, frame, scope, &mut out) {
                self.fail(error.at_node(place));
            }
        }
        out
    }

    fn node<'a>(
        &mut self,
        index: usize,
        proto: &'a NodeProto,
        frame: Frame<'a>,
        scope: &'a Scope<'a>,
        out: &mut Vec<Node>,
    ) -> Result<()>
    where
        'p: 'a,
    {
        let resolve = |name: &'a String| match name.as_str() {
            "" => Ok(None),
            name => scope.lookup(name).cloned().ok_or_else(|| {
                Error::new("no input, initializer or node of this name is in scope")
                    .at_tensor(name)
                    .at_node(place(index, proto, frame))
            }),
        };
        let resolve_all = |names: &'a [String]| {
            let mut names = names.iter().map(resolve).collect::<Result<Vec<_>>>()?;
            while names.last().is_some_and(Option::is_none) {
                names.pop();
            }
            Ok::<_, Error>(names)
        };
        let (inputs, outputs) = (resolve_all(&proto.input)?, resolve_all(&proto.output)?);
        if let Some((key, function)) = self.functions.get(proto) {
            let place = place(index, proto, frame);
            return self.inline(key, function, &place, proto, (&inputs, &outputs), frame, scope, out);
        }
        if proto.op_type().is_empty() {
            return Err(Error::new("the node names no operator").help("the file is damaged"));
        }
        let domain = canonical(proto.domain());
        let Some(version) = frame.opsets.version(domain) else {
            let shown = if domain.is_empty() { "ai.onnx" } else { domain };
            return Err(Error::new(format!("the model imports no opset of the operator's domain {shown}"))
                .help("export the model again, or add the domain to its opset_import"));
        };
        let name = match (frame.call, proto.name()) {
            (Some(call), "") => format!("{}/{}", call.prefix, proto.op_type()),
            (Some(call), name) => format!("{}/{name}", call.prefix),
            (None, name) => name.to_owned(),
        };
        let mut node = Node {
            index,
            name,
            op_type: proto.op_type().to_owned(),
            domain: domain.to_owned(),
            version,
            inputs,
            outputs,
            attributes: BTreeMap::new(),
            scope: frame.place.cloned(),
        };
        for attribute in &proto.attribute {
            let name = attribute.name();
            let Some(value) = self.attribute(attribute, frame, scope, &node.place())? else { continue };
            if node.attributes.insert(name.to_owned(), value).is_some() {
                return Err(Error::new(format!("attribute {name:?} is there twice")));
            }
        }
        out.push(node);
        Ok(())
    }

    /// The declared type of an input, output or inner tensor.
    fn value_type(&mut self, info: &ValueInfoProto, frame: Frame<'_>) -> ValueType {
        let ty = value_type(info.r#type.as_ref()).map_err(|e| scoped(e.at_tensor(info.name()), frame));
        self.keep(ty).unwrap_or(ValueType::Undeclared)
    }
}

/// Where a node of the file is.
pub(super) fn place(index: usize, proto: &NodeProto, frame: Frame<'_>) -> NodePlace {
    NodePlace {
        index,
        name: proto.name().to_owned(),
        op: proto.op_type().to_owned(),
        domain: canonical(proto.domain()).to_owned(),
        version: frame.opsets.version(proto.domain()),
        scope: frame.place.map(|place| place.to_string()),
    }
}

/// Says in which subgraph or function a problem is that no node has.
fn scoped(mut error: Error, frame: Frame<'_>) -> Error {
    if let Some(place) = frame.place {
        error.problem = format!("in {place}: {}", error.problem);
    }
    error
}
