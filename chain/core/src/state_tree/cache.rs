//! The pages of the tip's tree that were changed last, as they are in memory.
//!
//! Nearly every change meets pages that the blocks before it have changed: the upper ones always. Reading one from the
//! index costs a lookup, a copy and a decoding, ten times what this costs.

use std::collections::HashMap;

use super::node::{Node, Path};
use super::page::Page;

/// Pages of one age that are kept; two ages are, and a page takes 2 KiB. Few in tests, so that they see pages go.
const MOST_PAGES: usize = if cfg!(test) { 2 } else { 8_192 };

/// The root and some pages of a tree; none of any other.
///
/// When there is no room left, those go that have not been changed for longest, give or take an age.
#[derive(Debug, Default)]
pub struct PageCache {
    root: Option<Node>,
    young: HashMap<Path, Box<Page>>,
    old: HashMap<Path, Box<Page>>,
}

impl PageCache {
    pub(super) const fn root(&self) -> Option<Node> {
        self.root
    }

    pub(super) const fn set_root(&mut self, root: Node) {
        self.root = Some(root);
    }

    /// Takes out the page of the branch at `path`.
    pub(super) fn take(&mut self, path: &Path) -> Option<Box<Page>> {
        // If both had one, the old one would be out of date; but what is put back has been taken.
        self.young.remove(path).or_else(|| self.old.remove(path))
    }

    /// Puts in the page of the branch at `path`.
    pub(super) fn put(&mut self, path: Path, page: Box<Page>) {
        if self.young.len() == MOST_PAGES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(path, page);
    }
}
