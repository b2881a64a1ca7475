//! `cluster`: what operators ask of a cluster and do to it, over the API of its nodes.

use std::fmt;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tensor_client::blocking::Node;
use tensor_client::{Admin, ClientConfig, ClientError, wire};

use super::cluster_status;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// How long a node may take to say how it is.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Digits of a whole id.
const ID_DIGITS: usize = 64;

/// What can be done with a cluster. All but `status` need the admin token: TENSORCHAIN_ADMIN_TOKEN.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make a cluster of the one node that is asked.
    Init,
    /// Say how the cluster is: exit code 0 healthy, 3 degraded, 4 no quorum, or unknown as no member answers.
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
        /// Its id, or a beginning that no other member's has.
        node: String,
        /// Whether it has caught up or not, and however short after the last change; refused all the same where that
        /// would take the quorum away.
        #[arg(long)]
        force: bool,
    },
    /// Remove a member.
    Remove {
        /// Its id, or a beginning that no other member's has.
        node: String,
    },
    /// Make another voter lead.
    Transfer {
        /// Its id, or a beginning that no other member's has.
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

/// The id of the one member whose id begins so.
fn member(config: &Config, id: String) -> Result<String, Failure> {
    if id.len() == ID_DIGITS {
        return Ok(id);
    }
    let members = seen(config)?.members;
    let mut named = members.into_iter().map(|member| member.node).filter(|node| node.starts_with(&id));
    match (named.next(), named.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(Failure::new(Exit::Failed, format!("no member's id begins with {id:?}"))),
        _ => Err(Failure::new(Exit::Usage, format!("the ids of several members begin with {id:?}"))),
    }
}

pub(super) fn run(config: &Config, command: ClusterCommand) -> Result<(), Failure> {
    let node = Node::new(endpoints(config), ClientConfig::default())?;
    let admin = || admin(config, &node);
    match command {
        ClusterCommand::Init => done(config, "initialized", node.wait(admin()?.initialize())),
        ClusterCommand::Status => cluster_status::run(config),
        ClusterCommand::Ticket { valid_for } => {
            let ticket = node.wait(admin()?.issue_ticket(valid_for))?;
            Ok(output::answer(config.output, &Ticket { ticket })?)
        }
        ClusterCommand::AddLearner(PeerArgs { node: id, peer_address, http_address }) => {
            let peer = wire::Peer { node: id, peer_address, http_address };
            done(config, "added", node.wait(admin()?.add_learner(&peer)))
        }
        ClusterCommand::Promote { node: id, force: false } => {
            done(config, "promoted", node.wait(admin()?.promote(&member(config, id)?)))
        }
        ClusterCommand::Promote { node: id, force: true } => {
            done(config, "promoted", node.wait(admin()?.promote_by_force(&member(config, id)?)))
        }
        ClusterCommand::Remove { node: id } => {
            done(config, "removed", node.wait(admin()?.remove(&member(config, id)?)))
        }
        ClusterCommand::Transfer { node: id } => {
            done(config, "asked", node.wait(admin()?.transfer(&member(config, id)?)))
        }
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
