//! One request until it has an outcome: over several nodes, to the leader, again where that is safe, and never
//! beyond the deadline.
//!
//! What may be sent again is decided by what is known of the attempt before. Nothing was done: always. It may have
//! been done: only if doing it twice is doing it once, that is for reads, and for writes with a session's number.

use std::iter::Cycle;
use std::slice;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Response, StatusCode};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::ClientConfig;
use crate::endpoint::Endpoint;
use crate::error::{AttemptError, ClientError};
use crate::wire::{CLIENT_ID_HEADER, Kind, Problem, ProblemBody, SEQUENCE_HEADER};

/// Most bytes of an answer. The largest that a node gives is a block of 1 MiB with its text escaped.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// First pause between attempts; each is twice the one before.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause between attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<&'static str>,
    /// Session and number of a write.
    pub(crate) session: Option<(String, u64)>,
    /// The admin token.
    pub(crate) token: Option<String>,
    /// Whether it changes nothing.
    pub(crate) is_read: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether an attempt before this one may have done it as well.
    pub(crate) may_be_done_before: bool,
}

impl Request {
    pub(crate) fn read(target: String) -> Self {
        let (body, content_type) = (Bytes::new(), None);
        Self { method: Method::GET, target, body, content_type, session: None, token: None, is_read: true }
    }

    /// Whether doing it twice is doing it once.
    const fn is_repeatable(&self) -> bool {
        self.is_read || self.session.is_some()
    }
}

/// The nodes, and which of them is asked first.
#[derive(Debug)]
pub(crate) struct Exchange {
    http: Http<HttpConnector, Full<Bytes>>,
    config: ClientConfig,
    endpoints: Vec<Endpoint>,
    /// The node that answered last, or that was named as the leader.
    preferred: Mutex<Endpoint>,
}

impl Exchange {
    pub(crate) fn new(endpoints: Vec<Endpoint>, config: ClientConfig) -> Result<Self, ClientError> {
        let preferred = Mutex::new(endpoints.first().ok_or(ClientError::NoEndpoint)?.clone());
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.attempt_timeout));
        connector.set_nodelay(true);
        let http = Http::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { http, config, endpoints, preferred })
    }

    /// Sends a request until it has an outcome.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, ClientError> {
        let mut attempts = Attempts::new(self, request, self.preferred());
        while let Some((endpoint, deadline)) = attempts.next() {
            match self.attempt(&endpoint, request, deadline).await {
                Ok(answer) => {
                    self.prefer(endpoint);
                    return Ok(Answer { may_be_done_before: attempts.may_be_done, ..answer });
                }
                Err(error) => attempts.failed(endpoint, error).await?,
            }
        }
        Err(attempts.give_up())
    }

    /// Sends a request until an answer begins, which may go on for ever; starts with the endpoint after `failed`, if given.
    /// Says which node answers.
    pub(crate) async fn open_stream(
        &self,
        request: &Request,
        failed: Option<&Endpoint>,
    ) -> Result<(Endpoint, Incoming), ClientError> {
        let first = failed.and_then(|failed| self.behind(failed).cloned());
        let mut attempts = Attempts::new(self, request, first.unwrap_or_else(|| self.preferred()));
        while let Some((endpoint, deadline)) = attempts.next() {
            match self.begin(&endpoint, request, deadline).await {
                Ok(body) => {
                    self.prefer(endpoint.clone());
                    return Ok((endpoint, body));
                }
                Err(error) => attempts.failed(endpoint, error).await?,
            }
        }
        Err(attempts.give_up())
    }

    /// Sends a request once; the body of the answer is still to come.
    async fn begin(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Instant,
    ) -> Result<Incoming, AttemptError> {
        let response = self.open(endpoint, request, deadline).await?;
        match response.status().is_success() {
            true => Ok(response.into_body()),
            false => Err(whole(endpoint, response, deadline).await?.problem(endpoint)),
        }
    }

    /// Sends a request once and reads the whole answer.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, AttemptError> {
        let response = self.open(endpoint, request, deadline).await?;
        let answer = whole(endpoint, response, deadline).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.problem(endpoint)) }
    }

    /// Sends a request; the answer's body is still to be read.
    async fn open(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response<Incoming>, AttemptError> {
        let not_sent = |reason: String| AttemptError::NotConnected { endpoint: endpoint.to_string(), reason };
        let uri = endpoint.uri(&request.target).map_err(|error| not_sent(error.to_string()))?;
        let mut builder = hyper::Request::builder().method(request.method.clone()).uri(uri);
        if let Some(content_type) = request.content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        if let Some((client, sequence)) = &request.session {
            builder = builder.header(CLIENT_ID_HEADER, client).header(SEQUENCE_HEADER, *sequence);
        }
        if let Some(token) = &request.token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            builder.body(Full::new(request.body.clone())).map_err(|error| not_sent(error.to_string()))?;
        match timeout_at(deadline, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(not_sent(chain_of(&error))),
            Ok(Err(error)) => Err(broken(endpoint, chain_of(&error))),
            Err(_) => Err(broken(endpoint, "no answer in time".to_owned())),
        }
    }

    /// The node to ask first.
    pub(crate) fn preferred(&self) -> Endpoint {
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn prefer(&self, endpoint: Endpoint) {
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner) = endpoint;
    }

    /// Asks another node first from now on, where it was this one: it does not answer.
    fn avoid(&self, endpoint: &Endpoint) {
        let mut preferred = self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        if *preferred == *endpoint {
            self.behind(endpoint).into_iter().for_each(|next| preferred.clone_from(next));
        }
    }

    /// The node behind this one in the list, around its end.
    fn behind(&self, endpoint: &Endpoint) -> Option<&Endpoint> {
        let behind = self.endpoints.iter().skip_while(|other| *other != endpoint).skip(1);
        behind.chain(&self.endpoints).next()
    }

    /// How long a request may take in all.
    pub(crate) const fn patience(&self) -> Duration {
        self.config.deadline
    }
}

/// Which node to ask next, and whether to ask again at all.
///
/// Not a loop around a closure: futures of such closures are not known to be `Send`, and a client's have to be.
struct Attempts<'e> {
    exchange: &'e Exchange,
    request: &'e Request,
    deadline: Instant,
    next: Endpoint,
    others: Cycle<slice::Iter<'e, Endpoint>>,
    pause: Duration,
    /// Whether the last attempt went where a node said that the leader is.
    led: bool,
    last: AttemptError,
    may_be_done: bool,
}

impl<'e> Attempts<'e> {
    fn new(exchange: &'e Exchange, request: &'e Request, first: Endpoint) -> Self {
        Self {
            exchange,
            request,
            deadline: Instant::now() + exchange.config.deadline,
            next: first,
            others: exchange.endpoints.iter().cycle(),
            pause: FIRST_PAUSE,
            led: false,
            last: AttemptError::NotTried,
            may_be_done: false,
        }
    }

    /// The node to ask and until when to wait for it; `None` when the time is over.
    fn next(&self) -> Option<(Endpoint, Instant)> {
        let now = Instant::now();
        let attempt_deadline = self.deadline.min(now + self.exchange.config.attempt_timeout);
        (now < self.deadline).then(|| (self.next.clone(), attempt_deadline))
    }

    /// Waits until the next attempt, if there may be another.
    async fn failed(&mut self, endpoint: Endpoint, error: AttemptError) -> Result<(), ClientError> {
        if let AttemptError::Problem { problem, .. } = &error
            && problem.kind() == Kind::Final
        {
            // An attempt before may have been applied nonetheless, unless this is what became of it.
            return Err(match self.may_be_done && !problem.is_verdict() {
                true => ClientError::Unknown { last: error },
                false => ClientError::Refused(problem.clone()),
            });
        }
        if !matches!(error, AttemptError::Problem { .. }) {
            self.exchange.avoid(&endpoint);
        }
        let unknown = error.kind() == Kind::Unknown;
        if unknown && !self.request.is_repeatable() {
            return Err(ClientError::Unknown { last: error });
        }
        self.may_be_done |= unknown && !self.request.is_read;
        // To the leader at once, but not from one leader to the next: two nodes may name each other.
        let leader = leader_named(&error).filter(|_| !self.led);
        self.last = error;
        if let Some(leader) = leader {
            (self.next, self.led) = (leader, true);
            return Ok(());
        }
        self.led = false;
        let count = self.exchange.endpoints.len();
        let other = self.others.by_ref().take(count).find(|other| **other != endpoint);
        self.next = other.cloned().unwrap_or(endpoint);
        sleep(self.pause.min(self.deadline.saturating_duration_since(Instant::now()))).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn give_up(self) -> ClientError {
        match self.may_be_done {
            true => ClientError::Unknown { last: self.last },
            false => ClientError::Unavailable { last: self.last },
        }
    }
}

fn broken(endpoint: &Endpoint, reason: String) -> AttemptError {
    AttemptError::Broken { endpoint: endpoint.to_string(), reason }
}

/// An answer with its whole body.
async fn whole(
    endpoint: &Endpoint,
    response: Response<Incoming>,
    deadline: Instant,
) -> Result<Answer, AttemptError> {
    let (parts, body) = response.into_parts();
    match timeout_at(deadline, Limited::new(body, MAX_ANSWER_BYTES).collect()).await {
        Ok(Ok(body)) => {
            let (status, headers, body) = (parts.status, parts.headers, body.to_bytes());
            Ok(Answer { status, headers, body, may_be_done_before: false })
        }
        Ok(Err(error)) => Err(broken(endpoint, error.to_string())),
        Err(_) => Err(broken(endpoint, "the answer did not end in time".to_owned())),
    }
}

impl Answer {
    /// What an answer that is not 2xx says.
    fn problem(self, endpoint: &Endpoint) -> AttemptError {
        match serde_json::from_slice::<ProblemBody>(&self.body) {
            Ok(body) => AttemptError::Problem { endpoint: endpoint.to_string(), problem: body.error.problem },
            Err(_) => self.unintelligible(endpoint),
        }
    }

    /// Says that no node of ours answers so.
    pub(crate) fn unintelligible(&self, endpoint: &Endpoint) -> AttemptError {
        let start = self.body.get(..200).unwrap_or(&self.body);
        let body = String::from_utf8_lossy(start).into_owned();
        AttemptError::Unintelligible { endpoint: endpoint.to_string(), status: self.status, body }
    }
}

/// The leader that an attempt named.
fn leader_named(error: &AttemptError) -> Option<Endpoint> {
    match error {
        AttemptError::Problem { problem: Problem::NotLeader { leader }, .. } => {
            Endpoint::of_authority(&leader.http_address)
        }
        _ => None,
    }
}

/// An error and what it comes from, in a line: hyper's own message says only that it failed.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(problem: Problem) -> AttemptError {
        AttemptError::Problem { endpoint: "there".to_owned(), problem }
    }

    /// How a write in a session ends whose attempts come to this.
    fn end(attempts: impl IntoIterator<Item = AttemptError>) -> ClientError {
        let endpoint: Endpoint = "http://127.0.0.1:1".parse().unwrap();
        let exchange = Exchange::new(vec![endpoint.clone()], ClientConfig::default()).unwrap();
        let request =
            Request { session: Some(("1".to_owned(), 1)), is_read: false, ..Request::read(String::new()) };
        let mut tried = Attempts::new(&exchange, &request, endpoint.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let failed = |error| runtime.block_on(tried.failed(endpoint.clone(), error)).err();
        attempts.into_iter().find_map(failed).unwrap()
    }

    #[test]
    fn a_refusal_after_an_attempt_without_an_answer_is_certain_only_as_the_verdict_on_it() {
        for problem in [
            Problem::SessionExpired,
            Problem::SequenceTooOld { oldest: 2 },
            Problem::NodeFailed { reason: String::new() },
        ] {
            assert_eq!(end([said(problem.clone())]).problem(), Some(&problem));
            for lost in [said(Problem::UnknownOutcome), broken(&"http://h:1".parse().unwrap(), String::new())]
            {
                let ended = end([lost, said(Problem::NoLeader), said(problem.clone())]);
                assert!(ended.is_unknown(), "{ended}");
            }
        }
        let verdict = Problem::KeyAbsent { key: "k".to_owned() };
        assert_eq!(end([said(Problem::UnknownOutcome), said(verdict.clone())]).problem(), Some(&verdict));
    }
}
