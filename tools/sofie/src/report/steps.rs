//! The table of steps: what each costs, and where it was measured, how long it took.

use std::fmt::Write;
use std::time::Duration;

use sofie_infer_compiler::plan::Plan;

use super::html::escape;
use crate::units::{bytes, count};

/// The table; `times` are those of the steps, or none.
pub fn table(plan: &Plan, times: Option<&[Duration]>) -> String {
    let timed = if times.is_some() { "<th>µs</th><th class=\"l\">share</th><th>GFLOP/s</th>" } else { "" };
    let mut html = format!(
        "<div class=\"scroll\"><table id=\"steps\">\n<thead><tr><th>step</th><th class=\"l\">kernel</th><th>FLOP</th>\
         <th>read</th><th>written</th>{timed}<th class=\"l\">ONNX nodes</th></tr></thead>\n<tbody>\n"
    );
    let total = times.map(|t| seconds(t.iter().sum())).unwrap_or_default();
    for (i, step) in plan.steps.iter().enumerate() {
        let cost = step.cost();
        let _ = writeln!(
            html,
            "<tr><td>{i}</td><td class=\"l\">{}</td><td>{}</td><td>{}</td><td>{}</td>{}<td class=\"l nodes\">{}</td></tr>",
            step.kernel.name(),
            count(cost.flop),
            bytes(cost.read_bytes),
            bytes(cost.written_bytes),
            times.and_then(|t| t.get(i)).map(|t| time(*t, total, cost.flop)).unwrap_or_default(),
            escape(&step.origin.join(" + ")),
        );
    }
    let cost = plan.cost();
    let _ = write!(
        html,
        "</tbody>\n<tfoot><tr><td></td><td class=\"l\">all</td><td>{}</td><td>{}</td><td>{}</td>{}<td></td></tr></tfoot>\n</table></div>",
        count(cost.flop),
        bytes(cost.read_bytes),
        bytes(cost.written_bytes),
        times.map(|t| time(t.iter().sum(), total, cost.flop)).unwrap_or_default(),
    );
    html
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn time(time: Duration, total: f64, flop: u64) -> String {
    let s = seconds(time);
    let share = if total > 0.0 { 100.0 * s / total } else { 0.0 };
    let rate = if flop > 0 && s > 0.0 { format!("{:.1}", flop as f64 / s / 1e9) } else { String::new() };
    format!(
        "<td>{:.2}</td><td class=\"l\"><span class=\"bar\" style=\"width:{share:.0}px\"></span> {share:.1} %</td><td>{rate}</td>",
        s * 1e6
    )
}
