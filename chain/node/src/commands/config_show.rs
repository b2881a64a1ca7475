//! `config show`: the settings in force and where each comes from.

use std::fmt;

use serde::Serialize;

use crate::config::{Config, Setting};
use crate::exit::Failure;
use crate::output;

#[derive(Serialize)]
struct Settings<'a> {
    settings: &'a [Setting],
    #[serde(skip)]
    origin: bool,
}

impl fmt::Display for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { key, value, origin } in self.settings {
            match self.origin {
                true => writeln!(f, "{key:<18} {value:<24} {origin}")?,
                false => writeln!(f, "{key:<18} {value}")?,
            }
        }
        Ok(())
    }
}

pub(super) fn run(config: &Config, origin: bool) -> Result<(), Failure> {
    Ok(output::answer(config.output, &Settings { settings: config.settings(), origin })?)
}
