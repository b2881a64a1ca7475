//! Checks that states and the steps between them stay near what the codebooks know.
//!
//! The validator owns no codebook of its own: what is learned through it, or through the manager it
//! shares, is known to both.

use std::fmt;
use std::sync::Arc;

use tensor_kernels::Decimal;

use crate::codebook::{self, CodebookError, CodebookManager};

/// What a transition must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidationConfig {
    /// Cosine to a codebook entry from which a state is valid. Default 0.8.
    pub state_threshold: Decimal,
    /// Greatest distance between the states of one transition. Default 1.
    pub max_transition_magnitude: Decimal,
    /// Whether the state before must be valid too, not only the one after. Default true.
    pub strict_transition: bool,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            state_threshold: Decimal::from_ten_thousandths(8_000),
            max_transition_magnitude: Decimal::from_ten_thousandths(10_000),
            strict_transition: true,
        }
    }
}

/// What was found about one transition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransitionValidation {
    /// Whether nothing speaks against it.
    pub is_valid: bool,
    /// ‖to − from‖.
    pub magnitude: f64,
    /// Cosine of the angle between the states; 0 where either is zero.
    pub direction_similarity: f64,
    /// The first thing that speaks against it.
    pub rejection_reason: Option<RejectionReason>,
}

/// Why a transition is not valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RejectionReason {
    /// The state before is near no codebook entry.
    InvalidFrom,
    /// The state after is near no codebook entry.
    InvalidTo,
    /// The states are too far apart.
    TooFar {
        /// Their distance.
        magnitude: f64,
        /// The greatest allowed.
        limit: Decimal,
    },
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidFrom => f.write_str("the state before is near no codebook entry"),
            Self::InvalidTo => f.write_str("the state after is near no codebook entry"),
            Self::TooFar { magnitude, limit } => {
                write!(f, "the states are {magnitude:.4} apart, more than {limit}")
            }
        }
    }
}

/// Why a path is not valid, or could not be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PathError {
    /// The step from state `hop` to state `hop + 1` is not valid.
    #[error("hop {hop}: {reason}")]
    Hop {
        /// Index of the state the step begins at.
        hop: usize,
        /// What speaks against the step.
        reason: RejectionReason,
    },
    /// A state that the codebooks refuse.
    #[error(transparent)]
    Codebook(#[from] CodebookError),
}

/// Judges transitions by the codebooks of one [`CodebookManager`].
///
/// ```
/// use std::sync::Arc;
/// use tensor_chain::{CodebookManager, GlobalCodebook, TransitionValidator};
/// let global = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0], vec![0.0, 1.0]])?;
/// let manager = Arc::new(CodebookManager::new(global, Default::default())?);
/// let validator = TransitionValidator::new(manager, Default::default());
/// assert!(validator.validate_transition("users", &[1.0, 0.0], &[0.9, 0.1])?.is_valid);
/// assert!(!validator.validate_transition("users", &[1.0, 0.0], &[0.0, 1.0])?.is_valid); // √2 apart
/// # Ok::<(), tensor_chain::CodebookError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TransitionValidator {
    manager: Arc<CodebookManager>,
    config: ValidationConfig,
}

impl TransitionValidator {
    /// A validator over the codebooks of `manager`.
    #[must_use]
    pub const fn new(manager: Arc<CodebookManager>, config: ValidationConfig) -> Self {
        Self { manager, config }
    }

    /// What transitions must satisfy.
    #[must_use]
    pub const fn config(&self) -> &ValidationConfig {
        &self.config
    }

    /// Whether `state` is near a global entry, or its residual near a local one of `domain`.
    ///
    /// # Errors
    /// Another dimension than the codebook's; a NaN or infinite component.
    pub fn validate_state(&self, domain: &str, state: &[f32]) -> Result<bool, CodebookError> {
        self.manager.is_valid_state_at(domain, state, self.config.state_threshold)
    }

    /// Judges the step from one state to another: both states (only the later one if not strict), then
    /// the distance between them.
    ///
    /// # Errors
    /// As [`validate_state`](Self::validate_state).
    pub fn validate_transition(
        &self,
        domain: &str,
        from: &[f32],
        to: &[f32],
    ) -> Result<TransitionValidation, CodebookError> {
        self.judge(from, to, |state| self.validate_state(domain, state))
    }

    /// As [`validate_transition`](Self::validate_transition), by the global codebook alone: what has been learned here
    /// is known to nobody else, so nothing that others see may hang on it.
    ///
    /// # Errors
    /// As [`validate_transition`](Self::validate_transition).
    pub fn validate_globally(&self, from: &[f32], to: &[f32]) -> Result<TransitionValidation, CodebookError> {
        let threshold = self.config.state_threshold;
        self.judge(from, to, |state| self.manager.global().is_valid_state(state, threshold))
    }

    fn judge(
        &self,
        from: &[f32],
        to: &[f32],
        is_valid: impl Fn(&[f32]) -> Result<bool, CodebookError>,
    ) -> Result<TransitionValidation, CodebookError> {
        let kernels = self.manager.global().kernels();
        let (from_is_valid, to_is_valid) = (is_valid(from)?, is_valid(to)?);
        let magnitude = codebook::distance(kernels, from, to)?;
        let limit = self.config.max_transition_magnitude;

        let rejection_reason = if !from_is_valid && self.config.strict_transition {
            Some(RejectionReason::InvalidFrom)
        } else if !to_is_valid {
            Some(RejectionReason::InvalidTo)
        } else if !codebook::distance_within(kernels, from, to, limit)? {
            Some(RejectionReason::TooFar { magnitude, limit })
        } else {
            None
        };
        Ok(TransitionValidation {
            is_valid: rejection_reason.is_none(),
            magnitude,
            direction_similarity: codebook::cosine(kernels, from, to)?,
            rejection_reason,
        })
    }

    /// Judges each (from, to) pair on its own.
    ///
    /// # Errors
    /// As [`validate_state`](Self::validate_state), for the first pair that has one.
    pub fn validate_batch<S: AsRef<[f32]>>(
        &self,
        domain: &str,
        transitions: &[(S, S)],
    ) -> Result<Vec<TransitionValidation>, CodebookError> {
        let judge = |(from, to): &(S, S)| self.validate_transition(domain, from.as_ref(), to.as_ref());
        transitions.iter().map(judge).collect()
    }

    /// Judges every step of a path, in order. A path of fewer than two states has none.
    ///
    /// # Errors
    /// [`PathError::Hop`] naming the first step that is not valid; otherwise as
    /// [`validate_state`](Self::validate_state).
    pub fn validate_path(&self, domain: &str, states: &[impl AsRef<[f32]>]) -> Result<(), PathError> {
        for (hop, pair) in states.windows(2).enumerate() {
            let verdict = self.validate_transition(domain, pair[0].as_ref(), pair[1].as_ref())?;
            if let Some(reason) = verdict.rejection_reason {
                return Err(PathError::Hop { hop, reason });
            }
        }
        Ok(())
    }

    /// Length of a path: the sum of the distances between successive states.
    ///
    /// # Errors
    /// States of different dimension; a NaN or infinite component.
    pub fn compute_path_drift(&self, states: &[impl AsRef<[f32]>]) -> Result<f64, CodebookError> {
        let kernels = self.manager.global().kernels();
        let mut drift = 0.0;
        for pair in states.windows(2) {
            drift += codebook::distance(kernels, pair[0].as_ref(), pair[1].as_ref())?;
        }
        Ok(drift)
    }

    /// Index of the state farthest from the global codebook and its deviation, 1 − cosine to the nearest
    /// entry; the first of equals. None for no states.
    ///
    /// # Errors
    /// An empty codebook; another dimension; a NaN or infinite component.
    pub fn find_max_deviation(
        &self,
        states: &[impl AsRef<[f32]>],
    ) -> Result<Option<(usize, f64)>, CodebookError> {
        let mut farthest: Option<(usize, f64)> = None;
        for (index, state) in states.iter().enumerate() {
            let (_, similarity) = self.manager.global().quantize(state.as_ref())?;
            let deviation = 1.0 - similarity;
            if farthest.is_none_or(|(_, greatest)| deviation > greatest) {
                farthest = Some((index, deviation));
            }
        }
        Ok(farthest)
    }

    /// Teaches states to the local codebook of `domain`.
    ///
    /// # Errors
    /// An empty codebook; another dimension; a NaN or infinite component. States before the one in error
    /// have been learned.
    pub fn learn_from_states(&self, domain: &str, states: &[impl AsRef<[f32]>]) -> Result<(), CodebookError> {
        states.iter().try_for_each(|state| self.manager.learn(domain, state.as_ref()).map(drop))
    }
}
