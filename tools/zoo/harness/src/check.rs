//! `check RTOL ATOL CASE...`: runs the model on each case's inputs and compares its outputs with those stored.
//!
//! `RTOL` is `max` for the max-normalised rule, whose limit is then `ATOL`. Every case runs on each instruction set that
//! the CPU has and on one thread, and all must give the same bits; the scalar form, hundreds of times slower, on small models alone.

use std::path::Path;
use std::time::{Duration, Instant};

use sofie_infer_runtime::DynSession;
use sofie_infer_runtime::npz::{Array, Distance, Npz, Tolerance, distance};
use sofie_infer_runtime::parallel;
use sofie_infer_runtime::simd::{Level, with_level};

use crate::{Case, Outcome, fill, inputs};

/// What the scalar form is tried on takes no longer than this with vectors.
const SMALL: Duration = Duration::from_micros(1500);

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
    let inputs = inputs::read(session.input_info(), case)?;
    let shapes: Vec<&[usize]> = inputs.iter().map(|array| &array.shape[..]).collect();
    if session.fit(&shapes).is_err() {
        return Ok(Outcome::Skipped);
    }
    let start = Instant::now();
    fill(session, &inputs);
    session.run();
    let small = start.elapsed() < SMALL;
    let stored = Npz::open(case.join("outputs.npz")).map_err(|e| e.to_string())?;
    let mut worst = Distance::default();
    for (i, info) in session.output_info().iter().enumerate() {
        let want = stored.array(info.name).map_err(|e| e.to_string())?;
        let shape = (0..info.shape.len()).map(|axis| session.output_extent(i, axis)).collect();
        let got = Array { dtype: info.dtype, shape, bytes: session.output_bytes(i).to_vec() };
        let error = distance(&got, &want, tolerance).map_err(|e| format!("output `{}`: {e}", info.name))?;
        worst = worst.max(error);
    }
    let bits = |session: &S| -> Vec<Vec<u8>> {
        (0..session.output_info().len()).map(|i| session.output_bytes(i).to_vec()).collect()
    };
    let reference = bits(session);
    fill(session, &inputs);
    parallel::alone(|| session.run());
    if bits(session) != reference {
        return Err("several threads give other bits than one".to_owned());
    }
    for level in Level::available().filter(|&l| small || l != Level::Scalar) {
        with_level(level, || {
            fill(session, &inputs);
            session.run();
        });
        if let Some(i) = bits(session).iter().zip(&reference).position(|(a, b)| a != b) {
            let (name, level) = (session.output_info()[i].name, level.name());
            return Err(format!(
                "output `{name}` has other bits with {level} than with {}",
                Level::current().name()
            ));
        }
    }
    Ok(Outcome::Compared { max_normalised: worst.max_normalised, in_tolerances: worst.in_tolerances })
}
