//! `w1` and `w2`: the exact ten nearest rows of a corpus. Checked against the oracle for eight queries.

use tensor_kernels::{DenseView, KernelError, Kernels, Metric, Neighbor, SearchOptions, Wanted};

use crate::error::BenchError;
use crate::inputs::{self, Dense};
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::{Bench, OURS};
use crate::work::Work;

/// Queries that the oracle answers too.
const SAMPLE: usize = 8;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let many = if bench.options.quick { 20 } else { 1_000 };
    if let Some(data) = bench.data() {
        return in_data(bench, data.dense()?, many, &data.name);
    }
    let rows = if bench.options.quick { 2_000 } else { 100_000 };
    for dim in or_default(&bench.options.dim, &[128, 768]) {
        for n in or_default(&bench.options.n, &[rows]) {
            let dim = dim as usize;
            let counts = or_default(&bench.options.queries, &[1, many]);
            let name = |queries: usize| match queries {
                _ if bench.options.is_matrix() => Some("search"),
                1 if dim == 768 => Some("w1"),
                1 => None,
                _ => Some("w2"),
            };
            let named =
                counts.iter().filter_map(|&count| Some((count, Work::search(name(count)?, count, n, dim))));
            let asked: Vec<_> = named.filter(|(_, work)| bench.wants(work)).collect();
            if let Some(most) = asked.iter().map(|&(count, _)| count).max() {
                // One input serves every number of queries.
                let (corpus, queries) = inputs::corpus_and_queries(n, most, dim)?;
                for (count, work) in asked {
                    search(bench, &work, corpus.view()?, &queries, count)?;
                }
            }
        }
    }
    Ok(())
}

/// The last rows of the user's data ask for the nearest of the others.
fn in_data(bench: &mut Bench, rows: DenseView<'_>, many: usize, name: &str) -> Result<(), BenchError> {
    let most = rows.rows() / 2;
    for count in or_default(&bench.options.queries, &[1, many]) {
        let count = count.min(most);
        let corpus: Vec<&[f32]> = rows.iter().take(rows.rows() - count).collect();
        let queries: Vec<&[f32]> = rows.iter().skip(corpus.len()).collect();
        let (corpus, queries) =
            (Dense::copy(corpus.into_iter(), rows.dim()), Dense::copy(queries.into_iter(), rows.dim()));
        let work = Work::search("search", count, corpus.rows(), rows.dim()).of(name);
        if bench.wants(&work) {
            search(bench, &work, corpus.view()?, &queries, count)?;
        }
    }
    Ok(())
}

/// In a corpus that was packed before the clock starts, as a stored one is, and in rows as they lie.
fn search(
    bench: &mut Bench,
    work: &Work,
    corpus: DenseView<'_>,
    queries: &Dense,
    count: usize,
) -> Result<(), BenchError> {
    let queries = DenseView::new(&queries.values()[..count * queries.dim()], count, queries.dim())?;
    // A single query reads the corpus once; many reuse what is in the caches and are bound by arithmetic.
    let limit = Some(if count < 8 { Limit::Read } else { Limit::Int8Best });
    let options = SearchOptions::new(Metric::Dot, Wanted::Top(10));
    let kernels = bench.kernels()?;
    let check = |answer: &Vec<_>| like_the_oracle(corpus, queries, answer);
    let before = bench.record.cases.len();

    let packed = Kernels::detect()?.corpus(corpus).value;
    let mut scan = work.clone();
    if packed.packed_bytes() > 0 {
        scan.bytes = Some(packed.packed_bytes() as f64);
    }
    bench.ours(&scan, limit, &kernels, check, |kernels| {
        Ok(kernels.search_corpus(&packed, queries, &options)?.value)
    })?;
    let name = format!("{OURS}, not packed");
    bench.ours_as(&name, work, limit, &kernels, check, |kernels| {
        Ok(kernels.search(corpus, queries, options.metric, options.wanted)?.value)
    })?;
    // The answers are the oracle's.
    bench.record.cases[before..].iter_mut().for_each(|case| case.recall = Some(1.0));
    Ok(())
}

/// Whether the oracle gives the same lists for the first queries.
fn like_the_oracle(
    corpus: DenseView<'_>,
    queries: DenseView<'_>,
    answer: &[Vec<Neighbor>],
) -> Result<bool, BenchError> {
    let sample = sample(queries, SAMPLE)?;
    let oracle = Kernels::scalar()?.search(corpus, sample.view()?, Metric::Dot, Wanted::Top(10))?.value;
    Ok(answer.len() == queries.rows() && answer[..oracle.len()] == oracle)
}

/// A copy of the first rows.
pub(super) fn sample(rows: DenseView<'_>, most: usize) -> Result<Dense, KernelError> {
    let first: Vec<&[f32]> = rows.iter().take(most).collect();
    Ok(Dense::copy(first.into_iter(), rows.dim()))
}
