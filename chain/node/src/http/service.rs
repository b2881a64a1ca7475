//! What every handler has at hand: the ledger, and turns for work that would block the threads of the runtime.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tensor_chain::{ChainError, Height, TensorChain};
use tensor_client::wire::{Health, Problem};
use tensor_cluster::api::ReplicaStatus;
use tensor_kernels::Kernels;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::config::HttpConfig;
use super::evaluator::{Lately, Seen};
use super::ledger::Ledger;
use super::metrics::{Fallbacks, Metrics};
use super::refusal::Refusal;
use super::request::Consistency;

/// The state of the router.
pub(super) struct Service {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) config: HttpConfig,
    pub(super) metrics: Metrics,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) started: Instant,
    /// One permit a byte of a body that is on its way in.
    pub(super) incoming_bytes: Semaphore,
    commits_lately: Lately,
    syncs_lately: Lately,
    lookups: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

/// Which applied state a read saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadPoint {
    pub(super) height: Height,
    pub(super) applied: Option<u64>,
}

impl Service {
    pub(super) fn new(ledger: Arc<dyn Ledger>, config: HttpConfig, stop: watch::Receiver<bool>) -> Self {
        Self {
            ledger,
            metrics: Metrics::new(&config),
            stop,
            started: Instant::now(),
            commits_lately: Lately::new(),
            syncs_lately: Lately::new(),
            incoming_bytes: Semaphore::new(config.max_incoming_bytes),
            lookups: Arc::new(Semaphore::new(config.max_lookups)),
            searches: Arc::new(Semaphore::new(config.max_searches)),
            config,
        }
    }

    /// How often the device beside the CPU was asked, and what came of it.
    pub(super) fn fallbacks(&self) -> Fallbacks {
        self.config.kernels.as_ref().map(Kernels::asked).unwrap_or_default()
    }

    /// How well the node is.
    pub(super) fn health(&self, status: &ReplicaStatus) -> Health {
        let statistics = self.ledger.statistics();
        self.config.health.evaluate(&Seen {
            status,
            commits: self.commits_lately.of(self.metrics.commits()),
            log_sync: self.syncs_lately.of(statistics.log_sync.clone()),
            statistics: &statistics,
            connections: self.metrics.connections.get() as f64 / self.config.max_connections.max(1) as f64,
            fallbacks: &self.fallbacks(),
        })
    }

    /// Waits until reads are as fresh as was asked for.
    pub(super) async fn read_point(&self, consistency: Consistency) -> Result<ReadPoint, Refusal> {
        let applied = match consistency {
            Consistency::Linearizable => Some(self.ledger.read_barrier().await?),
            Consistency::Stale => self.ledger.status().applied,
        };
        Ok(ReadPoint { height: self.ledger.chain().height(), applied })
    }

    /// Asks the chain something that costs little, in turn.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        question: impl FnOnce(&TensorChain) -> Result<T, ChainError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| Problem::Stopping)?;
        self.ask(turn, question).await
    }

    /// Asks the chain for as little as the value of a key, on the spot: to hand the question to another thread and to
    /// wait for its answer would take longer than the answer.
    pub(super) fn glance<T>(
        &self,
        question: impl FnOnce(&TensorChain) -> Result<T, ChainError>,
    ) -> Result<T, Refusal> {
        Ok(question(&self.ledger.chain())?)
    }

    /// Asks the chain something that reads much of it; refused while others do.
    pub(super) async fn search<T: Send + 'static>(
        &self,
        question: impl FnOnce(&TensorChain) -> Result<T, ChainError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.searches).try_acquire_owned().map_err(|_| Problem::Busy)?;
        self.ask(turn, question).await
    }

    /// The turn goes with the work: it is not over when the client hangs up.
    async fn ask<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        question: impl FnOnce(&TensorChain) -> Result<T, ChainError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let chain = self.ledger.chain();
        let span = tracing::Span::current();
        let work = tokio::task::spawn_blocking(move || {
            let answer = span.in_scope(|| question(&chain));
            drop(turn);
            answer
        });
        let answer = work.await.map_err(|error| Problem::NodeFailed { reason: error.to_string() })?;
        Ok(answer?)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}
