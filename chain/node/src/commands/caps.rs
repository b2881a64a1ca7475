//! `caps`: what this machine has, what is in use, and who runs which operation.

use std::fmt;

use serde::Serialize;
use tensor_kernels::{Agreement, BackendKind, Isa, OPERATIONS};

use crate::config::Config;
use crate::device::{self, NO_GPU};
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
        writeln!(f, "\nthreads    {}\ngpu        none: {}", self.threads, self.gpu.reason)?;
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
            let kind = kernels.kind();
            let runs = if operation.backends.contains(&kind) { kind } else { BackendKind::Scalar };
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
        gpu: Gpu { available: false, reason: NO_GPU },
        operations,
    };
    Ok(output::answer(config.output, &caps)?)
}
