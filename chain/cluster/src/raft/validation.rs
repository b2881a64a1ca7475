//! Whether what another node says can be true. The library calculates with terms and indices and takes entries to follow
//! each other; numbers that no honest node comes to are refused before it sees them, members' too: a key can be stolen.

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, TransferLeaderError};

use super::messages::{Request, Response};
use super::types::{LogId, SnapshotMeta, TypeConfig, Vote, position};

/// The highest term and index that are taken: far above what counting comes to, and far from the end of counting.
const MOST: u64 = u64::MAX / 2;
/// How far a vote may be ahead of this node's term: so many elections take a century. Without it one message could use up
/// all terms there are.
const MOST_TERMS_AHEAD: u64 = 1 << 32;

fn is_log_id(id: &LogId) -> bool {
    let position = position(id);
    position.term <= MOST && position.index <= MOST
}

fn are_log_ids<'l>(ids: impl IntoIterator<Item = &'l LogId>) -> bool {
    ids.into_iter().all(is_log_id)
}

/// Whether a node in a term can be told of this vote.
fn is_vote(vote: &Vote, term: u64) -> bool {
    vote.leader_id.term <= term.saturating_add(MOST_TERMS_AHEAD).min(MOST)
}

/// Whether a leader with this vote can have such a snapshot.
pub(super) fn is_snapshot(meta: &SnapshotMeta, vote: &Vote) -> bool {
    let last = meta.last_log_id.as_ref();
    let terms_fit = last.is_none_or(|id| position(id).term <= vote.leader_id.term);
    terms_fit && are_log_ids(last.into_iter().chain(meta.last_membership.log_id()))
}

/// Whether the entries follow each other and the one before them, in terms that never fall and that the leader has come to.
fn is_append(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
    if !are_log_ids(prev_log_id.iter().chain(leader_commit)) {
        return false;
    }
    let mut before = prev_log_id.as_ref().map(position);
    entries.iter().all(|entry| {
        let at = position(&entry.log_id);
        let follows = match before.replace(at) {
            Some(before) => before.index.checked_add(1) == Some(at.index) && before.term <= at.term,
            None => at.index == 0,
        };
        follows && is_log_id(&entry.log_id) && at.term <= vote.leader_id.term
    })
}

impl Request {
    /// The term of the vote that it carries, if it does: the one in which it is asked.
    pub(super) fn term(&self) -> u64 {
        let vote = match self {
            Self::Append(request) => &request.vote,
            Self::Vote(request) | Self::PreVote(request) => &request.vote,
            Self::TransferLeader(request) => request.from_leader(),
            Self::Install { vote } => vote,
            _ => return 0,
        };
        vote.leader_id.term
    }

    /// Whether a node in this term can be asked this.
    pub(super) fn is_sound(&self, term: u64) -> bool {
        let is_vote = |vote: &Vote| is_vote(vote, term);
        match self {
            Self::Append(request) => is_vote(&request.vote) && is_append(request),
            Self::Vote(request) | Self::PreVote(request) => {
                is_vote(&request.vote) && are_log_ids(&request.last_log_id)
            }
            Self::TransferLeader(request) => {
                is_vote(request.from_leader()) && are_log_ids(request.last_log_id())
            }
            Self::Install { vote } => is_vote(vote),
            // What they hold is checked where it is used.
            Self::ReadIndex
            | Self::Propose(_)
            | Self::Offer { .. }
            | Self::Chunk { .. }
            | Self::Condition
            | Self::Members => true,
        }
    }
}

impl Response {
    /// Whether a node that asked in this term can be answered this.
    pub(super) fn is_sound(&self, term: u64) -> bool {
        let is_vote = |vote: &Vote| is_vote(vote, term);
        match self {
            Self::Append(AppendEntriesResponse::PartialSuccess(id)) | Self::Streamed(Ok(id)) => {
                are_log_ids(id)
            }
            Self::Streamed(Err(StreamAppendError::Conflict(id))) => is_log_id(id),
            Self::Append(AppendEntriesResponse::HigherVote(vote))
            | Self::Streamed(Err(StreamAppendError::HigherVote(vote)))
            | Self::Install { vote } => is_vote(vote),
            Self::Vote(answer) => is_vote(&answer.vote) && are_log_ids(&answer.last_log_id),
            Self::TransferLeader(Err(TransferLeaderError::VoteChanged { expected, actual })) => {
                is_vote(expected) && is_vote(actual)
            }
            Self::TransferLeader(Err(TransferLeaderError::LogNotFlushed { expected, actual })) => {
                are_log_ids(expected.iter().chain(actual))
            }
            Self::ReadIndex(index) => index.is_none_or(|index| index <= MOST),
            Self::Append(AppendEntriesResponse::Success | AppendEntriesResponse::Conflict)
            | Self::TransferLeader(Ok(()))
            | Self::Proposed(_)
            | Self::Offer(_)
            | Self::Chunk
            | Self::Condition(_)
            | Self::Members { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::{Entry, Payload, RaftNode, log_id};
    use super::*;
    use openraft::raft::{VoteRequest, VoteResponse};
    use proptest::prelude::*;
    use tensor_chain::replicated::LogPosition;

    fn vote(term: u64) -> Vote {
        Vote::new(term, RaftNode([1; 32]))
    }

    fn id(term: u64, index: u64) -> LogId {
        log_id(LogPosition { term, index })
    }

    fn append(term: u64, prev: Option<LogId>, entries: &[(u64, u64)], commit: Option<LogId>) -> Request {
        let entry = |&(term, index): &(u64, u64)| Entry { log_id: id(term, index), payload: Payload::Blank };
        Request::Append(AppendEntriesRequest {
            vote: vote(term),
            prev_log_id: prev,
            entries: entries.iter().map(entry).collect(),
            leader_commit: commit,
        })
    }

    #[test]
    fn what_a_leader_sends_is_taken() {
        for request in [
            append(1, None, &[], None),
            append(1, None, &[(0, 0), (1, 1)], None),
            append(7, Some(id(3, 9)), &[(3, 10), (5, 11), (7, 12)], Some(id(3, 9))),
            append(1 << 32, Some(id(1, MOST - 1)), &[(1, MOST)], Some(id(MOST, MOST))),
        ] {
            assert!(request.is_sound(0));
        }
    }

    #[test]
    fn entries_that_do_not_follow_each_other_are_refused() {
        for request in [
            append(7, None, &[(1, 1)], None),
            append(7, None, &[(1, 0), (1, 2)], None),
            append(7, Some(id(1, 4)), &[(1, 6)], None),
            append(7, Some(id(1, 4)), &[(1, 4)], None),
            append(7, Some(id(2, 4)), &[(1, 5)], None),
            append(7, Some(id(1, 4)), &[(2, 5), (1, 6)], None),
            append(7, Some(id(1, 4)), &[(8, 5)], None),
            append(7, Some(id(1, MOST)), &[(1, MOST + 1)], None),
        ] {
            assert!(!request.is_sound(7));
        }
    }

    #[test]
    fn no_vote_uses_up_the_terms() {
        for term in [0, 5, MOST - 1] {
            let ahead = (term + MOST_TERMS_AHEAD).min(MOST);
            for (vote_term, sound) in [(ahead, true), (ahead + 1, false), (u64::MAX, false)] {
                let ask = |last| VoteRequest::<TypeConfig>::new(vote(vote_term), last);
                assert_eq!(Request::Vote(ask(None)).is_sound(term), sound);
                assert_eq!(Request::PreVote(ask(Some(id(1, 1)))).is_sound(term), sound);
                assert_eq!(Request::Install { vote: vote(vote_term) }.is_sound(term), sound);
                assert_eq!(append(vote_term, None, &[], None).is_sound(term), sound);
                for answer in [
                    Response::Append(AppendEntriesResponse::HigherVote(vote(vote_term))),
                    Response::Streamed(Err(StreamAppendError::HigherVote(vote(vote_term)))),
                    Response::Vote(VoteResponse::new(vote(vote_term), None, false)),
                    Response::Install { vote: vote(vote_term) },
                ] {
                    assert_eq!(answer.is_sound(term), sound);
                }
            }
        }
    }

    #[test]
    fn a_snapshot_is_no_newer_than_the_vote_of_its_leader() {
        let meta = |last| SnapshotMeta { last_log_id: last, ..SnapshotMeta::default() };
        for (last, sound) in [(None, true), (Some(id(3, 9)), true), (Some(id(4, 9)), false)] {
            assert_eq!(is_snapshot(&meta(last), &vote(3)), sound);
        }
        assert!(!is_snapshot(&meta(Some(id(3, MOST + 1))), &vote(3)));
    }

    proptest! {
        #[test]
        fn numbers_near_the_end_of_counting_are_refused_wherever_they_stand(
            high in MOST + 1..=u64::MAX, low in 0..=MOST, which: bool,
        ) {
            let (term, index) = if which { (high, low) } else { (low, high) };
            let bad = id(term, index);
            let answered = |last| VoteResponse::<TypeConfig>::new(vote(1), last, true);
            for request in [
                append(1, Some(bad), &[], None),
                append(1, None, &[], Some(bad)),
                Request::Vote(VoteRequest::new(vote(1), Some(bad))),
            ] {
                prop_assert!(!request.is_sound(1));
            }
            for response in [
                Response::Append(AppendEntriesResponse::PartialSuccess(Some(bad))),
                Response::Append(AppendEntriesResponse::HigherVote(vote(high))),
                Response::Streamed(Ok(Some(bad))),
                Response::Streamed(Err(StreamAppendError::Conflict(bad))),
                Response::Streamed(Err(StreamAppendError::HigherVote(vote(high)))),
                Response::Vote(answered(Some(bad))),
                Response::Vote(VoteResponse::new(vote(high), None, true)),
                Response::ReadIndex(Some(high)),
                Response::Install { vote: vote(high) },
            ] {
                prop_assert!(!response.is_sound(MOST));
            }
            prop_assert!(Response::Vote(answered(Some(id(low, low)))).is_sound(1));
        }
    }
}
