//! `check RTOL ATOL CASE...`: runs the model on each case's inputs and compares its outputs with those stored.
//!
//! `RTOL` is `max` for the max-normalised rule, whose limit is then `ATOL`.

use std::path::Path;

use sofie_infer::npz::{Array, Distance, Npz, Tolerance, distance};
use sofie_infer::rt::DynSession;

use crate::{Case, Outcome, fill, inputs};

pub fn run<S: DynSession>(new: fn() -> S, args: &[String]) -> Result<(), String> {
    let [rtol, atol, cases @ ..] = args else { return Err("usage: check RTOL ATOL CASE...".to_owned()) };
    let number = |s: &String| s.parse::<f64>().map_err(|_| format!("`{s}` is no number"));
    let tolerance = match rtol.as_str() {
        "max" => Tolerance::MaxNormalised(number(atol)?),
        _ => Tolerance::Close { rtol: number(rtol)?, atol: number(atol)? },
    };
    let mut session = new();
    for case in cases.iter().map(Path::new) {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = one(&mut session, case, tolerance).unwrap_or_else(Outcome::Failed);
        println!("{}", Case { name, outcome });
    }
    Ok(())
}

fn one<S: DynSession>(session: &mut S, case: &Path, tolerance: Tolerance) -> Result<Outcome, String> {
    let Some(inputs) = inputs::read(session.input_info(), case)? else { return Ok(Outcome::Skipped) };
    fill(session, &inputs);
    session.run();
    let stored = Npz::open(case.join("outputs.npz")).map_err(|e| e.to_string())?;
    let mut worst = Distance::default();
    for (i, info) in session.output_info().iter().enumerate() {
        let want = stored.array(info.name).map_err(|e| e.to_string())?;
        let got =
            Array { dtype: info.dtype, shape: info.shape.to_vec(), bytes: session.output_bytes(i).to_vec() };
        let error = distance(&got, &want, tolerance).map_err(|e| format!("output `{}`: {e}", info.name))?;
        worst = worst.max(error);
    }
    Ok(Outcome::Compared { max_normalised: worst.max_normalised, in_tolerances: worst.in_tolerances })
}
