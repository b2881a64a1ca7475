//! The state tree: a Merkle tree over every key and value, whose root a block commits to.
//!
//! A binary trie over the SHA-256 of the keys, compact: a subtree with one key is that key's leaf, one with none
//! is empty. The root is therefore a function of the keys and values alone, never of the order in which they
//! came. With `‖` for one after the other:
//!
//! ```text
//! leaf    SHA-256(0x00 ‖ SHA-256(key) ‖ value hash)     value hash = SHA-256(tag ‖ height ‖ value)
//! branch  SHA-256(0x01 ‖ left ‖ right)
//! empty   32 zero bytes
//! ```
//!
//! Only the tree of the tip is kept, in [`Space::Tree`]. A key has about log₂ of the number of keys branches above
//! it, and an entry, a page, holds four levels of them.

mod cache;
mod node;
mod page;
mod proof;
#[cfg(test)]
mod tests;

pub use cache::PageCache;
use node::{Node, Path};
use page::{Page, Place};
pub use proof::{ProofError, StateProof};

use crate::encoding::{Decode, Encode};
use crate::hash::{Domain, Hash, sha256};
use crate::ids::{Height, StateRoot};
use crate::index::{IndexError, IndexOp, Lookup, Space};

const VALUE: Domain = Domain::new("state-value");

/// What the tree holds of a value: SHA-256(tag ‖ height ‖ value), with the height of the block that wrote it.
#[must_use]
pub fn value_hash(written_at: Height, value: &[u8]) -> Hash {
    VALUE.hash(&[&written_at.0.to_le_bytes(), value])
}

/// Root of the tree in the index.
///
/// # Errors
/// A corrupt entry; a failure of the medium.
pub fn root(index: &dyn Lookup) -> Result<StateRoot, IndexError> {
    Ok(StateRoot(load_root(index)?.hash()))
}

/// Sets or removes (`None`) the [`value_hash`]es of keys; of a key that is named twice the last counts. Returns
/// the new root and what must be written to the index for it, stale branches removed.
///
/// `cache` is empty or of the tree in `index`, and of the new tree afterwards: if that is not written, it is of no use.
///
/// # Errors
/// A corrupt entry; a failure of the medium. The cache is of no use then.
pub fn apply<'k>(
    cache: &mut PageCache,
    index: &dyn Lookup,
    changes: impl IntoIterator<Item = (&'k [u8], Option<Hash>)>,
) -> Result<(StateRoot, Vec<IndexOp>), IndexError> {
    let mut changes: Vec<Change> = changes.into_iter().map(|(key, value)| (sha256(&[key]), value)).collect();
    changes.sort_by_key(|change| change.0);
    changes.dedup_by(|later, change| {
        let same = later.0 == change.0;
        change.1 = if same { later.1 } else { change.1 };
        same
    });
    let old = cache.root().map_or_else(|| load_root(index), Ok)?;
    let mut update = Update { cache, index, ops: Vec::new() };
    let new = update.page(old, &Path::ROOT, &changes)?;
    if new != old {
        update.ops.push(IndexOp::put(Space::Tree, ROOT_KEY.to_vec(), new.to_bytes()));
    }
    update.cache.set_root(new);
    Ok((StateRoot(new.hash()), update.ops))
}

/// Proves what the tree says of a key. `present` is the value the state has for it and the height of the block
/// that wrote it.
///
/// # Errors
/// A tree that says otherwise than `present` is corrupt, as is an unreadable entry; a failure of the medium.
pub fn prove(
    index: &dyn Lookup,
    key: &[u8],
    present: Option<(Height, Vec<u8>)>,
) -> Result<StateProof, IndexError> {
    let key_hash = sha256(&[key]);
    let (mut node, mut path, mut siblings) = (load_root(index)?, Path::ROOT, Vec::new());
    while let Node::Branch { .. } = node {
        let page = Page::load(index, &path, node)?;
        let mut place = Some(Place::TOP);
        while let (Node::Branch { .. }, Some(branch)) = (node, place) {
            let [left, right] = page.children(branch);
            let goes_right = path.next_bit(&key_hash);
            let (child, sibling) = if goes_right { (right, left) } else { (left, right) };
            siblings.push(sibling.hash());
            path = path.child(goes_right);
            place = branch.child(goes_right);
            node = child;
        }
    }
    StateProof::new(node, key_hash, present, siblings).ok_or_else(|| corrupt(path.to_key()))
}

/// Where the root node is; no branch has this key, as theirs start with a depth below 256 as one byte.
const ROOT_KEY: &[u8] = b"";

/// The hash of a key and what becomes of its value hash.
type Change = (Hash, Option<Hash>);

fn load_root(index: &dyn Lookup) -> Result<Node, IndexError> {
    match index.get(Space::Tree, ROOT_KEY)? {
        Some(bytes) => Node::from_bytes(&bytes).map_err(|_| corrupt(ROOT_KEY.to_vec())),
        None => Ok(Node::Empty),
    }
}

fn corrupt(key: Vec<u8>) -> IndexError {
    IndexError::Corrupt { space: Space::Tree, key }
}

struct Update<'i> {
    cache: &'i mut PageCache,
    index: &'i dyn Lookup,
    ops: Vec<IndexOp>,
}

impl Update<'_> {
    /// What becomes of `node` at `path`, where a page begins, under changes that all lie below it, ascending.
    fn page(&mut self, node: Node, path: &Path, changes: &[Change]) -> Result<Node, IndexError> {
        if changes.is_empty() {
            return Ok(node);
        }
        if !matches!(node, Node::Branch { .. }) {
            return Ok(self.build_page(path, &leaves_after(node, changes)));
        }
        let mut page = match self.cache.take(path) {
            Some(page) => page,
            None => Page::load(self.index, path, node)?,
        };
        let new = self.subtree(&mut page, Place::TOP, node, path, changes)?;
        match new {
            Node::Branch { .. } => {
                if new != node {
                    self.ops.push(page.put(path));
                }
                self.cache.put(*path, page);
            }
            Node::Empty | Node::Leaf { .. } => self.ops.push(Page::delete(path)),
        }
        Ok(new)
    }

    /// As [`page`](Self::page) of what is at a place of a page.
    fn subtree(
        &mut self,
        page: &mut Page,
        place: Place,
        node: Node,
        path: &Path,
        changes: &[Change],
    ) -> Result<Node, IndexError> {
        if changes.is_empty() {
            return Ok(node);
        }
        if !matches!(node, Node::Branch { .. }) {
            return Ok(self.build(page, place, path, &leaves_after(node, changes)));
        }
        let old = page.children(place);
        let (left, right) = changes.split_at(path.split_point(changes, |change| &change.0));
        let mut new = old;
        for (right, changes) in [(false, left), (true, right)] {
            let child = &mut new[usize::from(right)];
            *child = match place.child(right) {
                Some(place) => self.subtree(page, place, *child, &path.child(right), changes)?,
                None => self.page(*child, &path.child(right), changes)?,
            };
        }
        if new == old {
            return Ok(node);
        }
        if let Some(only) = Node::instead_of_branch(new) {
            page.set_children(place, [Node::Empty; 2]);
            return Ok(only);
        }
        page.set_children(place, new);
        Ok(Node::branch(new))
    }

    /// A subtree of nothing but these leaves, ascending, at a place of a page.
    fn build(&mut self, page: &mut Page, place: Place, path: &Path, leaves: &[(Hash, Hash)]) -> Node {
        if let Some(node) = without_branch(leaves) {
            return node;
        }
        let (left, right) = leaves.split_at(path.split_point(leaves, |leaf| &leaf.0));
        let children = [(false, left), (true, right)].map(|(right, leaves)| {
            let path = path.child(right);
            match place.child(right) {
                Some(place) => self.build(page, place, &path, leaves),
                None => self.build_page(&path, leaves),
            }
        });
        page.set_children(place, children);
        Node::branch(children)
    }

    /// As [`build`](Self::build), where a page begins.
    fn build_page(&mut self, path: &Path, leaves: &[(Hash, Hash)]) -> Node {
        if let Some(node) = without_branch(leaves) {
            return node;
        }
        let mut page = Page::EMPTY;
        let node = self.build(&mut page, Place::TOP, path, leaves);
        self.ops.push(page.put(path));
        self.cache.put(*path, page);
        node
    }
}

/// What stands for so few leaves that there is no branch above them.
fn without_branch(leaves: &[(Hash, Hash)]) -> Option<Node> {
    match *leaves {
        [] => Some(Node::Empty),
        [(key_hash, value_hash)] => Some(Node::Leaf { key_hash, value_hash }),
        _ => None,
    }
}

/// The leaves of a subtree without branches after the changes, ascending.
fn leaves_after(node: Node, changes: &[Change]) -> Vec<(Hash, Hash)> {
    let mut leaves: Vec<(Hash, Hash)> =
        changes.iter().filter_map(|&(key_hash, value)| Some((key_hash, value?))).collect();
    if let Node::Leaf { key_hash, value_hash } = node
        && changes.binary_search_by_key(&key_hash, |change| change.0).is_err()
    {
        let position = leaves.partition_point(|leaf| leaf.0 < key_hash);
        leaves.insert(position, (key_hash, value_hash));
    }
    leaves
}
