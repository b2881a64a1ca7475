//! One file a command: what it asks of the chain and what it answers.

mod caps;
mod completions;
mod config_show;
mod conflicts;
mod demo;
mod man;

pub use conflicts::ConflictsArgs;
pub use demo::DemoArgs;

use crate::cli::{Command, ConfigCommand};
use crate::config::Config;
use crate::exit::Failure;

/// Runs one command.
///
/// # Errors
/// Why it failed, with the exit code that says so.
pub fn run(command: Command, config: &Config) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(config, args),
        Command::Conflicts(args) => conflicts::run(config, &args),
        Command::Caps => caps::run(config),
        Command::Config(ConfigCommand::Show { origin }) => config_show::run(config, origin),
        Command::Completions { shell } => completions::run(shell),
        Command::Man => man::run(),
    }
}
