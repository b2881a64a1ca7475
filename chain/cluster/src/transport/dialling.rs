//! Connections to other nodes: made when they are wanted, one a peer and channel, and made again when they end.
//!
//! Whoever wants a peer that cannot be reached is told so at once: after a failure nobody tries again before a
//! pause is over that doubles with every failure and is different for every node. An attempt outlives whoever
//! wanted it, so that a caller less patient than a handshake is long gets its connection next time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tensor_chain::NodeId;
use tensor_chain::encoding::{DecodeError, Encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::TransportConfig;
use super::connection::{Connection, Role};
use super::context::Context;
use super::hello::{Answer, Hello, Refusal};
use super::tls;
use crate::api::Peer;
use crate::link::Channel;

/// Why a peer could not be reached.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum DialError {
    #[error("connecting to {address}: {source}")]
    Connect { address: String, source: Arc<std::io::Error> },
    #[error("connecting to {address}: not within {ms} ms")]
    ConnectTimeout { address: String, ms: u128 },
    #[error("handshake with {address}: {source}")]
    Handshake { address: String, source: Arc<std::io::Error> },
    #[error("handshake with {address}: not within {ms} ms")]
    HandshakeTimeout { address: String, ms: u128 },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{address} answers the hello with: {source}")]
    Answer { address: String, source: DecodeError },
    #[error("{address} refuses: {refusal}")]
    Refused { address: String, refusal: Refusal },
    #[error("shut down")]
    ShutDown,
}

pub(super) struct Dialler {
    context: Arc<Context>,
    ways: Mutex<BTreeMap<(NodeId, Channel), SharedWay>>,
}

/// Locked for as long as an attempt takes, so that there is one at a time.
type SharedWay = Arc<tokio::sync::Mutex<Way>>;

/// The way to a peer.
struct Way {
    connection: Option<Arc<Connection>>,
    failures: u32,
    last_error: Option<DialError>,
    not_before: Instant,
}

impl Dialler {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, ways: Mutex::default() }
    }

    /// The connection to a peer, which may have to be made.
    pub(super) async fn connection(&self, to: &Peer, channel: Channel) -> Result<Arc<Connection>, DialError> {
        let mut way = self.way(to.node, channel).lock_owned().await;
        if let Some(connection) = way.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(Arc::clone(connection));
        }
        way.connection = None;
        if self.context.closing.is_cancelled() {
            return Err(DialError::ShutDown);
        }
        if let Some(error) = way.last_error.as_ref().filter(|_| Instant::now() < way.not_before) {
            return Err(error.clone());
        }
        let (context, to) = (Arc::clone(&self.context), to.clone());
        let attempt = self.context.tasks.spawn(async move { Way::dial(way, &context, &to, channel).await });
        attempt.await.unwrap_or(Err(DialError::ShutDown)) // a task that did not end went with the runtime
    }

    /// Notes that a peer is alive: the next attempt to reach it need not wait.
    pub(super) fn heard_from(&self, peer: NodeId) {
        for channel in [Channel::Urgent, Channel::Bulk] {
            // A way that is in use is being tried right now.
            if let Ok(mut way) = self.way(peer, channel).try_lock_owned() {
                way.not_before = Instant::now();
            }
        }
    }

    fn way(&self, peer: NodeId, channel: Channel) -> SharedWay {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = || Way { connection: None, failures: 0, last_error: None, not_before: Instant::now() };
        Arc::clone(ways.entry((peer, channel)).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(way()))))
    }
}

impl Way {
    async fn dial(
        mut way: OwnedMutexGuard<Self>,
        context: &Arc<Context>,
        to: &Peer,
        channel: Channel,
    ) -> Result<Arc<Connection>, DialError> {
        let shaken = tokio::select! {
            shaken = shake_hands(context, to, channel) => shaken,
            () = context.closing.cancelled() => Err(DialError::ShutDown),
        };
        match shaken {
            Ok(stream) => {
                let connection = start(context, to.node, channel, stream);
                way.failures = 0;
                way.connection = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(node = %to.node, ?channel, %error, "peer not reached");
                way.not_before = Instant::now() + pause(&context.config, way.failures);
                way.failures = way.failures.saturating_add(1);
                way.last_error = Some(error.clone());
                Err(error)
            }
        }
    }
}

/// The pause after so many failures before: doubled for each, and of that a random part between half and all, so
/// that nodes that lost the same peer do not return to it together.
fn pause(config: &TransportConfig, failures: u32) -> Duration {
    let doubled = config.backoff_min.saturating_mul(2_u32.saturating_pow(failures)).min(config.backoff_max);
    let part = getrandom::u32().map_or(1.0, |random| 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0);
    doubled.mul_f64(part)
}

async fn shake_hands(
    context: &Context,
    to: &Peer,
    channel: Channel,
) -> Result<TlsStream<TcpStream>, DialError> {
    let (config, address) = (&context.config, || to.peer_address.clone());
    let connecting = timeout(config.connect_timeout, TcpStream::connect(&to.peer_address));
    let late = |_| DialError::ConnectTimeout { address: address(), ms: config.connect_timeout.as_millis() };
    let failed = |source| DialError::Connect { address: address(), source: Arc::new(source) };
    let tcp = connecting.await.map_err(late)?.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;

    let connector = TlsConnector::from(tls::client_config(&context.identity, to.node)?);
    let hello = Hello { cluster: context.cluster, from: context.node, to: to.node, channel };
    let shaking = timeout(config.handshake_timeout, async {
        let mut stream = connector.connect(tls::server_name(), tcp).await?;
        stream.write_all(&hello.to_bytes()).await?;
        stream.flush().await?;
        let answer = stream.read_u8().await?;
        Ok((stream, answer))
    });
    let late =
        |_| DialError::HandshakeTimeout { address: address(), ms: config.handshake_timeout.as_millis() };
    let failed = |source| DialError::Handshake { address: address(), source: Arc::new(source) };
    let (stream, answer) = shaking.await.map_err(late)?.map_err(failed)?;
    match Answer::from_byte(answer) {
        Ok(Answer::Welcome) => Ok(stream),
        Ok(Answer::Refused(refusal)) => Err(DialError::Refused { address: address(), refusal }),
        Err(source) => Err(DialError::Answer { address: address(), source }),
    }
}

fn start(
    context: &Arc<Context>,
    peer: NodeId,
    channel: Channel,
    stream: TlsStream<TcpStream>,
) -> Arc<Connection> {
    let connection = Connection::new(context.closing.clone());
    let (context_of_task, running) = (Arc::clone(context), Arc::clone(&connection));
    context.tasks.spawn(async move {
        let context = context_of_task;
        tracing::info!(node = %peer, ?channel, "connected");
        let (bindings, pace) = (context.bindings(peer), context.pace(peer));
        tokio::select! {
            why = running.run(stream, bindings, Role::Dialler, pace, context.config) => {
                tracing::info!(node = %peer, ?channel, %why, "connection ended");
            }
            () = context.known.departed(peer) => {
                tracing::info!(node = %peer, ?channel, "connection ended: no longer a member");
            }
        }
    });
    connection
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let config = TransportConfig::default();
        for failures in [0, 1, 2, 10, 31, 32, u32::MAX] {
            let whole =
                config.backoff_min.saturating_mul(2_u32.saturating_pow(failures)).min(config.backoff_max);
            for _ in 0..100 {
                assert!((whole / 2..=whole).contains(&pause(&config, failures)), "after {failures}");
            }
        }
        assert_ne!(pause(&config, 10), pause(&config, 10));
    }
}
