//! Exact similarity search.

use super::{Kernels, same_dim};
use crate::accelerator::Request;
use crate::corpus::Corpus;
use crate::error::KernelError;
use crate::run::Run;
use crate::together::Like;
use crate::types::{Metric, Neighbor, SearchOptions, SearchRows, Wanted};

impl Kernels {
    /// The nearest rows of `corpus` for each query, nearest first, ties by the lower row.
    ///
    /// Agreement: exact: the order is that of the real numbers; scores are f64 sums in ascending
    /// dimension. Shape: `queries × dim`, `rows × dim` → one list a query. Cost: O(queries · rows · dim).
    /// Rows and queries may be f32, f16, bf16 or signed bytes, each meaning exactly the numbers it holds.
    ///
    /// # Errors
    /// Dimensions that differ (an empty corpus or no queries fit any dimension).
    pub fn search<'a>(
        &self,
        corpus: impl Into<SearchRows<'a>>,
        queries: impl Into<SearchRows<'a>>,
        metric: Metric,
        wanted: Wanted,
    ) -> Result<Run<Vec<Vec<Neighbor>>>, KernelError> {
        self.search_corpus(&Corpus::unpacked(corpus), queries, &SearchOptions::new(metric, wanted))
    }

    /// Rows made ready for many searches: read once now, a quarter of their bytes each time after. Pays from
    /// the second search on.
    #[must_use]
    pub fn corpus<'a>(&self, rows: impl Into<SearchRows<'a>>) -> Run<Corpus<'a>> {
        let rows = rows.into();
        self.run(|backend| backend.corpus(rows))
    }

    /// [`search`](Self::search) in a corpus that is kept, or among some of its rows.
    ///
    /// ```
    /// use tensor_kernels::{DenseView, Kernels, Metric, RowMask, SearchOptions, Wanted};
    /// let kernels = Kernels::detect()?;
    /// let rows = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
    /// let corpus = kernels.corpus(DenseView::new(&rows, 3, 2)?).value;
    /// let query = DenseView::new(&[0.0, 2.0], 1, 2)?;
    /// let nearest = SearchOptions::new(Metric::Cosine, Wanted::Top(1));
    /// assert_eq!(kernels.search_corpus(&corpus, query, &nearest)?.value[0][0].row, 1);
    /// let not_1 = RowMask::from_fn(3, |row| row != 1);
    /// assert_eq!(kernels.search_corpus(&corpus, query, &nearest.only(&not_1))?.value[0][0].row, 2);
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    ///
    /// With an accelerator, small searches of several threads in one corpus wait for each other, no longer than a
    /// millisecond, and are answered together; a lone one goes at once.
    ///
    /// # Errors
    /// As [`search`](Self::search), and a mask for another number of rows.
    pub fn search_corpus<'a>(
        &self,
        corpus: &Corpus<'_>,
        queries: impl Into<SearchRows<'a>>,
        options: &SearchOptions<'_>,
    ) -> Result<Run<Vec<Vec<Neighbor>>>, KernelError> {
        let (rows, queries) = (corpus.rows(), queries.into());
        if rows.rows() > 0 && queries.rows() > 0 {
            same_dim(queries.dim(), rows.dim())?;
        }
        match options.only {
            Some(mask) if mask.rows() != rows.rows() => {
                Err(KernelError::LengthMismatch { what: "row mask", got: mask.rows(), expected: rows.rows() })
            }
            _ => Ok(self.search_together(corpus, queries, options)),
        }
    }

    /// A search that may be asked of an accelerator, with those of other callers.
    fn search_together(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Run<Vec<Vec<Neighbor>>> {
        let search = |queries: SearchRows<'_>| {
            self.run_accelerated(
                &Request::Search(corpus, queries, options),
                |accelerator| accelerator.search(corpus, queries, options),
                || self.run(|backend| backend.search(corpus, queries, options)),
            )
        };
        match &self.accelerated {
            Some(accelerated)
                if accelerated.may_be_asked() && corpus.coded().is_some() && options.only.is_none() =>
            {
                let SearchOptions { metric, wanted, .. } = *options;
                let like = Like { accelerator: accelerated.id(), dim: queries.dim(), metric, wanted };
                corpus.together().search(like, queries, search)
            }
            _ => search(queries),
        }
    }
}
