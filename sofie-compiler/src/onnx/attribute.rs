//! Attributes of a node, and the reader that operators take them through. The reader remembers what
//! was asked for: an attribute that nobody read would silently change what the network computes.

use std::cell::RefCell;
use std::collections::BTreeSet;

use prost::bytes::Bytes;

use super::model::{Graph, Node, ValueType};
use super::tensor::Tensor;
use crate::error::{Error, Result};

/// The value of an attribute, in ONNX's kinds.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// `FLOAT`.
    Float(f32),
    /// `INT`.
    Int(i64),
    /// `STRING`, not always UTF-8.
    String(Bytes),
    /// `TENSOR`.
    Tensor(Tensor),
    /// `GRAPH`.
    Graph(Box<Graph>),
    /// `SPARSE_TENSOR`, made dense.
    SparseTensor(Tensor),
    /// `TYPE_PROTO`.
    Type(ValueType),
    /// `FLOATS`.
    Floats(Vec<f32>),
    /// `INTS`.
    Ints(Vec<i64>),
    /// `STRINGS`.
    Strings(Vec<Bytes>),
    /// `TENSORS`.
    Tensors(Vec<Tensor>),
    /// `GRAPHS`.
    Graphs(Vec<Graph>),
    /// `SPARSE_TENSORS`, made dense.
    SparseTensors(Vec<Tensor>),
    /// `TYPE_PROTOS`.
    Types(Vec<ValueType>),
}

impl Attribute {
    /// The kind as messages name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Attribute::Float(_) => "a float",
            Attribute::Int(_) => "an int",
            Attribute::String(_) => "a string",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Graph(_) => "a graph",
            Attribute::SparseTensor(_) => "a sparse tensor",
            Attribute::Type(_) => "a type",
            Attribute::Floats(_) => "floats",
            Attribute::Ints(_) => "ints",
            Attribute::Strings(_) => "strings",
            Attribute::Tensors(_) => "tensors",
            Attribute::Graphs(_) => "graphs",
            Attribute::SparseTensors(_) => "sparse tensors",
            Attribute::Types(_) => "types",
        }
    }

    /// The graphs that the attribute holds.
    pub fn graphs(&self) -> &[Graph] {
        match self {
            Attribute::Graph(graph) => std::slice::from_ref(graph),
            Attribute::Graphs(graphs) => graphs,
            _ => &[],
        }
    }
}

/// Reads the attributes of a node and remembers which. Every error names the node.
///
/// ```
/// # use sofie_infer_compiler::{error::Result, onnx::Node};
/// fn lower(node: &Node) -> Result<(i64, f32)> {
///     let attrs = node.attrs();
///     let axis = attrs.int_or("axis", -1)?;
///     let epsilon = attrs.float_or("epsilon", 1e-5)?;
///     attrs.finish()?; // an attribute that was not read is an error
///     Ok((axis, epsilon))
/// }
/// ```
#[derive(Debug)]
pub struct Attrs<'n> {
    node: &'n Node,
    read: RefCell<BTreeSet<&'n str>>,
}

/// The readers of one kind each.
macro_rules! readers {
    ($($(#[$doc:meta])* $name:ident: $variant:ident => $t:ty, $kind:literal, $value:ident => $out:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The attribute is of another kind.
        pub fn $name(&self, name: &str) -> Result<Option<$t>> {
            match self.get(name) {
                None => Ok(None),
                Some(Attribute::$variant($value)) => Ok(Some($out)),
                Some(other) => Err(self.wrong(name, $kind, other)),
            }
        }
    )*};
}

impl<'n> Attrs<'n> {
    /// A reader that has read nothing.
    pub(super) fn new(node: &'n Node) -> Self {
        Attrs { node, read: RefCell::default() }
    }

    /// The attribute of any kind, now read.
    pub fn get(&self, name: &str) -> Option<&'n Attribute> {
        let (name, attribute) = self.node.attributes.get_key_value(name)?;
        self.read.borrow_mut().insert(name);
        Some(attribute)
    }

    /// All of them, sorted by name; from now on they count as read.
    pub fn all(&self) -> impl Iterator<Item = (&'n str, &'n Attribute)> + '_ {
        self.node.attributes.iter().map(|(name, attribute)| {
            self.read.borrow_mut().insert(name);
            (name.as_str(), attribute)
        })
    }

    /// Whether the attribute is there; does not count as reading it.
    pub fn has(&self, name: &str) -> bool {
        self.node.attributes.contains_key(name)
    }

    /// Marks attributes as known to have no influence on the result.
    pub fn ignore(&self, names: &[&str]) {
        for name in names {
            self.get(name);
        }
    }

    readers! {
        /// An integer.
        int: Int => i64, "an int", v => *v;
        /// A list of integers.
        ints: Ints => &'n [i64], "ints", v => v;
        /// A number.
        float: Float => f32, "a float", v => *v;
        /// A list of numbers.
        floats: Floats => &'n [f32], "floats", v => v;
        /// The bytes of a string that need not be UTF-8.
        byte_string: String => &'n [u8], "a string", v => v;
        /// The bytes of strings that need not be UTF-8.
        byte_strings: Strings => &'n [Bytes], "strings", v => v;
        /// A tensor.
        tensor: Tensor => &'n Tensor, "a tensor", v => v;
        /// A list of tensors.
        tensors: Tensors => &'n [Tensor], "tensors", v => v;
        /// A sparse tensor, made dense.
        sparse_tensor: SparseTensor => &'n Tensor, "a sparse tensor", v => v;
        /// A graph.
        graph: Graph => &'n Graph, "a graph", v => v;
        /// A list of graphs.
        graphs: Graphs => &'n [Graph], "graphs", v => v;
        /// A type.
        value_type: Type => &'n ValueType, "a type", v => v;
    }

    /// A string.
    ///
    /// # Errors
    /// The attribute is of another kind or not UTF-8.
    pub fn string(&self, name: &str) -> Result<Option<&'n str>> {
        self.byte_string(name)?.map(|bytes| self.utf8(name, bytes)).transpose()
    }

    /// A list of strings.
    ///
    /// # Errors
    /// The attribute is of another kind or not UTF-8.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<&'n str>>> {
        let Some(strings) = self.byte_strings(name)? else { return Ok(None) };
        strings.iter().map(|bytes| self.utf8(name, bytes)).collect::<Result<_>>().map(Some)
    }

    /// An integer, or the default.
    ///
    /// # Errors
    /// The attribute is of another kind.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// A number, or the default.
    ///
    /// # Errors
    /// The attribute is of another kind.
    pub fn float_or(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    /// A string, or the default.
    ///
    /// # Errors
    /// The attribute is of another kind or not UTF-8.
    pub fn string_or(&self, name: &str, default: &'n str) -> Result<&'n str> {
        Ok(self.string(name)?.unwrap_or(default))
    }

    /// An integer that is a truth value, or the default. As in ONNX Runtime, any number but 0 is true.
    ///
    /// # Errors
    /// The attribute is of another kind.
    pub fn flag_or(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name)?.map_or(default, |v| v != 0))
    }

    /// What a reader found, where the operator cannot do without: `attrs.require("axis", attrs.int("axis")?)`.
    ///
    /// # Errors
    /// It found nothing.
    pub fn require<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::new(format!("attribute {name:?} is missing")).at_node(self.node))
    }

    /// The attributes that nobody has read yet, sorted.
    pub fn unread(&self) -> Vec<&'n str> {
        let read = self.read.borrow();
        self.node.attributes.keys().map(String::as_str).filter(|name| !read.contains(name)).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// An attribute was not read: this version of the operator does not know it.
    pub fn finish(self) -> Result<()> {
        match self.unread().as_slice() {
            [] => Ok(()),
            [name] => Err(self.unknown(&format!("attribute {name:?} is"))),
            names => Err(self.unknown(&format!("attributes {names:?} are"))),
        }
    }

    fn unknown(&self, what: &str) -> Error {
        let Node { op_type, version, .. } = self.node;
        Error::new(format!("{what} not known for {op_type}-{version}"))
            .help("the exporter and the opset that the model imports disagree; export with another opset version")
            .at_node(self.node)
    }

    fn wrong(&self, name: &str, expected: &str, found: &Attribute) -> Error {
        Error::new(format!("attribute {name:?} should be {expected} but is {}", found.kind()))
            .at_node(self.node)
    }

    fn utf8(&self, name: &str, bytes: &'n [u8]) -> Result<&'n str> {
        std::str::from_utf8(bytes)
            .map_err(|_| Error::new(format!("attribute {name:?} is not UTF-8: {bytes:?}")).at_node(self.node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let attributes = [
            ("axis", Attribute::Int(-2)),
            ("alpha", Attribute::Float(0.5)),
            ("mode", Attribute::String(Bytes::from_static(b"linear"))),
            ("odd", Attribute::String(Bytes::from_static(b"\xff"))),
            ("pads", Attribute::Ints(vec![1, 2])),
        ];
        Node {
            index: 3,
            name: "n".into(),
            op_type: "Foo".into(),
            domain: String::new(),
            version: 13,
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
            scope: None,
        }
    }

    #[test]
    fn readers_check_the_kind() {
        let node = node();
        let attrs = node.attrs();
        assert_eq!(attrs.int("axis").unwrap(), Some(-2));
        assert_eq!(attrs.int("axes").unwrap(), None);
        assert_eq!(attrs.float_or("alpha", 1.0).unwrap(), 0.5);
        assert_eq!(attrs.float_or("beta", 1.0).unwrap(), 1.0);
        assert_eq!(attrs.string_or("mode", "cubic").unwrap(), "linear");
        assert_eq!(attrs.ints("pads").unwrap(), Some(&[1, 2][..]));
        assert!(attrs.flag_or("axis", false).unwrap() && !attrs.flag_or("keep", false).unwrap());
        assert_eq!(
            attrs.float("axis").unwrap_err().to_string(),
            "error: node #3 \"n\" (Foo-13): attribute \"axis\" should be a float but is an int"
        );
        assert!(attrs.string("odd").unwrap_err().problem.contains("UTF-8"));
        assert!(attrs.require("axes", attrs.ints("axes").unwrap()).is_err());
    }

    #[test]
    fn what_nobody_read_is_an_error() {
        let node = node();
        let attrs = node.attrs();
        assert!(attrs.int("axis").is_ok() && attrs.float("mode").is_err() && attrs.has("pads"));
        assert_eq!(attrs.unread(), ["alpha", "odd", "pads"]);
        attrs.ignore(&["odd", "absent"]);
        assert!(
            attrs.finish().unwrap_err().problem.contains("[\"alpha\", \"pads\"] are not known for Foo-13")
        );
        let attrs = node.attrs();
        attrs.ignore(&["axis", "alpha", "mode", "odd", "pads"]);
        attrs.finish().unwrap();
    }
}
