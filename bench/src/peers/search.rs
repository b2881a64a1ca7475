//! `w1` and `w2`: the ten nearest rows by inner product, for one query and for a thousand, f32 or signed bytes.

use std::io;
use std::path::Path;

use tensor_kernels::{ByteView, DenseView, Kernels, Metric, SearchOptions, SearchRows, Wanted};

use super::contender::{Contender, Resident};
use super::exchange;
use super::oracle::{codes_of, dot, widened};
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::{Dense, corpus_and_queries};
use crate::work::Work;

/// How many neighbours are wanted.
pub const K: usize = 10;

/// How many queries are checked: each costs one f64 pass over the corpus.
const CHECKED: usize = 16;

/// A corpus and queries, or their codes.
pub struct SearchWork {
    work: Work,
    /// Codes are held as f32 here, exactly.
    pub(super) corpus: Dense,
    pub(super) queries: Dense,
    /// The corpus, then the queries.
    pub(super) codes: Option<(Vec<i8>, Vec<i8>)>,
}

impl SearchWork {
    /// One query.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn one(quick: bool) -> Result<Self, BenchError> {
        Self::new("w1", 1, 768, quick)
    }

    /// A thousand queries.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn many(dim: usize, quick: bool) -> Result<Self, BenchError> {
        Self::new("w2", if quick { 40 } else { 1_000 }, dim, quick)
    }

    /// A thousand queries on signed bytes.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn codes(dim: usize, quick: bool) -> Result<Self, BenchError> {
        let work = Self::many(dim, quick)?;
        let (corpus, queries) = (codes_of(&work.corpus)?, codes_of(&work.queries)?);
        Ok(Self {
            work: Work::search_codes("w2i", work.queries.rows(), work.corpus.rows(), dim),
            corpus: widened(&corpus, dim),
            queries: widened(&queries, dim),
            codes: Some((corpus, queries)),
        })
    }

    fn new(name: &str, queries: usize, dim: usize, quick: bool) -> Result<Self, BenchError> {
        let rows = if quick { 2_000 } else { 100_000 };
        let (corpus, asked) = corpus_and_queries(rows, queries, dim)?;
        Ok(Self { work: Work::search(name, queries, rows, dim), corpus, queries: asked, codes: None })
    }
}

impl Workload for SearchWork {
    fn work(&self) -> Work {
        self.work.clone()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let dim = Some(self.corpus.dim());
        if let Some((corpus, queries)) = &self.codes {
            exchange::write(folder, "rows", corpus, dim)?;
            return exchange::write(folder, "queries", queries, dim);
        }
        exchange::write(folder, "rows", self.corpus.values(), dim)?;
        exchange::write(folder, "queries", self.queries.values(), dim)
    }

    /// The corpus is packed once, as peers may build their index.
    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let (corpus, queries) = match &self.codes {
            None => (self.corpus.view()?.into(), self.queries.view()?.into()),
            Some((corpus, queries)) => {
                let dim = self.corpus.dim();
                let view = |codes: &'a [i8]| ByteView::new(codes, codes.len() / dim, dim);
                (view(corpus)?.into(), view(queries)?.into())
            }
        };
        let (corpus, queries): (SearchRows<'_>, SearchRows<'_>) = (corpus, queries);
        let corpus = kernels.corpus(corpus).value;
        let options = SearchOptions::new(Metric::Dot, Wanted::Top(K));
        let search = move || kernels.search_corpus(&corpus, queries, &options);
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), search, |found| {
            let found = found.as_ref().map(|run| run.value.as_slice()).unwrap_or_default();
            found.iter().flatten().map(|neighbor| f64::from(neighbor.row)).collect()
        }))))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::search(self, threads)
    }

    /// Scores are compared, not rows: two rows of the same score are equally right.
    fn check(&self, answer: &[f64]) -> Verdict {
        let (Ok(corpus), Ok(queries)) = (self.corpus.view(), self.queries.view()) else {
            return Verdict::WRONG;
        };
        if answer.len() != queries.rows() * K {
            return Verdict::WRONG;
        }
        let mut worst = 0.0f64;
        for (query, found) in answer.chunks_exact(K).enumerate().step_by(queries.rows().div_ceil(CHECKED)) {
            match shortfall(corpus, queries.row(query), found) {
                Some(error) => worst = worst.max(error),
                None => return Verdict::WRONG,
            }
        }
        Verdict::of(worst)
    }
}

/// How far the scores of the rows `found` fall short of the best, at worst; `None` if they are not `K` rows.
fn shortfall(corpus: DenseView<'_>, query: &[f32], found: &[f64]) -> Option<f64> {
    let scores: Vec<f64> = corpus.iter().map(|row| dot(row, query)).collect();
    let mut rows: Vec<usize> = found.iter().map(|&row| row as usize).collect();
    let mut best = scores.clone();
    best.sort_by(|a, b| b.total_cmp(a));
    let mut worst = 0.0f64;
    for (row, best) in rows.iter().zip(best) {
        worst = worst.max(best - scores.get(*row)?);
    }
    rows.sort_unstable();
    rows.dedup();
    (rows.len() == K).then_some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_neighbour_is_seen() {
        for work in [SearchWork::many(128, true), SearchWork::codes(128, true)] {
            a_wrong_neighbour_is_seen_in(&work.unwrap());
        }
    }

    fn a_wrong_neighbour_is_seen_in(work: &SearchWork) {
        let kernels = Kernels::detect().unwrap();
        let mut answer = work.ours(&kernels).unwrap().unwrap().answer().unwrap();
        assert_eq!(work.check(&answer), Verdict::of(0.0));
        answer[K - 1] = if answer[K - 1] == 0.0 { 1.0 } else { 0.0 };
        assert!(work.check(&answer).max_error > 0.01);
        answer[0] = answer[1];
        assert_eq!(work.check(&answer), Verdict::WRONG, "a row twice");
        answer[0] = 1e9;
        assert_eq!(work.check(&answer), Verdict::WRONG, "no such row");
        assert_eq!(work.check(&answer[1..]), Verdict::WRONG);
    }
}
