//! `man`: the manual page in roff.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn run() -> Result<(), Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(output::bytes(&page)?)
}
