//! `tensorchain demo`: 27 years of real exchange rates through everything this project does.
//!
//! One block a business day writes the day's rates (key = currency, value = the published digits) and
//! carries the day's delta (its log returns above a threshold). Everything after that is read from the chain.

mod analysis;
mod answer;
mod ledger;
pub mod nodes;
mod report_file;
mod stopwatch;

use std::path::Path;

use tensor_datasets::{Date, EcbFx};
use tensor_kernels::{DeltaVector, Kernels, Thresholds};

use crate::classes;
use crate::config::Config;
use crate::device::gpu_in_use;
use crate::exit::Failure;
use crate::report::{self, Drawn};
use analysis::round;
pub use answer::{
    Chain, Codebook, Conflicts, Data, Demo, DeviceLine, Drift, Neighbour, Similar, Verification,
};
use ledger::Ledger;
use report_file::ReportFile;
use stopwatch::Stopwatch;
pub use stopwatch::{Stage, Timing};

/// Days in a window of the conflict classes.
const WINDOW: usize = 64;
/// How many of the largest moves are named.
const LARGEST: usize = 9;
/// How many similar days are named.
const SIMILAR: usize = 5;
/// Days whose like is looked for, and what happened.
const EVENTS: [(&str, &str); 2] =
    [("2015-01-15", "the franc unpegged"), ("2022-02-28", "the rouble sanctioned")];

/// Runs every stage and writes the report.
///
/// # Errors
/// Whatever a stage fails of.
pub fn run(config: &Config, kernels: &Kernels, threshold: f64, report: &Path) -> Result<Demo, Failure> {
    let mut watch = Stopwatch::start();
    let report_file = ReportFile::at(report)?;
    let fx = EcbFx::embedded()?;
    watch.lap("data");

    let ledger = Ledger::open(config, kernels, &fx, threshold)?;
    watch.lap("chain");
    let verification = ledger.verify()?;
    watch.lap("verify");

    let deltas = ledger.deltas(&fx)?;
    let (codebook, members) = analysis::codebook(kernels, &deltas)?;
    watch.lap("codebook");
    let windows = classes::by_window(kernels, &deltas, WINDOW, &Thresholds::default())?;
    watch.lap("conflicts");
    let norms: Vec<f64> = deltas.iter().map(analysis::norm).collect();
    let drift = analysis::largest(&fx, &deltas, &norms, LARGEST);
    watch.lap("drift");
    let similar = EVENTS
        .into_iter()
        .map(|(date, event)| ledger.similar(&fx, date, event, SIMILAR))
        .collect::<Result<Vec<_>, _>>()?;
    watch.lap("similar");

    let conflicts = Conflicts { window: WINDOW, windows: windows.len(), classes: classes::total(&windows) };
    let alike = similar.iter().map(|similar| alike(&fx, &deltas, similar)).collect();
    let drawn = Drawn {
        dates: fx.dates().to_vec(),
        currencies: fx.currencies().to_vec(),
        norms,
        windows,
        alike,
        members,
    };
    let mut demo = Demo {
        device: device_line(kernels),
        data: data(&fx, &deltas, threshold),
        chain: ledger.answer()?,
        verification,
        codebook,
        conflicts,
        drift,
        similar,
        report: report.to_owned(),
        timing: watch.timing(),
    };
    report_file.write(report, &report::html(&demo, &drawn))?;
    watch.lap("report");
    ledger.close()?;
    demo.timing = watch.timing();
    Ok(demo)
}

fn device_line(kernels: &Kernels) -> DeviceLine {
    let (isa, threads) = (kernels.isa().name(), kernels.threads());
    DeviceLine { backend: kernels.kind().to_string(), isa, threads, gpu: gpu_in_use(kernels) }
}

fn data(fx: &EcbFx, deltas: &[DeltaVector], threshold: f64) -> Data {
    let day = |date: Option<&Date>| date.map_or(String::new(), Date::to_string);
    let (days, nnz) = (fx.dates().len(), deltas.iter().map(DeltaVector::nnz).sum::<usize>());
    Data {
        source: "ECB statistics",
        first_day: day(fx.dates().first()),
        last_day: day(fx.dates().last()),
        days,
        currencies: fx.currencies().len(),
        rates: (0..days).map(|day| fx.rates(day).count()).sum(),
        threshold,
        mean_nnz: round(nnz as f64 / days.max(1) as f64, 1e4),
    }
}

/// A day and its like as rows of a picture: name and log returns.
fn alike(fx: &EcbFx, deltas: &[DeltaVector], similar: &Similar) -> Vec<(String, Vec<f64>)> {
    let row = |date: &str, name: String| {
        let delta = deltas.get(fx.day_of(date.parse().ok()?)?)?;
        Some((name, delta.to_sparse().to_dense().into_iter().map(f64::from).collect()))
    };
    let itself = row(&similar.date, similar.date.clone());
    let others =
        similar.days.iter().map(|Neighbour { date, cosine }| row(date, format!("{date}  {cosine:.2}")));
    itself.into_iter().chain(others.flatten()).collect()
}
