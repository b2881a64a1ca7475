//! What can be measured of two sparse rows.

use std::fmt;

/// A measure of two sparse vectors a and b. Sums run over positions; an absent component is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Σ aᵢbᵢ.
    Dot,
    /// Σ aᵢbᵢ / (‖a‖ ‖b‖), in −1..=1; 0 where either vector is zero.
    Cosine,
    /// arccos of the cosine, in radians, in 0..=π.
    Angular,
    /// Shared positions / positions of either, in 0..=1; 1 for two zero vectors.
    Jaccard,
    /// Σ min(|aᵢ|, |bᵢ|) / Σ max(|aᵢ|, |bᵢ|), in 0..=1; where signs differ the components share
    /// nothing, so min is 0 and max is |aᵢ| + |bᵢ|. 1 for two zero vectors.
    WeightedJaccard,
    /// Shared positions / positions of the smaller, in 0..=1; 1 for two zero vectors, 0 for one.
    Overlap,
    /// √Σ (aᵢ − bᵢ)².
    Euclidean,
    /// Σ |aᵢ − bᵢ|.
    Manhattan,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 8] = [
        Self::Dot,
        Self::Cosine,
        Self::Angular,
        Self::Jaccard,
        Self::WeightedJaccard,
        Self::Overlap,
        Self::Euclidean,
        Self::Manhattan,
    ];
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dot => "dot",
            Self::Cosine => "cosine",
            Self::Angular => "angular",
            Self::Jaccard => "jaccard",
            Self::WeightedJaccard => "weighted_jaccard",
            Self::Overlap => "overlap",
            Self::Euclidean => "euclidean",
            Self::Manhattan => "manhattan",
        })
    }
}
