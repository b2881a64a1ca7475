//! Where a record was made. Figures without their machine say nothing, so each record carries it.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tensor_kernels::Isa;

/// The machine, the build and the inputs of one run. What the system does not tell is `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The processor's name.
    pub cpu: String,
    /// The instruction-set levels that can run here, slowest first.
    pub isa: Vec<String>,
    /// Cores that the operating system grants.
    pub cores: usize,
    /// Main memory in bytes; 0 where unknown.
    pub memory: u64,
    /// The data caches, nearest first.
    pub caches: Vec<Cache>,
    /// Whether memory may lie on huge pages: the kernel's choice among `always`, `madvise`, `never`.
    pub huge_pages: String,
    /// Operating system and kernel.
    pub os: String,
    /// The compiler.
    pub rustc: String,
    /// The build profile: figures of anything but `release` are worthless.
    pub profile: String,
    /// Version of the crates measured.
    pub version: String,
    /// The commit that was built, and whether the sources differ from it.
    pub commit: String,
    /// SHA-256 of each input that came from a file, by name. Generated inputs are named by their seed in the case.
    pub data: BTreeMap<String, String>,
    /// When the run began, UTC: `2026-01-31T13:45:00Z`.
    pub date: String,
}

/// One data cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// 1, 2 or 3.
    pub level: u32,
    /// Size of one instance.
    pub bytes: u64,
}

impl Environment {
    /// This machine, now.
    #[must_use]
    pub fn here() -> Self {
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            isa: Isa::available().iter().map(ToString::to_string).collect(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            memory: field("/proc/meminfo", "MemTotal").and_then(|text| kib(&text)).unwrap_or(0),
            caches: caches(),
            huge_pages: huge_pages().unwrap_or_else(unknown),
            os: os(),
            rustc: env!("BENCH_RUSTC").to_owned(),
            profile: env!("BENCH_PROFILE").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("BENCH_COMMIT").to_owned(),
            data: BTreeMap::new(),
            date: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or_else(|_| unknown(), |d| utc(d.as_secs())),
        }
    }

    /// Bytes of the largest cache; 0 where unknown.
    #[must_use]
    pub fn last_cache(&self) -> u64 {
        self.caches.iter().map(|cache| cache.bytes).max().unwrap_or(0)
    }
}

/// The most memory this process has held since [`forget_peak_memory`], in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    field("/proc/self/status", "VmHWM").and_then(|text| kib(&text))
}

/// Starts counting anew. Where the system does not offer this, peaks are those of the whole process.
pub(crate) fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `48K`, `2M` or `12 kB` in bytes.
fn kib(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = if text[digits.len()..].trim_start().starts_with('M') { 1 << 20 } else { 1 << 10 };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn caches() -> Vec<Cache> {
    let read = |index: u32, name: &str| {
        read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    (0..8)
        .filter(|&index| read(index, "type").is_some_and(|kind| kind != "Instruction"))
        .filter_map(|index| {
            let level = read(index, "level")?.parse().ok()?;
            Some(Cache { level, bytes: kib(&read(index, "size")?)? })
        })
        .collect()
}

/// The choice in brackets: `always [madvise] never`.
fn huge_pages() -> Option<String> {
    let text = read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn os() -> String {
    let system = read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("PRETTY_NAME="))?;
        Some(line.trim_start_matches("PRETTY_NAME=").trim_matches('"').to_owned())
    });
    let kernel = read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
    let system = system.unwrap_or_else(|| std::env::consts::OS.to_owned());
    format!("{system}, kernel {}", kernel.unwrap_or_else(|_| unknown()))
}

/// Seconds since 1970 as ISO text; years begin in March, so that the leap day is the last of its year.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let here = Environment::here();
        assert!(here.cores > 0 && here.isa.first().is_some_and(|isa| isa == "scalar"));
        assert!(here.rustc.starts_with("rustc ") && here.date.ends_with('Z'));
    }

    #[test]
    fn sizes_and_dates_are_read() {
        assert_eq!((kib("48K"), kib("2M"), kib("12 kB")), (Some(48 << 10), Some(2 << 20), Some(12 << 10)));
        assert_eq!((kib("many"), kib("99999999999999999999M")), (None, None));
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_709_210_096), "2024-02-29T12:34:56Z");
    }
}
