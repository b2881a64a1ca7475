//! `ready`: whether nodes can serve, and waiting until they can.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tensor_client::blocking::Node;
use tensor_client::{ClientConfig, ClientError};

use super::cluster;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// How long a node that is asked once has for its answer.
const ONCE: Duration = Duration::from_secs(1);
/// How long to wait where nothing else was said.
const PATIENCE_MS: u64 = 30_000;

/// Arguments of `ready`.
#[derive(Debug, Args)]
pub struct ReadyArgs {
    /// Wait until all of them are ready; exit code 7 where they are not in time.
    #[arg(long)]
    wait: bool,
    /// How long to wait, in milliseconds [default: 30000].
    #[arg(long, value_name = "MS", requires = "wait")]
    timeout_ms: Option<u64>,
    /// Be content with nodes that answer but know no leader, as before `cluster init`.
    #[arg(long)]
    no_leader: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: Vec<String>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ready.iter().try_for_each(|endpoint| writeln!(f, "{endpoint} is ready"))
    }
}

pub(super) fn run(config: &Config, args: &ReadyArgs) -> Result<(), Failure> {
    let endpoints = cluster::endpoints(config);
    let patience = match args.wait {
        true => Duration::from_millis(args.timeout_ms.unwrap_or(PATIENCE_MS)),
        false => ONCE,
    };
    let began = Instant::now();
    for endpoint in &endpoints {
        let left = patience.saturating_sub(began.elapsed());
        let config = ClientConfig { attempt_timeout: ONCE, deadline: left };
        let node = Node::new([endpoint], config)?;
        node.wait(node.client().ready(!args.no_leader)).map_err(|error| not_ready(args.wait, error))?;
    }
    Ok(output::answer(config.output, &Ready { ready: endpoints })?)
}

/// In time is what was asked for with `--wait`; else it is a matter of the moment.
fn not_ready(waited: bool, error: ClientError) -> Failure {
    match error {
        ClientError::Unavailable { last } => {
            let exit = if waited { Exit::Timeout } else { Exit::Unavailable };
            Failure::new(exit, format!("not ready: {last}"))
        }
        error => error.into(),
    }
}
