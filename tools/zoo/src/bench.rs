//! `zoo bench`: builds every model's program as a user ships it, then times it against its peers.
//!
//! All programs are built before the first one runs, so that nothing of ours disturbs a measurement; a program that
//! compares wrong is timed all the same, and its row says so.

use std::path::PathBuf;

use zoo_harness::{Built, Timing};

use crate::report::{Status, Times, geometric_mean, print_times, write_json};
use crate::scratch::{Model, Profile, Program, Scratch, build_folder};
use crate::venv::{self, Libraries};
use crate::{Bench, Peer, chart, check, compiler, dims, run};

/// Runs the command; whether every model is ok.
pub fn main(args: &Bench) -> Result<bool, String> {
    let models = check::select(&args.selection, args.dynamic)?;
    let libraries = venv::libraries(args.venv.as_deref(), args.peer.contains(&Peer::Openvino))?;
    let scratch = Scratch::new(&args.selection.dir, &models, Profile::Release, args.threads)?;
    scratch.build_shared()?;
    let mut built = Vec::new();
    for (i, Model { entry, dims, bounds }) in models.iter().enumerate() {
        eprintln!("building {} of {}: {}", i + 1, models.len(), entry.name);
        let expanded = compiler::expansion(&entry.path, dims, bounds).unwrap_or_default();
        built.push((expanded, scratch.build_one(i)?));
    }
    let mut rows = Vec::new();
    for (i, (model, (expanded, program))) in models.iter().zip(&built).enumerate() {
        eprintln!("timing {} of {}: {}", i + 1, models.len(), model.entry.name);
        let mut row = check::row(model, program, &scratch, i);
        if let Program::Built { path, seconds } = program {
            let mut times = Times { expand_s: expanded.as_secs_f64(), build_s: *seconds, ..Times::default() };
            let remarks = match model.entry.cases.first() {
                None => vec!["no case to time".to_owned()],
                Some(case) => {
                    let arguments = arguments(args, model, case.to_string_lossy().as_ref(), &libraries);
                    match run::lines(path, &arguments, args.threads, &scratch.logs(i)) {
                        Ok(lines) => read(&lines, &mut times),
                        Err(why) => vec![why],
                    }
                }
            };
            row.message = std::iter::once(row.message)
                .chain(remarks)
                .filter(|r| !r.is_empty())
                .collect::<Vec<_>>()
                .join("; ");
            row.times = Some(times);
        }
        rows.push(row);
    }
    print_times(&rows);
    if let Some(path) = &args.selection.json {
        write_json(path, &rows)?;
    }
    let svg: PathBuf = args.svg.clone().map_or_else(|| build_folder().map(|f| f.join("bench.svg")), Ok)?;
    std::fs::write(&svg, chart::svg(&rows, geometric_mean(&rows), args.threads))
        .map_err(|e| format!("{}: {e}", svg.display()))?;
    println!("chart: {}", svg.display());
    Ok(rows.iter().all(|r| r.status == Status::Ok))
}

fn arguments(args: &Bench, Model { entry, .. }: &Model, case: &str, libraries: &Libraries) -> Vec<String> {
    let dims = dims::fix(entry, &args.selection.dims);
    let mut list = vec![
        "bench".to_owned(),
        format!("model={}", entry.path.display()),
        format!("case={case}"),
        format!("threads={}", args.threads),
        format!("rounds={}", args.rounds),
    ];
    list.extend(libraries.ort.iter().map(|l| format!("ort={}", l.display())));
    list.extend(libraries.openvino.iter().map(|l| format!("openvino={}", l.display())));
    list.extend(dims.iter().map(|(symbol, extent)| format!("dim={extent} {symbol}")));
    list
}

/// Takes sizes and times from the program's lines; returns why peers are missing.
fn read(lines: &[String], times: &mut Times) -> Vec<String> {
    let mut remarks = Vec::new();
    for line in lines {
        if let Ok(built) = line.parse::<Built>() {
            (times.sizes, times.new_us) = (built.sizes, built.new_us);
        }
        let Ok(Timing { engine, us }) = line.parse::<Timing>() else { continue };
        let slot = match engine.as_str() {
            "ours" => &mut times.ours,
            "ort" => &mut times.ort,
            _ => &mut times.openvino,
        };
        match us {
            Ok(us) if slot.is_none_or(|old| us.0 < old.0) => *slot = Some(us),
            Ok(_) => {}
            Err(why) => remarks.push(format!("{engine}: {why}")),
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_form_of_openvino_counts() {
        let line = |engine: &str, us| Timing { engine: engine.to_owned(), us }.to_string();
        let lines = [
            line("openvino", Ok((3.0, 3.5))),
            line("openvino-dynamic", Ok((2.0, 2.5))),
            line("ort", Err("no such operator".to_owned())),
            line("ours", Ok((1.0, 1.0))),
        ];
        let mut times = Times::default();
        assert_eq!(read(&lines, &mut times), ["ort: no such operator"]);
        assert_eq!((times.ours, times.ort, times.openvino), (Some((1.0, 1.0)), None, Some((2.0, 2.5))));
    }
}
