//! Nearest deltas of f32 rows in f32 lanes.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::isa::Level;
use crate::types::{DeltaBatch, MAX_NNZ, SparseBatch, exact_power_of_two, smallest_exponent};

/// Rows of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 256;

/// The nearest delta of each row.
pub(crate) fn delta(level: Level, rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError> {
    let starts: Vec<usize> = (0..rows.rows()).step_by(ROWS_PER_TASK).collect();
    let tasks: Vec<_> = starts.into_par_iter().map(|first| level.dispatch(Encode { rows, first })).collect();
    // In order: of several rows that are out of range the first is named, whichever thread came first.
    let tasks = tasks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (codes, exponents): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    Ok(DeltaBatch::from_encoded(rows, codes.concat(), exponents.concat()))
}

/// Encodes the rows of one task.
struct Encode<'a> {
    rows: &'a SparseBatch<'a>,
    first: usize,
}

impl pulp::WithSimd for Encode<'_> {
    type Output = Result<(Vec<i16>, Vec<i8>), KernelError>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let Self { rows, first } = self;
        let (mut codes, mut exponents) = (Vec::new(), Vec::new());
        for row in first..(first + ROWS_PER_TASK).min(rows.rows()) {
            let (_, values) = rows.row(row);
            if values.len() > MAX_NNZ {
                let got = values.len();
                return Err(KernelError::TooLarge { what: "delta components", got, limit: MAX_NNZ });
            }
            let exponent = smallest_exponent(values, rows.indptr()[row])?;
            // Scaling by a power of two is exact, but for results below 2^-126, which round to zero anyway.
            let scale = exact_power_of_two(-exponent);
            codes.extend(values.iter().map(|&value| nonzero_code(value, (value * scale).round_ties_even())));
            exponents.push(exponent);
        }
        Ok((codes, exponents))
    }
}

/// The rounded value as a code; one code of the value's sign where it rounded to zero.
#[inline(always)]
fn nonzero_code(value: f32, rounded: f32) -> i16 {
    let least = if value < 0.0 { -1 } else { 1 };
    #[expect(clippy::cast_possible_truncation, reason = "the exponent was chosen so that the code fits i16")]
    let code = rounded as i16;
    if code == 0 { least } else { code }
}
