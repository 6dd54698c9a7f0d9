//! `sofie check`: runs a model on stored inputs and compares with stored outputs. The reference evaluator runs the graph
//! as it is in the file, before any pass; `--kernels` also runs the plan, which is what a program does.

use std::path::PathBuf;

use serde_json::{Value, json};
use sofie_infer_compiler::ir::{self, Tensor};
use sofie_infer_compiler::plan::Port;
use sofie_infer_runtime::npz::{Array, Distance, Tolerance, distance};

use crate::answer::{Answer, BAD, Failure, GOOD, styled};
use crate::data::Data;
use crate::model::{self, Model};
use crate::progress::Spinner;
use crate::table::{Column, table};

/// The command's arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    /// Archives that hold inputs and outputs, named like the model's tensors; symbols are fixed by the inputs' shapes
    #[arg(long, value_name = "NPZ", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Also run the compiled plan with the kernels that programs use
    #[arg(long)]
    kernels: bool,
    /// The largest error that agrees, in units of the output's largest value
    #[arg(long, default_value_t = 1e-4)]
    tolerance: f64,
}

/// One output of one engine.
struct Row {
    engine: &'static str,
    output: String,
    /// `None` where the data hold no such array.
    distance: Option<Result<Distance, String>>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Answer, Failure> {
    let data = Data::open(&args.data)?;
    let mut model = args.model.read()?;
    model.fix_by(&data)?;
    let mut rows = rows("evaluator", &evaluate(&model, &data)?, &data, args)?;
    if args.kernels {
        let compiled = model.compile()?;
        let inputs = data.inputs(compiled.plan.inputs.iter())?;
        let outputs = compiled.execute(&inputs).map_err(|e| Failure::Other(e.to_string()))?;
        let ports = compiled.plan.outputs.iter().map(|(port, _)| port.name.clone());
        rows.extend(self::rows("kernels", &ports.zip(outputs).collect::<Vec<_>>(), &data, args)?);
    }
    if rows.iter().all(|row| row.distance.is_none()) {
        let there = data.names().join(", ");
        return Err(Failure::Other(format!("the data hold none of the model's outputs, only {there}")));
    }
    let good = rows.iter().all(|row| row.agrees() != Some(false));
    Ok(Answer { text: text(&rows, good), json: to_json(&model, &rows, good), good })
}

/// The outputs by name, by the reference evaluator.
fn evaluate(model: &Model, data: &Data) -> Result<Vec<(String, Tensor)>, Failure> {
    let graph = model.lower()?;
    let port = |port: &ir::Port| Port {
        name: port.name.clone(),
        dtype: graph.dtype(port.value),
        dims: graph.shape(port.value).fixed().unwrap_or_default(),
    };
    let ports: Vec<Port> = graph.inputs().iter().map(port).collect();
    let inputs = data.inputs(ports.iter())?;
    let _spinner = Spinner::new(format!("evaluating {}", model.shown()));
    let outputs = ir::eval::run_model(&graph, &inputs).map_err(|e| Failure::Other(e.to_string()))?;
    Ok(graph.outputs().iter().map(|o| o.name.clone()).zip(outputs).collect())
}

fn rows(
    engine: &'static str,
    outputs: &[(String, Tensor)],
    data: &Data,
    args: &Args,
) -> Result<Vec<Row>, Failure> {
    let tolerance = Tolerance::MaxNormalised(args.tolerance);
    let row = |(name, tensor): &(String, Tensor)| {
        let (dtype, shape, bytes) = (tensor.dtype(), tensor.dims().to_vec(), tensor.bytes().to_vec());
        let got = Array { dtype, shape, bytes };
        let want = data.array(name)?;
        let distance = want.map(|want| distance(&got, &want, tolerance).map_err(|e| e.to_string()));
        Ok(Row { engine, output: name.clone(), distance })
    };
    outputs.iter().map(row).collect()
}

impl Row {
    fn agrees(&self) -> Option<bool> {
        self.distance.as_ref().map(|d| d.as_ref().is_ok_and(Distance::agrees))
    }

    fn verdict(&self) -> String {
        match &self.distance {
            None => "not in the data".to_owned(),
            Some(Err(why)) => why.clone(),
            Some(Ok(d)) if d.agrees() => "agrees".to_owned(),
            Some(Ok(_)) => "differs".to_owned(),
        }
    }

    fn error(&self) -> Option<f64> {
        self.distance.as_ref()?.as_ref().ok().map(|d| d.max_normalised)
    }
}

fn text(rows: &[Row], good: bool) -> String {
    let columns =
        [Column::Left("engine"), Column::Left("output"), Column::Right("max error"), Column::Left("")];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let error = row.error().map_or_else(|| "-".to_owned(), |e| format!("{e:.2e}"));
            vec![row.engine.to_owned(), row.output.clone(), error, row.verdict()]
        })
        .collect();
    let verdict = if good { styled(GOOD, "All outputs agree.") } else { styled(BAD, "Some outputs differ.") };
    format!("{}\n\n{verdict}", table(&columns, &cells))
}

fn to_json(model: &Model, rows: &[Row], good: bool) -> Value {
    let row = |row: &Row| {
        json!({
            "engine": row.engine,
            "output": row.output,
            "max_error": row.error(),
            "agrees": row.agrees(),
            "message": row.verdict(),
        })
    };
    json!({
        "model": model.shown(),
        "dims": model.dims,
        "agrees": good,
        "outputs": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
