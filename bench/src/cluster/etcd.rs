//! Three members of etcd on loopback, asked by gRPC, which is its own protocol and its fastest.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::error::ClusterError;
use super::load::Connection;
use super::process::Process;
use super::system::System;

/// How long the members may take to elect a leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that clients share: more of them only cost etcd processor time.
const MOST_CONNECTIONS: usize = 16;
/// Keys of a page.
const PAGE: i64 = 5_000;

/// Three members.
#[derive(Debug)]
pub(super) struct Etcd {
    version: String,
    members: Vec<Process>,
    /// Where the leader listens for clients.
    leader: String,
    _folder: TempDir,
}

impl Etcd {
    /// Starts them and waits until one leads. `None` where there is no such program.
    pub(super) async fn start(program: &Path) -> Result<Option<Self>, ClusterError> {
        let folder = tempfile::tempdir()?;
        let ports = free_ports(6)?;
        let (clients, peers) = ports.split_at(3);
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<String> =
            peers.iter().zip(0..).map(|(port, n)| format!("n{n}={}", url(port))).collect();
        let mut members = Vec::new();
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let mut command = Command::new(program);
            command.args(["--name", &format!("n{n}"), "--initial-cluster", &cluster.join(",")]);
            command.arg("--data-dir").arg(folder.path().join(n.to_string()));
            command.args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)]);
            command.args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)]);
            command
                .args(["--logger", "zap", "--log-level", "error"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            match Process::start(&mut command) {
                Err(ClusterError::Start { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                started => members.push(started?),
            }
        }
        let (leader, version) = leader(clients).await?;
        Ok(Some(Self { version, members, leader, _folder: folder }))
    }
}

/// Ports that nobody listens on.
fn free_ports(count: usize) -> Result<Vec<u16>, ClusterError> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?)
}

/// Where the leader listens, once there is one, and the version of etcd.
async fn leader(clients: &[u16]) -> Result<(String, String), ClusterError> {
    let began = Instant::now();
    loop {
        for port in clients {
            let address = format!("127.0.0.1:{port}");
            let Ok(channel) = Channel::open(&address).await else { continue };
            let asked = channel.call::<_, Status>("Maintenance/Status", &Nothing {}).await;
            if let Ok(Status { header: Some(header), version, leader }) = asked
                && leader == header.member_id
                && leader != 0
            {
                return Ok((address, version));
            }
        }
        if began.elapsed() > PATIENCE {
            return Err(ClusterError::Waited("etcd has a leader"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl System for Etcd {
    fn name(&self) -> String {
        format!("etcd {}", self.version)
    }

    fn processes(&self) -> Vec<u32> {
        self.members.iter().map(Process::id).collect()
    }

    fn connections(&self, clients: usize) -> BoxFuture<'_, Result<Vec<Arc<dyn Connection>>, ClusterError>> {
        async move {
            let mut connections = Vec::new();
            for _ in 0..clients.min(MOST_CONNECTIONS) {
                connections.push(Arc::new(Channel::open(&self.leader).await?) as Arc<dyn Connection>);
            }
            Ok(connections)
        }
        .boxed()
    }

    fn keys_written_once(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        async move {
            let channel = Channel::open(&self.leader).await?;
            let (mut keys, mut key) = (Vec::new(), prefix.clone().into_bytes());
            // Keys are letters, digits and '-'.
            let range_end = [prefix.as_bytes(), &[0x7f]].concat();
            loop {
                let range = Range { key, range_end: range_end.clone(), limit: PAGE, keys_only: true };
                let Found { pairs, more } = channel.call("KV/Range", &range).await?;
                for pair in pairs {
                    let key = String::from_utf8_lossy(&pair.key).into_owned();
                    if pair.version != 1 {
                        return Err(ClusterError::OtherValue { key });
                    }
                    keys.push(key);
                }
                match keys.last() {
                    Some(last) if more => key = [last.as_bytes(), &[0]].concat(),
                    _ => return Ok(keys),
                }
            }
        }
        .boxed()
    }
}

/// A connection that carries many calls at once.
struct Channel {
    http: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Channel {
    async fn open(address: &str) -> Result<Self, ClusterError> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let (http, connection) = handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.map_err(failed)?;
        // Ends with its last user; what it fails of is seen where it is used.
        tokio::spawn(connection.map(drop));
        Ok(Self { http, authority: address.to_owned() })
    }

    /// One call of gRPC: a message with its length before it, and the same back; the trailers say whether it was done.
    async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        question: &Q,
    ) -> Result<A, ClusterError> {
        let mut body = BytesMut::with_capacity(5 + question.encoded_len());
        body.put_u8(0); // not compressed
        body.put_u32(u32::try_from(question.encoded_len()).map_err(failed)?);
        question.encode(&mut body).map_err(failed)?;
        let request = hyper::Request::post(format!("http://{}/etcdserverpb.{method}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.freeze()))
            .map_err(failed)?;
        let response = self.http.clone().send_request(request).await.map_err(failed)?;
        let early = response.headers().get("grpc-status").cloned();
        let answer = response.into_body().collect().await.map_err(failed)?;
        let status = early.or_else(|| answer.trailers()?.get("grpc-status").cloned());
        if status.as_ref().is_none_or(|status| status != "0") {
            return Err(ClusterError::Peer(format!("etcd: {method} ended with gRPC status {status:?}")));
        }
        let bytes = answer.to_bytes();
        A::decode(bytes.get(5..).unwrap_or_default()).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Peer(format!("etcd: {error}"))
}

impl Connection for Channel {
    fn write(&self, puts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), ClusterError>> {
        async move {
            let put =
                |(key, value): (String, String)| Put { key: key.into_bytes(), value: value.into_bytes() };
            let mut puts: Vec<Put> = puts.into_iter().map(put).collect();
            if puts.len() == 1
                && let Some(put) = puts.pop()
            {
                let Nothing {} = self.call("KV/Put", &put).await?;
                return Ok(());
            }
            let success = puts.into_iter().map(|put| Operation { put: Some(put) }).collect();
            match self.call("KV/Txn", &Transaction { success }).await? {
                Committed { succeeded: true } => Ok(()),
                Committed { succeeded: false } => Err(failed("a transaction without conditions failed")),
            }
        }
        .boxed()
    }

    fn read<'c>(&'c self, key: &'c str) -> BoxFuture<'c, Result<Option<Vec<u8>>, ClusterError>> {
        async move {
            let range = Range { key: key.as_bytes().to_vec(), ..Range::default() };
            let found: Found = self.call("KV/Range", &range).await?;
            Ok(found.pairs.into_iter().next().map(|pair| pair.value))
        }
        .boxed()
    }
}

// The messages of etcd's `rpc.proto`, with the fields that are used.

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    limit: i64,
    #[prost(bool, tag = "8")]
    keys_only: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Found {
    #[prost(message, repeated, tag = "2")]
    pairs: Vec<Pair>,
    #[prost(bool, tag = "3")]
    more: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// How often it was written.
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Transaction {
    #[prost(message, repeated, tag = "2")]
    success: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}

#[derive(Clone, PartialEq, Message)]
struct Committed {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}
