//! What the lowering of one node sees: operands, attributes, version, and the graph that is being built.

use super::expr::Expr;
use super::operand::{Extents, Operand};
use crate::error::{Error, Result};
use crate::ir::{Builder, Dim, Invalid, Shape, Tensor, ValueId};
use crate::onnx::{Attrs, Node};
use sofie_infer_runtime::DType;

/// One node on its way into the graph.
pub struct Ctx<'n, 'b> {
    /// The graph that is being built.
    pub b: &'b mut Builder,
    /// The node.
    pub node: &'n Node,
    /// Its attributes; one that nobody reads is an error.
    pub attrs: Attrs<'n>,
    /// Its operands; none is [`Operand::Poisoned`].
    pub operands: Vec<Option<Operand>>,
    /// Bools of rank 0 that have to hold when the network runs.
    pub checks: &'b mut Vec<ValueId>,
    /// Extents that stand for what values decide.
    pub same: &'b super::found::Same,
    /// The extents that the file declares of the node's outputs, as far as it does.
    pub declared: Vec<Option<Shape>>,
    /// Whether the lowering is for the shapes of the results alone.
    pub exploring: bool,
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::misfit(invalid.to_string())
    }
}

impl Ctx<'_, '_> {
    /// The version of the node's domain that the model imports.
    pub fn version(&self) -> i64 {
        self.node.version
    }

    /// Makes the run fail where `holds`, a bool of rank 0, is false.
    pub fn check(&mut self, holds: ValueId) {
        self.checks.push(holds);
    }

    /// Whether somebody reads output `i`.
    pub fn wants(&self, i: usize) -> bool {
        self.node.output(i).is_some()
    }

    /// The operand at `i`, or that it is left out.
    fn operand(&self, i: usize) -> Option<&Operand> {
        self.operands.get(i)?.as_ref()
    }

    /// The name of the tensor at `i`.
    pub fn tensor_name(&self, i: usize) -> String {
        self.node.input(i).map(|n| n.to_string()).unwrap_or_default()
    }

    fn value_of(&self, i: usize, operand: &Operand) -> Result<ValueId> {
        match operand {
            Operand::Value(v) => Ok(*v),
            Operand::Extents(e) => Err(e.refused_in(self.b).at_tensor(self.tensor_name(i))),
            Operand::Stored(_, storage) => Err(Error::new(format!("{storage} is not computed in"))
                .help("cast the tensor to a type of 16 bits or more before exporting")
                .at_tensor(self.tensor_name(i))),
            Operand::Sequence(of) => {
                Err(Error::new(format!("a sequence of {} tensors; a tensor is needed", of.len()))
                    .at_tensor(self.tensor_name(i)))
            }
            Operand::Nothing => Err(Error::new("an optional without an element; a tensor is needed")
                .at_tensor(self.tensor_name(i))),
            Operand::Poisoned => Err(Error::new("the operand was refused").at_tensor(self.tensor_name(i))),
        }
    }

    /// The operand at `i`, called `what` in the specification.
    ///
    /// # Errors
    /// It is left out, or its value depends on extents that are not fixed.
    pub fn required(&self, i: usize, what: &str) -> Result<ValueId> {
        match self.operand(i) {
            Some(o) => self.value_of(i, o),
            None => Err(Error::new(format!("input {i} ({what}) is missing"))),
        }
    }

    /// The operand at `i`, where there is one.
    ///
    /// # Errors
    /// Its value depends on extents that are not fixed.
    pub fn optional(&self, i: usize) -> Result<Option<ValueId>> {
        self.operand(i).map(|o| self.value_of(i, o)).transpose()
    }

    /// All operands of an operator that takes any number.
    ///
    /// # Errors
    /// One is left out, or its value depends on extents that are not fixed; or there are none.
    pub fn variadic(&self) -> Result<Vec<ValueId>> {
        if self.operands.is_empty() {
            return Err(Error::new("there are no inputs; at least one is needed"));
        }
        (0..self.operands.len()).map(|i| self.required(i, "variadic")).collect()
    }

    /// The constant at `i`, where there is an operand.
    ///
    /// # Errors
    /// It is computed at run time; the message names it `what`.
    pub fn constant(&self, i: usize, what: &str) -> Result<Option<Tensor>> {
        let Some(v) = self.optional(i)? else { return Ok(None) };
        match self.b.constant(v) {
            Some(t) => Ok(Some(t.clone())),
            // Nothing has no value that could be computed.
            None if self.shape(v).numel()?.is(0) => {
                let dims = self.shape(v).fixed().unwrap_or_else(|| vec![0]);
                Ok(Tensor::from_bytes(self.dtype(v), dims, Vec::new()))
            }
            None => Err(self.runtime(i, what)),
        }
    }

    /// The integers of the constant at `i`, where there is an operand.
    ///
    /// # Errors
    /// It is computed at run time, or holds no integers.
    pub fn const_ints(&self, i: usize, what: &str) -> Result<Option<Vec<i64>>> {
        let Some(t) = self.constant(i, what)? else { return Ok(None) };
        let wrong = || {
            Error::new(format!("{what} holds {}; integers are needed", t.dtype()))
                .at_tensor(self.tensor_name(i))
        };
        t.to_ints().ok_or_else(wrong).map(Some)
    }

    /// The one integer of the constant at `i`, where there is an operand.
    ///
    /// # Errors
    /// As for [`Ctx::const_ints`], or there is another number of elements.
    pub fn const_int(&self, i: usize, what: &str) -> Result<Option<i64>> {
        match self.const_ints(i, what)?.as_deref() {
            None => Ok(None),
            Some([n]) => Ok(Some(*n)),
            Some(ns) => Err(Error::new(format!("{what} has {} elements; one is needed", ns.len()))
                .at_tensor(self.tensor_name(i))),
        }
    }

    /// The numbers of the constant at `i` as `f64`, where there is an operand.
    ///
    /// # Errors
    /// It is computed at run time.
    pub fn const_floats(&self, i: usize, what: &str) -> Result<Option<Vec<f64>>> {
        Ok(self.constant(i, what)?.map(|t| t.to_f64s()))
    }

    /// The integers at `i`, which may depend on symbolic extents, where there is an operand.
    ///
    /// # Errors
    /// It is computed at run time, or holds no integers.
    pub fn extents(&self, i: usize, what: &str) -> Result<Option<Vec<Dim>>> {
        match self.operand(i) {
            None => Ok(None),
            Some(Operand::Extents(Extents { dims, .. })) => Ok(Some(dims.clone())),
            Some(_) => Ok(self.const_ints(i, what)?.map(|ns| ns.into_iter().map(Dim::Fixed).collect())),
        }
    }

    /// The one integer at `i`, which may depend on symbolic extents, where there is an operand.
    ///
    /// # Errors
    /// As for [`Ctx::extents`], or there is another number of elements.
    pub fn extent(&self, i: usize, what: &str) -> Result<Option<Dim>> {
        match self.extents(i, what)?.as_deref() {
            None => Ok(None),
            Some([d]) => Ok(Some(d.clone())),
            Some(ds) => Err(Error::new(format!("{what} has {} elements; one is needed", ds.len()))
                .at_tensor(self.tensor_name(i))),
        }
    }

    /// An extent as a value of the graph, a list of one `i64`.
    ///
    /// # Errors
    /// It may be negative.
    pub fn extent_value(&mut self, d: &Dim) -> Result<ValueId> {
        let value = Extents { scalar: false, dims: vec![d.clone()] }.value(self.b)?;
        value.ok_or_else(|| Error::new(format!("the extent {d} may be negative")))
    }

    /// The error of an operand that has to be known while compiling and is not.
    pub fn runtime(&self, i: usize, what: &str) -> Error {
        Error::new(format!("{what} is computed at run time; it has to be a constant"))
            .help("make it a constant before exporting, or simplify the file with onnxsim")
            .at_tensor(self.tensor_name(i))
    }

    /// The extents of a value.
    pub fn shape(&self, v: ValueId) -> Shape {
        self.b.shape(v).clone()
    }

    /// The number of axes of a value.
    pub fn rank(&self, v: ValueId) -> usize {
        self.b.shape(v).rank()
    }

    /// The element type of a value.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.b.dtype(v)
    }

    /// The extents of a value as numbers.
    ///
    /// # Errors
    /// Some are symbolic; the message says what needs them.
    pub fn fixed(&self, v: ValueId, what: &str) -> Result<Vec<usize>> {
        let shape = self.b.shape(v);
        shape.fixed().ok_or_else(|| {
            if let Some(name) = super::found::among(self.b, shape.dims()) {
                let problem =
                    format!("{what} needs fixed extents, but values decide {name} of the shape {shape}");
                return Error::new(problem).help(super::found::HELP);
            }
            let unfixed = Extents { scalar: false, dims: shape.dims().to_vec() };
            Error::new(format!("{what} needs fixed extents, but the shape is {shape}"))
                .help(format!("fix them: dims({})", super::declared::paste(&unfixed.symbols())))
        })
    }

    /// The attribute `axis` (or another name) as an axis below `rank`.
    ///
    /// # Errors
    /// It is no int, missing without a default, or outside the rank.
    pub fn axis(&self, name: &str, default: Option<i64>, rank: usize) -> Result<usize> {
        let axis = self.attrs.int(name)?.or(default);
        Ok(crate::ir::axis_in(self.attrs.require(name, axis)?, rank)?)
    }

    /// ONNX axes, which may count from the end, as sorted axes below `rank`.
    ///
    /// # Errors
    /// One is outside the rank, or named twice.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
        let mut sorted = axes.iter().map(|&a| crate::ir::axis_in(a, rank)).collect::<Result<Vec<_>, _>>()?;
        sorted.sort_unstable();
        if sorted.windows(2).any(|w| w[0] == w[1]) {
            return Err(Error::new(format!("axes {axes:?} name an axis twice")));
        }
        Ok(sorted)
    }

    /// Axes from the attribute up to version `last`, from operand `i` afterwards.
    ///
    /// # Errors
    /// The operand is computed at run time.
    pub fn axes_list(&self, last_attribute: i64, i: usize) -> Result<Option<Vec<i64>>> {
        if self.version() <= last_attribute {
            Ok(self.attrs.ints("axes")?.map(<[i64]>::to_vec))
        } else {
            self.const_ints(i, "axes")
        }
    }

    /// `expr` over operands that broadcast as numpy's do; see `Expr::compile` for the arithmetic.
    ///
    /// # Errors
    /// The operands do not broadcast, or the expression does not apply to their types.
    pub fn map(&mut self, expr: Expr, inputs: &[ValueId]) -> Result<ValueId> {
        let types: Vec<_> = inputs.iter().map(|v| self.dtype(*v)).collect();
        Ok(self.b.map(expr.compile(&types)?, inputs)?)
    }

    /// A constant of rank 0 that has the element type of `like`.
    pub fn number(&mut self, x: f64, like: ValueId) -> ValueId {
        let dtype = self.dtype(like);
        self.b.scalar(sofie_infer_runtime::map::Scalar::from_f64(dtype, x))
    }

    /// What `f` makes of `v`; of integers what it makes of the same numbers in `float`, without its fraction.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn in_floats(
        &mut self,
        v: ValueId,
        float: DType,
        f: impl FnOnce(&mut Self, ValueId) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let dtype = self.dtype(v);
        if dtype.is_float() {
            return f(self, v);
        }
        let wide = self.b.cast(v, float)?;
        let y = f(self, wide)?;
        Ok(self.b.cast(y, dtype)?)
    }

    /// A value with the axes that have extent 1 and stand in `axes` (sorted) taken out.
    ///
    /// # Errors
    /// One of them has another extent.
    pub fn drop_axes(&mut self, v: ValueId, axes: &[usize]) -> Result<ValueId> {
        let shape = self.shape(v);
        let left = shape.dims().iter().enumerate().filter(|(i, _)| !axes.contains(i));
        Ok(self.b.reshape(v, left.map(|(_, d)| d.clone()).collect())?)
    }

    /// A plain kernel of the runtime over `inputs`, with the types and extents of its results.
    ///
    /// # Errors
    /// An operand has extents that are not fixed.
    pub fn plain(
        &mut self,
        kernel: impl Into<sofie_infer_runtime::plain::Plain>,
        inputs: &[ValueId],
        results: Vec<(DType, Vec<usize>)>,
    ) -> Result<Vec<ValueId>> {
        for (i, v) in inputs.iter().enumerate() {
            self.fixed(*v, &format!("operand {i}"))?;
        }
        let results = results.into_iter().map(|(t, dims)| (t, Shape::of(&dims))).collect();
        self.plain_free(kernel, inputs, results, Vec::new())
    }

    /// As [`Ctx::plain`] where some numbers of the descriptor, `free`, and with them extents of operands and results may be
    /// symbolic; `free` in the order of [`Plain::over`](crate::ir::Plain::over).
    ///
    /// # Errors
    /// The operands do not fit.
    pub fn plain_free(
        &mut self,
        kernel: impl Into<sofie_infer_runtime::plain::Plain>,
        inputs: &[ValueId],
        results: Vec<(DType, Shape)>,
        free: Vec<Dim>,
    ) -> Result<Vec<ValueId>> {
        let op = crate::ir::Plain { kernel: kernel.into(), results: results.clone(), free: Vec::new() };
        let known: Option<Vec<usize>> = Shape::new(free.clone()).fixed();
        let op = match known {
            Some(known) => op.over(&known, results),
            None => crate::ir::Plain { free, ..op },
        };
        Ok(self.b.push(crate::ir::Op::Plain(Box::new(op)), inputs)?)
    }

    /// The product of the matrices of two values of one rank.
    ///
    /// # Errors
    /// Their extents do not fit.
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        Ok(self.b.one(crate::ir::Op::MatMul(crate::ir::Epilogue::NONE), &[a, b])?)
    }

    /// A value under other extents.
    ///
    /// # Errors
    /// Their product differs.
    pub fn reshape(&mut self, v: ValueId, dims: &[Dim]) -> Result<ValueId> {
        Ok(self.b.reshape(v, Shape::new(dims.to_vec()))?)
    }

    /// An attribute that is an element type's number.
    ///
    /// # Errors
    /// It is no int, or a type that nothing is computed in.
    pub fn dtype_attr(&self, name: &str) -> Result<Option<DType>> {
        self.element_attr(name)?.map(crate::onnx::ElementType::dtype).transpose()
    }

    /// An attribute that is the number of any element type.
    ///
    /// # Errors
    /// It is no int, or none that ONNX defines.
    pub fn element_attr(&self, name: &str) -> Result<Option<crate::onnx::ElementType>> {
        // 0 is undefined: as if the attribute were left out.
        match self.attrs.int(name)?.filter(|&code| code != 0) {
            None => Ok(None),
            Some(code) => {
                let code = i32::try_from(code).unwrap_or(0);
                crate::onnx::ElementType::from_onnx(code).map(Some)
            }
        }
    }
}
