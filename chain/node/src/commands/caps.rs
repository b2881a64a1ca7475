//! `caps`: what this machine has, what is in use, and who runs which operation.

use std::fmt;

use serde::Serialize;
use tensor_kernels::{Agreement, BackendKind, Isa, OPERATIONS};

use crate::config::Config;
use crate::device;
use crate::exit::Failure;
use crate::output;

#[derive(Serialize)]
struct Caps {
    version: &'static str,
    isa: Levels,
    threads: usize,
    gpu: Gpu,
    operations: Vec<Operation>,
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
    in_use: bool,
    reason: &'static str,
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
        for Adapter { device, name, kind, interface, driver, reason, .. } in &self.gpu.adapters {
            writeln!(f, "           {device} {name} ({kind}, {interface}, {driver}): {reason}")?;
        }
        writeln!(f, "\n{:<16} {:<8} {:<10} what it computes", "operation", "runs on", "agreement")?;
        for Operation { name, runs_on, agreement, formula } in &self.operations {
            writeln!(f, "{name:<16} {runs_on:<8} {agreement:<10} {formula}")?;
        }
        Ok(())
    }
}

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let kernels = device::open(config)?;
    let available = Isa::available();
    let levels =
        Isa::ALL.iter().map(|isa| Level { name: isa.name(), available: available.contains(isa) }).collect();
    let operations = OPERATIONS
        .iter()
        .map(|operation| {
            let has = |kind| operation.backends.contains(&kind);
            let runs = match kernels.kind() {
                _ if kernels.accelerator().is_some() && has(BackendKind::Gpu) => BackendKind::Gpu,
                kind if has(kind) => kind,
                _ => BackendKind::Scalar,
            };
            let agreement = match operation.agreement {
                Agreement::Exact => "exact",
                Agreement::Bounded(_) => "bounded",
            };
            let (name, formula) = (operation.name, operation.formula);
            Operation { name, runs_on: runs.to_string(), agreement, formula }
        })
        .collect();
    let caps = Caps {
        version: env!("CARGO_PKG_VERSION"),
        isa: Levels { in_use: kernels.isa().name(), levels },
        threads: kernels.threads(),
        gpu: gpu(config),
        operations,
    };
    Ok(output::answer(config.output, &caps)?)
}

#[cfg(not(feature = "gpu"))]
fn gpu(_: &Config) -> Gpu {
    Gpu { available: false, reason: format!("none: {}", device::NO_GPU), adapters: Vec::new() }
}

#[cfg(feature = "gpu")]
fn gpu(config: &Config) -> Gpu {
    use tensor_kernels::gpu::{AdapterKind, adapters};

    use crate::device::Device;

    let found = match adapters() {
        Ok(found) => found,
        Err(error) => {
            return Gpu { available: false, reason: format!("none: {error}"), adapters: Vec::new() };
        }
    };
    let adapter = |adapter: tensor_kernels::gpu::Adapter| {
        let in_use = config.device == Device::Gpu(u32::try_from(adapter.number).unwrap_or(u32::MAX));
        let reason = match adapter.kind {
            _ if in_use => "in use, passed its tests",
            AdapterKind::Software => "not in use: computes on the CPU, slower than simd",
            _ => "not in use: asked for by its number only, since nobody has measured when it is faster",
        };
        Adapter {
            device: format!("gpu:{}", adapter.number),
            name: adapter.name,
            kind: adapter.kind.name(),
            interface: adapter.interface,
            driver: adapter.driver,
            in_use,
            reason,
        }
    };
    let adapters: Vec<_> = found.into_iter().map(adapter).collect();
    let in_use = adapters.iter().find(|adapter| adapter.in_use);
    let reason = in_use.map_or_else(|| "none asked for".to_owned(), |adapter| adapter.device.clone());
    Gpu { available: true, reason, adapters }
}
