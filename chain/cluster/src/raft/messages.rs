//! What replicas say to each other, in frames.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::snapshots::{Held, Part, SnapshotDigest};
use super::types::{Command, RaftNode, TypeConfig, Vote};

/// A question. In a stream all are `Append`.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// Which entry a read must not miss.
    ReadIndex,
    /// Put the vote of the node that asks into the log.
    Propose(Command),
    /// What the node has received of the snapshot with this digest, which is about to be sent.
    Offer {
        digest: SnapshotDigest,
    },
    /// A part of a snapshot.
    Chunk {
        part: Part,
        offset: u64,
        bytes: ChunkBytes,
    },
    /// Install the snapshot whose parts were sent.
    Install {
        vote: Vote,
    },
    /// How well the node could lead.
    Condition,
    /// Who takes part, as far as the node knows.
    Members,
}

impl Request {
    /// What is asked, for people.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Append(_) => "append",
            Self::Vote(_) => "vote",
            Self::PreVote(_) => "pre-vote",
            Self::TransferLeader(_) => "transfer leader",
            Self::ReadIndex => "read index",
            Self::Propose(_) => "propose",
            Self::Offer { .. } => "offer",
            Self::Chunk { .. } => "chunk",
            Self::Install { .. } => "install",
            Self::Condition => "condition",
            Self::Members => "members",
        }
    }
}

/// The answer to a question; of those in a stream all are `Streamed`.
#[derive(Serialize, Deserialize)]
pub(super) enum Response {
    Append(AppendEntriesResponse<TypeConfig>),
    Streamed(StreamAppendResult<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    /// The index; `None` where this node could not make sure that it leads.
    ReadIndex(Option<u64>),
    /// Whether it is there.
    Proposed(bool),
    Offer(Held),
    Chunk,
    Install {
        vote: Vote,
    },
    Condition(Condition),
    Members {
        /// Index of the log entry that made them members.
        since: Option<u64>,
        members: Vec<RaftNode>,
    },
}

/// Bytes that are encoded as one piece.
pub(super) struct ChunkBytes(pub(super) Vec<u8>);

impl Serialize for ChunkBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChunkBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Self(bytes.to_vec()))
    }
}

/// A frame.
pub(super) fn encode(message: &impl Serialize) -> Result<Bytes, postcard::Error> {
    to_vec(message).map(Bytes::from)
}

/// Encodes in two passes, the first of which only counts: nothing is copied while the bytes are collected.
pub(super) fn to_vec(message: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    let len = postcard::serialize_with_flavor(message, postcard::ser_flavors::Size::default())?;
    postcard::to_extend(message, Vec::with_capacity(len))
}

/// What a frame says; `None` where it makes no sense or has more bytes than it should.
pub(super) fn decode<M: DeserializeOwned>(frame: &[u8]) -> Option<M> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::condition::Syncs;
    use super::super::disk_guard::Room;
    use super::*;
    use proptest::prelude::*;
    use tensor_tests::allocation::peak_bytes;

    /// The first byte of either.
    const KIND: u8 = 9;
    /// The last kind that there is. Nodes of earlier versions have fewer, and refuse the question.
    const LAST_KIND: u8 = 10;
    /// What the library for encodings takes at once for a list that says it is long.
    const LIST_BYTES: usize = 1 << 20;

    fn conditions() -> Vec<Condition> {
        let ms = Duration::from_millis;
        let sync = |best, worst| Some(Syncs { best, worst });
        vec![
            Condition { applied: None, height: 0, room: Room::Ample, sync: None },
            Condition { applied: Some(0), height: 1, room: Room::Scarce, sync: sync(ms(1), ms(500)) },
            Condition {
                applied: Some(u64::MAX),
                height: u64::MAX,
                room: Room::None,
                sync: sync(Duration::ZERO, Duration::MAX),
            },
        ]
    }

    #[test]
    fn a_condition_is_asked_for_and_told_in_a_few_bytes() {
        let question = encode(&Request::Condition).unwrap();
        assert_eq!(&question[..], [KIND]);
        assert!(matches!(decode(&question), Some(Request::Condition)));
        for condition in conditions() {
            let frame = encode(&Response::Condition(condition)).unwrap();
            assert!(frame[0] == KIND && frame.len() < 64, "{frame:?}");
            let told: Option<Response> = decode(&frame);
            assert!(matches!(told, Some(Response::Condition(told)) if told == condition));
            for end in 0..frame.len() {
                assert!(decode::<Response>(&frame[..end]).is_none(), "cut at {end}: {frame:?}");
            }
            assert!(decode::<Response>(&[&frame[..], &[0]].concat()).is_none());
        }
    }

    #[test]
    fn what_is_not_known_makes_no_sense() {
        let makes_sense = |frame: &[u8]| decode::<Response>(frame).is_some();
        // The first kind that there is not, of a question and of an answer.
        assert!(decode::<Request>(&[LAST_KIND + 1]).is_none() && !makes_sense(&[LAST_KIND + 1, 0, 0, 0, 0]));
        assert!(decode::<Request>(&[LAST_KIND]).is_some() && makes_sense(&[LAST_KIND, 0, 0]));
        // Rooms there are three.
        assert!(makes_sense(&[KIND, 0, 0, 2, 0]) && !makes_sense(&[KIND, 0, 0, 3, 0]));
        // Times: what is left over of a second may be a second more, if it is not the last that there is.
        let time = |seconds: u64, nanos: u32| {
            encode(&(KIND, 0_u8, 0_u8, 0_u8, 1_u8, seconds, nanos, 0_u64, 0_u32)).unwrap()
        };
        assert!(makes_sense(&time(u64::MAX, 999_999_999)) && !makes_sense(&time(u64::MAX, 1_000_000_000)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn no_frame_takes_more_memory_than_it_may(
            kind in 0..12_u8,
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let frame = [&[kind], &rest[..]].concat();
            let allowed = 150 * frame.len() + 16_384;
            for what in [
                peak_bytes(|| decode::<Request>(&frame).is_some()),
                peak_bytes(|| decode::<Response>(&frame).is_some()),
            ] {
                let list = if kind < 6 || kind == LAST_KIND { LIST_BYTES } else { 0 };
                prop_assert!(what.1 <= allowed + list, "{what:?} for {frame:?}");
            }
        }

        #[test]
        fn a_condition_that_was_altered_is_another_or_none(
            which in 0..3_usize,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut frame = encode(&Response::Condition(conditions()[which])).unwrap().to_vec();
            let at = at.index(frame.len());
            frame[at] = byte;
            let (told, peak) = peak_bytes(|| decode::<Response>(&frame));
            prop_assert!(peak <= LIST_BYTES + 16_384, "{peak}");
            if let Some(Response::Condition(condition)) = told {
                let again = encode(&Response::Condition(condition)).unwrap();
                let told: Option<Response> = decode(&again);
                prop_assert!(matches!(told, Some(Response::Condition(told)) if told == condition));
            }
        }
    }
}
