//! What was measured of a GPU beside the CPU, kept for the next process in the user's cache folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tensor_chain::atomic_io::{AtomicIoError, atomic_write};
use tensor_datasets::Cache;
use tensor_kernels::{Calibration, Selector};

/// The file, in the folder of the cache.
const FILE: &str = "gpu-calibration.json";

/// A selector with the figures of an earlier process, which keeps those it makes for the next. A file that cannot be used
/// is as good as none, and so is a folder that cannot be written: both are measured again.
#[must_use]
pub fn selector() -> Selector {
    let Some(path) = path() else { return Selector::new(cpu_name(), None) };
    let figures = read(&path).unwrap_or_else(|reason| {
        tracing::info!("{}: ignored: {reason}", path.display());
        None
    });
    Selector::new(cpu_name(), figures).on_figures(move |figures| {
        if let Err(error) = write(&path, figures) {
            tracing::info!("{}: not written: {error}", path.display());
        }
    })
}

/// Where figures are kept, if there is a place.
#[must_use]
pub fn path() -> Option<PathBuf> {
    Cache::from_env().ok().map(|cache| cache.folder().join(FILE))
}

/// The figures in a file; `None` where there is no file.
///
/// # Errors
/// Why the file cannot be used.
pub fn read(path: &Path) -> Result<Option<Calibration>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let figures: Calibration = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if figures.is_possible() { Ok(Some(figures)) } else { Err("figures that cannot be".to_owned()) }
}

fn write(path: &Path, figures: &Calibration) -> Result<(), WriteError> {
    Ok(atomic_write(path, serde_json::to_string_pretty(figures)?.as_bytes())?)
}

/// Why figures were not kept.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    File(#[from] AtomicIoError),
}

/// The CPU's name where the system tells, else its architecture.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"{
        "key": {"adapter": "a", "driver": "d", "kernels": "k", "cpu": "c", "isa": "avx2", "threads": 2, "version": "0"},
        "link": {"round_trip_s": 0.001, "up": 1e9, "down": 1e9}, "open_s": 0.2,
        "classes": {"search_few": {"cpu": {"fixed_s": 0.0, "rate": 1e9}, "gpu": {"fixed_s": 0.0, "rate": 1e10},
            "compile_s": 0.1, "measured_in_s": 0.01, "gpu_sizes": 5}}}"#;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        assert_eq!(read(&path), Ok(None));
        let figures: Calibration = serde_json::from_str(SOUND).unwrap();
        write(&path, &figures).unwrap();
        assert_eq!(read(&path), Ok(Some(figures)));
        for (damaged, says) in [
            (SOUND[..SOUND.len() - 2].to_owned(), "EOF"),
            (SOUND.replace("\"link\"", "\"chain\""), "unknown field"),
            (SOUND.replace("search_few", "search_none"), "unknown variant"),
            (SOUND.replace("\"up\": 1e9", "\"up\": 0"), "cannot be"),
            (SOUND.replace("1e10", "-1"), "cannot be"),
            ("[]".to_owned(), "invalid"),
            ("\u{0}".to_owned(), "expected value"),
        ] {
            std::fs::write(&path, damaged).unwrap();
            let reason = read(&path).unwrap_err();
            assert!(reason.contains(says), "{says}: {reason}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(&path).is_err() && write(&path, &serde_json::from_str(SOUND).unwrap()).is_err());
    }
}
