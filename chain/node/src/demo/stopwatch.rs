//! How long each stage took.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Milliseconds per stage, in order, and in all.
#[derive(Debug, Serialize)]
pub struct Timing {
    /// Each stage by name.
    pub stages: Vec<Stage>,
    /// From the first to the last.
    pub total_ms: f64,
}

/// One stage.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// Its wall time.
    pub elapsed_ms: f64,
}

impl Timing {
    /// The time of a stage as it is printed after a line; nothing for a stage that did not run.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        let stage = self.stages.iter().find(|stage| stage.name == name);
        stage.map_or(String::new(), |stage| format!("  [{:.2} s]", stage.elapsed_ms / 1e3))
    }
}

/// Measures stage after stage.
pub(super) struct Stopwatch {
    started: Instant,
    last: Instant,
    stages: Vec<Stage>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last: now, stages: Vec::new() }
    }

    /// The stage that began with the last call is over.
    pub(super) fn lap(&mut self, name: &'static str) {
        let now = Instant::now();
        self.stages.push(Stage { name, elapsed_ms: milliseconds(now - self.last) });
        self.last = now;
    }

    /// What has been measured so far.
    pub(super) fn timing(&self) -> Timing {
        Timing { stages: self.stages.clone(), total_ms: milliseconds(self.started.elapsed()) }
    }
}

/// Milliseconds, to the microsecond.
fn milliseconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
