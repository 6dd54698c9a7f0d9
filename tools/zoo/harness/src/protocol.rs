//! The lines between a model's program and the zoo tool: fields with tabs between them, one record a line.
//!
//! The tool reads them back with the same types, so that neither side guesses.

use std::fmt;
use std::str::FromStr;

use crate::Sizes;

/// How one case went.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The case's folder.
    pub name: String,
    /// What came out.
    pub outcome: Outcome,
}

/// What came out of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its inputs have other shapes than the model was compiled for.
    Skipped,
    /// The largest error of all outputs: max-normalised, and in units of the tolerance.
    Compared {
        /// `max |a - b| / max |b|`.
        max_normalised: f64,
        /// Up to 1 agrees.
        in_tolerances: f64,
    },
    /// Arrays are missing or have the wrong type.
    Failed(String),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Skipped => write!(f, "case\t{}\tskipped", self.name),
            Outcome::Compared { max_normalised, in_tolerances } => {
                write!(f, "case\t{}\tcompared\t{max_normalised:e}\t{in_tolerances:e}", self.name)
            }
            Outcome::Failed(why) => {
                write!(f, "case\t{}\tfailed\t{}", self.name, why.replace(['\t', '\n'], " "))
            }
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<_> = line.split('\t').collect();
        let bad = || format!("not a case: {line}");
        let number = |s: &str| s.parse::<f64>().map_err(|_| bad());
        let (name, outcome) = match fields[..] {
            ["case", name, "skipped"] => (name, Outcome::Skipped),
            ["case", name, "compared", max, units] => {
                (name, Outcome::Compared { max_normalised: number(max)?, in_tolerances: number(units)? })
            }
            ["case", name, "failed", why] => (name, Outcome::Failed(why.to_owned())),
            _ => return Err(bad()),
        };
        Ok(Case { name: name.to_owned(), outcome })
    }
}

/// How long one engine takes, or why it could not run.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// "ours", "ort", "openvino" or "openvino-dynamic".
    pub engine: String,
    /// Microseconds a call, wall and thread CPU time: of each block the median call, of the blocks the best.
    pub us: Result<(f64, f64), String>,
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.us {
            Ok((wall, cpu)) => write!(f, "time\t{}\t{wall:.4}\t{cpu:.4}", self.engine),
            Err(why) => write!(f, "time\t{}\t{}", self.engine, why.replace(['\t', '\n'], " ")),
        }
    }
}

impl FromStr for Timing {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<_> = line.split('\t').collect();
        let number = |s: &str| s.parse::<f64>().map_err(|_| format!("not a timing: {line}"));
        match fields[..] {
            ["time", engine, wall, cpu] => {
                Ok(Timing { engine: engine.to_owned(), us: Ok((number(wall)?, number(cpu)?)) })
            }
            ["time", engine, why] => Ok(Timing { engine: engine.to_owned(), us: Err(why.to_owned()) }),
            _ => Err(format!("not a timing: {line}")),
        }
    }
}

/// What is known of a session before it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Built {
    /// The constants of its module.
    pub sizes: Sizes,
    /// Microseconds that `Session::new` took, the first time.
    pub new_us: f64,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sizes { arena, bound, scratch, weights } = self.sizes;
        write!(f, "built\t{arena}\t{bound}\t{scratch}\t{weights}\t{:.3}", self.new_us)
    }
}

impl FromStr for Built {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<_> = line.split('\t').collect();
        let bad = || format!("not a session's sizes: {line}");
        let size = |s: &str| s.parse::<usize>().map_err(|_| bad());
        let ["built", arena, bound, scratch, weights, new_us] = fields[..] else { return Err(bad()) };
        let sizes = Sizes {
            arena: size(arena)?,
            bound: size(bound)?,
            scratch: size(scratch)?,
            weights: size(weights)?,
        };
        Ok(Built { sizes, new_us: new_us.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went() {
        for outcome in [
            Outcome::Skipped,
            Outcome::Compared { max_normalised: 1.5e-7, in_tolerances: f64::INFINITY },
            Outcome::Failed("no array `x`".to_owned()),
        ] {
            let case = Case { name: "case0".to_owned(), outcome };
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for us in [Ok((0.25, 0.5)), Err("not found".to_owned())] {
            let timing = Timing { engine: "ort".to_owned(), us };
            assert_eq!(timing.to_string().parse(), Ok(timing));
        }
        let built = Built { sizes: Sizes { arena: 1, bound: 2, scratch: 3, weights: 4 }, new_us: 5.25 };
        assert_eq!(built.to_string().parse(), Ok(built));
        assert!("case\tcase0".parse::<Case>().is_err());
        assert!("time\tort\tfast\tslow".parse::<Timing>().is_err());
    }

    #[test]
    fn a_message_stays_on_its_line() {
        let case = Case { name: "case0".to_owned(), outcome: Outcome::Failed("a\tb\nc".to_owned()) };
        assert_eq!(case.to_string(), "case\tcase0\tfailed\ta b c");
    }
}
