//! The arena over time: a rectangle a tensor, from the step that writes it to the last that reads it, at its offset.

use std::fmt::Write;

use sofie_infer_compiler::plan::{Plan, Root, Step};

use super::graphs::class_of;
use super::html::escape;
use super::picture::short;
use crate::units::bytes;

/// The picture's inner size.
const WIDTH: f64 = 1080.0;
const HEIGHT: f64 = 380.0;
/// Room for the axes.
const LEFT: f64 = 74.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;

/// The picture.
pub fn svg(plan: &Plan) -> String {
    let steps = plan.steps.len();
    let size = plan.arena_bytes.max(plan.bound_bytes).max(1);
    // A column a step, and one for what the caller reads behind the last.
    let x = |step: usize| LEFT + WIDTH * step as f64 / (steps + 1) as f64;
    let y = |byte: usize| TOP + HEIGHT * (1.0 - byte as f64 / size as f64);
    let (w, h) = (LEFT + WIDTH + 130.0, TOP + HEIGHT + BOTTOM);
    let mut svg = format!("<svg id=\"memory\" role=\"img\" viewBox=\"0 0 {w} {h}\">\n");
    let _ = writeln!(
        svg,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>"
    );
    for i in 0..=4 {
        let byte = size * i / 4;
        let at = y(byte);
        let _ = writeln!(
            svg,
            "<path class=\"tick\" d=\"M{LEFT} {at:.1}h{WIDTH}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            bytes(byte as u64)
        );
    }
    let every = steps.div_ceil(20).max(1);
    for step in (0..steps).step_by(every) {
        let at = (x(step) + x(step + 1)) / 2.0;
        let _ = writeln!(
            svg,
            "<text class=\"axis\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{step}</text>",
            TOP + HEIGHT + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step</text>",
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 31.0
    );
    for (i, b) in plan.buffers.iter().enumerate().filter(|(_, b)| b.bytes > 0) {
        let writer = writer(plan, i);
        let kind = if b.scratch { "scratch" } else { writer.map_or("map", |s| class_of(s.kernel.name())) };
        let name = writer.map_or_else(|| "a result".to_owned(), named);
        let (left, right) = (x(b.first), x((b.last + 1).min(steps + 1)));
        let (top, bottom) = (y(b.offset + b.bytes), y(b.offset));
        let what = if b.scratch { "scratch of " } else { "" };
        let until = if b.last >= steps { "the end".to_owned() } else { format!("step {}", b.last) };
        let _ = writeln!(
            svg,
            "<g class=\"buffer {kind}\"><title>{what}{}\n{} at byte {}\nsteps {} to {until}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>{}</g>",
            escape(&name),
            bytes(b.bytes as u64),
            b.offset,
            b.first,
            (right - left).max(1.0),
            (bottom - top).max(1.0),
            label(&name, left, right, top, bottom),
        );
    }
    line(&mut svg, "peak", y(plan.arena_bytes), &format!("peak {}", bytes(plan.arena_bytes as u64)), -6.0);
    line(&mut svg, "bound", y(plan.bound_bytes), &format!("bound {}", bytes(plan.bound_bytes as u64)), 14.0);
    svg += "</svg>";
    svg
}

/// A line across the picture with its name at the right.
fn line(svg: &mut String, class: &str, at: f64, text: &str, below: f64) {
    let _ = writeln!(
        svg,
        "<path class=\"{class}\" d=\"M{LEFT} {at:.1}h{:.1}\"/><text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
        WIDTH + 8.0,
        LEFT + WIDTH + 12.0,
        at + below,
    );
}

/// The name inside the rectangle, along it or up it, where it fits.
fn label(name: &str, left: f64, right: f64, top: f64, bottom: f64) -> String {
    let name = short(name);
    let (length, letter) = (name.chars().count() as f64 * 6.2 + 8.0, 13.0);
    let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let turn = match (right - left, bottom - top) {
        (w, h) if w >= length && h >= letter => String::new(),
        (w, h) if w >= letter && h >= length => format!(" transform=\"rotate(-90 {x:.1} {y:.1})\""),
        _ => return String::new(),
    };
    format!("<text x=\"{x:.1}\" y=\"{:.1}\"{turn}>{}</text>", y + 3.5, escape(&name))
}

/// The first step that writes a buffer.
fn writer(plan: &Plan, buffer: usize) -> Option<&Step> {
    plan.steps.iter().find(|s| s.writes.iter().any(|o| o.root == Root::Buffer(buffer)))
}

/// A step's result is named after the last of the nodes that it stands for.
fn named(step: &Step) -> String {
    step.origin.last().map_or_else(|| step.kernel.name().to_owned(), ToString::to_string)
}
