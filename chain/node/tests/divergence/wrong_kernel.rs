//! A node that is sound but for one kernel. Only this program has one: it runs itself again as such a node.

use std::num::NonZeroU64;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tensor_cluster::Timing;
use tensor_cluster::ticket::Ticket;
use tensor_kernels::{
    Accelerator, Backend, ConflictInput, ConflictList, Decimal, Fallback, Kernels, Opened, Request,
    ScalarBackend, Thresholds, ThresholdsBuilder,
};
use tensor_node::http::{HealthLimits, Token};
use tensor_node::node::{Node, NodeOptions};

use crate::CHECKPOINT_EVERY;

const DIR: &str = "WRONG_KERNEL_DIR";
const TICKET: &str = "WRONG_KERNEL_TICKET";
const TOKEN: &str = "WRONG_KERNEL_TOKEN";

/// This program as a node with a wrong kernel.
pub fn command(dir: &Path, ticket: Option<&str>, token: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "wrong_kernel::runs_as_a_node"]);
    command.env(DIR, dir).env(TICKET, ticket.unwrap_or_default()).env(TOKEN, token);
    command
}

/// Finds only pairs that are as good as identical: an accelerator that loses what it should have found.
#[derive(Debug)]
struct Wrong;

impl Accelerator for Wrong {
    fn name(&self) -> String {
        "wrong".to_owned()
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        if matches!(request, Request::ConflictMatrices(..)) { Ok(()) } else { Err(Fallback::NoVersion) }
    }

    fn open(&self) -> Result<Opened, Fallback> {
        Err(Fallback::Absent)
    }

    fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        _: &Thresholds,
    ) -> Result<Vec<ConflictList>, Fallback> {
        let most = |n| Decimal::from_ten_thousandths(n);
        let lenient =
            ThresholdsBuilder { conflict: most(9_900), structural: most(10_000), ..Default::default() };
        let lenient = lenient.build().unwrap();
        Ok(inputs.iter().map(|input| ScalarBackend.conflict_matrix(input, &lenient)).collect())
    }
}

#[test]
#[ignore = "not a test: what another test runs as a process"]
#[expect(clippy::print_stdout, reason = "as the program does when it listens")]
fn runs_as_a_node() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let ticket = std::env::var(TICKET).unwrap();
    let options = NodeOptions {
        data_dir: dir.into(),
        listen_peer: "127.0.0.1:0".parse().unwrap(),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        advertise_peer: None,
        advertise_http: None,
        health: HealthLimits::default(),
        join: (!ticket.is_empty()).then(|| Ticket::decode(&ticket).unwrap()),
        admin_token: Token::new(std::env::var(TOKEN).unwrap()),
        timing: Timing::wan(),
        checkpoint_every: NonZeroU64::new(CHECKPOINT_EVERY).unwrap(),
        disk_limit_percent: 95,
        kernels: Kernels::scalar().unwrap().with_accelerator(Arc::new(Wrong)),
    };
    let failure = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let node = Node::start(options).await.unwrap();
        let me = node.me();
        println!("\n{{\"node\": \"{}\", \"http_address\": \"{}\"}}", me.node, me.http_address);
        let failure = node.failed().await;
        let _ = node.shutdown().await;
        failure
    });
    std::process::exit(failure.exit().code().into());
}
