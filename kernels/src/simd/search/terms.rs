//! What a coded row, and a panel of them, add to the key of every query.

use super::coded::Coded;
use crate::simd::tile::SIDE;
use crate::types::Metric;

/// What a row adds to the estimate and the error, in the units of a key ([`bounds`](super::bounds)).
#[derive(Debug, Clone, Copy)]
pub(super) struct RowTerms {
    /// Times the integer product and the query's scale …
    scale: f32,
    /// … plus this is an estimate of the key; the rounding of ‖x‖² can only have made it larger.
    offset: f32,
    /// Times ‖q̂‖: the error of the row's codes.
    pub(super) residual: f32,
    /// Times the error of the query's codes.
    pub(super) norm: f32,
    /// How much larger the offset may be than the truth.
    pub(super) slack: f32,
}

impl RowTerms {
    pub(super) fn new(metric: Metric, epsilon: f32, row: Coded) -> Self {
        if !row.residual.is_finite() {
            let unknown = f32::NAN;
            return Self {
                scale: unknown,
                offset: unknown,
                residual: unknown,
                norm: unknown,
                slack: unknown,
            };
        }
        let norm = row.square.sqrt() * (1.0 + epsilon);
        let half = row.square / 2.0;
        match metric {
            Metric::Dot => Self { scale: row.scale, offset: 0.0, residual: row.residual, norm, slack: 0.0 },
            Metric::L2 => Self {
                scale: row.scale,
                offset: -half * (1.0 - epsilon),
                residual: row.residual,
                norm,
                slack: 3.0 * epsilon * half,
            },
            Metric::Cosine => {
                let inverse = if norm == 0.0 { 0.0 } else { 1.0 / row.square.sqrt() };
                let residual = row.residual * inverse * (1.0 + epsilon);
                Self { scale: row.scale * inverse, offset: 0.0, residual, norm: norm * inverse, slack: 0.0 }
            }
        }
    }
}

/// The same for the 32 rows of a panel, and the greatest of their errors.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct PanelTerms {
    pub(super) scale: [f32; SIDE],
    pub(super) offset: [f32; SIDE],
    pub(super) residual: f32,
    pub(super) norm: f32,
}

impl PanelTerms {
    pub(super) fn new(metric: Metric, epsilon: f32, coded: &[Coded; SIDE]) -> Self {
        let mut panel = Self { scale: [0.0; SIDE], offset: [0.0; SIDE], residual: 0.0, norm: 0.0 };
        for (lane, &row) in coded.iter().enumerate() {
            let terms = RowTerms::new(metric, epsilon, row);
            panel.scale[lane] = terms.scale;
            panel.offset[lane] = terms.offset;
            // A row that is not ordinary has NaNs: `max` leaves them out, the comparison lets the row pass.
            panel.residual = panel.residual.max(terms.residual);
            panel.norm = panel.norm.max(terms.norm);
        }
        panel
    }
}
