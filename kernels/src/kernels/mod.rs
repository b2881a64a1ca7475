//! The front door: one handle that checks shapes, runs a backend on its threads and says what ran.

mod codebooks;
mod conflicts;
mod formats;
mod pairs;
mod search;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::accelerated::Accelerated;
use crate::accelerator::{Accelerator, Fallback, Request};
use crate::backend::{Backend, ScalarBackend, SimdBackend};
use crate::error::KernelError;
use crate::isa::Isa;
use crate::run::{BackendKind, Run, RunInfo, Threads};
use crate::selector::{Both, Selector};
use crate::simd::pairs::is_small;

/// A backend and its worker threads. Cheap to clone; share one for the whole program.
///
/// ```
/// use tensor_kernels::{ConflictClass, Kernels, SparseBatch, Thresholds};
/// let kernels = Kernels::detect()?;
/// let batch = SparseBatch::view(4, &[0, 2, 4, 6], &[0, 1, 0, 1, 2, 3], &[3.0, 4.0, 4.0, 3.0, 1.0, 1.0])?;
/// let run = kernels.conflict_matrix((&batch).into(), None, &Thresholds::default())?;
/// assert_eq!(run.value.class_of(0, 1), Some(ConflictClass::Conflicting)); // cos = 0.96
/// assert_eq!(run.value.count(ConflictClass::Orthogonal), 2);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Clone)]
pub struct Kernels {
    backend: Arc<dyn Backend>,
    pool: Arc<rayon::ThreadPool>,
    accelerated: Option<Accelerated>,
}

impl Kernels {
    /// The fastest level of this machine, or the one that `TENSORCHAIN_ISA` forces, on all cores.
    ///
    /// # Errors
    /// A forced level that does not exist or that this machine lacks; threads that cannot be started.
    pub fn detect() -> Result<Self, KernelError> {
        Self::new(Isa::from_env()?.unwrap_or_else(Isa::best), Threads::Auto)
    }

    /// The oracle on one thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn scalar() -> Result<Self, KernelError> {
        Self::new(Isa::Scalar, Threads::from_count(1))
    }

    /// A particular level and number of threads. `Isa::Scalar` is the oracle.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] where this machine lacks the level; never another level instead.
    pub fn new(isa: Isa, threads: Threads) -> Result<Self, KernelError> {
        let backend: Arc<dyn Backend> = match SimdBackend::open(isa) {
            Some(simd) => Arc::new(simd),
            None if isa == Isa::Scalar => Arc::new(ScalarBackend),
            None => return Err(KernelError::IsaUnavailable { wanted: isa, available: Isa::available() }),
        };
        Self::with_backend(backend, threads)
    }

    /// A backend of the caller's own, as tests use to record or to fail.
    ///
    /// # Errors
    /// [`KernelError::Threads`] where the threads cannot be started.
    pub fn with_backend(backend: Arc<dyn Backend>, threads: Threads) -> Result<Self, KernelError> {
        let threads = threads.count();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| KernelError::Threads { threads, reason: error.to_string() })?;
        Ok(Self { backend, pool: Arc::new(pool), accelerated: None })
    }

    /// The same kernels with an accelerator, which is asked first where it has a version of the operation. Each
    /// [`RunInfo`] says who computed.
    #[must_use]
    pub fn with_accelerator(self, accelerator: Arc<dyn Accelerator>) -> Self {
        Self { accelerated: Some(Accelerated::new(accelerator)), ..self }
    }

    /// From now on the accelerator is asked only where it is expected to be faster, which the selector knows, or measures
    /// when that is worth it. Nothing where there is no accelerator.
    #[must_use]
    pub fn with_selector(mut self, selector: Selector) -> Self {
        if let Some(accelerated) = &mut self.accelerated {
            accelerated.selector = Some(Arc::new(selector));
        }
        self
    }

    /// Who decides whether the accelerator is asked, if anyone does.
    #[must_use]
    pub fn selector(&self) -> Option<&Selector> {
        self.accelerated.as_ref()?.selector.as_deref()
    }

    /// Opens the accelerator and measures it beside the CPU now, as far as that has not happened, instead of when it is
    /// first worth it. Takes about 0.1 s, and as long as its driver compiles kernels. Nothing without a selector.
    ///
    /// # Errors
    /// Why there is nothing to measure: mostly [`Fallback::Absent`], whose reason is the accelerator's
    /// [name](Accelerator::name).
    pub fn calibrate(&self) -> Result<(), Fallback> {
        match &self.accelerated {
            Some(Accelerated { accelerator, selector: Some(selector), .. }) => {
                selector.measure_all(self.both(&**accelerator))
            }
            _ => Ok(()),
        }
    }

    /// The accelerator, if there is one.
    #[must_use]
    pub fn accelerator(&self) -> Option<&dyn Accelerator> {
        self.accelerated.as_ref().map(|accelerated| &*accelerated.accelerator)
    }

    /// How often each operation went to the accelerator (`None`) or stayed on the CPU, and why.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<(&'static str, Option<Fallback>), u64> {
        self.accelerated.as_ref().map(Accelerated::asked).unwrap_or_default()
    }

    /// Which kind of backend this runs on the CPU.
    #[must_use]
    pub fn kind(&self) -> BackendKind {
        self.backend.kind()
    }

    /// The instruction-set level this runs.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.backend.isa()
    }

    /// Number of worker threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs one operation on the accelerator, if there is one that does it, else on the CPU.
    fn run_accelerated<T: Send>(
        &self,
        request: &Request<'_>,
        on_device: impl FnOnce(&dyn Accelerator) -> Result<T, Fallback> + Send,
        on_cpu: impl FnOnce() -> Run<T>,
    ) -> Run<T> {
        match &self.accelerated {
            Some(accelerated) => accelerated.run(self, request, on_device, on_cpu),
            None => on_cpu(),
        }
    }

    /// Both sides, to be measured.
    pub(crate) fn both<'a>(&'a self, accelerator: &'a dyn Accelerator) -> Both<'a> {
        Both { accelerator, backend: &*self.backend, pool: &self.pool }
    }

    /// Runs something on the worker threads.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// As [`run`](Self::run), but on the caller's thread where the rows are so few that the operation asks for no other.
    fn run_sized<T: Send>(
        &self,
        (left_rows, entries): (usize, usize),
        operation: impl FnOnce(&dyn Backend) -> T + Send,
    ) -> Run<T> {
        if !is_small(left_rows, entries) {
            return self.run(operation);
        }
        let start = Instant::now();
        let value = operation(&*self.backend);
        self.ran(value, start)
    }

    /// Runs one operation on the pool and notes what ran.
    fn run<T: Send>(&self, operation: impl FnOnce(&dyn Backend) -> T + Send) -> Run<T> {
        let start = Instant::now();
        let value = self.pool.install(|| operation(&*self.backend));
        self.ran(value, start)
    }

    pub(crate) fn ran<T>(&self, value: T, start: Instant) -> Run<T> {
        let info = RunInfo {
            backend: self.kind(),
            fallback: self.accelerated.as_ref().map(|_| Fallback::NoVersion),
            choice: None,
            isa: self.isa(),
            threads: self.threads(),
            elapsed: start.elapsed(),
        };
        Run { value, info }
    }
}

fn same_dim(got: usize, expected: usize) -> Result<(), KernelError> {
    if got == expected { Ok(()) } else { Err(KernelError::DimensionMismatch { got, expected }) }
}

fn same_len(what: &'static str, got: usize, expected: usize) -> Result<(), KernelError> {
    if got == expected { Ok(()) } else { Err(KernelError::LengthMismatch { what, got, expected }) }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({}, {}, {} threads", self.kind(), self.isa(), self.threads())?;
        if let Some(accelerator) = self.accelerator() {
            write!(f, ", {}", accelerator.name())?;
        }
        f.write_str(")")
    }
}
