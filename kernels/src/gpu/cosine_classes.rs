//! Pairs of dense rows that are not orthogonal by direction: the device leaves out what surely is, the CPU judges
//! the rest.

use rayon::prelude::*;

use super::candidates::{Question, candidates};
use super::coded_rows::CodedRows;
use super::conflict_matrix::worth_it;
use super::device::Gpu;
use super::fault::Fault;
use crate::Fallback;
use crate::exact::Directions;
use crate::types::{ClassShape, ConflictList, ConflictPair, CosineRows, Rule, Thresholds, class_of_rule};

/// The rows as codes, if the device is to be asked at all.
pub(super) fn for_gpu(least_pairs: u64, rows: CosineRows<'_>) -> Result<CodedRows<'_>, Fallback> {
    let coded = match rows {
        CosineRows::Bytes(rows) => CodedRows::Bytes(rows),
        CosineRows::Deltas(rows) => CodedRows::Deltas(rows),
        // f32 rows have no exact planes of bytes.
        CosineRows::F32(_) => return Err(Fallback::NoVersion),
    };
    let n = rows.rows() as u64;
    worth_it(least_pairs, n * n.saturating_sub(1) / 2, rows.dim()).map(|()| coded)
}

/// The pairs that are not orthogonal.
pub(super) fn cosine_conflicts(
    gpu: &Gpu,
    coded: CodedRows<'_>,
    rows: CosineRows<'_>,
    thresholds: &Thresholds,
) -> Result<ConflictList, Fault> {
    let candidates = candidates(gpu, &[question(coded, thresholds)])?.concat();
    let judge = Directions::new(rows);
    let pairs = candidates
        .par_iter()
        .filter_map(|&(left, right)| match judge.rule(left as usize, right as usize, thresholds) {
            0 => None,
            rule => Some(ConflictPair { left, right, class: class_of_rule(rule), rule: Rule::new(rule) }),
        })
        .collect();
    Ok(ClassShape::new(rows.rows()).conflict_list(pairs))
}

pub(super) fn question<'a>(rows: CodedRows<'a>, thresholds: &Thresholds) -> Question<'a> {
    Question { left: rows, right: rows, triangle: true, orthogonal: thresholds.orthogonal, structural: None }
}
