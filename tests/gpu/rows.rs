//! Rows for the tests of the GPU: deltas and bytes of given shapes whose pairs are of every class.

use proptest::prelude::*;
use tensor_kernels::{DeltaBatch, DeltaVector, KeySets, SparseVec};

/// Numbers that are the same everywhere and look like none in particular.
pub fn scattered(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    }
}

/// Deltas of which about `filled` of 100 positions are not zero, every seventh row like the one before it.
pub fn deltas(rows: usize, dim: u32, filled: u32, seed: u32) -> DeltaBatch {
    let mut draw = scattered(seed);
    let mut vectors: Vec<DeltaVector> = Vec::new();
    for row in 0..rows {
        let mut entries: Vec<(u32, f32)> =
            (0..dim).filter(|_| draw() % 100 < filled).map(|position| (position, 0.0)).collect();
        entries.iter_mut().for_each(|(_, value)| *value = draw() as f32 / 32_768.0 - 1.0);
        if row % 7 == 6 {
            let before = vectors[row - 1].to_sparse();
            entries = before.indices().iter().copied().zip(before.values().iter().map(|v| -v)).collect();
        }
        let (positions, values) = entries.into_iter().filter(|(_, value)| *value != 0.0).unzip();
        vectors.push(DeltaVector::from_sparse(&SparseVec::new(dim, positions, values).unwrap()).unwrap());
    }
    DeltaBatch::pack(dim, &vectors).unwrap()
}

/// Bytes over the whole range, one row of zeros and one of −128.
pub fn bytes(rows: usize, dim: usize, seed: u32) -> Vec<i8> {
    let mut draw = scattered(seed);
    let byte = |row: usize, drawn: u32| match row {
        1 => 0,
        2 => -128,
        _ => drawn.to_le_bytes()[0].cast_signed(),
    };
    (0..rows * dim).map(|place| byte(place / dim.max(1), draw())).collect()
}

/// One or two of five keys a row.
pub fn keys(rows: usize) -> KeySets {
    let ids: Vec<Vec<u32>> = (0..rows as u32)
        .map(|row| if row.is_multiple_of(3) { vec![row % 5] } else { vec![row % 2, 3 + row % 2] })
        .collect();
    KeySets::new(ids.iter().map(Vec::as_slice)).unwrap()
}

/// A delta whose cosine with the first unit vector is on a threshold, or one code beside it: (7, 7, 1, 1) has 0.7
/// and (1, 9, 3, 3) has 0.1.
fn near_a_threshold() -> impl Strategy<Value = [i16; 4]> {
    let on = prop_oneof![Just([7i16, 7, 1, 1]), Just([1, 9, 3, 3]), Just([-7, 7, 1, 1]), Just([-1, 9, 3, 3])];
    (on, prop_oneof![Just(1i16), Just(100), Just(3_600)], 0usize..4, -1i16..=1).prop_map(
        |(on, scale, place, moved)| {
            let mut codes = on.map(|code| code * scale);
            codes[place] += moved;
            codes
        },
    )
}

/// The first unit vector and deltas near the thresholds to it, at any distance of positions from each other.
pub fn adversarial() -> impl Strategy<Value = DeltaBatch> {
    let shape = prop_oneof![Just(4u32), Just(17), Just(130), Just(384)];
    (shape, proptest::collection::vec(near_a_threshold(), 1..40)).prop_map(|(dim, rows)| {
        // Under the least exponent codes of any size are canonical.
        let delta = |positions: Vec<u32>, codes: Vec<i16>| {
            DeltaVector::from_canonical(dim, positions, codes, tensor_kernels::MIN_EXPONENT).unwrap()
        };
        let spread = [0, dim / 3, dim / 2, dim - 1];
        let near = rows.iter().map(|codes| {
            let mut entries: Vec<(u32, i16)> = Vec::new();
            for (&position, &code) in spread.iter().zip(codes) {
                if code != 0 && entries.last().is_none_or(|&(last, _)| last < position) {
                    entries.push((position, code));
                }
            }
            let (positions, codes) = entries.into_iter().unzip();
            delta(positions, codes)
        });
        let vectors: Vec<_> = std::iter::once(delta(vec![0], vec![1])).chain(near).collect();
        DeltaBatch::pack(dim, &vectors).unwrap()
    })
}
