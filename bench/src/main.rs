//! `tensor-bench`: measures the kernels and the chain on this machine.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tensor_bench::record::Record;
use tensor_bench::timing::Budget;
use tensor_bench::{chain, kernels, table};

/// Measures the kernels and the chain; answers are checked before they are timed.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// SIMD beside the scalar oracle, operation by operation.
    Kernels(Options),
    /// Commits per second and what one costs, in memory and on disk, as the chain grows.
    Chain(Options),
}

#[derive(Args)]
struct Options {
    /// Least seconds to spend on each case.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Write every raw sample to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Small inputs: shows that everything runs, measures nothing worth quoting.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tensor-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    let (Command::Kernels(options) | Command::Chain(options)) = &cli.command;
    let budget = Budget { runs: 3, time: Duration::try_from_secs_f64(options.seconds)? };
    let mut report = Record::new();
    match &cli.command {
        Command::Kernels(_) => kernels::run(&mut report, budget, options.quick)?,
        Command::Chain(_) => chain::run(&mut report, budget, options.quick)?,
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{}", table::table(&report))?;
    if let Some(path) = &options.json {
        report.write(path)?;
        writeln!(out, "raw samples: {}", path.display())?;
    }
    Ok(())
}
