//! The inputs of the named workloads: fixed seeds, the same bytes on every machine.
//!
//! Queries come from the same clusters as the corpus, as they do in use. Dense rows lie in aligned
//! buffers on huge pages where the system gives them, for us and for every peer alike.

use tensor_datasets::generate::{GenerateError, bernoulli_sparse, clustered_dense, profile_mix, zipf_sparse};
use tensor_kernels::{AlignedBuf, DenseView, KernelError, SparseBatch};

/// Dense rows in one aligned buffer.
#[derive(Debug, Clone)]
pub struct Dense {
    values: AlignedBuf<f32>,
    rows: usize,
    dim: usize,
}

impl Dense {
    /// A copy of rows that lie elsewhere.
    #[must_use]
    pub fn copy<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, dim: usize) -> Self {
        let count = rows.len();
        let mut values = AlignedBuf::zeroed(count * dim);
        for (to, from) in values.chunks_exact_mut(dim.max(1)).zip(rows) {
            to.copy_from_slice(from);
        }
        Self { values, rows: count, dim }
    }

    /// The rows.
    ///
    /// # Errors
    /// More values than a view can hold.
    pub fn view(&self) -> Result<DenseView<'_>, KernelError> {
        DenseView::new(&self.values, self.rows, self.dim)
    }

    /// All values, row by row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }
}

/// A corpus and its queries, from 100 clusters: `w1`, `w2` and `w2i`.
///
/// # Errors
/// Sizes that no buffer can hold.
pub fn corpus_and_queries(rows: usize, queries: usize, dim: usize) -> Result<(Dense, Dense), GenerateError> {
    let all = clustered_dense(rows.saturating_add(queries), dim, 100, 0.5, 2)?;
    let view = all.view()?;
    let row = |from: usize, to: usize| (from..to).map(move |row| view.row(row));
    Ok((Dense::copy(row(0, rows), dim), Dense::copy(row(rows, rows + queries), dim)))
}

/// Points from 256 clusters for `w5` and `w6`, and rows for `w3` and `w7`.
///
/// # Errors
/// Sizes that no buffer can hold.
pub fn points(rows: usize, dim: usize) -> Result<Dense, GenerateError> {
    let all = clustered_dense(rows, dim, 256, 0.5, 4)?;
    Ok(Dense::copy(all.view()?.iter(), dim))
}

/// Sparse rows whose components are present with probability `density`: `w4a`, `w8` and `w9`.
///
/// # Errors
/// A density outside 0..=1, sizes that no batch can hold.
pub fn even_sparse(rows: usize, dim: u32, density: f64) -> Result<SparseBatch<'static>, GenerateError> {
    bernoulli_sparse(rows, dim, density, 1)
}

/// Sparse rows of 64 components each, few of them frequent and most rare: `w4b`.
///
/// # Errors
/// Sizes that no batch can hold.
pub fn zipf_rows(rows: usize, dim: u32) -> Result<SparseBatch<'static>, GenerateError> {
    zipf_sparse(rows, dim, 1.0, 64.min(dim as usize), 1)
}

/// Sparse rows as wide as everyday transactions are, 7.15 components on average, at positions of which few
/// are frequent: `w4c`.
///
/// # Errors
/// Sizes that no batch can hold.
pub fn transaction_rows(rows: usize, dim: u32) -> Result<SparseBatch<'static>, GenerateError> {
    let widths = profile_mix(rows, 1)?;
    let width = |row: usize| widths.row(row).0.len().min(dim as usize);
    let widest = (0..rows).map(width).max().unwrap_or(0);
    // One batch for each width that occurs; rows are then taken from the batch of their width in turn.
    let mut batches = Vec::with_capacity(widest + 1);
    for nnz in 0..=widest {
        let count = (0..rows).filter(|&row| width(row) == nnz).count();
        let batch = if count > 0 { Some(zipf_sparse(count, dim, 1.0, nnz, nnz as u64)?) } else { None };
        batches.push((batch, 0));
    }
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in 0..rows {
        if let Some((Some(batch), taken)) = batches.get_mut(width(row)) {
            let (positions, numbers) = batch.row(*taken);
            indices.extend_from_slice(positions);
            values.extend_from_slice(numbers);
            *taken += 1;
        }
        indptr.push(indices.len());
    }
    Ok(SparseBatch::new(dim, indptr, indices, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_not_rows_of_the_corpus_but_from_its_clusters() {
        let (corpus, queries) = corpus_and_queries(500, 3, 16).unwrap();
        assert_eq!((corpus.rows(), queries.rows(), queries.dim()), (500, 3, 16));
        for query in queries.view().unwrap().iter() {
            let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let nearest = corpus.view().unwrap().iter().map(distance).fold(f32::MAX, f32::min);
            // Two draws from one cluster differ by 2 · 0.25 in each dimension's variance, two clusters by 2.5.
            assert!(nearest > 0.0 && nearest < 16.0, "{nearest}");
        }
        assert_eq!(corpus_and_queries(0, 0, 16).unwrap().0.rows(), 0);
    }

    #[test]
    fn transactions_have_the_widths_of_the_everyday_mix() {
        let (rows, mix) = (transaction_rows(300, 1_000).unwrap(), profile_mix(300, 1).unwrap());
        assert_eq!(rows.indptr(), mix.indptr());
        assert_eq!(transaction_rows(10, 1).unwrap().dim(), 1);
    }
}
