//! The inputs of the golden vectors on the device, operation by operation: the committed answers under every driver, and
//! the CPU's whatever becomes of the device.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tensor_kernels::gpu::Gpu;
use tensor_kernels::{BackendKind, Fallback, Kernels, OPERATIONS};
use tensor_tests::golden::{GOLDEN, Golden, differences};

use crate::{kernels, open, options, shared};

/// Those of which the device computes at least a part.
fn on_device() -> impl Iterator<Item = Golden> {
    let has_version = |name: &str| {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name).unwrap();
        operation.backends.contains(&BackendKind::Gpu)
    };
    GOLDEN.into_iter().filter(move |golden| has_version(golden.name))
}

/// How often an operation ended so.
fn asked(kernels: &Kernels, golden: &Golden, outcome: Option<Fallback>) -> u64 {
    kernels.asked().get(&(golden.name, outcome)).copied().unwrap_or(0)
}

#[test]
fn the_device_reproduces_them() {
    let Some(gpu) = shared() else { return };
    let kernels = kernels(gpu);
    assert_eq!(differences(&kernels).unwrap(), "");
    for golden in on_device() {
        assert!(asked(&kernels, &golden, None) > 0, "{} was not computed there", golden.name);
    }
}

#[test]
fn eight_threads_ask_one_device_for_everything() {
    let Some(gpu) = shared() else { return };
    let (kernels, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    std::thread::scope(|scope| {
        for seed in 10..18 {
            let (kernels, oracle) = (&kernels, &oracle);
            scope.spawn(move || {
                for golden in on_device() {
                    let expected = golden.answer(oracle, seed).unwrap();
                    assert_eq!(golden.answer(kernels, seed).unwrap(), expected, "{}", golden.name);
                }
            });
        }
    });
    for golden in on_device() {
        assert!(asked(&kernels, &golden, None) >= 8, "{} was not computed there", golden.name);
    }
    assert!(kernels.asked().keys().all(|(_, outcome)| matches!(outcome, None | Some(Fallback::NoVersion))));
}

/// Asks each operation of a sound device, breaks it, and asks again: the oracle's answer, for the reason given, in
/// bounded time; and then for the second reason.
fn falls_back(break_it: impl Fn(&Gpu), reason: Fallback, then: Fallback) {
    for golden in on_device() {
        let Some(gpu) = open(options()) else { return };
        let gpu = Arc::new(gpu);
        let kernels = kernels(Arc::clone(&gpu));
        let expected = golden.answer(&Kernels::scalar().unwrap(), 5).unwrap();
        assert_eq!(golden.answer(&kernels, 5).unwrap(), expected, "{}", golden.name);
        assert!(asked(&kernels, &golden, None) > 0, "{} was not computed there", golden.name);

        break_it(&gpu);
        let start = Instant::now();
        // No time at all may be enough for a device, if rarely.
        while asked(&kernels, &golden, Some(reason)) == 0 {
            assert_eq!(golden.answer(&kernels, 5).unwrap(), expected, "{} after {reason}", golden.name);
            assert!(start.elapsed() < Duration::from_secs(30), "{}: {:?}", golden.name, kernels.asked());
        }
        let sound = asked(&kernels, &golden, None);
        assert_eq!(golden.answer(&kernels, 5).unwrap(), expected, "{} after {then}", golden.name);
        assert!(asked(&kernels, &golden, Some(then)) > 0, "{}: {:?}", golden.name, kernels.asked());
        assert!(start.elapsed() < Duration::from_secs(30), "{} has to end", golden.name);
        assert_eq!(asked(&kernels, &golden, None), sound, "{} was computed by a broken device", golden.name);
    }
}

#[test]
fn every_operation_outlives_the_device() {
    falls_back(Gpu::destroy, Fallback::Lost, Fallback::Quarantined);
}

#[test]
fn no_operation_waits_for_ever() {
    falls_back(|gpu| gpu.set_timeout(Duration::ZERO), Fallback::Timeout, Fallback::Quarantined);
}

#[test]
fn no_operation_takes_more_memory_than_is_allowed() {
    falls_back(|gpu| gpu.set_memory(0), Fallback::OutOfMemory, Fallback::OutOfMemory);
}
