//! Damaged files: every flipped byte of the block log is found and named; the index is rebuilt or found.

use std::fs;
use std::path::Path;
use std::process::Command;

use tensor_chain::log::LogReader;

use super::{Seeded, succeeds, tensorchain};

/// A cleanly closed chain of a few blocks with different kinds of operations.
fn closed_chain(dir: &Path) {
    for n in 0..12 {
        succeeds(tensorchain(dir).args(["put", &format!("key-{}", n % 5), &format!("value-{n}")]));
    }
    succeeds(tensorchain(dir).args(["delete", "key-3"]));
}

#[test]
fn two_thousand_flipped_bytes_of_the_log_are_each_named() {
    let mut random = Seeded::new();
    let dir = tempfile::tempdir().unwrap();
    closed_chain(dir.path());
    let log = dir.path().join("blocks.log");
    let whole = fs::read(&log).unwrap();
    // `tests/long.sh` flips every byte; here a seeded choice of 2,000.
    let every = std::env::var_os("EVERY_BYTE").is_some();
    let places: Vec<usize> = if every {
        (0..whole.len()).collect()
    } else {
        (0..2_000).map(|_| random.below(whole.len() as u64) as usize).collect()
    };
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        fs::write(&log, &bytes).unwrap();
        let output = tensorchain(dir.path()).arg("verify").arg(dir.path()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(20), "TEST_SEED={} byte {at}: {output:?}", random.seed);
        assert!(message.contains("blocks.log"), "TEST_SEED={} byte {at}: {message}", random.seed);
        assert!(!message.contains("panicked"), "{message}");
    }
    fs::write(&log, &whole).unwrap();
    succeeds(tensorchain(dir.path()).arg("verify").arg(dir.path()));
}

#[test]
fn a_damaged_index_never_changes_an_answer() {
    let mut random = Seeded::new();
    let dir = tempfile::tempdir().unwrap();
    closed_chain(dir.path());
    let answers = |dir: &Path| -> Vec<Vec<u8>> {
        ["key-0", "key-1", "key-4"]
            .iter()
            .map(|key| succeeds(tensorchain(dir).args(["get", key])).stdout)
            .chain([
                succeeds(tensorchain(dir).args(["list", "--output", "json"])).stdout,
                succeeds(tensorchain(dir).args(["history", "key-1", "--output", "json"])).stdout,
                succeeds(tensorchain(dir).args(["prove", "key-2", "--output", "json"])).stdout,
            ])
            .collect()
    };
    let expected = answers(dir.path());
    let files = files_below(&dir.path().join("index"));
    assert!(!files.is_empty(), "an index on disk has files");
    let pristine: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut flips = 0;
    while flips < 60 {
        let which = random.below(files.len() as u64) as usize;
        if pristine[which].is_empty() {
            continue;
        }
        flips += 1;
        // Back to the state before the last flip, whatever a rebuild made of it.
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        for (file, bytes) in files.iter().zip(&pristine) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let at = random.below(pristine[which].len() as u64) as usize;
        let mut bytes = pristine[which].clone();
        bytes[at] ^= 1 << random.below(8);
        fs::write(&files[which], &bytes).unwrap();
        let now = answers(dir.path());
        assert_eq!(now, expected, "TEST_SEED={} {} byte {at}", random.seed, files[which].display());
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_torn_tail_is_dropped_loudly_and_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    closed_chain(dir.path());
    let log = dir.path().join("blocks.log");
    let whole = fs::read(&log).unwrap();
    // As a crash leaves it: no clean marker, the last frame cut, and an index that knows nothing of that yet.
    fs::remove_file(dir.path().join("CLEAN")).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::write(&log, &whole[..whole.len() - 7]).unwrap();
    let output = succeeds(tensorchain(dir.path()).args(["put", "after", "crash"]));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("torn"), "a dropped tail has to be said: {message}");
    let kept = fs::read_dir(dir.path())
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("blocks.log.torn"));
    assert!(kept, "the dropped bytes are kept aside");
    succeeds(tensorchain(dir.path()).arg("verify").arg(dir.path()));
    assert_eq!(succeeds(tensorchain(dir.path()).args(["get", "after"])).stdout, b"crash");
}

/// What is said by a command that finds the log damaged.
fn finds_damage(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(20), "{command:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn blocks_that_the_log_has_lost_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    closed_chain(dir.path());
    let (log, marker) = (dir.path().join("blocks.log"), dir.path().join("CLEAN"));
    let whole = fs::read(&log).unwrap();
    let end_of_first = {
        let reader = LogReader::open_read_only(dir.path()).unwrap();
        reader.frames().nth(1).unwrap().unwrap().end
    };
    // Cut where a block ends and not closed: every byte that is left is sound.
    fs::remove_file(&marker).unwrap();
    fs::write(&log, &whole[..end_of_first as usize]).unwrap();
    for args in [&["get", "key-0"][..], &["put", "n", "1"], &["history", "key-0"]] {
        let message = finds_damage(tensorchain(dir.path()).args(args));
        assert!(message.contains("blocks.log"), "{message}");
        assert!(message.contains("(height 2)") && message.contains("to height 13"), "{message}");
        assert_eq!(fs::metadata(&log).unwrap().len(), end_of_first);
    }
    // Gone as a whole: no new chain takes its place.
    fs::remove_file(&log).unwrap();
    for args in [&["put", "n", "1"][..], &["get", "key-0"]] {
        let message = finds_damage(tensorchain(dir.path()).args(args));
        assert!(message.contains("blocks.log") && message.contains("to height 13"), "{message}");
        assert!(!log.exists());
    }

    fs::write(&log, &whole).unwrap();
    assert_eq!(succeeds(tensorchain(dir.path()).args(["get", "key-0"])).stdout, b"value-10");
    assert!(marker.exists(), "closed again");
    fs::remove_file(&log).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    for args in [&["put", "n", "1"][..], &["get", "key-0"], &["verify"]] {
        let message = finds_damage(tensorchain(dir.path()).args(args));
        assert!(message.contains("blocks.log") && message.contains("to height 13"), "{message}");
        assert!(!log.exists());
    }
}
