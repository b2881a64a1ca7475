//! What the node counts, in the text format of OpenMetrics. The only place that names the metrics library.
//!
//! Names follow the rules of Prometheus: one prefix, base units, few labels with few values. Nothing is listed that
//! has no source: a metric that is always zero reads as "all is well". What happens in the API is counted here; what
//! the replica and the process say of themselves is asked for when somebody wants to read it.

mod collected;
mod process;
mod replica;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{self, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tensor_chain::{ConflictCause, Rejection};
use tensor_cluster::api::{ReplicaStatistics, ReplicaStatus, Role, SubmitError};
use tensor_cluster::histogram::{Distribution, Histogram};
use tensor_kernels::Fallback;
use tokio::time::Instant;

use super::config::HttpConfig;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// The metrics of a node.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    /// Open connections.
    pub(super) connections: Gauge,
    /// Connections that were one too many.
    pub(super) connections_refused: Counter,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, histogram::Histogram, fn() -> histogram::Histogram>,
    commits: Histogram,
    conflicts: Family<ClassLabels, Counter>,
}

/// From 0.1 ms to 13 s.
fn seconds() -> histogram::Histogram {
    histogram::Histogram::new(exponential_buckets(1e-4, 2.0, 18))
}

impl Metrics {
    /// All at zero.
    pub(super) fn new(config: &HttpConfig) -> Self {
        let mut registry = Registry::with_prefix("tensorchain");
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("isa", config.isa().to_string()),
            ("device", config.device()),
        ]);
        registry.register("build", "The program and what computes", build);
        let metrics = Self {
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            commits: Histogram::of_durations(),
            conflicts: Family::default(),
            registry: Registry::default(),
        };
        // Listed before the first: a rate that begins at nothing misses it.
        for class in ["key", "delta"] {
            drop(metrics.conflicts.get_or_create(&ClassLabels { class }));
        }
        registry.register("http_connections", "Open connections of clients", metrics.connections.clone());
        registry.register(
            "http_connections_refused",
            "Connections that were one too many",
            metrics.connections_refused.clone(),
        );
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register(
            "conflicts",
            "Writes refused because another came first",
            metrics.conflicts.clone(),
        );
        let help = "From a request's header until its answer begins";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, metrics.durations.clone());
        Self { registry, ..metrics }
    }

    /// Notes an answer.
    pub(super) fn answered(
        &self,
        route: &'static str,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        // Methods are the client's words; only those that exist become labels.
        let method = match *method {
            Method::GET => "GET",
            Method::PUT => "PUT",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        self.requests.get_or_create(&RequestLabels { route, method, status: status.as_u16() }).inc();
        self.durations.get_or_create(&RouteLabels { route }).observe(duration.as_secs_f64());
    }

    /// Waits for a commit and notes how it ended.
    pub(super) async fn commit<T>(
        &self,
        commit: impl Future<Output = Result<T, SubmitError>>,
    ) -> Result<T, SubmitError> {
        let began = Instant::now();
        let outcome = commit.await;
        self.committed(&outcome, began);
        outcome
    }

    /// Waits for commits and notes how each ended.
    pub(super) async fn commit_many<T>(
        &self,
        commits: impl Future<Output = Vec<Result<T, SubmitError>>>,
    ) -> Vec<Result<T, SubmitError>> {
        let began = Instant::now();
        let outcomes = commits.await;
        outcomes.iter().for_each(|outcome| self.committed(outcome, began));
        outcomes
    }

    fn committed<T>(&self, outcome: &Result<T, SubmitError>, began: Instant) {
        match outcome {
            Ok(_) => self.commits.took(began.elapsed()),
            Err(SubmitError::Rejected(Rejection::Conflict { cause, .. })) => {
                let class = match cause {
                    ConflictCause::Key { .. } => "key",
                    ConflictCause::Delta { .. } => "delta",
                };
                self.conflicts.get_or_create(&ClassLabels { class }).inc();
            }
            Err(_) => {}
        }
    }

    /// How long commits took so far, in seconds.
    pub(super) fn commits(&self) -> Distribution {
        self.commits.distribution()
    }

    /// Everything as text, with what the replica says of itself at the moment.
    pub(super) fn text(
        &self,
        status: ReplicaStatus,
        statistics: ReplicaStatistics,
        fallbacks: Fallbacks,
    ) -> Result<String, std::fmt::Error> {
        let mut asked = Registry::with_prefix("tensorchain");
        let commits = self.commits();
        asked.register_collector(Box::new(replica::Replica { status, statistics, commits, fallbacks }));
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Process::read()));
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry)?;
        text::encode_registry(&mut text, &asked)?;
        text::encode_registry(&mut text, &process)?;
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}

/// How often a device beside the CPU was asked for an operation, and why the CPU computed instead, if it did.
pub(super) type Fallbacks = BTreeMap<(&'static str, Option<Fallback>), u64>;

/// The name of a role in status and metrics.
pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
    }
}
