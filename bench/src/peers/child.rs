//! Peers that live in Python: one child process for each library, workload and thread count, so that
//! a crash costs one row and thread pools are pinned before a library loads.
//!
//! The scripts are part of this program and are written out beside the inputs. They answer on stdout, a line of
//! JSON for each line they are sent, and time themselves, so that talking to them costs nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;

use super::contender::{Contender, PeerError, Sample};
use super::exchange;

/// The scripts: name and text.
const SCRIPTS: &[(&str, &str)] = &[
    ("child.py", include_str!("../../peers/child.py")),
    ("clusters.py", include_str!("../../peers/clusters.py")),
    ("int8.py", include_str!("../../peers/int8.py")),
    ("intel.py", include_str!("../../peers/intel.py")),
    ("isa.py", include_str!("../../peers/isa.py")),
    ("pairs.py", include_str!("../../peers/pairs.py")),
    ("registry.py", include_str!("../../peers/registry.py")),
    ("search.py", include_str!("../../peers/search.py")),
    ("sparse.py", include_str!("../../peers/sparse.py")),
    ("topk.py", include_str!("../../peers/topk.py")),
];

/// Variables by which the libraries take their thread count when they load.
const THREADS: &[&str] =
    &["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"];

/// How long one answer may take before the child counts as hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// A Python that the user has filled with libraries, and the scripts on disk.
pub struct Python {
    program: PathBuf,
    scripts: tempfile::TempDir,
}

/// A peer that the scripts know.
#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    /// The workload it answers.
    pub workload: String,
    /// The library, and its method after a colon.
    pub peer: String,
    /// The installed version; `None` when it is not installed.
    pub version: Option<String>,
}

impl Python {
    /// Writes the scripts out.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn new(program: &Path) -> Result<Self, PeerError> {
        let scripts = tempfile::tempdir()?;
        for (name, text) in SCRIPTS {
            std::fs::write(scripts.path().join(name), text)?;
        }
        Ok(Self { program: program.to_owned(), scripts })
    }

    /// Every peer that the scripts know, installed or not.
    ///
    /// # Errors
    /// The interpreter cannot be started or lacks NumPy.
    pub fn list(&self) -> Result<Vec<Listed>, PeerError> {
        #[derive(Deserialize)]
        struct Listing {
            peers: Vec<Listed>,
        }
        let output = self.command(1).arg("list").output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(PeerError::Refused(text.lines().last().unwrap_or_default().to_owned()));
        }
        Ok(serde_json::from_slice::<Listing>(&output.stdout)?.peers)
    }

    /// Starts one peer on the inputs in `folder`. It has run once, to warm up, when this returns.
    ///
    /// # Errors
    /// The peer is not installed or fails.
    pub fn start(&self, peer: &Listed, folder: &Path, threads: usize) -> Result<Script, PeerError> {
        if peer.version.is_none() {
            return Err(PeerError::NotInstalled);
        }
        let mut command = self.command(threads);
        command.args(["run", &peer.workload, &peer.peer, "--threads", &threads.to_string(), "--input"]);
        let mut child = command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                // A line nobody waits for any more ends the thread.
                BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        let answer = folder.join("answer.f64");
        let mut script = Script { child, stdin, lines, answer, isa: String::new() };
        script.isa = script.reply()?.isa.unwrap_or_else(|| "-".to_owned());
        Ok(script)
    }

    fn command(&self, threads: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-B").arg(self.scripts.path().join("child.py")).stderr(Stdio::null());
        for variable in THREADS {
            command.env(variable, threads.to_string());
        }
        // Wheels of Intel's libraries put shared objects here without telling the loader.
        if let Some(prefix) = self.program.parent().and_then(Path::parent) {
            command.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        command
    }
}

/// A running child process. It ends when this is dropped.
pub struct Script {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    answer: PathBuf,
    isa: String,
}

/// One line of a child: which fields are there depends on what was asked.
#[derive(Deserialize)]
struct Reply {
    isa: Option<String>,
    wall_s: Option<f64>,
    cpu_s: Option<f64>,
    error: Option<String>,
}

impl Script {
    fn ask(&mut self, line: &str) -> Result<Reply, PeerError> {
        if let Some(stdin) = &mut self.stdin {
            // A child that has died is found out by its silence, with its exit status.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply, PeerError> {
        let line = self.lines.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => PeerError::Silent(PATIENCE),
            RecvTimeoutError::Disconnected => match self.child.wait() {
                Ok(status) => PeerError::Died { status: status.to_string() },
                Err(error) => error.into(),
            },
        })?;
        let reply: Reply = serde_json::from_str(&line)?;
        match reply.error {
            Some(error) => Err(PeerError::Refused(error)),
            None => Ok(reply),
        }
    }
}

impl Contender for Script {
    fn sample(&mut self) -> Result<Sample, PeerError> {
        let reply = self.ask("sample")?;
        let seconds = |value: Option<f64>| {
            let value = value.and_then(|value| Duration::try_from_secs_f64(value).ok());
            value.ok_or_else(|| PeerError::Refused("a sample without its times".to_owned()))
        };
        Ok((seconds(reply.wall_s)?, seconds(reply.cpu_s)?))
    }

    fn answer(&mut self) -> Result<Vec<f64>, PeerError> {
        self.ask(&format!("answer {}", self.answer.display()))?;
        Ok(exchange::read(&self.answer)?)
    }

    fn isa(&self) -> String {
        self.isa.clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
