//! Peers that die, hang, flood or talk nonsense.

use bytes::{BufMut, BytesMut};
use tensor_chain::encoding::Encode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::hello::Hello;
use super::super::tls;
use super::*;

async fn restarted(b: Node, others: &[u8]) -> Node {
    b.transport.shutdown().await;
    Node::start_with(2, others, Echo, &b.peer.peer_address, CLUSTER, TransportConfig::default()).await
}

#[tokio::test]
async fn a_peer_that_restarts_is_reached_again() {
    let (a, b) = (Node::start(1, &[2], Echo).await, Node::start(2, &[1], Echo).await);
    let hello = Ok(Bytes::from("hello"));
    assert_eq!(soon(a.call(&b.peer, "hello")).await, hello);
    let b = restarted(b, &[1]).await;
    let reached = async {
        while a.call(&b.peer, "hello").await != hello {
            tokio::task::yield_now().await;
        }
    };
    soon(reached).await;
}

#[tokio::test]
async fn a_peer_that_is_heard_from_is_reached_at_once() {
    let patient = TransportConfig { backoff_min: Duration::from_secs(3_600), ..slow_to_retry() };
    let a = Node::start_with(1, &[2], Echo, ANYWHERE, CLUSTER, patient).await;
    let b = Node::start(2, &[1], Echo).await;
    b.transport.shutdown().await;
    assert!(matches!(soon(a.call(&b.peer, "hello")).await, Err(LinkError::Unreachable { .. })));
    let b = restarted(b, &[1]).await;
    assert!(matches!(soon(a.call(&b.peer, "hello")).await, Err(LinkError::Unreachable { .. })), "pausing");
    soon(b.call(&a.peer, "here I am")).await.unwrap();
    assert_eq!(soon(a.call(&b.peer, "hello")).await, Ok(Bytes::from("hello")));
}

fn slow_to_retry() -> TransportConfig {
    TransportConfig { backoff_max: Duration::from_secs(3_600), ..TransportConfig::default() }
}

#[tokio::test]
async fn a_peer_that_hangs_holds_up_nobody_else() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    // The system accepts, and then nobody says anything.
    let hanging = std::net::TcpListener::bind(ANYWHERE).unwrap();
    let hanging = peer(3, hanging.local_addr().unwrap());
    tokio::select! {
        answer = a.call(&hanging, "hello") => panic!("{answer:?}"),
        answer = a.call(&b.peer, "hello") => assert_eq!(answer, Ok(Bytes::from("hello"))),
    }
}

#[tokio::test]
async fn a_peer_that_hangs_in_the_handshake_is_given_up() {
    let config = TransportConfig { handshake_timeout: Duration::from_millis(50), ..slow_to_retry() };
    let a = Node::start_with(1, &[], Echo, ANYWHERE, CLUSTER, config).await;
    let hanging = std::net::TcpListener::bind(ANYWHERE).unwrap();
    let hanging = peer(3, hanging.local_addr().unwrap());
    let answer = soon(a.call(&hanging, "hello")).await;
    assert!(
        matches!(&answer, Err(LinkError::Unreachable { reason, .. }) if reason.contains("50 ms")),
        "{answer:?}"
    );
    // And so is a caller.
    let mut silent = TcpStream::connect(&a.peer.peer_address).await.unwrap();
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_caller_less_patient_than_a_handshake_gets_the_connection_next_time() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    {
        let mut call = std::pin::pin!(a.call(&b.peer, "hello"));
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    assert_eq!(a.transport.context.tasks.len(), 2, "the listener and the attempt");
    assert_eq!(soon(a.call(&b.peer, "hello")).await, Ok(Bytes::from("hello")));
}

#[tokio::test]
async fn a_flood_of_silent_connections_keeps_no_peer_out() {
    let patient =
        TransportConfig { handshake_timeout: Duration::from_secs(3_600), ..TransportConfig::default() };
    let a = Node::start(1, &[], Echo).await;
    let b = Node::start_with(2, &[1], Echo, ANYWHERE, CLUSTER, patient).await;
    let mut flood = Vec::new();
    for _ in 0..300 {
        flood.push(TcpStream::connect(&b.peer.peer_address).await.unwrap());
    }
    assert_eq!(soon(a.call(&b.peer, "hello")).await, Ok(Bytes::from("hello")));
    // The oldest had to go.
    assert!(matches!(soon(flood[0].read(&mut [0])).await, Ok(0) | Err(_)));
}

/// A peer with a sound key that has said hello, and will now say what a test wants.
async fn welcomed(to: &Node) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(tls::client_config(&identity(1), to.peer.node).unwrap());
    let tcp = TcpStream::connect(&to.peer.peer_address).await.unwrap();
    let mut stream = soon(connector.connect(tls::server_name(), tcp)).await.unwrap();
    let hello = Hello { cluster: CLUSTER, from: id(1), to: to.peer.node, channel: Channel::Bulk };
    stream.write_all(&hello.to_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0);
    stream
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_and_no_other() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    let hello = Ok(Bytes::from("hello"));
    let frame = |length: u32, rest: &[u8]| {
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(length);
        bytes.put_slice(rest);
        bytes
    };
    for nonsense in [
        frame(0, &[]),                        // shorter than a header
        frame(u32::MAX, &[]),                 // longer than any message
        frame(13, &[0; 13]),                  // of another cluster
        BytesMut::from(&noise(4_096, 5)[..]), // anything
    ] {
        let mut stream = welcomed(&b).await;
        stream.write_all(&nonsense).await.unwrap();
        stream.flush().await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await; // the end, however abrupt
        assert_eq!(soon(a.call(&b.peer, "hello")).await, hello);
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_but_not_before_it_was_given_signs_of_life() {
    let config = TransportConfig {
        keep_alive: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(200),
        ..TransportConfig::default()
    };
    let b = Node::start_with(2, &[1], Echo, ANYWHERE, CLUSTER, config).await;
    let mut stream = welcomed(&b).await;
    let mut signs = Vec::new();
    let _ = soon(stream.read_to_end(&mut signs)).await;
    assert!(!signs.is_empty() && signs.len() % 17 == 0, "{} bytes", signs.len());
}

#[tokio::test]
async fn two_nodes_that_have_nothing_to_say_stay_connected() {
    let config = TransportConfig {
        keep_alive: Duration::from_millis(5),
        idle_timeout: Duration::from_secs(2),
        ..TransportConfig::default()
    };
    let stuck = Stuck::default();
    let watched = Stuck(Arc::clone(&stuck.0));
    let a = Node::start_with(1, &[], Echo, ANYWHERE, CLUSTER, config).await;
    let b = Node::start_with(2, &[1], stuck, ANYWHERE, CLUSTER, config).await;
    let call = a.call(&b.peer, "hello");
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        // As long as it takes B to give up, one after the other, two peers that fall silent.
        () = async {
            for _ in 0..2 {
                let _ = welcomed(&b).await.read_to_end(&mut Vec::new()).await;
            }
        } => {}
    }
    soon(watched.until(0)).await;
}

#[tokio::test]
async fn who_shuts_down_lets_go_of_everything() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    soon(a.call(&b.peer, "hello")).await.unwrap();
    soon(b.transport.shutdown()).await;
    assert!(b.transport.context.tasks.is_empty());
    assert!(soon(a.call(&b.peer, "hello")).await.is_err());
    assert!(matches!(soon(b.call(&a.peer, "hello")).await, Err(LinkError::Unreachable { .. })));
}
