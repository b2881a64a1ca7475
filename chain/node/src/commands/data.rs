//! `data`: the larger data sets, fetched through the clients of the registries that ship them.

use std::fmt;

use serde::Serialize;
use tensor_datasets::{Cache, Name, Sha256, Source, State, fetch::fetch};

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::format::grouped;
use crate::output;
use crate::progress::Progress;

/// Data sets in the cache.
#[derive(Serialize)]
struct FetchedSets {
    fetched: Vec<FetchedSet>,
}

#[derive(Serialize)]
struct FetchedSet {
    name: Name,
    path: String,
    sha256: Sha256,
    was_there: bool,
    licence: String,
    terms: Option<String>,
}

impl fmt::Display for FetchedSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for FetchedSet { name, path, sha256, was_there, licence, terms } in &self.fetched {
            writeln!(f, "{name}: {}", if *was_there { "was there already" } else { "fetched" })?;
            writeln!(f, "  file     {path}\n  sha256   {sha256}\n  licence  {licence}")?;
            if let Some(terms) = terms {
                writeln!(f, "  terms    {terms}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn fetch_sets(config: &Config, names: &[Name]) -> Result<(), Failure> {
    let (cache, sources) = (cache()?, sources(names)?);
    let progress = Progress::new(config, "fetching", sources.len());
    let mut fetched = Vec::new();
    for source in sources {
        let done = fetch(&source, &cache).map_err(|error| Failure::of_fetch(source.name, &error))?;
        progress.step();
        fetched.push(FetchedSet {
            name: source.name,
            path: cache.path(&source).display().to_string(),
            sha256: done.sha256,
            was_there: done.was_there,
            licence: source.licence,
            terms: source.terms,
        });
    }
    drop(progress);
    Ok(output::answer(config.output, &FetchedSets { fetched })?)
}

/// What there is to fetch, and what has been.
#[derive(Serialize)]
struct Listed {
    cache: String,
    sets: Vec<ListedSet>,
}

#[derive(Serialize)]
struct ListedSet {
    name: Name,
    title: String,
    /// Absent where it depends on when the set is fetched, as is `dim`.
    rows: Option<u64>,
    dim: Option<u64>,
    bytes: u64,
    present: bool,
    path: String,
    licence: String,
    terms: Option<String>,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cache {}\n", self.cache)?;
        writeln!(f, "{:<20} {:<7} {:>15} {:>9}  licence", "name", "cached", "rows × dim", "size")?;
        for ListedSet { name, rows, dim, bytes, present, licence, .. } in &self.sets {
            let shape = rows.zip(*dim).map(|(rows, dim)| format!("{} × {}", grouped(rows), grouped(dim)));
            let shape = shape.unwrap_or_else(|| "varies".to_owned());
            let cached = if *present { "yes" } else { "no" };
            let size = format!("{:.1} MB", *bytes as f64 / 1e6);
            writeln!(f, "{:<20} {cached:<7} {shape:>15} {size:>9}  {licence}", name.as_str())?;
        }
        Ok(())
    }
}

pub(super) fn list(config: &Config) -> Result<(), Failure> {
    let cache = cache()?;
    let mut sets = Vec::new();
    for source in sources(&[])? {
        let len = cache.len(&source)?;
        sets.push(ListedSet {
            name: source.name,
            path: cache.path(&source).display().to_string(),
            rows: source.rows,
            dim: source.dim,
            bytes: len.unwrap_or(source.bytes),
            present: len.is_some(),
            title: source.title,
            licence: source.licence,
            terms: source.terms,
        });
    }
    Ok(output::answer(config.output, &Listed { cache: cache.folder().display().to_string(), sets })?)
}

/// What hashing the cache again showed.
#[derive(Serialize)]
struct Verified {
    cache: String,
    sets: Vec<VerifiedSet>,
}

#[derive(Serialize)]
struct VerifiedSet {
    name: Name,
    state: &'static str,
    sha256: Option<Sha256>,
    expected: Option<Sha256>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cache {}\n", self.cache)?;
        for VerifiedSet { name, state, sha256, expected } in &self.sets {
            write!(f, "{:<20} {state}", name.as_str())?;
            match (sha256, expected) {
                (Some(got), Some(expected)) if got != expected => {
                    writeln!(f, "\n  got      {got}\n  expected {expected}")?;
                }
                (Some(got), _) => writeln!(f, "  {got}")?,
                (None, _) => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Exit 5 if a data set is not as it was made, 1 if one that was named is absent.
pub(super) fn verify(config: &Config, names: &[Name]) -> Result<(), Failure> {
    let cache = cache()?;
    let (mut sets, mut absent, mut changed) = (Vec::new(), false, false);
    for source in sources(names)? {
        let (state, sha256, expected) = match cache.verify(&source)? {
            State::Absent => ("absent", None, None),
            State::Sound { sha256 } => ("sound", Some(sha256), Some(sha256)),
            State::Changed { got, expected } => ("CHANGED", Some(got), Some(expected)),
        };
        absent |= sha256.is_none();
        changed |= sha256 != expected;
        sets.push(VerifiedSet { name: source.name, state, sha256, expected });
    }
    output::answer(config.output, &Verified { cache: cache.folder().display().to_string(), sets })?;
    if changed {
        let message = "a data set is not as it was made; `tensorchain data fetch` makes it again";
        return Err(Failure::new(Exit::Mismatch, message));
    }
    if absent && !names.is_empty() {
        return Err(Failure::new(Exit::Failed, "a data set is absent; `tensorchain data fetch` fetches it"));
    }
    Ok(())
}

fn cache() -> Result<Cache, Failure> {
    Ok(Cache::from_env()?)
}

/// The data sets of these names; of none, all.
fn sources(names: &[Name]) -> Result<Vec<Source>, Failure> {
    let mut sources = Source::all().map_err(|error| Failure::new(Exit::Failed, error))?;
    sources.retain(|source| names.is_empty() || names.contains(&source.name));
    Ok(sources)
}
