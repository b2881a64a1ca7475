//! A chain in a directory: what is there after closing, after a crash, and after damage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use common::{begin_put, config, put};
use tensor_chain::dir::DirError;
use tensor_chain::encoding::Encode;
use tensor_chain::log::{Damage, LogError, LogReader};
use tensor_chain::{
    BlockFault, CODEBOOK_KEY, ChainConfig, ChainError, Changeset, GlobalCodebook, Height, Rejection,
    StoreError, TensorChain, TensorStore, Transaction, TransactionFailure, VerifyDepth, dump_dir, verify_dir,
};

fn open(dir: &Path) -> TensorChain {
    let chain = TensorChain::with_config(TensorStore::open(dir).unwrap(), config());
    chain.initialize().unwrap();
    chain
}

/// Everything that can be read of a chain.
fn contents(chain: &TensorChain) -> impl PartialEq + std::fmt::Debug + use<> {
    let keys = chain.list("", None, 1_000).unwrap();
    let read = |key: &String| {
        let history = chain.history(key).unwrap();
        let at: Vec<_> = (0..=chain.height().0).map(|h| chain.get_at(key, Height(h)).unwrap()).collect();
        (key.clone(), chain.get(key).unwrap(), history, at)
    };
    let keys: Vec<_> = keys.iter().map(read).collect();
    (chain.tip_hash(), chain.iter().map(Result::unwrap).collect::<Vec<_>>(), keys)
}

fn fill(chain: &TensorChain) {
    fill_with(chain, 'v');
}

/// Blocks of the same sizes for every letter: an encoder's deltas would differ in length.
fn fill_with(chain: &TensorChain, letter: char) {
    for n in 0..20 {
        let workspace = begin_put(chain, &format!("key{}", n % 7), &format!("{letter}{n}"));
        workspace.set_delta(common::delta(&[1.0, 0.0, 0.0, 0.0])).unwrap();
        chain.commit(workspace).unwrap();
    }
    chain.delete("key3").unwrap();
    let workspace = begin_put(chain, "a", "1");
    workspace.add_operation(put("b", "2")).unwrap();
    workspace.set_delta(common::delta(&[0.0, 1.0, 0.0, 0.5])).unwrap();
    chain.commit(workspace).unwrap();
}

#[test]
fn a_closed_chain_opens_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let (before, node_id) = (contents(&chain), chain.store().identity().unwrap().node_id());
    chain.close().unwrap();
    let report = verify_dir(dir.path(), VerifyDepth::Full).unwrap();
    assert_eq!((report.height, report.torn_tail), (Height(22), None));

    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    assert_eq!(chain.store().identity().unwrap().node_id(), node_id);
    chain.verify_full().unwrap();
    chain.put("more", "").unwrap();
    assert_eq!(chain.height(), Height(23));
}

#[test]
fn values_of_any_length_are_what_was_written_whoever_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let value = |n: usize, len: usize| -> Vec<u8> { (0..len).map(|byte| (byte * 7 + n) as u8).collect() };
    // Changesets of every form share a block: with reads, a height and a delta, and without.
    let lengths = [0, 127, 128, 129, 130, 1_000, 70_000];
    let chain = open(dir.path());
    for round in 0..3 {
        let changesets = lengths.iter().enumerate().map(|(n, &len)| {
            let put = |key: String, data| Transaction::Put { key, data };
            let transactions = vec![
                put(format!("a{n}"), value(round, len)),
                put(format!("b{n}"), value(n + round, len + 1)),
            ];
            match n % 2 {
                0 => Changeset::new(None, [].into(), transactions, None).unwrap(),
                _ => {
                    let mut delta = [0.0; 4];
                    delta[n / 2] = 1.0 + n as f32;
                    let reads = [format!("read{n}")].into();
                    Changeset::new(Some(chain.height()), reads, transactions, Some(common::delta(&delta)))
                        .unwrap()
                }
            }
        });
        let changesets: Vec<_> = changesets.collect();
        thread::scope(|scope| {
            let commit = |changeset| chain.commit_changeset(changeset).unwrap();
            changesets.into_iter().for_each(|changeset| drop(scope.spawn(move || commit(changeset))));
        });
    }
    let holds = |chain: &TensorChain| {
        for (n, &len) in lengths.iter().enumerate() {
            assert_eq!(chain.get(&format!("a{n}")).unwrap(), Some(value(2, len)));
            assert_eq!(chain.get(&format!("b{n}")).unwrap(), Some(value(n + 2, len + 1)));
        }
    };
    holds(&chain);
    // What is judged by a long value, one byte beside it too.
    let (old, new) = (value(2, 70_000), value(5, 70_000));
    let mut other = old.clone();
    other[69_999] ^= 1;
    let swap = |expected: &[u8]| {
        let key = "a6".to_owned();
        let swap = Transaction::CompareAndSwap { key, expected: Some(expected.to_vec()), new: new.clone() };
        chain.commit_changeset(Changeset::single(swap).unwrap())
    };
    let refused = swap(&other).unwrap_err();
    let differs =
        Rejection::ValueDiffers { key: "a6".to_owned(), expected: Some(other), found: Some(old.clone()) };
    assert!(
        matches!(refused, ChainError::TransactionFailed(TransactionFailure::Rejected(verdict)) if verdict == differs)
    );
    swap(&old).unwrap();
    swap(&new).unwrap();
    let before = contents(&chain);
    chain.verify_full().unwrap();
    chain.close().unwrap();
    verify_dir(dir.path(), VerifyDepth::Full).unwrap();
    assert_eq!(contents(&open(dir.path())), before);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(contents(&open(dir.path())), before);
}

#[test]
fn a_chain_keeps_the_parameters_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let params = open(dir.path()).params().unwrap().clone();
    let store = TensorStore::open(dir.path()).unwrap();
    let other = ChainConfig { embedding_dim: 9.try_into().unwrap(), ..ChainConfig::default() };
    let chain = TensorChain::with_config(store, other);
    chain.initialize().unwrap();
    assert_eq!(chain.params().unwrap(), &params);
}

#[test]
fn recent_deltas_and_the_codebook_in_force_are_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    let book = GlobalCodebook::from_centroids(vec![vec![1.0, 0.0, 0.0, 0.0]]).unwrap().with_epoch(1);
    chain.put(CODEBOOK_KEY, book.to_bytes()).unwrap();
    fill(&chain);
    chain.close().unwrap();
    for index_is_gone in [false, true] {
        if index_is_gone {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let chain = open(dir.path());
        // `fill` ends with a delta like this one.
        let delta = common::delta(&[0.0, 2.0, 0.0, 1.0]);
        let changeset = |begin| {
            Changeset::new(Some(Height(begin)), [].into(), vec![put("new", "")], Some(delta.clone())).unwrap()
        };
        let build = |begin| chain.new_block().changeset(changeset(begin)).build();
        let error = build(chain.height().0 - 1).unwrap_err();
        assert!(matches!(error, ChainError::ConflictDetected { .. }), "{error}");
        let header = build(chain.height().0).unwrap().header;
        assert_eq!((header.codebook_epoch, header.quantized_codes), (1, vec![0]));
        chain.close().unwrap();
    }
}

#[test]
fn a_log_whose_blocks_do_not_follow_each_other_is_not_opened() {
    let (dir, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = open(dir.path());
    fill(&chain);
    let mut blocks: Vec<_> = chain.iter().map(Result::unwrap).collect();
    blocks[9].header.prev_hash.0[0] ^= 1;
    common::write_log(&blocks, chain.params().unwrap(), forged.path());
    let chain = TensorChain::with_config(TensorStore::open(forged.path()).unwrap(), config());
    match chain.initialize().unwrap_err() {
        ChainError::ValidationFailed { height, fault } => {
            assert!(matches!(fault, BlockFault::InvalidHash { .. }), "{fault}");
            assert_eq!(height, Height(9));
        }
        other => unreachable!("{other}"),
    }
}

#[test]
fn another_last_block_of_the_same_length_is_noticed() {
    let (dir, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = open(dir.path());
    fill(&chain);
    let mut blocks: Vec<_> = chain.iter().map(Result::unwrap).collect();
    blocks.last_mut().unwrap().header.state_root.0[0] ^= 1;
    common::write_log(&blocks, chain.params().unwrap(), forged.path());
    let replacement = fs::read(forged.path().join("blocks.log")).unwrap();

    let log = dir.path().join("blocks.log");
    let genuine = fs::read(&log).unwrap();
    assert_eq!(replacement.len(), genuine.len());
    let storage_error = |result: Result<_, _>| match result {
        Err(ChainError::StorageError(error)) => error,
        other => unreachable!("{other:?}"),
    };
    // While the chain is open it knows its tip.
    fs::write(&log, &replacement).unwrap();
    assert!(matches!(*storage_error(chain.verify()), StoreError::OtherTip { .. }));
    fs::write(&log, &genuine).unwrap();
    chain.verify().unwrap();
    // Closed, the marker beside the log knows it.
    chain.close().unwrap();
    fs::write(&log, &replacement).unwrap();
    let error = storage_error(verify_dir(dir.path(), VerifyDepth::Links));
    assert!(matches!(&*error, StoreError::Log(LogError::Corrupt { reason: Damage::Tip, .. })), "{error}");
}

#[test]
fn nothing_that_was_answered_is_lost_without_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    drop(chain);
    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    chain.verify_full().unwrap();
}

#[test]
fn only_one_may_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    let refused = TensorStore::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Dir(DirError::Locked { .. })), "{refused}");
    // Verifying and dumping need no lock.
    chain.put("k", "v").unwrap();
    verify_dir(dir.path(), VerifyDepth::Links).unwrap();
    let mut heights = Vec::new();
    dump_dir(dir.path(), |block| {
        heights.push(block.header.height.0);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(heights, [0, 1]);
    drop(chain);
    open(dir.path());
}

#[test]
fn an_index_that_is_gone_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    chain.close().unwrap();
    let _ = fs::remove_dir_all(dir.path().join("index"));
    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    chain.verify_full().unwrap();
}

#[test]
fn an_index_that_fell_behind_catches_up_and_one_of_another_chain_is_replaced() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = open(dir.path());
    fill(&chain);
    chain.close().unwrap();
    copy_dir(dir.path(), old.path());
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    chain.close().unwrap();

    // The index of an earlier time.
    replace_index(dir.path(), old.path());
    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    chain.close().unwrap();

    // The index of another chain, whose blocks lie at the same places.
    let other = tempfile::tempdir().unwrap();
    let stranger = open(other.path());
    fill_with(&stranger, 'w');
    stranger.close().unwrap();
    replace_index(dir.path(), other.path());
    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    chain.verify_full().unwrap();
}

/// What is said of a log that has lost blocks: where, which is the first, which is the last that is known of.
fn lost(refused: StoreError) -> (u64, Option<Height>, Height) {
    match refused {
        StoreError::Log(LogError::Corrupt { offset, height, reason: Damage::Lost { tip }, .. }) => {
            (offset, height, tip)
        }
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_log_that_lost_whole_blocks_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    drop(chain); // as a crash would: there is no marker
    let log = dir.path().join("blocks.log");
    let whole = fs::read(&log).unwrap();
    let reader = LogReader::open_read_only(dir.path()).unwrap();
    let ends: Vec<u64> =
        std::iter::once(reader.start()).chain(reader.frames().map(|frame| frame.unwrap().end)).collect();
    drop(reader);
    for (height, &end) in (0..).zip(&ends[..ends.len() - 1]) {
        let part = &whole[..end as usize];
        fs::write(&log, part).unwrap();
        let from = if height == 0 { 0 } else { end };
        let refused = TensorStore::open(dir.path()).unwrap_err();
        assert!(refused.to_string().contains("blocks.log"), "{refused}");
        assert_eq!(lost(refused), (from, Some(Height(height)), Height(22)));
        assert_eq!(fs::read(&log).unwrap(), part, "not even a genesis block was written");
    }
    // Cut within a block, which by itself could be a torn tail.
    fs::write(&log, &whole[..ends[5] as usize + 9]).unwrap();
    assert_eq!(lost(TensorStore::open(dir.path()).unwrap_err()), (ends[5], Some(Height(5)), Height(22)));
    fs::remove_file(&log).unwrap();
    assert_eq!(lost(TensorStore::open(dir.path()).unwrap_err()), (0, Some(Height(0)), Height(22)));
    assert!(!log.exists());

    fs::write(&log, &whole).unwrap();
    assert_eq!(contents(&open(dir.path())), before);
    // Who wants the shorter chain says so by taking the index away.
    fs::write(&log, &whole[..ends[6] as usize]).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(open(dir.path()).height(), Height(5));
}

#[test]
fn a_marker_without_a_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    chain.close().unwrap();
    let (log, index) = (dir.path().join("blocks.log"), dir.path().join("index"));
    fs::remove_file(&log).unwrap();
    fs::remove_dir_all(&index).unwrap();
    let expected = (0, Some(Height(0)), Height(22));
    assert_eq!(lost(TensorStore::open(dir.path()).unwrap_err()), expected);
    match verify_dir(dir.path(), VerifyDepth::Links).unwrap_err() {
        ChainError::StorageError(error) => assert_eq!(lost(Arc::try_unwrap(error).unwrap()), expected),
        other => unreachable!("{other}"),
    }
    assert!(!log.exists() && !index.exists());
}

#[test]
fn blocks_of_the_same_chain_that_took_the_place_of_others_are_noticed() {
    let (dir, fork) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(dir.path()).put("first", "").unwrap();
    copy_dir(dir.path(), fork.path());
    for (dir, letter) in [(&dir, 'v'), (&fork, 'w')] {
        fill_with(&open(dir.path()), letter);
    }
    let log = dir.path().join("blocks.log");
    let (own, other) = (fs::read(&log).unwrap(), fs::read(fork.path().join("blocks.log")).unwrap());
    assert_eq!(own.len(), other.len());
    // As long, and longer.
    for more in [false, true] {
        if more {
            open(fork.path()).put("more", "").unwrap();
        }
        fs::copy(fork.path().join("blocks.log"), &log).unwrap();
        let (_, height, tip) = lost(TensorStore::open(dir.path()).unwrap_err());
        assert_eq!((height, tip), (Some(Height(23)), Height(23)));
    }
    fs::write(&log, own).unwrap();
    assert_eq!(open(dir.path()).height(), Height(23));
}

#[test]
fn a_damaged_index_changes_nothing_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    chain.close().unwrap();
    let files = files_below(&dir.path().join("index"));
    assert!(!files.is_empty());
    for (n, file) in files.iter().cycle().take(3 * files.len()).enumerate() {
        let Ok(mut bytes) = fs::read(file) else { continue }; // a rebuild may have other files
        if bytes.is_empty() {
            continue;
        }
        let position = n * 7_919 % bytes.len();
        bytes[position] ^= 1 << (n % 8);
        fs::write(file, bytes).unwrap();
        let chain = open(dir.path());
        assert_eq!(contents(&chain), before, "after a flip at {position} of {}", file.display());
        chain.close().unwrap();
    }
    open(dir.path()).verify_full().unwrap();
}

#[test]
fn a_torn_tail_is_taken_away_and_kept_beside() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    let before = contents(&chain);
    drop(chain);
    let index = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), index.path());
    let chain = open(dir.path());
    chain.put("last", "never answered").unwrap();
    drop(chain);
    // A block that was not synced whole is not in the index yet.
    replace_index(dir.path(), index.path());
    let log = dir.path().join("blocks.log");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 10]).unwrap();

    let report = verify_dir(dir.path(), VerifyDepth::Full).unwrap();
    assert!(report.torn_tail.is_some());
    let chain = open(dir.path());
    assert_eq!(contents(&chain), before);
    let torn = chain.store().torn_tail().unwrap();
    assert!(torn.saved_to.exists());
    chain.put("last", "again").unwrap();
    chain.verify_full().unwrap();
}

#[test]
fn a_changed_log_of_a_closed_chain_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path());
    fill(&chain);
    chain.close().unwrap();
    let log = dir.path().join("blocks.log");
    let bytes = fs::read(&log).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    for damaged in [&changed, &bytes[..bytes.len() - 1], &[&bytes[..], b"x"].concat()[..]] {
        fs::write(&log, damaged).unwrap();
        assert!(matches!(verify_dir(dir.path(), VerifyDepth::Links), Err(ChainError::StorageError(_))));
        assert!(matches!(TensorStore::open(dir.path()), Err(StoreError::Log(_))));
    }
    fs::write(&log, &bytes).unwrap();
    open(dir.path()).verify_full().unwrap();
}

#[test]
fn a_backup_taken_under_load_is_a_whole_chain() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = to.path().join("copy");
    let chain = Arc::new(open(dir.path()));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let height = thread::scope(|scope| {
        for writer in 0..4 {
            let (chain, stop) = (&chain, &stop);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    chain.put(format!("{writer}:{n}"), "v").unwrap();
                    n += 1;
                }
            });
        }
        while chain.height() < Height(10) {
            thread::yield_now();
        }
        let height = chain.backup(&copy).unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        height
    });
    assert!(height >= Height(10));
    let report = verify_dir(&copy, VerifyDepth::Full).unwrap();
    assert!(copy.join("CLEAN").exists(), "a copy is a closed chain");
    assert_eq!(report.height, height);
    assert_eq!(report.tip_hash, chain.get_block(height).unwrap().unwrap().hash());

    let restored = open(&copy);
    assert_eq!(restored.height(), height);
    assert_ne!(restored.store().identity().unwrap().node_id(), chain.store().identity().unwrap().node_id());
    restored.put("k", "of the copy").unwrap();
    restored.verify_full().unwrap();
    assert!(chain.backup(&copy).is_err(), "never over something else");
    assert!(matches!(chain.backup(dir.path()), Err(ChainError::StorageError(_))));
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn replace_index(of: &Path, with: &Path) {
    let (index, new) = (of.join("index"), with.join("index"));
    let _ = fs::remove_dir_all(&index);
    if new.exists() {
        fs::create_dir(&index).unwrap();
        copy_dir(&new, &index);
    }
}
