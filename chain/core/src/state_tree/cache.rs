//! The pages of the tip's tree that were changed last, as they are in memory.
//!
//! Nearly every change meets pages that the blocks before it have changed: the upper ones always. Reading one from the
//! index costs a lookup, copies and a check, ten times what this costs.

use std::collections::HashMap;

use super::node::{Node, Path};
use super::page::Page;

/// Bytes of pages of one age that are kept; two ages are. Few in tests, so that they see pages go.
///
/// A block is linked while the one before it is being written, whose pages the index does not have yet. Up to a hundred
/// million keys those of two blocks, of 1,000 operations each, fit an age; beyond, a page that was lost too early is read
/// as it was, and found not to be of its branch.
const MOST_BYTES: usize = if cfg!(test) { 1_024 } else { 16 << 20 };
/// Bytes that a page takes in the map besides its own.
const OVERHEAD_BYTES: usize = 2 * size_of::<Path>();

/// The root and some pages of a tree; none of any other.
///
/// When there is no room left, those go that have not been changed for longest, give or take an age.
#[derive(Debug, Default)]
pub struct PageCache {
    root: Option<Node>,
    young: HashMap<Path, Page>,
    young_bytes: usize,
    old: HashMap<Path, Page>,
}

impl PageCache {
    pub(super) const fn root(&self) -> Option<Node> {
        self.root
    }

    pub(super) const fn set_root(&mut self, root: Node) {
        self.root = Some(root);
    }

    /// Takes out the page of the branch at `path`.
    pub(super) fn take(&mut self, path: &Path) -> Option<Page> {
        // If both had one, the old one would be out of date; but what is put back has been taken.
        let Some(page) = self.young.remove(path) else { return self.old.remove(path) };
        self.young_bytes -= bytes(&page);
        Some(page)
    }

    /// Puts in the page of the branch at `path`.
    pub(super) fn put(&mut self, path: Path, page: Page) {
        if self.young_bytes >= MOST_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes(&page);
        self.young.insert(path, page);
    }
}

fn bytes(page: &Page) -> usize {
    page.memory() + OVERHEAD_BYTES
}
