//! What a power loss leaves of a disk, drawn at random, as files in a directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::disk::{Change, Content, Disk, Durable, Inode, Node, ROOT, SECTOR, pieces};

/// What becomes of the changes to a file or directory that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None is on the disk.
    Lost,
    /// All are.
    Kept,
    /// Those before one are, which itself is there with some of its sectors.
    Torn,
    /// Each sector, the length and each change of names got there or not.
    Scattered,
    /// Each file and directory has its own.
    Mixed,
}

pub const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Torn, Fate::Scattered, Fate::Mixed];

pub fn below(random: &mut ChaCha8Rng, n: usize) -> usize {
    (random.next_u64() % n as u64) as usize
}

/// Writes what is left of a disk into a directory.
pub fn write_image(disk: &Disk, fate: Fate, random: &mut ChaCha8Rng, to: &Path) {
    write_dir(disk, ROOT, fate, random, to);
}

fn write_dir(disk: &Disk, dir: Inode, fate: Fate, random: &mut ChaCha8Rng, to: &Path) {
    for (name, inode) in names(disk.node(dir), fate, random) {
        let (path, node) = (to.join(name), disk.node(inode));
        match &node.durable {
            Durable::Dir(_) => {
                fs::create_dir(&path).unwrap();
                write_dir(disk, inode, fate, random, &path);
            }
            Durable::File(content) => write_file(&content_of(node, content, fate, random), &path),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(node.mode)).unwrap();
    }
}

fn own(fate: Fate, random: &mut ChaCha8Rng) -> Fate {
    match fate {
        Fate::Mixed => FATES[below(random, FATES.len() - 1)],
        fate => fate,
    }
}

fn names(node: &Node, fate: Fate, random: &mut ChaCha8Rng) -> BTreeMap<String, Inode> {
    let (mut durable, all) = (node.durable.clone(), node.pending.len());
    let fate = own(fate, random);
    let prefix = if fate == Fate::Torn { below(random, all + 1) } else { 0 };
    for (n, change) in node.pending.iter().enumerate() {
        let is_kept = match fate {
            Fate::Lost | Fate::Mixed => false,
            Fate::Kept => true,
            Fate::Torn => n < prefix,
            Fate::Scattered => below(random, 2) == 0,
        };
        if is_kept {
            durable.change(change);
        }
    }
    match durable {
        Durable::Dir(names) => names,
        Durable::File(_) => panic!("a file among the directories"),
    }
}

fn content_of(node: &Node, durable: &Content, fate: Fate, random: &mut ChaCha8Rng) -> Content {
    let (mut content, pending) = (durable.clone(), node.pending.as_slice());
    match own(fate, random) {
        Fate::Lost | Fate::Mixed => {}
        Fate::Kept => pending.iter().for_each(|change| apply(&mut content, change)),
        Fate::Torn if !pending.is_empty() => {
            let torn = below(random, pending.len());
            pending[..torn].iter().for_each(|change| apply(&mut content, change));
            scatter(&mut content, &pending[torn..=torn], random);
        }
        Fate::Torn => {}
        Fate::Scattered => {
            // What changes the length concerns all sectors: what came before it is there with it, or it is not there.
            let mut groups = pending.split_inclusive(|change| matches!(change, Change::SetLen(_)));
            let whole = below(random, groups.clone().count().max(1));
            for group in groups.by_ref().take(whole) {
                group.iter().for_each(|change| apply(&mut content, change));
            }
            groups.next().into_iter().for_each(|group| scatter(&mut content, group, random));
        }
    }
    content
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, data } => content.write(*offset, data),
        Change::SetLen(len) => content.set_len(*len),
        Change::Names(_) => panic!("names in a file"),
    }
}

/// Each sector is as it was before these changes or after some of those that touched it; so is the length.
fn scatter(content: &mut Content, changes: &[Change], random: &mut ChaCha8Rng) {
    let writes: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Write { offset, data } => Some((*offset, data)),
            _ => None,
        })
        .collect();
    let mut touched = BTreeMap::<u64, usize>::new();
    let mut lens = vec![content.len];
    for (offset, data) in &writes {
        pieces(*offset, data).for_each(|(sector, _, _)| *touched.entry(sector).or_default() += 1);
        lens.push(lens[lens.len() - 1].max(offset + data.len() as u64));
    }
    touched.values_mut().for_each(|left| *left = below(random, *left + 1));
    for (offset, data) in &writes {
        for (sector, start, piece) in pieces(*offset, data) {
            let left = touched.get_mut(&sector).unwrap();
            if *left > 0 {
                *left -= 1;
                content.write(sector * SECTOR as u64 + start as u64, piece);
            }
        }
    }
    content.set_len(lens[below(random, lens.len())]);
}

fn write_file(content: &Content, path: &Path) {
    let file = File::create(path).unwrap();
    let mut sectors = content.sectors.iter().peekable();
    while let Some((&first, sector)) = sectors.next() {
        // Neighbours in one go.
        let (mut run, mut next) = (sector.to_vec(), first + 1);
        while let Some((_, sector)) = sectors.next_if(|(number, _)| **number == next) {
            run.extend_from_slice(sector);
            next += 1;
        }
        file.write_all_at(&run, first * SECTOR as u64).unwrap();
    }
    file.set_len(content.len).unwrap();
}
