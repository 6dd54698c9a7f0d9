//! Where the time of a session goes, step by step: what `session.profile()` gives (feature `profile`).
//!
//! Two readings of the clock a step, about 40 ns together; modules that are expanded without the feature hold none of
//! this.

use core::fmt;
use std::time::{Duration, Instant};

/// What is known of a step while compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The kernel.
    pub kernel: &'static str,
    /// The ONNX nodes that it stands for, with ` + ` between them.
    pub nodes: &'static str,
    /// Operations on numbers: a multiply-add is two. Where extents are free, at the largest.
    pub flop: u64,
    /// Bytes that it reads and writes. Where extents are free, at the largest.
    pub bytes: u64,
}

/// Calls and time of each step.
#[derive(Clone, Debug)]
pub struct Profile {
    steps: &'static [Step],
    spent: Box<[Spent]>,
}

/// What was measured of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spent {
    calls: u64,
    time: Duration,
    flop: u64,
}

/// One step and what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The step.
    pub step: &'static Step,
    /// How often it ran.
    pub calls: u64,
    /// The time of all calls.
    pub time: Duration,
    /// The operations of all calls.
    pub flop: u64,
}

impl Row {
    /// The time of one call, on average.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.time.as_secs_f64() / self.calls.max(1) as f64)
    }

    /// Operations in 10⁹ a second; 0 where none are counted or none ran.
    pub fn gflops(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 { self.flop as f64 / seconds / 1e9 } else { 0.0 }
    }
}

/// The time at which a step begins.
#[inline]
pub fn now() -> Instant {
    Instant::now()
}

impl Profile {
    /// Nothing measured yet.
    pub fn new(steps: &'static [Step]) -> Profile {
        Profile { steps, spent: vec![Spent::default(); steps.len()].into() }
    }

    /// Step `i` began at `started` and has ended.
    #[inline]
    pub fn record(&mut self, i: usize, started: Instant) {
        self.record_flop(i, started, self.steps[i].flop);
    }

    /// The same of a step whose operations depend on the extents of the run.
    #[inline]
    pub fn record_flop(&mut self, i: usize, started: Instant, flop: u64) {
        let spent = &mut self.spent[i];
        spent.time += started.elapsed();
        spent.calls += 1;
        spent.flop = spent.flop.saturating_add(flop);
    }

    /// Forgets what was measured.
    pub fn clear(&mut self) {
        self.spent.fill(Spent::default());
    }

    /// All steps, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let row =
            |(step, &Spent { calls, time, flop }): (&'static Step, &Spent)| Row { step, calls, time, flop };
        self.steps.iter().zip(&self.spent).map(row)
    }

    /// The time of all steps.
    pub fn time(&self) -> Duration {
        self.spent.iter().map(|spent| spent.time).sum()
    }
}

/// A table, one line a step: mean time, share, rate, kernel, nodes.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self.steps.iter().map(|s| s.kernel.len()).max().unwrap_or(0).max(6);
        let total = self.time().as_secs_f64();
        writeln!(
            f,
            "{:>10} {:>7} {:>9} {:>8}  {:kernel$}  ONNX nodes",
            "us", "share", "GFLOP/s", "calls", "kernel"
        )?;
        for row in self.rows() {
            let share = if total > 0.0 { 100.0 * row.time.as_secs_f64() / total } else { 0.0 };
            let rate = if row.flop > 0 { format!("{:.1}", row.gflops()) } else { String::new() };
            writeln!(
                f,
                "{:10.2} {share:5.1} % {rate:>9} {:8}  {:kernel$}  {}",
                row.mean().as_secs_f64() * 1e6,
                row.calls,
                row.step.kernel,
                row.step.nodes,
            )?;
        }
        let runs = self.spent.iter().map(|spent| spent.calls).max().unwrap_or(0);
        write!(
            f,
            "{:10.2} us in {} steps, mean of {runs} runs",
            total / runs.max(1) as f64 * 1e6,
            self.steps.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static STEPS: [Step; 2] = [
        Step { kernel: "Gemm", nodes: "Gemm_a + Relu_b", flop: 2000, bytes: 64 },
        Step { kernel: "Copy", nodes: "Transpose_c", flop: 0, bytes: 64 },
    ];

    #[test]
    fn a_table_of_what_was_measured() {
        let mut profile = Profile::new(&STEPS);
        let spent = |nanos, flop| Spent { calls: 2, time: Duration::from_nanos(nanos), flop };
        profile.spent = [spent(3000, 4000), spent(1000, 0)].into();
        let text = profile.to_string();
        let want = "        us   share   GFLOP/s    calls  kernel  ONNX nodes
      1.50  75.0 %       1.3        2  Gemm    Gemm_a + Relu_b
      0.50  25.0 %                  2  Copy    Transpose_c
      2.00 us in 2 steps, mean of 2 runs";
        assert_eq!(text, want);
    }

    #[test]
    fn records_add_up_and_can_be_cleared() {
        let mut profile = Profile::new(&STEPS);
        assert!(profile.to_string().contains("mean of 0 runs"));
        profile.record(1, now());
        profile.record(1, now());
        let calls: Vec<u64> = profile.rows().map(|r| r.calls).collect();
        assert_eq!(calls, [0, 2]);
        profile.clear();
        assert_eq!((profile.time(), profile.rows().map(|r| r.calls).sum::<u64>()), (Duration::ZERO, 0));
    }
}
