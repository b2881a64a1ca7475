//! Pages of the state tree: how its branches lie in the index.
//!
//! One entry holds the branches of four levels, so the way to a key among a million takes five reads instead of
//! twenty, and what several changes have in common is read and written once.

use std::ops::Range;

use super::node::{Node, Path};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::Hash;
use crate::index::{IndexError, IndexOp, Lookup, Space};

/// Levels of branches in a page.
const LEVELS: u32 = 4;
/// Places for branches in a page.
const PLACES: usize = (1 << LEVELS) - 1;
/// Hashes of a page if every node were a leaf, which is more than there can be.
const MOST_HASHES: usize = 4 * PLACES;

/// A place for a branch in a page, numbered level by level from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    /// The place of the branch that the page is of.
    pub const TOP: Self = Self(0);

    /// The place of the branch to the left or right below this one; `None` where that is the top of another page.
    pub fn child(self, right: bool) -> Option<Self> {
        let child = 2 * self.0 + 1 + usize::from(right);
        (child < PLACES).then_some(Self(child))
    }

    /// The numbers of the two nodes below the branch here. The branch at a place is the node whose number is one less.
    const fn nodes(self) -> [usize; 2] {
        [2 * self.0, 2 * self.0 + 1]
    }
}

/// The nodes below the branches of a page, as they are stored: what is changed with every block is copied, not encoded.
///
/// ```text
/// kinds     u64, two bits a node, the first the lowest: 0 nothing, 1 a leaf, 2 a branch
/// hashes    in the order of the nodes: of a leaf those of key and value, of a branch its own
/// ```
///
/// Nodes are in the order of the branches they are below, left before right. Most pages have few, and none takes much
/// more room than it has ever needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    kinds: u64,
    hashes: Vec<Hash>,
}

const LEAF: u64 = 1;
const BRANCH: u64 = 2;
/// The bit of each node that says that it is a leaf, and the one that says that it is a branch.
const LEAVES: u64 = LEAF * (u64::MAX / 3);
const BRANCHES: u64 = BRANCH * (u64::MAX / 3);

impl Page {
    /// A page without branches.
    pub const EMPTY: Self = Self { kinds: 0, hashes: Vec::new() };

    /// The page of a branch at `path`. One that is of another branch, or of the same one as it was before, is corrupt.
    pub fn load(index: &dyn Lookup, path: &Path, branch: Node) -> Result<Self, IndexError> {
        let key = path.to_key();
        let stored = if path.can_branch() { index.get(Space::Tree, &key)? } else { None };
        let page = stored.and_then(|bytes| Self::from_bytes(&bytes).ok());
        let page = page.filter(|page| Node::branch(page.children(Place::TOP)) == branch);
        page.ok_or(IndexError::Corrupt { space: Space::Tree, key })
    }

    /// Writes the page of the branch at `path`.
    pub fn put(&self, path: &Path) -> IndexOp {
        IndexOp::put(Space::Tree, path.to_key(), self.to_bytes())
    }

    /// Removes the page of what was a branch at `path`.
    pub fn delete(path: &Path) -> IndexOp {
        IndexOp::delete(Space::Tree, path.to_key())
    }

    /// The children of the branch at a place, left and right; empty ones where there is no branch.
    pub fn children(&self, place: Place) -> [Node; 2] {
        place.nodes().map(|number| self.node(number))
    }

    /// Puts children below a place: two empty ones where there is no branch any more.
    pub fn set_children(&mut self, place: Place, children: [Node; 2]) {
        for (number, node) in place.nodes().into_iter().zip(children) {
            self.set_node(number, node);
        }
    }

    fn node(&self, number: usize) -> Node {
        let hashes = &self.hashes[self.hashes_of(number)];
        match *hashes {
            [key_hash, value_hash] => Node::Leaf { key_hash, value_hash },
            [hash] => Node::Branch { hash },
            _ => Node::Empty,
        }
    }

    fn set_node(&mut self, number: usize, node: Node) {
        let range = self.hashes_of(number);
        let (kind, hashes): (u64, &[Hash]) = match &node {
            Node::Empty => (0, &[]),
            Node::Leaf { key_hash, value_hash } => (LEAF, &[*key_hash, *value_hash]),
            Node::Branch { hash } => (BRANCH, &[*hash]),
        };
        if range.len() == hashes.len() {
            self.hashes[range].copy_from_slice(hashes);
        } else {
            let len = self.hashes.len();
            if self.hashes.capacity() < len + hashes.len() {
                self.hashes.reserve_exact(hashes.len().max(len / 2).min(MOST_HASHES - len));
            }
            self.hashes.splice(range, hashes.iter().copied());
        }
        self.kinds = self.kinds & !(3 << (2 * number)) | kind << (2 * number);
    }

    /// Where the hashes of a node are, or would be.
    fn hashes_of(&self, number: usize) -> Range<usize> {
        let before = self.kinds & ((1 << (2 * number)) - 1);
        let start = count(before);
        start..start + count(self.kinds & 3 << (2 * number))
    }

    /// Bytes that it takes in memory.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.hashes.capacity() * size_of::<Hash>()
    }
}

/// Hashes of nodes of these kinds.
const fn count(kinds: u64) -> usize {
    (2 * (kinds & LEAVES).count_ones() + (kinds & BRANCHES).count_ones()) as usize
}

/// Whether each of the nodes that there can be has one kind, no other has any, and none is below what is no branch.
fn are_kinds(kinds: u64) -> bool {
    let is_branch = |number: usize| kinds >> (2 * number) & BRANCH != 0;
    let has_nodes = |place: usize| kinds >> (4 * place) & 15 != 0;
    kinds >> (4 * PLACES) == 0
        && (kinds & LEAVES) << 1 & kinds & BRANCHES == 0
        && (1..PLACES).all(|place| is_branch(place - 1) || !has_nodes(place))
}

impl Encode for Page {
    fn encode(&self, writer: &mut Writer) {
        writer.u64(self.kinds);
        writer.raw(self.hashes.as_flattened());
    }

    fn size_hint(&self) -> usize {
        size_of::<u64>() + self.hashes.as_flattened().len()
    }
}

impl Decode for Page {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kinds = reader.u64()?;
        if !are_kinds(kinds) {
            return Err(DecodeError::Invalid { what: "kinds of nodes of the state tree" });
        }
        let (hashes, _) = reader.raw(count(kinds) * size_of::<Hash>())?.as_chunks();
        Ok(Self { kinds, hashes: hashes.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node() -> impl Strategy<Value = Node> {
        let hash = any::<[u8; 32]>();
        prop_oneof![
            1 => Just(Node::Empty),
            1 => (hash, hash).prop_map(|(key_hash, value_hash)| Node::Leaf { key_hash, value_hash }),
            3 => hash.prop_map(|hash| Node::Branch { hash }),
        ]
    }

    /// A page as `nodes` have it, read from the left, without what lies below no branch.
    fn page(nodes: &[[Node; 2]; PLACES]) -> Page {
        fn copy(nodes: &[[Node; 2]; PLACES], page: &mut Page, place: Place) {
            page.set_children(place, nodes[place.0]);
            for (right, node) in [false, true].into_iter().zip(nodes[place.0]) {
                if let (Node::Branch { .. }, Some(child)) = (node, place.child(right)) {
                    copy(nodes, page, child);
                }
            }
        }
        let mut page = Page::EMPTY;
        copy(nodes, &mut page, Place::TOP);
        page
    }

    proptest! {
        #[test]
        fn a_page_keeps_the_children_of_each_place(
            changes in proptest::collection::vec((0..PLACES, any::<bool>(), [node(), node()]), 0..60),
        ) {
            let (mut page, mut expected) = (Page::EMPTY, [[Node::Empty; 2]; PLACES]);
            for (place, gone, children) in changes {
                let children = if gone { [Node::Empty; 2] } else { children };
                page.set_children(Place(place), children);
                expected[place] = children;
                for (place, expected) in expected.iter().enumerate() {
                    prop_assert_eq!(page.children(Place(place)), *expected);
                }
                prop_assert_eq!(page.hashes.len(), count(page.kinds));
                prop_assert!(page.memory() <= size_of::<Page>() + MOST_HASHES * size_of::<Hash>());
            }
        }

        #[test]
        fn a_page_comes_back_from_its_bytes(nodes in proptest::array::uniform15([node(), node()])) {
            let page = page(&nodes);
            let bytes = page.to_bytes();
            prop_assert_eq!(Page::from_bytes(&bytes), Ok(page));
            for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                prop_assert!(Page::from_bytes(&bytes[..len]).is_err());
            }
            prop_assert!(Page::from_bytes(&[bytes, vec![0]].concat()).is_err());
        }

        #[test]
        fn no_bytes_panic_and_each_page_has_one_encoding(
            bytes in proptest::collection::vec(prop_oneof![4 => 0..4_u8, 1 => any::<u8>()], 0..400),
        ) {
            if let Ok(page) = Page::from_bytes(&bytes) {
                prop_assert_eq!(page.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn what_a_page_cannot_have_is_refused() {
        let reads = |kinds: u64| {
            Page::from_bytes(&[&kinds.to_le_bytes()[..], &vec![0; count(kinds) * size_of::<Hash>()]].concat())
                .is_ok()
        };
        for number in 0..2 * PLACES {
            // The branches on the way to the node.
            let mut above = 0;
            let mut place = number / 2;
            while place > 0 {
                above |= BRANCH << (2 * (place - 1));
                place = (place - 1) / 2;
            }
            assert!(reads(above | LEAF << (2 * number)) && reads(above | BRANCH << (2 * number)));
            assert!(!reads(above | 3 << (2 * number)), "two kinds");
            assert_eq!(reads(LEAF << (2 * number)), above == 0, "below no branch");
        }
        assert!(!reads(LEAF << (4 * PLACES)), "a node that there is not");
    }

    #[test]
    fn a_page_has_four_levels() {
        let mut place = Some(Place::TOP);
        let mut levels = 0;
        while let Some(above) = place {
            place = above.child(levels % 2 == 0);
            levels += 1;
        }
        assert_eq!(levels, LEVELS);
    }
}
