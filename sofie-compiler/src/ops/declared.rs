//! What the file declares about its inputs and outputs: symbols and their fixed values, element types,
//! and the check that the outputs are what was declared.

use super::found::{Same, resolved};
use super::operand::Operand;
use crate::error::{Error, Errors, Result};
use crate::ir::{Builder, Dim, Graph, Shape, Symbol};
use crate::onnx::{self, DimSpec, ValueType};
use sofie_infer_runtime::DType;
use std::collections::{BTreeMap, BTreeSet};

/// The extents that the user fixed, by the names of the symbols: `dims(batch = 1)`.
pub type DimValues = BTreeMap<String, u64>;

/// The extents that stay free, with the least and the largest that a run may have: `dims(batch = 0..=64)`.
pub type DimBounds = BTreeMap<String, (u64, Option<u64>)>;

/// `a = 1, b = 1` for a list of names.
pub fn paste<S: AsRef<str>>(names: &[S]) -> String {
    let entries: Vec<_> = names.iter().map(|n| format!("{} = 1", quoted(n.as_ref()))).collect();
    entries.join(", ")
}

/// A name as `dims(..)` takes it: bare where it is an identifier, else a string literal.
fn quoted(name: &str) -> String {
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if word && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// Checks that no extent of the inputs is left open.
///
/// # Errors
/// The open extents, with the `dims(..)` that fixes them.
pub fn free_symbols(graph: &Graph) -> Result<()> {
    open_symbols(graph, &DimBounds::new())
}

/// Checks that no extent of the inputs is left open but those that have bounds.
///
/// # Errors
/// As [`free_symbols`].
pub fn open_symbols(graph: &Graph, bounds: &DimBounds) -> Result<()> {
    let mut names = graph.symbols();
    names.retain(|name| !bounds.contains_key(&**name));
    if names.is_empty() {
        return Ok(());
    }
    let places = graph.inputs().iter().filter_map(|i| {
        let shape = graph.shape(i.value);
        let open = shape.dims().iter().any(|d| !d.symbols().is_empty());
        open.then(|| format!("{}: {}{shape}", i.name, graph.dtype(i.value)))
    });
    let places: Vec<_> = places.collect();
    let what = if names.len() == 1 { "an extent of the inputs is" } else { "extents of the inputs are" };
    Err(Error::new(format!("{what} not fixed: {} ({})", names.join(", "), places.join("; "))).help(format!(
        "fix {}: dims({}), or leave {} free up to a bound: dims({} = ..=64)",
        if names.len() == 1 { "it" } else { "them" },
        paste(&names),
        if names.len() == 1 { "it" } else { "one" },
        quoted(&names[0]),
    )))
}

/// What an input is in the graph.
pub(super) enum Parts {
    /// A tensor.
    One(onnx::ValueInfo),
    /// The tensors of a sequence, which are inputs of their own.
    List(Vec<onnx::ValueInfo>),
    /// An optional without an element.
    Nothing,
}

/// Tensors beyond which a sequence is a mistake.
const MOST: u64 = 1 << 12;

/// A type without the names of its extents: those of a sequence's tensors are not the same.
fn anonymous(ty: &ValueType) -> ValueType {
    let ValueType::Tensor(tensor) = ty else { return ty.clone() };
    let mut tensor = tensor.clone();
    for dim in tensor.shape.iter_mut().flatten().filter(|d| matches!(d, DimSpec::Symbol(_))) {
        *dim = DimSpec::Unknown;
    }
    ValueType::Tensor(tensor)
}

/// The symbols of a model's inputs and what they are fixed to.
pub(super) struct Symbols<'d> {
    values: &'d DimValues,
    bounds: &'d DimBounds,
    /// Symbols that have to be others.
    same: &'d Same,
    /// Names that the file uses.
    named: BTreeSet<String>,
    /// All symbols, those that were made up for nameless extents among them.
    all: BTreeSet<String>,
}

impl<'d> Symbols<'d> {
    /// The symbols of `graph`; none has a shape yet.
    pub(super) fn new(
        graph: &onnx::Graph,
        values: &'d DimValues,
        bounds: &'d DimBounds,
        same: &'d Same,
    ) -> Symbols<'d> {
        let mut named = BTreeSet::new();
        for info in &graph.inputs {
            if let ValueType::Tensor(t) = &info.ty {
                for dim in t.shape.iter().flatten() {
                    if let DimSpec::Symbol(name) = dim {
                        named.insert(name.clone());
                    }
                }
            }
        }
        Symbols { values, bounds, same, all: named.clone(), named }
    }

    fn dim(&mut self, name: String) -> Result<Dim> {
        let extent = |n: u64| {
            i64::try_from(n)
                .map_err(|_| Error::new(format!("dims({name} = {n}) is larger than an extent can be")))
        };
        let dim = match (self.values.get(&name), self.bounds.get(&name)) {
            (Some(&n), _) => Dim::Fixed(extent(n)?),
            (None, Some(_)) => {
                let other = resolved(&name, self.same).and_then(|d| Some(d.as_symbol()?.name.to_string()));
                let root = other.unwrap_or_else(|| name.clone());
                self.bounded(&root, extent)?
            }
            (None, None) => Dim::symbol(&name),
        };
        self.all.insert(name);
        Ok(dim)
    }

    /// The extent of that name, within its bounds and those of all that have to be it.
    fn bounded(&self, root: &str, extent: impl Fn(u64) -> Result<i64>) -> Result<Dim> {
        let is_root = |d: Dim| d.as_symbol().is_some_and(|s| *s.name == *root);
        let others = self.same.iter().filter(|(name, _)| resolved(name, self.same).is_some_and(is_root));
        let names = others.map(|(name, _)| &**name).chain([root]);
        let (mut least, mut most) = (0, None);
        for &(l, m) in names.filter_map(|name| self.bounds.get(name)) {
            least = least.max(l);
            most = m.min(most).or(m).or(most);
        }
        if most.is_some_and(|most| most < least) {
            return Err(Error::new(format!(
                "the bounds of {root} and of what has to be the same do not meet"
            )));
        }
        Ok(Dim::bounded(root, extent(least)?, most.map_or(Ok(Symbol::OPEN), extent)?))
    }

    /// A name for axis `axis` of input `input`, which has none in the file.
    fn nameless(&self, input: &str, axis: usize) -> String {
        let word: String = input.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut name = format!("{word}_{axis}");
        while self.named.contains(&name) {
            name.push('_');
        }
        name
    }

    /// The tensors that an input is. How many are in a sequence, and whether an optional has an element, is said like an
    /// extent, by the input's name.
    ///
    /// # Errors
    /// Their number is not given, or no tensors are in it.
    pub(super) fn parts(&mut self, info: &onnx::ValueInfo) -> Result<Parts> {
        let (of, optional) = match &info.ty {
            ValueType::Optional(of) => (&**of, true),
            of @ ValueType::Sequence(_) => (of, false),
            _ => return Ok(Parts::One(info.clone())),
        };
        self.all.insert(info.name.to_string());
        let name = quoted(&info.name);
        let (what, help) = match optional {
            true => ("whether it has an element", format!("say so: dims({name} = 0) or dims({name} = 1)")),
            false => ("how many tensors it has", format!("say so: dims({name} = 2)")),
        };
        let n = self.values.get(&*info.name).copied().ok_or_else(|| {
            Error::new(format!("the input is of type {}; {what} has to be known", info.ty))
                .help(help)
                .at_tensor(&*info.name)
        })?;
        let part = |name: String, ty: &ValueType| onnx::ValueInfo { name: name.into(), ty: anonymous(ty) };
        match of {
            _ if optional && n == 0 => Ok(Parts::Nothing),
            ValueType::Sequence(element) if n <= MOST => {
                Ok(Parts::List((0..n).map(|i| part(format!("{}.{i}", info.name), element)).collect()))
            }
            tensor @ ValueType::Tensor(_) if n == 1 => Ok(Parts::One(part(info.name.to_string(), tensor))),
            _ => Err(Error::new(format!("dims({name} = {n}) for an input of type {}", info.ty))
                .at_tensor(&*info.name)),
        }
    }

    /// Type and shape of an input.
    ///
    /// # Errors
    /// It is no tensor of a known rank and a type that is computed in.
    pub(super) fn input(&mut self, info: &onnx::ValueInfo) -> Result<(DType, Shape)> {
        let (dtype, shape) = info.tensor()?;
        let Some(specs) = shape else {
            return Err(Error::new("the input has no declared shape, not even a number of axes")
                .help("export the model with the shapes of its inputs")
                .at_tensor(&*info.name));
        };
        let dims = specs.iter().enumerate().map(|(axis, spec)| match spec {
            DimSpec::Const(n) => {
                i64::try_from(*n).map(Dim::Fixed).map_err(|_| Error::new(format!("extent {n} is too large")))
            }
            DimSpec::Symbol(name) => self.dim(name.clone()),
            DimSpec::Unknown => self.dim(self.nameless(&info.name, axis)),
        });
        let dims = dims.collect::<Result<Vec<_>>>().map_err(|e| e.at_tensor(&*info.name))?;
        Ok((dtype, Shape::new(dims)))
    }

    /// Checks that every entry of `dims(..)` names a symbol; asked after all inputs have their shapes.
    ///
    /// # Errors
    /// Each entry that names none.
    pub(super) fn unknown_entries(&self) -> Errors {
        let mut errors = Errors::new();
        for name in self.values.keys().chain(self.bounds.keys()).filter(|name| !self.all.contains(*name)) {
            let known: Vec<_> = self.all.iter().map(|n| quoted(n)).collect();
            let help = match known.as_slice() {
                [] => "all extents of the inputs are fixed in the file".to_owned(),
                known => format!("the symbols are {}", known.join(", ")),
            };
            errors.push(
                Error::new(format!("dims({} = ..) names no symbol of the inputs", quoted(name))).help(help),
            );
        }
        errors
    }
}

/// Checks an output's element type against its declaration. A declared shape that the operators contradict is a stale
/// note of some exporters (opset converters leave them), which ONNX Runtime passes over with a warning: what the
/// operators give counts, and stands in the type that the user sees.
///
/// # Errors
/// The element type differs.
pub(super) fn check_output(graph: &Builder, info: &onnx::ValueInfo, operand: &Operand) -> Result<()> {
    let ValueType::Tensor(declared) = &info.ty else { return Ok(()) };
    let (gives, right, v) = match operand {
        Operand::Value(v) => {
            let dtype = graph.dtype(*v);
            (dtype.to_string(), declared.element.is_none_or(|e| e == dtype.into()), *v)
        }
        Operand::Stored(v, storage) => {
            (storage.to_string(), declared.element.is_none_or(|e| e.storage() == Some(*storage)), *v)
        }
        _ => return Ok(()),
    };
    if right {
        return Ok(());
    }
    let shape = graph.shape(v);
    Err(Error::new(format!("the output is declared as {declared}, but the network gives {gives}{shape}"))
        .help("the file contradicts itself: correct the declaration, or export the model again")
        .at_tensor(&*info.name))
}
