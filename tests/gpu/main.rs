//! The GPU backend on a real adapter, if only Mesa's software one: the oracle's answers, and the CPU's where the
//! device fails. With REQUIRE_GPU=1 a machine without an adapter fails; otherwise the tests say that they were skipped.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod all_pairs;
mod faults;
mod golden;
mod kmeans;
mod large;
mod opening;
mod rows;
mod search;
mod selection;
mod together;
mod wrong_answers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tensor_kernels::gpu::{Gpu, OpenError, Options};
use tensor_kernels::{BackendKind, Kernels, Run, Threads};

/// Options under which nothing is too small for the device, and a software device on a busy machine is not too slow.
fn options() -> Options {
    Options { least_pairs: 0, timeout: Duration::from_secs(60), ..Options::default() }
}

/// A device of the test's own, or `None`, loudly, where this machine has no adapter and need not have one.
fn open(options: Options) -> Option<Gpu> {
    match Gpu::open(0, options) {
        Ok(gpu) => Some(gpu),
        Err(error @ OpenError::NoAdapter { .. }) if std::env::var_os("REQUIRE_GPU").is_none() => {
            skipped(&error);
            None
        }
        Err(error) => panicked(&error),
    }
}

/// The device that all tests share which do not break it.
fn shared() -> Option<Arc<Gpu>> {
    static SHARED: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    SHARED.get_or_init(|| open(options()).map(Arc::new)).clone()
}

/// Kernels that ask this device first.
fn kernels(gpu: Arc<Gpu>) -> Kernels {
    Kernels::new(tensor_kernels::Isa::best(), Threads::from_count(2)).unwrap().with_accelerator(gpu)
}

/// The result, if the device computed it.
fn by_gpu<T>(run: Run<T>) -> T {
    assert_eq!((run.info.backend, run.info.fallback), (BackendKind::Gpu, None));
    run.value
}

#[expect(clippy::print_stderr, reason = "test runners show stderr; a skipped check must be loud")]
fn skipped(error: &OpenError) {
    eprintln!("SKIPPED: {error}; nothing was tested on a GPU");
}

#[expect(clippy::panic, reason = "a required device that is not there is a failure")]
fn panicked(error: &OpenError) -> ! {
    panic!("{error}")
}
