//! The HTTP API over real sockets, with a cluster of one in memory behind it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod client;
mod command_line;
mod limits;
mod moody;
mod raw;
mod routes;
mod solo;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tensor_node::http::server::Server;
use tensor_node::http::{HttpConfig, Token};
use tokio::runtime::Runtime;
use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;

use solo::Solo;

const TOKEN: &str = "a token of some length";

/// A node on a port of its own, with a runtime that ends with it.
struct Node {
    address: SocketAddr,
    solo: Arc<Solo>,
    stop: Sender<bool>,
    served: Option<JoinHandle<()>>,
    runtime: Runtime,
}

impl Node {
    fn start() -> Self {
        Self::with_config(HttpConfig::default())
    }

    fn with_config(config: HttpConfig) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::over(Solo::new(), HttpConfig { listen, admin_token: Token::new(TOKEN), ..config })
    }

    fn over(solo: Arc<Solo>, config: HttpConfig) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = runtime.block_on(Server::bind(config)).unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let address = server.address();
        let served = Some(runtime.spawn(server.serve(Arc::clone(&solo) as _, stopped)));
        Self { address, solo, stop, served, runtime }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells the server to stop and waits until it has.
    fn stop(&mut self) {
        self.stop.send_replace(true);
        self.runtime.block_on(self.served.take().unwrap()).unwrap();
    }
}
