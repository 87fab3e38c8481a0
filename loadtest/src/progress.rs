//! [`Progress`]: a progress bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, or nothing if that is not a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

const TEMPLATE: &str = "{msg:12} [{bar:40}] {pos}/{len}{prefix} {elapsed}";

impl Progress {
    /// Counts clients.
    pub(crate) fn clients(what: &'static str, clients: u64) -> Self {
        Self::new(what, clients, "")
    }

    /// Counts milliseconds.
    pub(crate) fn time(what: &'static str, time: Duration) -> Self {
        Self::new(what, u64::try_from(time.as_millis()).unwrap_or(u64::MAX), " ms")
    }

    fn new(what: &'static str, len: u64, unit: &'static str) -> Self {
        let bar = ProgressBar::new(len).with_message(what).with_prefix(unit);
        bar.set_style(
            ProgressStyle::with_template(TEMPLATE)
                .expect("the template is well-formed")
                .progress_chars("=> "),
        );
        Self(bar)
    }

    pub(crate) fn add(&self, steps: u64) {
        self.0.inc(steps);
    }

    pub(crate) fn set(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
