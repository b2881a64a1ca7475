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
        Device::Gpu(number) => with_gpu(kernels, number, config),
        _ => Ok(kernels),
    }
}

#[cfg(not(feature = "gpu"))]
fn with_gpu(_: Kernels, number: u32, _: &Config) -> Result<Kernels, Failure> {
    Err(Failure::new(Exit::NoDevice, format!("device gpu:{number}: {NO_GPU}")))
}

#[cfg(feature = "gpu")]
fn with_gpu(kernels: Kernels, number: u32, config: &Config) -> Result<Kernels, Failure> {
    use std::sync::Arc;

    use tensor_kernels::gpu::{Gpu, Options};

    use crate::config::OnFallback;

    let on_fallback = config.on_fallback;
    let on_fault = Arc::new(move |line: &str| match on_fallback {
        OnFallback::Warn => tracing::warn!("{line}"),
        OnFallback::Error => {
            // As with Ctrl-C: what was acknowledged is durable, so stopping at once is safe.
            tracing::error!("{line}");
            std::process::exit(Exit::NoDevice.code().into());
        }
    });
    let options = Options { on_fault: Some(on_fault), ..Options::default() };
    let gpu = Gpu::open(number as usize, options)
        .map_err(|error| Failure::new(Exit::NoDevice, format!("device gpu:{number}: {error}")))?;
    Ok(kernels.with_accelerator(Arc::new(gpu)))
}

/// The GPU that is asked first and how often it computed, or why there is none, in a few words.
#[must_use]
pub fn gpu_in_use(kernels: &Kernels) -> String {
    #[cfg(not(feature = "gpu"))]
    const NONE: &str = NO_GPU;
    #[cfg(feature = "gpu")]
    const NONE: &str = "none asked for";
    let Some(gpu) = kernels.accelerator() else { return NONE.to_owned() };
    let asked = kernels.asked();
    let computed: u64 = asked.iter().filter(|((_, fallback), _)| fallback.is_none()).map(|(_, n)| n).sum();
    format!("{} computed {computed} of {} comparisons", gpu.name(), asked.values().sum::<u64>())
}
