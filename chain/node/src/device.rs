//! Which device computes, and why not another.

use std::str::FromStr;

use tensor_kernels::{Isa, KernelError, Kernels};

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// What may compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fastest there is.
    Auto,
    /// The oracle.
    Scalar,
    /// The CPU's vector units.
    Simd,
    /// A GPU, by its number.
    Gpu(u32),
}

/// Why this build has no GPU.
pub const NO_GPU: &str = "this build has no GPU backend";

impl FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "scalar" => Ok(Self::Scalar),
            "simd" => Ok(Self::Simd),
            "gpu" => Ok(Self::Gpu(0)),
            _ => text.strip_prefix("gpu:").and_then(|n| n.parse().ok()).map(Self::Gpu).ok_or(()),
        }
    }
}

/// Opens the kernels that the configuration and `TENSORCHAIN_ISA` ask for.
///
/// # Errors
/// Exit 6 where they are not to be had, or where the two contradict each other; never another device instead.
pub fn open(config: &Config) -> Result<Kernels, Failure> {
    let forced = Isa::from_env().map_err(|error| Failure::new(Exit::BadConfig, error))?;
    let no_device = |message: String| Failure::new(Exit::NoDevice, message);
    let isa = match (config.device, forced) {
        (Device::Gpu(n), _) => return Err(no_device(format!("device gpu:{n}: {NO_GPU}"))),
        (Device::Auto, forced) => forced.unwrap_or_else(Isa::best),
        (Device::Scalar, None | Some(Isa::Scalar)) => Isa::Scalar,
        (Device::Simd, None) => match Isa::best() {
            Isa::Scalar => return Err(no_device("device simd: this machine has no SIMD level".to_owned())),
            best => best,
        },
        (Device::Simd, Some(isa)) if isa != Isa::Scalar => isa,
        (device, Some(isa)) => {
            return Err(no_device(format!(
                "device {device:?} contradicts {}={isa}",
                tensor_kernels::ISA_ENV
            )));
        }
    };
    Kernels::new(isa, config.threads).map_err(|error| match error {
        KernelError::Threads { .. } => Failure::new(Exit::Failed, error),
        error => Failure::new(Exit::NoDevice, error),
    })
}
