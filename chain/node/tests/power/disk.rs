//! A disk as POSIX promises it, and no more: what was synced is there, of everything else any part may be.
//!
//! A file keeps what was written before its last sync, a directory the names that it had at its last one: a sync of a
//! file says nothing about its name. What came later reaches the disk by the sector, at any time and in any order; a
//! name that is changed, or exchanged by a rename, is the old or the new one. A sector is as it was after one of the
//! writes to it.

use std::collections::BTreeMap;
use std::rc::Rc;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// The number of a file or directory.
pub type Inode = usize;

/// The directory above the one that is recorded; it has been there forever.
pub const ROOT: Inode = 0;

/// What happens to a disk, in order.
#[derive(Debug, Clone)]
pub enum Op {
    /// A file or directory comes to be, without a name.
    Make { mode: u32, is_dir: bool },
    /// It changes.
    Change { inode: Inode, change: Change },
    /// A sync begins, which will cover what has happened so far. One at a time in each thread.
    SyncBegins { thread: u32, inode: Inode },
    /// A sync has ended: it is on the disk.
    SyncEnds { thread: u32 },
    /// The process said something to the world.
    Said(Rc<[u8]>),
}

/// What is not on the disk before a sync.
#[derive(Debug, Clone)]
pub enum Change {
    Write {
        offset: u64,
        data: Rc<[u8]>,
    },
    SetLen(u64),
    /// Names of a directory and what they name from now on.
    Names(Vec<(String, Option<Inode>)>),
}

/// The bytes of a file, without the sectors that nobody has written.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub len: u64,
    pub sectors: BTreeMap<u64, [u8; SECTOR]>,
}

/// What is certainly on the disk of a file or directory, and what has come since.
#[derive(Debug, Clone)]
pub struct Node {
    pub mode: u32,
    pub durable: Durable,
    pub pending: Vec<Change>,
    /// How many changes have become durable.
    settled: usize,
    /// Length as the process sees it.
    len: u64,
    /// Names as the process sees them.
    names: BTreeMap<String, Inode>,
}

#[derive(Debug, Clone)]
pub enum Durable {
    File(Content),
    Dir(BTreeMap<String, Inode>),
}

/// The disk, as it is and as it would be after a crash.
#[derive(Debug, Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    /// Syncs under way, by thread: of what, and up to which change.
    syncs: BTreeMap<u32, (Inode, usize)>,
    syncs_are: Syncs,
}

/// Whether syncs do what they promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    Honest,
    /// They return and have done nothing.
    Lie,
}

impl Content {
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        for (sector, start, piece) in pieces(offset, data) {
            self.sectors.entry(sector).or_insert([0; SECTOR])[start..start + piece.len()]
                .copy_from_slice(piece);
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.sectors.split_off(&len.div_ceil(SECTOR as u64));
            if let Some(last) = self.sectors.get_mut(&(len / SECTOR as u64)) {
                last[len as usize % SECTOR..].fill(0);
            }
        }
        self.len = len;
    }
}

/// A write, sector by sector: which one, from which byte of it on, what.
pub fn pieces(offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let first = SECTOR - offset as usize % SECTOR;
    let (head, tail) = data.split_at(first.min(data.len()));
    std::iter::once(head).chain(tail.chunks(SECTOR)).scan(offset, |at, piece| {
        let place = (*at / SECTOR as u64, *at as usize % SECTOR, piece);
        *at += piece.len() as u64;
        Some(place)
    })
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        let mut disk = Self { nodes: Vec::new(), syncs: BTreeMap::new(), syncs_are: Syncs::Honest };
        disk.apply(&Op::Make { mode: 0o755, is_dir: true });
        disk
    }

    /// The same, with syncs of another kind from now on.
    pub fn with(self, syncs_are: Syncs) -> Self {
        Self { syncs_are, ..self }
    }

    pub fn node(&self, inode: Inode) -> &Node {
        &self.nodes[inode]
    }

    /// The number that what is made next will have.
    pub fn next_inode(&self) -> Inode {
        self.nodes.len()
    }

    /// Length of a file as the process sees it.
    pub fn len(&self, inode: Inode) -> u64 {
        self.nodes[inode].len
    }

    /// What a name in a directory is to the process.
    pub fn named(&self, dir: Inode, name: &str) -> Option<Inode> {
        self.nodes[dir].names.get(name).copied()
    }

    /// Whether a crash could leave no name by which a file is reached, though syncs are honest.
    pub fn may_lose_name_of(&self, inode: Inode) -> bool {
        let durable = |at: Inode| match &self.nodes[at].durable {
            Durable::Dir(names) => Some(names),
            Durable::File(_) => None,
        };
        self.syncs_are == Syncs::Honest && self.path_to(inode, durable).is_none()
    }

    /// Its path as the process sees it, for messages.
    pub fn path_of(&self, inode: Inode) -> String {
        self.path_to(inode, |at| Some(&self.nodes[at].names))
            .unwrap_or_else(|| "a file without a name".to_owned())
    }

    fn path_to<'d>(
        &'d self,
        inode: Inode,
        names: impl Fn(Inode) -> Option<&'d BTreeMap<String, Inode>>,
    ) -> Option<String> {
        let mut reached = vec![(ROOT, String::new())];
        while let Some((at, path)) = reached.pop() {
            if at == inode {
                return Some(path);
            }
            let below = names(at).into_iter().flatten();
            reached.extend(below.map(|(name, &inode)| (inode, format!("{path}/{name}"))));
        }
        None
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Make { mode, is_dir } => self.nodes.push(Node {
                mode: *mode,
                durable: match is_dir {
                    true => Durable::Dir(BTreeMap::new()),
                    false => Durable::File(Content::default()),
                },
                pending: Vec::new(),
                settled: 0,
                len: 0,
                names: BTreeMap::new(),
            }),
            Op::Change { inode, change } => {
                let node = &mut self.nodes[*inode];
                match change {
                    Change::Write { offset, data } => node.len = node.len.max(offset + data.len() as u64),
                    Change::SetLen(len) => node.len = *len,
                    Change::Names(names) => rename(&mut node.names, names),
                }
                node.pending.push(change.clone());
            }
            Op::SyncBegins { thread, inode } => {
                let node = &self.nodes[*inode];
                self.syncs.insert(*thread, (*inode, node.settled + node.pending.len()));
            }
            Op::SyncEnds { thread } => {
                let (inode, upto) = self.syncs.remove(thread).unwrap();
                if self.syncs_are == Syncs::Honest {
                    self.nodes[inode].settle(upto);
                }
            }
            Op::Said(_) => {}
        }
    }
}

impl Node {
    /// Makes changes durable up to one.
    fn settle(&mut self, upto: usize) {
        let count = upto.saturating_sub(self.settled);
        self.settled += count;
        for change in self.pending.drain(..count) {
            self.durable.change(&change);
        }
    }
}

impl Durable {
    pub fn change(&mut self, change: &Change) {
        match (self, change) {
            (Self::File(content), Change::Write { offset, data }) => content.write(*offset, data),
            (Self::File(content), Change::SetLen(len)) => content.set_len(*len),
            (Self::Dir(names), Change::Names(changes)) => rename(names, changes),
            (durable, change) => panic!("{change:?} of {durable:?}"),
        }
    }
}

fn rename(names: &mut BTreeMap<String, Inode>, changes: &[(String, Option<Inode>)]) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}
