//! `w3`: classes of all pairs of 4,096 dense rows, from f32 or from signed bytes.
//!
//! The class of a pair is 0, 1 or 2: how many of [`LIMITS`] the size of its cosine reaches.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use tensor_kernels::{ByteView, ClassMatrix, ConflictClass, CosineRows, Kernels, Thresholds};

use super::contender::{Contender, Resident};
use super::exchange;
use super::oracle::{codes_of, dot, sampled, unit_rows, widened};
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::inputs::{Dense, points};
use crate::work::Work;

/// Where a pair stops being orthogonal, and where it starts to conflict: the default thresholds.
pub const LIMITS: [f32; 2] = [0.1, 0.7];

/// The same for the oracle.
const EXACT_LIMITS: [f64; 2] = [0.1, 0.7];

/// How many rows of the answer are checked.
const CHECKED: usize = 64;

/// Rows, and what peers are given: the rows at unit length, which spares them the scaling, or their codes.
pub struct PairsWork {
    work: Work,
    /// Rows at unit length; codes as f32, exactly.
    pub(super) rows: Dense,
    pub(super) codes: Option<Vec<i8>>,
}

impl PairsWork {
    /// Rows of f32.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn f32(dim: usize, quick: bool) -> Result<Self, BenchError> {
        let count = if quick { 300 } else { 4_096 };
        let rows = unit_rows(&points(count, dim)?);
        Ok(Self { work: Work::dense_pairs("w3", count, dim, "f32"), rows, codes: None })
    }

    /// The same rows as signed bytes.
    ///
    /// # Errors
    /// None for these sizes.
    pub fn codes(dim: usize, quick: bool) -> Result<Self, BenchError> {
        let rows = Self::f32(dim, quick)?.rows;
        let work = Work::dense_pairs("w3i", rows.rows(), dim, "int8 codes");
        let codes = codes_of(&rows)?;
        Ok(Self { work, rows: widened(&codes, dim), codes: Some(codes) })
    }

    /// The classes of the sampled rows, 0 on the diagonal and left of it.
    pub(super) fn sampled(&self, class: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let count = self.rows.rows();
        let class = |row, at| if at > row { class(row, at) } else { 0.0 };
        sampled(count, CHECKED)
            .flat_map(|row| (0..count).map(move |at| (row, at)))
            .map(|(r, a)| class(r, a))
            .collect()
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows.values()[row * self.rows.dim()..][..self.rows.dim()]
    }
}

/// A class as peers give it; those that need more than the cosine do not occur.
fn number(class: Option<ConflictClass>) -> f64 {
    match class {
        Some(ConflictClass::Orthogonal) => 0.0,
        Some(ConflictClass::LowConflict) => 1.0,
        Some(ConflictClass::Conflicting) => 2.0,
        _ => f64::NAN,
    }
}

impl Workload for PairsWork {
    fn work(&self) -> Work {
        self.work.clone()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let dim = Some(self.rows.dim());
        match &self.codes {
            Some(codes) => exchange::write(folder, "rows", codes, dim)?,
            None => exchange::write(folder, "rows", self.rows.values(), dim)?,
        }
        let rows: Vec<i64> = sampled(self.rows.rows(), CHECKED).map(exchange::integer).collect();
        exchange::write(folder, "sampled", &rows, None)?;
        exchange::write(folder, "limits", &LIMITS, None)
    }

    fn ours<'a>(&'a self, kernels: &'a Kernels) -> Result<Option<Box<dyn Contender + 'a>>, BenchError> {
        let rows = match &self.codes {
            Some(codes) => CosineRows::Bytes(ByteView::new(codes, self.rows.rows(), self.rows.dim())?),
            None => CosineRows::F32(self.rows.view()?),
        };
        // Peers keep their output too.
        let classes = Rc::new(RefCell::new(ClassMatrix::orthogonal(self.rows.rows())?));
        let kept = Rc::clone(&classes);
        let classify =
            move || kernels.cosine_classes_into(rows, &Thresholds::default(), &mut kept.borrow_mut()).is_ok();
        Ok(Some(Box::new(Resident::new(kernels.isa().name(), classify, move |&done: &bool| {
            if !done {
                return Vec::new();
            }
            let classes = classes.borrow();
            self.sampled(|row, at| number(classes.class_of(row, at)))
        }))))
    }

    #[cfg(feature = "peers")]
    fn linked(&self, threads: usize) -> Vec<super::workload::Linked<'_>> {
        super::linked::pairs(self, threads)
    }

    /// The error of a wrong class is how far its cosine lies from the limit it was put on the wrong side of.
    fn check(&self, answer: &[f64]) -> Verdict {
        let count = self.rows.rows();
        let norms: Vec<f64> = (0..count).map(|row| dot(self.row(row), self.row(row)).sqrt()).collect();
        let checked = sampled(count, CHECKED);
        if answer.len() != checked.clone().count() * count {
            return Verdict::WRONG;
        }
        let mut worst = 0.0f64;
        for (line, left) in answer.chunks_exact(count).zip(checked) {
            for right in left + 1..count {
                let size = (dot(self.row(left), self.row(right)) / (norms[left] * norms[right])).abs();
                let class = EXACT_LIMITS.iter().filter(|&&limit| size >= limit).count();
                if line[right] != class as f64 {
                    let distance = EXACT_LIMITS.iter().map(|&limit| (size - limit).abs());
                    worst = worst.max(distance.fold(f64::INFINITY, f64::min));
                }
            }
        }
        Verdict::of(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_class_is_seen() {
        for work in [PairsWork::f32(128, true), PairsWork::codes(128, true)] {
            let work = work.unwrap();
            let class = |left: usize, right: usize| {
                let (a, b) = (work.row(left), work.row(right));
                let cosine = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).abs();
                f64::from(u8::from(cosine >= EXACT_LIMITS[0]) + u8::from(cosine >= EXACT_LIMITS[1]))
            };
            let mut answer = work.sampled(class);
            assert!(work.check(&answer).max_error < 1e-12);
            for class in 0..3 {
                assert!(answer.contains(&f64::from(class)), "the input has every class");
            }
            answer[5] = (answer[5] + 1.0) % 3.0;
            assert!(!work.check(&answer).exact);
            assert!(!work.check(&answer[1..]).exact);
        }
    }
}
