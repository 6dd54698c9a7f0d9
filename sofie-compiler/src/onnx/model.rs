//! What the front end hands on: a model whose names are resolved, functions inlined and nodes in order.
//! Every tensor name is defined once in the whole model, subgraphs included, before it is used.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use sofie_infer_runtime::DType;

use super::attribute::{Attribute, Attrs};
use super::element::ElementType;
use super::tensor::Tensor;
use crate::error::{Error, NodePlace, Result};

/// The name of a tensor; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorName(Arc<str>);

impl From<&str> for TensorName {
    fn from(name: &str) -> Self {
        TensorName(name.into())
    }
}

impl From<String> for TensorName {
    fn from(name: String) -> Self {
        TensorName(name.into())
    }
}

impl Deref for TensorName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TensorName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A trained network, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The program that wrote the file and its version, as far as it says so.
    pub producer: String,
    /// The version of the file format, 3 to 14.
    pub ir_version: i64,
    /// The operator sets that the model imports.
    pub opsets: Opsets,
    /// The network.
    pub graph: Graph,
    /// Free text about the model; often empty.
    pub doc: String,
    /// What the author wrote beside the network: class names, normalisation, training runs.
    pub metadata: BTreeMap<String, String>,
    /// Every file that was read: the model and its external data.
    pub files: Vec<PathBuf>,
}

/// The operator sets that a model or a function imports: domain to version; "" is `ai.onnx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opsets(pub(super) BTreeMap<String, i64>);

impl Opsets {
    /// The version of a domain; `None` where it is not imported. `ai.onnx` is another name of "".
    pub fn version(&self, domain: &str) -> Option<i64> {
        self.0.get(canonical(domain)).copied()
    }

    /// Domains and versions, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(domain, version)| (domain.as_str(), *version))
    }
}

/// The one spelling of a domain.
pub(super) fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A network, or the body of an `If`, `Loop` or `Scan`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The name in the file; it says nothing.
    pub name: String,
    /// What the caller gives, in order; without those that an initialiser makes constants.
    pub inputs: Vec<ValueInfo>,
    /// What the caller gets, in order. A subgraph may hand out a tensor of an outer graph.
    pub outputs: Vec<ValueInfo>,
    /// Constants, in the order of the file.
    pub initializers: Vec<Initializer>,
    /// The types and shapes that the exporter wrote down for tensors inside; hints.
    pub value_info: HashMap<TensorName, ValueType>,
    /// Nodes, each after those whose outputs it reads.
    pub nodes: Vec<Node>,
}

/// A named constant of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Initializer {
    /// The name that nodes read it by.
    pub name: TensorName,
    /// The constant.
    pub tensor: Tensor,
}

/// A name with its declared type.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    /// The name that nodes know it by.
    pub name: TensorName,
    /// The declared type.
    pub ty: ValueType,
}

/// What a declared value is.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueType {
    /// A tensor.
    Tensor(TensorType),
    /// A sparse tensor.
    SparseTensor(TensorType),
    /// A list of values.
    Sequence(Box<ValueType>),
    /// A map from a key type to values.
    Map(ElementType, Box<ValueType>),
    /// A value or nothing.
    Optional(Box<ValueType>),
    /// A type that only `domain` knows.
    Opaque {
        /// The domain that defines the type.
        domain: String,
        /// The name of the type there.
        name: String,
    },
    /// Nothing is declared.
    Undeclared,
}

/// Element type and shape of a declared tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// The element type; `None` where it is not declared.
    pub element: Option<ElementType>,
    /// The shape; `None` where not even the rank is declared.
    pub shape: Option<Vec<DimSpec>>,
}

/// One dimension of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DimSpec {
    /// A number, possibly 0.
    Const(u64),
    /// A name; equal names are equal extents.
    Symbol(String),
    /// Anything.
    Unknown,
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The position among the nodes of its graph or function, as in the file.
    pub index: usize,
    /// The name in the file; often empty, and not always unique.
    pub name: String,
    /// The operator.
    pub op_type: String,
    /// The operator's domain; "" is `ai.onnx`.
    pub domain: String,
    /// The version of the domain that the model, or the function the node came from, imports.
    pub version: i64,
    /// Operands, `None` where an optional one is left out; the last one is there.
    pub inputs: Vec<Option<TensorName>>,
    /// Results, `None` where an optional one is left out; the last one is there.
    pub outputs: Vec<Option<TensorName>>,
    /// Attributes by name; read them through [`Node::attrs`].
    pub attributes: BTreeMap<String, Attribute>,
    /// The subgraph or function that the node stands in, in words; `None` is the model's own graph.
    pub scope: Option<Arc<str>>,
}

impl Graph {
    /// The constant of that name.
    pub fn initializer(&self, name: &str) -> Option<&Tensor> {
        self.initializers.iter().find(|i| &*i.name == name).map(|i| &i.tensor)
    }
}

impl Node {
    /// The operand at `i`; `None` where it is left out.
    pub fn input(&self, i: usize) -> Option<&TensorName> {
        self.inputs.get(i)?.as_ref()
    }

    /// The operand at `i`.
    ///
    /// # Errors
    /// It is left out; `what` is its name in the operator's specification.
    pub fn require_input(&self, i: usize, what: &str) -> Result<&TensorName> {
        self.input(i).ok_or_else(|| Error::new(format!("input {i} ({what}) is missing")).at_node(self))
    }

    /// The result at `i`; `None` where nobody wants it.
    pub fn output(&self, i: usize) -> Option<&TensorName> {
        self.outputs.get(i)?.as_ref()
    }

    /// A reader of the attributes that knows which ones were asked for.
    pub fn attrs(&self) -> Attrs<'_> {
        Attrs::new(self)
    }

    /// The name under which the compiler's graphs and plans remember the node: `Type_name`, or `Type_index`.
    pub fn origin(&self) -> String {
        match self.name.as_str() {
            "" => format!("{}_{}", self.op_type, self.index),
            name => format!("{}_{name}", self.op_type),
        }
    }

    /// Where the node is, for messages.
    pub fn place(&self) -> NodePlace {
        NodePlace {
            index: self.index,
            name: self.name.clone(),
            op: self.op_type.clone(),
            domain: self.domain.clone(),
            version: Some(self.version),
            scope: self.scope.as_deref().map(str::to_owned),
        }
    }
}

impl From<&Node> for NodePlace {
    fn from(node: &Node) -> Self {
        node.place()
    }
}

impl ValueInfo {
    /// How a tensor's elements are stored, where nothing is computed in their type.
    pub fn storage(&self) -> Option<sofie_infer_runtime::Storage> {
        match &self.ty {
            ValueType::Tensor(t) => t.element?.storage(),
            _ => None,
        }
    }

    /// Element type and shape of a dense tensor whose type is declared; of one that is only stored, the type of the
    /// bytes that hold its elements.
    ///
    /// # Errors
    /// It is no tensor, or of an element type that nothing is computed or stored in; the message names it.
    pub fn tensor(&self) -> Result<(DType, Option<&[DimSpec]>)> {
        let wrong = match &self.ty {
            ValueType::Tensor(TensorType { element: Some(element), shape }) => {
                return match element.held() {
                    Ok(dtype) => Ok((dtype, shape.as_deref())),
                    Err(error) => Err(error.at_tensor(&*self.name)),
                };
            }
            ValueType::Tensor(_) | ValueType::Undeclared => "the element type is not declared".to_owned(),
            other => format!("a {other} is not supported; only tensors are"),
        };
        Err(Error::new(wrong).at_tensor(&*self.name))
    }
}

impl fmt::Display for DimSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DimSpec::Const(n) => n.fmt(f),
            DimSpec::Symbol(name) => f.write_str(name),
            DimSpec::Unknown => f.write_str("?"),
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Some(element) => element.fmt(f)?,
            None => f.write_str("?")?,
        }
        match &self.shape {
            Some(shape) => {
                write!(f, "[{}]", shape.iter().map(DimSpec::to_string).collect::<Vec<_>>().join(", "))
            }
            None => f.write_str("[..]"),
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueType::Tensor(tensor) => tensor.fmt(f),
            ValueType::SparseTensor(tensor) => write!(f, "sparse tensor {tensor}"),
            ValueType::Sequence(element) => write!(f, "sequence of {element}"),
            ValueType::Map(key, value) => write!(f, "map from {key} to {value}"),
            ValueType::Optional(value) => write!(f, "optional {value}"),
            ValueType::Opaque { domain, name } => write!(f, "opaque {domain}.{name}"),
            ValueType::Undeclared => f.write_str("value of no declared type"),
        }
    }
}
