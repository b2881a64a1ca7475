//! How fast each level of memory is read, and how fast main memory is copied.

use memmap2::{Advice, MmapMut};
use tensor_kernels::Isa;
use tensor_kernels::roofs;

use super::{Limit, case, on_each};
use crate::environment::Environment;
use crate::error::BenchError;
use crate::options::Options;
use crate::record::Case;
use crate::timing::samples;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The cache of this level.
    Cache(u32),
    /// Main memory, on pages of 2 MiB or of 4 KiB.
    Main {
        /// Whether huge pages are asked for, or forbidden.
        huge_pages: bool,
    },
}

/// Bytes that one sample of a cache reads.
const PASS: usize = 1 << 30;

/// Reads a level on every thread; `None` where there is no such cache.
pub(super) fn read(
    limit: Limit,
    level: Level,
    isa: Isa,
    threads: usize,
    options: &Options,
) -> Result<Option<Case>, BenchError> {
    let here = Environment::here();
    let (bytes, huge_pages) = match level {
        Level::Cache(level) => match cache_buffer(&here, level) {
            Some(bytes) => (bytes, true),
            None => return Ok(None),
        },
        Level::Main { huge_pages } => (main_buffer(&here, options.quick) / threads, huge_pages),
    };
    let pass = if options.quick { 1 } else { (PASS / bytes).max(1) };
    let mut buffers = Vec::new();
    for _ in 0..threads {
        buffers.push(buffer(bytes, huge_pages)?);
    }
    if roofs::read(isa, words(&buffers[0])).is_none() {
        return Ok(None);
    }
    let taken = samples(options.budget(), || {
        on_each(&mut buffers, |buffer| {
            (0..pass)
                .filter_map(|_| roofs::read(isa, words(std::hint::black_box(buffer))))
                .fold(0, |x, y| x ^ y)
        });
    });
    let variant = format!("{}, {}", limit.name(), size(bytes * threads));
    Ok(Some(case(limit, &variant, isa, threads).timed(taken, (bytes * pass * threads) as f64, "B")))
}

/// Copies in main memory on every thread; bytes read and bytes written count.
pub(super) fn copy(limit: Limit, isa: Isa, threads: usize, options: &Options) -> Result<Case, BenchError> {
    let bytes = main_buffer(&Environment::here(), options.quick) / (2 * threads) / 64 * 64;
    let mut buffers = Vec::new();
    for _ in 0..threads {
        buffers.push((buffer(bytes, true)?, buffer(bytes, true)?));
    }
    let taken = samples(options.budget(), || {
        on_each(&mut buffers, |(from, to)| roofs::copy(words(from), bytemuck::cast_slice_mut(to)));
    });
    let variant = format!("{}, {}", limit.name(), size(2 * bytes * threads));
    Ok(case(limit, &variant, isa, threads).timed(taken, (2 * bytes * threads) as f64, "B"))
}

/// Bytes that lie in this cache and not in the one before it.
fn cache_buffer(here: &Environment, level: u32) -> Option<usize> {
    let of = |level| here.caches.iter().find(|cache| cache.level == level).map(|cache| cache.bytes as usize);
    let (own, before) = (of(level)?, level.checked_sub(1).and_then(of).unwrap_or(0));
    // Half of it, because others need room too; of a last cache that many cores share only a small part.
    let bytes = if level > 2 { (own / 2).min(4 * before) } else { own / 2 };
    Some(bytes / 4_096 * 4_096).filter(|&bytes| bytes > before)
}

/// Bytes that no cache holds, as far as memory goes.
fn main_buffer(here: &Environment, quick: bool) -> usize {
    let most = if quick { 32 << 20 } else { (here.memory / 16).clamp(256 << 20, 2 << 30) };
    (10 * here.last_cache()).clamp(32 << 20, most) as usize / (2 << 20) * (2 << 20)
}

/// Memory of its own, written once so that it is there.
fn buffer(bytes: usize, huge_pages: bool) -> Result<MmapMut, BenchError> {
    let mut map = MmapMut::map_anon(bytes.max(1))?;
    // Where the advice is refused the figures of both kinds of pages are the same, and say so.
    #[cfg(target_os = "linux")]
    let _ = map.advise(if huge_pages { Advice::HugePage } else { Advice::NoHugePage });
    map.fill(0x5a);
    Ok(map)
}

fn words(map: &MmapMut) -> &[u32] {
    // Mappings begin on a page and have a length that is a multiple of four.
    bytemuck::cast_slice(&map[..map.len() / 4 * 4])
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Cache;

    #[test]
    fn buffers_lie_in_their_cache_and_behind_the_one_before() {
        let caches = [(1, 48 << 10), (2, 2 << 20), (3, 480 << 20)];
        let caches = caches.map(|(level, bytes)| Cache { level, bytes }).to_vec();
        let here = Environment { caches, memory: 16 << 30, ..Environment::here() };
        assert_eq!(cache_buffer(&here, 1), Some(24 << 10));
        assert_eq!(cache_buffer(&here, 2), Some(1 << 20));
        assert_eq!(cache_buffer(&here, 3), Some(8 << 20));
        assert_eq!(cache_buffer(&here, 4), None);
        assert_eq!(main_buffer(&here, false), 1 << 30, "a sixteenth of memory is less than ten caches");
        assert_eq!(main_buffer(&Environment { caches: vec![], ..here }, false), 32 << 20);
    }
}
