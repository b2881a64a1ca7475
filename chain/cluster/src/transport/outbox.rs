//! Frames waiting to be written to a connection, in order.
//!
//! Whoever sends a message waits until there is room for it; frames about streams never wait, so that dropping a
//! stream cannot block. Of those an honest peer can cause only a few at a time: more means that it does not read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::connection::MAX_STREAMS;
use super::frame::Frame;
use crate::link::MAX_FRAME_BYTES;

/// What a message takes of every bound beside its bytes, so that empty ones count too.
const MESSAGE_OVERHEAD: usize = 64;
/// Messages that wait to be written, in bytes.
const ROOM_BYTES: usize = 2 * message_cost(MAX_FRAME_BYTES);
/// Other frames that wait to be written.
const MAX_NOTICES: usize = 8 * MAX_STREAMS;

/// Bytes that a message of `len` bytes counts for.
pub(super) const fn message_cost(len: usize) -> usize {
    len + MESSAGE_OVERHEAD
}

#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    room: Semaphore,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    notices: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { queue: Mutex::default(), room: Semaphore::new(ROOM_BYTES), filled: Notify::new() }
    }

    /// Waits for room of `cost` bytes; nothing when the connection has ended.
    pub(super) async fn room(&self, cost: u32) -> Option<SemaphorePermit<'_>> {
        self.room.acquire_many(cost).await.ok()
    }

    /// Queues a message for which there is room.
    pub(super) fn push_message(&self, frame: Frame, room: SemaphorePermit<'_>) {
        room.forget(); // given back by `pop`
        self.queue().frames.push_back(frame);
        self.filled.notify_one();
    }

    /// Queues a frame that is no message.
    pub(super) fn push_notice(&self, frame: Frame) {
        let mut queue = self.queue();
        queue.frames.push_back(frame);
        queue.notices += 1;
        self.filled.notify_one();
    }

    /// Whether more notices wait than a peer that reads can cause.
    pub(super) fn crowded(&self) -> bool {
        self.queue().notices > MAX_NOTICES
    }

    /// The next frame, when there is one. For one task at a time.
    pub(super) async fn next(&self) -> Frame {
        loop {
            match self.pop() {
                Some(frame) => return frame,
                None => self.filled.notified().await,
            }
        }
    }

    /// The next frame, if there is one.
    pub(super) fn pop(&self) -> Option<Frame> {
        let mut queue = self.queue();
        let frame = queue.frames.pop_front()?;
        match &frame {
            Frame::Message(_, message) => self.room.add_permits(message_cost(message.len())),
            _ => queue.notices -= 1,
        }
        Some(frame)
    }

    /// Lets nobody wait for room any more.
    pub(super) fn close(&self) {
        self.room.close();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
