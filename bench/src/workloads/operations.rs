//! Every operation at every level of this machine beside the scalar oracle, whose whole answer each must give.

use tensor_kernels::{
    ByteView, Decimal, Int8Mode, Isa, KMeansCodesOptions, KMeansOptions, KernelError, Kernels, Measure,
    Metric, Pairs, Similarity, SparseVec, Thresholds, Wanted,
};

use crate::error::BenchError;
use crate::inputs;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::{Work, pairs};

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    bench.without_data("kernels")?;
    let rows = if bench.options.quick { 256 } else { 4_096 };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[768]) {
            for density in or_default(&bench.options.density, &[0.05]) {
                sparse(bench, n, dim, density)?;
            }
        }
    }
    let rows = if bench.options.quick { 1_000 } else { 20_000 };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[128]) {
            dense(bench, n, dim as usize)?;
        }
    }
    Ok(())
}

fn sparse(bench: &mut Bench, rows: usize, dim: u32, density: f64) -> Result<(), BenchError> {
    let kind = format!("{rows} sparse rows, dim {dim}, {} %", density * 100.0);
    let work = |name: &str, what: &str, units: (f64, &'static str)| {
        Work::new(name, format!("{what}{kind}"), units)
            .with("n", rows as f64)
            .with("dim", f64::from(dim))
            .with("density", density)
    };
    let batch = inputs::even_sparse(rows, dim, density)?;
    let deltas = Kernels::scalar()?.delta(&batch)?.value;
    let (indices, values) = batch.row(0);
    let query = SparseVec::new(dim, indices.to_vec(), values.to_vec())?;

    let classes = work("conflict_matrix", "deltas of ", (pairs(rows), "pairs"));
    beside_the_oracle(bench, &classes, |kernels| {
        Ok(kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default())?.value)
    })?;
    let half = Decimal::from_ten_thousandths(5_000);
    let alike = work("all_pairs", "Jaccard index of 0.5 or more, ", (pairs(rows), "pairs"));
    beside_the_oracle(bench, &alike, |kernels| {
        Ok(kernels.all_pairs(&Pairs::of(&batch), Similarity::Jaccard, half)?.value)
    })?;
    let cosines = work("sparse_pair", "cosine of 1 and ", (rows as f64, "pairs"));
    beside_the_oracle(bench, &cosines, |kernels| {
        Ok(kernels.sparse_one_to_many(&query, &batch, Measure::Cosine)?.value)
    })?;
    let rounding = work("delta", "", (batch.nnz() as f64, "values"));
    beside_the_oracle(bench, &rounding, |kernels| Ok(kernels.delta(&batch)?.value))
}

fn dense(bench: &mut Bench, rows: usize, dim: usize) -> Result<(), BenchError> {
    let (k, rounds) = (64, 10);
    let points = inputs::points(rows, dim)?;
    let points = points.view()?;
    let options = KMeansOptions { k, max_iterations: rounds, seed: 1, metric: Metric::L2 };
    beside_the_oracle(bench, &Work::kmeans("kmeans", rows, dim, k, rounds), |kernels| {
        Ok(kernels.kmeans(points, &options)?.value)
    })?;
    let bytes = Kernels::detect()?.int8_quantize(points, Int8Mode::Symmetric).value;
    let training = KMeansCodesOptions { k, max_iterations: rounds, seed: 1, exponent: 0, epoch: 0 };
    let on_codes = Work::kmeans("kmeans", rows, dim, k, rounds).of("int8 codes");
    beside_the_oracle(bench, &on_codes, |kernels| {
        Ok(kernels.kmeans_codes(bytes.codes(), dim as u32, &training)?.value)
    })?;
    // All pairs of as many rows as the oracle compares in seconds.
    let few = rows.min(4_096);
    let first = ByteView::new(&bytes.codes()[..few * dim], few, dim)?;
    let listed = Work::dense_pairs("cosine_classes", few, dim, "int8 codes").of("as a list");
    beside_the_oracle(bench, &listed, |kernels| {
        Ok(kernels.cosine_conflicts(first, &Thresholds::default()).value)
    })?;
    let nearest = Work::nearest("quantize", rows, dim, k);
    if bench.wants(&nearest) {
        let book = Kernels::detect()?.kmeans(points, &options)?.value.codebook;
        beside_the_oracle(bench, &nearest, |kernels| Ok(kernels.quantize(&book, points)?.value))?;
    }
    beside_the_oracle(bench, &Work::int8("int8", "quantize", rows, dim), |kernels| {
        Ok(kernels.int8_quantize(points, Int8Mode::Symmetric).value)
    })?;
    for queries in or_default(&bench.options.queries, &[1, 64]) {
        let search = Work::search("search", queries, rows, dim);
        let (corpus, queries) = inputs::corpus_and_queries(rows, queries, dim)?;
        let (corpus, queries) = (corpus.view()?, queries.view()?);
        beside_the_oracle(bench, &search, |kernels| {
            Ok(kernels.search(corpus, queries, Metric::Dot, Wanted::Top(10))?.value)
        })?;
    }
    Ok(())
}

/// Measures one operation at every level, unless levels were chosen.
fn beside_the_oracle<T: PartialEq>(
    bench: &mut Bench,
    work: &Work,
    operation: impl Fn(&Kernels) -> Result<T, KernelError>,
) -> Result<(), BenchError> {
    if !bench.wants(work) {
        return Ok(());
    }
    let oracle = operation(&Kernels::scalar()?)?;
    let kernels = bench.kernels_and_gpu(&Isa::available())?;
    bench.ours(work, None, &kernels, |answer| Ok(*answer == oracle), operation).map(drop)
}
