//! What happened in a run: all of it as one hash, the notable part as lines.

use std::collections::VecDeque;
use std::fmt;

use sha2::{Digest, Sha256};

/// Lines that are kept for whoever has to explain a failure.
const KEPT: usize = 300;

#[derive(Default)]
pub struct Trace {
    hash: Sha256,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn line(&mut self, now: u64, line: fmt::Arguments<'_>) {
        let line = format!("{now:>6} {line}");
        self.bytes(line.as_bytes());
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn lines(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
