//! One node of three whose files were damaged while it was stopped: it names the damage or repairs it, and never says
//! anything wrong.

use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_client::Consistency;
use tensor_client::blocking::Node as Client;
use tensor_tests::faults::dose;

use crate::disk::files_below;
use crate::process::{Cluster, TOKEN, await_that, client, seed};

const KEYS: usize = 30;

/// A flipped bit in each file in turn. CLUSTER_FLIPS says how many.
#[test]
fn damage_to_one_of_three_is_named_or_repaired() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let mut cluster = Cluster::of_three();
    let node = client(&cluster.endpoints());
    let put = |n: usize, value: &str| node.wait(node.client().put(&format!("key-{n}"), value)).unwrap();
    (0..KEYS).for_each(|n| drop(put(n, "old")));
    let victim = (cluster.leader() + 1) % 3;
    // So that there is a snapshot, and a log behind it.
    let own = client(&[cluster.endpoint(victim)]);
    own.wait(own.client().admin(TOKEN).snapshot()).unwrap();
    (0..KEYS).for_each(|n| drop(put(n, "new")));
    cluster.await_same_state();
    let dir = cluster.nodes[victim].dir.clone();
    let (mut named, mut repaired) = (0, 0);
    for closed in [true, false] {
        // A node that was closed notices every changed byte; one that was killed has to recover as well.
        if closed {
            cluster.terminate(victim)
        } else {
            cluster.kill(victim)
        }
        let pristine = Pristine::of(&dir);
        for turn in 0..dose("CLUSTER_FLIPS", 28) as usize / 2 {
            let (path, at, bit) = pristine.flip(turn, &mut random);
            let what = format!(
                "{} byte {at} bit {bit}, {}",
                path.display(),
                if closed { "closed" } else { "killed" }
            );
            match cluster.try_start(victim, &[]) {
                Err(ended) => {
                    assert_eq!(ended.status.code(), Some(20), "{what}: {ended:?}");
                    assert!(!ended.said.contains("panicked"), "{what}: {ended:?}");
                    assert!(ended.said.contains(dir.to_str().unwrap()), "{what} is not named: {ended:?}");
                    named += 1;
                }
                Ok(()) => {
                    await_that(&format!("it has caught up ({what})"), || {
                        cluster.has_ended(victim) || is_up_to_date(&cluster)
                    });
                    if cluster.has_ended(victim) {
                        let ended = cluster.await_end(victim);
                        assert_eq!(ended.status.code(), Some(20), "{what}: {ended:?}");
                        assert!(!ended.said.contains("panicked"), "{what}: {ended:?}");
                        named += 1;
                    } else {
                        check_answers(&own, &what);
                        cluster.kill(victim);
                        repaired += 1;
                    }
                }
            }
            pristine.restore(&dir);
        }
        cluster.start(victim);
        put(0, "new");
        cluster.await_same_state();
    }
    assert!(named > 0 && repaired > 0, "{named} named, {repaired} repaired");
}

/// Whether all three say the same of the same entry.
fn is_up_to_date(cluster: &Cluster) -> bool {
    let statuses = cluster.statuses();
    let same = |field: &str| statuses.windows(2).all(|pair| pair[0][field] == pair[1][field]);
    statuses.len() == 3 && ["applied", "tip_hash", "state_hash"].into_iter().all(same)
}

/// What the node says by itself is right, or it says that it cannot.
fn check_answers(node: &Client, what: &str) {
    for n in 0..KEYS {
        let key = format!("key-{n}");
        if let Ok(found) = node.wait(node.client().get_with(&key, None, Consistency::Stale)) {
            assert_eq!(found.value.as_deref(), Some(&b"new"[..]), "{what}: {key}");
        }
    }
}

/// A directory as it was.
struct Pristine(Vec<(PathBuf, Vec<u8>)>);

impl Pristine {
    fn of(dir: &Path) -> Self {
        Self(files_below(dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect())
    }

    fn restore(&self, dir: &Path) {
        fs::remove_dir_all(dir).unwrap();
        for (path, bytes) in &self.0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            if path.ends_with("identity.key") {
                fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
    }

    /// Flips a bit of one of the files, each in its turn; of files that end in zeros, before these.
    fn flip(&self, turn: usize, random: &mut ChaCha8Rng) -> (PathBuf, usize, u32) {
        let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let files: Vec<_> = self.0.iter().filter(|(_, bytes)| used(bytes) > 0).collect();
        let (path, bytes) = files[turn % files.len()];
        let (at, bit) = (random.next_u64() as usize % used(bytes), random.next_u32() % 8);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        fs::write(path, flipped).unwrap();
        (path.clone(), at, bit)
    }
}
