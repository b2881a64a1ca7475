//! Answers of search, k-means and Jaccard pairs that were spoiled on the way are found: the CPU's answer is given, the
//! reason told, the device out of use.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tensor_kernels::gpu::Options;
use tensor_kernels::{
    BackendKind, Decimal, DenseView, Fallback, KMeansCodesOptions, Kernels, Metric, Pairs, Run,
    SearchOptions, Similarity, SparseBatch, Wanted,
};

use crate::rows::scattered;
use crate::{by_gpu, kernels, open, options};

type Spoil = fn(&mut Vec<Vec<u32>>);

/// Asks a sound device, then one that spoils its readings, each way in turn.
fn check<T: PartialEq + Debug>(spoils: &'static [Spoil], ask: impl Fn(&Kernels) -> Run<T>) {
    let expected = ask(&Kernels::scalar().unwrap()).value;
    for (number, &spoil) in spoils.iter().enumerate() {
        let on = Arc::new(AtomicUsize::new(0));
        let switch = Arc::clone(&on);
        let tamper = move |readings: &mut Vec<Vec<u32>>| {
            if switch.load(Ordering::Relaxed) == 1 {
                spoil(readings);
            }
        };
        let Some(gpu) = open(Options { tamper: Some(Arc::new(tamper)), ..options() }) else { return };
        let gpu = kernels(Arc::new(gpu));
        assert_eq!(by_gpu(ask(&gpu)), expected);
        on.store(1, Ordering::Relaxed);
        for reason in [Fallback::Mismatch, Fallback::Quarantined] {
            let run = ask(&gpu);
            assert_eq!(
                (run.info.backend, run.info.fallback),
                (BackendKind::Simd, Some(reason)),
                "way {number}"
            );
            assert_eq!(run.value, expected, "way {number}");
        }
    }
}

#[test]
fn searches() {
    let mut draw = scattered(1);
    let data: Vec<f32> = (0..300 * 5).map(|_| draw() as f32 / 32_768.0 - 1.0).collect();
    let corpus = DenseView::new(&data, 300, 5).unwrap();
    let queries = DenseView::new(&data[..5 * 5], 5, 5).unwrap();
    check(
        // Two checksums, five counts, five lists. The head is also read alone.
        &[
            |readings| readings[0][0] ^= 1,
            |readings| readings[0][1] ^= 1 << 31,
            |readings| readings[0].iter_mut().skip(4).for_each(|word| *word = 0),
            |readings| readings[0].iter_mut().skip(7).for_each(|word| *word = 0),
            |readings| readings[0].iter_mut().skip(7).for_each(|word| *word = 301),
            |readings| readings[0].iter_mut().skip(7).for_each(|word| *word = 7),
            |readings| readings[0].truncate(2),
            |readings| readings.clear(),
        ],
        |kernels| {
            let options = SearchOptions::new(Metric::Dot, Wanted::Top(4));
            kernels.search_corpus(&kernels.corpus(corpus).value, queries, &options).unwrap()
        },
    );
}

/// Words of a round of seeding.
const ROUND: usize = 16 * 8;

fn of_assignments(readings: &mut Vec<Vec<u32>>, spoil: Spoil) {
    if readings.len() == 2 && readings[1].len() == 200 {
        spoil(readings);
    }
}

fn of_rounds(readings: &mut Vec<Vec<u32>>, spoil: Spoil) {
    if readings.len() == 2 && readings[0].len() == 1 {
        spoil(readings);
    }
}

fn of_sample(readings: &mut Vec<Vec<u32>>, spoil: Spoil) {
    if readings.len() == 16 {
        spoil(readings);
    }
}

#[test]
fn clusters() {
    let mut draw = scattered(2);
    let codes: Vec<i8> = (0..200 * 5).map(|_| draw().to_le_bytes()[1].cast_signed().max(-127)).collect();
    let options = KMeansCodesOptions { k: 9, max_iterations: 3, seed: 1, exponent: 0, epoch: 0 };
    check(
        &[
            // Assignments: two checksums, then the nearest centroids. They are the readings of 200 words.
            |readings| of_assignments(readings, |readings| readings[0][0] ^= 1),
            |readings| of_assignments(readings, |readings| readings[0][1] ^= 1 << 31),
            |readings| of_assignments(readings, |readings| readings[1][77] = 9),
            |readings| of_assignments(readings, |readings| readings[1].truncate(199)),
            |readings| of_assignments(readings, |readings| readings.truncate(1)),
            |readings| of_assignments(readings, Vec::clear),
            // Rounds of seeding: how many are over, then eight words for each of sixteen trials.
            |readings| of_rounds(readings, |readings| readings[0][0] -= 1),
            |readings| of_rounds(readings, |readings| readings[0].clear()),
            |readings| of_rounds(readings, |readings| readings[1].truncate(8)),
            |readings| of_rounds(readings, |readings| readings.truncate(1)),
            |readings| of_rounds(readings, |readings| readings[1][2] = 0),
            |readings| of_rounds(readings, |readings| readings[1][2] = 201),
            |readings| of_rounds(readings, |readings| readings[1][2] ^= 1),
            |readings| of_rounds(readings, |readings| readings[1][6] ^= 1),
            |readings| of_rounds(readings, |readings| readings[1][7] ^= 1 << 31),
            |readings| of_rounds(readings, |readings| readings[1][ROUND + 8 + 7] ^= 1),
            // A round that leaves more than the one before.
            |readings| {
                of_rounds(readings, |readings| readings[1][ROUND..].chunks_mut(8).for_each(|t| t[5] = 9))
            },
            // Sixteen squared distances.
            |readings| of_sample(readings, |readings| readings[3][0] ^= 1),
            |readings| of_sample(readings, |readings| readings[15].clear()),
            |readings| of_sample(readings, |readings| readings.truncate(15)),
        ],
        |kernels| kernels.kmeans_codes(&codes, 5, &options).unwrap(),
    );
}

#[test]
fn pairs() {
    let mut draw = scattered(3);
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for _ in 0..100 {
        indices.extend((0..8u32).filter(|_| !draw().is_multiple_of(3)));
        indptr.push(indices.len());
    }
    let values = vec![1.0; indices.len()];
    let batch = SparseBatch::new(8, indptr, indices, values).unwrap();
    check(
        // Two checksums, the number of pairs, the pairs.
        &[
            |readings| readings[0][0] ^= 1,
            |readings| readings[0][1] ^= 1 << 31,
            |readings| readings[0][2] = u32::MAX,
            |readings| readings[0][2] += 1,
            |readings| readings[0][3] = 100,
            |readings| readings[0].copy_within(3..5, 5),
            |readings| readings[0].truncate(3),
            |readings| readings.clear(),
        ],
        |kernels| {
            let at_least = Decimal::from_ten_thousandths(6_000);
            kernels.all_pairs(&Pairs::of(&batch), Similarity::Jaccard, at_least).unwrap()
        },
    );
}
