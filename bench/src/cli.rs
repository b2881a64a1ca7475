//! The command line, and what each subcommand does.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::cluster::{self, ClusterOptions};
use crate::compare::{Comparison, compare};
use crate::error::BenchError;
use crate::options::{Options, Output};
use crate::peers::{self, PeerOptions};
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
    /// Exact nearest rows: w1, w2, w2i.
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
    /// Three nodes as processes, with TLS between them and clients outside: loads, fail-over, catch-up, memory.
    Cluster {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        cluster: ClusterOptions,
    },
    /// This machine's limits: arithmetic, caches, memory.
    Limits(Options),
    /// w1 to w9 and the limits: everything that the report draws.
    All(Options),
    /// w1 to w8 beside the libraries people would otherwise use, in turns, held against our bars.
    Peers {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        peers: PeerOptions,
        /// Our cluster beside etcd instead: everything that `cluster` measures, and the same loads on etcd in turns.
        #[arg(long, conflicts_with_all = ["python", "peer"])]
        cluster: bool,
        #[command(flatten)]
        with: ClusterOptions,
    },
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
    /// Print a Markdown table of us and the best peers instead.
    #[arg(long, conflicts_with = "out")]
    markdown: bool,
}

/// Runs a command line; the answer goes to `out`.
///
/// # Errors
/// A wrong answer, a regression, files that cannot be read or written.
pub fn run(cli: Cli, out: &mut impl std::io::Write) -> Result<(), BenchError> {
    match cli.command {
        Command::Kernels(options) => measured(options, out, families(&[Family::Operations])),
        Command::Search(options) => measured(options, out, families(&[Family::Search])),
        Command::Dense(options) => measured(options.without_gpu()?, out, families(&[Family::DensePairs])),
        Command::Sparse(options) => measured(options.without_gpu()?, out, families(&[Family::Sparse])),
        Command::Kmeans(options) => measured(options.without_gpu()?, out, families(&[Family::KMeans])),
        Command::Int8(options) => measured(options.without_gpu()?, out, families(&[Family::Int8])),
        Command::Chain(options) => measured(options.without_gpu()?, out, chain::run),
        Command::Limits(options) => measured(options.without_gpu()?, out, limits::run),
        Command::All(options) => measured(options.without_gpu()?, out, |bench| {
            limits::run(bench)?;
            families(&Family::NAMED)(bench)
        }),
        Command::Cluster { options, cluster } => {
            measured(options.without_gpu()?, out, |bench| cluster::run(bench, &cluster))
        }
        Command::Peers { options, with, cluster: true, .. } => {
            measured(options.without_gpu()?, out, |bench| cluster::race(bench, &with))
        }
        Command::Peers { options, peers, .. } => {
            measured(options.without_gpu()?, out, |bench| peers::run(bench, &peers))
        }
        Command::Report(options) => draw(&options, out),
    }
}

fn families(families: &[Family]) -> impl FnOnce(&mut Bench) -> Result<(), BenchError> {
    move |bench| families.iter().try_for_each(|family| family.run(bench))
}

/// Measures, prints, keeps what was asked for, and compares.
fn measured(
    options: Options,
    out: &mut impl std::io::Write,
    measure: impl FnOnce(&mut Bench) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let kept = |name: &str| options.saved_in.join(format!("{name}.json"));
    // Read first: before minutes of measuring for nothing, and before --save replaces a file of the same name.
    let before = options.compare.as_ref().map(|name| Record::read(&kept(name))).transpose()?;
    let mut bench = Bench::new(options.clone())?;
    measure(&mut bench)?;
    let own_table = bench.table.take();
    let (record, remarks) = bench.finish()?;

    if let Some(path) = &options.json {
        record.write(path)?;
    }
    if let Some(path) = &options.csv {
        write(path, &table::csv(&record))?;
    }
    if let Some(name) = &options.save {
        record.write(&kept(name))?;
    }
    let comparison = before.as_ref().map(|before| compare(before, &record));
    let text = match options.output {
        Output::Json => record.to_json()?,
        Output::Table => {
            let compared = comparison.as_ref().map(Comparison::table).unwrap_or_default();
            [own_table.unwrap_or_else(|| table::table(&record)), remarks, compared].concat()
        }
    };
    out.write_all(text.as_bytes())?;
    match (comparison, options.fail_on_regression) {
        (Some(comparison), Some(percent)) => Ok(comparison.check(percent)?),
        _ => Ok(()),
    }
}

fn draw(options: &ReportOptions, out: &mut impl std::io::Write) -> Result<(), BenchError> {
    let record = Record::read(&options.file)?;
    if options.markdown {
        write!(out, "{}", report::markdown(&record))?;
        return Ok(());
    }
    let path = options.out.clone().unwrap_or_else(|| options.file.with_extension("html"));
    write(&path, &report::html(&record))?;
    writeln!(out, "{}", path.display())?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::Write { path: path.to_owned(), source })
}
