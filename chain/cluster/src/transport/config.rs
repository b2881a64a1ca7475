//! How patient and how generous the transport is.

use std::num::NonZeroU32;
use std::time::Duration;

/// Deadlines and limits. The defaults suit a local network; every step has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportConfig {
    /// How long a TCP connection may take to come about.
    pub connect_timeout: Duration,
    /// How long TLS and the hello may take together.
    pub handshake_timeout: Duration,
    /// A connection on which nothing is sent for so long carries a sign of life.
    pub keep_alive: Duration,
    /// A connection from which nothing arrives for so long is dead.
    pub idle_timeout: Duration,
    /// A peer that takes nothing off our hands for so long is dead.
    pub write_timeout: Duration,
    /// Pause after the first failed attempt to reach a peer; it doubles with each further one.
    pub backoff_min: Duration,
    /// Longest pause between attempts.
    pub backoff_max: Duration,
    /// How long [`shutdown`](super::Transport::shutdown) lets connections send what is queued.
    pub shutdown_grace: Duration,
    /// How many strangers may be shaking hands at once; one more displaces the one that has been at it longest.
    pub max_handshakes: usize,
    /// Frames a second that one peer may send, over all its connections; it is slowed down to that.
    pub frames_per_s: NonZeroU32,
    /// KiB a second that one peer may send, likewise.
    pub kib_per_s: NonZeroU32,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(3),
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(3),
            write_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(1),
            max_handshakes: 64,
            frames_per_s: const { NonZeroU32::new(200_000).unwrap() },
            kib_per_s: const { NonZeroU32::new(1 << 20).unwrap() },
        }
    }
}
