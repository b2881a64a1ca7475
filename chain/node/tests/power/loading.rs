//! A directory as it is on a disk: everything in it made, written and synced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::disk::{Change, Disk, Inode, Op, ROOT, SECTOR};

impl Disk {
    /// A disk that holds what is below a directory.
    pub fn holding(root: &Path) -> Self {
        let mut disk = Self::new();
        disk.load(root, ROOT);
        disk
    }

    fn load(&mut self, path: &Path, dir: Inode) {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            let inode = self.next_inode();
            self.apply(&Op::Make { mode: metadata.permissions().mode() & 0o777, is_dir: metadata.is_dir() });
            names.push((entry.file_name().into_string().unwrap(), Some(inode)));
            if metadata.is_dir() {
                self.load(&entry.path(), inode);
            } else {
                let content = fs::read(entry.path()).unwrap();
                for (n, sector) in
                    content.chunks(SECTOR).enumerate().filter(|(_, sector)| *sector != [0; SECTOR])
                {
                    let write = Change::Write { offset: (n * SECTOR) as u64, data: sector.into() };
                    self.apply(&Op::Change { inode, change: write });
                }
                self.apply(&Op::Change { inode, change: Change::SetLen(content.len() as u64) });
                self.sync(inode);
            }
        }
        self.apply(&Op::Change { inode: dir, change: Change::Names(names) });
        self.sync(dir);
    }

    fn sync(&mut self, inode: Inode) {
        self.apply(&Op::SyncBegins { thread: 0, inode });
        self.apply(&Op::SyncEnds { thread: 0 });
    }
}
