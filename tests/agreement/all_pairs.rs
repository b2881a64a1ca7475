//! `all_pairs`: identical lists on every backend, through every variant, exact at the threshold.

use proptest::prelude::*;
use tensor_kernels::{Decimal, KernelError, Pairs, ScoredPair, Similarity, SparseBatch, SparseVec};
use tensor_tests::every_backend;

const BOTH: [Similarity; 2] = [Similarity::Cosine, Similarity::Jaccard];

fn decimal(n: i32) -> Decimal {
    Decimal::from_ten_thousandths(n)
}

/// The list of every backend; all are equal to the last bit, the first is returned.
fn agreed(pairs: &Pairs<'_>, similarity: Similarity, at_least: Decimal) -> Vec<ScoredPair> {
    let bits = |list: &[ScoredPair]| -> Vec<(u32, u32, u64)> {
        list.iter().map(|pair| (pair.left, pair.right, pair.score.to_bits())).collect()
    };
    let backends = every_backend().unwrap();
    let expected = backends[0].all_pairs(pairs, similarity, at_least).unwrap().value;
    assert!(expected.is_sorted_by_key(|pair| (pair.left, pair.right)));
    for kernels in &backends[1..] {
        let list = kernels.all_pairs(pairs, similarity, at_least).unwrap().value;
        assert_eq!(bits(&list), bits(&expected), "{kernels:?}, {similarity} ≥ {at_least}");
    }
    expected
}

/// Values that meet thresholds often, cancel, underflow and lie far apart.
pub fn row(dim: u32, most: usize) -> impl Strategy<Value = SparseVec> {
    let value = prop_oneof![
        6 => prop_oneof![Just(1.0f32), Just(-1.0), Just(7.0), Just(-7.0), Just(3.0), Just(4.0), Just(9.0)],
        2 => -1.0f32..1.0,
        1 => (-12.0f32..12.0).prop_map(|x| x.exp()),
        1 => (-1.5f32..1.5).prop_map(|x| x.tan()),
    ];
    let scale =
        prop_oneof![4 => Just(1.0f32), 1 => Just(1e-30), 1 => Just(1e30), 1 => Just(f32::from_bits(3))];
    let entries = proptest::collection::btree_map(0..dim, value, 0..=most);
    (entries, scale).prop_map(move |(entries, scale)| {
        let kept =
            entries.into_iter().map(|(i, v)| (i, v * scale)).filter(|(_, v)| *v != 0.0 && v.is_finite());
        let (indices, values) = kept.unzip();
        SparseVec::new(dim, indices, values).unwrap()
    })
}

/// Rows of few dimensions, which are taken densely, and of many, which hardly meet.
pub fn batch() -> impl Strategy<Value = (u32, Vec<SparseVec>)> {
    prop_oneof![Just(1u32), Just(3), Just(33), Just(200), Just(65_536), Just(u32::MAX)].prop_flat_map(|dim| {
        let most = (dim as usize).min(40);
        let rows = proptest::collection::vec(row(dim, most), 0..30);
        // Equal rows and empty rows are pairs like any other.
        (Just(dim), rows, 0usize..4).prop_map(|(dim, mut rows, copies)| {
            let again: Vec<_> = rows.iter().take(copies).cloned().collect();
            rows.extend(again);
            (dim, rows)
        })
    })
}

proptest! {
    #[test]
    fn every_backend_lists_the_same_pairs(
        (dim, rows) in batch(),
        t in prop_oneof![Just(1), Just(5_000), Just(10_000), 1..=10_000],
        cut in 0usize..34,
    ) {
        let all = SparseBatch::from_rows(dim, &rows).unwrap();
        let cut = cut.min(rows.len());
        let (left, right) = rows.split_at(cut);
        let left = SparseBatch::from_rows(dim, left).unwrap();
        let right = SparseBatch::from_rows(dim, right).unwrap();
        for similarity in BOTH {
            let triangle = agreed(&Pairs::of(&all), similarity, decimal(t));
            let cross = agreed(&Pairs::between(&left, &right).unwrap(), similarity, decimal(t));
            let block: Vec<ScoredPair> = triangle
                .into_iter()
                .filter(|pair| (pair.left as usize) < cut && pair.right as usize >= cut)
                .map(|pair| ScoredPair { right: pair.right - cut as u32, ..pair })
                .collect();
            prop_assert_eq!(cross, block);
        }
    }
}

#[test]
fn pairs_built_on_the_threshold_and_one_ulp_beside_it() {
    // Against e₀: (7, 7, 1, 1) has the cosine 7/10; Jaccard 1/4.
    let listed = |last: f32, similarity, t| {
        let unit = SparseVec::new(4, vec![0], vec![2.0]).unwrap();
        let other = SparseVec::new(4, vec![0, 1, 2, 3], vec![7.0, 7.0, 1.0, last]).unwrap();
        for scale in [1.0f32, 1e-38, 1e37] {
            let scaled = other.values().iter().map(|v| v * scale).collect();
            let scaled = SparseVec::new(4, other.indices().to_vec(), scaled).unwrap();
            let batch = SparseBatch::from_rows(4, [&unit, &scaled]).unwrap();
            agreed(&Pairs::of(&batch), similarity, decimal(t));
        }
        let batch = SparseBatch::from_rows(4, [&unit, &other]).unwrap();
        agreed(&Pairs::of(&batch), similarity, decimal(t)).len()
    };
    assert_eq!(listed(1.0, Similarity::Cosine, 7_000), 1);
    assert_eq!(listed(1.0, Similarity::Cosine, 7_001), 0);
    assert_eq!(listed(1.0f32.next_up(), Similarity::Cosine, 7_000), 0);
    assert_eq!(listed(1.0f32.next_down(), Similarity::Cosine, 7_000), 1);
    assert_eq!(listed(1.0, Similarity::Jaccard, 2_500), 1);
    assert_eq!(listed(1.0, Similarity::Jaccard, 2_501), 0);
}

#[test]
fn sums_that_cancel_are_decided_exactly() {
    // 10⁸ − 10⁸ + 1 in f32 sums to 0 or 1 by the order; the cosine of the rows is tiny and positive.
    let big = 1e8f32;
    let rows = [
        SparseVec::new(3, vec![0, 1, 2], vec![big, big, 1.0]).unwrap(),
        SparseVec::new(3, vec![0, 1, 2], vec![big, -big, 1.0]).unwrap(),
        SparseVec::new(3, vec![0, 1, 2], vec![big, big, -1.0]).unwrap(),
    ];
    let batch = SparseBatch::from_rows(3, &rows).unwrap();
    let listed = agreed(&Pairs::of(&batch), Similarity::Cosine, decimal(1));
    assert_eq!(listed.iter().map(|pair| (pair.left, pair.right)).collect::<Vec<_>>(), [(0, 2)]);
    // Its cosine is 1 − 10⁻¹⁶: below 1, though every sum in f64 says 1.
    assert!(agreed(&Pairs::of(&batch), Similarity::Cosine, decimal(10_000)).is_empty());
}

#[test]
fn two_zero_rows_have_the_jaccard_index_one_and_the_cosine_zero() {
    let rows = [SparseVec::zero(9), SparseVec::new(9, vec![4], vec![1.0]).unwrap(), SparseVec::zero(9)];
    let batch = SparseBatch::from_rows(9, &rows).unwrap();
    let listed = agreed(&Pairs::of(&batch), Similarity::Jaccard, decimal(10_000));
    assert_eq!(listed, [ScoredPair { left: 0, right: 2, score: 1.0 }]);
    assert!(agreed(&Pairs::of(&batch), Similarity::Cosine, decimal(1)).is_empty());
}

/// Rows whose first dimensions are used by most and whose others by few.
pub fn skewed(rows: u32, dim: u32, entries: u32) -> SparseBatch<'static> {
    let rows: Vec<_> = (0..rows)
        .map(|row| {
            let spread = |k: u32| (row.wrapping_mul(2_654_435_761) >> 7).wrapping_add(k * k * 104_729);
            let mut indices: Vec<u32> = (0..entries)
                .map(|k| if k < entries / 2 { spread(k) % dim.min(40) } else { spread(k) % dim })
                .collect();
            indices.sort_unstable();
            indices.dedup();
            let values = indices.iter().map(|&i| f32::from(((i * 31 + row) % 19) as u16) - 9.5).collect();
            SparseVec::new(dim, indices, values).unwrap()
        })
        .collect();
    SparseBatch::from_rows(dim, &rows).unwrap()
}

#[test]
fn more_rows_than_a_task_or_a_chunk_agree_in_every_variant() {
    for (rows, dim, entries) in [(300, 40, 20), (300, 5_000, 30), (700, 60_000, 6), (300, 1_000, 60)] {
        let batch = skewed(rows, dim, entries);
        for similarity in BOTH {
            assert!(!agreed(&Pairs::of(&batch), similarity, decimal(3_000)).is_empty());
        }
    }
}

#[test]
fn a_threshold_that_would_list_every_pair_is_refused() {
    let batch = skewed(3, 10, 2);
    let kernels = &every_backend().unwrap()[0];
    for t in [-1, 0, 10_001] {
        let refused = kernels.all_pairs(&Pairs::of(&batch), Similarity::Cosine, decimal(t)).unwrap_err();
        let (got, min, max) = (decimal(t), decimal(1), decimal(10_000));
        assert_eq!(refused, KernelError::BadThreshold { name: "at_least", got, min, max });
    }
}
