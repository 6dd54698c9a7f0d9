//! What shows on a terminal while something takes long; nothing anywhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner that says what is going on and goes away when it is dropped.
pub struct Spinner(ProgressBar);

impl Spinner {
    /// Shown once the work has taken 200 ms.
    pub fn new(what: String) -> Spinner {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Spinner(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar of so many units of work.
pub struct Bar(ProgressBar);

impl Bar {
    /// Empty.
    pub fn new(what: String, units: usize) -> Bar {
        let bar = ProgressBar::new(units as u64).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        Bar(bar)
    }

    /// One unit is done.
    pub fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
