//! Connections: how many, how long each may take, and how they end.
//!
//! axum's own `serve` sets no deadline at all, so a handful of idle sockets could occupy a node for ever. Here each
//! connection is served by hyper with a clock: on the header (and so on idling), on the body, and on answers that
//! nobody takes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tensor_client::wire::{Problem, ProblemBody};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::config::HttpConfig;
use super::ledger::Ledger;
use super::routes;
use super::service::Service;
use super::stalls::Stalls;

/// Most header fields of one request.
const MAX_HEADERS: usize = 100;
/// How long to wait when the system has no socket to give: trying again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the API does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address that others can reach. The API has neither TLS nor client authentication.
    #[error("{address} is not a loopback address: HTTP without TLS is served on loopback only")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system gives no listener.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

/// The API, listening and not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: HttpConfig,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// An address that is not loopback, or that the system does not give.
    pub async fn bind(config: HttpConfig) -> Result<Self, BindError> {
        let address = config.listen;
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback { address });
        }
        let failed = |error| BindError::Io { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, config })
    }

    /// Where it listens: the port that the system chose, where it was asked to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is set or its sender is gone; then takes no more requests, lets those that are being
    /// served end, and cuts off what is left at the shutdown deadline.
    pub async fn serve(self, ledger: Arc<dyn Ledger>, mut stop: watch::Receiver<bool>) {
        let Self { listener, config, .. } = self;
        let shutdown_deadline = config.shutdown_deadline;
        let places = Arc::new(Semaphore::new(config.max_connections));
        let service = Arc::new(Service::new(ledger, config, stop.clone()));
        let router = routes::router(&service);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                        Ok(permit) => {
                            let place = Place::take(&service, permit);
                            connections.spawn(serve_connection(stream, place, router.clone(), stop.clone()));
                        }
                        Err(_) => {
                            service.metrics.connections_refused.inc();
                            refuse(&stream);
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended with a panic");
                },
                () = stopped(&mut stop) => break,
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(shutdown_deadline, drained).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests were cut off at the shutdown deadline");
        }
    }
}

/// Waits until the server is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it whoever could say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One of the connections that may be open; free again when this is dropped, however the connection ends.
struct Place {
    service: Arc<Service>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(service: &Arc<Service>, permit: OwnedSemaphorePermit) -> Self {
        service.metrics.connections.inc();
        Self { service: Arc::clone(service), _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.metrics.connections.dec();
    }
}

async fn serve_connection(stream: TcpStream, place: Place, router: Router, mut stop: watch::Receiver<bool>) {
    // Answers are small and waited for. Failing to set it only makes them later.
    let _ = stream.set_nodelay(true);
    let config = &place.service.config;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_deadline)
        .max_headers(MAX_HEADERS)
        .max_header_size(config.max_header_bytes);
    let io = TokioIo::new(Stalls::new(stream, config.write_deadline));
    let mut connection = std::pin::pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Says that this is a connection too many, if that goes at once, and hangs up.
fn refuse(stream: &TcpStream) {
    let body = serde_json::to_string(&ProblemBody::from(Problem::TooManyConnections)).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(answer.as_bytes());
}
