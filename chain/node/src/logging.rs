//! Logs: to stderr, as text or JSON lines.

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Config, LogFormat};

/// Starts logging at the level that `-v` and `-q` ask for: warnings by default.
pub fn start(config: &Config) {
    let level = match config.verbosity {
        ..=-1 => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    };
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
