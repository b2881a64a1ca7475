//! `w1`, `w2` and `w2i`: the exact ten nearest rows of a corpus. Checked against the oracle for eight queries.

use tensor_kernels::{
    ByteView, DenseView, Int8Mode, Int8Rows, Isa, KernelError, Kernels, Metric, Neighbor, SearchOptions,
    SearchRows, Wanted,
};

use crate::error::BenchError;
use crate::inputs::{self, Dense};
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::{Bench, OURS};
use crate::work::Work;

/// Queries that the oracle answers too.
const SAMPLE: usize = 8;
const OPTIONS: SearchOptions<'static> = SearchOptions::new(Metric::Dot, Wanted::Top(10));

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
            let work = Work::search_codes("w2i", many, n, dim);
            if !bench.options.is_matrix() && bench.wants(&work) {
                let (corpus, queries) = inputs::corpus_and_queries(n, many, dim)?;
                let [corpus, queries] = [codes(&corpus)?, codes(&queries)?];
                let [corpus, queries] = [ByteView::try_from(&corpus)?, ByteView::try_from(&queries)?];
                in_packed(bench, &work, corpus.into(), queries.into())?;
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

/// In a corpus that was packed before the clock starts, and in rows as they lie.
fn search(
    bench: &mut Bench,
    work: &Work,
    corpus: DenseView<'_>,
    queries: &Dense,
    count: usize,
) -> Result<(), BenchError> {
    let queries = DenseView::new(&queries.values()[..count * queries.dim()], count, queries.dim())?;
    in_packed(bench, work, corpus.into(), queries.into())?;
    let name = format!("{OURS}, not packed");
    let check = |answer: &Vec<_>| like_the_oracle(corpus.into(), queries.into(), answer);
    let kernels = bench.kernels_and_gpu(&[best()?])?;
    let before = bench.record.cases.len();
    bench.ours_as(&name, work, Some(limit(count)), &kernels, check, |kernels| {
        Ok(kernels.search(corpus, queries, OPTIONS.metric, OPTIONS.wanted)?.value)
    })?;
    right(bench, before);
    Ok(())
}

/// In a corpus that was packed before the clock starts, as a stored one is.
fn in_packed(
    bench: &mut Bench,
    work: &Work,
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
) -> Result<(), BenchError> {
    let check = |answer: &Vec<_>| like_the_oracle(corpus, queries, answer);
    let packed = Kernels::detect()?.corpus(corpus).value;
    let mut work = work.clone();
    if packed.packed_bytes() > 0 {
        work.bytes = Some(packed.packed_bytes() as f64);
    }
    let kernels = bench.kernels_and_gpu(&[best()?])?;
    let before = bench.record.cases.len();
    bench.ours(&work, Some(limit(queries.rows())), &kernels, check, |kernels| {
        Ok(kernels.search_corpus(&packed, queries, &OPTIONS)?.value)
    })?;
    right(bench, before);
    Ok(())
}

/// The level that the environment forces, or the fastest.
fn best() -> Result<Isa, KernelError> {
    Ok(Isa::from_env()?.unwrap_or_else(Isa::best))
}

/// A single query reads the corpus once; many reuse what is in the caches and are bound by arithmetic.
fn limit(queries: usize) -> Limit {
    if queries < 8 { Limit::Read } else { Limit::Int8Best }
}

/// The answers from `before` on are the oracle's: nothing was missed.
fn right(bench: &mut Bench, before: usize) {
    bench.record.cases[before..].iter_mut().for_each(|case| case.recall = Some(1.0));
}

/// Each row as signed bytes, under a scale that does not count here.
fn codes(rows: &Dense) -> Result<Int8Rows, BenchError> {
    Ok(Kernels::detect()?.int8_quantize(rows.view()?, Int8Mode::Symmetric).value)
}

/// Whether the oracle gives the same lists for the first queries.
fn like_the_oracle(
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
    answer: &[Vec<Neighbor>],
) -> Result<bool, BenchError> {
    let oracle = Kernels::scalar()?;
    let corpus = oracle.corpus(corpus).value;
    let some = match queries {
        SearchRows::F32(rows) => sample(rows, SAMPLE)?,
        SearchRows::Bytes(rows) => {
            let values = |row| rows.row(row).iter().map(|&code| f32::from(code)).collect();
            let some: Vec<Vec<f32>> = (0..rows.rows().min(SAMPLE)).map(values).collect();
            Dense::copy(some.iter().map(Vec::as_slice), rows.dim())
        }
        SearchRows::Half(_) => return Ok(false), // no workload has such
    };
    let found = oracle.search_corpus(&corpus, some.view()?, &OPTIONS)?.value;
    Ok(answer.len() == queries.rows() && answer[..found.len()] == found)
}

/// A copy of the first rows.
pub(super) fn sample(rows: DenseView<'_>, most: usize) -> Result<Dense, KernelError> {
    let first: Vec<&[f32]> = rows.iter().take(most).collect();
    Ok(Dense::copy(first.into_iter(), rows.dim()))
}
