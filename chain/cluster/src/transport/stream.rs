//! One conversation with a peer: messages each way, each way ended by itself.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, SetOnce, mpsc};

use super::connection::{Connection, Unread};
use super::frame::{Frame, ResetReason, StreamId};
use super::outbox::message_cost;
use crate::link::MAX_FRAME_BYTES;

/// Both halves of a stream. Dropping either before its end gives up the stream, and the peer is told.
#[derive(Debug)]
pub(super) struct MessageStream {
    /// What goes to the peer.
    pub(super) sender: SendHalf,
    /// What comes from it.
    pub(super) receiver: RecvHalf,
}

/// Why a stream ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    /// One of the ends gave it up.
    #[error("the stream was given up: {0}")]
    Reset(ResetReason),
    /// The connection below it ended. What became of the last messages is unknown.
    #[error("the connection ended")]
    Disconnected,
    /// The message was not sent: it is too long.
    #[error("a message of {got} bytes: at most {max}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
        /// The longest there may be.
        max: usize,
    },
    /// The stream was not opened: too many are.
    #[error("{max} streams are open to the peer already")]
    TooManyStreams {
        /// How many may be.
        max: usize,
    },
}

/// The half that sends.
#[derive(Debug)]
pub(super) struct SendHalf {
    id: StreamId,
    connection: Arc<Connection>,
    credit: Arc<Semaphore>,
    fate: Arc<SetOnce<StreamError>>,
    finished: bool,
}

impl SendHalf {
    pub(super) const fn new(
        id: StreamId,
        connection: Arc<Connection>,
        credit: Arc<Semaphore>,
        fate: Arc<SetOnce<StreamError>>,
    ) -> Self {
        Self { id, connection, credit, fate, finished: false }
    }

    /// Queues a message, as soon as the peer has read enough of what went before. Cancelling this sends nothing.
    ///
    /// # Errors
    /// A message that is too long; a stream or connection that ended.
    pub(super) async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), StreamError> {
        let message = message.into();
        if message.len() > MAX_FRAME_BYTES {
            return Err(StreamError::TooLong { got: message.len(), max: MAX_FRAME_BYTES });
        }
        let cost = message_cost(message.len()) as u32; // at most a window
        let credit = self.credit.acquire_many(cost).await.map_err(|_| fate(&self.fate))?;
        let room = self.connection.outbox().room(cost).await.ok_or_else(|| fate(&self.fate))?;
        credit.forget(); // given back by the peer
        self.connection.outbox().push_message(Frame::Message(self.id, message), room);
        Ok(())
    }

    /// Waits until the stream is given up or the connection ends.
    pub(super) async fn given_up(&self) {
        self.fate.wait().await;
    }

    /// Says that there are no more messages. The other half goes on receiving.
    pub(super) fn finish(mut self) {
        self.finished = true;
        self.connection.finish(self.id);
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if !self.finished {
            self.connection.reset(self.id, ResetReason::Cancelled);
        }
    }
}

/// The half that receives.
#[derive(Debug)]
pub(super) struct RecvHalf {
    id: StreamId,
    connection: Arc<Connection>,
    inbox: mpsc::UnboundedReceiver<Option<Unread>>,
    fate: Arc<SetOnce<StreamError>>,
    ended: bool,
}

impl RecvHalf {
    pub(super) const fn new(
        id: StreamId,
        connection: Arc<Connection>,
        inbox: mpsc::UnboundedReceiver<Option<Unread>>,
        fate: Arc<SetOnce<StreamError>>,
    ) -> Self {
        Self { id, connection, inbox, fate, ended: false }
    }

    /// The next message; nothing once the peer has no more. Cancelling this loses nothing.
    ///
    /// # Errors
    /// A stream or connection that ended before the peer said that it has no more.
    pub(super) async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        match self.inbox.recv().await {
            Some(Some(Unread { message, .. })) => {
                self.connection.consumed(self.id, message_cost(message.len()));
                Ok(Some(message))
            }
            Some(None) => {
                self.ended = true;
                Ok(None)
            }
            None => Err(fate(&self.fate)),
        }
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.reset(self.id, ResetReason::Cancelled);
        }
    }
}

fn fate(known: &SetOnce<StreamError>) -> StreamError {
    known.get().copied().unwrap_or(StreamError::Disconnected)
}
