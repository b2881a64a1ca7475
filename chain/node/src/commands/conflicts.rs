//! `conflicts`: how the deltas of a chain stand to each other, and how that depends on the thresholds.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tensor_chain::Changeset;
use tensor_kernels::{Decimal, DeltaVector, Kernels, Thresholds, ThresholdsBuilder};

use crate::classes::{self, Classes};
use crate::config::Config;
use crate::exit::Failure;
use crate::format::{grouped, percent};
use crate::{device, output};

/// Flags of `conflicts`.
#[derive(Debug, Args)]
pub struct ConflictsArgs {
    /// Consecutive deltas that are compared with each other.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Show the classes at other thresholds too.
    #[arg(long)]
    sweep: bool,
}

#[derive(Serialize)]
struct Conflicts {
    deltas: usize,
    window: u32,
    windows: usize,
    rows: Vec<Row>,
}

/// The classes with one threshold moved and the others at their defaults.
#[derive(Serialize)]
struct Row {
    threshold: &'static str,
    value: f64,
    is_default: bool,
    #[serde(flatten)]
    classes: Classes,
}

pub(super) fn run(config: &Config, args: &ConflictsArgs) -> Result<(), Failure> {
    let kernels = device::open(config)?;
    let deltas = deltas(config)?;
    let window = args.window as usize;
    let settings = if args.sweep { sweep() } else { vec![Setting::Conflict(defaults().conflict)] };
    let rows = settings
        .into_iter()
        .map(|setting| row(&kernels, &deltas, window, setting))
        .collect::<Result<Vec<_>, _>>()?;
    let windows = deltas.len().div_ceil(window);
    let answer = Conflicts { deltas: deltas.len(), window: args.window, windows, rows };
    Ok(output::answer(config.output, &answer)?)
}

/// A threshold away from its default, or at it.
#[derive(Clone, Copy)]
enum Setting {
    Orthogonal(Decimal),
    Conflict(Decimal),
    Structural(Decimal),
}

fn defaults() -> ThresholdsBuilder {
    ThresholdsBuilder::default()
}

fn sweep() -> Vec<Setting> {
    let hundredths =
        |values: &[i32]| values.iter().map(|n| Decimal::from_ten_thousandths(n * 100)).collect::<Vec<_>>();
    let orthogonal = hundredths(&[2, 5, 10, 20, 30, 50]).into_iter().map(Setting::Orthogonal);
    let conflict = hundredths(&[50, 60, 70, 80, 90, 95]).into_iter().map(Setting::Conflict);
    let structural = hundredths(&[30, 40, 50, 60, 70, 80, 90]).into_iter().map(Setting::Structural);
    orthogonal.chain(conflict).chain(structural).collect()
}

fn row(kernels: &Kernels, deltas: &[DeltaVector], window: usize, setting: Setting) -> Result<Row, Failure> {
    let mut builder = defaults();
    let (threshold, value, field) = match setting {
        Setting::Orthogonal(value) => ("orthogonal", value, &mut builder.orthogonal),
        Setting::Conflict(value) => ("conflict", value, &mut builder.conflict),
        Setting::Structural(value) => ("structural", value, &mut builder.structural),
    };
    let is_default = *field == value;
    *field = value;
    let thresholds: Thresholds = builder.build()?;
    let classes = classes::total(&classes::by_window(kernels, deltas, window, &thresholds)?);
    Ok(Row { threshold, value: value.to_f64(), is_default, classes })
}

/// The deltas that the callers of the chain in the data directory supplied, in order.
fn deltas(config: &Config) -> Result<Vec<DeltaVector>, Failure> {
    let chain = crate::chain_dir::open(config)?;
    let mut deltas = Vec::new();
    for block in chain.iter() {
        deltas.extend(block?.changesets.iter().filter_map(Changeset::supplied_delta).cloned());
    }
    Ok(deltas)
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deltas, window, windows, rows } = self;
        let pairs = grouped(rows.first().map_or(0, |row| row.classes.pairs));
        let deltas = grouped(*deltas as u64);
        writeln!(
            f,
            "{deltas} deltas in {windows} windows of {window}: {pairs} pairs, keys taken as disjoint"
        )?;
        writeln!(
            f,
            "{:<18} {:>12} {:>12} {:>12} {:>12}",
            "threshold", "orthogonal", "low", "by cosine", "by overlap"
        )?;
        for Row { threshold, value, is_default, classes } in rows {
            let share = |count| percent(classes.share(count));
            let name = format!("{threshold} {value}{}", if *is_default { " *" } else { "" });
            let Classes { orthogonal, low_conflict, conflicting_by_cosine, conflicting_by_overlap, .. } =
                *classes;
            let shares = [orthogonal, low_conflict, conflicting_by_cosine, conflicting_by_overlap].map(share);
            writeln!(
                f,
                "{name:<18} {:>12} {:>12} {:>12} {:>12}",
                shares[0], shares[1], shares[2], shares[3]
            )?;
        }
        writeln!(f, "* the default; the other thresholds stay at theirs")
    }
}
