//! Measuring both sides at one class of work: the operation itself on a small input, then on ever larger ones, as long
//! as a few milliseconds last.

use std::time::{Duration, Instant};

use super::calibration::{Line, Rates};
use super::work::{Class, Work};
use crate::accelerator::{Accelerator, Fallback, Link, Request};
use crate::backend::Backend;
use crate::conflict_input::ConflictInput;
use crate::error::KernelError;
use crate::kmeans::KMeansCodesOptions;
use crate::types::{
    ByteView, Decimal, DeltaBatch, MIN_EXPONENT, Metric, Pairs, SearchOptions, Similarity, SparseBatch,
    Thresholds, Wanted,
};

/// Numbers of rows; searches and k-means, which do not compare all rows with all, take eight times as many.
const ROWS: [usize; 5] = [128, 256, 512, 1_024, 2_048];
const MORE_ROWS: usize = 8;
/// Dimensions. One position in four of sparse rows is used.
const DIM: usize = 384;
/// Time for one side: seven classes take less than 50 ms.
const BUDGET: Duration = Duration::from_millis(7);
/// How many times as long the next number of rows may take.
const NEXT: u32 = 4;

/// Both sides, and the threads that either may use.
#[derive(Clone, Copy)]
pub(crate) struct Both<'a> {
    pub(crate) accelerator: &'a dyn Accelerator,
    pub(crate) backend: &'a dyn Backend,
    pub(crate) pool: &'a rayon::ThreadPool,
}

/// Measures both sides at a class.
pub(super) fn measure(both: Both<'_>, link: &Link, class: Class) -> Result<Rates, Fallback> {
    let began = Instant::now();
    // Compiles and tests the kernels, which counts apart.
    both.with_tile(class, ROWS[0], |request| both.on_device(request))??;
    let compile_s = began.elapsed().as_secs_f64();
    let gpu = both.line(class, |request, work| {
        let took = least(|| both.on_device(request))?;
        let way: Duration = link.time(work.round_trips, work.up, work.down).iter().sum();
        // What the way is expected to take may be more than what all of it took.
        Ok((work.gpu, took.saturating_sub(way).max(took / 20)))
    })?;
    let cpu = both.line(class, |request, work| {
        let took = least(|| {
            both.on_cpu(request);
            Ok(())
        })?;
        Ok((work.cpu, took))
    })?;
    let measured_in_s = began.elapsed().as_secs_f64() - compile_s;
    Ok(Rates { cpu, gpu, compile_s, measured_in_s, gpu_sizes: 0 })
}

/// The shorter of two runs.
fn least(run: impl Fn() -> Result<(), Fallback>) -> Result<Duration, Fallback> {
    let time = || {
        let start = Instant::now();
        run().map(|()| start.elapsed())
    };
    Ok(time()?.min(time()?))
}

impl Both<'_> {
    /// Times of one side over the number of rows: `time` tells units and how long they took.
    fn line(
        self,
        class: Class,
        time: impl Fn(&Request<'_>, &Work) -> Result<(f64, Duration), Fallback>,
    ) -> Result<Line, Fallback> {
        let (began, mut runs) = (Instant::now(), Vec::new());
        for rows in ROWS {
            let step = Instant::now();
            let (units, took) =
                self.with_tile(class, rows, |request| time(request, &Work::of(request)))??;
            runs.push((units, took.as_secs_f64()));
            if began.elapsed() + NEXT * step.elapsed() > BUDGET {
                break;
            }
        }
        Ok(Line::through(&runs))
    }

    /// Runs on the accelerator, which must have a version of it.
    fn on_device(self, request: &Request<'_>) -> Result<(), Fallback> {
        let accelerator = self.accelerator;
        accelerator.accepts(request)?;
        self.pool.install(|| match *request {
            Request::ConflictMatrices(inputs, thresholds) => {
                accelerator.conflict_matrices(inputs, thresholds).map(drop)
            }
            Request::CosineConflicts(rows, thresholds) => {
                accelerator.cosine_conflicts(rows, thresholds).map(drop)
            }
            Request::Search(corpus, queries, options) => {
                accelerator.search(corpus, queries, options).map(drop)
            }
            Request::KMeansCodes(codes, dim, options) => {
                accelerator.kmeans_codes(codes, dim, options).map(drop)
            }
            Request::AllPairs(pairs, similarity, at_least) => {
                accelerator.all_pairs(pairs, similarity, at_least).map(drop)
            }
        })
    }

    fn on_cpu(self, request: &Request<'_>) {
        let backend = self.backend;
        self.pool.install(|| match *request {
            Request::ConflictMatrices(inputs, thresholds) => {
                inputs.iter().for_each(|input| drop(backend.conflict_matrix(input, thresholds)));
            }
            Request::CosineConflicts(rows, thresholds) => drop(backend.cosine_conflicts(rows, thresholds)),
            Request::Search(corpus, queries, options) => drop(backend.search(corpus, queries, options)),
            Request::KMeansCodes(codes, dim, options) => drop(backend.kmeans_codes(codes, dim, options)),
            Request::AllPairs(pairs, similarity, at_least) => {
                drop(backend.all_pairs(pairs, similarity, at_least))
            }
        });
    }

    /// Makes an input of the class and hands it on.
    fn with_tile<T>(
        self,
        class: Class,
        rows: usize,
        run: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<T, Fallback> {
        // What is made here is valid.
        self.with_made(class, rows, run).map_err(|_| Fallback::Refused)
    }

    fn with_made<T>(
        self,
        class: Class,
        rows: usize,
        run: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<T, KernelError> {
        let thresholds = Thresholds::default();
        Ok(match class {
            Class::ConflictMatrix => {
                let deltas = deltas(rows, 4)?;
                run(&Request::ConflictMatrices(
                    &[ConflictInput::all_pairs((&deltas).into(), None)?],
                    &thresholds,
                ))
            }
            Class::CosineBytes => {
                let codes = codes(rows);
                run(&Request::CosineConflicts(ByteView::new(&codes, rows, DIM)?.into(), &thresholds))
            }
            Class::CosineDeltas => run(&Request::CosineConflicts((&deltas(rows, 1)?).into(), &thresholds)),
            Class::SearchFew | Class::SearchMany => {
                let (rows, queries) = (rows * MORE_ROWS, if class == Class::SearchFew { 1 } else { 64 });
                let codes = codes(rows);
                let corpus = self.backend.corpus(ByteView::new(&codes, rows, DIM)?.into());
                let queries = ByteView::new(&codes[..queries * DIM], queries, DIM)?;
                let options = SearchOptions::new(Metric::Dot, Wanted::Top(10));
                run(&Request::Search(&corpus, queries.into(), &options))
            }
            Class::KMeans => {
                let options = KMeansCodesOptions { k: 64, max_iterations: 2, seed: 1, exponent: 0, epoch: 0 };
                run(&Request::KMeansCodes(&codes(rows * MORE_ROWS), DIM as u32, &options))
            }
            Class::AllPairs => {
                let batch = deltas(rows, 4)?.to_sparse();
                let half = Decimal::from_ten_thousandths(5_000);
                run(&Request::AllPairs(&Pairs::of(&batch), Similarity::Jaccard, half))
            }
        })
    }
}

/// Rows of bytes of every size but −128, scattered by Numerical Recipes' generator.
fn codes(rows: usize) -> Vec<i8> {
    let mut state = 1u32;
    let mut code = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) as u8).cast_signed().max(-127)
    };
    (0..rows * DIM).map(|_| code()).collect()
}

/// Deltas with an entry in one of `every` positions.
fn deltas(rows: usize, every: usize) -> Result<DeltaBatch, KernelError> {
    let codes = codes(rows);
    let (mut indptr, mut indices, mut kept) = (vec![0], Vec::new(), Vec::new());
    for row in codes.chunks_exact(DIM) {
        for (position, &code) in (0u32..).zip(row) {
            // Bits that do not matter to whether a code is zero.
            if code != 0 && usize::from(code.cast_unsigned() >> 2) % every == 0 {
                indices.push(position);
                kept.push(i16::from(code) * 200);
            }
        }
        indptr.push(indices.len());
    }
    let values = vec![1.0; indices.len()];
    let rows = SparseBatch::new(DIM as u32, indptr, indices, values)?;
    // Under the least exponent codes of any size are canonical.
    Ok(DeltaBatch::from_encoded(&rows, kept, vec![MIN_EXPONENT; codes.len() / DIM]))
}
