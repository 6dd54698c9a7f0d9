//! The bar chart: how many times faster than the faster peer, one bar a model, on a logarithmic axis.

use std::fmt::Write as _;

use crate::report::Row;

const LEFT: f64 = 260.0;
const WIDTH: f64 = 520.0;
const RIGHT: f64 = 190.0;
const BAR: f64 = 18.0;
const TOP: f64 = 56.0;

/// Draws the rows that have a ratio, the largest first.
pub fn svg(rows: &[Row], mean: Option<f64>, threads: usize) -> String {
    let mut bars: Vec<_> =
        rows.iter().filter_map(|r| Some((r, r.times.as_ref()?, r.times.as_ref()?.ratio()?))).collect();
    bars.sort_by(|a, b| b.2.total_cmp(&a.2));
    let low = bars.iter().map(|b| b.2).fold(0.5, f64::min).log2().floor();
    let high = bars.iter().map(|b| b.2).fold(4.0, f64::max).log2().ceil();
    let x = |ratio: f64| LEFT + (ratio.log2() - low) / (high - low) * WIDTH;
    let bottom = TOP + BAR * bars.len() as f64;
    let (width, height) = (LEFT + WIDTH + RIGHT, bottom + 34.0);

    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{LEFT}" y="20" font-size="15" fill="#222222">Times faster than the faster peer, {}{}</text>"##,
        if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") },
        mean.map_or_else(String::new, |m| format!("; geometric mean {m:.2}"))
    );
    for power in low as i32..=high as i32 {
        let (ratio, at) = (f64::from(power).exp2(), x(f64::from(power).exp2()));
        let colour = if power == 0 { "#222222" } else { "#dddddd" };
        let _ = writeln!(
            out,
            r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" stroke="{colour}"/>"##
        );
        let _ = writeln!(
            out,
            r##"<text x="{at:.1}" y="{:.1}" text-anchor="middle" fill="#555555">{ratio}</text>"##,
            TOP - 8.0
        );
    }
    for (i, (row, times, ratio)) in bars.iter().enumerate() {
        let (y, one, end) = (TOP + BAR * i as f64 + 2.0, x(1.0), x(*ratio));
        let colour = if *ratio >= 1.0 { "#2f7d5b" } else { "#b5482f" };
        let text = y + BAR - 7.0;
        let _ = writeln!(
            out,
            r##"<text x="{:.1}" y="{text:.1}" text-anchor="end" fill="#222222">{}</text>
<rect x="{:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>
<text x="{:.1}" y="{text:.1}" fill="#222222">{ratio:.2} ({})</text>"##,
            LEFT - 8.0,
            escape(&row.model),
            one.min(end),
            (end - one).abs().max(1.0),
            BAR - 4.0,
            end.max(one) + 6.0,
            times.ours.map_or_else(String::new, |t| time(t.0)),
        );
    }
    let _ = writeln!(
        out,
        r##"<text x="{LEFT}" y="{:.1}" fill="#555555">our median latency in brackets</text>"##,
        bottom + 20.0
    );
    out.push_str("</svg>\n");
    out
}

fn time(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.2} µs"),
        us => format!("{:.2} ms", us / 1000.0),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Status, Times};

    fn row(model: &str, ours: f64, ort: f64) -> Row {
        let times = Times { ours: Some((ours, ours)), ort: Some((ort, ort)), ..Times::default() };
        let (model, message) = (model.to_owned(), String::new());
        Row { model, status: Status::Ok, max_error: None, in_tolerances: None, message, times: Some(times) }
    }

    #[test]
    fn one_bar_a_measured_model_largest_first() {
        let unmeasured = Row { times: None, ..row("none", 1.0, 1.0) };
        let chart = svg(&[row("slow", 2.0, 1.0), row("a<b", 1.0, 8.0), unmeasured], Some(2.0), 1);
        assert_eq!(chart.matches("<rect").count(), 1 + 2);
        assert!(chart.find("a&lt;b").unwrap_or(0) < chart.find("slow").unwrap_or(0));
        assert!(
            chart.contains("8.00 (1.00 µs)")
                && chart.contains("geometric mean 2.00")
                && !chart.contains("none")
        );
        assert!(svg(&[], None, 2).ends_with("</svg>\n"));
    }
}
