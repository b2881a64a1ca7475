//! When the voters may be changed: one that lags, or is not there, takes part of the quorum away, and so does the removal
//! of one that answers.

use std::time::Duration;

use openraft::{Instant, ServerState};
use tensor_chain::NodeId;

use super::replica::Metrics;
use super::types::RaftNode;
use crate::api::AdminError;

/// A learner missing this many entries or more may not vote.
const MAX_LAG: u64 = 100;
/// Voters that a cluster may have.
pub(super) const MAX_VOTERS: usize = 100;
/// Time between two changes of the voters, where there are enough of them to lose one.
const COOLDOWN: Duration = Duration::from_secs(300);
/// Voters of which one can be lost.
const ENOUGH_VOTERS: usize = 3;

/// What the leader knows of the cluster that decides whether a learner may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outlook {
    voters: usize,
    /// Voters that have been heard of lately, the leader among them.
    answering: usize,
    /// Whether the learner has been heard of lately.
    answers: bool,
    /// Entries that the learner lacks.
    lag: u64,
    /// Since voters were changed last, as far as this leader knows.
    since_change: Option<Duration>,
}

/// Whether a learner may vote. `force` passes over what the learner should be; what the cluster needs it does not.
///
/// # Errors
/// The rule that the promotion breaks.
pub(super) fn check_promotion(
    metrics: &Metrics,
    node: NodeId,
    since_change: Option<Duration>,
    patience: Duration,
    force: bool,
) -> Result<(), AdminError> {
    let learner = RaftNode::from(node);
    let members = metrics.membership_config.membership();
    let voters: Vec<RaftNode> = members.voter_ids().collect();
    members.get_node(&learner).ok_or(AdminError::NodeNotFound { node })?;
    if voters.contains(&learner) {
        return Err(AdminError::NotALearner { node });
    }
    let (Some(answers), Some(matched)) = (answering(metrics, patience), &metrics.replication) else {
        return Ok(()); // whoever leads is asked, and this one answers who that is
    };
    let end = |index: Option<u64>| index.map_or(0, |index| index.saturating_add(1));
    let has = end(matched.get(&learner).and_then(Option::as_ref).map(|id| id.index()));
    let outlook = Outlook {
        voters: voters.len(),
        answering: voters.iter().filter(|&voter| answers(voter)).count(),
        answers: answers(&learner),
        lag: end(metrics.last_log_index).saturating_sub(has),
        since_change,
    };
    outlook.allows(node, force)
}

/// Whether a voter may be removed: the change needs a quorum of the voters that there are, and one of those that stay.
///
/// # Errors
/// The rule that the removal breaks.
pub(super) fn check_removal(
    metrics: &Metrics,
    removed: RaftNode,
    patience: Duration,
) -> Result<(), AdminError> {
    let voters: Vec<RaftNode> = metrics.membership_config.membership().voter_ids().collect();
    let Some(answers) = answering(metrics, patience) else {
        return Ok(()); // as above
    };
    let staying: Vec<RaftNode> = voters.iter().copied().filter(|voter| *voter != removed).collect();
    if staying.is_empty() {
        return Err(AdminError::NoVoters);
    }
    for voters in [voters, staying] {
        let answering = voters.iter().filter(|&voter| answers(voter)).count();
        needs_quorum(voters.len(), answering)?;
    }
    Ok(())
}

/// Tells who has been heard of lately, this node included, if it leads.
fn answering(metrics: &Metrics, patience: Duration) -> Option<impl Fn(&RaftNode) -> bool> {
    let heard = metrics.heartbeat.as_ref().filter(|_| metrics.state == ServerState::Leader)?;
    Some(move |node: &RaftNode| {
        let heard = heard.get(node).and_then(Option::as_ref);
        *node == metrics.id || heard.is_some_and(|at| at.elapsed() < patience)
    })
}

const fn needs_quorum(voters: usize, answering: usize) -> Result<(), AdminError> {
    if 2 * answering > voters { Ok(()) } else { Err(AdminError::QuorumAtRisk { voters, answering }) }
}

impl Outlook {
    fn allows(self, node: NodeId, force: bool) -> Result<(), AdminError> {
        let Self { voters, answering, answers, lag, since_change } = self;
        let (voters, answering) = (voters + 1, answering + usize::from(answers));
        if voters > MAX_VOTERS {
            return Err(AdminError::TooManyVoters { limit: MAX_VOTERS });
        }
        needs_quorum(voters, answering)?;
        let wait = since_change.and_then(|since| COOLDOWN.checked_sub(since)).filter(|wait| !wait.is_zero());
        match wait {
            _ if force => Ok(()),
            _ if !answers => Err(AdminError::LearnerUnhealthy { node }),
            _ if lag >= MAX_LAG => Err(AdminError::LearnerLagging { node, lag, limit: MAX_LAG }),
            Some(wait) if voters > ENOUGH_VOTERS => Err(AdminError::MembershipChangeTooRecent { wait }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([1; 32]);

    /// A sound learner of a sound cluster of three.
    const SOUND: Outlook = Outlook { voters: 3, answering: 3, answers: true, lag: 0, since_change: None };

    #[test]
    fn a_learner_that_lags_or_is_silent_is_refused_unless_by_force() {
        assert_eq!(SOUND.allows(NODE, false), Ok(()));
        assert_eq!(Outlook { lag: 99, ..SOUND }.allows(NODE, false), Ok(()));
        let lagging = Outlook { lag: 100, ..SOUND };
        let refused = AdminError::LearnerLagging { node: NODE, lag: 100, limit: 100 };
        assert_eq!(lagging.allows(NODE, false), Err(refused));
        assert_eq!(lagging.allows(NODE, true), Ok(()));
        let silent = Outlook { answers: false, ..SOUND };
        assert_eq!(silent.allows(NODE, false), Err(AdminError::LearnerUnhealthy { node: NODE }));
        assert_eq!(silent.allows(NODE, true), Ok(()), "three of four are a quorum");
    }

    #[test]
    fn no_force_takes_the_quorum_away_or_makes_too_many_voters() {
        for force in [false, true] {
            let one_down = Outlook { answering: 2, ..SOUND };
            assert_eq!(one_down.allows(NODE, force), Ok(()), "three of four");
            let and_silent = Outlook { answers: false, ..one_down };
            let refused = AdminError::QuorumAtRisk { voters: 4, answering: 2 };
            assert_eq!(and_silent.allows(NODE, force), Err(refused));
            let many = Outlook { voters: 100, answering: 100, ..SOUND };
            assert_eq!(many.allows(NODE, force), Err(AdminError::TooManyVoters { limit: 100 }));
        }
    }

    #[test]
    fn three_voters_and_more_are_changed_at_intervals() {
        let recent = Some(Duration::from_secs(299));
        let wait = Duration::from_secs(1);
        let changed = Outlook { since_change: recent, ..SOUND };
        assert_eq!(changed.allows(NODE, false), Err(AdminError::MembershipChangeTooRecent { wait }));
        assert_eq!(changed.allows(NODE, true), Ok(()));
        let long_ago = Some(Duration::from_secs(300));
        assert_eq!(Outlook { since_change: long_ago, ..SOUND }.allows(NODE, false), Ok(()));
        let new = Outlook { voters: 2, answering: 2, ..changed };
        assert_eq!(new.allows(NODE, false), Ok(()), "a cluster that is being made");
    }
}
