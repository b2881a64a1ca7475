//! `backup`: a consistent copy of the chain.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::chain_dir;
use crate::config::Config;
use crate::exit::Failure;
use crate::output;

#[derive(Serialize)]
struct Copied {
    to: PathBuf,
    height: u64,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copied to {}: {} blocks", self.to.display(), self.height.saturating_add(1))
    }
}

pub(super) fn run(config: &Config, to: &Path) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let height = chain.backup(to)?;
    chain_dir::close(chain)?;
    let copied = Copied { to: to.to_owned(), height: height.0 };
    Ok(output::answer(config.output, &copied)?)
}
