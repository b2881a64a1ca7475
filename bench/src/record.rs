//! What one run leaves behind: a table for people and a JSON file with every raw sample.

use std::io::{self, Write};

use serde::Serialize;
use tensor_kernels::Isa;

use crate::timing::{median, quantile};

/// Version of the JSON layout; it grows when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// One timed case.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What was computed, e.g. `conflict_matrix`.
    pub workload: String,
    /// Who computed it, e.g. `tensor-kernels`.
    pub implementation: String,
    /// Sizes and kind of the input.
    pub variant: String,
    /// Instruction-set level.
    pub isa: String,
    /// Worker threads.
    pub threads: usize,
    /// Seconds of each run.
    pub wall_s: Vec<f64>,
    /// What `throughput` counts.
    pub unit: String,
    /// Units per second at the median.
    pub throughput: f64,
    /// Whether the answer equals the oracle's exactly.
    pub exact: bool,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Layout version.
    pub format: u32,
    /// Version of the crates measured.
    pub version: &'static str,
    /// Levels of this machine.
    pub available_isa: Vec<String>,
    /// Cores that the operating system grants.
    pub cores: usize,
    /// All cases, in the order they ran.
    pub cases: Vec<Case>,
}

impl Report {
    /// A report of this machine with no cases yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            available_isa: Isa::available().iter().map(ToString::to_string).collect(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            cases: Vec::new(),
        }
    }

    /// The table: median, p99, throughput and, against the first case of the same workload and
    /// variant, how many times faster.
    ///
    /// # Errors
    /// Whatever `out` refuses.
    pub fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{:<17} {:<41} {:<7} {:>7} {:>11} {:>11} {:>14} {:>8}",
            "workload", "input", "isa", "threads", "median ms", "p99 ms", "throughput", "ratio"
        )?;
        for case in &self.cases {
            let same = |other: &&Case| other.workload == case.workload && other.variant == case.variant;
            let first = self.cases.iter().find(same).map_or(0.0, |first| median(&first.wall_s));
            let middle = median(&case.wall_s);
            writeln!(
                out,
                "{:<17} {:<41} {:<7} {:>7} {:>11.3} {:>11.3} {:>10.3e} {:<9} {:>5.1}x",
                case.workload,
                case.variant,
                case.isa,
                case.threads,
                middle * 1e3,
                quantile(&case.wall_s, 0.99) * 1e3,
                case.throughput,
                case.unit,
                first / middle
            )?;
        }
        Ok(())
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}
