//! `sofie report`: one page on a model that needs no network: its graph before and after the passes, the memory plan as a
//! picture, its steps, and where data is given, the time of each.

mod graphs;
mod html;
mod layout;
mod memory;
mod picture;
mod steps;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use sofie_infer_compiler::Compiled;
use sofie_infer_compiler::plan::Plan;

use crate::answer::{Answer, Failure};
use crate::data::Data;
use crate::model::{self, Model, port_text, write};
use crate::progress::Bar;
use crate::units::{bytes, count, plural};
use html::escape;

/// The command's arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    /// Where the page goes
    #[arg(short, long, value_name = "HTML")]
    output: PathBuf,
    /// Archives that hold inputs, to run the steps on and measure them; symbols are fixed by their shapes
    #[arg(long, value_name = "NPZ", num_args = 1..)]
    data: Vec<PathBuf>,
    /// Runs of the steps; of each the fastest counts
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Answer, Failure> {
    let mut model = args.model.read()?;
    let data = Data::open(&args.data)?;
    model.fix_by(&data)?;
    let compiled = model.compile()?;
    let times =
        if args.data.is_empty() { None } else { Some(measure(&model, &compiled, &data, args.rounds)?) };

    let onnx = &model.onnx.graph;
    let origins = graphs::Origins::of(onnx, &compiled.graph);
    let before = graphs::before(onnx, &origins);
    let after = graphs::after(&compiled.graph, &origins);
    let plan = &compiled.plan;
    let mut body = String::from("<main>\n");
    body += &header(&model, plan, times.as_deref());
    let _ = write!(
        body,
        "<h2>The graph, before and after</h2>\n<p>Point at a node: what it became, or came from, is marked in the other picture. \
         Wheel and buttons zoom, dragging moves.</p>\n{LEGEND}\n<div class=\"pair\">\n{}\n{}\n</div>\n",
        pane("In the file", &plural(onnx.nodes.len(), "node"), &before.svg("before")),
        pane("As it is compiled", &plural(after.vertices.len() - ports(&after), "node"), &after.svg("after")),
    );
    let _ = write!(
        body,
        "<h2>Memory</h2>\n<p>Each rectangle is a tensor in the session's memory: the steps during which it lives, the bytes where it lies. \
         The lower bound is the most that lives at one step, kernels' scratch apart.</p>\n{}\n",
        memory::svg(plan)
    );
    let measured = match times {
        Some(_) => {
            format!(" Times are those of the kernels alone, the fastest of {}.", plural(args.rounds, "run"))
        }
        None => " Give inputs with <code>--data</code> to measure them.".to_owned(),
    };
    let _ = write!(
        body,
        "<h2>Steps</h2>\n<p>In the order in which they run.{measured}</p>\n{}\n</main>",
        steps::table(plan, times.as_deref())
    );
    write(&args.output, html::page(&format!("{} in sofie-infer", model.file_name()), &body))?;
    let path = args.output.display().to_string();
    Ok(Answer {
        text: format!("wrote {path}"),
        json: json!({
            "model": model.shown(),
            "output": path,
            "steps": plan.steps.len(),
            "seconds": times.map(|t| t.iter().map(Duration::as_secs_f64).collect::<Vec<_>>()),
        }),
        good: true,
    })
}

const LEGEND: &str = "<div class=\"legend\"><span><i class=\"product\"></i>products</span><span><i class=\"map\"></i>elementwise</span>\
    <span><i class=\"row\"></i>reductions, rows</span><span><i class=\"move\"></i>moves of elements</span>\
    <span><i class=\"view\"></i>views, which cost nothing</span><span><i class=\"gone\"></i>nothing left at run time</span>\
    <span><i class=\"scratch\"></i>kernels' scratch</span></div>";

/// Boxes that are inputs and outputs.
fn ports(picture: &picture::Picture) -> usize {
    picture.vertices.iter().filter(|v| v.class == "port").count()
}

fn pane(title: &str, about: &str, svg: &str) -> String {
    format!(
        "<div class=\"pane\"><h3>{title} <span>{about}</span></h3><div class=\"zoom\"><button title=\"larger\">+</button> \
         <button title=\"smaller\">−</button> <button title=\"fit\">⤢</button></div>\n{svg}</div>"
    )
}

fn header(model: &Model, plan: &Plan, times: Option<&[Duration]>) -> String {
    let list = |ports: Vec<String>| escape(&ports.join(", "));
    let cost = plan.cost();
    let mut cards = vec![
        (format!("{}FLOP", spaced(count(cost.flop))), "a run"),
        (plan.steps.len().to_string(), "steps"),
        (bytes(plan.arena_bytes as u64), "memory"),
        (bytes(plan.bound_bytes as u64), "lower bound"),
        (bytes(plan.weights.bytes().len() as u64), "packed weights"),
    ];
    if let Some(times) = times {
        let total: Duration = times.iter().sum();
        cards.push((format!("{:.1} µs", total.as_secs_f64() * 1e6), "in kernels"));
    }
    let cards =
        cards.iter().map(|(n, what)| format!("<div class=\"card\"><b>{n}</b><span>{what}</span></div>"));
    let producer = match model.onnx.producer.as_str() {
        "" => String::new(),
        who => format!(", written by {}", escape(who)),
    };
    let dims: Vec<String> = model.dims.iter().map(|(s, n)| format!("{s} = {n}")).collect();
    let dims = if dims.is_empty() { String::new() } else { format!(" · {}", escape(&dims.join(", "))) };
    format!(
        "<h1>{}</h1>\n<p>{} → {}{dims}<br>ONNX opset {}{producer}</p>\n<div class=\"cards\">{}</div>\n",
        escape(&model.file_name()),
        list(plan.inputs.iter().map(port_text).collect()),
        list(plan.outputs.iter().map(|(port, _)| port_text(port)).collect()),
        model.onnx.opsets.version("").unwrap_or_default(),
        cards.collect::<String>(),
    )
}

fn spaced(text: String) -> String {
    if text.contains(' ') { text } else { text + " " }
}

/// Of each step the fastest run.
fn measure(model: &Model, compiled: &Compiled, data: &Data, rounds: usize) -> Result<Vec<Duration>, Failure> {
    let inputs = data.inputs(compiled.plan.inputs.iter())?;
    let rounds = rounds.max(1);
    let bar = Bar::new(format!("running {}", model.shown()), rounds);
    let mut best = vec![Duration::MAX; compiled.plan.steps.len()];
    for _ in 0..rounds {
        let (_, times) = compiled.profile(&inputs).map_err(|e| Failure::Other(e.to_string()))?;
        best.iter_mut().zip(times).for_each(|(best, time)| *best = time.min(*best));
        bar.step();
    }
    Ok(best)
}
