//! A snapshot on its way to another node, over a connection that breaks.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, pending, ready};
use futures_util::stream::BoxStream;
use openraft::network::RPCOption;
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use tensor_chain::replicated::{LogPosition, ProposedWrite, ReplicatedChain, ReplicatedEntry};
use tensor_chain::{ChainConfig, Changeset, NodeId, TensorStore, Transaction};

use super::messages::{ChunkBytes, Request, Response, decode, encode};
use super::network::Network;
use super::snapshots::{Held, Part, Snapshots};
use super::state_machine::describe;
use super::types::{Addresses, RaftNode, Vote};
use crate::api::Peer;
use crate::link::{Answers, Channel, LinkError, PeerLink};

const SENDER: NodeId = NodeId([1; 32]);

/// A receiver of snapshots whose connection breaks before the answer to some requests.
struct Breaking {
    snapshots: Snapshots,
    /// Requests until it breaks.
    left: Mutex<usize>,
    /// What was sent: the part, its offset and its length.
    chunks: Mutex<Vec<(Part, u64, u64)>>,
}

impl Breaking {
    fn answer(&self, request: Request) -> Response {
        match request {
            Request::Offer { digest } => Response::Offer(self.snapshots.offered(SENDER, &digest).unwrap()),
            Request::Chunk { part, offset, bytes: ChunkBytes(bytes) } => {
                self.chunks.lock().unwrap().push((part, offset, bytes.len() as u64));
                self.snapshots.receive(SENDER, part, offset, &bytes).unwrap();
                Response::Chunk
            }
            Request::Install { vote } => Response::Install { vote },
            _ => panic!("not of a snapshot"),
        }
    }
}

impl PeerLink for Breaking {
    fn call(
        &self,
        to: &Peer,
        channel: Channel,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        assert_eq!(channel, Channel::Bulk);
        let answer = encode(&self.answer(decode(&request).unwrap())).unwrap();
        let mut left = self.left.lock().unwrap();
        let lost = LinkError::Lost { node: to.node, reason: "broken".to_owned() };
        let answer = left.checked_sub(1).map(|rest| *left = rest).map(|()| answer).ok_or(lost);
        Box::pin(ready(answer))
    }

    fn stream(
        &self,
        _: &Peer,
        _: Channel,
        _: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Answers, LinkError>> {
        panic!("snapshots are sent a piece at a time")
    }
}

fn open(dir: &Path) -> ReplicatedChain {
    ReplicatedChain::open(TensorStore::open_replicated(dir, 0).unwrap(), ChainConfig::default()).unwrap()
}

/// A snapshot of some megabytes of blocks.
fn snapshot(dir: &Path) -> (ReplicatedChain, Snapshots) {
    let chain = open(dir);
    let at = |index| LogPosition { term: 1, index };
    chain.apply(at(1), &chain.genesis_entry().unwrap()).unwrap();
    for index in 2..12 {
        let put = Transaction::Put { key: format!("key-{index}"), data: vec![7; 500_000] };
        let write = ProposedWrite { changeset: Changeset::single(put).unwrap(), session: None };
        let batch = chain.propose(vec![write], 0).unwrap().unwrap();
        chain.apply(at(index), &ReplicatedEntry::Batch(batch)).unwrap();
    }
    let snapshots = Snapshots::open(dir, &chain).unwrap();
    snapshots.draft(&chain).unwrap().finish().unwrap();
    (chain, snapshots)
}

#[tokio::test]
async fn a_snapshot_goes_on_where_the_connection_broke() {
    let (dir, to_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_chain, own) = snapshot(dir.path());
    let receiver = open(to_dir.path());
    let snapshots = Snapshots::open(to_dir.path(), &receiver).unwrap();
    let link = Arc::new(Breaking { snapshots, left: Mutex::new(0), chunks: Mutex::default() });
    let (node, patience) = (RaftNode::from(SENDER), Duration::from_secs(60));
    let target = RaftNode([2; 32]);
    let mut network = Network { link: Arc::<Breaking>::clone(&link), node, patience };
    let mut connection = network.new_client(target, &Addresses::default()).await;
    let mut send = async || {
        let snapshot = describe(own.current().unwrap().unwrap()).unwrap();
        let option = RPCOption::new(patience);
        connection.full_snapshot(Vote::new_committed(1, node), snapshot, pending(), option).await
    };
    for answered in [0, 1, 3, 2] {
        *link.left.lock().unwrap() = answered;
        assert!(send().await.is_err(), "{answered} answers");
    }
    *link.left.lock().unwrap() = usize::MAX;
    send().await.unwrap();
    let files = own.current().unwrap().unwrap();
    let received = link.snapshots.received(SENDER).unwrap();
    assert_eq!(received.header, files.header);
    // Every byte was sent once.
    let chunks = link.chunks.lock().unwrap().clone();
    assert!(chunks.len() > 5, "{chunks:?}");
    for part in [Part::State, Part::Blocks] {
        let mut end = 0;
        for (_, offset, len) in chunks.iter().filter(|chunk| chunk.0 == part) {
            assert_eq!(*offset, end, "{chunks:?}");
            end += len;
        }
    }
    assert_eq!(link.snapshots.offered(SENDER, &[7; 32]).unwrap(), Held { state: 0, blocks: 0 });
}
