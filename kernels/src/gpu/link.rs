//! The way to the device and back: what a submission costs without any work, and how fast bytes go.

use std::time::Instant;

use wgpu::BufferUsages;

use super::device::Gpu;
use super::fault::Fault;
use crate::accelerator::Link;

/// Bytes that are sent and read; on the slowest devices some milliseconds.
const BYTES: usize = 4 << 20;
const WORDS: usize = BYTES / 4;
/// Times each way is tried; the least counts.
const TRIES: usize = 3;

/// Measures the way.
pub(super) fn measure(gpu: &Gpu) -> Result<Link, Fault> {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let bytes = vec![1; BYTES];
    let buffer = gpu.memory().upload(gpu, &bytes, usage)?;
    let round_trip_s = least(|| gpu.submit(&[], &[(&buffer, 0, 1)]).map(drop))?;
    let down_s = least(|| gpu.submit(&[], &[(&buffer, 0, WORDS)]).map(drop))?;
    let up_s = least(|| {
        let buffer = gpu.memory().upload(gpu, &bytes, usage)?;
        // One word back, so that all of it has arrived.
        gpu.submit(&[], &[(&buffer, WORDS - 1, 1)]).map(drop)
    })?;
    // What a transfer takes beyond a round trip; a clock may be too coarse to see it.
    let speed = |seconds: f64| BYTES as f64 / (seconds - round_trip_s).max(1e-6);
    Ok(Link { round_trip_s, up: speed(up_s), down: speed(down_s) })
}

fn least(run: impl Fn() -> Result<(), Fault>) -> Result<f64, Fault> {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}
