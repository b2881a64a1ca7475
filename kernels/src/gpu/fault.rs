//! What can go wrong with a device in use.

use std::time::Duration;

use crate::Fallback;

/// Why a device gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The device went away.
    #[error("device lost: {0}")]
    Lost(String),
    /// The driver has no memory left.
    #[error("out of device memory: {0}")]
    OutOfMemory(String),
    /// More memory than the options allow. Nothing is wrong with the device.
    #[error("{wanted} bytes of device memory exceed the {allowed} that are allowed")]
    OverCap {
        /// Bytes that all buffers would take.
        wanted: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The driver, or wgpu's own checks, refused the work.
    #[error("refused: {0}")]
    Refused(String),
    /// The answer is not right.
    #[error("wrong answer: {0}")]
    Mismatch(&'static str),
}

impl Fault {
    /// Whether the device must not be used again.
    pub(super) const fn is_final(&self) -> bool {
        !matches!(self, Self::OverCap { .. })
    }

    /// The same, as callers are told.
    pub(super) const fn fallback(&self) -> Fallback {
        match self {
            Self::Timeout(_) => Fallback::Timeout,
            Self::Lost(_) => Fallback::Lost,
            Self::OutOfMemory(_) | Self::OverCap { .. } => Fallback::OutOfMemory,
            Self::Refused(_) => Fallback::Refused,
            Self::Mismatch(_) => Fallback::Mismatch,
        }
    }
}
