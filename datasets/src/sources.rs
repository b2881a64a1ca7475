//! The larger data sets: which package ships each, under which licence, and what comes out of it.
//!
//! `sources.toml` beside the manifest is the list; it is part of the binary.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The list as shipped.
const SOURCES: &str = include_str!("../sources.toml");

/// The data sets by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// 60,000 handwritten digits of 28 × 28 pixels.
    Mnist,
    /// The glosses of WordNet, embedded with the static token vectors of WordLlama.
    WordnetGlosses,
    /// The packages that each Debian package depends on.
    DebianDependencies,
    /// 100,000 ratings of films by users.
    #[serde(rename = "movielens-100k")]
    Movielens100k,
}

impl Name {
    /// Every name.
    pub const ALL: [Self; 4] =
        [Self::Mnist, Self::WordnetGlosses, Self::DebianDependencies, Self::Movielens100k];

    /// The name as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::WordnetGlosses => "wordnet-glosses",
            Self::DebianDependencies => "debian-dependencies",
            Self::Movielens100k => "movielens-100k",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that stands for no data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no data set {got:?}: there are {}", Name::ALL.map(Name::as_str).join(", "))]
pub struct UnknownName {
    /// The name.
    got: String,
}

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownName { got: text.to_owned() })
    }
}

/// One data set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub name: Name,
    /// What it holds, in a few words.
    pub title: String,
    /// Under which licence.
    pub licence: String,
    /// What a user has to know before using it.
    pub terms: Option<String>,
    /// Form in the cache.
    pub format: Format,
    /// Rows; absent where they depend on when it is fetched.
    pub rows: Option<u64>,
    /// Components of a row; absent where they depend on when it is fetched.
    pub dim: Option<u64>,
    /// Fewest rows that are believed, where `rows` is absent.
    pub least_rows: Option<u64>,
    /// Bytes in the cache, roughly where they depend on when it is fetched.
    pub bytes: u64,
    /// Digest of the file in the cache; absent where it depends on when it is fetched.
    pub sha256: Option<Sha256>,
    /// What it is made of.
    pub packages: Vec<Package>,
}

/// Form of a data set in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Dense f32.
    Npy,
    /// CSR.
    Npz,
}

impl Format {
    /// Extension of its files.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Npz => "npz",
        }
    }
}

/// A package that ships data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Who fetches it.
    pub client: Client,
    /// Its name.
    pub name: String,
    /// Its version; absent where the client takes what its lists offer.
    pub version: Option<String>,
    /// The files of it that are used.
    pub files: Vec<PackageFile>,
}

/// The program that fetches a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// `npm pack`
    Npm,
    /// `pip download`
    Pip,
    /// `apt-get download`, unpacked by `dpkg-deb`
    AptGet,
    /// `apt-cache dumpavail`: no package but the list of all.
    AptCache,
}

/// A file inside a package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Where it lies there.
    pub path: String,
    /// Its digest.
    pub sha256: Sha256,
}

/// A list of data sets that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the list of data sets: {0}")]
pub struct SourcesError(#[from] toml::de::Error);

/// The file as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    source: Vec<Source>,
}

impl Source {
    /// Every data set, in the order of [`Name::ALL`].
    ///
    /// # Errors
    /// None for the list as shipped; a test holds it to that.
    pub fn all() -> Result<Vec<Self>, SourcesError> {
        Ok(toml::from_str::<List>(SOURCES)?.source)
    }

    /// Its file in the cache.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.format.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_name_once_and_in_order() {
        let sources = Source::all().unwrap();
        assert_eq!(sources.iter().map(|source| source.name).collect::<Vec<_>>(), Name::ALL);
        for source in &sources {
            assert_eq!(source.name.as_str().parse(), Ok(source.name));
            // Either everything is known beforehand or what is made is checked for its structure.
            let known = [source.rows.is_some(), source.dim.is_some(), source.sha256.is_some()];
            assert_eq!(known, [source.least_rows.is_none(); 3], "{}", source.name);
            assert!(!source.packages.is_empty());
        }
    }

    #[test]
    fn an_unknown_name_says_which_there_are() {
        let error = "mnsit".parse::<Name>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no data set \"mnsit\": there are mnist, wordnet-glosses, debian-dependencies, movielens-100k"
        );
    }
}
