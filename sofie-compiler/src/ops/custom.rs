//! A user's own operators: nodes of any domain that become a call of a Rust function. What they give is what the macro's
//! rule says of it, or what the file declares; it is never guessed.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Attribute, Custom, Dim, Op, Shape, ValueId};
use crate::onnx;
use sofie_infer_runtime::DType;
use std::collections::BTreeMap;
use std::fmt;

/// An operator that the calling program computes.
#[derive(Clone, Debug, PartialEq)]
pub struct UserOperator {
    /// The operator, `domain::Name`; ONNX's own domain is `ai.onnx`.
    pub name: String,
    /// The shapes of its results, where the file need not declare them.
    pub rule: Option<Rule>,
}

/// A shape function: `([n, c]) -> ([n, 2 * c])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// For each operand its extents: a name, or a number that it has to be.
    pub inputs: Vec<Vec<Extent>>,
    /// For each result its type (that of the first operand where none is given) and its extents.
    pub outputs: Vec<(Option<DType>, Vec<Extent>)>,
}

/// An extent in a [`Rule`].
#[derive(Clone, Debug, PartialEq)]
pub enum Extent {
    /// A number.
    Number(i64),
    /// What an operand's extent is called.
    Name(String),
    /// `a + b`.
    Add(Box<Extent>, Box<Extent>),
    /// `a - b`.
    Sub(Box<Extent>, Box<Extent>),
    /// `a * b`.
    Mul(Box<Extent>, Box<Extent>),
    /// `a / b`, rounded down.
    Div(Box<Extent>, Box<Extent>),
}

impl Extent {
    fn eval(&self, names: &BTreeMap<&str, Dim>) -> Result<Dim> {
        let both = |a: &Extent, b: &Extent| Ok::<_, Error>((a.eval(names)?, b.eval(names)?));
        Ok(match self {
            Extent::Number(n) => Dim::Fixed(*n),
            Extent::Name(name) => names
                .get(&**name)
                .cloned()
                .ok_or_else(|| Error::new(format!("{name} is no extent of the operands in op(..)")))?,
            Extent::Add(a, b) => both(a, b).and_then(|(a, b)| Ok(a.add(&b)?))?,
            Extent::Sub(a, b) => both(a, b).and_then(|(a, b)| Ok(a.sub(&b)?))?,
            Extent::Mul(a, b) => both(a, b).and_then(|(a, b)| Ok(a.mul(&b)?))?,
            Extent::Div(a, b) => both(a, b).and_then(|(a, b)| Ok(a.floor_div(&b)?))?,
        })
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extent::Number(n) => write!(f, "{n}"),
            Extent::Name(name) => f.write_str(name),
            Extent::Add(a, b) => write!(f, "({a} + {b})"),
            Extent::Sub(a, b) => write!(f, "({a} - {b})"),
            Extent::Mul(a, b) => write!(f, "{a} * {b}"),
            Extent::Div(a, b) => write!(f, "{a} / {b}"),
        }
    }
}

/// What the macro calls a node's operator.
pub(super) fn name_of(node: &onnx::Node) -> String {
    let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
    format!("{domain}::{}", node.op_type)
}

/// The node as a call. `declared` has the types and shapes that the file declares of the results.
pub(super) fn lower(
    c: &mut Ctx<'_, '_>,
    operator: &UserOperator,
    declared: &[Option<(DType, Shape)>],
) -> Result<Vec<ValueId>> {
    let operands = c.variadic()?;
    let attributes = c.attrs.all().map(|(name, a)| Ok((name.to_owned(), attribute(name, a)?)));
    let attributes = attributes.collect::<Result<Vec<_>>>()?;
    let results = match &operator.rule {
        Some(rule) => by_rule(c, rule, &operands)?,
        None => {
            declared.iter().cloned().collect::<Option<Vec<_>>>().ok_or_else(|| undeclared(c, operator))?
        }
    };
    if results.len() < c.node.outputs.len() {
        return Err(Error::new(format!(
            "op(..) gives {} results, but the node has {}",
            results.len(),
            c.node.outputs.len()
        )));
    }
    let call = Custom { operator: operator.name.as_str().into(), attributes, results };
    Ok(c.b.push(Op::Custom(Box::new(call)), &operands)?)
}

fn undeclared(c: &Ctx<'_, '_>, operator: &UserOperator) -> Error {
    let dims = |rank: usize| (0..rank).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", ");
    let operands = (0..c.operands.len()).filter_map(|i| c.required(i, "operand").ok());
    let inputs: Vec<String> = operands.map(|v| format!("[{}]", dims(c.rank(v)))).collect();
    let first = inputs.first().cloned().unwrap_or_else(|| "[1]".into());
    Error::new("the file does not declare the shape of what this operator gives").help(format!(
        "say it in the macro: op({:?}({}) -> {first} = path::to::function)",
        operator.name,
        inputs.join(", ")
    ))
}

fn by_rule(c: &Ctx<'_, '_>, rule: &Rule, operands: &[ValueId]) -> Result<Vec<(DType, Shape)>> {
    if rule.inputs.len() != operands.len() {
        return Err(Error::new(format!(
            "op(..) takes {} operands, but the node has {}",
            rule.inputs.len(),
            operands.len()
        )));
    }
    let mut names: BTreeMap<&str, Dim> = BTreeMap::new();
    for (i, (extents, v)) in rule.inputs.iter().zip(operands).enumerate() {
        let shape = c.shape(*v);
        let differ = || {
            let said: Vec<String> = extents.iter().map(ToString::to_string).collect();
            Error::new(format!("operand {i} has shape {shape}, but op(..) says [{}]", said.join(", ")))
                .at_tensor(c.tensor_name(i))
        };
        if shape.rank() != extents.len() {
            return Err(differ());
        }
        for (extent, dim) in extents.iter().zip(shape.dims()) {
            let fits = match extent {
                Extent::Name(name) => names.entry(name).or_insert_with(|| dim.clone()) == dim,
                other => other.eval(&names)? == *dim,
            };
            if !fits {
                return Err(differ());
            }
        }
    }
    let first = operands.first().map_or(DType::F32, |v| c.dtype(*v));
    let result = |(dtype, extents): &(Option<DType>, Vec<Extent>)| {
        let dims = extents.iter().map(|e| e.eval(&names)).collect::<Result<Vec<_>>>()?;
        if let Some(d) = dims.iter().find(|d| d.fixed().is_some_and(|n| n < 0)) {
            return Err(Error::new(format!("op(..) gives an extent of {d}")));
        }
        Ok((dtype.unwrap_or(first), Shape::new(dims)))
    };
    rule.outputs.iter().map(result).collect()
}

fn attribute(name: &str, a: &onnx::Attribute) -> Result<Attribute> {
    let text = |s: &[u8]| {
        std::str::from_utf8(s)
            .map(str::to_owned)
            .map_err(|_| Error::new(format!("attribute {name} is no text in UTF-8")))
    };
    Ok(match a {
        onnx::Attribute::Int(n) => Attribute::Int(*n),
        onnx::Attribute::Float(x) => Attribute::Float(*x),
        onnx::Attribute::String(s) => Attribute::String(text(s)?),
        onnx::Attribute::Ints(ns) => Attribute::Ints(ns.clone()),
        onnx::Attribute::Floats(xs) => Attribute::Floats(xs.clone()),
        onnx::Attribute::Strings(all) => {
            Attribute::Strings(all.iter().map(|s| text(s)).collect::<Result<_>>()?)
        }
        _ => {
            return Err(Error::new(format!("attribute {name} is neither number nor text"))
                .help("make a tensor an input of the node"));
        }
    })
}
