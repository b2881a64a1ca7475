//! Many streams over one connection.
//!
//! Each end of a stream may send up to [`WINDOW_BYTES`] before the other has read any of it, so a slow reader holds
//! up its own stream and no other. A connection in all holds at most [`BUFFER_BYTES`] unread: beyond it the stream
//! that asks for more is given up. A peer that breaks these rules loses the connection.
//!
//! Streams are opened by the end that dialled. Frames for a stream that is gone may still be on their way and are
//! ignored; frames for one that never was are a breach.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answering::Answering;
use super::config::TransportConfig;
use super::frame::{Binding, Exchange, Frame, FrameError, ResetReason, StreamId};
use super::outbox::{Outbox, message_cost};
use super::pace::Pace;
use super::stream::{MessageStream, RecvHalf, SendHalf, StreamError};
use crate::link::MAX_FRAME_BYTES;

/// Bytes that may be on their way to one end of a stream, or unread there: one message of the longest, or more short ones.
pub(super) const WINDOW_BYTES: usize = message_cost(MAX_FRAME_BYTES);
/// Credit is given back in portions, not for every message.
const CREDIT_PORTION_BYTES: usize = WINDOW_BYTES / 4;
/// Unread bytes that a connection holds for all its streams.
const BUFFER_BYTES: usize = 8 * WINDOW_BYTES;
/// Streams that may be open on a connection.
pub(super) const MAX_STREAMS: usize = 1_024;
/// Room made for each read: one record of TLS.
const READ_BYTES: usize = 16 << 10;
/// Frames are written together up to so many bytes.
const WRITE_BYTES: usize = 64 << 10;

/// The streams of a connection, and what they have to say.
#[derive(Debug)]
pub(super) struct Connection {
    outbox: Outbox,
    streams: Mutex<Streams>,
    buffer: Arc<Semaphore>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Streams {
    open: BTreeMap<StreamId, Entry>,
    /// The youngest stream that was ever opened.
    last: u32,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    inbox: mpsc::UnboundedSender<Option<Unread>>,
    /// What the other end may still send.
    window: usize,
    /// What was read here and not yet given back as credit.
    owed: usize,
    credit: Arc<Semaphore>,
    fate: Arc<SetOnce<StreamError>>,
    sent_end: bool,
    got_end: bool,
}

/// A message that nobody has read yet, and its share of the connection's buffer.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) message: Bytes,
    _share: OwnedSemaphorePermit,
}

/// Which end this is.
pub(super) enum Role {
    /// It dialled, and opens streams.
    Dialler,
    /// It listened, and answers on the streams that were opened.
    Listener(Answering),
}

/// Bindings of the frames of a connection, by direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bindings {
    pub(super) outgoing: Binding,
    pub(super) incoming: Binding,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("closed by the peer")]
    Closed,
    #[error("shut down")]
    ShutDown,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("nothing arrived for {ms} ms")]
    Idle { ms: u128 },
    #[error("the peer took nothing for {ms} ms")]
    Stalled { ms: u128 },
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("the peer broke the rules: {0:?}")]
    Breach(Breach),
}

/// A rule of the conversation that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// A stream opened by who did not dial, or with a number that is not above the last.
    Open,
    /// A frame for a stream that was never opened.
    NeverOpened,
    /// A message, or a second end, after the end.
    AfterEnd,
    /// More bytes than there was credit for.
    Overrun,
    /// More credit than a window.
    Credit,
    /// It causes answers and does not read them.
    Flood,
}

impl Connection {
    pub(super) fn new(closing: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            outbox: Outbox::new(),
            streams: Mutex::default(),
            buffer: Arc::new(Semaphore::new(BUFFER_BYTES)),
            closing,
        })
    }

    /// Opens a stream.
    pub(super) fn open(self: &Arc<Self>, exchange: Exchange) -> Result<MessageStream, StreamError> {
        let mut streams = self.streams();
        if streams.closed {
            return Err(StreamError::Disconnected);
        }
        if streams.open.len() >= MAX_STREAMS {
            return Err(StreamError::TooManyStreams { max: MAX_STREAMS });
        }
        let number = streams.last.checked_add(1).ok_or(StreamError::Disconnected)?;
        let id = StreamId(number);
        let stream = self.enter(&mut streams, id);
        self.outbox.push_notice(Frame::Open(id, exchange)); // under the lock: numbers go out in ascending order
        Ok(stream)
    }

    fn enter(self: &Arc<Self>, streams: &mut Streams, id: StreamId) -> MessageStream {
        let (inbox, unread) = mpsc::unbounded_channel(); // bounded by window and buffer
        let entry = Entry {
            inbox,
            window: WINDOW_BYTES,
            owed: 0,
            credit: Arc::new(Semaphore::new(WINDOW_BYTES)),
            fate: Arc::default(),
            sent_end: false,
            got_end: false,
        };
        let stream = MessageStream {
            sender: SendHalf::new(id, Arc::clone(self), Arc::clone(&entry.credit), Arc::clone(&entry.fate)),
            receiver: RecvHalf::new(id, Arc::clone(self), unread, Arc::clone(&entry.fate)),
        };
        streams.last = id.0;
        streams.open.insert(id, entry);
        stream
    }

    pub(super) const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Says that this end has no more messages for the stream.
    pub(super) fn finish(&self, id: StreamId) {
        let mut streams = self.streams();
        let Some(entry) = streams.open.get_mut(&id) else { return };
        entry.sent_end = true;
        // Under the lock: the peer may open another stream in place of this one as soon as it sees the end.
        self.outbox.push_notice(Frame::End(id));
        if entry.got_end {
            streams.open.remove(&id);
        }
    }

    /// Gives the stream up and tells the peer, unless it is over anyway.
    pub(super) fn reset(&self, id: StreamId, reason: ResetReason) {
        let mut streams = self.streams();
        if let Some(entry) = streams.open.remove(&id) {
            entry.end(StreamError::Reset(reason));
            self.outbox.push_notice(Frame::Reset(id, reason));
        }
    }

    /// Notes that a message was read.
    pub(super) fn consumed(&self, id: StreamId, cost: usize) {
        let mut streams = self.streams();
        let Some(entry) = streams.open.get_mut(&id).filter(|entry| !entry.got_end) else { return };
        entry.owed += cost;
        if entry.owed >= CREDIT_PORTION_BYTES {
            let owed = std::mem::take(&mut entry.owed);
            entry.window += owed;
            self.outbox.push_notice(Frame::Credit(id, owed as u32)); // at most a window
        }
    }

    /// Carries frames both ways until the connection ends.
    pub(super) async fn run<T: AsyncRead + AsyncWrite>(
        self: Arc<Self>,
        transport: T,
        bindings: Bindings,
        role: Role,
        pace: Arc<Pace>,
        config: TransportConfig,
    ) -> ConnectionError {
        let (reading, writing) = tokio::io::split(transport);
        let _end = End(Arc::clone(&self));
        let result = tokio::select! {
            read = self.read(reading, bindings.incoming, &role, &pace, &config) => read,
            written = self.write(writing, bindings.outgoing, &config) => written,
            () = self.grace_over(&config) => Err(ConnectionError::ShutDown),
        };
        result.err().unwrap_or(ConnectionError::ShutDown)
    }

    /// A peer that keeps us busy does not keep us from shutting down.
    async fn grace_over(&self, config: &TransportConfig) {
        self.closing.cancelled().await;
        tokio::time::sleep(config.shutdown_grace).await;
    }

    async fn write<T: AsyncWrite>(
        &self,
        mut writing: WriteHalf<T>,
        binding: Binding,
        config: &TransportConfig,
    ) -> Result<(), ConnectionError> {
        let mut bytes = BytesMut::new();
        let mut open = true;
        while open {
            let frame = tokio::select! {
                biased;
                frame = self.outbox.next() => Some(frame),
                () = self.closing.cancelled() => None,
                () = tokio::time::sleep(config.keep_alive) => Some(Frame::Alive),
            };
            open = frame.is_some();
            let mut next = frame;
            while let Some(frame) = next {
                frame.encode(binding, &mut bytes);
                next = if bytes.len() < WRITE_BYTES { self.outbox.pop() } else { None };
            }
            let written = timeout(config.write_timeout, async {
                writing.write_all(&bytes).await?;
                writing.flush().await
            });
            written
                .await
                .map_err(|_| ConnectionError::Stalled { ms: config.write_timeout.as_millis() })??;
            bytes.clear();
        }
        writing.shutdown().await?;
        Ok(())
    }

    async fn read<T: AsyncRead>(
        self: &Arc<Self>,
        mut reading: ReadHalf<T>,
        binding: Binding,
        role: &Role,
        pace: &Pace,
        config: &TransportConfig,
    ) -> Result<(), ConnectionError> {
        let mut received = BytesMut::new();
        loop {
            while let Some(frame) = Frame::decode(&mut received, binding)? {
                pace.wait(&frame).await;
                self.handle(frame, role).map_err(ConnectionError::Breach)?;
            }
            received.reserve(READ_BYTES);
            let read = timeout(config.idle_timeout, reading.read_buf(&mut received));
            let idle = |_| ConnectionError::Idle { ms: config.idle_timeout.as_millis() };
            if read.await.map_err(idle)?? == 0 {
                return Err(ConnectionError::Closed);
            }
        }
    }

    fn handle(self: &Arc<Self>, frame: Frame, role: &Role) -> Result<(), Breach> {
        match frame {
            Frame::Alive => {}
            Frame::Open(id, exchange) => self.opened(id, exchange, role)?,
            Frame::Message(id, message) => self.arrived(id, message)?,
            Frame::End(id) => {
                let mut streams = self.streams();
                let Some(entry) = streams.get(id)? else { return Ok(()) };
                if std::mem::replace(&mut entry.got_end, true) {
                    return Err(Breach::AfterEnd);
                }
                let _ = entry.inbox.send(None); // fails only if nobody reads any more
                if entry.sent_end {
                    streams.open.remove(&id);
                }
            }
            Frame::Reset(id, reason) => {
                let mut streams = self.streams();
                streams.get(id)?;
                if let Some(entry) = streams.open.remove(&id) {
                    entry.end(StreamError::Reset(reason));
                }
            }
            Frame::Credit(id, bytes) => {
                let mut streams = self.streams();
                let Some(entry) = streams.get(id)? else { return Ok(()) };
                let bytes = bytes as usize;
                if bytes > WINDOW_BYTES.saturating_sub(entry.credit.available_permits()) {
                    return Err(Breach::Credit);
                }
                entry.credit.add_permits(bytes);
            }
        }
        if self.outbox.crowded() { Err(Breach::Flood) } else { Ok(()) }
    }

    fn opened(self: &Arc<Self>, id: StreamId, exchange: Exchange, role: &Role) -> Result<(), Breach> {
        let Role::Listener(answering) = role else { return Err(Breach::Open) };
        let mut streams = self.streams();
        if id.0 <= streams.last {
            return Err(Breach::Open);
        }
        streams.last = id.0;
        if streams.open.len() >= MAX_STREAMS {
            self.outbox.push_notice(Frame::Reset(id, ResetReason::Overloaded));
            return Ok(());
        }
        let stream = self.enter(&mut streams, id);
        drop(streams);
        answering.begin(exchange, stream);
        Ok(())
    }

    fn arrived(&self, id: StreamId, message: Bytes) -> Result<(), Breach> {
        let mut streams = self.streams();
        let Some(entry) = streams.get(id)? else { return Ok(()) };
        if entry.got_end {
            return Err(Breach::AfterEnd);
        }
        let cost = message_cost(message.len());
        entry.window = entry.window.checked_sub(cost).ok_or(Breach::Overrun)?;
        let share = Arc::clone(&self.buffer).try_acquire_many_owned(cost as u32); // at most a window
        match share {
            Ok(share) => {
                let _ = entry.inbox.send(Some(Unread { message, _share: share })); // as above
            }
            Err(_) => {
                drop(streams);
                self.reset(id, ResetReason::Overloaded);
            }
        }
        Ok(())
    }

    /// Whether streams can still be opened.
    pub(super) fn is_open(&self) -> bool {
        !self.streams().closed
    }

    fn close(&self) {
        let mut streams = self.streams();
        streams.closed = true;
        std::mem::take(&mut streams.open)
            .into_values()
            .for_each(|entry| entry.end(StreamError::Disconnected));
        self.outbox.close();
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the streams when the connection ends, also where whoever ran it was stopped.
struct End(Arc<Connection>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Streams {
    /// The stream if it is open, nothing if it once was.
    fn get(&mut self, id: StreamId) -> Result<Option<&mut Entry>, Breach> {
        if id.0 > self.last { Err(Breach::NeverOpened) } else { Ok(self.open.get_mut(&id)) }
    }
}

impl Entry {
    /// Tells both halves how the stream ended.
    fn end(self, fate: StreamError) {
        let _ = self.fate.set(fate); // an earlier fate stands
        self.credit.close();
    }
}
