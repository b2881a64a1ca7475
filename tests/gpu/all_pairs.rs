//! Pairs by Jaccard index on the device: the oracle's pairs and scores.

use std::sync::Arc;

use proptest::prelude::*;
use tensor_kernels::gpu::Options;
use tensor_kernels::{Decimal, Fallback, Kernels, Pairs, Similarity, SparseBatch};

use crate::rows::scattered;
use crate::{by_gpu, kernels, open, options, shared};

/// Rows that share much with some and nothing with others, some of them empty.
fn batch(rows: usize, dim: u32, seed: u32) -> SparseBatch<'static> {
    let mut draw = scattered(seed);
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for row in 0..rows {
        let filled = [0, 10, 50, 90, 100][row % 5];
        let part = if row % 3 == 0 { 0..dim } else { 0..dim / 2 };
        indices.extend(part.filter(|_| draw() % 100 < filled));
        indptr.push(indices.len());
    }
    let values = vec![0.5; indices.len()];
    SparseBatch::new(dim, indptr, indices, values).unwrap()
}

fn check(gpu: &Kernels, pairs: &Pairs<'_>, at_least: i32) -> usize {
    let at_least = Decimal::from_ten_thousandths(at_least);
    let ask = |kernels: &Kernels| kernels.all_pairs(pairs, Similarity::Jaccard, at_least).unwrap();
    let found = by_gpu(ask(gpu));
    assert_eq!(found, ask(&Kernels::scalar().unwrap()).value);
    found.len()
}

#[test]
fn rows_of_every_shape() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    for (rows, dim) in [(1, 1), (2, 31), (63, 32), (64, 33), (65, 511), (130, 512), (129, 513), (66, 8_192)] {
        let (left, right) = (batch(rows, dim, 1), batch(rows / 2 + 3, dim, 2));
        for at_least in [1, 3_333, 5_000, 10_000] {
            if rows > 1 {
                check(&gpu, &Pairs::of(&left), at_least);
            }
            check(&gpu, &Pairs::between(&left, &right).unwrap(), at_least);
        }
    }
}

#[test]
fn strips_and_lists_that_overflow() {
    let Some(gpu) = open(Options { work: Some(1), ..options() }) else { return };
    let rows = batch(300, 40, 7);
    check(&kernels(Arc::new(gpu)), &Pairs::of(&rows), 2_000);
    // Nearly 130,000 pairs in one region, twice a list's room.
    let Some(gpu) = shared() else { return };
    let alike =
        SparseBatch::new(3, (0..=510).map(|row| row * 2).collect(), [0, 2].repeat(510), vec![1.0; 1_020]);
    let alike = alike.unwrap();
    assert_eq!(check(&kernels(gpu), &Pairs::of(&alike), 10_000), 510 * 509 / 2);
}

#[test]
fn what_the_device_is_not_asked() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    let reason = |rows: &SparseBatch<'_>, similarity| {
        gpu.all_pairs(&Pairs::of(rows), similarity, Decimal::from_ten_thousandths(10_000))
            .unwrap()
            .info
            .fallback
    };
    assert_eq!(reason(&batch(9, 20, 1), Similarity::Cosine), Some(Fallback::NoVersion));
    assert_eq!(reason(&batch(9, 8_193, 1), Similarity::Jaccard), Some(Fallback::TooWide));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pairs_on_the_threshold(
        rows in prop::collection::vec(prop::collection::btree_set(0u32..12, 0..12), 2..70),
        at_least in prop_oneof![Just(5_000), Just(2_500), Just(3_333), Just(3_334), 1i32..=10_000],
    ) {
        if let Some(gpu) = shared() {
            let indptr = rows.iter().scan(0, |at, row| { *at += row.len(); Some(*at) });
            let indptr = [0].into_iter().chain(indptr).collect();
            let indices: Vec<u32> = rows.iter().flatten().copied().collect();
            let values = vec![2.0; indices.len()];
            let batch = SparseBatch::new(12, indptr, indices, values).unwrap();
            check(&kernels(gpu), &Pairs::of(&batch), at_least);
        }
    }
}
