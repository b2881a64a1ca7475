//! Which device computes, and why not another.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::thread::JoinHandle;

use tensor_kernels::{Fallback, Isa, KernelError, Kernels};

use crate::config::Config;
use crate::exit::{Exit, Failure};

/// What may compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fastest there is, operation by operation.
    Auto,
    /// The oracle.
    Scalar,
    /// The CPU's vector units.
    Simd,
    /// A GPU, by its number.
    Gpu(u32),
}

/// Why this build has no GPU.
#[cfg(not(feature = "gpu"))]
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
        // Beside a GPU the CPU decides, at whatever level is asked for.
        (Device::Auto | Device::Gpu(_), forced) => forced.unwrap_or_else(Isa::best),
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
    let kernels = Kernels::new(isa, config.threads).map_err(|error| match error {
        KernelError::Threads { .. } => Failure::new(Exit::Failed, error),
        error => Failure::new(Exit::NoDevice, error),
    })?;
    match config.device {
        Device::Gpu(number) => gpu::forced(kernels, number, config),
        Device::Auto => gpu::where_faster(kernels, config),
        Device::Scalar | Device::Simd => Ok(kernels),
    }
}

/// Measures a GPU beside the CPU in the background, for processes that live long. The thread has to be waited for
/// before the process ends: it may be in the middle of a driver.
pub fn measure_in_background(kernels: &Kernels) -> Option<JoinHandle<()>> {
    kernels.selector()?;
    let kernels = kernels.clone();
    let measure = move || match kernels.calibrate() {
        Ok(()) => tracing::info!("device auto: {}", gpu_in_use(&kernels)),
        Err(reason) => tracing::info!("device auto: the CPU computes: {}", why_not(&kernels, reason)),
    };
    // Without a thread it is measured when that is first worth it.
    std::thread::Builder::new().name("gpu calibration".to_owned()).spawn(measure).ok()
}

/// Why no GPU computes.
#[must_use]
pub fn why_not(kernels: &Kernels, reason: Fallback) -> String {
    match (reason, kernels.accelerator()) {
        (Fallback::Absent, Some(gpu)) => gpu.name(),
        (reason, _) => reason.in_words().to_owned(),
    }
}

/// The GPU that may be asked, what it computed and why not the rest, in a few words.
#[must_use]
pub fn gpu_in_use(kernels: &Kernels) -> String {
    let Some(gpu) = kernels.accelerator() else { return gpu::NONE.to_owned() };
    let asked = kernels.asked();
    let count = |of: &dyn Fn(Option<Fallback>) -> bool| -> u64 {
        asked.iter().filter(|((_, fallback), _)| of(*fallback)).map(|(_, n)| n).sum()
    };
    let (all, computed) = (count(&|_| true), count(&|fallback| fallback.is_none()));
    let reasons: BTreeSet<Fallback> = asked.keys().filter_map(|(_, fallback)| *fallback).collect();
    let reason = |&reason: &Fallback| format!("{} {reason}", count(&|fallback| fallback == Some(reason)));
    let why = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.iter().map(reason).collect::<Vec<_>>().join(", ")),
    };
    match computed {
        0 if kernels.selector().is_some() => {
            format!("{}; the CPU computed all {all} comparisons{why}", gpu.name())
        }
        _ => format!("{} computed {computed} of {all} comparisons{why}", gpu.name()),
    }
}

#[cfg(not(feature = "gpu"))]
mod gpu {
    use super::{Config, Exit, Failure, Kernels, NO_GPU};

    pub(super) const NONE: &str = NO_GPU;

    pub(super) fn forced(_: Kernels, number: u32, _: &Config) -> Result<Kernels, Failure> {
        Err(Failure::new(Exit::NoDevice, format!("device gpu:{number}: {NO_GPU}")))
    }

    pub(super) fn where_faster(kernels: Kernels, _: &Config) -> Result<Kernels, Failure> {
        Ok(kernels)
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use std::sync::Arc;

    use tensor_kernels::gpu::{ALLOW_SOFTWARE_ENV, Gpu, LazyGpu, Options};

    use super::{Config, Exit, Failure, Kernels};
    use crate::calibration;
    use crate::config::OnFallback;

    pub(super) const NONE: &str = "none asked for";

    /// Asks this GPU whatever that costs.
    pub(super) fn forced(kernels: Kernels, number: u32, config: &Config) -> Result<Kernels, Failure> {
        let gpu = Gpu::open(number as usize, options(config))
            .map_err(|error| Failure::new(Exit::NoDevice, format!("device gpu:{number}: {error}")))?;
        Ok(kernels.with_accelerator(Arc::new(gpu)))
    }

    /// Asks the most promising GPU for what it is faster at.
    pub(super) fn where_faster(kernels: Kernels, config: &Config) -> Result<Kernels, Failure> {
        let allow_software = match std::env::var_os(ALLOW_SOFTWARE_ENV).unwrap_or_default().to_str() {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(other) => {
                let message = format!("{ALLOW_SOFTWARE_ENV}={other:?}: expected 1 or 0");
                return Err(Failure::new(Exit::BadConfig, message));
            }
        };
        let gpu = LazyGpu::new(options(config), allow_software);
        Ok(kernels.with_accelerator(Arc::new(gpu)).with_selector(calibration::selector()))
    }

    fn options(config: &Config) -> Options {
        let on_fallback = config.on_fallback;
        let on_fault = Arc::new(move |line: &str| match on_fallback {
            OnFallback::Warn => tracing::warn!("{line}"),
            OnFallback::Error => {
                // As with Ctrl-C: what was acknowledged is durable, so stopping at once is safe.
                tracing::error!("{line}");
                std::process::exit(Exit::NoDevice.code().into());
            }
        });
        Options { on_fault: Some(on_fault), ..Options::default() }
    }
}
