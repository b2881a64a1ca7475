//! `w4a`, `w4b`, `w4c` and `w9`: all pairs of sparse rows, and the same over numbers of rows.
//!
//! The oracle classifies the first rows against all others; the list must begin with exactly those pairs.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use tensor_datasets::generate::GenerateError;
use tensor_kernels::{
    ConflictClass, ConflictList, ConflictPair, DeltaBatch, KernelError, Kernels, Similarity, SparseBatch,
    Thresholds, Vectors,
};

use super::sparse_scores::scores;
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
/// Components of a row of the wide inputs, as a share of the dimension.
const ZIPF: f64 = 64.0 / 65_536.0;
const TRANSACTIONS: f64 = 7.15 / 65_536.0;

/// An input, apart from its rows.
struct Shape<'a> {
    workload: &'a str,
    rows: usize,
    dim: u32,
    density: f64,
    kind: &'a str,
}

impl Shape<'_> {
    /// The work of `classes`, `cosine` or `jaccard` on it.
    fn work(&self, what: &str) -> Work {
        Work::sparse_pairs(self.workload, what, self.rows, self.dim, self.density, self.kind)
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if let Some(data) = bench.data() {
        let rows = data.sparse()?;
        let density = rows.nnz() as f64 / (rows.rows().max(1) as f64 * f64::from(rows.dim()));
        let shape =
            Shape { workload: "sparse", rows: rows.rows(), dim: rows.dim(), density, kind: &data.name };
        return classes(bench, &shape.work("classes"), rows);
    }
    if bench.options.is_matrix() {
        return matrix(bench);
    }
    let size = |quick: usize, full: usize| if bench.options.quick { quick } else { full };
    let (a, b, c, most) = (size(256, 4_096), size(500, 20_000), size(1_000, 100_000), size(1_000, 100_000));

    let even = Shape { workload: "w4a", rows: a, dim: 768, density: 0.05, kind: "5 %" };
    all(bench, &even, || inputs::even_sparse(a, 768, 0.05))?;
    let zipf = Shape { workload: "w4b", rows: b, dim: WIDE, density: ZIPF, kind: "64 a row, zipf" };
    all(bench, &zipf, || inputs::zipf_rows(b, WIDE))?;
    let transactions =
        |workload, rows| Shape { workload, rows, dim: WIDE, density: TRANSACTIONS, kind: "7.15 a row, zipf" };
    streamed_classes(bench, &transactions("w4c", c))?;
    for (kind, density) in
        [("10 % zeros", 0.9), ("50 % zeros", 0.5), ("90 % zeros", 0.1), ("99 % zeros", 0.01)]
    {
        let shape = Shape { workload: "w9", rows: 50, dim: 128, density, kind };
        only_classes(bench, &shape, || inputs::even_sparse(50, 128, density))?;
    }
    for n in [1_000, 3_000, 10_000, 30_000, 100_000].into_iter().filter(|&n| n <= most) {
        streamed_classes(bench, &transactions("scaling", n))?;
    }
    Ok(())
}

/// The numbers asked for, on rows without structure.
fn matrix(bench: &mut Bench) -> Result<(), BenchError> {
    for rows in or_default(&bench.options.n, &[if bench.options.quick { 256 } else { 4_096 }]) {
        for dim in or_default(&bench.options.dim, &[768]) {
            for density in or_default(&bench.options.density, &[0.05]) {
                let kind = format!("{} %", density * 100.0);
                let shape = Shape { workload: "sparse", rows, dim, density, kind: &kind };
                all(bench, &shape, || inputs::even_sparse(rows, dim, density))?;
            }
        }
    }
    Ok(())
}

type Input = Result<SparseBatch<'static>, GenerateError>;

/// Cosine, Jaccard and classes.
fn all(bench: &mut Bench, shape: &Shape<'_>, input: impl FnOnce() -> Input) -> Result<(), BenchError> {
    let works = ["cosine", "jaccard", "classes"].map(|what| shape.work(what));
    if works.iter().any(|work| bench.wants(work)) {
        let batch = input()?;
        let [cosine, jaccard, together] = works;
        for (work, similarity) in [(cosine, Similarity::Cosine), (jaccard, Similarity::Jaccard)] {
            if bench.wants(&work) {
                scores(bench, &work, &batch, similarity)?;
            }
        }
        classes(bench, &together, &batch)?;
    }
    Ok(())
}

fn only_classes(
    bench: &mut Bench,
    shape: &Shape<'_>,
    input: impl FnOnce() -> Input,
) -> Result<(), BenchError> {
    let work = shape.work("classes");
    if bench.wants(&work) { classes(bench, &work, &input()?) } else { Ok(()) }
}

/// The conflict classes of all pairs of the deltas of some rows.
fn classes(bench: &mut Bench, work: &Work, batch: &SparseBatch<'_>) -> Result<(), BenchError> {
    if !bench.wants(work) {
        return Ok(());
    }
    let deltas = Kernels::detect()?.delta(batch)?.value;
    let kernels = bench.kernels()?;
    let before = bench.record.cases.len();
    environment::forget_peak_memory();
    let check = |list: &ConflictList| begins_like_the_oracle(&deltas, list.pairs());
    let found = bench.ours(work, None, &kernels, check, |kernels| {
        Ok(kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default())?.value)
    })?;
    if let Some(list) = found {
        note(bench, before, list.pairs().len() as u64, list.count(ConflictClass::Conflicting));
    }
    Ok(())
}

/// Says of the cases from `before` on how many pairs they found and in how much memory.
fn note(bench: &mut Bench, before: usize, listed: u64, conflicting: u64) {
    let peak = environment::peak_memory().map_or(String::new(), |bytes| {
        format!(", {:.2} GiB of memory at most", bytes as f64 / f64::from(1 << 30))
    });
    let note = format!("{listed} pairs listed, {conflicting} conflicting{peak}");
    bench.record.cases[before..].iter_mut().for_each(|case| case.note = Some(note.clone()));
}

/// The conflict classes of rows as wide as everyday transactions, handed on as they are found: the list of the
/// largest batch would take 9 GiB.
fn streamed_classes(bench: &mut Bench, shape: &Shape<'_>) -> Result<(), BenchError> {
    let work = shape.work("classes");
    if !bench.wants(&work) {
        return Ok(());
    }
    let batch = inputs::transaction_rows(shape.rows, shape.dim)?;
    let deltas = Kernels::detect()?.delta(&batch)?.value;
    let kernels = bench.kernels()?;
    let before = bench.record.cases.len();
    environment::forget_peak_memory();
    let check = |streamed: &Streamed| begins_like_the_oracle(&deltas, &streamed.first);
    let found = bench.ours(&work, None, &kernels, check, |kernels| Streamed::run(kernels, &deltas))?;
    if let Some(streamed) = found {
        note(bench, before, streamed.listed, streamed.conflicting);
    }
    Ok(())
}

/// What is kept of pairs that are handed on.
#[derive(Debug, Default, PartialEq)]
struct Streamed {
    listed: u64,
    conflicting: u64,
    /// The pairs of the first [`SAMPLE`] rows.
    first: Vec<ConflictPair>,
}

impl Streamed {
    fn run(kernels: &Kernels, deltas: &DeltaBatch) -> Result<Self, KernelError> {
        let all = Mutex::new(Self::default());
        let sink = |pairs: &[ConflictPair]| {
            let conflicting = pairs.iter().filter(|pair| pair.class == ConflictClass::Conflicting).count();
            let first = pairs.iter().take_while(|pair| (pair.left as usize) < SAMPLE);
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.listed += pairs.len() as u64;
            all.conflicting += conflicting as u64;
            all.first.extend(first);
            ControlFlow::Continue(())
        };
        let _ = kernels.conflict_rows(deltas.into(), None, &Thresholds::default(), &sink)?;
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Portions come in any order.
        all.first.sort_unstable();
        Ok(all)
    }
}

/// Whether the oracle lists the same pairs of the first rows with all later ones.
pub(super) fn begins_like_the_oracle(
    deltas: &DeltaBatch,
    pairs: &[ConflictPair],
) -> Result<bool, BenchError> {
    let first: Vec<_> = (0..deltas.rows().min(SAMPLE)).filter_map(|row| deltas.delta(row)).collect();
    let sample = DeltaBatch::pack(deltas.dim(), &first)?;
    let (left, right): (Vectors<'_>, Vectors<'_>) = ((&sample).into(), deltas.into());
    let oracle = Kernels::scalar()?.conflict_cross(left, right, None, &Thresholds::default())?.value;
    let oracle = oracle.pairs().iter().filter(|pair| pair.left < pair.right);
    Ok(pairs.iter().take_while(|pair| (pair.left as usize) < SAMPLE).eq(oracle))
}
