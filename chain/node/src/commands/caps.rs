//! `caps`: what this machine has, what is in use, and who runs which operation.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
#[cfg(feature = "gpu")]
use tensor_kernels::{Accelerator, Calibration};
use tensor_kernels::{Agreement, BackendKind, Class, Isa, Kernels, OPERATIONS, Selector, Work};

use crate::config::Config;
use crate::device;
use crate::exit::Failure;
use crate::format::grouped;
use crate::output;

#[derive(Serialize)]
struct Caps {
    version: &'static str,
    isa: Levels,
    threads: usize,
    gpu: Gpu,
    operations: Vec<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<Selection>,
}

#[derive(Serialize)]
struct Levels {
    in_use: &'static str,
    levels: Vec<Level>,
}

#[derive(Serialize)]
struct Level {
    name: &'static str,
    available: bool,
}

#[derive(Serialize)]
struct Gpu {
    available: bool,
    /// Which is in use, or why none is.
    reason: String,
    adapters: Vec<Adapter>,
}

#[derive(Serialize)]
struct Adapter {
    device: String,
    name: String,
    kind: &'static str,
    interface: String,
    driver: String,
    tier: u8,
    in_use: bool,
    reason: String,
}

/// Who is faster, as far as it is measured.
#[derive(Serialize)]
struct Selection {
    /// Where the figures are kept, if anywhere.
    file: Option<PathBuf>,
    /// Why those of an earlier run were not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// The figures, as the file has them.
    #[cfg(feature = "gpu")]
    figures: Option<Calibration>,
    examples: Vec<Example>,
}

/// Who would do an operation on so many rows.
#[derive(Serialize)]
struct Example {
    class: &'static str,
    rows: usize,
    dim: usize,
    why: String,
}

#[derive(Serialize)]
struct Operation {
    name: &'static str,
    runs_on: String,
    agreement: &'static str,
    formula: &'static str,
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tensorchain {}", self.version)?;
        write!(f, "isa        ")?;
        for Level { name, available } in &self.isa.levels {
            let mark = if *name == self.isa.in_use { " (in use)" } else { "" };
            write!(f, "{}{name}{mark}  ", if *available { "" } else { "no " })?;
        }
        writeln!(f, "\nthreads    {}\ngpu        {}", self.threads, self.gpu.reason)?;
        for Adapter { device, name, kind, interface, driver, tier, reason, .. } in &self.gpu.adapters {
            writeln!(f, "           {device} {name} ({kind}, {interface}, {driver}, tier {tier}): {reason}")?;
        }
        writeln!(f, "\n{:<16} {:<12} {:<10} what it computes", "operation", "runs on", "agreement")?;
        for Operation { name, runs_on, agreement, formula } in &self.operations {
            writeln!(f, "{name:<16} {runs_on:<12} {agreement:<10} {formula}")?;
        }
        self.selection.as_ref().map_or(Ok(()), |selection| selection.fmt(f))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            writeln!(f, "\nwho is faster, by figures kept in {}", file.display())?;
        }
        if let Some(remark) = &self.remark {
            writeln!(f, "measured anew: {remark}")?;
        }
        writeln!(f, "\n{:<25} {:>16}  who, and why", "work", "rows")?;
        for Example { class, rows, dim, why } in &self.examples {
            writeln!(f, "{class:<25} {:>16}  {why}", format!("{} x {dim}", grouped(*rows as u64)))?;
        }
        Ok(())
    }
}

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let kernels = device::open(config)?;
    // Whoever asks what there is wants to know now; why there is nothing to measure is said of the adapters.
    let measured = kernels.calibrate();
    let available = Isa::available();
    let levels =
        Isa::ALL.iter().map(|isa| Level { name: isa.name(), available: available.contains(isa) }).collect();
    let caps = Caps {
        version: env!("CARGO_PKG_VERSION"),
        isa: Levels { in_use: kernels.isa().name(), levels },
        threads: kernels.threads(),
        gpu: gpu(config, &kernels),
        operations: OPERATIONS.iter().map(|one| operation(&kernels, one, measured.is_ok())).collect(),
        selection: kernels.selector().filter(|_| measured.is_ok()).map(selection),
    };
    Ok(output::answer(config.output, &caps)?)
}

fn operation(kernels: &Kernels, operation: &tensor_kernels::Operation, has_gpu: bool) -> Operation {
    let has = |kind| operation.backends.contains(&kind);
    let cpu = if has(kernels.kind()) { kernels.kind() } else { BackendKind::Scalar };
    let runs_on = match kernels.accelerator() {
        Some(_) if has_gpu && has(BackendKind::Gpu) && kernels.selector().is_some() => {
            format!("{cpu} or gpu")
        }
        Some(_) if has_gpu && has(BackendKind::Gpu) => BackendKind::Gpu.to_string(),
        _ => cpu.to_string(),
    };
    let agreement = match operation.agreement {
        Agreement::Exact => "exact",
        Agreement::Bounded(_) => "bounded",
    };
    Operation { name: operation.name, runs_on, agreement, formula: operation.formula }
}

/// Who would do what, at sizes from small to large.
fn selection(selector: &Selector) -> Selection {
    const ROWS: [usize; 3] = [1_000, 10_000, 100_000];
    const DIM: usize = 384;
    let example = |class: Class, rows: usize| {
        let why = selector.explain(&Work::example(class, rows, DIM));
        Example { class: class.name(), rows, dim: DIM, why }
    };
    Selection {
        #[cfg(feature = "gpu")]
        file: crate::calibration::path(),
        #[cfg(not(feature = "gpu"))]
        file: None,
        remark: selector.remark(),
        #[cfg(feature = "gpu")]
        figures: selector.figures(),
        examples: Class::ALL.into_iter().flat_map(|class| ROWS.map(|rows| example(class, rows))).collect(),
    }
}

#[cfg(not(feature = "gpu"))]
fn gpu(_: &Config, _: &Kernels) -> Gpu {
    Gpu { available: false, reason: format!("none: {}", device::NO_GPU), adapters: Vec::new() }
}

#[cfg(feature = "gpu")]
fn gpu(config: &Config, kernels: &Kernels) -> Gpu {
    use tensor_kernels::gpu::{ALLOW_SOFTWARE_ENV, AdapterKind, adapters};

    use crate::device::Device;

    let found = match adapters() {
        Ok(found) => found,
        Err(error) => {
            return Gpu { available: false, reason: format!("none: {error}"), adapters: Vec::new() };
        }
    };
    let used = kernels.accelerator().map(Accelerator::name);
    let adapter = |adapter: tensor_kernels::gpu::Adapter| {
        let in_use = used.as_ref() == Some(&adapter.to_string());
        let reason = match (adapter.kind, config.device) {
            (_, Device::Auto) if in_use => "used where it is faster, passed its tests".to_owned(),
            _ if in_use => "in use, passed its tests".to_owned(),
            (AdapterKind::Software, Device::Auto) => {
                format!(
                    "not in use: computes on the CPU, slower than simd ({ALLOW_SOFTWARE_ENV}=1 allows it)"
                )
            }
            (_, Device::Auto) => format!("not in use; {}", used.as_deref().unwrap_or("none asked for")),
            _ => "not in use: another device was asked for".to_owned(),
        };
        Adapter {
            device: format!("gpu:{}", adapter.number),
            name: adapter.name,
            kind: adapter.kind.name(),
            interface: adapter.interface,
            driver: adapter.driver,
            tier: adapter.tier,
            in_use,
            reason,
        }
    };
    let adapters: Vec<_> = found.into_iter().map(adapter).collect();
    let in_use = adapters.iter().find(|adapter| adapter.in_use);
    let reason = match (in_use, used) {
        (Some(adapter), _) => adapter.device.clone(),
        // Why the one that was looked for could not be used.
        (None, Some(why)) => why,
        (None, None) => "none asked for".to_owned(),
    };
    Gpu { available: true, reason, adapters }
}
