//! Connections from other nodes.
//!
//! A stranger costs little and not for long: handshakes have a deadline, and only so many go on at once. One more
//! displaces the oldest, so a flood of connections that say nothing cannot keep a peer out. Who has shaken hands has
//! at most one connection a channel: a new one replaces the old, which a restarted peer has forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tensor_chain::NodeId;
use tensor_chain::encoding::{Decode, DecodeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::answering::Answering;
use super::connection::{Connection, Role};
use super::context::Context;
use super::dialling::Dialler;
use super::hello::{Answer, HELLO_BYTES, Hello, Refusal};
use super::tls;
use crate::link::{Channel, PeerService};

/// Pause after the system refused to hand over a connection, which it does when it is short of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Listener {
    pub(super) context: Arc<Context>,
    pub(super) dialler: Arc<Dialler>,
    pub(super) acceptor: TlsAcceptor,
    pub(super) service: Arc<dyn PeerService>,
    pub(super) accepted: Mutex<BTreeMap<(NodeId, Channel), CancellationToken>>,
}

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
enum WelcomeError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("hello: {0}")]
    Hello(#[from] DecodeError),
    #[error("hello: {0}")]
    Refused(Refusal),
    #[error("no hello within {ms} ms")]
    Late { ms: u128 },
}

impl Listener {
    /// Accepts connections until the transport shuts down.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut handshakes = VecDeque::<AbortHandle>::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.context.closing.cancelled() => return,
            };
            match accepted {
                Ok((tcp, _)) => {
                    handshakes.retain(|handshake| !handshake.is_finished());
                    while handshakes.len() >= self.context.config.max_handshakes.max(1) {
                        handshakes.pop_front().inspect(AbortHandle::abort);
                    }
                    let handshake = self.context.tasks.spawn(Arc::clone(&self).admit(tcp));
                    handshakes.push_back(handshake.abort_handle());
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn admit(self: Arc<Self>, tcp: TcpStream) {
        let address = tcp.peer_addr().ok();
        let deadline = self.context.config.handshake_timeout;
        let welcome = tokio::select! {
            welcome = timeout(deadline, self.welcome(tcp)) => welcome,
            () = self.context.closing.cancelled() => return,
        };
        match welcome.unwrap_or(Err(WelcomeError::Late { ms: deadline.as_millis() })) {
            Ok((stream, peer, channel)) => {
                self.dialler.heard_from(peer);
                let listener = Arc::clone(&self);
                self.context.tasks.spawn(listener.carry(stream, peer, channel));
            }
            Err(error) => tracing::debug!(?address, %error, "caller not let in"),
        }
    }

    async fn welcome(&self, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, NodeId, Channel), WelcomeError> {
        tcp.set_nodelay(true)?;
        let mut stream = self.acceptor.accept(tcp).await?;
        let peer = tls::peer_of(stream.get_ref().1.peer_certificates())?;
        let mut bytes = [0; HELLO_BYTES];
        stream.read_exact(&mut bytes).await?;
        let hello = Hello::from_bytes(&bytes)?;
        let answer = hello.judge(self.context.cluster, self.context.node, peer);
        stream.write_u8(answer.to_byte()).await?;
        stream.flush().await?;
        match answer {
            Answer::Welcome => Ok((stream, peer, hello.channel)),
            Answer::Refused(refusal) => {
                stream.shutdown().await?;
                Err(WelcomeError::Refused(refusal))
            }
        }
    }

    async fn carry(self: Arc<Self>, stream: TlsStream<TcpStream>, peer: NodeId, channel: Channel) {
        let context = &self.context;
        let closing = context.closing.child_token();
        if let Some(old) = self.accepted().insert((peer, channel), closing.clone()) {
            old.cancel();
        }
        tracing::info!(node = %peer, ?channel, "peer connected");
        let answering = Answering { service: Arc::clone(&self.service), peer, tasks: context.tasks.clone() };
        let running = Connection::new(closing).run(
            stream,
            context.bindings(peer),
            Role::Listener(answering),
            context.pace(peer),
            context.config,
        );
        tokio::select! {
            why = running => tracing::info!(node = %peer, ?channel, %why, "connection of peer ended"),
            () = context.known.departed(peer) => {
                tracing::info!(node = %peer, ?channel, "connection of peer ended: no longer a member");
            }
        }
    }

    fn accepted(&self) -> MutexGuard<'_, BTreeMap<(NodeId, Channel), CancellationToken>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
