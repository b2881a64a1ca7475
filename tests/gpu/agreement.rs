//! The device's lists are the oracle's, byte for byte, at every shape, and say so themselves.

use std::sync::Arc;

use proptest::prelude::*;
use tensor_kernels::gpu::Options;
use tensor_kernels::{
    ByteView, ConflictClass, Decimal, DeltaBatch, Fallback, Kernels, KeySets, SparseBatch, Thresholds,
    ThresholdsBuilder,
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

#[test]
fn eight_threads_share_one_device() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    std::thread::scope(|scope| {
        for seed in 0..8u32 {
            let (gpu, oracle) = (&gpu, &oracle);
            scope.spawn(move || {
                let batch = deltas(40 + seed as usize, 100, 50, seed);
                let ask = |kernels: &Kernels| {
                    kernels.conflict_matrix((&batch).into(), None, &Thresholds::default()).unwrap()
                };
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
