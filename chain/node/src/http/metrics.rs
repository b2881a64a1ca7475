//! What the node counts, in the text format of OpenMetrics. The only place that names the metrics library.
//!
//! Names follow the rules of Prometheus: one prefix, base units, few labels with few values. Nothing is listed that
//! has no source: a metric that is always zero reads as "all is well".

use std::future::Future;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tensor_chain::{ConflictCause, Rejection};
use tensor_cluster::api::{ReplicaStatus, Role, SubmitError};
use tensor_kernels::Isa;
use tokio::time::Instant;

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
struct RoleLabels {
    role: &'static str,
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
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    commits: Histogram,
    conflicts: Family<ClassLabels, Counter>,
    height: Gauge,
    role: Family<RoleLabels, Gauge>,
    term: Gauge,
    committed: Gauge,
    applied: Gauge,
    members: Gauge,
}

/// From 0.1 ms to 13 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 2.0, 18))
}

impl Metrics {
    /// All at zero.
    pub(super) fn new(isa: Isa) -> Self {
        let mut registry = Registry::with_prefix("tensorchain");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION").to_owned()), ("isa", isa.to_string())]);
        registry.register("build", "The program and the instruction set that computes", build);
        let metrics = Self {
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            commits: seconds(),
            conflicts: Family::default(),
            height: Gauge::default(),
            role: Family::default(),
            term: Gauge::default(),
            committed: Gauge::default(),
            applied: Gauge::default(),
            members: Gauge::default(),
            registry: Registry::default(),
        };
        let gauges = [
            ("http_connections", "Open connections of clients", &metrics.connections),
            ("chain_height", "Height of the tip", &metrics.height),
            ("raft_term", "Term of the node", &metrics.term),
            (
                "raft_commit_index",
                "Last log entry known to be on the disks of a majority",
                &metrics.committed,
            ),
            ("raft_applied_index", "Last log entry applied", &metrics.applied),
            ("raft_members", "Members of the cluster, learners included", &metrics.members),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register("raft_role", "1 for the role that the node has", metrics.role.clone());
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
        let durations =
            [("block_commit_duration", "From a write's arrival until it is durable", &metrics.commits)];
        for (name, help, histogram) in durations {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
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
            Ok(_) => self.commits.observe(began.elapsed().as_secs_f64()),
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

    /// Everything as text, with the node's present status.
    pub(super) fn text(&self, status: &ReplicaStatus) -> Result<String, std::fmt::Error> {
        // Indices stay far below 2^63.
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.height.set(number(status.height.0));
        self.term.set(number(status.term));
        self.committed.set(number(status.committed.unwrap_or(0)));
        self.applied.set(number(status.applied.unwrap_or(0)));
        self.members.set(number(status.members.len() as u64));
        for role in [Role::Leader, Role::Follower, Role::Candidate, Role::Learner, Role::Stopped] {
            let gauge = self.role.get_or_create_owned(&RoleLabels { role: role_name(role) });
            gauge.set(i64::from(role == status.role));
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

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
