//! What the measuring subcommands have in common: the parameter matrix, how long to measure, where results go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tensor_kernels::{Isa, Kernels, Threads};

use crate::error::BenchError;
use crate::timing::Budget;

/// Flags of every subcommand that measures.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Dimensions to measure instead of the named workloads' own, e.g. 128,768.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub dim: Vec<u32>,
    /// Shares of components that are not zero, e.g. 0.01,0.05 (sparse workloads).
    #[arg(long, value_delimiter = ',', value_parser = share)]
    pub density: Vec<f64>,
    /// Numbers of rows, e.g. 1000,10000.
    #[arg(long, value_delimiter = ',', value_parser = count::<10_000_000>)]
    pub n: Vec<usize>,
    /// Numbers of queries asked at once (search).
    #[arg(long, value_delimiter = ',', value_parser = count::<10_000_000>)]
    pub queries: Vec<usize>,
    /// Measure on these rows instead: a .npy, .npz (CSR), .fbin or .ibin file, or a fetched data set's name.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["dim", "density", "n"])]
    pub data: Option<String>,
    /// Numbers of worker threads [default: 1 and all cores].
    #[arg(long, value_delimiter = ',', value_parser = count::<4_096>)]
    pub threads: Vec<usize>,
    /// Instruction-set levels, or `all` [default: the fastest; `kernels` compares all of them].
    #[arg(long, value_delimiter = ',', value_parser = level)]
    pub isa: Vec<Level>,
    /// Where to compute: cpu, or with `kernels` and `search` also gpu or gpu:N, on both then.
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: Device,
    /// Small inputs: shows that everything runs and answers correctly, measures nothing worth quoting.
    #[arg(long)]
    pub quick: bool,
    /// Least seconds to measure each case.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub seconds: f64,
    /// Least number of measured runs of each case.
    #[arg(long, default_value_t = 5, value_parser = count::<10_000_000>)]
    pub runs: usize,
    /// Only cases whose workload or input contains this, e.g. w3 or cosine.
    #[arg(long)]
    pub filter: Option<String>,
    /// Write every raw sample to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write one line a case to this file as comma-separated values.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Keep the results under this name, for --compare.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub save: Option<String>,
    /// Compare with the results kept under this name.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub compare: Option<String>,
    /// End with code 1 where a case needs this much more processor time than before [default: 10 %].
    #[arg(long, value_name = "PERCENT", requires = "compare", num_args = 0..=1, default_missing_value = "10",
          value_parser = percent)]
    pub fail_on_regression: Option<f64>,
    /// Where named results are kept.
    #[arg(long, value_name = "DIR", default_value = "target/tensor-bench")]
    pub saved_in: PathBuf,
    /// A table for people or the whole record for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor's vector units.
    Cpu,
    /// The same, and a graphics processor by its number.
    Gpu(usize),
}

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns.
    Table,
    /// The record, as `--json` writes it.
    Json,
}

/// One level, or all of this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// This one.
    One(Isa),
    /// Every one.
    All,
}

impl Options {
    /// How long each case is measured.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget { runs: self.runs, time: Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::MAX) }
    }

    /// Whether a case is asked for.
    #[must_use]
    pub fn wants(&self, workload: &str, variant: &str) -> bool {
        let contains =
            |filter: &String| workload.contains(filter.as_str()) || variant.contains(filter.as_str());
        self.filter.as_ref().is_none_or(contains)
    }

    /// Whether any number of the matrix was given: then it replaces the named workloads.
    #[must_use]
    pub fn is_matrix(&self) -> bool {
        !(self.dim.is_empty() && self.density.is_empty() && self.n.is_empty() && self.queries.is_empty())
    }

    /// Refuses a GPU for a command that has nothing for one to do.
    ///
    /// # Errors
    /// A GPU is asked for.
    pub fn without_gpu(self) -> Result<Self, BenchError> {
        if self.device == Device::Cpu { Ok(self) } else { Err(BenchError::NoUseForGpu) }
    }

    /// The thread counts to measure: 1 and all cores unless chosen.
    #[must_use]
    pub fn thread_counts(&self) -> Vec<usize> {
        let mut counts = self.threads.clone();
        if counts.is_empty() {
            counts = vec![1, Threads::Auto.count()];
        }
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// A handle for each level and thread count to measure; the oracle only has one thread.
    ///
    /// # Errors
    /// A level this machine lacks, threads that cannot be started, nothing left to measure.
    pub fn kernels(&self, default: &[Isa]) -> Result<Vec<Kernels>, BenchError> {
        let mut levels: Vec<Isa> = if self.isa.is_empty() { default.to_vec() } else { Vec::new() };
        for chosen in &self.isa {
            match chosen {
                Level::One(isa) => levels.push(*isa),
                Level::All => levels.extend(Isa::available()),
            }
        }
        levels.sort_unstable();
        levels.dedup();
        let mut kernels = Vec::new();
        for isa in levels {
            for threads in self.thread_counts() {
                if isa != Isa::Scalar || threads == 1 {
                    kernels.push(Kernels::new(isa, Threads::from_count(threads))?);
                }
            }
        }
        if kernels.is_empty() { Err(BenchError::NothingToRun) } else { Ok(kernels) }
    }
}

/// The value given, or what stands for it where nothing was.
pub(crate) fn or_default<T: Copy>(given: &[T], default: &[T]) -> Vec<T> {
    if given.is_empty() { default.to_vec() } else { given.to_vec() }
}

fn count<const MOST: usize>(text: &str) -> Result<usize, String> {
    let fits = |n: &usize| (1..=MOST).contains(n);
    text.parse().ok().filter(fits).ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|&n| fits(n)).ok_or_else(|| format!("expected {expected}"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |n| n > 0.0 && n <= 1.0, "a share above 0 and at most 1")
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, |n| (0.0..=86_400.0).contains(&n), "seconds from 0 to 86400")
}

fn percent(text: &str) -> Result<f64, String> {
    number(text, |n| (0.0..=1_000.0).contains(&n), "percent from 0 to 1000")
}

fn device(text: &str) -> Result<Device, String> {
    let device = match text {
        "cpu" => return Ok(Device::Cpu),
        "gpu" => Device::Gpu(0),
        other => {
            let number = other.strip_prefix("gpu:").and_then(|number| number.parse().ok());
            Device::Gpu(number.ok_or("expected cpu, gpu or gpu:N")?)
        }
    };
    match cfg!(feature = "gpu") {
        true => Ok(device),
        false => Err("this build has no GPU backend: build with --features gpu".to_owned()),
    }
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "all" => Ok(Level::All),
        name => name.parse().map(Level::One).map_err(|error: tensor_kernels::KernelError| error.to_string()),
    }
}

/// A name that is a plain file name.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = !text.is_empty() && text.len() <= 100 && !text.starts_with('.') && text.chars().all(plain);
    if fits { Ok(text.to_owned()) } else { Err("expected letters, digits, '-', '_' and '.'".to_owned()) }
}
