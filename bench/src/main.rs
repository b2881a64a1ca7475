//! `tensor-bench`: measures the kernels, the chain and this machine.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tensor_bench::cli::{Cli, run};

/// As in `tensorchain`, whose chain is measured here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tensor-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
