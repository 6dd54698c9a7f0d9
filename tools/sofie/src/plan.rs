//! `sofie plan`: the steps of a run, in order, with what they cost and where in the arena they write.

use serde_json::{Value, json};
use sofie_infer_compiler::plan::{Plan, Root, Step};

use crate::answer::{Answer, Failure};
use crate::model::{self, Model, port_json};
use crate::table::{Column, table};
use crate::units::{bytes, count};

/// Runs the command.
pub fn run(args: &model::Args) -> Result<Answer, Failure> {
    let model = args.read()?;
    let compiled = model.compile()?;
    let plan = &compiled.plan;
    Ok(Answer { text: text(plan), json: to_json(&model, plan), good: true })
}

fn text(plan: &Plan) -> String {
    let columns = [
        Column::Right("step"),
        Column::Left("kernel"),
        Column::Right("FLOP"),
        Column::Right("read"),
        Column::Right("written"),
        Column::Right("at"),
        Column::Left("ONNX nodes"),
    ];
    let row = |(i, step): (usize, &Step)| {
        let cost = step.cost();
        vec![
            i.to_string(),
            step.kernel.name().to_owned(),
            count(cost.flop),
            bytes(cost.read_bytes),
            bytes(cost.written_bytes),
            place(plan, step).map_or_else(String::new, |at| at.to_string()),
            step.origin.join(" + "),
        ]
    };
    let rows: Vec<_> = plan.steps.iter().enumerate().map(row).collect();
    let cost = plan.cost();
    format!(
        "{}\n\n{} FLOP, {} in products\narena {} (lower bound {}, scratch {}), weights {}",
        table(&columns, &rows),
        count(cost.flop),
        count(cost.product_flop),
        bytes(plan.arena_bytes as u64),
        bytes(plan.bound_bytes as u64),
        bytes(plan.scratch_bytes as u64),
        bytes(plan.weights.bytes().len() as u64),
    )
}

/// The byte of the arena at which the step's first result begins.
fn place(plan: &Plan, step: &Step) -> Option<usize> {
    let first = step.writes.first()?;
    matches!(first.root, Root::Buffer(_)).then(|| plan.operand_offset(first))
}

/// One step for a program.
pub fn step_json(plan: &Plan, step: &Step) -> Value {
    let cost = step.cost();
    json!({
        "kernel": step.kernel.name(),
        "nodes": step.origin.iter().map(|o| &**o).collect::<Vec<_>>(),
        "flop": cost.flop,
        "product_flop": cost.product_flop,
        "read_bytes": cost.read_bytes,
        "written_bytes": cost.written_bytes,
        "offset": place(plan, step),
    })
}

fn to_json(model: &Model, plan: &Plan) -> Value {
    json!({
        "model": model.shown(),
        "dims": model.dims,
        "inputs": plan.inputs.iter().map(port_json).collect::<Vec<_>>(),
        "outputs": plan.outputs.iter().map(|(port, _)| port_json(port)).collect::<Vec<_>>(),
        "arena_bytes": plan.arena_bytes,
        "arena_bound_bytes": plan.bound_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "weight_bytes": plan.weights.bytes().len(),
        "steps": plan.steps.iter().map(|step| step_json(plan, step)).collect::<Vec<_>>(),
    })
}
