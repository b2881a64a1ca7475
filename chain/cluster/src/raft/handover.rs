//! A leader that is not well lets a voter lead that is.
//!
//! Nobody's vote is refused for it. A vote is granted if and only if the candidate's own vote is not lower and its log
//! not behind: safety rests on these two tests, and they are left as they are. A preference enters only through who is
//! asked to stand, and whoever is asked may lose.
//!
//! What it costs is an election, which is why there is seldom one: a leader leads for a while before it hands over, and
//! hands over only to a voter that is clearly better, while a quorum does well without it. Where all are sick, all stays
//! as it is.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Raft, ServerState};
use tensor_chain::{Height, NodeId};
use tokio::time::{Instant, sleep};

use super::blocking::blocking;
use super::condition::{Condition, Syncs, Watched};
use super::disk_guard::Room;
use super::messages::{Request, Response};
use super::network;
use super::proposer::ENTRIES_UNDER_WAY;
use super::replica::Metrics;
use super::state_machine::StateMachine;
use super::types::{Addresses, RaftNode, TypeConfig, peer};
use crate::link::{Channel, PeerLink};

/// Looks for which a leader leads before it hands over, and between two attempts.
const COOL_DOWN: u32 = 30;
/// A log is slow if a sync takes at least 1/`SLOW` of the interval between two looks.
const SLOW: u32 = 2;
/// A log is clearly faster than another that takes so many times as long.
const CLEARLY: u32 = 4;
/// Entries that a voter may lack: as many as are under way while it is asked.
const MAX_LAG: u64 = ENTRIES_UNDER_WAY as u64;
/// Half way between the same direction and the opposite one.
const UNKNOWN_NEARNESS: f64 = 0.5;

/// Looks at this node, and while it leads at the others if need be.
pub(super) struct Handover {
    pub(super) raft: Raft<TypeConfig, StateMachine>,
    pub(super) link: Arc<dyn PeerLink>,
    pub(super) watched: Arc<Watched>,
}

/// Another voter, as the leader sees it.
#[derive(Debug, Clone)]
struct Voter {
    node: NodeId,
    /// The last entry that it is known to have.
    matched: Option<u64>,
    /// `None` where it did not answer.
    condition: Option<Condition>,
}

/// What decides.
#[derive(Debug, Clone)]
struct Outlook {
    /// From when on a log is slow.
    slow: Duration,
    own: Condition,
    /// The last entry of the leader's log, before it asked.
    last_log: Option<u64>,
    /// How long it has led, or since it asked somebody else to lead.
    calm: Duration,
    /// How long that has to be.
    cool_down: Duration,
    /// The voters without itself.
    others: Vec<Voter>,
}

/// What is wrong with a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    DiskFull,
    /// At the best of the last looks it took so long.
    SlowLog(Duration),
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("its disk is full"),
            Self::SlowLog(took) => write!(f, "its log takes {} ms to reach the disk", took.as_millis()),
        }
    }
}

impl Condition {
    /// What is wrong for certain: no look said otherwise.
    fn ailment(&self, slow: Duration) -> Option<Ailment> {
        match (self.room, self.sync) {
            (Room::None, _) => Some(Ailment::DiskFull),
            (_, Some(Syncs { best, .. })) if best >= slow => Some(Ailment::SlowLog(best)),
            _ => None,
        }
    }

    /// Whether there is nothing wrong: no look said so.
    fn is_well(&self, slow: Duration) -> bool {
        self.room != Room::None && self.sync.is_none_or(|sync| sync.worst < slow)
    }

    /// Whether it is far from what is wrong with another.
    fn clearly_lacks(&self, ailment: Ailment) -> bool {
        match ailment {
            Ailment::DiskFull => self.room == Room::Ample,
            Ailment::SlowLog(took) => {
                self.sync.is_some_and(|sync| sync.worst.saturating_mul(CLEARLY) <= took)
            }
        }
    }
}

impl Outlook {
    /// Who should lead instead, and why: of those that are clearly better the one whose state is nearest to the
    /// leader's, then the one that has most, then the one with the lowest id. `nearness` is of the state at a height.
    fn heir(&self, nearness: impl Fn(Height) -> f64) -> Option<(NodeId, Ailment)> {
        let ailment = self.own.ailment(self.slow)?;
        if self.calm < self.cool_down {
            return None;
        }
        let end = |index: Option<u64>| index.map_or(0, |index| index.saturating_add(1));
        let caught_up = |index| end(self.last_log).saturating_sub(end(index)) <= MAX_LAG;
        let condition = |voter: &Voter| {
            let condition = voter.condition.filter(|condition| condition.is_well(self.slow))?;
            (caught_up(voter.matched) && caught_up(condition.applied)).then_some(condition)
        };
        let well: Vec<_> = self.others.iter().filter_map(|voter| Some((voter, condition(voter)?))).collect();
        // Otherwise every write would wait for this node as before, or for another that is no better.
        if 2 * well.len() <= self.others.len() + 1 {
            return None;
        }
        let better = well.into_iter().filter(|(_, condition)| condition.clearly_lacks(ailment));
        let near = better.map(|(voter, condition)| (nearness(Height(condition.height)), voter));
        let (_, heir) = near.max_by(|(near, voter), (other_near, other)| {
            let rank = |voter: &Voter| (voter.matched, Reverse(voter.node));
            near.total_cmp(other_near).then_with(|| rank(voter).cmp(&rank(other)))
        })?;
        Some((heir.node, ailment))
    }
}

impl Handover {
    /// Looks until the replica stops.
    pub(super) async fn run(self) {
        let every = self.watched.every;
        let (mut reign, mut since) = (None, Instant::now());
        loop {
            sleep(every).await;
            self.watched.look(&self.raft);
            let metrics = self.raft.metrics().borrow_watched().clone();
            if metrics.running_state.is_err() {
                return;
            }
            let leads = reign_of(&metrics);
            if reign != leads {
                (reign, since) = (leads, Instant::now());
            }
            let (own, slow, cool_down) =
                (self.watched.condition(&self.raft), every / SLOW, every.saturating_mul(COOL_DOWN));
            // Nobody is asked for nothing.
            if leads.is_none() || since.elapsed() < cool_down || own.ailment(slow).is_none() {
                continue;
            }
            let Some(others) = self.ask_others(&metrics).await else { continue };
            let (last_log, calm) = (metrics.last_log_index, since.elapsed());
            let outlook = Outlook { slow, own, last_log, calm, cool_down, others };
            let chain = Arc::clone(self.watched.chain.chain());
            let nearness = move |height| chain.nearness(height).unwrap_or(UNKNOWN_NEARNESS);
            let Ok(heir) = blocking(move || outlook.heir(nearness)).await else { return };
            let leads_on = reign == reign_of(&self.raft.metrics().borrow_watched());
            if let Some((heir, why)) = heir.filter(|_| leads_on) {
                tracing::info!(%heir, %why, term = metrics.current_term, "this leader is not well and hands over");
                self.watched.counted.handovers.fetch_add(1, Ordering::Relaxed);
                since = Instant::now();
                // An error says that the replica has stopped, and so does the next look.
                let _ = self.raft.trigger().transfer_leader(heir.into()).await;
            }
        }
    }

    /// The other voters; `None` while who votes is being changed, or does not include this node.
    async fn ask_others(&self, metrics: &Metrics) -> Option<Vec<Voter>> {
        let members = metrics.membership_config.membership();
        let [voters] = members.get_joint_config().as_slice() else { return None };
        let matched = metrics.replication.as_ref().filter(|_| voters.contains(&metrics.id))?;
        let others = members.nodes().filter(|(node, _)| voters.contains(node) && **node != metrics.id);
        let ask = |(node, at): (&RaftNode, &Addresses)| {
            let (node, peer) = (*node, peer(node.to_owned(), at));
            let matched = matched.get(&node).and_then(Option::as_ref).map(|id| id.index());
            async move {
                let (request, deadline) = (Request::Condition, self.watched.every);
                let asked = network::ask(&*self.link, &peer, Channel::Urgent, &request, deadline);
                let condition = match asked.await {
                    Ok(Response::Condition(condition)) => Some(condition),
                    _ => None,
                };
                Voter { node: node.into(), matched, condition }
            }
        };
        Some(join_all(others.map(ask)).await)
    }
}

/// The term in which this node leads, if it does.
fn reign_of(metrics: &Metrics) -> Option<u64> {
    (metrics.state == ServerState::Leader).then_some(metrics.current_term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLOW: Duration = Duration::from_millis(500);
    const COOL_DOWN: Duration = Duration::from_secs(60);

    const fn syncs(best: u64, worst: u64) -> Option<Syncs> {
        Some(Syncs { best: Duration::from_millis(best), worst: Duration::from_millis(worst) })
    }

    /// A voter that has all there is on a fast disk.
    const WELL: Condition =
        Condition { applied: Some(100), height: 100, room: Room::Ample, sync: syncs(1, 2) };
    const SLOW_LOG: Condition = Condition { sync: syncs(800, 1_600), ..WELL };
    const DISK_FULL: Condition = Condition { room: Room::None, ..WELL };

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    /// A leader in this condition that has led for long, and others in theirs, numbered from 1.
    fn outlook<const N: usize>(own: Condition, others: [Option<Condition>; N]) -> Outlook {
        let voter = |(number, condition)| Voter { node: node(number), matched: Some(100), condition };
        Outlook {
            slow: SLOW,
            own,
            last_log: Some(100),
            calm: COOL_DOWN,
            cool_down: COOL_DOWN,
            others: (1..).zip(others).map(voter).collect(),
        }
    }

    /// Heights above 90 are the nearer the higher they are.
    fn near(height: Height) -> f64 {
        (height.0.saturating_sub(90) as f64) / 10.0
    }

    fn heir(outlook: &Outlook) -> Option<u8> {
        outlook.heir(near).map(|(NodeId(bytes), _)| bytes[0])
    }

    #[test]
    fn a_leader_that_is_not_well_lets_one_lead_that_is() {
        for own in [SLOW_LOG, DISK_FULL] {
            let mut two = outlook(own, [Some(WELL), Some(WELL)]);
            assert_eq!(heir(&two), Some(1), "of equals the one with the lowest id");
            two.others[0].matched = Some(99);
            assert_eq!(heir(&two), Some(2), "the one that has more");
            two.calm -= Duration::from_millis(1);
            assert_eq!(heir(&two), None, "not yet");
        }
        assert_eq!(heir(&outlook(WELL, [Some(WELL), Some(WELL)])), None);
        assert_eq!(
            outlook(SLOW_LOG, [Some(WELL); 2]).heir(near).unwrap().1,
            Ailment::SlowLog(Duration::from_millis(800))
        );
        assert_eq!(outlook(DISK_FULL, [Some(WELL); 2]).heir(near).unwrap().1, Ailment::DiskFull);
    }

    #[test]
    fn of_those_that_are_better_the_nearest_is_asked() {
        let [far, near] = [99, 100].map(|height| Some(Condition { height, ..WELL }));
        let mut four = outlook(SLOW_LOG, [far, near, near, Some(Condition { sync: None, ..WELL })]);
        assert_eq!(heir(&four), Some(2));
        (four.others[1].matched, four.others[2].matched) = (Some(98), Some(99));
        assert_eq!(heir(&four), Some(3), "nearness comes before what it has, and that before its id");
    }

    #[test]
    fn one_slow_look_is_none_and_one_slow_look_of_a_voter_is_one() {
        let sometimes = Condition { sync: syncs(400, 1_600), ..WELL };
        assert_eq!(heir(&outlook(sometimes, [Some(WELL), Some(WELL)])), None);
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(WELL), Some(sometimes)])), None, "who would be the quorum?");
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(sometimes), Some(WELL), Some(WELL), Some(WELL)])), Some(2));
    }

    #[test]
    fn where_the_others_are_no_quorum_nothing_is_gained() {
        assert_eq!(heir(&outlook(SLOW_LOG, [])), None);
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(WELL)])), None, "two cannot do without one of them");
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(WELL), None])), None, "nor three without two");
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(WELL), Some(WELL), None])), None, "nor four");
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(WELL), None, Some(WELL), Some(WELL)])), Some(1));
        for sick in [SLOW_LOG, DISK_FULL] {
            assert_eq!(heir(&outlook(sick, [Some(sick); 4])), None, "all are sick");
        }
    }

    #[test]
    fn a_heir_is_clearly_better_in_what_is_wrong() {
        let hardly = Condition { sync: syncs(201, 201), ..WELL };
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(hardly), Some(hardly)])), None);
        let clearly = Condition { sync: syncs(200, 200), ..WELL };
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(hardly), Some(clearly)])), Some(2));
        let unknown = Condition { sync: None, ..WELL };
        assert_eq!(
            heir(&outlook(SLOW_LOG, [Some(unknown), Some(unknown)])),
            None,
            "nobody has seen it write"
        );
        // Where nothing can be written nothing is known of logs.
        assert_eq!(heir(&outlook(DISK_FULL, [Some(unknown), Some(unknown)])), Some(1));
        let soon = Condition { room: Room::Scarce, ..WELL };
        assert_eq!(heir(&outlook(DISK_FULL, [Some(soon), Some(soon)])), None, "its turn would come next");
        assert_eq!(heir(&outlook(DISK_FULL, [Some(soon), Some(WELL)])), Some(2));
    }

    #[test]
    fn a_voter_that_lags_is_not_asked() {
        let mut two = outlook(SLOW_LOG, [Some(WELL), Some(WELL)]);
        two.last_log = Some(100 + MAX_LAG);
        assert_eq!(heir(&two), Some(1));
        two.last_log = Some(101 + MAX_LAG);
        assert_eq!(heir(&two), None);
        let behind = Condition { applied: Some(99 - MAX_LAG), ..WELL };
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(behind), Some(WELL), Some(WELL), Some(WELL)])), Some(2));
        assert_eq!(heir(&outlook(SLOW_LOG, [Some(behind), Some(WELL)])), None);
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        let sync = proptest::option::of((1_u64..2_000, 1_u64..2_000));
        let room = prop_oneof![4 => Just(Room::Ample), 1 => Just(Room::Scarce), 1 => Just(Room::None)];
        (90_u64..=100, 80_u64..=100, room, sync).prop_map(|(applied, height, room, sync)| Condition {
            applied: Some(applied),
            height,
            room,
            sync: sync.and_then(|(a, b)| syncs(a.min(b), a.max(b))),
        })
    }

    prop_compose! {
        /// Most of it sound, so that there is an heir often enough.
        fn any_outlook()(
            own in prop_oneof![Just(SLOW_LOG), Just(DISK_FULL), any_condition()],
            others in proptest::collection::vec(
                (95_u64..=100, 80_u64..=100, proptest::option::weighted(0.9, prop_oneof![3 => Just(WELL), 1 => any_condition()])),
                0..7,
            ),
            last_log in 100_u64..104,
            calm in 50_u64..200,
        ) -> Outlook {
            let voter = |(number, (matched, height, condition)): (u8, (u64, u64, Option<Condition>))| {
                let condition = condition.map(|condition| Condition { height, ..condition });
                Voter { node: node(number), matched: Some(matched), condition }
            };
            Outlook {
                last_log: Some(last_log),
                calm: Duration::from_secs(calm),
                others: (1..).zip(others).map(voter).collect(),
                ..outlook(own, [])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        /// Said in other words than the code does.
        #[test]
        fn an_heir_is_reachable_and_caught_up_and_better(outlook in any_outlook()) {
            let Some((heir, _)) = outlook.heir(near) else { return Ok(()) };
            prop_assert!(outlook.calm >= outlook.cool_down);
            let full = |condition: &Condition| condition.room == Room::None;
            let ms = |sync: Option<Syncs>, of: fn(Syncs) -> Duration| sync.map(|sync| of(sync).as_millis());
            let own = outlook.own;
            let own_best = ms(own.sync, |sync| sync.best);
            prop_assert!(full(&own) || own_best.is_some_and(|ms| ms >= 500));
            let voter = outlook.others.iter().find(|voter| voter.node == heir).unwrap();
            let condition = voter.condition.unwrap();
            let last = outlook.last_log.unwrap();
            prop_assert!(last - voter.matched.unwrap() <= 3 && last - condition.applied.unwrap() <= 3);
            let worst = ms(condition.sync, |sync| sync.worst);
            prop_assert!(!full(&condition) && worst.is_none_or(|ms| ms < 500));
            let faster = worst.zip(own_best).is_some_and(|(worst, best)| 4 * worst <= best);
            prop_assert!(if full(&own) { condition.room == Room::Ample } else { faster }, "{:?}", condition);
            let well = outlook.others.iter().filter_map(|voter| voter.condition).filter(|condition| {
                !full(condition) && ms(condition.sync, |sync| sync.worst).is_none_or(|ms| ms < 500)
            });
            prop_assert!(2 * well.count() > outlook.others.len() + 1);
        }

        #[test]
        fn nobody_stands_in_for_a_leader_that_is_well(outlook in any_outlook()) {
            prop_assert_eq!(Outlook { own: WELL, ..outlook }.heir(near), None);
        }
    }
}
