//! Which blocks are final: those that a quorum of the voters has signed.
//!
//! It is part of the replicated state and moves by the entries of the log alone, never by what this node's own chain
//! holds: a node whose chain differs counts the same votes as all others, and so finds out.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::{Checkpoint, CheckpointVote};
use crate::block::{decode_list, encode_list};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::ids::{ChainId, Height, NodeId};

/// Checkpoints whose votes are kept. Of more the lowest goes, because a later one makes it final too.
pub(super) const MAX_CHECKPOINTS: usize = 16;
/// Sets of voters that are kept. Of more the oldest goes, for the same reason.
const MAX_EPOCHS: usize = 32;

/// Who votes: one set, or two while one takes over from the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Electorate {
    sets: Vec<BTreeSet<NodeId>>,
}

impl Electorate {
    /// The voters of these sets. All of them have to agree.
    #[must_use]
    pub const fn new(sets: Vec<BTreeSet<NodeId>>) -> Self {
        Self { sets }
    }

    /// Whether a node votes.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.sets.iter().any(|set| set.contains(&node))
    }

    /// Whether these are a majority of each set.
    #[must_use]
    pub fn is_quorum(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let majority = |set: &BTreeSet<NodeId>| 2 * set.intersection(nodes).count() > set.len();
        !self.sets.is_empty() && self.sets.iter().all(majority)
    }
}

/// Voters, and from where on they vote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Epoch {
    /// Index of the log entry that made them voters.
    number: u64,
    /// The first height that a block could have after that entry.
    from: Height,
    electorate: Electorate,
}

/// The votes so far and what they came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finality {
    finalized: Option<Checkpoint>,
    /// Ascending by number and by height, no two from the same height on.
    epochs: Vec<Epoch>,
    votes: BTreeMap<Height, BTreeMap<NodeId, CheckpointVote>>,
}

impl Finality {
    /// The highest checkpoint that a quorum has signed. It never goes back.
    #[must_use]
    pub const fn finalized(&self) -> Option<Checkpoint> {
        self.finalized
    }

    /// Notes who votes from a height on, if that has changed.
    pub(super) fn begin_epoch(&mut self, number: u64, from: Height, electorate: Electorate) {
        if self.epochs.last().is_some_and(|last| last.electorate == electorate) {
            return;
        }
        // Voters who were replaced before there was a block have none to vote on.
        self.epochs.pop_if(|last| last.from == from);
        self.epochs.push(Epoch { number, from, electorate });
        if self.epochs.len() > MAX_EPOCHS {
            self.epochs.remove(0);
        }
    }

    /// The number of the epoch that a height belongs to, if this node votes in it.
    pub(super) fn epoch_of_voter(&self, height: Height, node: NodeId) -> Option<u64> {
        epoch_at(&self.epochs, height)
            .filter(|epoch| epoch.electorate.contains(node))
            .map(|epoch| epoch.number)
    }

    /// Whether the vote of a node on a height is counted.
    pub(super) fn has_voted(&self, node: NodeId, height: Height) -> bool {
        self.votes.get(&height).is_some_and(|votes| votes.contains_key(&node))
    }

    /// Counts a vote and returns the checkpoint that it makes final, if it does. The first vote of a node on a height
    /// counts; one that is not signed, or not by one of those who vote on that height, does not.
    pub(super) fn count(&mut self, chain: ChainId, vote: &CheckpointVote) -> Option<Checkpoint> {
        let checkpoint = vote.checkpoint();
        let height = checkpoint.height;
        let epoch = epoch_at(&self.epochs, height).filter(|epoch| epoch.number == checkpoint.epoch)?;
        let voter = vote.signer(chain).filter(|signer| epoch.electorate.contains(*signer))?;
        if self.finalized.is_some_and(|finalized| height < finalized.height) {
            return None;
        }
        let votes = self.votes.entry(height).or_default();
        votes.entry(voter).or_insert_with(|| vote.clone());
        let agreeing = votes.iter().filter(|(_, vote)| vote.checkpoint() == checkpoint);
        let is_final = epoch.electorate.is_quorum(&agreeing.map(|(voter, _)| *voter).collect());
        if self.votes.len() > MAX_CHECKPOINTS {
            self.votes.pop_first();
        }
        let moves = is_final && self.finalized.is_none_or(|finalized| finalized.height < height);
        moves.then(|| self.finalize(checkpoint))
    }

    /// Forgets what can be voted on no more.
    fn finalize(&mut self, checkpoint: Checkpoint) -> Checkpoint {
        self.finalized = Some(checkpoint);
        self.votes.retain(|height, _| *height >= checkpoint.height);
        let past = self.epochs.partition_point(|epoch| epoch.from <= checkpoint.height).saturating_sub(1);
        self.epochs.drain(..past);
        checkpoint
    }
}

/// Who votes on a height.
fn epoch_at(epochs: &[Epoch], height: Height) -> Option<&Epoch> {
    epochs.iter().rfind(|epoch| epoch.from <= height)
}

impl Encode for Electorate {
    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.sets.len() as u64);
        for set in &self.sets {
            writer.varint(set.len() as u64);
            set.iter().for_each(|node| node.encode(writer));
        }
    }
}

impl Decode for Electorate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let set = |reader: &mut Reader<'_>| {
            let nodes = decode_list::<NodeId>(reader)?;
            match nodes.is_sorted_by(|a, b| a < b) {
                true => Ok(nodes.into_iter().collect()),
                false => Err(DecodeError::Invalid { what: "set of voters" }),
            }
        };
        let sets = (0..reader.count(1)?).map(|_| set(reader)).collect::<Result<_, _>>()?;
        Ok(Self { sets })
    }
}

impl Encode for Epoch {
    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.number);
        self.from.encode(writer);
        self.electorate.encode(writer);
    }
}

impl Decode for Epoch {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (number, from) = (reader.varint()?, Height::decode(reader)?);
        Ok(Self { number, from, electorate: Electorate::decode(reader)? })
    }
}

/// A vote and whose it is: found once, when it was counted.
struct Counted(NodeId, CheckpointVote);

impl Encode for Counted {
    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
        self.1.encode(writer);
    }
}

impl Decode for Counted {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(NodeId::decode(reader)?, CheckpointVote::decode(reader)?))
    }
}

impl Encode for Finality {
    fn encode(&self, writer: &mut Writer) {
        writer.bool(self.finalized.is_some());
        if let Some(checkpoint) = self.finalized {
            checkpoint.encode(writer);
        }
        encode_list(&self.epochs, writer);
        let votes = self.votes.values().flatten();
        let votes: Vec<_> = votes.map(|(voter, vote)| Counted(*voter, vote.clone())).collect();
        encode_list(&votes, writer);
    }
}

impl Decode for Finality {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let finalized = match reader.bool()? {
            true => Some(Checkpoint::decode(reader)?),
            false => None,
        };
        let epochs = decode_list::<Epoch>(reader)?;
        let counted = decode_list::<Counted>(reader)?;
        let place = |Counted(voter, vote): &Counted| (vote.checkpoint().height, *voter);
        let ordered = epochs.is_sorted_by(|a, b| a.number < b.number)
            && counted.is_sorted_by(|a, b| place(a) < place(b));
        if !ordered {
            return Err(DecodeError::Invalid { what: "record of finality" });
        }
        let mut votes = BTreeMap::<_, BTreeMap<_, _>>::new();
        for Counted(voter, vote) in counted {
            votes.entry(vote.checkpoint().height).or_default().insert(voter, vote);
        }
        Ok(Self { finalized, epochs, votes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::ids::BlockHash;
    use proptest::prelude::*;

    const CHAIN: ChainId = ChainId([9; 32]);

    fn voter(number: u8) -> Identity {
        Identity::from_bytes(&[number; 32])
    }

    fn electorate(sets: &[&[u8]]) -> Electorate {
        let set = |set: &&[u8]| set.iter().map(|&number| voter(number).node_id()).collect();
        Electorate::new(sets.iter().map(set).collect())
    }

    fn checkpoint(height: u64, hash: u8, epoch: u64) -> Checkpoint {
        Checkpoint { height: Height(height), block_hash: BlockHash([hash; 32]), epoch }
    }

    fn vote(number: u8, checkpoint: Checkpoint) -> CheckpointVote {
        CheckpointVote::sign(&voter(number), CHAIN, checkpoint)
    }

    fn of_three() -> Finality {
        let mut finality = Finality::default();
        finality.begin_epoch(1, Height(0), electorate(&[&[1, 2, 3]]));
        finality
    }

    #[test]
    fn a_majority_that_agrees_makes_a_checkpoint_final_and_nobody_else_counts() {
        let mut finality = of_three();
        let (right, wrong) = (checkpoint(10, 1, 1), checkpoint(10, 2, 1));
        assert_eq!(finality.count(CHAIN, &vote(1, right)), None);
        assert_eq!(finality.count(CHAIN, &vote(1, right)), None, "the same voter again");
        assert_eq!(finality.count(CHAIN, &vote(2, wrong)), None);
        assert_eq!(finality.count(CHAIN, &vote(2, right)), None, "a voter that has voted otherwise");
        assert_eq!(finality.count(CHAIN, &vote(4, right)), None, "no voter");
        assert_eq!(finality.count(ChainId([8; 32]), &vote(3, right)), None, "of another chain");
        assert_eq!(finality.count(CHAIN, &vote(3, checkpoint(10, 1, 2))), None, "of an unknown epoch");
        assert_eq!(finality.count(CHAIN, &vote(3, right)), Some(right));
        assert_eq!(finality.finalized(), Some(right));
    }

    #[test]
    fn what_is_final_never_goes_back() {
        let mut finality = of_three();
        let (low, high) = (checkpoint(10, 1, 1), checkpoint(20, 1, 1));
        finality.count(CHAIN, &vote(1, low));
        for number in [1, 2] {
            finality.count(CHAIN, &vote(number, high));
        }
        for number in [2, 3] {
            assert_eq!(finality.count(CHAIN, &vote(number, low)), None);
        }
        assert_eq!(finality.count(CHAIN, &vote(3, high)), None, "it is final already");
        assert_eq!(finality.finalized(), Some(high));
    }

    #[test]
    fn while_voters_change_both_sets_have_to_agree_and_old_heights_stay_with_the_old_voters() {
        let mut finality = of_three();
        finality.begin_epoch(50, Height(15), electorate(&[&[1, 2, 3], &[3, 4, 5]]));
        finality.begin_epoch(60, Height(25), electorate(&[&[3, 4, 5]]));
        let epoch = |height, number| finality.epoch_of_voter(Height(height), voter(number).node_id());
        assert_eq!((epoch(14, 1), epoch(15, 1), epoch(24, 5)), (Some(1), Some(50), Some(50)));
        assert_eq!((epoch(14, 5), epoch(25, 1), epoch(25, 5)), (None, None, Some(60)));

        let (old, joint, new) = (checkpoint(10, 1, 1), checkpoint(20, 1, 50), checkpoint(30, 1, 60));
        assert_eq!(finality.count(CHAIN, &vote(4, old)), None);
        assert_eq!(finality.count(CHAIN, &vote(1, old)), None);
        assert_eq!(finality.count(CHAIN, &vote(2, old)), Some(old), "by the voters of its time");
        for number in [1, 2] {
            assert_eq!(finality.count(CHAIN, &vote(number, joint)), None, "one set alone");
        }
        assert_eq!(finality.count(CHAIN, &vote(4, joint)), None);
        assert_eq!(finality.count(CHAIN, &vote(5, joint)), Some(joint));
        for number in [1, 2, 4, 5] {
            let height_of_others = checkpoint(30, 1, 50);
            assert_eq!(finality.count(CHAIN, &vote(number, height_of_others)), None);
        }
        assert_eq!(finality.count(CHAIN, &vote(1, new)), None);
        assert_eq!(finality.count(CHAIN, &vote(3, new)), None);
        assert_eq!(finality.count(CHAIN, &vote(4, new)), Some(new));
        assert_eq!(finality.epochs.len(), 1, "no height below is voted on any more");
    }

    #[test]
    fn voters_that_were_replaced_before_a_block_leave_nothing_and_the_same_voters_are_no_new_epoch() {
        let mut finality = of_three();
        finality.begin_epoch(2, Height(0), electorate(&[&[1, 2]]));
        finality.begin_epoch(3, Height(7), electorate(&[&[1, 2]]));
        assert_eq!(finality.epochs.len(), 1);
        assert_eq!(finality.epochs[0].number, 2);
    }

    #[test]
    fn what_is_never_final_takes_no_more_than_so_much_room() {
        let mut finality = Finality::default();
        for n in 0..200 {
            let electorate = electorate(&[if n % 2 == 0 { &[1, 2, 3] } else { &[1, 2] }]);
            finality.begin_epoch(n, Height(n), electorate);
            finality.count(CHAIN, &vote(1, checkpoint(n, 1, n)));
        }
        assert_eq!((finality.epochs.len(), finality.votes.len()), (MAX_EPOCHS, MAX_CHECKPOINTS));
        assert_eq!(finality.votes.keys().next(), Some(&Height(184)));
    }

    proptest! {
        #[test]
        fn the_record_comes_back_from_its_bytes(
            votes in proptest::collection::vec((1..6_u8, 0..40_u64, 0..2_u8, 1..4_u64), 0..60),
        ) {
            let mut finality = of_three();
            finality.begin_epoch(2, Height(10), electorate(&[&[1, 2, 3], &[2, 3, 4]]));
            finality.begin_epoch(3, Height(20), electorate(&[&[2, 3, 4]]));
            let mut highest = None;
            for (number, height, hash, epoch) in votes {
                finality.count(CHAIN, &vote(number, checkpoint(height, hash, epoch)));
                let finalized = finality.finalized().map(|checkpoint| checkpoint.height);
                prop_assert!(finalized >= highest);
                highest = finalized;
            }
            prop_assert_eq!(Finality::from_bytes(&finality.to_bytes()).unwrap(), finality);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(finality) = Finality::from_bytes(&bytes) {
                prop_assert_eq!(finality.to_bytes(), bytes);
            }
        }
    }
}
