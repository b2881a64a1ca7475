//! What test binaries share: every backend of this machine, values that are hard on them, a count of the memory they hold,
//! how faults are tried, and whether a register could have answered so.
#![deny(unsafe_code)]

pub mod allocation;
pub mod faults;
pub mod golden;
pub mod register;
pub mod values;

use std::sync::OnceLock;

use tensor_kernels::{Isa, KernelError, Kernels, Threads};

/// One handle per instruction-set level of this machine and per thread count 1 and 3, the oracle first.
///
/// The levels come from the machine, not from the environment, so one run covers all of them; the
/// levels that this machine lacks are named once on stderr, because what did not run was not tested.
///
/// # Errors
/// Threads that cannot be started.
pub fn every_backend() -> Result<&'static [Kernels], KernelError> {
    static BACKENDS: OnceLock<Vec<Kernels>> = OnceLock::new();
    if let Some(backends) = BACKENDS.get() {
        return Ok(backends);
    }
    let available = Isa::available();
    for isa in Isa::ALL.into_iter().filter(|isa| !available.contains(isa)) {
        tell(&format!("SKIPPED: this machine has no {isa}; nothing was tested at that level"));
    }
    let mut backends = vec![Kernels::scalar()?];
    for &isa in available.iter().filter(|&&isa| isa != Isa::Scalar) {
        for threads in [1, 3] {
            backends.push(Kernels::new(isa, Threads::from_count(threads))?);
        }
    }
    Ok(BACKENDS.get_or_init(|| backends))
}

#[expect(clippy::print_stderr, reason = "test runners show stderr; a skipped check must be loud")]
fn tell(line: &str) {
    eprintln!("{line}");
}
