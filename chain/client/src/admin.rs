//! What operators ask of a cluster, and how a node joins one.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::timeout;

use crate::client::{Client, Consistency, json_body};
use crate::endpoint::with_query;
use crate::error::ClientError;
use crate::exchange::Request;
use crate::wire;

/// How long a stream may pause.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a snapshot was not received.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It did not begin.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It broke off.
    #[error("the node broke off: {0}")]
    Broken(String),
    /// Nothing came for a minute.
    #[error("the node sends no more")]
    Silent,
    /// It could not be taken.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A client that may change the cluster. Every request but [`initialize`](Self::initialize) goes to the leader.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    token: String,
}

impl Client {
    /// A client that shows the admin token.
    #[must_use]
    pub fn admin(&self, token: impl Into<String>) -> Admin {
        Admin { client: self.clone(), token: token.into() }
    }

    /// Asks the node that issued a ticket to let another node join.
    ///
    /// # Errors
    /// A ticket that admits nobody; no leader in time.
    pub async fn join(&self, ticket: &str, peer: &wire::Peer) -> Result<(), ClientError> {
        self.done(&json_body("/v1/join".to_owned(), &json!({ "ticket": ticket, "peer": peer }))).await
    }
}

impl Admin {
    /// Makes a cluster of one node: the one that is asked.
    ///
    /// # Errors
    /// A node that is part of a cluster; the wrong token.
    pub async fn initialize(&self) -> Result<(), ClientError> {
        let nobody_else: [wire::Peer; 0] = [];
        self.change("initialize", &json!({ "members": nobody_else })).await
    }

    /// A ticket with which one node may join.
    ///
    /// # Errors
    /// No leader in time; the wrong token.
    pub async fn issue_ticket(&self, valid_for_s: u64) -> Result<String, ClientError> {
        let request = self.request("tickets", &json!({ "valid_for_s": valid_for_s }));
        let issued: wire::IssuedTicket = self.client.json(&request).await?;
        Ok(issued.ticket)
    }

    /// Adds a node that receives the log and does not vote.
    ///
    /// # Errors
    /// What the cluster refuses; [`ClientError::Unknown`] where it may have been done.
    pub async fn add_learner(&self, peer: &wire::Peer) -> Result<(), ClientError> {
        self.change("learners", &json!(peer)).await
    }

    /// Gives a learner a vote that has caught up.
    ///
    /// # Errors
    /// As [`add_learner`](Self::add_learner).
    pub async fn promote(&self, node: &str) -> Result<(), ClientError> {
        self.change("promote", &json!({ "node": node })).await
    }

    /// Gives a learner a vote whether it has caught up or not, unless that would take the quorum away.
    ///
    /// # Errors
    /// As [`add_learner`](Self::add_learner).
    pub async fn promote_by_force(&self, node: &str) -> Result<(), ClientError> {
        self.change("promote", &json!({ "node": node, "force": true })).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// As [`add_learner`](Self::add_learner).
    pub async fn remove(&self, node: &str) -> Result<(), ClientError> {
        self.change("remove", &json!({ "node": node })).await
    }

    /// Makes another voter lead.
    ///
    /// # Errors
    /// As [`add_learner`](Self::add_learner).
    pub async fn transfer(&self, node: &str) -> Result<(), ClientError> {
        self.change("transfer", &json!({ "node": node })).await
    }

    /// Has the node that is asked write a snapshot.
    ///
    /// # Errors
    /// As [`add_learner`](Self::add_learner).
    pub async fn snapshot(&self) -> Result<(), ClientError> {
        self.change("snapshot", &json!({})).await
    }

    /// Has the node that is asked send everything that its chain has come to, a part after the other, to `take`.
    /// Without `stale` that is everything that was acknowledged anywhere; with it, what that node has applied.
    ///
    /// # Errors
    /// What the node refuses; a stream that breaks off or pauses for too long; whatever `take` says.
    pub async fn snapshot_to(
        &self,
        stale: bool,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ExportError> {
        let consistency = if stale { Consistency::Stale } else { Consistency::Linearizable };
        let target = with_query("/v1/admin/snapshot", &[consistency.param()]);
        let request = Request { token: Some(self.token.clone()), ..Request::read(target) };
        let (_, mut body) = self.client.exchange().open_stream(&request, None).await?;
        loop {
            let frame = timeout(SILENCE, body.frame()).await.map_err(|_| ExportError::Silent)?;
            match frame {
                Some(Ok(frame)) => take(frame.data_ref().map_or(&[][..], |data| &data[..]))?,
                Some(Err(error)) => return Err(ExportError::Broken(error.to_string())),
                None => return Ok(()),
            }
        }
    }

    async fn change(&self, what: &str, body: &serde_json::Value) -> Result<(), ClientError> {
        self.client.done(&self.request(what, body)).await
    }

    fn request(&self, what: &str, body: &serde_json::Value) -> Request {
        Request { token: Some(self.token.clone()), ..json_body(format!("/v1/admin/{what}"), body) }
    }
}
