//! The command line, and what each subcommand does.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::compare::compare;
use crate::error::BenchError;
use crate::options::{Options, Output};
use crate::record::Record;
use crate::runner::Bench;
use crate::workloads::Family;
use crate::{chain, limits, report, table};

/// Measures the kernels, the chain and this machine's limits; answers are checked before they are timed.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every operation at every level beside the scalar oracle.
    Kernels(Options),
    /// Exact nearest rows: w1, w2.
    Search(Options),
    /// Conflict classes of dense rows: w3.
    Dense(Options),
    /// Sparse rows, all pairs and one pair: w4a, w4b, w4c, w8, w9, over densities and numbers of rows.
    Sparse(Options),
    /// Clustering and nearest centroids: w5, w6.
    Kmeans(Options),
    /// Rows to signed bytes and back: w7.
    Int8(Options),
    /// Commits per second and what one costs, in memory and on disk, as the chain grows.
    Chain(Options),
    /// This machine's limits: arithmetic, caches, memory.
    Limits(Options),
    /// w1 to w9 and the limits: everything that the report draws.
    All(Options),
    /// One HTML page with plots from a file that --json wrote.
    Report(ReportOptions),
}

#[derive(Debug, Args)]
struct ReportOptions {
    /// What --json or --save wrote.
    file: PathBuf,
    /// The page [default: the file's name with .html].
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs a command line; the answer goes to `out`.
///
/// # Errors
/// A wrong answer, a regression, files that cannot be read or written.
pub fn run(cli: Cli, out: &mut impl std::io::Write) -> Result<(), BenchError> {
    let (families, options): (&[Family], Options) = match cli.command {
        Command::Report(options) => return draw(&options, out),
        Command::Chain(options) => {
            let mut record = Record::new();
            chain::run(&mut record, options.budget(), options.quick)?;
            return finish(&options, &record, "", out);
        }
        Command::Limits(options) => {
            let mut bench = Bench::new(options);
            let missing = limits::run(&mut bench)?;
            let missing = missing.iter().fold(String::new(), |text, name| {
                text + &format!("SKIPPED: this machine or build has no {name}\n")
            });
            return finish(&bench.options.clone(), &bench.into_record()?, &missing, out);
        }
        Command::Kernels(options) => (&[Family::Operations], options),
        Command::Search(options) => (&[Family::Search], options),
        Command::Dense(options) => (&[Family::DensePairs], options),
        Command::Sparse(options) => (&[Family::Sparse], options),
        Command::Kmeans(options) => (&[Family::KMeans], options),
        Command::Int8(options) => (&[Family::Int8], options),
        Command::All(options) => (&Family::NAMED, options),
    };
    let all = families.len() > 1;
    let mut bench = Bench::new(options.clone());
    if all {
        limits::run(&mut bench)?;
    }
    families.iter().try_for_each(|family| family.run(&mut bench))?;
    finish(&options, &bench.into_record()?, "", out)
}

/// Prints a record, keeps it where it was asked for, and compares it.
fn finish(
    options: &Options,
    record: &Record,
    remarks: &str,
    out: &mut impl std::io::Write,
) -> Result<(), BenchError> {
    let mut text = match options.output {
        Output::Table => table::table(record) + remarks,
        Output::Json => record.to_json()?,
    };
    if let Some(path) = &options.json {
        record.write(path)?;
    }
    if let Some(path) = &options.csv {
        write(path, &table::csv(record))?;
    }
    let kept = |name: &str| options.saved_in.join(format!("{name}.json"));
    // The old results are read before new ones of the same name replace them.
    let before = options.compare.as_ref().map(|name| Record::read(&kept(name))).transpose()?;
    if let Some(name) = &options.save {
        record.write(&kept(name))?;
    }
    let comparison = before.as_ref().map(|before| compare(before, record));
    if let (Some(comparison), Output::Table) = (&comparison, options.output) {
        let _ = write!(text, "\n{}", comparison.table());
    }
    out.write_all(text.as_bytes())?;
    match (comparison, options.fail_on_regression) {
        (Some(comparison), Some(percent)) => Ok(comparison.check(percent)?),
        _ => Ok(()),
    }
}

fn draw(options: &ReportOptions, out: &mut impl std::io::Write) -> Result<(), BenchError> {
    let record = Record::read(&options.file)?;
    let path = options.out.clone().unwrap_or_else(|| options.file.with_extension("html"));
    write(&path, &report::html(&record))?;
    writeln!(out, "{}", path.display())?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::Write { path: path.to_owned(), source })
}
