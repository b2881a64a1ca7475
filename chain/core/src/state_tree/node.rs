//! Nodes of the state tree and the paths that lead to them.

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::{Hash, sha256_of_pair};

const LEAF_TAG: u8 = 0x00;
const BRANCH_TAG: u8 = 0x01;
const EMPTY_HASH: Hash = [0; 32];

/// What stands at a place of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// No key below.
    Empty,
    /// The only key below.
    Leaf { key_hash: Hash, value_hash: Hash },
    /// Two keys or more below.
    Branch { hash: Hash },
}

impl Node {
    pub fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY_HASH,
            Self::Leaf { key_hash, value_hash } => sha256_of_pair(LEAF_TAG, key_hash, value_hash),
            Self::Branch { hash } => *hash,
        }
    }

    /// The branch above two children.
    pub fn branch([left, right]: [Self; 2]) -> Self {
        Self::Branch { hash: branch_hash(&left.hash(), &right.hash()) }
    }

    /// What stands where a branch had these children, if it is no branch any more.
    pub const fn instead_of_branch(children: [Self; 2]) -> Option<Self> {
        match children {
            [Self::Empty, only @ (Self::Empty | Self::Leaf { .. })]
            | [only @ Self::Leaf { .. }, Self::Empty] => Some(only),
            _ => None,
        }
    }
}

/// Hash of a branch from those of its children.
pub(super) fn branch_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_of_pair(BRANCH_TAG, left, right)
}

/// Kind; for a leaf the two hashes, for a branch its hash.
impl Encode for Node {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Empty => writer.u8(0),
            Self::Leaf { key_hash, value_hash } => {
                writer.u8(1);
                writer.raw(key_hash);
                writer.raw(value_hash);
            }
            Self::Branch { hash } => {
                writer.u8(2);
                writer.raw(hash);
            }
        }
    }
}

impl Decode for Node {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Leaf { key_hash: reader.array()?, value_hash: reader.array()? }),
            2 => Ok(Self::Branch { hash: reader.array()? }),
            got => Err(DecodeError::UnknownTag { what: "state tree node", got }),
        }
    }
}

/// Bits of a key's hash, and so the depth below which nothing is.
pub(super) const MAX_DEPTH: usize = 256;

/// The way from the root to a place: the first `depth` bits of every key hash below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Path {
    bits: Hash,
    depth: usize,
}

impl Path {
    pub const ROOT: Self = Self { bits: [0; 32], depth: 0 };

    /// Whether a branch can be here: two different hashes differ in one of 256 bits.
    pub const fn can_branch(&self) -> bool {
        self.depth < MAX_DEPTH
    }

    /// Whether the way to a key that lies below the branch here goes on to the right.
    pub fn next_bit(&self, key_hash: &Hash) -> bool {
        bit(key_hash, self.depth)
    }

    /// The place to the left or right below the branch here.
    pub fn child(&self, right: bool) -> Self {
        let mut bits = self.bits;
        if right {
            bits[self.depth / 8] |= 0x80 >> (self.depth % 8);
        }
        Self { bits, depth: self.depth + 1 }
    }

    /// How many of the items, ascending by key hash and all below here, go to the left.
    pub fn split_point<T>(&self, items: &[T], key_hash: impl Fn(&T) -> &Hash) -> usize {
        items.partition_point(|item| !self.next_bit(key_hash(item)))
    }

    /// Key of the branch here: depth, then the bits in as few bytes as hold them.
    pub fn to_key(self) -> Vec<u8> {
        let depth = self.depth as u8; // below MAX_DEPTH where a branch can be
        [&[depth], &self.bits[..self.depth.div_ceil(8)]].concat()
    }
}

/// Bit number `position` of a hash, the highest of its first byte being 0.
pub(super) fn bit(hash: &Hash, position: usize) -> bool {
    hash[position / 8] & (0x80 >> (position % 8)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    #[test]
    fn paths_are_the_first_bits_of_the_hashes_below() {
        let path = Path::ROOT.child(true).child(false).child(true);
        assert_eq!(path.to_key(), [3, 0b1010_0000]);
        assert_eq!(Path::ROOT.to_key(), [0]);
        let mut path = Path::ROOT;
        let hash: Hash = std::array::from_fn(|byte| (byte as u8).wrapping_mul(37));
        for position in 0..=254 {
            assert_eq!(path.next_bit(&hash), bit(&hash, position));
            path = path.child(path.next_bit(&hash));
            assert!(path.can_branch());
        }
        let mut key = vec![255];
        key.extend(hash);
        key[32] &= 0xfe;
        assert_eq!(path.to_key(), key);
        assert!(!path.child(false).can_branch());
    }

    #[test]
    fn hashes_carry_the_tags() {
        let (a, b) = ([1; 32], [2; 32]);
        let leaf = Node::Leaf { key_hash: a, value_hash: b };
        assert_eq!(leaf.hash(), sha256(&[&[0], &a, &b]));
        assert_eq!(Node::branch([leaf, Node::Empty]).hash(), sha256(&[&[1], &leaf.hash(), &[0; 32]]));
        assert_eq!(Node::Empty.hash(), [0; 32]);
    }
}
