//! Every public decoder against bytes that were cut, altered or made up: what decodes encodes to the very same
//! bytes, nothing panics, and nothing takes more memory than a fixed multiple of the input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use common::{chain, delta, put};
use proptest::prelude::*;
use tensor_chain::encoding::{Decode, Encode};
use tensor_chain::replicated::{
    CheckpointVote, Electorate, LogPosition, MembershipChange, ProposedWrite, ReplicatedChain,
    ReplicatedEntry, SnapshotHeader,
};
use tensor_chain::state_tree::StateProof;
use tensor_chain::{
    Block, BlockHeader, ChainConfig, ChainParams, Changeset, GlobalCodebook, Height, Identity, KeyProof,
    TensorStore, Transaction,
};
use tensor_kernels::{DeltaSum, DeltaVector};
use tensor_tests::allocation::{Counting, peak_bytes};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A decoder by name: the bytes that what it read encodes to, if it read something.
type Decoder = (&'static str, fn(&[u8]) -> Option<Vec<u8>>);

fn reencode<T: Decode + Encode>(bytes: &[u8]) -> Option<Vec<u8>> {
    T::from_bytes(bytes).ok().map(|value| value.to_bytes())
}

const DECODERS: [Decoder; 12] = [
    ("Block", reencode::<Block>),
    ("BlockHeader", reencode::<BlockHeader>),
    ("Changeset", reencode::<Changeset>),
    ("Transaction", reencode::<Transaction>),
    ("DeltaVector", reencode::<DeltaVector>),
    ("DeltaSum", reencode::<DeltaSum>),
    ("ChainParams", reencode::<ChainParams>),
    ("GlobalCodebook", reencode::<GlobalCodebook>),
    ("StateProof", reencode::<StateProof>),
    ("KeyProof", reencode::<KeyProof>),
    ("CheckpointVote", reencode::<CheckpointVote>),
    ("SnapshotHeader", reencode::<SnapshotHeader>),
];

/// Decodes and checks what must hold for any bytes at all. Returns whether they are a value.
fn check((name, decode): Decoder, bytes: &[u8]) -> bool {
    let (reencoded, peak) = peak_bytes(|| decode(bytes));
    if let Some(reencoded) = &reencoded {
        assert_eq!(reencoded, bytes, "{name}: two encodings of one value");
    }
    // The widest item is an operation: about 100 bytes in memory from 3 of input, in a list that grows by doubling.
    let allowed = 150 * bytes.len() + 16_384;
    assert!(peak <= allowed, "{name}: {peak} bytes held for {} bytes of input", bytes.len());
    reencoded.is_some()
}

/// An example of each value, with every part that it can have.
fn samples() -> Vec<(Decoder, Vec<u8>)> {
    let vector = delta(&[0.5, 0.0, -1.0, 0.25]);
    let key = |key: &str| key.to_owned();
    let operations = vec![
        put("put", "value"),
        Transaction::Update { key: key("put"), data: vec![2; 9] },
        Transaction::Embed { key: key("embed"), vector: vector.clone() },
        Transaction::CompareAndSwap { key: key("cas"), expected: None, new: vec![3] },
        Transaction::CompareAndSwap { key: key("cas"), expected: Some(vec![3]), new: vec![4] },
        Transaction::Delete { key: key("absent") },
    ];
    let reads = BTreeSet::from([key("a"), key("b")]);
    let changeset = Changeset::new(Some(Height(3)), reads, operations.clone(), Some(vector.clone())).unwrap();

    let chain = chain();
    let workspace = chain.begin().unwrap();
    workspace.get("put").unwrap();
    operations.iter().for_each(|operation| workspace.add_operation(operation.clone()).unwrap());
    workspace.set_delta(vector.clone()).unwrap();
    chain.commit(Arc::clone(&workspace)).unwrap();
    let block = chain.get_tip().unwrap().unwrap();
    let proof = chain.prove("embed").unwrap();
    // A proof is its header and what the state says.
    let state_proof = proof.to_bytes().split_off(proof.header().to_bytes().len());
    let book = GlobalCodebook::from_centroids_with_labels(
        vec![vec![0.0, 1.0], vec![0.5, -0.25]],
        vec![key("up"), key("right")],
    );
    let (vote, header) = vote_and_header();
    let values = [
        block.to_bytes(),
        block.header.to_bytes(),
        changeset.to_bytes(),
        operations[4].to_bytes(),
        vector.to_bytes(),
        block.header.delta.to_bytes(),
        chain.params().unwrap().to_bytes(),
        book.unwrap().to_bytes(),
        state_proof,
        proof.to_bytes(),
        vote.to_bytes(),
        header.to_bytes(),
    ];
    DECODERS.into_iter().zip(values).collect()
}

/// A vote, and the header of a snapshot with what it made final.
fn vote_and_header() -> (CheckpointVote, SnapshotHeader) {
    let identity = Identity::from_bytes(&[1; 32]);
    let voters = Electorate::new(vec![BTreeSet::from([identity.node_id()]); 2]);
    let store = TensorStore::replicated(identity);
    let node = ReplicatedChain::open(store, ChainConfig::default()).unwrap();
    let at = |index| LogPosition { term: 1, index };
    node.advance(at(1), Some(MembershipChange { record: vec![7; 3], electorate: voters })).unwrap();
    node.apply(at(2), &node.genesis_entry().unwrap()).unwrap();
    let write = ProposedWrite { changeset: Changeset::single(put("put", "value")).unwrap(), session: None };
    let batch = node.propose(vec![write], 0).unwrap().unwrap();
    node.apply(at(3), &ReplicatedEntry::Batch(batch)).unwrap();
    let vote = node.next_vote(NonZeroU64::MIN, Height(0)).unwrap().unwrap();
    node.apply(at(4), &ReplicatedEntry::Vote(vote.clone())).unwrap();
    assert_eq!(node.finalized(), Some(vote.checkpoint()));
    (vote, node.write_snapshot(Vec::new()).unwrap())
}

#[test]
fn every_value_comes_back_and_no_prefix_of_it_does() {
    for (decoder, bytes) in samples() {
        assert!(check(decoder, &bytes), "{} does not come back", decoder.0);
        for len in 0..bytes.len() {
            assert!(!check(decoder, &bytes[..len]), "{}: the first {len} bytes are a value", decoder.0);
        }
    }
}

#[test]
fn every_altered_byte_is_refused_or_makes_another_value() {
    for (decoder, bytes) in samples() {
        for position in 0..bytes.len() {
            let mut altered = bytes.clone();
            for byte in (0..=u8::MAX).filter(|&byte| byte != bytes[position]) {
                altered[position] = byte;
                check(decoder, &altered);
            }
        }
    }
}

/// Wherever a length may stand, one is declared that no input could keep.
#[test]
fn declared_lengths_reserve_nothing() {
    for (decoder, bytes) in samples() {
        for position in 0..bytes.len() {
            for declared in [1_u64 << 16, 1 << 20, 1 << 32, 1 << 50, u64::MAX] {
                let mut length = tensor_chain::encoding::Writer::new();
                length.varint(declared);
                for replaced in [1, length.as_bytes().len()] {
                    let rest = bytes.get(position + replaced..).unwrap_or_default();
                    check(decoder, &[&bytes[..position], length.as_bytes(), rest].concat());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn made_up_bytes_are_refused_or_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for decoder in DECODERS {
            check(decoder, &bytes);
        }
    }

    /// Many small items: the worst ratio of memory to input.
    #[test]
    fn lists_of_the_smallest_items_stay_in_bounds(
        head in proptest::collection::vec(0..4_u8, 0..6),
        count in 1..16_000_u64,
        item in proptest::collection::vec(0..3_u8, 1..4),
    ) {
        let mut writer = tensor_chain::encoding::Writer::new();
        writer.raw(&head);
        writer.varint(count);
        (0..count).for_each(|_| writer.raw(&item));
        for decoder in DECODERS {
            check(decoder, writer.as_bytes());
        }
    }
}
