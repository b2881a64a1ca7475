//! Corpora that are hard on bytes: ties, near ties, one great component, clusters, many scales; under row masks,
//! on one and three threads.

use proptest::prelude::*;

use super::{METRICS, Rows, agreed, agreed_in, agreed_on, metric, view, wanted};
use crate::types::{ByteView, DenseView, HalfKind, HalfView, Metric, RowMask, SearchOptions, Wanted};

/// How the rows of a corpus lie.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Independent components.
    Noise,
    /// All rows equal.
    Equal,
    /// Equal but for one unit in the last place of one component.
    NearlyEqual,
    /// One component that takes the whole range of a byte.
    Outlier,
    /// Few centres with a little noise.
    Clusters,
    /// Scales from 1e-30 to 1e30.
    Scales,
    /// Some rows zero, some with subnormal components.
    Vanishing,
}

const KINDS: [Kind; 7] = [
    Kind::Noise,
    Kind::Equal,
    Kind::NearlyEqual,
    Kind::Outlier,
    Kind::Clusters,
    Kind::Scales,
    Kind::Vanishing,
];

/// Rows of a kind from a seed.
fn hard_rows(kind: Kind, rows: usize, dim: usize, seed: u64) -> Rows {
    let mut state = seed | 1;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let centres: Vec<f32> = (0..4 * dim).map(|_| draw()).collect();
    let mut data: Vec<f32> = Vec::with_capacity(rows * dim);
    for row in 0..rows {
        let noise: Vec<f32> = (0..dim).map(|_| draw()).collect();
        let centre = &centres[row % 4 * dim..][..dim];
        let near = |amount: f32| noise.iter().zip(centre).map(move |(x, c)| c + amount * x);
        match kind {
            Kind::Noise => data.extend(&noise),
            Kind::Equal => data.extend(&centres[..dim]),
            Kind::NearlyEqual => {
                data.extend(&centres[..dim]);
                let last = data.len() - 1 - row % dim;
                data[last] = if row % 2 == 0 { data[last].next_up() } else { data[last].next_down() };
            }
            Kind::Outlier => {
                data.extend(noise.iter().map(|x| x / 512.0));
                let first = data.len() - dim;
                data[first] = 3.0;
            }
            Kind::Clusters => data.extend(near(1e-3)),
            Kind::Scales => {
                data.extend(noise.iter().map(|x| x * 10f32.powi(i32::try_from(row % 61).unwrap() - 30)))
            }
            Kind::Vanishing => data.extend(near(0.5).map(|x| match row % 3 {
                0 => x * 0.0,
                1 => x * 1e-39,
                _ => x * 1e-20,
            })),
        }
    }
    (data, rows)
}

proptest! {
    #[test]
    fn hard_corpora_agree_under_masks(
        kind in prop::sample::select(&KINDS[..]), seed: u64, dim in prop::sample::select(&[1usize, 5, 31, 64, 100][..]),
        rows in 0usize..150, queries in prop_oneof![1usize..4, 33usize..40],
        metric in metric(), wanted in wanted(), mask in 0usize..5,
    ) {
        let (corpus, asked) = (hard_rows(kind, rows, dim, seed), hard_rows(kind, queries, dim, seed ^ 7));
        let options = SearchOptions::new(metric, wanted);
        let mask = match mask {
            0 => None,
            1 => Some(RowMask::none(rows)),
            2 => Some(RowMask::from_fn(rows, |_| true)),
            every => Some(RowMask::from_fn(rows, |row| (row as u64 ^ seed).is_multiple_of(every as u64))),
        };
        let options = mask.as_ref().map_or(options, |mask| options.only(mask));
        let found = agreed_on(view(&corpus, dim), view(&asked, dim), &options);
        prop_assert!(found.iter().flatten().all(|near| options.allows(near.row as usize)));
    }
}

proptest! {
    #[test]
    fn rows_of_other_kinds_agree(
        dim in prop::sample::select(&[1usize, 7, 64, 65][..]), (rows, queries) in (0usize..100, 1usize..40),
        bits in prop::collection::vec(any::<u16>(), 65 * 140), metric in metric(), wanted in wanted(),
        kind in prop::sample::select(&HalfKind::ALL[..]),
    ) {
        // Not infinite and not NaN.
        let finite = |&bits: &u16| if bits & 0x7c00 == 0x7c00 || bits & 0x7f80 == 0x7f80 { bits & 0x83ff } else { bits };
        let halves: Vec<u16> = bits.iter().map(finite).collect();
        let codes: Vec<i8> = bits.iter().map(|&bits| bits as i8).collect();
        let (stored, asked) = (0..rows * dim, rows * dim..(rows + queries) * dim);
        let half = |range: std::ops::Range<usize>, count| HalfView::from_bits(kind, &halves[range], count, dim).unwrap();
        let bytes = |range: std::ops::Range<usize>, count| ByteView::new(&codes[range], count, dim).unwrap();
        let options = SearchOptions::new(metric, wanted);
        let (half_rows, byte_rows) = (half(stored.clone(), rows).into(), bytes(stored, rows).into());
        let (half_queries, byte_queries) = (half(asked.clone(), queries).into(), bytes(asked, queries).into());
        agreed_in(half_rows, half_queries, &options);
        agreed_in(byte_rows, byte_queries, &options);
        agreed_in(byte_rows, half_queries, &options);
    }
}

#[test]
fn threads_do_not_matter_where_every_group_of_panels_has_its_own_worker() {
    let dim = 512;
    for kind in [Kind::Noise, Kind::Clusters, Kind::NearlyEqual] {
        let (corpus, asked) = (hard_rows(kind, 3_000, dim, 3), hard_rows(kind, 3, dim, 4));
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let wanted = if matches!(kind, Kind::NearlyEqual) { Wanted::Top(3) } else { Wanted::Top(20) };
            pool.install(|| agreed(view(&corpus, dim), view(&asked, dim), Metric::Dot, wanted));
        }
    }
}

#[test]
fn a_query_that_bytes_leave_too_many_rows_to_is_answered_all_the_same() {
    for kind in [Kind::Equal, Kind::Outlier] {
        let (corpus, asked) = (hard_rows(kind, 6_000, 6, 5), hard_rows(kind, 2, 6, 6));
        for metric in METRICS {
            agreed(view(&corpus, 6), view(&asked, 6), metric, Wanted::Top(2));
        }
    }
}

#[test]
fn products_of_bytes_beyond_the_integers_of_f32_are_ranked() {
    // 4,096 · 127² is above 2²⁶: the products themselves are rounded on their way to a key.
    let dim = 4_096;
    let mut data = vec![1f32; 40 * dim];
    for row in 0..40 {
        data[row * dim + row] = 1.0 - 2f32.powi(-i32::try_from(row % 20).unwrap() - 4);
    }
    let corpus = DenseView::new(&data, 40, dim).unwrap();
    for metric in METRICS {
        agreed(corpus, DenseView::new(&data[..2 * dim], 2, dim).unwrap(), metric, Wanted::Top(30));
    }
}
