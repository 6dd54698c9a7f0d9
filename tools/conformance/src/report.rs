//! What a run found: a row a case, totals by tier, what is missing by frequency, and the list that may only grow.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::Engine;
use crate::case::Case;
use crate::engine::Verdict;
use crate::table::quote;

/// Cases and what became of them.
pub type Rows<'a> = [(&'a Case, Verdict)];

/// A case in one line.
pub fn line(case: &Case, verdict: &Verdict) -> String {
    let (name, why) = verdict.parts();
    format!("{name:14} {}/{}: {}", case.kind, case.name, one_line(why))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes the rows as CSV.
pub fn write(path: &Path, engine: Engine, rows: &Rows<'_>) -> Result<(), String> {
    let engine = format!("{engine:?}").to_lowercase();
    let mut text = String::from("kind,name,tier,engine,result,message\n");
    for (case, verdict) in rows {
        let (name, why) = verdict.parts();
        let why = quote(&one_line(why));
        let _ = writeln!(text, "{},{},{},{engine},{name},{why}", case.kind, case.name, case.tier);
    }
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Prints totals by tier, and reasons by frequency.
pub fn print(rows: &Rows<'_>) {
    let mut tiers: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (case, verdict) in rows {
        let (name, why) = verdict.parts();
        for tier in [case.tier.as_str(), "all"] {
            *tiers.entry(tier).or_default().entry(name).or_default() += 1;
        }
        if !matches!(verdict, Verdict::Pass | Verdict::PassWithConstants) {
            *reasons.entry(reason(why)).or_default() += 1;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (reason, n) in reasons {
        println!("{n:5}  {reason}");
    }
    let columns = ["PASS", "PASS-CONSTANTS", "FAIL", "UNSUPPORTED", "COMPILE-ERROR"];
    println!("{:5} {:>6} {}", "tier", "cases", columns.map(|c| format!("{c:>15}")).concat());
    for (tier, counts) in tiers {
        let all: usize = counts.values().sum();
        let each = columns.map(|c| format!("{:15}", counts.get(c).unwrap_or(&0)));
        println!("{tier:5} {all:6} {}", each.concat());
    }
}

/// A message without what is peculiar to one case: the node, file and numbers.
fn reason(why: &str) -> String {
    let first = why.split("\n  = help").next().unwrap_or(why);
    let first = first.lines().next().unwrap_or_default();
    let place = first.find("node #").map_or(first, |at| &first[at..]);
    let operator = place.split(['(', ')']).find(|part| part.contains('-') && !part.contains(' '));
    let text = place.split_once(": ").map_or(place, |(_, rest)| rest);
    let text: String = text.chars().map(|c| if c.is_ascii_digit() { 'N' } else { c }).take(110).collect();
    match operator.and_then(|o| o.split('-').next()) {
        Some(operator) if place.starts_with("node #") => format!("{operator}: {text}"),
        _ => text,
    }
}

/// Checks the list of cases that have to pass. Cases that pass now and are not in it are printed, so that it grows.
pub fn holds(path: &Path, rows: &Rows<'_>) -> Result<bool, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let listed: Vec<&str> = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let mut kept = true;
    for (case, verdict) in rows {
        let name = format!("{}/{}", case.kind, case.name);
        let may_differ = listed.contains(&format!("~{name}").as_str());
        if verdict.is_wrong() && !may_differ {
            println!("wrong: {}", line(case, verdict));
            kept = false;
        }
        match (listed.contains(&name.as_str()), verdict.passes()) {
            (true, false) => {
                println!("no longer passes: {}", line(case, verdict));
                kept = false;
            }
            (false, true) if !may_differ => {
                println!("passes now, add it to {}: {name}", path.display());
                kept = false;
            }
            _ => {}
        }
    }
    Ok(kept)
}
