//! Nodes talk to nodes: a [`PeerLink`] over TCP, encrypted, each end sure who the other is.
//!
//! To follow a message from one node to another, read `dialling.rs` (a connection is made), `tls.rs` and `hello.rs`
//! (both ends prove who they are and say whom they mean), `stream.rs` and `outbox.rs` (the message waits for credit
//! and room), `connection.rs` (streams share the connection), `frame.rs` (what is on the wire), `listening.rs` (the
//! other end of all that) and `answering.rs` (the answer).
//!
//! Each node dials the nodes that it asks, with one connection a [`Channel`], and answers on connections that were
//! dialled to it. Every queue is bounded and every step has a deadline ([`TransportConfig`]), apart from the answer,
//! which takes as long as the one who asked will wait.

mod answering;
mod config;
mod connection;
mod context;
mod dialling;
mod frame;
mod hello;
mod known_nodes;
mod listening;
mod outbox;
mod pace;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tensor_chain::{ChainId, Identity, NodeId};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::TransportConfig;
pub use self::known_nodes::KnownNodes;

use self::context::Context;
use self::dialling::Dialler;
use self::frame::{Exchange, ResetReason};
use self::listening::Listener;
use self::stream::{MessageStream, RecvHalf, SendHalf, StreamError};
use crate::api::Peer;
use crate::link::{Answers, Channel, LinkError, PeerLink, PeerService};

/// This node's connections to the others. Clones share them.
#[derive(Clone)]
pub struct Transport {
    context: Arc<Context>,
    dialler: Arc<Dialler>,
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub struct TlsError(#[from] rustls::Error);

impl Transport {
    /// A node that can ask others. Nothing is connected yet.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        cluster: ChainId,
        known: KnownNodes,
        config: TransportConfig,
    ) -> Self {
        let context = Context::new(identity, cluster, known, config);
        Self { dialler: Arc::new(Dialler::new(Arc::clone(&context))), context }
    }

    /// Answers the nodes that connect to `listener`, until [`shutdown`](Self::shutdown). To be called in the runtime.
    ///
    /// # Errors
    /// TLS could not be set up.
    pub fn listen(&self, listener: TcpListener, service: Arc<dyn PeerService>) -> Result<(), TlsError> {
        let tls = tls::server_config(&self.context.identity, self.context.known.clone())?;
        let peers = Arc::new(Listener {
            context: Arc::clone(&self.context),
            dialler: Arc::clone(&self.dialler),
            acceptor: TlsAcceptor::from(tls),
            service,
            accepted: Mutex::default(),
        });
        self.context.tasks.spawn(peers.run(listener));
        Ok(())
    }

    /// Ends all connections, after what is queued has been sent or the grace is over.
    pub async fn shutdown(&self) {
        self.context.closing.cancel();
        self.context.tasks.close();
        self.context.tasks.wait().await;
    }

    async fn open(
        &self,
        to: &Peer,
        channel: Channel,
        exchange: Exchange,
    ) -> Result<MessageStream, LinkError> {
        let connection = self.dialler.connection(to, channel).await.map_err(unreachable(to.node))?;
        connection.open(exchange).map_err(unreachable(to.node))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("node", &self.context.node).finish_non_exhaustive()
    }
}

impl PeerLink for Transport {
    fn call(
        &self,
        to: &Peer,
        channel: Channel,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (transport, to) = (self.clone(), to.clone());
        Box::pin(async move {
            let node = to.node;
            let MessageStream { mut sender, mut receiver } =
                transport.open(&to, channel, Exchange::Call).await?;
            sender.send(request).await.map_err(unreachable(node))?;
            sender.finish();
            let answer = receiver.recv().await.map_err(lost(node))?;
            let answer = answer.ok_or(LinkError::Refused { node })?;
            receiver.recv().await.map_err(lost(node))?; // the end, so that nothing needs to be given up
            Ok(answer)
        })
    }

    fn stream(
        &self,
        to: &Peer,
        channel: Channel,
        requests: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let (transport, to) = (self.clone(), to.clone());
        Box::pin(async move {
            let MessageStream { sender, receiver } = transport.open(&to, channel, Exchange::Stream).await?;
            let asking = AbortOnDropHandle::new(tokio::spawn(ask(requests, sender)));
            Ok(answers(receiver, asking, to.node))
        })
    }
}

/// Sends the requests as they come.
async fn ask(mut requests: BoxStream<'static, Bytes>, mut sender: SendHalf) {
    loop {
        let request = tokio::select! {
            request = requests.next() => request,
            () = sender.given_up() => return,
        };
        match request {
            // What became of the stream is seen where the answers arrive.
            Some(request) => {
                if sender.send(request).await.is_err() {
                    return;
                }
            }
            None => return sender.finish(),
        }
    }
}

/// The answers until the peer's last, or until the stream is given up: dropping them gives up the requests.
fn answers(receiver: RecvHalf, asking: AbortOnDropHandle<()>, node: NodeId) -> Answers {
    let next = move |state: Option<(RecvHalf, AbortOnDropHandle<()>)>| async move {
        let (mut receiver, asking) = state?;
        match receiver.recv().await {
            Ok(Some(answer)) => Some((Ok(answer), Some((receiver, asking)))),
            // A service that will not answer further drops the stream: that is its end.
            Ok(None) | Err(StreamError::Reset(ResetReason::Cancelled)) => None,
            Err(error) => Some((Err(lost(node)(error)), None)),
        }
    };
    unfold(Some((receiver, asking)), next).boxed()
}

fn unreachable<E: fmt::Display>(node: NodeId) -> impl Fn(E) -> LinkError {
    move |error| LinkError::Unreachable { node, reason: error.to_string() }
}

fn lost(node: NodeId) -> impl Fn(StreamError) -> LinkError {
    move |error| match error {
        StreamError::Reset(ResetReason::Cancelled) => LinkError::Refused { node },
        error => LinkError::Lost { node, reason: error.to_string() },
    }
}
