//! What systemd is told of a node that it started as a service of type `notify`. Nothing happens where nobody listens.

use sd_notify::NotifyState;
use tokio::time::interval;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The node listens. Whether it knows a leader is not waited for: nodes that are started one after the other would
/// wait for each other.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The node is about to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the node lives, twice as often as it is asked for; never returns. A runtime that is stuck says nothing,
/// and is killed.
pub async fn keep_alive() -> Result<(), crate::exit::Failure> {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return std::future::pending().await;
    };
    let mut often = interval(within / 2);
    loop {
        often.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
