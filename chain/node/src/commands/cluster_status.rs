//! `cluster status`: how a cluster is, in the words of everyone who may know: the nodes at the endpoints that were
//! named, and the members that they list. It always answers, also where nobody else does.

use std::fmt;

use futures_util::future::join_all;
use serde::Serialize;
use tensor_client::blocking::Node;
use tensor_client::{Client, ClientConfig, ClientError, wire};

use super::cluster::{STATUS_TIMEOUT, endpoints};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

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
    /// Nobody who answers knows who the members are.
    Unknown,
}

impl Health {
    /// Of the members as they were found.
    fn of(members: &[MemberStatus]) -> Self {
        if members.is_empty() {
            return Self::Unknown;
        }
        let voters = members.iter().filter(|member| member.voter);
        let (mut count, mut led) = (0, 0);
        for voter in voters {
            count += 1;
            // One that answers and knows no leader is of no more use to a client than one that does not answer.
            led += usize::from(voter.said.status().is_some_and(|status| status.leader.is_some()));
        }
        let healthy = |member: &MemberStatus| {
            member.said.status().is_some_and(|status| status.health.status == wire::Band::Healthy)
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
            Self::NoQuorum | Self::Unknown => Exit::Unavailable,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "is healthy",
            Self::Degraded => "is degraded",
            Self::NoQuorum => "has no quorum",
            Self::Unknown => "is in an unknown state: no member answers",
        })
    }
}

/// What a node says of itself, or why it says nothing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Status(Box<wire::Status>),
    Error(String),
}

impl Said {
    fn status(&self) -> Option<&wire::Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Error(_) => None,
        }
    }
}

/// The cluster as one node lists it, each member in its own words, and what came of each endpoint that was named.
#[derive(Serialize)]
struct ClusterStatus {
    health: Health,
    members: Vec<MemberStatus>,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Serialize)]
struct MemberStatus {
    node: String,
    http_address: String,
    voter: bool,
    #[serde(flatten)]
    said: Said,
}

#[derive(Serialize)]
struct EndpointStatus {
    endpoint: String,
    #[serde(flatten)]
    said: Said,
}

impl EndpointStatus {
    /// Whether a member says that it listens there.
    fn is_of(&self, http_address: &str) -> bool {
        self.endpoint.trim_end_matches('/') == url(http_address)
    }
}

fn url(http_address: &str) -> String {
    format!("http://{http_address}")
}

impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {}", self.health)?;
        self.write_members(f)?;
        for EndpointStatus { endpoint, said } in self.endpoints_besides() {
            write!(f, "{endpoint}: ")?;
            match said {
                Said::Error(error) => writeln!(f, "{error}")?,
                Said::Status(status) if status.members.is_empty() => writeln!(
                    f,
                    "node {:.12} is not part of a cluster yet: `tensorchain cluster init` makes one",
                    status.node
                )?,
                Said::Status(status) if self.has(&status.node) => {
                    writeln!(f, "node {:.12}, whose address in the cluster is another", status.node)?
                }
                Said::Status(status) => writeln!(f, "node {:.12} is no member", status.node)?,
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

impl ClusterStatus {
    fn has(&self, node: &str) -> bool {
        self.members.iter().any(|member| member.node == node)
    }

    /// The endpoints that are not the address of a member.
    fn endpoints_besides(&self) -> impl Iterator<Item = &EndpointStatus> {
        let is_known = |endpoint: &EndpointStatus| {
            self.members.iter().any(|member| endpoint.is_of(&member.http_address))
        };
        self.endpoints.iter().filter(move |endpoint| !is_known(endpoint))
    }

    /// A line a member, and one for each value that is not as it should be.
    fn write_members(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.members.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "{:<12}  {:<8}  {:<9}  {:>5}  {:>9}  {:>9}  {:>9}  {:<12}  clients",
            "node", "", "role", "term", "applied", "height", "final", "state"
        )?;
        for MemberStatus { node, http_address, voter, said } in &self.members {
            let kind = if *voter { "voter" } else { "learner" };
            write!(f, "{:.12}  {kind:<8}  ", node)?;
            match said {
                Said::Status(status) => writeln!(
                    f,
                    "{:<9}  {:>5}  {:>9}  {:>9}  {:>9}  {:.12}  http://{http_address}",
                    status.role,
                    status.term,
                    status.applied.unwrap_or(0),
                    status.height,
                    status.finalized.as_ref().map_or(0, |finalized| finalized.height),
                    status.state_hash,
                )?,
                Said::Error(error) => writeln!(f, "http://{http_address}: {error}")?,
            }
        }
        for MemberStatus { node, said, .. } in &self.members {
            let checks = said.status().into_iter().flat_map(|status| &status.health.checks);
            for check in checks.filter(|check| check.band != wire::Band::Healthy) {
                writeln!(f, "{node:.12}  {check}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let named = endpoints(config);
    let node = Node::new(&named, ClientConfig::default())?;
    let found = node.wait(look(named));
    output::answer(config.output, &found)?;
    match found.health.exit() {
        Exit::Ok => Ok(()),
        exit => Err(Failure::silent(exit)),
    }
}

/// Asks the endpoints, then the members that they know of.
async fn look(named: Vec<String>) -> ClusterStatus {
    let ask_endpoint = async |endpoint: String| {
        let said = ask(&endpoint).await;
        EndpointStatus { endpoint, said }
    };
    let endpoints = join_all(named.into_iter().map(ask_endpoint)).await;
    let members = join_all(members(&endpoints).iter().map(|member| ask_member(member, &endpoints))).await;
    ClusterStatus { health: Health::of(&members), members, endpoints }
}

/// The members, as the node lists them that is likeliest to know: one with a leader, and of several the one that has
/// applied most. One that was removed or cut off may list others.
fn members(endpoints: &[EndpointStatus]) -> &[wire::Member] {
    let said = endpoints.iter().filter_map(|endpoint| endpoint.said.status());
    let members = said.filter(|status| !status.members.is_empty());
    let best = members.max_by_key(|status| (status.leader.is_some(), status.applied));
    best.map(|status| status.members.as_slice()).unwrap_or_default()
}

async fn ask_member(member: &wire::Member, endpoints: &[EndpointStatus]) -> MemberStatus {
    let wire::Member { node, http_address, voter, .. } = member.clone();
    let said = match endpoints.iter().find(|endpoint| endpoint.is_of(&http_address)) {
        Some(asked) => asked.said.clone(),
        None => ask(&url(&http_address)).await,
    };
    let said = match said {
        Said::Status(status) if status.node != node => {
            Said::Error(format!("node {:.12} answers there", status.node))
        }
        said => said,
    };
    MemberStatus { node, http_address, voter, said }
}

async fn ask(endpoint: &str) -> Said {
    let timeouts = ClientConfig { attempt_timeout: STATUS_TIMEOUT, deadline: STATUS_TIMEOUT };
    let asked = async { Client::with_config([endpoint], timeouts)?.status().await };
    match asked.await {
        Ok(status) => Said::Status(Box::new(status)),
        Err(ClientError::Unavailable { last }) => Said::Error(last.to_string()),
        Err(error) => Said::Error(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use wire::Band::{self, Critical, Healthy, Warning};

    fn member(voter: bool, found: Option<(bool, Band)>) -> MemberStatus {
        let leader = json!({ "node": "a", "http_address": "b" });
        let said = found.map(|(led, band)| {
            let status = json!({
                "node": "a", "role": "follower", "term": 1, "height": 0, "tip_hash": "", "state_hash": "",
                "members": [], "version": "", "isa": "", "device": "", "uptime_ms": 0,
                "leader": led.then_some(leader), "health": { "status": band, "checks": [] },
            });
            Said::Status(serde_json::from_value(status).unwrap())
        });
        let said = said.unwrap_or_else(|| Said::Error("cannot reach b".to_owned()));
        MemberStatus { node: "a".to_owned(), http_address: "b".to_owned(), voter, said }
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
        assert_eq!(voters(&[]), Health::Unknown, "nobody says who they are");
        // A learner that is away degrades, and one that is there does not help.
        assert_eq!(Health::of(&[member(true, well), member(false, None)]), Health::Degraded);
        assert_eq!(Health::of(&[member(true, None), member(false, well)]), Health::NoQuorum);
    }
}
