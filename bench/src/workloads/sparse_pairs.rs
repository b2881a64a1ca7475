//! `w4a`, `w4b`, `w4c` and `w9`: all pairs of sparse rows, and the same over densities and numbers of rows.
//!
//! The oracle classifies the first rows against all others; the list must begin with exactly those pairs.

use tensor_kernels::{ConflictClass, ConflictList, DeltaBatch, Kernels, SparseBatch, Thresholds, Vectors};

use crate::environment;
use crate::error::BenchError;
use crate::inputs;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::Work;

/// Rows that the oracle compares with all others.
const SAMPLE: usize = 32;
/// Dimension of the wide inputs.
const WIDE: u32 = 65_536;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if bench.options.is_matrix() {
        return matrix(bench);
    }
    let small = |quick: usize, full: usize| if bench.options.quick { quick } else { full };
    let (a, b, c) = (small(256, 4_096), small(500, 20_000), small(1_000, 100_000));
    classes(bench, "w4a", a, 768, 0.05, "5 %", || inputs::even_sparse(a, 768, 0.05))?;
    classes(bench, "w4b", b, WIDE, 64.0 / f64::from(WIDE), "64 a row, zipf", || inputs::zipf_rows(b, WIDE))?;
    classes(bench, "w4c", c, WIDE, 7.15 / f64::from(WIDE), "7.15 a row, zipf", || {
        inputs::transaction_rows(c, WIDE)
    })?;
    for (zeros, density) in [(10, 0.9), (50, 0.5), (90, 0.1), (99, 0.01)] {
        classes(bench, "w9", 50, 128, density, &format!("{zeros} % zeros"), || {
            inputs::even_sparse(50, 128, density)
        })?;
    }
    let n = if bench.options.quick { 100 } else { 1_024 };
    for density in [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4] {
        classes(bench, "density", n, 768, density, &percent(density), || {
            inputs::even_sparse(n, 768, density)
        })?;
    }
    let most = if bench.options.quick { 1_000 } else { 100_000 };
    for n in [1_000, 3_000, 10_000, 30_000, 100_000].into_iter().filter(|&n| n <= most) {
        classes(bench, "scaling", n, WIDE, 7.15 / f64::from(WIDE), "7.15 a row, zipf", || {
            inputs::transaction_rows(n, WIDE)
        })?;
    }
    Ok(())
}

/// The numbers asked for, on rows without structure.
fn matrix(bench: &mut Bench) -> Result<(), BenchError> {
    for n in or_default(&bench.options.n, &[if bench.options.quick { 256 } else { 4_096 }]) {
        for dim in or_default(&bench.options.dim, &[768]) {
            for density in or_default(&bench.options.density, &[0.05]) {
                classes(bench, "sparse", n, dim, density, &percent(density), || {
                    inputs::even_sparse(n, dim, density)
                })?;
            }
        }
    }
    Ok(())
}

fn percent(density: f64) -> String {
    format!("{} %", density * 100.0)
}

/// The conflict classes of all pairs of the deltas of some rows.
fn classes(
    bench: &mut Bench,
    workload: &str,
    rows: usize,
    dim: u32,
    density: f64,
    kind: &str,
    input: impl FnOnce() -> Result<SparseBatch<'static>, tensor_datasets::generate::GenerateError>,
) -> Result<(), BenchError> {
    let work = Work::sparse_pairs(workload, "classes", rows, dim, density, kind);
    if !bench.wants(&work) {
        return Ok(());
    }
    let deltas = Kernels::detect()?.delta(&input()?)?.value;
    let kernels = bench.kernels()?;
    let before = bench.record.cases.len();
    environment::forget_peak_memory();
    let found = bench.ours(
        &work,
        None,
        &kernels,
        |list| begins_like_the_oracle(&deltas, list),
        |kernels| Ok(kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default())?.value),
    )?;
    if let Some(list) = found {
        let peak = environment::peak_memory().map_or(String::new(), |bytes| {
            format!(", {:.2} GiB of memory at most", bytes as f64 / f64::from(1 << 30))
        });
        let conflicting = list.count(ConflictClass::Conflicting);
        let note = format!("{} pairs listed, {conflicting} conflicting{peak}", list.pairs().len());
        bench.record.cases[before..].iter_mut().for_each(|case| case.note = Some(note.clone()));
    }
    Ok(())
}

/// Whether the oracle lists the same pairs of the first rows with all later ones.
fn begins_like_the_oracle(deltas: &DeltaBatch, list: &ConflictList) -> Result<bool, BenchError> {
    let first: Vec<_> = (0..deltas.rows().min(SAMPLE)).filter_map(|row| deltas.delta(row)).collect();
    let sample = DeltaBatch::pack(deltas.dim(), &first)?;
    let (left, right): (Vectors<'_>, Vectors<'_>) = ((&sample).into(), deltas.into());
    let oracle = Kernels::scalar()?.conflict_cross(left, right, None, &Thresholds::default())?.value;
    let oracle = oracle.pairs().iter().filter(|pair| pair.left < pair.right);
    Ok(list.pairs().iter().take_while(|pair| (pair.left as usize) < SAMPLE).eq(oracle))
}
