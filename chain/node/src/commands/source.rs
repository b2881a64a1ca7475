//! Where a command's chain is: in a directory, opened for this command alone, or with a cluster that serves it.

use tensor_chain::TensorChain;
use tensor_client::Client;
use tensor_client::blocking::Node;

use crate::chain_dir;
use crate::cli::Freshness;
use crate::config::Config;
use crate::exit::Failure;

/// A chain to ask.
#[expect(clippy::large_enum_variant, reason = "one a process, and never in a collection")]
pub(super) enum Source {
    /// In a directory.
    Dir(TensorChain),
    /// With a cluster.
    Cluster(Node),
}

impl Source {
    /// The chain that the configuration names, which has to be there.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        match cluster(config)? {
            Some(node) => Ok(Self::Cluster(node)),
            None => chain_dir::open(config).map(Self::Dir),
        }
    }

    /// Ends its use.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Dir(chain) => chain_dir::close(chain),
            Self::Cluster(_) => Ok(()),
        }
    }
}

/// A client of a cluster whose reads are as fresh as asked.
pub(super) fn reader(node: &Node, freshness: Freshness) -> Client {
    node.client().with_consistency(freshness.consistency())
}

/// The cluster that the configuration names, if it names one.
pub(super) fn cluster(config: &Config) -> Result<Option<Node>, Failure> {
    match config.endpoints.is_empty() {
        true => Ok(None),
        false => Ok(Some(Node::new(&config.endpoints, Default::default())?)),
    }
}
