//! The client: questions and single writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::{Endpoint, encoded, with_query};
use crate::error::ClientError;
use crate::exchange::{Answer, Exchange, Request};
use crate::session::Session;
use crate::text::Data;
use crate::watch::Watch;
use crate::wire::{self, HEIGHT_HEADER, Problem, ProblemBody, ProblemDetail};
use crate::workspace::Workspace;

/// How long a client tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long one node has for its answer. Default 5 s.
    pub attempt_timeout: Duration,
    /// How long a request may take in all, over as many attempts as that allows. Default 15 s.
    pub deadline: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { attempt_timeout: Duration::from_secs(5), deadline: Duration::from_secs(15) }
    }
}

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It sees everything that was acknowledged before it was sent.
    #[default]
    Linearizable,
    /// It sees what the node that answers happens to have applied.
    Stale,
}

impl Consistency {
    pub(crate) fn param(self) -> (&'static str, Option<String>) {
        ("consistency", (self == Self::Stale).then(|| "stale".to_owned()))
    }
}

/// A value, and the height of the state it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value; `None` where the key has none.
    pub value: Option<Vec<u8>>,
    /// Height of the state.
    pub height: u64,
}

/// A client of a cluster. Cheap to clone; share it between tasks.
///
/// Writes made here are sent again only where it is certain that nothing was done. For writes that are applied once
/// however often they are sent, open a [`Session`].
///
/// ```no_run
/// # async fn example() -> Result<(), tensor_client::ClientError> {
/// use tensor_client::Client;
/// let client = Client::new(["http://127.0.0.1:8080", "http://127.0.0.1:8081"])?;
/// let receipt = client.put("greeting", "hello").await?;
/// let found = client.get("greeting").await?;
/// assert_eq!((found.value, found.height), (Some(b"hello".to_vec()), receipt.height));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    exchange: Arc<Exchange>,
    consistency: Consistency,
}

impl Client {
    /// A client of the nodes that listen at these addresses. Connects when it is first used.
    ///
    /// # Errors
    /// No address, or one that is not `http://host:port`.
    pub fn new(endpoints: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ClientError> {
        Self::with_config(endpoints, ClientConfig::default())
    }

    /// As [`new`](Self::new), with other deadlines.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_config(
        endpoints: impl IntoIterator<Item = impl AsRef<str>>,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        let endpoints: Result<Vec<Endpoint>, _> =
            endpoints.into_iter().map(|endpoint| endpoint.as_ref().parse()).collect();
        let exchange = Arc::new(Exchange::new(endpoints?, config)?);
        Ok(Self { exchange, consistency: Consistency::default() })
    }

    /// The same client, whose reads are as fresh as this: of keys, lists, histories, proofs, blocks and searches. Only
    /// transactions begin at the newest state whatever is said here.
    #[must_use]
    pub fn with_consistency(&self, consistency: Consistency) -> Self {
        Self { consistency, ..self.clone() }
    }

    /// Opens a session: its writes are applied exactly once.
    ///
    /// # Errors
    /// No node did it in time. A session that was opened by an attempt without an answer is forgotten.
    pub async fn session(&self) -> Result<Session, ClientError> {
        // An unused session does no harm, so this may be asked again.
        let request = Request { method: Method::POST, ..Request::read("/v1/session".to_owned()) };
        let session: wire::Session = self.json(&request).await?;
        Ok(Session::new(self.clone(), session.client_id))
    }

    /// Begins a transaction at the present state.
    ///
    /// # Errors
    /// No node answered in time.
    pub async fn begin(&self) -> Result<Workspace, ClientError> {
        let begun: wire::Begun = self.json(&Request::read("/v1/begin".to_owned())).await?;
        Ok(Workspace::new(self.clone(), begun.height))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// No node answered in time; a key that is empty or too long.
    pub async fn get(&self, key: &str) -> Result<Found, ClientError> {
        self.get_with(key, None, self.consistency).await
    }

    /// The value of a key, as of a height and as fresh as asked.
    ///
    /// # Errors
    /// As [`get`](Self::get); a height above the tip.
    pub async fn get_with(
        &self,
        key: &str,
        at: Option<u64>,
        consistency: Consistency,
    ) -> Result<Found, ClientError> {
        let path = format!("/v1/kv/{}", encoded(key));
        let target = with_query(&path, &[("at", at.map(|at| at.to_string())), consistency.param()]);
        match self.exchange.send(&Request::read(target)).await {
            Ok(answer) => {
                let height =
                    answer.headers.get(HEIGHT_HEADER).and_then(|height| height.to_str().ok()?.parse().ok());
                let height = height.ok_or_else(|| self.unintelligible(&answer))?;
                Ok(Found { value: Some(answer.body.to_vec()), height })
            }
            Err(ClientError::Refused(Problem::NoValue { height, .. })) => Ok(Found { value: None, height }),
            Err(error) => Err(error),
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where it may have been written nonetheless.
    pub async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<wire::Receipt, ClientError> {
        self.json(&put(key, value.into())).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where it may have been removed nonetheless.
    pub async fn delete(&self, key: &str) -> Result<wire::Receipt, ClientError> {
        self.json(&delete(key)).await
    }

    /// Writes a value where the present one is as expected, or where there is none if none is.
    ///
    /// # Errors
    /// [`Problem::ValueDiffers`] with what was found; [`ClientError::Unknown`] where it may have been written.
    pub async fn cas(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<wire::Receipt, ClientError> {
        self.json(&cas(key, expected, new)).await
    }

    /// Commits operations together.
    ///
    /// # Errors
    /// What the node refuses; [`ClientError::Unknown`] where they may have been committed.
    pub async fn commit(&self, batch: &wire::Batch) -> Result<wire::Receipt, ClientError> {
        self.json(&commit(batch)).await
    }

    /// Commits many batches that have nothing to do with each other in one request, each with its own outcome, in their
    /// order: a receipt, or why there is none. Those on the same keys are applied in their order. At most 1,000.
    ///
    /// # Errors
    /// None of them was committed; [`ClientError::Unknown`] where any may have been.
    pub async fn commit_many(
        &self,
        batches: Vec<wire::Batch>,
    ) -> Result<Vec<Result<wire::Receipt, Problem>>, ClientError> {
        self.outcomes(&commit_many(batches)).await
    }

    /// Sends batches and reads what became of each.
    pub(crate) async fn outcomes(
        &self,
        request: &Request,
    ) -> Result<Vec<Result<wire::Receipt, Problem>>, ClientError> {
        let answer = self.exchange.send(request).await?;
        let wire::Outcomes { outcomes } = self.read(&answer)?;
        let outcome = |outcome| match outcome {
            wire::Outcome::Durable(receipt) => Ok(receipt),
            // An attempt before may have been applied nonetheless, unless this is what became of it.
            wire::Outcome::Refused(ProblemBody { error: ProblemDetail { problem, .. } })
                if answer.may_be_done_before && !problem.is_verdict() =>
            {
                Err(Problem::UnknownOutcome)
            }
            wire::Outcome::Refused(body) => Err(body.error.problem),
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }

    /// A page of the keys that start with `prefix`, above `after`.
    ///
    /// # Errors
    /// No node answered in time.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<wire::Keys, ClientError> {
        self.look_up("/v1/kv", [("prefix", Some(prefix.to_owned())), ("after", after.map(str::to_owned))])
            .await
    }

    /// A page of a key's history, from a height on.
    ///
    /// # Errors
    /// No node answered in time.
    pub async fn history(&self, key: &str, from: u64) -> Result<wire::History, ClientError> {
        let path = format!("/v1/history/{}", encoded(key));
        self.look_up(&path, [("from", Some(from.to_string()))]).await
    }

    /// A proof of what the state says of a key.
    ///
    /// # Errors
    /// No node answered in time.
    pub async fn prove(&self, key: &str) -> Result<wire::Proof, ClientError> {
        self.look_up(&format!("/v1/proof/{}", encoded(key)), []).await
    }

    /// The `k` blocks whose change was most like that of a block.
    ///
    /// # Errors
    /// A height above the tip; no node answered in time.
    pub async fn similar_to_block(&self, height: u64, k: usize) -> Result<wire::Similar, ClientError> {
        self.look_up("/v1/similar", [("block", Some(height.to_string())), ("k", Some(k.to_string()))]).await
    }

    /// The `k` blocks whose change was most like a vector.
    ///
    /// # Errors
    /// A vector of another dimension than the chain's; no node answered in time.
    pub async fn similar_to_vector(&self, vector: Vec<f32>, k: usize) -> Result<wire::Similar, ClientError> {
        let target = with_query("/v1/similar", &[self.consistency.param()]);
        let request = json_body(target, &wire::SimilarQuery { vector, k });
        self.json(&Request { is_read: true, ..request }).await
    }

    /// How much the codebook misses of the changes of a range of blocks.
    ///
    /// # Errors
    /// A height above the tip; no node answered in time.
    pub async fn drift(&self, from: Option<u64>, to: Option<u64>) -> Result<wire::Drift, ClientError> {
        let params = [("from", from.map(|from| from.to_string())), ("to", to.map(|to| to.to_string()))];
        self.look_up("/v1/drift", params).await
    }

    /// A block.
    ///
    /// # Errors
    /// A height above the tip; no node answered in time.
    pub async fn block(&self, height: u64) -> Result<wire::Block, ClientError> {
        self.look_up(&format!("/v1/blocks/{height}"), []).await
    }

    /// Blocks from a height on, as they come.
    #[must_use]
    pub fn watch(&self, from: u64) -> Watch {
        Watch::new(Arc::clone(&self.exchange), from)
    }

    /// How one node sees itself and the cluster: the one that answered last.
    ///
    /// # Errors
    /// No node answered in time.
    pub async fn status(&self) -> Result<wire::Status, ClientError> {
        self.json(&Request::read("/status".to_owned())).await
    }

    /// Waits until one node can serve: until it knows a leader, or only until it answers.
    ///
    /// # Errors
    /// It could not before the deadline.
    pub async fn ready(&self, with_leader: bool) -> Result<(), ClientError> {
        let target = if with_leader { "/readyz" } else { "/readyz?noleader" };
        self.done(&Request::read(target.to_owned())).await
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Asks for something that is to be as fresh as the client says.
    async fn look_up<T: DeserializeOwned, const N: usize>(
        &self,
        path: &str,
        params: [(&str, Option<String>); N],
    ) -> Result<T, ClientError> {
        let params: Vec<_> = params.into_iter().chain([self.consistency.param()]).collect();
        self.json(&Request::read(with_query(path, &params))).await
    }

    /// Sends a request whose answer says no more than that it was done.
    pub(crate) async fn done(&self, request: &Request) -> Result<(), ClientError> {
        self.exchange.send(request).await.map(|_| ())
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        self.read(&self.exchange.send(request).await?)
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|_| self.unintelligible(answer))
    }

    /// The node answered, but not as nodes do: what became of the request is not known.
    fn unintelligible(&self, answer: &Answer) -> ClientError {
        ClientError::Unknown { last: answer.unintelligible(&self.exchange.preferred()) }
    }
}

pub(crate) fn put(key: &str, value: Vec<u8>) -> Request {
    Request {
        method: Method::PUT,
        body: value.into(),
        content_type: Some("application/octet-stream"),
        is_read: false,
        ..Request::read(format!("/v1/kv/{}", encoded(key)))
    }
}

pub(crate) fn delete(key: &str) -> Request {
    let target = format!("/v1/kv/{}", encoded(key));
    Request { method: Method::DELETE, is_read: false, ..Request::read(target) }
}

pub(crate) fn cas(key: &str, expected: Option<&[u8]>, new: &[u8]) -> Request {
    let body = wire::Cas { expected: expected.map(Data::of), new: Data::of(new) };
    json_body(format!("/v1/kv/{}/cas", encoded(key)), &body)
}

pub(crate) fn commit(batch: &wire::Batch) -> Request {
    json_body("/v1/batch".to_owned(), batch)
}

pub(crate) fn commit_many(batches: Vec<wire::Batch>) -> Request {
    json_body("/v1/batches".to_owned(), &wire::Batches { batches })
}

pub(crate) fn json_body(target: String, body: &impl Serialize) -> Request {
    // The types of the wire are made of strings and numbers: they have a JSON form.
    let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
    let content_type = Some("application/json");
    Request { method: Method::POST, body, content_type, is_read: false, ..Request::read(target) }
}
