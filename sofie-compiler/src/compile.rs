//! The whole road for one file: bytes → model → graph → passes → plan.

use crate::error::{Error, Errors};
use crate::instance::{self, Refused};
use crate::plan::family::Family;
use crate::plan::{self, Plan};
use crate::{ir, onnx, ops};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Extents of symbolic dimensions, by name.
    pub dims: BTreeMap<String, u64>,
    /// Symbolic dimensions that stay free, with the least and the largest extent of a run.
    pub bounds: ops::DimBounds,
    /// Stop after that many passes.
    pub stop_after: Option<usize>,
    /// Operators that the calling program computes.
    pub operators: Vec<ops::UserOperator>,
}

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The optimised graph.
    pub graph: ir::Graph,
    /// What runs; where dimensions are free, at their bounds.
    pub plan: Plan,
    /// What runs at other extents, where dimensions are free.
    pub family: Option<Family>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
}

impl Compiled {
    /// The outputs for the given inputs, computed in this process by the kernels that a session runs, and the time of each.
    ///
    /// # Errors
    /// Where the inputs are not what the model takes, or their values disagree with what it declares.
    pub fn profile(&self, inputs: &[ir::Tensor]) -> Result<(Vec<ir::Tensor>, Vec<Duration>), ir::Invalid> {
        match &self.family {
            Some(family) => plan::execute::profile_family(family, inputs),
            None => plan::execute::profile(&self.plan, inputs),
        }
    }

    /// The outputs alone.
    ///
    /// # Errors
    /// As [`Compiled::profile`].
    pub fn execute(&self, inputs: &[ir::Tensor]) -> Result<Vec<ir::Tensor>, ir::Invalid> {
        plan::execute::execute_within(&self.plan, self.family.as_ref(), inputs)
    }
}

/// Compiles the model at `path`, which messages call `shown`.
///
/// # Errors
/// Everything that is wrong with the model, at once.
pub fn compile(path: &Path, shown: &Path, options: &Options) -> Result<Compiled, Errors> {
    let model = onnx::load(path).map_err(|e| renamed(e, path, shown))?;
    compile_model(&model, shown, options)
}

/// Compiles a model that was read before.
///
/// # Errors
/// Everything that is wrong with the model, at once.
pub fn compile_model(model: &onnx::Model, shown: &Path, options: &Options) -> Result<Compiled, Errors> {
    let refused = |errors: Errors| errors.in_file(shown);
    let graph = instance::optimised(model, options).map_err(|e| match e {
        Refused::Model(errors) => refused(errors),
        Refused::Pass(e) => refused(internal(&e)),
    })?;
    let files = model.files.clone();
    if graph.symbols().is_empty() && graph.found().is_empty() {
        let plan = plan::plan(&graph).map_err(|e| refused(internal(&e)))?;
        return Ok(Compiled { graph, plan, family: None, files });
    }
    let open = options.bounds.iter().filter(|(_, (_, most))| most.is_none()).map(|(name, _)| &**name);
    let family = Family::open(&graph, open.map(Arc::from).collect());
    let family = family.and_then(|family| Ok((family.at(&family.corner(true))?, family)));
    let (plan, family) = family.map_err(|e| refused(not_free(&e, &graph)))?;
    Ok(Compiled { graph, plan, family: Some(family), files })
}

/// Why a network cannot be compiled for all extents.
fn not_free(e: &ir::Invalid, graph: &ir::Graph) -> Errors {
    let fixed: Vec<String> = graph.symbols().iter().map(ToString::to_string).collect();
    let error = Error::new(format!("the network cannot be compiled for all of these extents: {e}"));
    if fixed.is_empty() {
        return error
            .help("declare the shapes that values decide in the file, or end the network before")
            .into();
    }
    error
        .help(format!(
            "give closer bounds (as in dims({} = 8..=64)), or fix a dimension: dims({})",
            fixed.first().map_or("n", |s| s),
            ops::paste(&fixed)
        ))
        .into()
}

/// A problem that is ours to mend, not the user's.
fn internal(e: &ir::Invalid) -> Errors {
    Error::new(format!("the network cannot be compiled: {e}"))
        .help("this is a gap in sofie-infer, not in your model; please report it with the model")
        .into()
}

/// Errors with files named as the user named them.
fn renamed(errors: Errors, path: &Path, shown: &Path) -> Errors {
    let folders = path
        .parent()
        .zip(shown.parent())
        .map(|(from, to)| (from.display().to_string(), to.display().to_string()));
    let rename = |mut e: Error| {
        if e.place.file.as_deref() == Some(path) {
            e.place.file = Some(shown.to_path_buf());
        }
        if let Some((from, to)) = &folders {
            e.problem = e.problem.replace(&format!("{from}{}", std::path::MAIN_SEPARATOR), &format!("{to}/"));
        }
        if !path.exists() {
            e = e.help("the path is relative to the folder of the calling crate's Cargo.toml");
        }
        e
    };
    Errors(errors.into_iter().map(rename).collect())
}
