//! The only place that writes to stdout. Stdout carries answers and nothing else: with `--output json` one document,
//! but for `dump` (a document a line), `completions` and `man`. Logs and progress bars go to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::config::Format;

/// What a command answers: `Display` is for people, `Serialize` for programs.
pub trait Answer: Display + Serialize {}

impl<T: Display + Serialize> Answer for T {}

/// An answer that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The reader closed the pipe.
    #[error("the reader of the output is gone")]
    ReaderGone,
    /// Stdout refused it.
    #[error("cannot write the answer: {0}")]
    Io(io::Error),
    /// The answer has no JSON form.
    #[error("cannot put the answer into JSON: {0}")]
    Json(serde_json::Error),
}

/// Writes one answer in the format asked for.
///
/// # Errors
/// Whatever stdout refuses.
pub fn answer(format: Format, answer: &impl Answer) -> Result<(), OutputError> {
    let text = match format {
        Format::Table => answer.to_string(),
        Format::Json => serde_json::to_string_pretty(answer).map_err(OutputError::Json)?,
    };
    bytes(text.trim_end().as_bytes())?;
    bytes(b"\n")
}

/// Writes one answer of many as a line of JSON.
///
/// # Errors
/// Whatever stdout refuses.
pub fn json_line(answer: &impl Serialize) -> Result<(), OutputError> {
    let mut line = serde_json::to_vec(answer).map_err(OutputError::Json)?;
    line.push(b'\n');
    bytes(&line)
}

/// Writes a value as it is, so that a pipe gets what was put; on a terminal what follows begins a new line.
///
/// # Errors
/// Whatever stdout refuses.
pub fn value(value: &[u8]) -> Result<(), OutputError> {
    bytes(value)?;
    if io::stdout().is_terminal() { bytes(b"\n") } else { Ok(()) }
}

/// Writes raw bytes: a value, a completion script, a man page.
///
/// # Errors
/// Whatever stdout refuses.
pub fn bytes(bytes: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
        _ => OutputError::Io(error),
    })
}
