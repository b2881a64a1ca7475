//! `w1` and `w2`: the exact ten nearest rows of a corpus. Checked against the oracle for eight queries.

use tensor_kernels::{DenseView, KernelError, Kernels, Metric, Neighbor, Wanted};

use crate::error::BenchError;
use crate::inputs::{self, Dense};
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::Work;

/// Queries that the oracle answers too.
const SAMPLE: usize = 8;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let rows = if bench.options.quick { 2_000 } else { 100_000 };
    let many = if bench.options.quick { 20 } else { 1_000 };
    for dim in or_default(&bench.options.dim, &[128, 768]) {
        let dim = dim as usize;
        for n in or_default(&bench.options.n, &[rows]) {
            // One input serves every number of queries.
            let mut input = None;
            for queries in or_default(&bench.options.queries, &[1, many]) {
                let name = match queries {
                    _ if bench.options.is_matrix() => "search",
                    1 if dim == 768 => "w1",
                    1 => continue,
                    _ => "w2",
                };
                let work = Work::search(name, queries, n, dim);
                if bench.wants(&work) {
                    let most = bench.options.queries.iter().copied().max().unwrap_or(many).max(queries);
                    if input.is_none() {
                        input = Some(inputs::corpus_and_queries(n, most, dim)?);
                    }
                    if let Some((corpus, asked)) = &input {
                        search(bench, &work, corpus, asked, queries)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn search(
    bench: &mut Bench,
    work: &Work,
    corpus: &Dense,
    queries: &Dense,
    count: usize,
) -> Result<(), BenchError> {
    let corpus = corpus.view()?;
    let queries = DenseView::new(&queries.values()[..count * queries.dim()], count, queries.dim())?;
    // A single query reads the corpus once; many reuse what is in the caches and are bound by arithmetic.
    let limit = if count < 8 { Limit::Read } else { Limit::Int8Best };
    let kernels = bench.kernels()?;
    bench.ours(
        work,
        Some(limit),
        &kernels,
        |answer: &Vec<_>| like_the_oracle(corpus, queries, answer),
        |kernels| Ok(kernels.search(corpus, queries, Metric::Dot, Wanted::Top(10))?.value),
    )?;
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
