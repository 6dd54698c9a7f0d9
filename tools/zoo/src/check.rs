//! `zoo check`: builds every model's program, runs it on the stored cases, says how each did.

use std::path::{Path, PathBuf};

use zoo_harness::{Case, Outcome};

use crate::layout::{Entry, entries};
use crate::report::{Row, Status, print_checks, write_json};
use crate::scratch::{Model, Profile, Program, Scratch};
use crate::{Check, Selection, compiler, dims, drawn, run};
use sofie_infer_runtime::npz::Tolerance;

/// Runs the command; whether every model is ok.
pub fn main(args: &Check) -> Result<bool, String> {
    let models = select(&args.selection, args.dynamic)?;
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    let scratch = Scratch::new(&args.selection.dir, &models, profile, args.threads)?;
    eprintln!("building {} models", models.len());
    scratch.build_shared()?;
    let programs = scratch.build_all()?;
    let rows: Vec<_> =
        models.iter().zip(&programs).enumerate().map(|(i, (m, p))| row(m, p, &scratch, i)).collect();
    print_checks(&rows);
    if let Some(path) = &args.selection.json {
        write_json(path, &rows)?;
    }
    Ok(rows.iter().all(|r| r.status == Status::Ok))
}

/// The models asked for, each with the extents of its symbols, or their bounds.
pub fn select(selection: &Selection, dynamic: bool) -> Result<Vec<Model>, String> {
    let entries = entries(&selection.dir, &selection.models)?;
    let overrides = selection.dims.iter().map(dims::Override::model);
    if let Some(unknown) = overrides.into_iter().find(|m| entries.iter().all(|e| e.name != *m)) {
        return Err(format!("--dims names `{unknown}`, which is not among the models"));
    }
    let model = |entry: Entry| match dynamic {
        true => {
            let (dims, bounds) = dims::bounds(&entry, &selection.dims);
            Model { entry, dims, bounds }
        }
        false => Model { dims: dims::fix(&entry, &selection.dims), entry, bounds: dims::Bounds::new() },
    };
    // What is not named need not be dynamic.
    let all = !selection.models.is_empty() || !dynamic;
    Ok(entries.into_iter().map(model).filter(|m| all || !m.bounds.is_empty()).collect())
}

/// How one model did.
pub fn row(model: &Model, program: &Program, scratch: &Scratch, index: usize) -> Row {
    let Model { entry, dims, bounds } = model;
    let mut row = Row {
        model: entry.name.clone(),
        status: Status::Ok,
        max_error: None,
        in_tolerances: None,
        message: String::new(),
        times: None,
    };
    match program {
        // The compiler's own words where it refuses; what rustc says where it does not, since then that is our fault.
        Program::Failed(rustc) => match compiler::refusal(&entry.path, dims, bounds) {
            Some(compiler::Failure::Refused(message)) => {
                (row.status, row.message) = (Status::Refused, message)
            }
            Some(compiler::Failure::Panicked(message)) => {
                (row.status, row.message) = (Status::BuildFailed, message)
            }
            None => (row.status, row.message) = (Status::BuildFailed, rustc.clone()),
        },
        Program::Built { path, .. } => {
            let logs = scratch.logs(index);
            let ran = drawn_cases(model, &logs).and_then(|drawn| {
                let mut cases = entry.cases.clone();
                cases.extend(drawn.iter().map(|(case, _)| case.clone()));
                Ok((run::lines(path, &arguments(entry, &cases), scratch.threads(), &logs)?, drawn))
            });
            match ran {
                Ok((lines, drawn)) => judge(&mut row, &lines, &drawn),
                Err(message) => (row.status, row.message) = (Status::Wrong, message),
            }
        }
    }
    row
}

/// Cases at other extents than the stored ones have, where extents are free.
fn drawn_cases(model: &Model, folder: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    if model.bounds.is_empty() { Ok(Vec::new()) } else { drawn::cases(model, folder) }
}

fn arguments(entry: &Entry, cases: &[PathBuf]) -> Vec<String> {
    let (rtol, atol) = match entry.tolerance {
        Tolerance::Close { rtol, atol } => (rtol.to_string(), atol),
        Tolerance::MaxNormalised(limit) => ("max".to_owned(), limit),
    };
    let cases = cases.iter().map(|c| c.to_string_lossy().into_owned());
    ["check".to_owned(), rtol, atol.to_string()].into_iter().chain(cases).collect()
}

/// Fills the row from the program's lines; `drawn` are the cases behind those stored, and their extents.
fn judge(row: &mut Row, lines: &[String], drawn: &[(PathBuf, String)]) {
    let cases: Vec<Case> = lines.iter().filter_map(|l| l.parse().ok()).collect();
    let stored = cases.len().saturating_sub(drawn.len());
    let mut compared = 0;
    let mut remarks = Vec::new();
    let mut same = 0;
    for (case, (_, extents)) in cases[stored..].iter().zip(drawn) {
        match &case.outcome {
            Outcome::Skipped => {
                row.status = Status::Wrong;
                remarks.push(format!("no run at {extents}"));
            }
            Outcome::Failed(why) => {
                row.status = Status::Wrong;
                remarks.push(format!("at {extents}: {why}"));
            }
            // Nothing rounds otherwise where extents are free.
            Outcome::Compared { max_normalised, .. } if *max_normalised == 0.0 => same += 1,
            Outcome::Compared { max_normalised, .. } => {
                row.status = Status::Wrong;
                remarks.push(format!("differs from the fixed session at {extents}, by {max_normalised:.0e}"));
            }
        }
    }
    if !drawn.is_empty() {
        remarks.push(format!("the fixed session's numbers at {same} of {} drawn extents", drawn.len()));
    }
    for case in &cases[..stored] {
        match &case.outcome {
            Outcome::Skipped => {}
            Outcome::Compared { max_normalised, in_tolerances } => {
                compared += 1;
                row.max_error = Some(row.max_error.unwrap_or(0.0).max(*max_normalised));
                row.in_tolerances = Some(row.in_tolerances.unwrap_or(0.0).max(*in_tolerances));
                if *in_tolerances > 1.0 {
                    row.status = Status::Wrong;
                    remarks.push(format!("{} differs", case.name));
                }
            }
            Outcome::Failed(why) => {
                row.status = Status::Wrong;
                remarks.push(format!("{}: {why}", case.name));
            }
        }
    }
    if compared < stored {
        remarks.push(format!("{compared} of {stored} cases fit the shapes"));
    } else if stored == 0 {
        remarks.push("no stored cases".to_owned());
    }
    row.message = remarks.join("; ");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_with(outcomes: &[Outcome], drawn: &[(PathBuf, String)]) -> Row {
        let lines: Vec<_> = outcomes
            .iter()
            .enumerate()
            .map(|(i, o)| Case { name: format!("case{i}"), outcome: o.clone() }.to_string())
            .collect();
        let mut row = Row {
            model: String::new(),
            status: Status::Ok,
            max_error: None,
            in_tolerances: None,
            message: String::new(),
            times: None,
        };
        judge(&mut row, &lines, drawn);
        row
    }

    fn judged(outcomes: &[Outcome]) -> Row {
        judged_with(outcomes, &[])
    }

    #[test]
    fn drawn_extents_are_held_to_the_fixed_session() {
        let compared = |e: f64| Outcome::Compared { max_normalised: e / 10.0, in_tolerances: e };
        let drawn = [3, 4].map(|n| (PathBuf::new(), format!("n = {n}")));
        let row = judged_with(&[compared(0.5), compared(0.0), compared(0.2)], &drawn);
        assert_eq!((row.status, row.max_error), (Status::Wrong, Some(0.05)));
        assert_eq!(
            row.message,
            "differs from the fixed session at n = 4, by 2e-2; the fixed session's numbers at 1 of 2 drawn extents"
        );
        let row = judged_with(&[compared(0.5), compared(0.0), compared(0.0)], &drawn);
        assert_eq!((row.status, row.max_error), (Status::Ok, Some(0.05)));
        let row = judged_with(&[compared(0.5), Outcome::Skipped, compared(2.0)], &drawn);
        assert_eq!(row.status, Status::Wrong);
        assert!(
            row.message.starts_with("no run at n = 3; differs from the fixed session at n = 4, by 2e-1; ")
        );
    }

    #[test]
    fn the_worst_case_decides() {
        let compared = |e: f64| Outcome::Compared { max_normalised: e / 10.0, in_tolerances: e };
        let row = judged(&[compared(0.5), compared(0.25), Outcome::Skipped]);
        assert_eq!((row.status, row.max_error, row.in_tolerances), (Status::Ok, Some(0.05), Some(0.5)));
        assert_eq!(row.message, "2 of 3 cases fit the shapes");
        let row = judged(&[compared(0.5), compared(1.5)]);
        assert_eq!((row.status, row.message.as_str()), (Status::Wrong, "case1 differs"));
        let row = judged(&[Outcome::Failed("no array `x`".to_owned())]);
        assert_eq!((row.status, row.max_error), (Status::Wrong, None));
        assert_eq!(judged(&[]).message, "no stored cases");
    }
}
