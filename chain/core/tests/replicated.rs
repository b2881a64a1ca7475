//! Chains that grow by one replicated log: the same entries lead every node to the same place, by whatever way.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU64;
use std::path::Path;

use tensor_chain::log::{LOG_FILE_NAME, LogError};
use tensor_chain::replicated::{
    Checkpoint, CheckpointVote, Electorate, EntryOutcome, LogPosition, MembershipChange, ProposedWrite,
    ReplicatedChain, ReplicatedEntry, SessionRequest, SnapshotError, WriteOutcome,
};
use tensor_chain::{
    BlockHash, ChainConfig, ChainError, Changeset, Divergence, Height, Identity, Rejection, StoreError,
    TensorChain, TensorStore, Transaction,
};

/// Heights that are voted on.
const EVERY: NonZeroU64 = NonZeroU64::new(5).unwrap();

fn node(number: u8) -> ReplicatedChain {
    let store = TensorStore::replicated(Identity::from_bytes(&[number; 32]));
    ReplicatedChain::open(store, ChainConfig::default()).unwrap()
}

fn node_in(dir: &Path) -> ReplicatedChain {
    ReplicatedChain::open(TensorStore::open_replicated(dir, 0).unwrap(), ChainConfig::default()).unwrap()
}

const fn at(index: u64) -> LogPosition {
    LogPosition { term: 1, index }
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction::Put { key: key.to_owned(), data: value.into() }
}

fn swap(key: &str, expected: &str, new: &str) -> Transaction {
    Transaction::CompareAndSwap { key: key.to_owned(), expected: Some(expected.into()), new: new.into() }
}

fn write(transaction: Transaction, session: Option<(u64, u64)>) -> ProposedWrite {
    let session = session.map(|(client, sequence)| SessionRequest { client, sequence });
    ProposedWrite { changeset: Changeset::single(transaction).unwrap(), session }
}

fn batch(leader: &ReplicatedChain, writes: Vec<ProposedWrite>) -> ReplicatedEntry {
    ReplicatedEntry::Batch(leader.propose(writes, 0).unwrap().unwrap())
}

fn outcomes(node: &ReplicatedChain, index: u64, entry: &ReplicatedEntry) -> Vec<WriteOutcome> {
    match node.apply(at(index), entry).unwrap() {
        EntryOutcome::Writes(outcomes) => outcomes,
        other => panic!("{other:?}"),
    }
}

/// A leader whose chain has begun, and the log so far.
fn leader() -> (ReplicatedChain, Vec<ReplicatedEntry>) {
    let leader = node(1);
    let genesis = leader.genesis_entry().unwrap();
    assert_eq!(leader.apply(at(1), &genesis).unwrap(), EntryOutcome::Begun);
    (leader, vec![genesis])
}

/// A log of mixed entries, and the node that has applied it.
fn grown() -> (ReplicatedChain, Vec<ReplicatedEntry>) {
    let (leader, mut log) = leader();
    log.push(ReplicatedEntry::Session);
    leader.apply(at(2), &log[1]).unwrap();
    for index in 3..40 {
        let entry = batch(
            &leader,
            vec![
                write(put(&format!("key-{}", index % 7), &format!("{index}")), Some((2, index))),
                write(swap("key-0", "never", "x"), Some((2, 1_000 + index))),
                write(put(&format!("other-{index}"), "x"), None),
            ],
        );
        leader.apply(at(index), &entry).unwrap();
        log.push(entry);
    }
    (leader, log)
}

fn replay(node: &ReplicatedChain, log: &[ReplicatedEntry]) {
    for (index, entry) in (1..).zip(log) {
        node.apply(at(index), entry).unwrap();
    }
}

fn assert_equal(a: &ReplicatedChain, b: &ReplicatedChain) {
    let place = |node: &ReplicatedChain| {
        let chain = node.chain();
        (node.applied().unwrap(), chain.height(), chain.tip_hash(), chain.state_root())
    };
    assert_eq!(place(a), place(b));
}

#[test]
fn the_same_log_leads_every_node_to_the_same_blocks_and_verdicts() {
    let (leader, log) = grown();
    let follower = node(2);
    replay(&follower, &log);
    assert_equal(&leader, &follower);
    // What was turned down is left out of the blocks, and their signatures can still be checked.
    let report = follower.chain().verify_full().unwrap();
    assert_eq!(report.transactions, 2 * 37);
    let mut block = follower.chain().get_tip().unwrap().unwrap();
    assert_eq!(block.omitted.len(), 1);
    let chain_id = follower.chain().params().unwrap().chain_id;
    assert!(block.is_signed(chain_id));
    block.omitted[0].digest[0] ^= 1;
    assert!(!block.is_signed(chain_id));
    block.omitted.clear();
    assert!(!block.is_signed(chain_id));
}

#[test]
fn a_request_is_applied_once_and_answered_alike_every_time() {
    let (leader, _) = leader();
    assert_eq!(leader.apply(at(2), &ReplicatedEntry::Session).unwrap(), EntryOutcome::Session { client: 2 });
    leader.apply(at(3), &batch(&leader, vec![write(put("k", "1"), None)])).unwrap();
    let once = || write(swap("k", "1", "2"), Some((2, 1)));
    // Twice in one entry, and again in a later one.
    let first = outcomes(&leader, 4, &batch(&leader, vec![once(), once()]));
    assert!(
        matches!(&first[0], WriteOutcome::Committed { receipt, log_index: 4 } if receipt.height == Height(2))
    );
    assert_eq!(first[0], first[1]);
    assert_eq!(outcomes(&leader, 5, &batch(&leader, vec![once()])), first[..1]);
    assert_eq!(leader.chain().height(), Height(2));
    // So is a rejection, though it would stand now.
    let refused = || write(swap("k", "3", "4"), Some((2, 2)));
    let found =
        Rejection::ValueDiffers { key: "k".into(), expected: Some(b"3".into()), found: Some(b"2".into()) };
    assert_eq!(
        outcomes(&leader, 6, &batch(&leader, vec![refused()])),
        [WriteOutcome::Rejected(found.clone())]
    );
    leader.apply(at(7), &batch(&leader, vec![write(put("k", "3"), None)])).unwrap();
    assert_eq!(outcomes(&leader, 8, &batch(&leader, vec![refused()])), [WriteOutcome::Rejected(found)]);
    let unknown = batch(&leader, vec![write(put("k", "9"), Some((77, 1)))]);
    assert_eq!(outcomes(&leader, 9, &unknown), [WriteOutcome::SessionExpired]);
    assert_eq!(leader.chain().get("k").unwrap(), Some(b"3".into()));
}

#[test]
fn a_batch_of_another_chain_or_from_the_past_changes_nothing() {
    let (leader, _) = leader();
    let (other, _) = self::leader();
    let foreign = batch(&other, vec![write(put("k", "1"), None)]);
    assert_eq!(outcomes(&leader, 2, &foreign), [WriteOutcome::BadStamp]);
    let early = batch(&leader, vec![write(put("k", "1"), None)]);
    let later = leader.propose(vec![write(put("k", "2"), None)], u64::MAX / 2).unwrap().unwrap();
    leader.apply(at(3), &ReplicatedEntry::Batch(later)).unwrap();
    assert_eq!(outcomes(&leader, 4, &early), [WriteOutcome::BadStamp]);
    assert_eq!(leader.applied().unwrap(), Some(at(4)));
    assert_eq!(leader.chain().get("k").unwrap(), Some(b"2".into()));
}

#[test]
fn installing_a_snapshot_is_the_same_as_replaying_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let leader = node_in(dir.path());
    let (_, log) = grown();
    leader.advance(at(0), Some(members(b"first"))).unwrap();
    replay(&leader, &log);
    leader.advance(at(40), Some(members(b"members"))).unwrap();
    // One is final, and another has a vote.
    let votes = [(1, 5), (2, 5), (3, 10)].map(|(number, height)| vote(&leader, number, height));
    for (index, vote) in (41..).zip(&votes) {
        leader.apply(at(index), vote).unwrap();
    }
    assert_eq!(leader.finalized().map(|checkpoint| checkpoint.height), Some(Height(5)));
    let mut snapshot = Vec::new();
    let header = leader.write_snapshot(&mut snapshot).unwrap();
    leader.sync().unwrap();

    // From nothing, and from half of the log.
    let (fresh, behind, replayed) = (node(2), node(3), node(4));
    for node in [&behind, &replayed] {
        node.advance(at(0), Some(members(b"first"))).unwrap();
    }
    replay(&behind, &log[..20]);
    replay(&replayed, &log);
    replayed.advance(at(40), Some(members(b"members"))).unwrap();
    for (index, vote) in (41..).zip(&votes) {
        replayed.apply(at(index), vote).unwrap();
    }
    for follower in [&fresh, &behind] {
        assert_eq!(follower.install_snapshot(&snapshot[..], Some(dir.path())).unwrap(), header);
        assert_equal(&leader, follower);
        assert_eq!(follower.membership().unwrap(), Some(b"members".to_vec()));
        assert_eq!(follower.finalized(), leader.finalized());
        follower.chain().verify_full().unwrap();
    }
    // The vote that came with the snapshot counts.
    let decisive = vote(&leader, 1, 10);
    for node in [&leader, &fresh, &behind, &replayed] {
        node.apply(at(44), &decisive).unwrap();
        assert_eq!(node.finalized().map(|checkpoint| checkpoint.height), Some(Height(10)));
    }
    for index in 45..1_045 {
        if index % 100 == 0 {
            let entry = vote(&leader, (index / 100 % 3) as u8 + 1, 20 + index / 300 * 50);
            for node in [&leader, &fresh, &behind, &replayed] {
                assert_eq!(node.apply(at(index), &entry).unwrap(), EntryOutcome::Vote);
            }
            continue;
        }
        let session = Some((2, if index % 3 == 0 { 10 } else { index }));
        let entry = batch(&leader, vec![write(put("k", &index.to_string()), session)]);
        let answers = outcomes(&leader, index, &entry);
        for node in [&fresh, &behind, &replayed] {
            assert_eq!(outcomes(node, index, &entry), answers);
        }
    }
    assert_eq!(leader.finalized().map(|checkpoint| checkpoint.height), Some(Height(170)));
    assert_eq!(fresh.finalized(), leader.finalized());
    assert_equal(&leader, &fresh);
    assert_equal(&leader, &behind);
    let again = |node: &ReplicatedChain| {
        let mut bytes = Vec::new();
        node.write_snapshot(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(again(&fresh), again(&behind));
    assert_eq!(again(&fresh), again(&replayed));
}

/// Nodes 1 to 3 as voters.
fn members(record: &[u8]) -> MembershipChange {
    let voters = (1..=3).map(|number| Identity::from_bytes(&[number; 32]).node_id()).collect();
    MembershipChange { record: record.to_vec(), electorate: Electorate::new(vec![voters]) }
}

fn vote_of(of: &ReplicatedChain, number: u8, checkpoint: Checkpoint) -> ReplicatedEntry {
    let chain_id = of.chain().params().unwrap().chain_id;
    ReplicatedEntry::Vote(CheckpointVote::sign(&Identity::from_bytes(&[number; 32]), chain_id, checkpoint))
}

/// What a node says that has the same chain as this one, whose voters have been voting from the start.
fn vote(of: &ReplicatedChain, number: u8, height: u64) -> ReplicatedEntry {
    let block_hash = of.chain().get_block(Height(height)).unwrap().unwrap().hash();
    vote_of(of, number, Checkpoint { height: Height(height), block_hash, epoch: 0 })
}

/// A node in a directory that has applied a log with voters, and the index of the next entry.
fn grown_in(dir: &Path) -> (ReplicatedChain, u64) {
    let node = node_in(dir);
    node.advance(at(0), Some(members(b""))).unwrap();
    let (_, log) = grown();
    replay(&node, &log);
    (node, log.len() as u64 + 1)
}

#[test]
fn a_voter_votes_on_every_checkpoint_once_and_not_on_what_is_final() {
    let (_, log) = grown();
    let (voter, learner) = (node(1), node(7));
    for node in [&voter, &learner] {
        node.advance(at(0), Some(members(b""))).unwrap();
        replay(node, &log);
    }
    assert_eq!(learner.next_vote(EVERY, Height(0)).unwrap(), None);
    let height = |above| {
        let vote = voter.next_vote(EVERY, Height(above)).unwrap();
        vote.map(|vote| vote.checkpoint().height.0)
    };
    assert_eq!([0, 4, 5, 34, 35].map(height), [Some(5), Some(5), Some(10), Some(35), None]);
    let own = voter.next_vote(EVERY, Height(0)).unwrap().unwrap();
    assert_eq!(own.checkpoint().block_hash, voter.chain().get_block(Height(5)).unwrap().unwrap().hash());
    voter.apply(at(40), &ReplicatedEntry::Vote(own)).unwrap();
    assert_eq!(height(0), Some(10), "it has voted on 5");
    for (index, number) in (41..).zip([2, 3]) {
        voter.apply(at(index), &vote(&voter, number, 20)).unwrap();
    }
    assert_eq!(height(0), Some(25), "20 is final");
    assert_eq!(voter.chain().height(), Height(37), "a vote makes no block");
}

#[test]
fn a_node_with_another_block_than_the_voters_signed_is_out_of_use_for_good() {
    let another = BlockHash([7; 32]);
    // Another block than its own, and one above its own tip.
    for height in [Height(5), Height(100)] {
        let dir = tempfile::tempdir().unwrap();
        let (node, next) = grown_in(dir.path());
        let checkpoint = Checkpoint { height, block_hash: another, epoch: 0 };
        assert_eq!(node.apply(at(next), &vote_of(&node, 2, checkpoint)).unwrap(), EntryOutcome::Vote);
        let (tip, here) = (node.chain().tip_hash(), node.chain().get_block(height).ok().flatten());
        let expected = Divergence { height, signed: another, here: here.map(|block| block.hash()) };
        let Err(ChainError::Diverged(divergence)) = node.apply(at(next + 1), &vote_of(&node, 3, checkpoint))
        else {
            panic!("not noticed at {height}");
        };
        assert_eq!(divergence, expected);
        assert_eq!(node.chain().store().divergence(), Some(&expected));
        assert_eq!((node.applied().unwrap(), node.chain().tip_hash()), (Some(at(next)), tip));
        drop(node);
        let Err(StoreError::Quarantined { reason, .. }) = TensorStore::open_replicated(dir.path(), 0) else {
            panic!("opened again at {height}");
        };
        assert!(reason.contains(&expected.to_string()), "{reason}");
        // Reading is no voting.
        TensorChain::new(TensorStore::open(dir.path()).unwrap(), "reader").initialize().unwrap();
    }
}

#[test]
fn a_snapshot_of_another_chain_than_the_voters_signed_here_is_not_installed() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, log) = grown();
    let leader = node_in(dir.path());
    leader.advance(at(0), Some(members(b""))).unwrap();
    replay(&leader, &log);
    for (index, number) in (40..).zip([1, 2]) {
        leader.apply(at(index), &vote(&leader, number, 10)).unwrap();
    }
    leader.sync().unwrap();
    let mut snapshot = Vec::new();
    leader.write_snapshot(&mut snapshot).unwrap();
    let other = node_in(other_dir.path());
    replay(&other, &log[..10]);
    while other.chain().height() < Height(12) {
        let index = other.applied().unwrap().unwrap().index + 1;
        outcomes(&other, index, &batch(&other, vec![write(put("k", "other"), None)]));
    }
    let refused = other.install_snapshot(&snapshot[..], Some(dir.path()));
    assert!(matches!(refused, Err(SnapshotError::Chain(ChainError::Diverged(_)))), "{refused:?}");
    drop(other);
    let refused = TensorStore::open_replicated(other_dir.path(), 0);
    assert!(matches!(refused, Err(StoreError::Quarantined { .. })));
}

#[test]
fn a_damaged_snapshot_is_not_installed() {
    let dir = tempfile::tempdir().unwrap();
    let leader = node_in(dir.path());
    replay(&leader, &grown().1);
    let mut snapshot = Vec::new();
    leader.write_snapshot(&mut snapshot).unwrap();
    for position in (0..snapshot.len()).step_by(7) {
        let mut damaged = snapshot.clone();
        damaged[position] ^= 0x10;
        let follower = node(2);
        assert!(follower.install_snapshot(&damaged[..], Some(dir.path())).is_err(), "at {position}");
        assert_eq!(follower.applied().unwrap(), None);
    }
    let cut = &snapshot[..snapshot.len() - 1];
    assert!(matches!(node(2).install_snapshot(cut, Some(dir.path())), Err(SnapshotError::Io(_))));
}

#[test]
fn without_its_index_a_node_goes_the_same_way_again_past_its_own_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (leader, log) = grown();
    let follower = node_in(dir.path());
    replay(&follower, &log);
    drop(follower);
    let follower = node_in(dir.path());
    assert_equal(&leader, &follower);
    drop(follower);

    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let follower = node_in(dir.path());
    assert_eq!((follower.applied().unwrap(), follower.chain().height()), (None, Height::GENESIS));
    replay(&follower, &log[..30]);
    // Another entry than before would lead to another block than the one that is there.
    let other = batch(&follower, vec![write(put("k", "other"), None)]);
    let Err(ChainError::StorageError(error)) = follower.apply(at(31), &other) else { panic!() };
    assert!(matches!(*error, StoreError::OtherBlock { .. }), "{error}");
    for (index, entry) in (31..).zip(&log[30..]) {
        follower.apply(at(index), entry).unwrap();
    }
    assert_equal(&leader, &follower);
    follower.close().unwrap();
    drop(follower);
    TensorChain::new(TensorStore::open(dir.path()).unwrap(), "verifier").initialize().unwrap();
}

#[test]
fn a_chain_is_either_a_clusters_or_its_own() {
    let (leader, _) = leader();
    assert!(matches!(leader.chain().put("k", "v"), Err(ChainError::Replicated)));
    let dir = tempfile::tempdir().unwrap();
    drop(node_in(dir.path()));
    let chain = TensorChain::new(TensorStore::open(dir.path()).unwrap(), "embedded");
    assert!(matches!(chain.initialize(), Err(ChainError::NotInitialized)), "it begins with the cluster");

    let dir = tempfile::tempdir().unwrap();
    TensorChain::new(TensorStore::open(dir.path()).unwrap(), "embedded").initialize().unwrap();
    assert!(matches!(TensorStore::open_replicated(dir.path(), 0), Err(StoreError::NotReplicated { .. })));
}

#[test]
fn what_a_power_loss_did_to_blocks_that_were_not_synced_is_taken_away_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (leader, log) = grown();
    let follower = node_in(dir.path());
    replay(&follower, &log[..20]);
    follower.sync().unwrap();
    let mut snapshot = Vec::new();
    let synced_len = follower.write_snapshot(&mut snapshot).unwrap().tip.unwrap().log_len;
    for (index, entry) in (21..).zip(&log[20..]) {
        follower.apply(at(index), entry).unwrap();
    }
    drop(follower);
    let file = dir.path().join(LOG_FILE_NAME);
    let sound = std::fs::read(&file).unwrap();
    let with_damage_at = |offset: u64| {
        let mut damaged = sound.clone();
        damaged[offset as usize] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        TensorStore::open_replicated(dir.path(), synced_len)
    };
    for below in [synced_len - 1, synced_len / 2] {
        let refused = with_damage_at(below).unwrap_err();
        assert!(matches!(refused, StoreError::Log(LogError::Corrupt { .. })), "{refused}");
    }
    // Many sound blocks follow the broken one, as on a disk that wrote them first.
    let store = with_damage_at(synced_len + 40).unwrap();
    assert_eq!(store.torn_tail().unwrap().offset, synced_len);
    let follower = ReplicatedChain::open(store, ChainConfig::default()).unwrap();
    follower.install_snapshot(&snapshot[..], None).unwrap();
    for (index, entry) in (21..).zip(&log[20..]) {
        follower.apply(at(index), entry).unwrap();
    }
    assert_equal(&leader, &follower);
}
