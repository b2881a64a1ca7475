//! Progress bars: on stderr, and only where someone watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::Config;

/// A bar for `total` steps of something; invisible off a terminal and with `-q`.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Starts a bar that says what is being done.
    #[must_use]
    pub fn new(config: &Config, what: &'static str, total: usize) -> Self {
        let bar = if config.verbosity < 0 {
            ProgressBar::hidden()
        } else {
            // The target hides itself where stderr is not a terminal.
            ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr())
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:<9} {bar:40} {pos}/{len}  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// One step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    /// Leaves no trace of the bar, whether the work succeeded or not.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
