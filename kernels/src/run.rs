//! What ran: every result of the front door carries the backend, level, threads and time that produced it.

use std::fmt;
use std::time::Duration;

use crate::accelerator::Fallback;
use crate::isa::Isa;
use crate::selector::Choice;

/// How many worker threads a [`Kernels`](crate::Kernels) handle uses. Results never depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// One per core that the operating system grants.
    #[default]
    Auto,
    /// Exactly this many (at least one).
    Exactly(std::num::NonZeroUsize),
}

impl Threads {
    /// Exactly `n` threads, or `Auto` for 0.
    #[must_use]
    pub fn from_count(n: usize) -> Self {
        std::num::NonZeroUsize::new(n).map_or(Self::Auto, Self::Exactly)
    }

    /// The number of threads this stands for on this machine.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Exactly(n) => n.get(),
            Self::Auto => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        }
    }
}

/// Which kind of backend computed a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKind {
    /// The shortest honest loop for each operation; every other backend is held against it.
    Scalar,
    /// The CPU's vector units.
    Simd,
    /// A graphics processor, whose answers the CPU checks.
    Gpu,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Scalar => "scalar",
            Self::Simd => "simd",
            Self::Gpu => "gpu",
        })
    }
}

/// What ran and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunInfo {
    /// Backend that computed the result.
    pub backend: BackendKind,
    /// Why this is not the accelerator that was to compute, where there is one.
    pub fallback: Option<Fallback>,
    /// What was expected of both, where a [selector](crate::Selector) compared them.
    pub choice: Option<Choice>,
    /// Instruction-set level that the CPU used.
    pub isa: Isa,
    /// Worker threads it could use.
    pub threads: usize,
    /// Wall time of the call.
    pub elapsed: Duration,
}

impl fmt::Display for RunInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} threads", self.backend, self.isa, self.threads)?;
        if let Some(reason) = self.fallback {
            write!(f, "; accelerator: {reason}")?;
        }
        if let Some(choice) = &self.choice {
            write!(f, "; expected {:.3?} of the accelerator, {:.3?} of the CPU", choice.gpu(), choice.cpu)?;
        }
        write!(f, ") in {:.3?}", self.elapsed)
    }
}

/// A result together with what computed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run<T> {
    /// The result.
    pub value: T,
    /// What computed it.
    pub info: RunInfo,
}

impl<T> Run<T> {
    /// Another result of the same run.
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Run<U> {
        Run { value: convert(self.value), info: self.info }
    }
}

impl<T, E> Run<Result<T, E>> {
    /// The error, or the result with what computed it.
    pub(crate) fn transpose(self) -> Result<Run<T>, E> {
        self.value.map(|value| Run { value, info: self.info })
    }
}
