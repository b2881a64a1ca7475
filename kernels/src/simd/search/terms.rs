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
    /// 1 over the scale where all rows have the same and no offset, as bytes have for the dot product; else not
    /// finite.
    inverse: f32,
}

/// Covers the roundings of a product, of its key and of what is made of them here, each a few units of 2⁻²⁴.
const SLACK: f32 = 1.0 / (1 << 20) as f32;

impl PanelTerms {
    pub(super) fn new(metric: Metric, epsilon: f32, coded: &[Coded; SIDE]) -> Self {
        let mut panel = Self {
            scale: [0.0; SIDE],
            offset: [0.0; SIDE],
            residual: 0.0,
            norm: 0.0,
            inverse: f32::INFINITY,
        };
        for (lane, &row) in coded.iter().enumerate() {
            let terms = RowTerms::new(metric, epsilon, row);
            panel.scale[lane] = terms.scale;
            panel.offset[lane] = terms.offset;
            // A row that is not ordinary has NaNs: `max` leaves them out, the comparison lets the row pass.
            panel.residual = panel.residual.max(terms.residual);
            panel.norm = panel.norm.max(terms.norm);
        }
        let alike = |lane: usize| panel.scale[lane] == panel.scale[0] && panel.offset[lane] == 0.0;
        if (0..SIDE).all(alike) {
            panel.inverse = 1.0 / panel.scale[0];
        }
        panel
    }

    /// Whether all rows make keys alike, so that one product is the least for all.
    pub(super) fn is_even(&self) -> bool {
        self.inverse.is_finite()
    }

    /// Below this product no row of an even panel has a key that is not below `bound`, for a query whose scale has the
    /// inverse `inverse`; NaN where nothing is known. Products may be rounded to f32 before they are compared.
    #[inline(always)] // so that it is compiled for the level of the caller
    pub(super) fn least_product(&self, bound: f32, inverse: f32) -> f32 {
        let inverse = inverse * self.inverse;
        let least = bound * if bound > 0.0 { 1.0 - SLACK } else { 1.0 + SLACK } * inverse;
        // An inverse that overflowed says nothing.
        if inverse < f32::INFINITY { least } else { f32::NAN }
    }
}
