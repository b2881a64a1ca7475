//! k-means on codes with the device's assignments: the oracle's codebooks.

use std::sync::Arc;

use proptest::prelude::*;
use tensor_kernels::gpu::Options;
use tensor_kernels::{Fallback, KMeansCodesOptions, Kernels};

use crate::rows::scattered;
use crate::{by_gpu, kernels, open, options, shared};

fn training(k: usize) -> KMeansCodesOptions {
    KMeansCodesOptions { k, max_iterations: 5, seed: 3, exponent: -4, epoch: 1 }
}

fn check(gpu: &Kernels, codes: &[i8], dim: u32, options: &KMeansCodesOptions) {
    let train = |kernels: &Kernels| kernels.kmeans_codes(codes, dim, options).unwrap();
    assert_eq!(by_gpu(train(gpu)), train(&Kernels::scalar().unwrap()).value);
}

/// Codes of all magnitudes, the extreme ones often.
fn codes(count: usize, seed: u32) -> Vec<i8> {
    let mut draw = scattered(seed);
    let code = |drawn: u32| match drawn % 5 {
        0 => 127,
        1 => -127,
        _ => (drawn >> 8).to_le_bytes()[0].cast_signed().max(-127),
    };
    (0..count).map(|_| code(draw())).collect()
}

#[test]
fn codes_of_every_shape() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    for (rows, dim, k) in [
        (1, 1, 1),
        (2, 3, 2),
        (63, 64, 5),
        (64, 65, 64),
        (65, 4, 65),
        (200, 384, 66),
        (300, 31, 130),
        (129, 1_100, 3),
    ] {
        check(&gpu, &codes(rows * dim, 1), dim as u32, &training(k));
    }
}

#[test]
fn the_greatest_distances_fit() {
    let Some(gpu) = shared() else { return };
    let dim = 65_536;
    let mut codes = vec![127i8; 3 * dim];
    codes[dim..2 * dim].fill(-127);
    codes[2 * dim..2 * dim + 9].fill(3);
    check(&kernels(gpu), &codes, dim as u32, &training(2));
}

#[test]
fn rows_in_many_parts() {
    // A tile a submission, or one a buffer, which is less than a span.
    for options in [Options { work: Some(1), ..options() }, Options { buffer_bytes: 1, ..options() }] {
        let Some(gpu) = open(options) else { return };
        check(&kernels(Arc::new(gpu)), &codes(700 * 10, 4), 10, &training(7));
    }
}

#[test]
fn what_is_wrong_is_for_the_cpu_to_say() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    assert!(gpu.kmeans_codes(&[-128, 1], 1, &training(1)).is_err());
    let run = gpu.kmeans_codes(&[], 3, &training(4)).unwrap();
    assert_eq!(run.info.fallback, Some(Fallback::TooFew));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn ties_go_to_the_lowest(codes in prop::collection::vec(-1i8..=1, 2 * 70), k in 1usize..70) {
        if let Some(gpu) = shared() {
            check(&kernels(gpu), &codes, 2, &training(k));
        }
    }
}
