//! The device's lists are the oracle's, byte for byte, at every shape, and say so themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tensor_kernels::gpu::Options;
use tensor_kernels::{
    ByteView, ConflictClass, ConflictInput, Decimal, DeltaBatch, Fallback, Kernels, KeySets, SparseBatch,
    Thresholds, ThresholdsBuilder,
};

use crate::rows::{adversarial, bytes, deltas, keys};
use crate::{by_gpu, kernels, open, options, shared};

/// Rows beside the sides of a workgroup, and dimensions beside chunks of codes and of bits.
const ROWS: [usize; 7] = [2, 7, 31, 32, 33, 65, 100];
const DIMS: [u32; 7] = [1, 15, 16, 17, 127, 129, 384];

/// Every question about a batch of deltas, on the device and by the oracle.
fn check(gpu: &Kernels, batch: &DeltaBatch, keys: Option<&KeySets>, thresholds: &Thresholds) {
    let oracle = Kernels::scalar().unwrap();
    let ask = |kernels: &Kernels| kernels.conflict_matrix(batch.into(), keys, thresholds).unwrap();
    assert_eq!(by_gpu(ask(gpu)), ask(&oracle).value);
    let cross = |kernels: &Kernels| {
        kernels.conflict_cross(batch.into(), batch.into(), keys.map(|k| (k, k)), thresholds).unwrap()
    };
    assert_eq!(by_gpu(cross(gpu)), cross(&oracle).value);
    let directions = |kernels: &Kernels| kernels.cosine_conflicts(batch, thresholds);
    assert_eq!(by_gpu(directions(gpu)), directions(&oracle).value);
}

#[test]
fn deltas_of_every_shape() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    let mut seen = std::collections::BTreeSet::new();
    for (n, (&rows, &dim)) in ROWS.iter().zip(&DIMS).chain(ROWS.iter().rev().zip(&DIMS)).enumerate() {
        for filled in [5, 40, 100] {
            let batch = deltas(rows, dim, filled, n as u32);
            let keys = keys(rows);
            for keys in [None, Some(&keys)] {
                check(&gpu, &batch, keys, &Thresholds::default());
            }
            let list = gpu.conflict_matrix((&batch).into(), Some(&keys), &Thresholds::default()).unwrap();
            seen.extend(ConflictClass::ALL.into_iter().filter(|&class| list.value.count(class) > 0));
        }
    }
    assert!(seen.len() >= 5, "the rows are too tame: {seen:?}");
}

#[test]
fn bytes_of_every_shape() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    for (&rows, &dim) in ROWS.iter().zip(&DIMS).chain(ROWS.iter().rev().zip(&DIMS)) {
        let codes = bytes(rows, dim as usize, 7);
        let view = ByteView::new(&codes, rows, dim as usize).unwrap();
        let ask = |kernels: &Kernels| kernels.cosine_conflicts(view, &Thresholds::default());
        assert_eq!(by_gpu(ask(&gpu)), ask(&oracle).value, "{rows} x {dim}");
    }
}

#[test]
fn rows_without_dimensions_and_rows_of_zeros() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    for batch in [deltas(3, 0, 50, 1), deltas(3, 40, 0, 1)] {
        check(&gpu, &batch, Some(&keys(3)), &Thresholds::default());
    }
}

#[test]
fn sums_above_what_f32_can_count() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    let mut codes = vec![-128i8; 3 * 1_500];
    codes[1_500..3_000].fill(127);
    codes[3_000..].iter_mut().step_by(2).for_each(|code| *code = 127);
    let view = ByteView::new(&codes, 3, 1_500).unwrap();
    let ask = |kernels: &Kernels| kernels.cosine_conflicts(view, &Thresholds::default());
    assert_eq!(by_gpu(ask(&gpu)), ask(&oracle).value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn deltas_on_the_thresholds(
        batch in adversarial(), orthogonal in prop_oneof![Just(1_000), 1i32..7_000], structural in 1i32..=10_000,
    ) {
        if let Some(gpu) = shared() {
            let thresholds = ThresholdsBuilder {
                orthogonal: Decimal::from_ten_thousandths(orthogonal),
                structural: Decimal::from_ten_thousandths(structural),
                ..Default::default()
            };
            check(&kernels(gpu), &batch, None, &thresholds.build().unwrap());
        }
    }
}

#[test]
fn lists_that_overflow_work_that_is_too_much_and_rows_in_several_buffers() {
    // Lists of 1,024 pairs, submissions of one workgroup, buffers of 32 rows: each batch is in many tiles.
    let batch = deltas(200, 33, 100, 5);
    for options in [
        Options { list_entries: 0, ..options() },
        Options { work: Some(1), ..options() },
        Options { buffer_bytes: 1, ..options() },
        Options { list_entries: 0, work: Some(1 << 16), buffer_bytes: 1 << 14, ..options() },
    ] {
        let Some(gpu) = open(options) else { return };
        let gpu = kernels(Arc::new(gpu));
        check(&gpu, &batch, Some(&keys(200)), &Thresholds::default());
        let left = deltas(70, 33, 30, 6);
        let ask = |kernels: &Kernels| {
            kernels.conflict_cross((&left).into(), (&batch).into(), None, &Thresholds::default()).unwrap()
        };
        assert_eq!(by_gpu(ask(&gpu)), ask(&Kernels::scalar().unwrap()).value);
    }
}

/// A sound device, and how often it was waited for.
fn counted() -> Option<(Kernels, Arc<AtomicUsize>)> {
    let waits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waits);
    let tamper = move |_: &mut Vec<Vec<u32>>| _ = count.fetch_add(1, Ordering::Relaxed);
    let gpu = open(Options { tamper: Some(Arc::new(tamper)), ..options() })?;
    Some((kernels(Arc::new(gpu)), waits))
}

#[test]
fn the_questions_of_a_block_are_one_submission() {
    let Some((gpu, waits)) = counted() else { return };
    let (block, earlier) = (deltas(70, 33, 60, 1), deltas(300, 33, 40, 2));
    let (later, none) = (deltas(5, 33, 90, 3), deltas(0, 33, 90, 3));
    let inputs = [
        ConflictInput::all_pairs((&block).into(), None).unwrap(),
        ConflictInput::cross((&block).into(), (&earlier).into(), None).unwrap(),
        ConflictInput::cross((&block).into(), (&later).into(), None).unwrap(),
        ConflictInput::cross((&block).into(), (&none).into(), None).unwrap(),
    ];
    let ask = |kernels: &Kernels| kernels.conflict_matrices(&inputs, &Thresholds::default());
    let before = waits.load(Ordering::Relaxed);
    let lists = by_gpu(ask(&gpu));
    assert_eq!(waits.load(Ordering::Relaxed) - before, 1);
    assert_eq!(lists, ask(&Kernels::scalar().unwrap()).value);
}

#[test]
fn batches_stay_on_the_device_as_long_as_they_live_and_there_is_room() {
    let Some(gpu) = open(options()) else { return };
    let gpu = Arc::new(gpu);
    let kernels = kernels(Arc::clone(&gpu));
    let ask = |left: &DeltaBatch, right: &DeltaBatch| {
        let run = |kernels: &Kernels| {
            kernels.conflict_cross(left.into(), right.into(), None, &Thresholds::default()).unwrap()
        };
        assert_eq!(by_gpu(run(&kernels)), run(&Kernels::scalar().unwrap()).value);
    };
    let (left, right) = (deltas(40, 50, 60, 3), deltas(500, 50, 60, 4));
    assert_eq!(gpu.kept_bytes(), 0);
    ask(&left, &right);
    let both = gpu.kept_bytes();
    assert!(both > 0);
    // Asked again, also by another question, they are there; copies are batches of their own.
    ask(&left, &right);
    by_gpu(kernels.cosine_conflicts(&right, &Thresholds::default()));
    assert_eq!(gpu.kept_bytes(), both);
    ask(&left.clone(), &right);
    assert_eq!(gpu.kept_bytes(), both);
    drop(left);
    let one = gpu.kept_bytes();
    assert!(one > 0 && one < both);
    // Half of what is allowed may be kept; what is more is sent each time.
    gpu.set_memory(2 * one + (1 << 20));
    ask(&deltas(9, 50, 60, 5), &right);
    gpu.set_memory(7 << 19);
    let large = deltas(4_000, 200, 3, 6);
    ask(&deltas(9, 200, 60, 5), &large);
    assert_eq!(gpu.kept_bytes(), one);
    drop(right);
    assert_eq!(gpu.kept_bytes(), 0);
}

#[test]
fn eight_threads_share_one_device() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    let earlier = deltas(300, 100, 50, 99);
    std::thread::scope(|scope| {
        for seed in 0..8u32 {
            let (gpu, oracle, earlier) = (&gpu, &oracle, &earlier);
            scope.spawn(move || {
                let batch = deltas(40 + seed as usize, 100, 50, seed);
                let inputs = [
                    ConflictInput::all_pairs((&batch).into(), None).unwrap(),
                    ConflictInput::cross((&batch).into(), earlier.into(), None).unwrap(),
                ];
                let ask = |kernels: &Kernels| kernels.conflict_matrices(&inputs, &Thresholds::default());
                let expected = ask(oracle).value;
                for _ in 0..10 {
                    assert_eq!(by_gpu(ask(gpu)), expected);
                }
            });
        }
    });
}

#[test]
fn what_the_device_does_not_do_is_said_and_done_by_the_cpu() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    let (empty, wide) = (deltas(0, 5, 50, 1), deltas(20, 65_536, 1, 1));
    let sparse: SparseBatch<'_> = deltas(5, 9, 50, 1).to_sparse();
    for (vectors, reason) in [
        ((&empty).into(), Fallback::TooFew),
        ((&wide).into(), Fallback::TooWide),
        ((&sparse).into(), Fallback::NoVersion),
    ] {
        let ask = |kernels: &Kernels| kernels.conflict_matrix(vectors, None, &Thresholds::default()).unwrap();
        let run = ask(&gpu);
        assert_eq!(run.info.fallback, Some(reason));
        assert_eq!(run.info.backend, gpu.kind());
        assert_eq!(run.value, ask(&oracle).value);
        assert_eq!(gpu.asked()[&("conflict_matrix", Some(reason))], 1);
    }
    // An operation without any GPU version says so, too.
    assert_eq!(gpu.delta(&sparse).unwrap().info.fallback, Some(Fallback::NoVersion));
}
