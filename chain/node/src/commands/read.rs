//! `get`, `list`, `history`: what the chain holds and how it came about.

use std::fmt;

use serde::Serialize;
use tensor_chain::{Height, Transaction};
use tensor_client::text::Data;
use tensor_client::wire::{self, OperationName};
use tensor_client::{Client, ClientError, Found};

use super::source::{Source, reader};
use crate::answers;
use crate::cli::Freshness;
use crate::config::{Config, Format};
use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Serialize)]
struct Value {
    key: String,
    height: u64,
    value: Data,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

pub(super) fn get(
    config: &Config,
    key: String,
    at: Option<u64>,
    freshness: Freshness,
) -> Result<(), Failure> {
    let source = Source::open(config)?;
    let Found { value, height } = match &source {
        Source::Dir(chain) => {
            let height = at.map_or(chain.height(), Height);
            Found { value: chain.get_at(&key, height)?, height: height.0 }
        }
        Source::Cluster(node) => node.wait(node.client().get_with(&key, at, freshness.consistency()))?,
    };
    source.close()?;
    let Some(bytes) = value else {
        return Err(Failure::new(Exit::Failed, format!("{key:?} has no value at height {height}")));
    };
    match config.output {
        Format::Table => Ok(output::value(&bytes)?),
        Format::Json => {
            let value = Data::of(&bytes);
            Ok(output::answer(config.output, &Value { key, height, value })?)
        }
    }
}

pub(super) fn list(config: &Config, prefix: &str, freshness: Freshness) -> Result<(), Failure> {
    let source = Source::open(config)?;
    let keys = match &source {
        Source::Dir(chain) => answers::keys(chain, prefix, None, usize::MAX)?,
        Source::Cluster(node) => node.wait(all_keys(&reader(node, freshness), prefix))?,
    };
    source.close()?;
    Ok(output::answer(config.output, &keys)?)
}

/// All pages of a list. Keys written meanwhile may be among them or not.
async fn all_keys(client: &Client, prefix: &str) -> Result<wire::Keys, ClientError> {
    let mut all = client.list(prefix, None).await?;
    while all.more {
        let page = client.list(prefix, all.keys.last().map(String::as_str)).await?;
        all.keys.extend(page.keys);
        (all.height, all.more) = (page.height, page.more);
    }
    Ok(all)
}

pub(super) fn history(config: &Config, key: &str, freshness: Freshness) -> Result<(), Failure> {
    let source = Source::open(config)?;
    let page = |from| -> Result<wire::History, Failure> {
        match &source {
            Source::Dir(chain) => Ok(answers::history(chain, key, Height(from))?),
            Source::Cluster(node) => Ok(node.wait(reader(node, freshness).history(key, from))?),
        }
    };
    let mut all = page(0)?;
    while let Some(from) = all.next {
        let next = page(from)?;
        all.changes.extend(next.changes);
        all.next = next.next;
    }
    source.close()?;
    Ok(output::answer(config.output, &all)?)
}

/// An operation in a line.
pub(super) fn describe(transaction: &Transaction) -> String {
    let (operation, value) = OperationName::of(transaction);
    let key = Data::of(transaction.key().as_bytes());
    value.map_or(format!("{operation} {key}"), |value| format!("{operation} {key} = {}", Data::of(value)))
}
