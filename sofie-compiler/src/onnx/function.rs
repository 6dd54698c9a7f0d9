//! Model-local functions (`ModelProto.functions`): a call is replaced by the function's nodes under
//! fresh names, with the call's operands and attributes in place of the function's own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::convert::{Argument, Call, Converter, Frame};
use super::limits::check_depth;
use super::model::{Node, Opsets, TensorName, canonical};
use super::names::Scope;
use super::opsets::opsets;
use super::proto::{FunctionProto, NodeProto};
use crate::error::{Error, NodePlace, Result};

/// What a function is known by: domain, name, overload.
pub(super) type Key<'p> = (&'p str, &'p str, &'p str);

/// A function with the operator sets that its nodes are of.
pub(super) struct Function<'p> {
    proto: &'p FunctionProto,
    opsets: Opsets,
}

/// The functions of a model.
pub(super) struct Functions<'p>(HashMap<Key<'p>, Arc<Function<'p>>>);

impl<'p> Functions<'p> {
    /// Indexes the functions; a domain that one does not import is as the model imports it.
    ///
    /// # Errors
    /// Two functions have one name, or a function imports unknown versions.
    pub(super) fn new(protos: &'p [FunctionProto], model: &Opsets) -> Result<Self> {
        let mut functions = HashMap::new();
        for proto in protos {
            let key = (canonical(proto.domain()), proto.name(), proto.overload());
            let in_function = |mut error: Error| {
                error.problem = format!("function {}: {}", shown(key), error.problem);
                error
            };
            let mut imports = opsets(&proto.opset_import).map_err(in_function)?;
            for (domain, version) in model.iter() {
                imports.0.entry(domain.to_owned()).or_insert(version);
            }
            if functions.insert(key, Arc::new(Function { proto, opsets: imports })).is_some() {
                return Err(in_function(Error::new("it is there twice")));
            }
        }
        Ok(Functions(functions))
    }

    /// The function that a node calls. One that has the name of an operator takes its place.
    pub(super) fn get<'a>(&self, node: &'a NodeProto) -> Option<(Key<'a>, Arc<Function<'p>>)> {
        if self.0.is_empty() {
            return None;
        }
        let key = (canonical(node.domain()), node.op_type(), node.overload());
        self.0.get(&key).map(|function| (key, function.clone()))
    }
}

/// The operands and results of a call.
type Operands<'a> = (&'a [Option<TensorName>], &'a [Option<TensorName>]);

impl<'p> Converter<'p> {
    /// Appends the nodes of a function in place of a call of it.
    #[expect(clippy::too_many_arguments, reason = "a call is its function, its node, and where both stand")]
    pub(super) fn inline<'a>(
        &mut self,
        key: Key<'a>,
        function: Arc<Function<'p>>,
        node: &NodePlace,
        proto: &'a NodeProto,
        (inputs, outputs): Operands<'_>,
        frame: Frame<'a>,
        around: &'a Scope<'a>,
        out: &mut Vec<Node>,
    ) -> Result<()>
    where
        'p: 'a,
    {
        check_depth(frame)?;
        let mut outer = frame.call;
        while let Some(call) = outer {
            if call.function == key {
                return Err(Error::new(format!("the function {} calls itself", shown(key))));
            }
            outer = call.outer;
        }
        let body = function.proto;
        for (what, given, taken) in
            [("inputs", inputs.len(), body.input.len()), ("outputs", outputs.len(), body.output.len())]
        {
            if given > taken {
                return Err(Error::new(format!("{given} {what} are given to a function that has {taken}")));
            }
        }
        let attributes = arguments(body, &function.opsets, proto, frame, around)?;
        let place = Arc::from(format!("function {}, called by {node}", shown(key)));
        let base = if proto.name().is_empty() { proto.op_type() } else { proto.name() };
        let call = Call {
            function: key,
            prefix: frame.call.map_or(base.to_owned(), |call| format!("{}/{base}", call.prefix)),
            attributes,
            outer: frame.call,
        };
        let inner = Frame {
            opsets: &function.opsets,
            call: Some(&call),
            place: Some(&place),
            depth: frame.depth + 1,
        };

        let mut scope = Scope::default();
        for (i, formal) in body.input.iter().enumerate() {
            if !scope.define(formal, inputs.get(i).cloned().flatten()) {
                return Err(twice(formal));
            }
        }
        let mut passed_on = Vec::new();
        let mut promised = HashSet::new();
        for (i, formal) in body.output.iter().enumerate() {
            let actual = outputs.get(i).cloned().flatten();
            match (scope.here(formal), actual) {
                _ if promised.contains(formal.as_str()) => return Err(twice(formal)),
                (Some(input), Some(actual)) => passed_on.push((formal, input.clone(), actual)),
                (Some(_), None) => {}
                (None, Some(actual)) => {
                    scope.define(formal, Some(actual));
                    promised.insert(formal.as_str());
                }
                (None, None) => {
                    self.define(formal, &mut scope, inner);
                    promised.insert(formal.as_str());
                }
            }
        }
        for output in body.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()) {
            if promised.remove(output.as_str()) {
                continue;
            }
            if scope.here(output).is_some() {
                return Err(twice(output));
            }
            self.define(output, &mut scope, inner);
        }
        if let Some(formal) = promised.into_iter().min() {
            return Err(Error::new(format!("no node of the function computes its output {formal:?}")));
        }
        let nodes = self.body(&body.node, inner, &scope);
        out.extend(nodes);
        for (formal, input, actual) in passed_on {
            let Some(input) = input else {
                return Err(Error::new(format!(
                    "the function hands on its input {formal:?}, which is left out"
                )));
            };
            let Some(version) = function.opsets.version("") else {
                return Err(Error::new("the model imports no opset of ai.onnx"));
            };
            out.push(Node {
                index: node.index,
                name: node.name.clone(),
                op_type: "Identity".to_owned(),
                domain: String::new(),
                version,
                inputs: vec![Some(input)],
                outputs: vec![Some(actual)],
                attributes: Default::default(),
                scope: Some(place.clone()),
            });
        }
        Ok(())
    }
}

/// The attributes that a call passes and, for the others, the function's defaults.
fn arguments<'a>(
    function: &'a FunctionProto,
    opsets: &'a Opsets,
    call: &'a NodeProto,
    frame: Frame<'a>,
    scope: &'a Scope<'a>,
) -> Result<HashMap<&'a str, Argument<'a>>> {
    let mut arguments = HashMap::new();
    for proto in &call.attribute {
        let name = proto.name();
        let declared = function.attribute.iter().any(|a| a == name)
            || function.attribute_proto.iter().any(|a| a.name() == name);
        if !declared {
            return Err(Error::new(format!("the function has no attribute {name:?}")));
        }
        if arguments.insert(name, Argument { proto, frame, scope }).is_some() {
            return Err(Error::new(format!("attribute {name:?} is there twice")));
        }
    }
    let frame = Frame { opsets, ..frame };
    for proto in &function.attribute_proto {
        arguments.entry(proto.name()).or_insert(Argument { proto, frame, scope });
    }
    Ok(arguments)
}

fn twice(name: &str) -> Error {
    Error::new("the function defines the tensor twice").at_tensor(name)
}

/// A function as messages name it.
fn shown((domain, name, _): Key<'_>) -> String {
    if domain.is_empty() { name.to_owned() } else { format!("{domain}.{name}") }
}
