//! Pages of the state tree: how its branches lie in the index.
//!
//! One entry holds the branches of four levels, so the way to a key among a million takes five reads instead of
//! twenty, and what several changes have in common is read and written once.

use super::node::{Node, Path};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::index::{IndexError, IndexOp, Lookup, Space};

/// Levels of branches in a page.
const LEVELS: u32 = 4;
/// Places for branches in a page.
const PLACES: usize = (1 << LEVELS) - 1;

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

    const fn bit(self) -> u16 {
        1 << self.0
    }
}

/// The children of the branches of a page. Most pages have few, and none takes much more room than it has ever needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// A bit for each place with a branch.
    branches: u16,
    /// Their children, in the order of their places.
    kept: Vec<[Node; 2]>,
}

impl Page {
    /// A page without branches.
    pub const EMPTY: Self = Self { branches: 0, kept: Vec::new() };

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
        let kept = self.position(place).ok().and_then(|position| self.kept.get(position));
        kept.copied().unwrap_or([Node::Empty; 2])
    }

    /// Puts children below a place: two empty ones where there is no branch any more.
    pub fn set_children(&mut self, place: Place, children: [Node; 2]) {
        let is_branch = children != [Node::Empty; 2];
        match self.position(place) {
            Ok(position) if is_branch => self.kept[position] = children,
            Ok(position) => drop(self.kept.remove(position)),
            Err(position) if is_branch => {
                let len = self.kept.len();
                if len == self.kept.capacity() {
                    self.kept.reserve_exact((1 + len / 2).min(PLACES - len));
                }
                self.kept.insert(position, children);
            }
            Err(_) => {}
        }
        self.branches = self.branches & !place.bit() | if is_branch { place.bit() } else { 0 };
    }

    /// Where the children of a place are kept, or would be.
    fn position(&self, place: Place) -> Result<usize, usize> {
        let position = (self.branches & (place.bit() - 1)).count_ones() as usize;
        if self.branches & place.bit() == 0 { Err(position) } else { Ok(position) }
    }

    /// Bytes that it takes in memory.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.kept.capacity() * size_of::<[Node; 2]>()
    }
}

/// The top's children, left and right, each followed by its own where it is a branch of this page.
impl Encode for Page {
    fn encode(&self, writer: &mut Writer) {
        fn below(page: &Page, place: Place, writer: &mut Writer) {
            for (right, node) in [false, true].into_iter().zip(page.children(place)) {
                node.encode(writer);
                if let (Node::Branch { .. }, Some(child)) = (node, place.child(right)) {
                    below(page, child, writer);
                }
            }
        }
        below(self, Place::TOP, writer);
    }

    fn size_hint(&self) -> usize {
        self.kept.as_flattened().iter().map(Node::encoded_len).sum()
    }
}

/// Goes no deeper than a page has levels, whatever the bytes say.
impl Decode for Page {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        fn below(page: &mut Page, place: Place, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
            let mut children = [Node::Empty; 2];
            for right in [false, true] {
                let node = Node::decode(reader)?;
                children[usize::from(right)] = node;
                if let (Node::Branch { .. }, Some(child)) = (node, place.child(right)) {
                    below(page, child, reader)?;
                }
            }
            page.set_children(place, children);
            Ok(())
        }
        let mut page = Self::EMPTY;
        below(&mut page, Place::TOP, reader)?;
        Ok(page)
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
                let branches = expected.iter().filter(|children| **children != [Node::Empty; 2]).count();
                prop_assert_eq!(page.kept.len(), branches);
                prop_assert!(page.memory() <= size_of::<Page>() + PLACES * size_of::<[Node; 2]>());
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
