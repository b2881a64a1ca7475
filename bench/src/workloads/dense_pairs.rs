//! `w3`: conflict classes of all pairs of dense rows.

use crate::error::BenchError;
use crate::runner::Bench;

pub(super) fn run(_: &mut Bench) -> Result<(), BenchError> {
    Ok(())
}
