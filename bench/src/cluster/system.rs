//! What a cluster has to offer to be measured, ours or a peer's.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::error::ClusterError;
use super::load::{Asks, Came, Connection, Load, fill, name};
use crate::record::Case;

/// A cluster that runs.
pub(super) trait System {
    /// The software and its version.
    fn name(&self) -> String;

    /// Its processes.
    fn processes(&self) -> Vec<u32>;

    /// Connections for so many clients.
    fn connections(&self, clients: usize) -> BoxFuture<'_, Result<Vec<Arc<dyn Connection>>, ClusterError>>;

    /// Every key that begins with `prefix`, ascending.
    ///
    /// Fails where one was written more than once.
    fn keys_written_once(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, ClusterError>>;
}

/// Puts a load on a cluster, and checks that it holds what it acknowledged, once, and nothing else.
pub(super) async fn measure(system: &dyn System, load: &Load) -> Result<Came, ClusterError> {
    let connections = system.connections(load.clients).await?;
    fill(load, &**connections.first().ok_or(ClusterError::Nobody)?).await?;
    let came = load.run(&connections, &system.processes()).await?;
    if let Asks::Writes(per_request) = load.asks {
        let answered = came.answered.iter().enumerate();
        let expected: Vec<String> = answered
            .flat_map(|(client, &requests)| (0..requests * per_request).map(move |n| (client, n)))
            .map(|(client, n)| load.key(client, n / per_request, n % per_request))
            .collect();
        let keys = system.keys_written_once(load.prefix.clone()).await?;
        if keys != expected {
            let what = name(load.asks, load.clients, load.bytes);
            let (got, expected) = (keys.len() as u64, expected.len() as u64);
            return Err(ClusterError::OtherKeys { what, got, expected });
        }
    }
    Ok(came)
}

/// A load in the record. A run is a request; processor time is the mean of a request, of nodes and clients together.
pub(super) fn case(system: &str, load: &Load, came: &Came) -> Case {
    let (workload, unit, units) = match load.asks {
        Asks::Writes(count) => ("cluster writes", "writes", count),
        Asks::Reads(_) => ("cluster reads", "reads", 1),
    };
    let variant = name(load.asks, load.clients, load.bytes);
    let wall_s = came.kept();
    let cpu_s = (came.nodes_cpu_s + came.clients_cpu_s) / (came.requests.max(1)) as f64;
    let cpu_s = vec![cpu_s; wall_s.len()];
    let mut case = Case::new(workload, system, &variant).timed((wall_s, cpu_s), units as f64, unit);
    case.throughput = (came.requests * units) as f64 / came.seconds;
    let params = [
        ("clients", load.clients as f64),
        ("per_request", units as f64),
        ("nodes_cpu_s", came.nodes_cpu_s / came.seconds),
        ("clients_cpu_s", came.clients_cpu_s / came.seconds),
    ];
    case.params.extend(params.map(|(name, value)| (name.to_owned(), value)));
    case
}
