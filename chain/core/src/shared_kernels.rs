//! The kernels of a caller who names none: one handle, and one pool of threads, for the whole program.

use std::sync::OnceLock;

use tensor_kernels::{KernelError, Kernels};

/// The fastest kernels of this machine, started on first use. Which kernels run never changes a result.
pub(crate) fn shared_kernels() -> Result<Kernels, KernelError> {
    static SHARED: OnceLock<Result<Kernels, KernelError>> = OnceLock::new();
    SHARED.get_or_init(Kernels::detect).clone()
}
