//! One connection against an end that breaks the rules, or takes all that they allow.

use std::pin::pin;

use bytes::BytesMut;
use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::answering::Answering;
use super::super::connection::{
    Bindings, Breach, Connection, ConnectionError, MAX_STREAMS, Role, WINDOW_BYTES,
};
use super::super::frame::{Binding, Exchange, Frame, ResetReason, StreamId};
use super::super::outbox::message_cost;
use super::super::pace::Pace;
use super::super::stream::StreamError;
use super::*;

/// The end that does as it likes.
struct Rogue {
    io: DuplexStream,
    received: BytesMut,
    connection: Arc<Connection>,
    running: JoinHandle<ConnectionError>,
    closing: CancellationToken,
    bindings: Bindings,
}

impl Rogue {
    fn face(role: Role) -> Self {
        Self::face_with(role, TransportConfig::default())
    }

    fn face_with(role: Role, config: TransportConfig) -> Self {
        let (io, other) = tokio::io::duplex(1 << 16);
        let binding = |from, to| Binding::new(CLUSTER, id(from), id(to));
        let closing = CancellationToken::new();
        let connection = Connection::new(closing.clone());
        let bindings = Bindings { outgoing: binding(1, 2), incoming: binding(2, 1) };
        let run = Arc::clone(&connection).run(other, bindings, role, Arc::new(Pace::new(&config)), config);
        let running = tokio::spawn(run);
        Self { io, received: BytesMut::new(), connection, running, closing, bindings }
    }

    fn face_listener(service: impl PeerService) -> Self {
        let (service, tasks) = (Arc::new(service), TaskTracker::new());
        Self::face(Role::Listener(Answering { service, peer: id(2), tasks }))
    }

    /// Sends frames, unless the connection has ended.
    async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        for frame in frames {
            let mut bytes = BytesMut::new();
            frame.encode(self.bindings.incoming, &mut bytes);
            if self.io.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    /// The next frame that is more than a sign of life.
    async fn next(&mut self) -> Frame {
        loop {
            match Frame::decode(&mut self.received, self.bindings.outgoing).unwrap() {
                Some(Frame::Alive) => {}
                Some(frame) => return frame,
                None => assert_ne!(self.io.read_buf(&mut self.received).await.unwrap(), 0),
            }
        }
    }

    async fn breach(self) -> Breach {
        match self.running.await.unwrap() {
            ConnectionError::Breach(breach) => breach,
            other => panic!("{other}"),
        }
    }
}

const fn open(number: u32) -> Frame {
    Frame::Open(StreamId(number), Exchange::Stream)
}

fn message(number: u32, len: usize) -> Frame {
    Frame::Message(StreamId(number), vec![0; len].into())
}

#[tokio::test]
async fn every_breach_ends_the_connection() {
    let one = StreamId(1);
    for (frames, breach) in [
        (vec![open(2), open(2)], Breach::Open),
        (vec![open(2), open(1)], Breach::Open),
        (vec![message(1, 0)], Breach::NeverOpened),
        (vec![Frame::End(one)], Breach::NeverOpened),
        (vec![Frame::Reset(one, ResetReason::Cancelled)], Breach::NeverOpened),
        (vec![open(1), Frame::Credit(StreamId(2), 1)], Breach::NeverOpened),
        (vec![open(1), Frame::End(one), message(1, 0)], Breach::AfterEnd),
        (vec![open(1), Frame::End(one), Frame::End(one)], Breach::AfterEnd),
        (vec![open(1), Frame::Credit(one, 1)], Breach::Credit),
        (vec![open(1), Frame::Credit(one, u32::MAX)], Breach::Credit),
        (vec![open(1), message(1, 1 << 21), message(1, 1 << 21)], Breach::Overrun),
    ] {
        let mut rogue = Rogue::face_listener(Stuck::default());
        soon(rogue.send(frames.clone())).await;
        assert_eq!(soon(rogue.breach()).await, breach, "{frames:?}");
    }
    let mut rogue = Rogue::face(Role::Dialler);
    soon(rogue.send([open(1)])).await;
    assert_eq!(soon(rogue.breach()).await, Breach::Open);
}

#[tokio::test]
async fn frames_for_a_stream_that_is_gone_are_ignored() {
    let mut rogue = Rogue::face_listener(Echo);
    let gone = StreamId(1);
    let cancelled = Frame::Reset(gone, ResetReason::Cancelled);
    soon(rogue.send([open(1), cancelled.clone(), message(1, 5), Frame::Credit(gone, 9)])).await;
    soon(rogue.send([Frame::End(gone), cancelled, open(2), message(2, 7), Frame::End(StreamId(2))])).await;
    assert_eq!(soon(rogue.next()).await, message(2, 7));
    assert_eq!(soon(rogue.next()).await, Frame::End(StreamId(2)));
}

#[tokio::test]
async fn a_sender_waits_for_credit() {
    let mut rogue = Rogue::face(Role::Dialler);
    let mut stream = rogue.connection.open(Exchange::Stream).unwrap();
    assert_eq!(soon(rogue.next()).await, open(1));
    let portion = WINDOW_BYTES / 4 - message_cost(0);
    for _ in 0..4 {
        soon(stream.sender.send(vec![0; portion])).await.unwrap();
        assert_eq!(soon(rogue.next()).await, message(1, portion));
    }
    let mut fifth = pin!(stream.sender.send(vec![0; 100]));
    assert!(poll!(&mut fifth).is_pending());
    soon(rogue.send([Frame::Credit(StreamId(1), message_cost(99) as u32)])).await;
    // Another stream can be used meanwhile, and by now that credit has arrived: it was one byte short.
    let mut other = rogue.connection.open(Exchange::Stream).unwrap();
    soon(other.sender.send("x")).await.unwrap();
    assert_eq!(soon(rogue.next()).await, open(2));
    soon(rogue.send([Frame::Message(StreamId(2), "y".into())])).await;
    assert_eq!(soon(other.receiver.recv()).await, Ok(Some("y".into())));
    assert!(poll!(&mut fifth).is_pending());
    soon(rogue.send([Frame::Credit(StreamId(1), 1)])).await;
    assert_eq!(soon(fifth).await, Ok(()));
}

#[tokio::test]
async fn credit_comes_back_as_messages_are_read() {
    let mut rogue = Rogue::face(Role::Dialler);
    let mut stream = rogue.connection.open(Exchange::Stream).unwrap();
    assert_eq!(soon(rogue.next()).await, open(1));
    let len = WINDOW_BYTES / 4 - message_cost(0);
    soon(rogue.send((0..4).map(|_| message(1, len)))).await;
    for _ in 0..100 {
        assert_eq!(soon(stream.receiver.recv()).await.unwrap().unwrap().len(), len);
        assert_eq!(soon(rogue.next()).await, Frame::Credit(StreamId(1), (WINDOW_BYTES / 4) as u32));
        soon(rogue.send([message(1, len)])).await;
    }
}

#[tokio::test]
async fn unread_messages_are_bounded_over_all_streams() {
    let mut rogue = Rogue::face_listener(Stuck::default());
    let len = WINDOW_BYTES - message_cost(0);
    for number in 1..=8 {
        soon(rogue.send([open(number), message(number, len)])).await;
    }
    soon(rogue.send([open(9), message(9, 0)])).await;
    assert_eq!(soon(rogue.next()).await, Frame::Reset(StreamId(9), ResetReason::Overloaded));
    assert!(!rogue.running.is_finished());
}

#[tokio::test]
async fn messages_that_were_given_up_make_room_for_others() {
    let mut rogue = Rogue::face_listener(Echo);
    // Far more than a connection may hold unread, one stream after the other.
    for number in 1..=64 {
        let longest = message(number, WINDOW_BYTES - message_cost(0));
        soon(rogue.send([open(number), longest.clone()])).await;
        while soon(rogue.next()).await != longest {} // credit may come first
        soon(rogue.send([Frame::Reset(StreamId(number), ResetReason::Cancelled)])).await;
    }
}

#[tokio::test]
async fn streams_are_bounded_at_both_ends() {
    let rogue = Rogue::face(Role::Dialler);
    let mut streams: Vec<_> =
        (0..MAX_STREAMS).map(|_| rogue.connection.open(Exchange::Call).unwrap()).collect();
    let another = || rogue.connection.open(Exchange::Call).map(drop);
    assert_eq!(another(), Err(StreamError::TooManyStreams { max: MAX_STREAMS }));
    streams.pop();
    assert_eq!(another(), Ok(()));

    let mut rogue = Rogue::face_listener(Stuck::default());
    let too_many = MAX_STREAMS as u32 + 1;
    soon(rogue.send((1..=too_many).map(open))).await;
    assert_eq!(soon(rogue.next()).await, Frame::Reset(StreamId(too_many), ResetReason::Overloaded));
}

#[tokio::test]
async fn who_causes_answers_and_reads_none_is_cut_off() {
    let mut rogue = Rogue::face_listener(Stuck::default());
    let sending = async {
        for number in 1.. {
            if rogue.running.is_finished() {
                return number;
            }
            rogue.send([open(number)]).await;
        }
        0
    };
    let sent = soon(sending).await;
    assert!(sent < 20_000, "{sent} streams asked for");
    assert_eq!(soon(rogue.breach()).await, Breach::Flood);
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off() {
    let hasty = TransportConfig { write_timeout: Duration::from_millis(20), ..TransportConfig::default() };
    let rogue = Rogue::face_with(Role::Dialler, hasty);
    let mut stream = rogue.connection.open(Exchange::Stream).unwrap();
    soon(stream.sender.send(noise(1 << 20, 1))).await.unwrap();
    assert!(matches!(soon(rogue.running).await.unwrap(), ConnectionError::Stalled { ms: 20 }));
}

#[tokio::test]
async fn who_takes_nothing_does_not_hold_up_a_shutdown() {
    let grace = Duration::from_millis(20);
    let hour = Duration::from_secs(3_600);
    let patient = TransportConfig {
        write_timeout: hour,
        idle_timeout: hour,
        shutdown_grace: grace,
        ..TransportConfig::default()
    };
    let rogue = Rogue::face_with(Role::Dialler, patient);
    let mut stream = rogue.connection.open(Exchange::Stream).unwrap();
    soon(stream.sender.send(noise(1 << 20, 1))).await.unwrap();
    rogue.closing.cancel();
    assert!(matches!(soon(rogue.running).await.unwrap(), ConnectionError::ShutDown));
}

#[tokio::test]
async fn both_halves_learn_how_it_ended() {
    let mut rogue = Rogue::face(Role::Dialler);
    let mut reset = rogue.connection.open(Exchange::Stream).unwrap();
    let mut cut = rogue.connection.open(Exchange::Stream).unwrap();
    let overloaded = ResetReason::Overloaded;
    soon(rogue.send([Frame::Message(StreamId(1), "last".into()), Frame::Reset(StreamId(1), overloaded)]))
        .await;
    soon(reset.sender.given_up()).await;
    assert_eq!(reset.sender.send("x").await, Err(StreamError::Reset(overloaded)));
    assert_eq!(reset.receiver.recv().await, Ok(Some("last".into())));
    assert_eq!(reset.receiver.recv().await, Err(StreamError::Reset(overloaded)));

    drop(rogue.io);
    assert!(matches!(soon(rogue.running).await.unwrap(), ConnectionError::Closed));
    assert_eq!(cut.sender.send("x").await, Err(StreamError::Disconnected));
    assert_eq!(cut.receiver.recv().await, Err(StreamError::Disconnected));
    assert_eq!(rogue.connection.open(Exchange::Call).map(drop), Err(StreamError::Disconnected));
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_given_up_and_one_that_is_finished_is_not() {
    let mut rogue = Rogue::face(Role::Dialler);
    drop(rogue.connection.open(Exchange::Stream).unwrap());
    assert_eq!(soon(rogue.next()).await, open(1));
    assert_eq!(soon(rogue.next()).await, Frame::Reset(StreamId(1), ResetReason::Cancelled));

    let mut stream = rogue.connection.open(Exchange::Stream).unwrap();
    stream.sender.finish();
    soon(rogue.send([Frame::End(StreamId(2))])).await;
    assert_eq!(soon(stream.receiver.recv()).await, Ok(None));
    drop(stream.receiver);
    let _third = rogue.connection.open(Exchange::Stream).unwrap();
    for frame in [open(2), Frame::End(StreamId(2)), open(3)] {
        assert_eq!(soon(rogue.next()).await, frame);
    }
}
