//! SHA-256, plain and with a domain tag.
//!
//! Whatever is hashed or signed starts with the name of what it is, so that bytes made for one purpose are
//! never accepted for another.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// What a digest or a signature is for: hashed in front of the content as `tensor-chain/v1/<name>\0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain(&'static str);

impl Domain {
    /// The domain called `name`, which must be unique in the program and hold no zero byte.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// SHA-256 of the tag and the parts, one after the other. Parts carry no lengths: at most one may vary in
    /// length, or the parts must be self-delimiting.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        let tagged = Sha256::new().chain_update(PREFIX).chain_update(self.0).chain_update([0]);
        parts.iter().fold(tagged, Digest::chain_update).finalize().into()
    }

    /// The tag followed by `message`: what is signed.
    #[must_use]
    pub fn message(self, message: &[u8]) -> Vec<u8> {
        [PREFIX, self.0.as_bytes(), &[0], message].concat()
    }
}

const PREFIX: &[u8] = b"tensor-chain/v1/";

/// SHA-256 of the parts, one after the other, without a tag: for keys and for trees that bring tags of their own.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    parts.iter().fold(Sha256::new(), Digest::chain_update).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_vectors() {
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(sha256(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(
            hex(sha256(&[b"a", b"bc"])),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_tag_is_a_prefix() {
        let domain = Domain::new("test");
        assert_eq!(domain.hash(&[b"x", b"yz"]), sha256(&[b"tensor-chain/v1/test\0xyz"]));
        assert_eq!(domain.message(b"xyz"), b"tensor-chain/v1/test\0xyz");
        assert_ne!(domain.hash(&[b"x"]), Domain::new("other").hash(&[b"x"]));
    }
}
