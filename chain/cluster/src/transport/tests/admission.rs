//! Who is let in, by either end.

use rustls::{ClientConfig, RootCertStore};
use tensor_chain::encoding::Encode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::hello::{Answer, Hello, Refusal};
use super::super::tls;
use super::*;

fn assert_unreachable(answer: Result<Bytes, LinkError>, because: &str) {
    match answer {
        Err(LinkError::Unreachable { reason, .. }) => assert!(reason.contains(because), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_not_known_is_turned_away() {
    let (stranger, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[3], Echo).await);
    assert_unreachable(soon(stranger.call(&b.peer, "hello")).await, "handshake");
    b.known.set([id(1)]);
    let again = Node::start(1, &[], Echo).await; // one that need not pause
    assert_eq!(soon(again.call(&b.peer, "hello")).await, Ok(Bytes::from("hello")));
}

#[tokio::test]
async fn who_holds_another_key_than_the_one_dialled_is_left() {
    let (a, c) = (Node::start(1, &[], Echo).await, Node::start(3, &[1], Echo).await);
    // C is sound and knows A, but it is not B.
    let impostor = Peer { node: id(2), ..c.peer.clone() };
    assert_unreachable(soon(a.call(&impostor, "hello")).await, "handshake");
    assert_eq!(soon(a.call(&c.peer, "hello")).await, Ok(Bytes::from("hello")));
}

#[tokio::test]
async fn another_cluster_is_refused_by_name() {
    let a = Node::start(1, &[], Echo).await;
    let config = TransportConfig::default();
    let b = Node::start_with(2, &[1], Echo, ANYWHERE, ChainId([2; 32]), config).await;
    assert_unreachable(soon(a.call(&b.peer, "hello")).await, "another cluster");
}

#[tokio::test]
async fn a_hello_meant_for_or_said_by_another_is_refused() {
    let b = Node::start(2, &[1], Echo).await;
    let hello = Hello { cluster: CLUSTER, from: id(1), to: id(2), channel: Channel::Urgent };
    for (hello, answer) in [
        (hello, Answer::Welcome),
        (Hello { to: id(3), ..hello }, Answer::Refused(Refusal::Addressee)),
        (Hello { from: id(3), ..hello }, Answer::Refused(Refusal::Sender)),
    ] {
        let connector = TlsConnector::from(tls::client_config(&identity(1), id(2)).unwrap());
        let tcp = TcpStream::connect(&b.peer.peer_address).await.unwrap();
        let mut stream = soon(connector.connect(tls::server_name(), tcp)).await.unwrap();
        stream.write_all(&hello.to_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(soon(stream.read_u8()).await.unwrap(), answer.to_byte());
        if answer != Answer::Welcome {
            assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0, "closed");
        }
    }
}

#[tokio::test]
async fn who_leaves_the_cluster_loses_its_connections() {
    let (a, stuck) = (Node::start(1, &[], Echo).await, Stuck::default());
    let watched = Stuck(Arc::clone(&stuck.0));
    let b = Node::start(2, &[1], stuck).await;
    let call = tokio::spawn(a.transport.call(&b.peer, Channel::Urgent, Bytes::from("hello")));
    soon(watched.until(1)).await;
    b.known.set([]);
    assert!(matches!(soon(call).await.unwrap(), Err(LinkError::Lost { .. })));
    soon(watched.until(0)).await;
}

/// Dials with a TLS of its own and returns whether the listener let it in.
async fn is_let_in(to: &Node, config: ClientConfig) -> bool {
    let tcp = TcpStream::connect(&to.peer.peer_address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let Ok(mut stream) = soon(connector.connect(tls::server_name(), tcp)).await else { return false };
    let hello = Hello { cluster: CLUSTER, from: id(1), to: id(2), channel: Channel::Urgent };
    let said = async {
        stream.write_all(&hello.to_bytes()).await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    soon(said).await.is_ok()
}

#[tokio::test]
async fn who_presents_no_key_or_a_certificate_is_turned_away() {
    let b = Node::start(2, &[1], Echo).await;
    let own = tls::client_config(&identity(1), id(2)).unwrap();
    assert!(is_let_in(&b, (*own).clone()).await);

    let mut keyless = (*own).clone();
    keyless.client_auth_cert_resolver = Arc::new(NoKey);
    assert!(!is_let_in(&b, keyless).await);

    let mut other_protocol = (*own).clone();
    other_protocol.alpn_protocols = vec![b"tensorchain-peer/0".to_vec()];
    assert!(!is_let_in(&b, other_protocol).await);

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    assert!(!is_let_in(&b, certificates).await);
}

/// Has nothing to show.
#[derive(Debug)]
struct NoKey;

impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn what_is_not_tls_1_3_is_turned_away() {
    let b = Node::start(2, &[1], Echo).await;
    let said = async |bytes: &[u8]| {
        let mut tcp = TcpStream::connect(&b.peer.peer_address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon(tcp.read_to_end(&mut answer)).await; // the end may be a reset
        answer
    };
    // Plain text gets an alert and no more.
    let answer = said(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.len() <= 7, "{answer:?}");
    // A hello of TLS 1.2 (RFC 5246, 7.4.1.2): version, random, no session, one suite, no compression, extensions
    // for Ed25519 and X25519. What comes back is the alert `protocol_version`.
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0xc0, 0x2b, 1, 0],
        &[0, 16, 0, 13, 0, 4, 0, 2, 8, 7, 0, 10, 0, 4, 0, 2, 0, 29],
    ]
    .concat();
    let length = body.len() as u8;
    let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let answer = said(&hello).await;
    assert_eq!(answer.last_chunk(), Some(&[2, 70]), "{answer:?}");
}
