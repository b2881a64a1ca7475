//! What must hold after every tick, by name: the safety properties of Raft and those of a chain on top of it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tensor_chain::replicated::LogPosition;
use tensor_chain::{BlockHash, NodeId, StateRoot};
use tensor_cluster::Replica;
use tensor_cluster::api::{ReplicaStatus, Role};

use crate::machine::{LOOK, Machine};
use crate::network::Network;

type Hash = [u8; 32];

/// Ticks for which a leader leads at least before it hands over by itself.
pub const CALM: u64 = 30 * LOOK;

#[derive(Default)]
pub struct Invariants {
    leaders: BTreeMap<u64, usize>,
    /// By index and term: what the entry says, and the term of the one before it.
    entries: BTreeMap<(u64, u64), (Hash, Option<u64>)>,
    /// By index, as first committed anywhere.
    committed: BTreeMap<u64, (u64, Hash)>,
    blocks: BTreeMap<u64, (BlockHash, StateRoot)>,
    votes: BTreeMap<(usize, u64), NodeId>,
    nodes: BTreeMap<usize, Seen>,
    /// Snapshots that took the place of a log.
    pub installed: u64,
    /// Times that a leader handed over by itself.
    pub handovers: u64,
}

/// What was last seen of a node.
#[derive(Default)]
struct Seen {
    /// Its log: terms by index.
    log: BTreeMap<u64, u64>,
    purged: u64,
    committed: u64,
    applied: u64,
    durable_term: u64,
    voters: Vec<NodeId>,
    /// Times in this life that it handed over by itself, and when in any.
    handovers: u64,
    handed_over: Option<u64>,
    /// When its disk was slow last.
    slow: Option<u64>,
}

/// What does not hold.
pub type Violation = String;

impl Invariants {
    /// The machine has lost what was not durable.
    pub fn crashed(&mut self, place: usize) {
        let seen = self.nodes.entry(place).or_default();
        (seen.committed, seen.applied, seen.handovers) = (0, 0, 0);
        seen.log.clear();
    }

    pub fn check(&mut self, machines: &[Machine], network: &Network) -> Result<(), Violation> {
        for machine in machines {
            self.check_votes(machine)?;
            if machine.disk.is_slow() {
                self.nodes.entry(machine.place).or_default().slow = Some(network.now());
            }
            let Some(replica) = machine.replica().filter(|_| machine.paused.is_none()) else { continue };
            let status = replica.status();
            if status.role == Role::Stopped {
                return Err(format!("a node stopped by itself: machine {}", machine.place));
            }
            self.follow_log(machine.place, replica)?;
            self.check_order(machine.place, &status)?;
            self.check_leader(machine.place, &status, network)?;
            self.check_committed(machines, machine.place, &status)?;
            self.check_blocks(machine.place, &status)?;
            self.check_handovers(machine.place, replica, network)?;
        }
        Ok(())
    }

    /// What a node has voted durably in a term it never takes back, and its term never falls.
    fn check_votes(&mut self, machine: &Machine) -> Result<(), Violation> {
        let Some((term, voted_for, elected)) = machine.disk.durable().vote else { return Ok(()) };
        let place = machine.place;
        let seen = self.nodes.entry(place).or_default();
        if term < seen.durable_term {
            return Err(format!(
                "TermMonotonicity: machine {place} went from term {} to {term}",
                seen.durable_term
            ));
        }
        seen.durable_term = term;
        if elected {
            return Ok(()); // it follows whom others have elected
        }
        match self.votes.insert((place, term), voted_for) {
            Some(before) if before != voted_for => Err(format!(
                "VoteIntegrity: machine {place} voted for {before} and for {voted_for} in term {term}"
            )),
            _ => Ok(()),
        }
    }

    /// Two logs with the same term at an index are the same up to there.
    fn follow_log(&mut self, place: usize, replica: &Replica) -> Result<(), Violation> {
        let mark = replica.log_mark();
        let seen = self.nodes.entry(place).or_default();
        let purged = mark.purged.map_or(0, |at| at.index);
        if purged > seen.purged {
            let last = seen.log.last_key_value().map_or(seen.purged, |(index, _)| *index);
            self.installed += u64::from(purged > last && last > 0);
            seen.purged = purged;
        }
        seen.log.retain(|index, _| *index >= purged);
        if let Some(LogPosition { term, index }) = mark.purged {
            seen.log.insert(index, term);
        }
        let Some(last) = mark.last else { return Ok(()) };
        let _ = seen.log.split_off(&(last.index + 1));
        if seen.log.get(&last.index) == Some(&last.term) {
            return Ok(());
        }
        // Back to where it has not changed.
        let mut from = seen.log.last_key_value().map_or(0, |(index, _)| *index);
        let entries = loop {
            let entries =
                replica.log_entries(from).map_err(|error| format!("a log cannot be read: {error}"))?;
            let same = entries.first().is_none_or(|(at, _)| seen.log.get(&at.index) == Some(&at.term));
            if same || from <= purged + 1 {
                break entries;
            }
            from -= 1;
        };
        let mut before = seen.log.range(..from).next_back().map(|(_, term)| *term);
        for (LogPosition { term, index }, bytes) in entries {
            seen.log.insert(index, term);
            let hash = Hash::from(Sha256::digest(&bytes));
            let known = self.entries.entry((index, term)).or_insert((hash, before));
            let same_before = known.1.is_none() || before.is_none() || known.1 == before;
            if known.0 != hash || !same_before {
                return Err(format!("LogMatching: machine {place} has another entry {index} of term {term}"));
            }
            known.1 = known.1.or(before);
            before = Some(term);
        }
        Ok(())
    }

    fn check_order(&mut self, place: usize, status: &ReplicaStatus) -> Result<(), Violation> {
        let seen = self.nodes.entry(place).or_default();
        let (applied, committed) = (status.applied.unwrap_or(0), status.committed.unwrap_or(0));
        if applied > committed {
            return Err(format!("AppliedIsCommitted: machine {place} applied {applied} of {committed}"));
        }
        if applied < seen.applied {
            return Err(format!("MonotoneReads: machine {place} went from {} to {applied}", seen.applied));
        }
        seen.applied = applied;
        Ok(())
    }

    fn check_leader(
        &mut self,
        place: usize,
        status: &ReplicaStatus,
        network: &Network,
    ) -> Result<(), Violation> {
        if status.role != Role::Leader {
            return Ok(());
        }
        match self.leaders.insert(status.term, place) {
            Some(other) if other != place => {
                let term = status.term;
                return Err(format!("ElectionSafety: machines {other} and {place} lead in term {term}"));
            }
            Some(_) => return Ok(()),
            None => network.line(format_args!("machine {place} leads in term {}", status.term)),
        }
        // A candidate that stood still may learn late that it was elected: what came in later terms it need not have.
        let before = self.committed.iter().rev().find(|(_, (term, _))| *term < status.term);
        let Some((index, (term, _))) = before else { return Ok(()) };
        let seen = self.nodes.entry(place).or_default();
        if seen.log.get(index) == Some(term) || seen.purged >= *index {
            return Ok(());
        }
        Err(format!(
            "LeaderCompleteness: machine {place} leads in term {} without the committed entry {index} of term {term}",
            status.term
        ))
    }

    /// What is committed stays, is the same everywhere, and is durable on a quorum.
    fn check_committed(
        &mut self,
        machines: &[Machine],
        place: usize,
        status: &ReplicaStatus,
    ) -> Result<(), Violation> {
        let voters: Vec<NodeId> =
            status.members.iter().filter(|member| member.voter).map(|member| member.peer.node).collect();
        let seen = self.nodes.entry(place).or_default();
        let before = std::mem::replace(&mut seen.voters, voters.clone());
        let committed = status.committed.unwrap_or(0);
        if committed <= seen.committed {
            return Ok(());
        }
        let news: Vec<_> = seen.log.range(seen.committed + 1..=committed).map(|(i, t)| (*i, *t)).collect();
        seen.committed = committed;
        let newest = self.committed.last_key_value().map_or(0, |(index, _)| *index);
        for &(index, term) in &news {
            let Some((hash, _)) = self.entries.get(&(index, term)) else { continue };
            let first = *self.committed.entry(index).or_insert((term, *hash));
            if first != (term, *hash) {
                let (other, _) = first;
                return Err(format!(
                    "StateMachineSafety: entry {index} is committed in term {other} and, at machine {place}, in {term}"
                ));
            }
        }
        let Some(&(index, term)) = news.last().filter(|(index, _)| *index > newest) else { return Ok(()) };
        let has = |node: &&NodeId| {
            let holder = machines.iter().find(|machine| machine.node == **node);
            holder.is_some_and(|holder| self.holds_durably(holder, index, term))
        };
        let quorum = |voters: &[NodeId]| voters.iter().filter(has).count() * 2 > voters.len();
        // A change of members may have taken effect behind the entry.
        if status.role != Role::Leader || quorum(&voters) || quorum(&before) {
            return Ok(());
        }
        Err(format!(
            "CommittedOnQuorum: machine {place} committed entry {index} of term {term} and {} of {} voters have it",
            voters.iter().filter(has).count(),
            voters.len()
        ))
    }

    fn holds_durably(&self, machine: &Machine, index: u64, term: u64) -> bool {
        let Some(seen) = self.nodes.get(&machine.place) else { return false };
        let durable = machine.disk.durable().last;
        let logged = durable.is_some_and(|last| last.index >= index && last.term >= term);
        let log = seen.log.get(&index).is_none_or(|at| *at == term);
        logged && log || seen.applied >= index && seen.purged >= index
    }

    /// By itself no leader hands over whose disk is sound, and none twice in a short time.
    fn check_handovers(
        &mut self,
        place: usize,
        replica: &Replica,
        network: &Network,
    ) -> Result<(), Violation> {
        let (now, handovers) = (network.now(), replica.handovers());
        let seen = self.nodes.entry(place).or_default();
        if handovers <= seen.handovers {
            return Ok(());
        }
        network.line(format_args!("machine {place} hands over by itself"));
        seen.handovers = handovers;
        self.handovers += 1;
        if seen.slow.is_none_or(|slow| now - slow > 4 * CALM) {
            return Err(format!("NoNeedlessHandover: machine {place} hands over and its disk is sound"));
        }
        match seen.handed_over.replace(now) {
            Some(before) if now - before < CALM => {
                Err(format!("NoFlapping: machine {place} hands over again after {} ticks", now - before))
            }
            _ => Ok(()),
        }
    }

    /// Equal heights have equal blocks and equal states.
    fn check_blocks(&mut self, place: usize, status: &ReplicaStatus) -> Result<(), Violation> {
        if status.tip_hash == BlockHash::default() {
            return Ok(());
        }
        let height = status.height.0;
        let (block, state) = *self.blocks.entry(height).or_insert((status.tip_hash, status.state_hash));
        if (block, state) == (status.tip_hash, status.state_hash) {
            return Ok(());
        }
        Err(format!("EqualState: machine {place} has another block or state at height {height}"))
    }
}
