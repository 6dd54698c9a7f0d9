//! What is said of each model: a row of the table on standard output, an object of the JSON list.

use std::path::Path;

use serde_json::{Map, Value, json};
use zoo_harness::Sizes;

/// How a model did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It compiles and agrees with every stored case that fits.
    Ok,
    /// It compiles, and some output differs or its program failed.
    Wrong,
    /// The compiler refuses it, with a message.
    Refused,
    /// What the compiler emitted does not build, or it panicked.
    BuildFailed,
}

impl Status {
    /// The name in table and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Wrong => "wrong",
            Status::Refused => "refused",
            Status::BuildFailed => "build-failed",
        }
    }
}

/// All that is known of one model.
#[derive(Clone, Debug)]
pub struct Row {
    /// The model's name.
    pub model: String,
    /// How it did.
    pub status: Status,
    /// `max |a - b| / max |b|` over all outputs and cases; `None` when nothing was compared.
    pub max_error: Option<f64>,
    /// The largest error in units of the tolerance.
    pub in_tolerances: Option<f64>,
    /// What there is to say; empty when all is well.
    pub message: String,
    /// Times and sizes, when they were measured.
    pub times: Option<Times>,
}

/// Times and sizes of one model. Microseconds are medians, of the best block.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Ours: wall and thread CPU microseconds.
    pub ours: Option<(f64, f64)>,
    /// ONNX Runtime's.
    pub ort: Option<(f64, f64)>,
    /// OpenVINO's, the faster of its two forms.
    pub openvino: Option<(f64, f64)>,
    /// The constants of the module.
    pub sizes: Sizes,
    /// Microseconds of the first `Session::new`.
    pub new_us: f64,
    /// Seconds that the compiler takes from file to tokens.
    pub expand_s: f64,
    /// Seconds that cargo takes to build the program.
    pub build_s: f64,
}

impl Times {
    /// The faster peer's time over ours.
    pub fn ratio(&self) -> Option<f64> {
        let peer = [self.ort, self.openvino].into_iter().flatten().map(|t| t.0).min_by(f64::total_cmp)?;
        Some(peer / self.ours?.0)
    }
}

/// The geometric mean of the rows' ratios.
pub fn geometric_mean(rows: &[Row]) -> Option<f64> {
    let logs: Vec<_> = rows.iter().filter_map(|r| r.times.as_ref()?.ratio()).map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

/// Prints one line a model, its message below when it is long.
pub fn print_checks(rows: &[Row]) {
    let width = rows.iter().map(|r| r.model.len()).max().unwrap_or(0).max(5);
    println!("{:width$}  {:12}  {:>9}  {:>10}", "model", "status", "max error", "tolerances");
    for row in rows {
        let number = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.2e}"));
        let (error, units) = (number(row.max_error), number(row.in_tolerances));
        let head = format!("{:width$}  {:12}  {error:>9}  {units:>10}", row.model, row.status.name());
        match row.message.split_once('\n') {
            None => println!("{}", format!("{head}  {}", row.message).trim_end()),
            Some(_) => println!("{head}\n    {}", row.message.replace('\n', "\n    ")),
        }
    }
    let ok = rows.iter().filter(|r| r.status == Status::Ok).count();
    println!("{ok} of {} models are ok", rows.len());
}

/// Prints one line a model: medians, ratio, bytes, seconds.
pub fn print_times(rows: &[Row]) {
    let width = rows.iter().map(|r| r.model.len()).max().unwrap_or(0).max(5);
    println!(
        "{:width$}  {:>9} {:>9} {:>9} {:>9} {:>6}  {:>9} {:>9} {:>9} {:>9}  {:>7} {:>8} {:>7}",
        "model",
        "ours/us",
        "cpu/us",
        "ort/us",
        "ov/us",
        "ratio",
        "arena",
        "bound",
        "scratch",
        "weights",
        "new/us",
        "expand/s",
        "build/s"
    );
    for row in rows {
        let Some(t) = &row.times else {
            println!(
                "{:width$}  {}: {}",
                row.model,
                row.status.name(),
                row.message.lines().next().unwrap_or_default()
            );
            continue;
        };
        let us = |t: Option<(f64, f64)>| t.map_or_else(|| "-".to_owned(), |t| format!("{:.2}", t.0));
        let cpu = t.ours.map_or_else(|| "-".to_owned(), |t| format!("{:.2}", t.1));
        let ratio = t.ratio().map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        let s = t.sizes;
        print!(
            "{:width$}  {:>9} {cpu:>9} {:>9} {:>9} {ratio:>6}  {:>9} {:>9} {:>9} {:>9}  {:>7.1} {:>8.3} {:>7.2}",
            row.model,
            us(t.ours),
            us(t.ort),
            us(t.openvino),
            s.arena,
            s.bound,
            s.scratch,
            s.weights,
            t.new_us,
            t.expand_s,
            t.build_s
        );
        let remarks =
            if row.status == Status::Ok { String::new() } else { format!("  {}", row.status.name()) };
        println!("{remarks}  {}", row.message.lines().next().unwrap_or_default());
    }
    if let Some(mean) = geometric_mean(rows) {
        println!("geometric mean of the ratios: {mean:.2}");
    }
}

/// Writes the rows as a list of objects.
pub fn write_json(path: &Path, rows: &[Row]) -> Result<(), String> {
    let list: Vec<_> = rows.iter().map(to_json).collect();
    let text = serde_json::to_string_pretty(&list).map_err(|e| e.to_string())?;
    std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

/// One row; an error that is not finite is null, since JSON has no other word for it.
fn to_json(row: &Row) -> Value {
    let mut object = Map::new();
    object.insert("model".to_owned(), json!(row.model));
    object.insert("status".to_owned(), json!(row.status.name()));
    object.insert("max_error".to_owned(), json!(row.max_error));
    object.insert("message".to_owned(), json!(row.message));
    if let Some(t) = &row.times {
        let us = |t: Option<(f64, f64)>| t.map(|t| t.0);
        let cpu = |t: Option<(f64, f64)>| t.map(|t| t.1);
        for (key, value) in [
            ("ours_us", json!(us(t.ours))),
            ("ort_us", json!(us(t.ort))),
            ("openvino_us", json!(us(t.openvino))),
            ("ratio", json!(t.ratio())),
            ("arena_bytes", json!(t.sizes.arena)),
            ("arena_bound_bytes", json!(t.sizes.bound)),
            ("scratch_bytes", json!(t.sizes.scratch)),
            ("weight_bytes", json!(t.sizes.weights)),
            ("expand_s", json!(t.expand_s)),
            ("build_s", json!(t.build_s)),
            ("new_us", json!(t.new_us)),
            ("ours_cpu_us", json!(cpu(t.ours))),
            ("ort_cpu_us", json!(cpu(t.ort))),
            ("openvino_cpu_us", json!(cpu(t.openvino))),
        ] {
            object.insert(key.to_owned(), value);
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(times: Option<Times>) -> Row {
        let (model, message) = ("a".to_owned(), String::new());
        Row { model, status: Status::Ok, max_error: Some(1e-7), in_tolerances: Some(0.1), message, times }
    }

    #[test]
    fn the_ratio_is_the_faster_peers_over_ours() {
        let ours = Times { ours: Some((2.0, 2.0)), ..Times::default() };
        assert_eq!(ours.ratio(), None);
        let both = Times { ort: Some((8.0, 9.0)), openvino: Some((4.0, 1.0)), ..ours.clone() };
        assert_eq!(both.ratio(), Some(2.0));
        let one = Times { ort: Some((16.0, 16.0)), ..ours };
        let mean = geometric_mean(&[row(Some(both)), row(Some(one)), row(None)]);
        assert!(mean.is_some_and(|m| (m - 4.0).abs() < 1e-12), "{mean:?}");
    }

    #[test]
    fn json_has_the_promised_keys() {
        let value = to_json(&row(Some(Times { ours: Some((2.0, 2.0)), ..Times::default() })));
        for key in [
            "model",
            "status",
            "max_error",
            "message",
            "ours_us",
            "ort_us",
            "openvino_us",
            "ratio",
            "arena_bytes",
            "arena_bound_bytes",
            "weight_bytes",
            "expand_s",
            "build_s",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
        assert_eq!((&value["status"], &value["ort_us"]), (&json!("ok"), &Value::Null));
        assert_eq!(to_json(&row(None)).as_object().map(Map::len), Some(4));
    }
}
