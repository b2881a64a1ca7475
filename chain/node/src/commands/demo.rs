//! `demo`: the whole product on 27 years of real data.

use std::path::PathBuf;

use clap::Args;
use tensor_datasets::EcbFx;

use crate::config::Config;
use crate::exit::Failure;
use crate::{demo, device, output};

/// Flags of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to write the report: a file is replaced, a pipe or a device is written into [default:
    /// tensorchain-report.html].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Magnitude above which a log return is part of a day's delta [default: 0.002].
    #[arg(long, value_name = "RETURN", value_parser = threshold)]
    threshold: Option<f64>,
    /// Replay the rates through a cluster of this many processes on this machine, until Ctrl-C; no report then.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9), conflicts_with = "report")]
    nodes: Option<u8>,
}

impl DemoArgs {
    /// Whether it ends by itself when it is interrupted.
    #[must_use]
    pub const fn watches_for_interrupts(&self) -> bool {
        self.nodes.is_some()
    }
}

pub(super) fn run(config: &Config, args: DemoArgs) -> Result<(), Failure> {
    if let Some(nodes) = args.nodes {
        return demo::nodes::run(config, nodes.into(), args.threshold.unwrap_or(EcbFx::DEFAULT_THRESHOLD));
    }
    let kernels = device::open(config)?;
    let report = args.report.unwrap_or_else(|| "tensorchain-report.html".into());
    let threshold = args.threshold.unwrap_or(EcbFx::DEFAULT_THRESHOLD);
    Ok(output::answer(config.output, &demo::run(config, &kernels, threshold, &report)?)?)
}

/// A magnitude: what is not one would make every return, or none, part of a delta.
fn threshold(text: &str) -> Result<f64, String> {
    let magnitude = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    magnitude.ok_or_else(|| "expected a number of at least 0".to_owned())
}
