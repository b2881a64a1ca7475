//! `w7`: 100,000 rows of f32 to signed bytes with one scale a row, and back.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tensor_kernels::{AlignedBuf, Int8Mode, Int8Rows, Kernels};

use super::contender::{Contender, Resident};
use super::exchange;
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::{Dense, points};
use crate::work::Work;

const DIM: usize = 768;

/// One row in so many is checked.
const STEP: usize = 97;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// f32 to bytes.
    Quantize,
    /// Bytes to f32.
    Dequantize,
}

/// Rows and what the oracle makes of them.
pub struct Int8Work {
    pub(super) direction: Direction,
    pub(super) rows: Dense,
    /// The rows as the oracle quantises them.
    pub(super) codes: Int8Rows,
}

impl Int8Work {
    /// The workload.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn new(direction: Direction, quick: bool) -> Result<Self, BenchError> {
        let rows = points(if quick { 500 } else { 100_000 }, DIM)?;
        let codes = Kernels::scalar()?.int8_quantize(rows.view()?, Int8Mode::Symmetric).value;
        Ok(Self { direction, rows, codes })
    }

    /// What is checked of codes: every [`STEP`]th row, then every scale.
    pub fn sampled_codes(codes: &[i8], scales: impl Iterator<Item = f32>) -> Vec<f64> {
        let rows = codes.chunks_exact(DIM).step_by(STEP).flatten().map(|&code| f64::from(code));
        rows.chain(scales.map(f64::from)).collect()
    }

    /// What is checked of values: every [`STEP`]th row.
    pub fn sampled_values(values: &[f32]) -> Vec<f64> {
        values.chunks_exact(DIM).step_by(STEP).flatten().map(|&value| f64::from(value)).collect()
    }

    fn scales(&self) -> impl Iterator<Item = f32> {
        self.codes.scales().iter().map(|scale| scale.scale)
    }
}

impl Workload for Int8Work {
    fn work(&self) -> Work {
        let what = if self.direction == Direction::Quantize { "quantize" } else { "dequantize" };
        Work::int8("w7", what, self.rows.rows(), DIM)
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        match self.direction {
            Direction::Quantize => exchange::write(folder, "rows", self.rows.values(), Some(DIM)),
            Direction::Dequantize => {
                exchange::write(folder, "codes", self.codes.codes(), Some(DIM))?;
                exchange::write(folder, "scales", &self.scales().collect::<Vec<_>>(), None)
            }
        }
    }

    /// Into memory that is kept, as every peer's output is.
    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let (isa, rows) = (kernels.isa().name(), self.rows.view()?);
        Ok(Some(match self.direction {
            Direction::Quantize => {
                let codes = Int8Rows::zeroed(Int8Mode::Symmetric, rows.rows(), rows.dim())?;
                let codes = Rc::new(RefCell::new(codes));
                let written = Rc::clone(&codes);
                let run = move || kernels.int8_quantize_into(rows, &mut codes.borrow_mut());
                Box::new(Resident::new(isa, run, move |_: &_| {
                    let codes = written.borrow();
                    Self::sampled_codes(codes.codes(), codes.scales().iter().map(|scale| scale.scale))
                }))
            }
            Direction::Dequantize => {
                let values = Rc::new(RefCell::new(AlignedBuf::<f32>::zeroed(self.codes.codes().len())));
                let written = Rc::clone(&values);
                let run = move || kernels.int8_dequantize_into(&self.codes, &mut values.borrow_mut());
                Box::new(Resident::new(isa, run, move |_: &_| Self::sampled_values(&written.borrow())))
            }
        }))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::int8(self, threads)
    }

    fn check(&self, answer: &[f64]) -> Verdict {
        let expected = match self.direction {
            Direction::Quantize => Self::sampled_codes(self.codes.codes(), self.scales()),
            Direction::Dequantize => match Kernels::scalar() {
                Ok(oracle) => Self::sampled_values(&oracle.int8_dequantize(&self.codes).value),
                Err(_) => return Verdict::WRONG,
            },
        };
        if answer.len() != expected.len() {
            return Verdict::WRONG;
        }
        Verdict::of(answer.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_answers_pass_and_wrong_ones_do_not() {
        let kernels = Kernels::detect().unwrap();
        for direction in [Direction::Quantize, Direction::Dequantize] {
            let work = Int8Work::new(direction, true).unwrap();
            let mut answer = work.ours(&kernels).unwrap().unwrap().answer().unwrap();
            assert!(work.check(&answer).exact);
            answer[3] += 1.0;
            assert!(work.check(&answer).max_error >= 0.99);
            assert!(!work.check(&answer[1..]).exact);
        }
    }
}
