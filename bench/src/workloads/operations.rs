//! Every operation at every level of this machine beside the scalar oracle, whose whole answer each must give.

use tensor_kernels::{
    ByteView, Decimal, HalfKind, Int8Mode, Isa, KMeansCodesOptions, KMeansOptions, KMeansStream, KernelError,
    Kernels, Measure, Metric, Pairs, PreparedSparse, Similarity, SparseVec, StreamRate, Thresholds, Wanted,
    independent_set,
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
    let row = |row: usize| {
        let (indices, values) = batch.row(row);
        SparseVec::new(dim, indices.to_vec(), values.to_vec())
    };
    let query = row(0)?;

    let classes = work("conflict_matrix", "deltas of ", (pairs(rows), "pairs"));
    beside_the_oracle(bench, &classes, |kernels| {
        Ok(kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default())?.value)
    })?;
    let half = Decimal::from_ten_thousandths(5_000);
    let alike = work("all_pairs", "Jaccard index of 0.5 or more, ", (pairs(rows), "pairs"));
    beside_the_oracle(bench, &alike, |kernels| {
        Ok(kernels.all_pairs(&Pairs::of(&batch), Similarity::Jaccard, half)?.value)
    })?;
    let scores = work("all_pairs_scores", "Jaccard index of ", (pairs(rows), "pairs"));
    if bench.wants(&scores) {
        let all = Pairs::of(&batch);
        let mut expected = vec![0.0; all.count() as usize];
        Kernels::scalar()?.all_pairs_scores_into(&all, Similarity::Jaccard, &mut expected)?;
        let (kernels, out) = (bench.kernels_and_gpu(&Isa::available())?, vec![0.0; expected.len()]);
        bench.ours_into(
            &scores,
            None,
            &kernels,
            out,
            |answer| Ok(*answer == expected),
            |kernels, out| kernels.all_pairs_scores_into(&all, Similarity::Jaccard, out).map(drop),
        )?;
    }
    let cosines = work("sparse_pair", "cosine of 1 and ", (rows as f64, "pairs"));
    beside_the_oracle(bench, &cosines, |kernels| {
        Ok(kernels.sparse_one_to_many(&query, &batch, Measure::Cosine)?.value)
    })?;
    let prepared = work("prepared_pair", "cosine and Jaccard of 1 and ", (rows as f64, "pairs"));
    if bench.wants(&prepared) {
        let rows = (0..rows).map(|at| row(at).map(PreparedSparse::new)).collect::<Result<Vec<_>, _>>()?;
        let query = PreparedSparse::new(query);
        beside_the_oracle(bench, &prepared, |kernels| {
            Ok(kernels.prepared_one_to_many(&query, &rows)?.value)
        })?;
    }
    let chosen = work("independent_set", "cosine below 0.05, ", (rows as f64, "rows"));
    if bench.wants(&chosen) {
        let alike = Decimal::from_ten_thousandths(500);
        let alike = Kernels::detect()?.all_pairs(&Pairs::of(&batch), Similarity::Cosine, alike)?.value;
        let alike: Vec<_> = alike.iter().map(|pair| (pair.left, pair.right)).collect();
        // One function for every level, so it is measured once.
        let choose = |_: &Kernels| Ok(independent_set(rows as u32, &alike));
        bench.ours(&chosen, None, &[Kernels::scalar()?], |set| Ok(is_maximal(set, rows, &alike)), choose)?;
    }
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
    let learnt = Work::nearest("kmeans_stream", rows, dim, k).of("a batch of running means");
    if bench.wants(&nearest) || bench.wants(&learnt) {
        let book = Kernels::detect()?.kmeans(points, &options)?.value.codebook;
        beside_the_oracle(bench, &nearest, |kernels| Ok(kernels.quantize(&book, points)?.value))?;
        let stream = KMeansStream::new(book, StreamRate::Mean)?;
        beside_the_oracle(bench, &learnt, |kernels| {
            let mut stream = stream.clone();
            let nearest = kernels.kmeans_stream(&mut stream, points)?.value;
            Ok((stream, nearest))
        })?;
    }
    for kind in HalfKind::ALL {
        let values = rows as f64 * dim as f64;
        let narrow = Work::new("half", format!("f32 to {kind}, {rows} x {dim}"), (values, "values"));
        beside_the_oracle(bench, &narrow, |kernels| Ok(kernels.half_narrow(points, kind)?.value))?;
        let widen = Work::new("half", format!("{kind} to f32, {rows} x {dim}"), (values, "values"));
        let half = Kernels::detect()?.half_narrow(points, kind)?.value;
        beside_the_oracle(bench, &widen, |kernels| Ok(kernels.half_widen(half.view()).value))?;
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

/// Whether no two rows of the set are incompatible and no other could be added.
fn is_maximal(set: &[u32], rows: usize, incompatible: &[(u32, u32)]) -> bool {
    let mut taken = vec![false; rows];
    set.iter().for_each(|&row| taken[row as usize] = true);
    let (mut blocked, mut compatible) = (vec![false; rows], true);
    for (a, b) in incompatible.iter().map(|&(a, b)| (a as usize, b as usize)) {
        compatible &= !(taken[a] && taken[b]);
        blocked[a] |= taken[b];
        blocked[b] |= taken[a];
    }
    compatible && taken.iter().zip(&blocked).all(|(taken, blocked)| taken != blocked)
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
