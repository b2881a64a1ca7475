//! What a search asks and answers.

use std::fmt;
use std::str::FromStr;

use super::Decimal;

/// How near two vectors are. Greater is nearer for `Dot` and `Cosine`, smaller for `L2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Metric {
    /// Inner product Σ aᵢbᵢ.
    Dot,
    /// Σ aᵢbᵢ / (‖a‖ ‖b‖); 0 where either vector is zero.
    #[default]
    Cosine,
    /// Euclidean distance √Σ (aᵢ − bᵢ)².
    L2,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dot => "dot",
            Self::Cosine => "cosine",
            Self::L2 => "l2",
        })
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dot" => Ok(Self::Dot),
            "cosine" => Ok(Self::Cosine),
            "l2" => Ok(Self::L2),
            other => Err(format!("unknown metric {other:?}: expected dot, cosine or l2")),
        }
    }
}

/// Which rows a search returns for each query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The `k` nearest rows (all of them where there are fewer).
    Top(usize),
    /// Every row at least this near: score ≥ threshold for `Dot` and `Cosine`, distance ≤ threshold for `L2`.
    Within(Decimal),
}

/// One row found by a search. Results are ordered nearest first, ties by the lower row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Row of the corpus.
    pub row: u32,
    /// Dot product, cosine or distance: sums in f64 in ascending dimension, the same on every backend.
    pub score: f64,
}
