//! SHA-256 of files, as the sixty-four hexadecimal digits that `sha256sum` prints.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of a file, read a piece at a time.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let (mut file, mut hasher) = (File::open(path)?, sha2::Sha256::new());
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Self(hasher.finalize().into())),
                len => hasher.update(&piece[..len]),
            }
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not a SHA-256 in 64 hexadecimal digits")]
pub struct BadSha256 {
    /// The text.
    got: String,
}

impl FromStr for Sha256 {
    type Err = BadSha256;

    fn from_str(text: &str) -> Result<Self, BadSha256> {
        let bad = || BadSha256 { got: text.to_owned() };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() != 32 {
            return Err(bad());
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut digest = [0; 32];
        for (byte, &[high, low]) in digest.iter_mut().zip(pairs) {
            // Two digits of at most 15 each.
            *byte = digit(high).zip(digit(low)).map(|(high, low)| (high << 4 | low) as u8).ok_or_else(bad)?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = BadSha256;

    fn try_from(text: String) -> Result<Self, BadSha256> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Sha256::of(b"")));
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(Sha256::of_file(&manifest).unwrap(), Sha256::of(&std::fs::read(&manifest).unwrap()));
        for bad in ["", &empty[1..], &empty.replace('e', "g"), &format!("{empty}00")] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }
}
