//! `cluster`: what operators ask of a cluster and do to it, over the API of its nodes.

use std::fmt;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tensor_client::blocking::Node;
use tensor_client::{Admin, ClientConfig, ClientError, wire};

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// How long a node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// What can be done with a cluster. All but `status` need the admin token: TENSORCHAIN_ADMIN_TOKEN.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make a cluster of the one node that is asked.
    Init,
    /// Say how the cluster is: exit code 0 healthy, 3 degraded, 4 no quorum.
    Status,
    /// Print a ticket with which one node may join: `tensorchain node --join TICKET`.
    Ticket {
        /// For how long, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        valid_for: u64,
    },
    /// Add a node that receives the log and does not vote; for a member, change its addresses.
    AddLearner(PeerArgs),
    /// Give a learner a vote that has caught up.
    Promote {
        /// Its id.
        node: String,
        /// Whether it has caught up or not, and however short after the last change; refused all the same where that
        /// would take the quorum away.
        #[arg(long)]
        force: bool,
    },
    /// Remove a member.
    Remove {
        /// Its id.
        node: String,
    },
    /// Make another voter lead.
    Transfer {
        /// Its id.
        node: String,
    },
    /// Have the node that is asked write a snapshot and forget the log below it.
    Snapshot,
}

/// A node and where it listens.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// Its id.
    node: String,
    /// Where it listens for other nodes.
    #[arg(value_name = "HOST:PORT")]
    peer_address: String,
    /// Where it listens for clients.
    #[arg(value_name = "HOST:PORT")]
    http_address: String,
}

/// The nodes to ask: those that were named, or the one that listens here.
pub(super) fn endpoints(config: &Config) -> Vec<String> {
    match config.endpoints.is_empty() {
        true => vec![format!("http://{}", config.node.listen_http)],
        false => config.endpoints.clone(),
    }
}

/// The same client, allowed to change the cluster.
pub(super) fn admin(config: &Config, node: &Node) -> Result<Admin, Failure> {
    let missing = || Failure::new(Exit::Usage, "this needs the admin token: set TENSORCHAIN_ADMIN_TOKEN");
    Ok(node.client().admin(config.node.admin_token.as_ref().ok_or_else(missing)?.reveal()))
}

/// How the first node that answers sees the cluster.
pub(super) fn seen(config: &Config) -> Result<wire::Status, Failure> {
    let endpoints = endpoints(config);
    // Time for each, should those before it hang.
    let deadline = STATUS_TIMEOUT.saturating_mul(endpoints.len().try_into().unwrap_or(u32::MAX));
    let node = Node::new(&endpoints, ClientConfig { attempt_timeout: STATUS_TIMEOUT, deadline })?;
    Ok(node.wait(node.client().status())?)
}

pub(super) fn run(config: &Config, command: ClusterCommand) -> Result<(), Failure> {
    let node = Node::new(endpoints(config), ClientConfig::default())?;
    let admin = || admin(config, &node);
    match command {
        ClusterCommand::Init => done(config, "initialized", node.wait(admin()?.initialize())),
        ClusterCommand::Status => status(config),
        ClusterCommand::Ticket { valid_for } => {
            let ticket = node.wait(admin()?.issue_ticket(valid_for))?;
            Ok(output::answer(config.output, &Ticket { ticket })?)
        }
        ClusterCommand::AddLearner(PeerArgs { node: id, peer_address, http_address }) => {
            let peer = wire::Peer { node: id, peer_address, http_address };
            done(config, "added", node.wait(admin()?.add_learner(&peer)))
        }
        ClusterCommand::Promote { node: id, force: false } => {
            done(config, "promoted", node.wait(admin()?.promote(&id)))
        }
        ClusterCommand::Promote { node: id, force: true } => {
            done(config, "promoted", node.wait(admin()?.promote_by_force(&id)))
        }
        ClusterCommand::Remove { node: id } => done(config, "removed", node.wait(admin()?.remove(&id))),
        ClusterCommand::Transfer { node: id } => done(config, "asked", node.wait(admin()?.transfer(&id))),
        ClusterCommand::Snapshot => done(config, "asked", node.wait(admin()?.snapshot())),
    }
}

/// That something was done.
#[derive(Serialize)]
struct Done {
    done: &'static str,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.done)
    }
}

fn done(config: &Config, what: &'static str, outcome: Result<(), ClientError>) -> Result<(), Failure> {
    outcome?;
    Ok(output::answer(config.output, &Done { done: what })?)
}

#[derive(Serialize)]
struct Ticket {
    ticket: String,
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ticket)
    }
}

/// How a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// Every member answers and is healthy.
    Healthy,
    /// A majority of the voters has a leader, and not everyone is healthy.
    Degraded,
    /// No majority of the voters answers and knows a leader.
    NoQuorum,
}

impl Health {
    /// Of the members as they were found.
    fn of(members: &[MemberStatus]) -> Self {
        let voters = members.iter().filter(|member| member.voter);
        let (mut count, mut led) = (0, 0);
        for voter in voters {
            count += 1;
            // One that answers and knows no leader is of no more use to a client than one that does not answer.
            led += usize::from(voter.status.as_ref().is_some_and(|status| status.leader.is_some()));
        }
        let healthy = |member: &MemberStatus| {
            member.status.as_ref().is_some_and(|status| status.health.status == wire::Band::Healthy)
        };
        match (members.iter().all(healthy), led * 2 > count) {
            (_, false) => Self::NoQuorum,
            (true, true) => Self::Healthy,
            (false, true) => Self::Degraded,
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Healthy => Exit::Ok,
            Self::Degraded => Exit::Degraded,
            Self::NoQuorum => Exit::Unavailable,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "is healthy",
            Self::Degraded => "is degraded",
            Self::NoQuorum => "has no quorum",
        })
    }
}

/// The cluster as one node lists it, and each member in its own words.
#[derive(Serialize)]
struct ClusterStatus {
    health: Health,
    members: Vec<MemberStatus>,
}

#[derive(Serialize)]
struct MemberStatus {
    node: String,
    http_address: String,
    voter: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<wire::Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {}", self.health)?;
        writeln!(
            f,
            "{:<12}  {:<8}  {:<9}  {:>5}  {:>9}  {:>9}  {:>9}  {:<12}  clients",
            "node", "", "role", "term", "applied", "height", "final", "state"
        )?;
        for MemberStatus { node, http_address, voter, status, error } in &self.members {
            let kind = if *voter { "voter" } else { "learner" };
            write!(f, "{:.12}  {kind:<8}  ", node)?;
            match (status, error) {
                (Some(status), _) => writeln!(
                    f,
                    "{:<9}  {:>5}  {:>9}  {:>9}  {:>9}  {:.12}  http://{http_address}",
                    status.role,
                    status.term,
                    status.applied.unwrap_or(0),
                    status.height,
                    status.finalized.as_ref().map_or(0, |finalized| finalized.height),
                    status.state_hash,
                )?,
                (None, error) => {
                    writeln!(f, "http://{http_address}: {}", error.as_deref().unwrap_or("no answer"))?
                }
            }
        }
        for MemberStatus { node, status, .. } in &self.members {
            let checks = status.iter().flat_map(|status| &status.health.checks);
            for check in checks.filter(|check| check.band != wire::Band::Healthy) {
                writeln!(f, "{node:.12}  {check}")?;
            }
        }
        if self.health == Health::NoQuorum {
            writeln!(
                f,
                "no majority of the voters has a leader: start those that are down, and never wipe one to help"
            )?;
        }
        Ok(())
    }
}

fn status(config: &Config) -> Result<(), Failure> {
    let seen = seen(config)?;
    if seen.members.is_empty() {
        let message =
            format!("node {} is not part of a cluster yet: `tensorchain cluster init` makes one", seen.node);
        return Err(Failure::new(Exit::Unavailable, message));
    }
    let timeouts = ClientConfig { attempt_timeout: STATUS_TIMEOUT, deadline: STATUS_TIMEOUT };
    let mut members = Vec::with_capacity(seen.members.len());
    for wire::Member { node: id, http_address, voter, .. } in seen.members {
        let asked = Node::new([format!("http://{http_address}")], timeouts)
            .and_then(|node| node.wait(node.client().status()));
        let (status, error) = match asked {
            Ok(status) if status.node != id => {
                (None, Some(format!("node {:.12} answers there", status.node)))
            }
            Ok(status) => (Some(status), None),
            Err(ClientError::Unavailable { last }) => (None, Some(last.to_string())),
            Err(error) => (None, Some(error.to_string())),
        };
        members.push(MemberStatus { node: id, http_address, voter, status, error });
    }
    let health = Health::of(&members);
    output::answer(config.output, &ClusterStatus { health, members })?;
    match health.exit() {
        Exit::Ok => Ok(()),
        exit => Err(Failure::silent(exit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use wire::Band::{self, Critical, Healthy, Warning};

    fn member(voter: bool, found: Option<(bool, Band)>) -> MemberStatus {
        let leader = json!({ "node": "a", "http_address": "b" });
        let status = found.map(|(led, band)| {
            let status = json!({
                "node": "a", "role": "follower", "term": 1, "height": 0, "tip_hash": "", "state_hash": "",
                "members": [], "version": "", "isa": "", "device": "", "uptime_ms": 0,
                "leader": led.then_some(leader), "health": { "status": band, "checks": [] },
            });
            serde_json::from_value(status).unwrap()
        });
        MemberStatus { node: "a".to_owned(), http_address: "b".to_owned(), voter, status, error: None }
    }

    #[test]
    fn a_majority_of_the_voters_with_a_leader_is_a_quorum() {
        let well = Some((true, Healthy));
        let voters = |found: &[Option<(bool, Band)>]| {
            Health::of(&found.iter().map(|found| member(true, *found)).collect::<Vec<_>>())
        };
        assert_eq!(voters(&[well, well, well]), Health::Healthy);
        assert_eq!(voters(&[well, None, well]), Health::Degraded);
        assert_eq!(voters(&[well, Some((true, Warning)), well]), Health::Degraded);
        assert_eq!(voters(&[well, Some((false, Critical)), well]), Health::Degraded);
        assert_eq!(voters(&[well, None, None]), Health::NoQuorum);
        assert_eq!(voters(&[Some((false, Critical)); 3]), Health::NoQuorum, "they answer, and nobody leads");
        assert_eq!(voters(&[well, None]), Health::NoQuorum);
        assert_eq!(voters(&[]), Health::NoQuorum);
        // A learner that is away degrades, and one that is there does not help.
        assert_eq!(Health::of(&[member(true, well), member(false, None)]), Health::Degraded);
        assert_eq!(Health::of(&[member(true, None), member(false, well)]), Health::NoQuorum);
    }
}
