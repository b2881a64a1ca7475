//! `get`, `list`, `history`: what the chain holds and how it came about.

use std::fmt;

use serde::Serialize;
use tensor_chain::{Height, Transaction};

use crate::chain_dir;
use crate::config::{Config, Format};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::text::Shown;

/// Keys fetched at once by `list`.
const PAGE: usize = 1_000;

#[derive(Serialize)]
struct Value {
    key: String,
    height: u64,
    value: Shown,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

pub(super) fn get(config: &Config, key: String, at: Option<u64>) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let height = at.map_or(chain.height(), Height);
    let value = chain.get_at(&key, height)?;
    chain_dir::close(chain)?;
    let Some(bytes) = value else {
        return Err(Failure::new(Exit::Failed, format!("{key:?} has no value at height {height}")));
    };
    match config.output {
        // The bytes as they are, so that a pipe gets what was put.
        Format::Table => {
            output::bytes(&bytes)?;
            Ok(output::bytes(b"\n")?)
        }
        Format::Json => {
            let value = Shown::of(&bytes);
            Ok(output::answer(config.output, &Value { key, height: height.0, value })?)
        }
    }
}

#[derive(Serialize)]
struct Keys {
    height: u64,
    keys: Vec<String>,
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.iter().try_for_each(|key| writeln!(f, "{}", Shown::of(key.as_bytes())))
    }
}

pub(super) fn list(config: &Config, prefix: &str) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let mut keys = Vec::new();
    loop {
        let page = chain.list(prefix, keys.last().map(String::as_str), PAGE)?;
        let last = page.len() < PAGE;
        keys.extend(page);
        if last {
            break;
        }
    }
    let height = chain.height().0;
    chain_dir::close(chain)?;
    Ok(output::answer(config.output, &Keys { height, keys })?)
}

#[derive(Serialize)]
struct History {
    key: String,
    changes: Vec<Change>,
}

/// One operation on a key.
#[derive(Serialize)]
struct Change {
    height: u64,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Shown>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { height, operation, value } in &self.changes {
            write!(f, "{height:>8}  {operation:<7}")?;
            match value {
                Some(value) => writeln!(f, " {value}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

pub(super) fn history(config: &Config, key: String) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let changes =
        chain.history(&key)?.iter().map(|(height, transaction)| change(*height, transaction)).collect();
    chain_dir::close(chain)?;
    Ok(output::answer(config.output, &History { key, changes })?)
}

fn change(height: Height, transaction: &Transaction) -> Change {
    let (operation, value) = parts(transaction);
    Change { height: height.0, operation, value: value.map(Shown::of) }
}

/// An operation in a line.
pub(super) fn describe(transaction: &Transaction) -> String {
    let (operation, value) = parts(transaction);
    let key = Shown::of(transaction.key().as_bytes());
    value.map_or(format!("{operation} {key}"), |value| format!("{operation} {key} = {}", Shown::of(value)))
}

fn parts(transaction: &Transaction) -> (&'static str, Option<&[u8]>) {
    match transaction {
        Transaction::Put { data, .. } => ("put", Some(data)),
        Transaction::Update { data, .. } => ("update", Some(data)),
        Transaction::CompareAndSwap { new, .. } => ("cas", Some(new)),
        Transaction::Embed { .. } => ("embed", None),
        Transaction::Delete { .. } => ("delete", None),
    }
}
