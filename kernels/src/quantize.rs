//! What surrounds the nearest entry: residuals, codes of several stages, and the verdict whether a
//! delta belongs to an entry. No lanes here, so every backend runs these same functions.

use crate::error::KernelError;
use crate::exact::DeltaRow;
use crate::types::{Codebook, ConsensusCodebook, Decimal, DeltaVector, DenseView, Neighbor, check_finite};

/// What is left of `vector` once a codebook entry has been taken away: `vector − centroid`, each
/// component rounded once to f32.
///
/// ```
/// use tensor_kernels::{Codebook, Metric, residual};
/// let book = Codebook::new(Metric::L2, 2, 2, vec![0.0, 0.0, 1.0, 2.0])?;
/// assert_eq!(residual(&book, 1, &[1.5, 2.0])?, [0.5, 0.0]);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
///
/// # Errors
/// An entry that does not exist, a vector of another dimension, a component that leaves the range of f32.
pub fn residual(book: &Codebook, entry: usize, vector: &[f32]) -> Result<Vec<f32>, KernelError> {
    let centroid = book.centroid(entry).ok_or_else(|| no_entry(entry, book.len()))?;
    if vector.len() != centroid.len() {
        return Err(KernelError::DimensionMismatch { got: vector.len(), expected: centroid.len() });
    }
    let rest: Vec<f32> = vector.iter().zip(centroid).map(|(v, c)| v - c).collect();
    check_finite(&rest)?;
    Ok(rest)
}

/// Codes of several stages: each stage quantises what the stages before it left over.
#[derive(Debug, Clone, PartialEq)]
pub struct HierarchicalCodes {
    stages: usize,
    dim: usize,
    codes: Vec<u32>,
    residuals: Vec<f32>,
}

impl HierarchicalCodes {
    /// Codes of row `row`, one per stage.
    ///
    /// # Panics
    /// Never for a row that was quantised; an out-of-range row is a bug of the caller, as for a slice.
    #[must_use]
    pub fn codes(&self, row: usize) -> &[u32] {
        &self.codes[row * self.stages..(row + 1) * self.stages]
    }

    /// What is left of row `row` after the last stage.
    ///
    /// # Panics
    /// As [`codes`](Self::codes).
    #[must_use]
    pub fn residual(&self, row: usize) -> &[f32] {
        &self.residuals[row * self.dim..(row + 1) * self.dim]
    }
}

/// Residual quantisation of `rows`, stage by stage, by a backend's `quantize`.
///
/// # Errors
/// A codebook of another dimension or without entries; a residual that leaves the range of f32.
pub(crate) fn hierarchical_codes(
    books: &[Codebook],
    rows: DenseView<'_>,
    quantize: impl Fn(&Codebook, DenseView<'_>) -> Vec<Option<Neighbor>>,
) -> Result<HierarchicalCodes, KernelError> {
    let (dim, stages) = (rows.dim(), books.len());
    let mut residuals: Vec<f32> = rows.iter().flatten().copied().collect();
    let mut codes = vec![0; rows.rows() * stages];
    for (stage, book) in books.iter().enumerate() {
        if book.dim() != dim {
            return Err(KernelError::DimensionMismatch { got: book.dim(), expected: dim });
        }
        if book.is_empty() {
            return Err(no_entry(0, 0));
        }
        let nearest = quantize(book, DenseView::new(&residuals, rows.rows(), dim)?);
        // A dimension of 0 has no rows.
        for (row, (rest, found)) in residuals.chunks_exact_mut(dim.max(1)).zip(nearest).enumerate() {
            let Some(Neighbor { row: entry, .. }) = found else { return Err(no_entry(0, book.len())) };
            codes[row * stages + stage] = entry;
            rest.copy_from_slice(&residual(book, entry as usize, rest)?);
        }
    }
    Ok(HierarchicalCodes { stages, dim, codes, residuals })
}

/// Whether the cosine of a delta and entry `entry` of a consensus codebook is at least the threshold,
/// decided in integers. A zero vector has cosine 0.
///
/// ```
/// use tensor_kernels::{ConsensusCodebook, DeltaVector, SparseVec, entry_is_within};
/// let book = ConsensusCodebook::new(2, -6, vec![64, 0], 0)?; // one entry: [1, 0]
/// let delta = DeltaVector::from_sparse(&SparseVec::from_dense(&[3.0, 4.0])?)?;
/// assert!(entry_is_within(&book, 0, &delta, "0.6".parse()?)?);
/// assert!(!entry_is_within(&book, 0, &delta, "0.6001".parse()?)?);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
///
/// # Errors
/// An entry that does not exist, a delta of another dimension.
pub fn entry_is_within(
    book: &ConsensusCodebook,
    entry: usize,
    delta: &DeltaVector,
    threshold: Decimal,
) -> Result<bool, KernelError> {
    if delta.dim() != book.dim() {
        return Err(KernelError::DimensionMismatch {
            got: delta.dim() as usize,
            expected: book.dim() as usize,
        });
    }
    if entry >= book.len() {
        return Err(no_entry(entry, book.len()));
    }
    let row = DeltaRow { indices: delta.indices(), codes: delta.codes(), exponent: delta.exponent() };
    Ok(row.cosine_at_least(book, entry, threshold))
}

fn no_entry(got: usize, entries: usize) -> KernelError {
    KernelError::NoSuchEntry { got, entries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;
    use crate::types::{Metric, SparseVec};
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn book(centroids: &[f32]) -> Codebook {
        Codebook::new(Metric::L2, centroids.len() / 2, 2, centroids.to_vec()).unwrap()
    }

    #[test]
    fn each_stage_quantises_what_the_stages_before_it_left() {
        let books = [book(&[0.0, 0.0, 8.0, 8.0]), book(&[1.0, 0.0, 0.0, -1.0]), book(&[0.25, 0.25])];
        let rows = DenseView::new(&[9.5, 8.0, 0.25, -0.75], 2, 2).unwrap();
        let coded = hierarchical_codes(&books, rows, scalar::quantize::quantize).unwrap();
        assert_eq!((coded.codes(0), coded.residual(0)), (&[1, 0, 0][..], &[0.25, -0.25][..]));
        assert_eq!((coded.codes(1), coded.residual(1)), (&[0, 1, 0][..], &[0.0, 0.0][..]));
        let none = hierarchical_codes(&[], rows, scalar::quantize::quantize).unwrap();
        assert_eq!((none.codes(1), none.residual(1)), (&[][..], &[0.25, -0.75][..]));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let (one, empty) = (book(&[-1.0, 0.0]), book(&[]));
        let rows = DenseView::new(&[1.0], 1, 1).unwrap();
        let code = |books: &[Codebook], rows| hierarchical_codes(books, rows, scalar::quantize::quantize);
        assert_eq!(
            code(std::slice::from_ref(&one), rows),
            Err(KernelError::DimensionMismatch { got: 2, expected: 1 })
        );
        let rows = DenseView::new(&[1.0, 1.0], 1, 2).unwrap();
        assert_eq!(code(&[one.clone(), empty], rows), Err(KernelError::NoSuchEntry { got: 0, entries: 0 }));
        assert_eq!(residual(&one, 1, &[1.0, 1.0]), Err(KernelError::NoSuchEntry { got: 1, entries: 1 }));
        assert_eq!(residual(&one, 0, &[1.0]), Err(KernelError::DimensionMismatch { got: 1, expected: 2 }));
        let far = book(&[-f32::MAX, 0.0]);
        assert_eq!(residual(&far, 0, &[f32::MAX, 0.0]), Err(KernelError::NonFinite { position: 0 }));

        let book = ConsensusCodebook::new(2, 0, vec![1, 0], 0).unwrap();
        let zero = Decimal::from_ten_thousandths(0);
        assert_eq!(
            entry_is_within(&book, 1, &DeltaVector::zero(2), zero),
            Err(KernelError::NoSuchEntry { got: 1, entries: 1 })
        );
        assert_eq!(
            entry_is_within(&book, 0, &DeltaVector::zero(3), zero),
            Err(KernelError::DimensionMismatch { got: 3, expected: 2 })
        );
    }

    #[test]
    fn a_cosine_on_the_threshold_is_within_and_one_code_beside_it_is_told_apart() {
        let t = |text: &str| text.parse::<Decimal>().unwrap();
        let book = ConsensusCodebook::new(2, 3, vec![127, 0, 0, 0], 0).unwrap();
        let delta = |codes: [i16; 2]| DeltaVector::from_canonical(2, vec![0, 1], codes.to_vec(), 0).unwrap();
        let within =
            |entry, codes, threshold| entry_is_within(&book, entry, &delta(codes), threshold).unwrap();
        assert!(within(0, [24_000, 32_000], t("0.6")));
        assert!(!within(0, [24_000, 32_001], t("0.6")) && !within(0, [23_999, 32_000], t("0.6")));
        assert!(within(0, [-24_000, 32_000], t("-0.6")));
        assert!(!within(0, [-24_000, 31_999], t("-0.6")) && !within(0, [-24_001, 32_000], t("-0.6")));
        // A zero entry and a zero delta have cosine 0.
        assert!(within(1, [24_000, 32_000], t("0")) && !within(1, [24_000, 32_000], t("0.0001")));
        assert!(entry_is_within(&book, 0, &DeltaVector::zero(2), t("0")).unwrap());
        assert!(!entry_is_within(&book, 0, &DeltaVector::zero(2), t("0.0001")).unwrap());
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_big_integers(
            rows in prop::collection::vec((any::<i16>(), -127i8..=127), 1..20),
            t in prop_oneof![-10_000i32..=10_000, Just(0), -20_000i32..=20_000],
        ) {
            let values: Vec<f32> = rows.iter().map(|r| f32::from(r.0)).collect();
            let delta = DeltaVector::from_sparse(&SparseVec::from_dense(&values).unwrap()).unwrap();
            let codes: Vec<i8> = rows.iter().map(|r| r.1).collect();
            let book = ConsensusCodebook::new(delta.dim(), -7, codes, 0).unwrap();
            let sum = |term: fn(&(i16, i8)) -> i64| rows.iter().map(term).sum::<i64>();
            prop_assume!(rows.iter().all(|r| r.0.unsigned_abs() <= 32_639));
            let dot = BigInt::from(sum(|r| i64::from(r.0) * i64::from(r.1))) * 10_000;
            let norms = BigInt::from(sum(|r| i64::from(r.0).pow(2))) * sum(|r| i64::from(r.1).pow(2));
            // dot · 10⁴ ≥ t · √norms, with signed squares; where norms is 0 both are 0 or t decides.
            let signed_square = |x: BigInt| if x < BigInt::from(0) { -(&x * &x) } else { &x * &x };
            let right = if norms == BigInt::from(0) { BigInt::from(t) } else { signed_square(BigInt::from(t)) * norms };
            let expected = signed_square(dot) >= right;
            let threshold = Decimal::from_ten_thousandths(t);
            prop_assert_eq!(entry_is_within(&book, 0, &delta, threshold).unwrap(), expected);
        }
    }
}
