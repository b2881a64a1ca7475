//! Classes of all pairs by direction alone: one dot product a pair.

use crate::Thresholds;
use crate::exact::Directions;
use crate::types::{ClassMatrix, CosineRows};

/// The class of every pair.
pub(crate) fn cosine_classes(rows: CosineRows<'_>, thresholds: &Thresholds, matrix: &mut ClassMatrix) {
    let judge = Directions::new(rows);
    let shape = matrix.shape();
    for i in 0..rows.rows() {
        for j in i + 1..rows.rows() {
            matrix.rules_mut()[shape.position(i, j)] = judge.rule(i, j, thresholds);
        }
    }
}
