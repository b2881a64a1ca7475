//! A device that fails in any way changes no answer: the CPU computes, the device is out of use, and says so once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tensor_kernels::gpu::{Gpu, Options};
use tensor_kernels::{BackendKind, ConflictList, DeltaBatch, Fallback, Kernels, Run, Thresholds};

use crate::rows::deltas;
use crate::{by_gpu, kernels, open, options};

fn ask(kernels: &Kernels, batch: &DeltaBatch) -> Run<ConflictList> {
    kernels.conflict_matrix(batch.into(), None, &Thresholds::default()).unwrap()
}

/// What was said of faults.
type Lines = Arc<Mutex<Vec<String>>>;

/// A device that is sound until `broken` is set to a number that `tamper` knows.
fn breakable(tamper: fn(usize, &mut Vec<Vec<u32>>)) -> Option<(Gpu, Arc<AtomicUsize>, Lines)> {
    let (broken, lines) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (switch, heard) = (Arc::clone(&broken), Arc::clone(&lines));
    let gpu = open(Options {
        tamper: Some(Arc::new(move |readings| match switch.load(Ordering::Relaxed) {
            0 => {}
            how => tamper(how, readings),
        })),
        on_fault: Some(Arc::new(move |line: &str| heard.lock().unwrap().push(line.to_owned()))),
        ..options()
    })?;
    Some((gpu, broken, lines))
}

/// Asserts that the first answer after a fault and the second are the CPU's, for the stated reasons.
fn falls_back(kernels: &Kernels, batch: &DeltaBatch, reason: Fallback, then: Fallback) {
    let expected = ask(&Kernels::scalar().unwrap(), batch).value;
    for reason in [reason, then] {
        let run = ask(kernels, batch);
        assert_eq!((run.info.backend, run.info.fallback), (BackendKind::Simd, Some(reason)));
        assert_eq!(run.value, expected);
        assert!(kernels.asked()[&("conflict_matrix", Some(reason))] >= 1);
    }
}

/// Ways to spoil readings, which are [found, done, (checksum, checksum, entries) a row] and the list.
const SPOILS: [fn(&mut Vec<Vec<u32>>); 13] = [
    |readings| readings[0][1] -= 1,
    |readings| readings[0][0] -= 1,
    |readings| readings[0][0] += 1,
    |readings| readings[0][2] ^= 1,
    |readings| readings[0][3] ^= 1 << 31,
    |readings| readings[0][4] += 1,
    |readings| readings[1][0] = 0,
    |readings| readings[1][1] = readings[1][0],
    |readings| readings[1][0] |= 0x7FFF << 15,
    |readings| readings[1].truncate(1),
    |readings| readings.truncate(1),
    |readings| readings[0].fill(0),
    // More than there can be, in agreement with itself.
    |readings| {
        readings[0][0] += 5_000;
        readings[0][4] += 5_000;
    },
];

#[test]
fn wrong_and_truncated_answers_are_found() {
    for how in 1..=SPOILS.len() {
        let Some((gpu, broken, lines)) = breakable(|how, readings| SPOILS[how - 1](readings)) else { return };
        let gpu = Arc::new(gpu);
        let (kernels, batch) = (kernels(Arc::clone(&gpu)), deltas(40, 50, 60, 3));
        by_gpu(ask(&kernels, &batch));
        broken.store(how, Ordering::Relaxed);
        falls_back(&kernels, &batch, Fallback::Mismatch, Fallback::Quarantined);
        // A device that is sound again stays out of use.
        broken.store(0, Ordering::Relaxed);
        falls_back(&kernels, &batch, Fallback::Quarantined, Fallback::Quarantined);
        assert!(gpu.fault().is_some(), "{how}");
        assert_eq!(lines.lock().unwrap().len(), 1, "{how}");
    }
}

#[test]
fn a_device_that_is_lost() {
    let Some((gpu, _, lines)) = breakable(|_, _| {}) else { return };
    let gpu = Arc::new(gpu);
    let (kernels, batch) = (kernels(Arc::clone(&gpu)), deltas(40, 50, 60, 3));
    by_gpu(ask(&kernels, &batch));
    gpu.destroy();
    falls_back(&kernels, &batch, Fallback::Lost, Fallback::Quarantined);
    assert!(lines.lock().unwrap()[0].contains("lost"));
}

#[test]
fn no_answer_in_time() {
    // The known answers are asked for with the same patience, so it ends only afterwards.
    let Some((gpu, _, lines)) = breakable(|_, _| {}) else { return };
    gpu.set_timeout(Duration::ZERO);
    let kernels = kernels(Arc::new(gpu));
    let batch = deltas(200, 384, 60, 3);
    let start = Instant::now();
    falls_back(&kernels, &batch, Fallback::Timeout, Fallback::Quarantined);
    assert!(start.elapsed() < Duration::from_secs(30), "a timeout has to end");
    assert!(lines.lock().unwrap()[0].contains("no answer within"));
}

#[test]
fn more_memory_than_is_allowed_is_no_fault() {
    let Some(gpu) = open(Options { memory_bytes: 1 << 20, ..options() }) else { return };
    let kernels = kernels(Arc::new(gpu));
    falls_back(&kernels, &deltas(250, 8_000, 3, 3), Fallback::OutOfMemory, Fallback::OutOfMemory);
    by_gpu(ask(&kernels, &deltas(40, 50, 60, 3)));
}
