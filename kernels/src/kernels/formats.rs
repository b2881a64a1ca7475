//! Rows in other formats: deltas, signed bytes, halves.

use super::{Kernels, same_dim, same_len};
use crate::aligned::AlignedBuf;
use crate::error::KernelError;
use crate::run::Run;
use crate::types::{DeltaBatch, DenseView, HalfKind, HalfRows, HalfView, Int8Mode, Int8Rows, SparseBatch};

impl Kernels {
    /// The nearest delta of each f32 row: codes rounded half to even under the smallest exponent that
    /// fits, never to zero. `‖x − x̂‖ ≤ √nnz · ‖x‖∞ / 16,319` where the exponent is above −64.
    ///
    /// Agreement: exact. Shape: `rows × dim` sparse in, the same positions out. Cost: O(nnz).
    /// [`DeltaBatch::to_sparse`] is the exact way back, [`DeltaSum::of`](crate::DeltaSum::of) the exact sum.
    ///
    /// # Errors
    /// As [`DeltaVector::from_sparse`](crate::DeltaVector::from_sparse), for the first row refused.
    pub fn delta(&self, rows: &SparseBatch<'_>) -> Result<Run<DeltaBatch>, KernelError> {
        self.run(|backend| backend.delta(rows)).transpose()
    }

    /// Dense rows to signed bytes, one scale a row. [`Int8Rows`] states the error bound.
    ///
    /// Agreement: exact: quotients in f64, rounded half to even. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn int8_quantize(&self, rows: DenseView<'_>, mode: Int8Mode) -> Run<Int8Rows> {
        let mut out = Int8Rows::zeroed_like(mode, rows.rows(), rows.dim());
        self.run(|backend| backend.int8_quantize(rows, &mut out)).map(|()| out)
    }

    /// [`int8_quantize`](Self::int8_quantize) into memory that the caller keeps, in the mode of `out`. Memory
    /// that was written before costs no page faults: for large batches that is most of the time.
    ///
    /// # Errors
    /// `out` of another shape than `rows`.
    pub fn int8_quantize_into(
        &self,
        rows: DenseView<'_>,
        out: &mut Int8Rows,
    ) -> Result<Run<()>, KernelError> {
        same_dim(out.dim(), rows.dim())?;
        same_len("out", out.rows(), rows.rows())?;
        Ok(self.run(|backend| backend.int8_quantize(rows, out)))
    }

    /// The values of signed bytes, row-major; each is one f64 product and sum, rounded once.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn int8_dequantize(&self, rows: &Int8Rows) -> Run<AlignedBuf<f32>> {
        let mut values = AlignedBuf::zeroed(rows.codes().len());
        self.run(|backend| backend.int8_dequantize(rows, &mut values)).map(|()| values)
    }

    /// [`int8_dequantize`](Self::int8_dequantize) into memory that the caller keeps.
    ///
    /// # Errors
    /// `out` of another length than the codes.
    pub fn int8_dequantize_into(&self, rows: &Int8Rows, out: &mut [f32]) -> Result<Run<()>, KernelError> {
        same_len("out", out.len(), rows.codes().len())?;
        Ok(self.run(|backend| backend.int8_dequantize(rows, out)))
    }

    /// The values of f16 or bf16 rows, row-major; every one is exact.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn half_widen(&self, rows: HalfView<'_>) -> Run<AlignedBuf<f32>> {
        let mut values = AlignedBuf::zeroed(rows.bits().len());
        self.run(|backend| backend.half_widen(rows, &mut values)).map(|()| values)
    }

    /// [`half_widen`](Self::half_widen) into the caller's memory.
    ///
    /// # Errors
    /// `out` of another length than the rows.
    pub fn half_widen_into(&self, rows: HalfView<'_>, out: &mut [f32]) -> Result<Run<()>, KernelError> {
        same_len("out", out.len(), rows.bits().len())?;
        Ok(self.run(|backend| backend.half_widen(rows, out)))
    }

    /// The nearest f16 or bf16 of each component, half to even: within 2⁻¹² (f16) or 2⁻⁹ (bf16) of its
    /// magnitude, or within 2⁻²⁵ (f16) or 2⁻¹³⁴ (bf16) where the result is denormal.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    ///
    /// # Errors
    /// [`KernelError::MagnitudeOutOfRange`] for the first component that would become infinite, as from
    /// 65,520 on in f16.
    pub fn half_narrow(&self, rows: DenseView<'_>, kind: HalfKind) -> Result<Run<HalfRows>, KernelError> {
        self.run(|backend| backend.half_narrow(rows, kind)).transpose()
    }
}
