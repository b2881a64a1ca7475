//! How fast a peer may talk: frames and bytes a second, over all its connections together.
//!
//! A peer that is faster is not punished: its frames wait, and TCP makes it wait in turn.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::config::TransportConfig;
use super::frame::Frame;
use crate::link::MAX_FRAME_BYTES;

/// The KiB of the longest message: no limit is so low that it could never pass.
const LONGEST_KIB: NonZeroU32 = NonZeroU32::new((MAX_FRAME_BYTES >> 10) as u32).unwrap();

#[derive(Debug)]
pub(super) struct Pace {
    frames: DefaultDirectRateLimiter,
    kib: DefaultDirectRateLimiter,
}

impl Pace {
    pub(super) fn new(config: &TransportConfig) -> Self {
        let kib = Quota::per_second(config.kib_per_s).allow_burst(config.kib_per_s.max(LONGEST_KIB));
        Self {
            frames: RateLimiter::direct(Quota::per_second(config.frames_per_s)),
            kib: RateLimiter::direct(kib),
        }
    }

    /// Waits until the peer may have sent this frame.
    pub(super) async fn wait(&self, frame: &Frame) {
        while let Err(early) = self.frames.check() {
            tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
        let Frame::Message(_, message) = frame else { return };
        // At most `LONGEST_KIB`, which the burst allows: no portion is refused for ever.
        let Some(kib) = NonZeroU32::new((message.len() >> 10) as u32) else { return };
        while let Ok(Err(early)) = self.kib.check_n(kib) {
            tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::frame::StreamId;
    use super::*;

    fn passes(pace: &Pace, frame: &Frame) -> bool {
        pace.wait(frame).now_or_never().is_some()
    }

    #[tokio::test]
    async fn who_is_too_fast_waits() {
        let slow = NonZeroU32::MIN;
        let longest = Frame::Message(StreamId(1), vec![0; MAX_FRAME_BYTES].into());

        let frames = Pace::new(&TransportConfig { frames_per_s: slow, ..TransportConfig::default() });
        assert!(passes(&frames, &Frame::Alive));
        assert!(!passes(&frames, &Frame::Alive));

        let bytes = Pace::new(&TransportConfig { kib_per_s: slow, ..TransportConfig::default() });
        assert!(passes(&bytes, &longest), "no limit keeps a message out for ever");
        assert!(!passes(&bytes, &longest));
        assert!(passes(&bytes, &Frame::Alive));
    }
}
