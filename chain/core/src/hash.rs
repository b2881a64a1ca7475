//! SHA-256, plain and with a domain tag.
//!
//! Whatever is hashed or signed starts with the name of what it is, so that bytes made for one purpose are
//! never accepted for another.

use sha2::block_api::compress256;
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

/// SHA-256 of a tag and two hashes, one after the other: what most nodes of a tree are. The same as [`sha256`] of the
/// three; as the length is known, so is the padding.
#[must_use]
pub fn sha256_of_pair(tag: u8, left: &Hash, right: &Hash) -> Hash {
    // FIPS 180-4, section 5.3.3.
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    // Section 5.1.1: behind 65 bytes follow a one bit, zeros, and the length in bits as the last 8 bytes.
    let mut bytes = [0; 128];
    bytes[0] = tag;
    bytes[1..33].copy_from_slice(left);
    bytes[33..65].copy_from_slice(right);
    bytes[65] = 0x80;
    bytes[120..].copy_from_slice(&(65_u64 * 8).to_be_bytes());
    compress256(&mut state, bytes.as_chunks().0);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = u32::to_be_bytes(word);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pair_is_hashed_as_its_bytes(tag: u8, left: Hash, right: Hash) {
            prop_assert_eq!(sha256_of_pair(tag, &left, &right), sha256(&[&[tag], &left, &right]));
        }
    }

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
