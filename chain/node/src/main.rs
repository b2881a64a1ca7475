//! Parses the arguments, runs one command, and turns the outcome into an exit code.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tensor_node::cli::{Cli, Command};
use tensor_node::exit::{Exit, Failure};
use tensor_node::{commands, config, logging};

/// A node makes and drops many small things on many threads: faster than the system's, and it gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are answers and go to stdout with code 0; the rest is wrong usage.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            if let Some(message) = failure.message() {
                let _ = writeln!(std::io::stderr(), "tensorchain: {message}");
            }
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let config = config::Config::load(&cli.global)?;
    logging::start(&config);
    // Every write is acknowledged only after it is durable, so stopping at once is always safe. A node has requests
    // of others to end, and who starts nodes ends them.
    let watches = match &cli.command {
        Command::Node(_) => true,
        Command::Demo(args) => args.watches_for_interrupts(),
        _ => false,
    };
    if !watches {
        ctrlc::set_handler(|| std::process::exit(Exit::Interrupted.code().into()))
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot watch for Ctrl-C: {error}")))?;
    }
    commands::run(cli.command, &config)
}
