//! How many files this process may have open: connections of clients must not take those that the data need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system allows, and returns how many connections of clients it has room for: half of
/// it, or as many as are wanted.
pub(super) fn connections(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let room = limit.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    if room < wanted {
        tracing::warn!(
            open_files = limit,
            connections = room,
            "few files may be open: fewer clients are served"
        );
    }
    wanted.min(room)
}
