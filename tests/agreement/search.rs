//! `search`: identical lists on every backend, confirmed by brute force over integers.

use proptest::prelude::*;
use tensor_kernels::{
    ByteView, Corpus, Decimal, DenseView, HalfKind, HalfView, Kernels, Metric, Neighbor, RowMask,
    SearchOptions, SearchRows, Wanted,
};
use tensor_tests::every_backend;

/// The answer of every backend, all equal to the oracle's.
fn agreed(
    corpus: DenseView<'_>,
    queries: DenseView<'_>,
    metric: Metric,
    wanted: Wanted,
) -> Vec<Vec<Neighbor>> {
    let run = |kernels: &Kernels| kernels.search(corpus, queries, metric, wanted).unwrap().value;
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]);
    for kernels in &backends[1..] {
        assert_eq!(run(kernels), expected, "{metric} {wanted:?} on {kernels:?}");
    }
    expected
}

/// The same in a corpus that is kept, or among some of its rows: packed by every backend and as it lies.
fn agreed_in(
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let run = |kernels: &Kernels, corpus: &Corpus<'_>| {
        kernels.search_corpus(corpus, queries, options).unwrap().value
    };
    let backends = every_backend().unwrap();
    let expected = run(&backends[0], &Corpus::unpacked(corpus));
    for kernels in &backends[1..] {
        let packed = kernels.corpus(corpus).value;
        assert_eq!(run(kernels, &packed), expected, "{options:?} on {kernels:?}");
        assert_eq!(run(kernels, &Corpus::unpacked(corpus)), expected, "{options:?} on {kernels:?}, unpacked");
        // Whoever packed it, any backend searches it.
        assert_eq!(run(&backends[0], &packed), expected);
    }
    expected
}

proptest! {
    #[test]
    fn kept_corpora_of_every_kind_agree_under_masks(
        dim in prop_oneof![Just(1usize), Just(32), Just(65)], bits in proptest::collection::vec(any::<u16>(), 65 * 80),
        every in 1usize..4, k in 0usize..20,
    ) {
        // Not infinite and not NaN in bf16.
        let finite = |&bits: &u16| if bits & 0x7f80 == 0x7f80 { bits & 0x807f } else { bits };
        let halves: Vec<u16> = bits.iter().map(finite).collect();
        let codes: Vec<i8> = bits.iter().map(|&bits| bits as i8).collect();
        let floats: Vec<f32> = codes.iter().map(|&code| f32::from(code) / 3.0).collect();
        let (rows, asked) = (70, 10);
        let (split, end) = (rows * dim, (rows + asked) * dim);
        let half = |data, rows| HalfView::from_bits(HalfKind::Bf16, data, rows, dim).unwrap();
        let kinds: [(SearchRows<'_>, SearchRows<'_>); 3] = [
            (
                DenseView::new(&floats[..split], rows, dim).unwrap().into(),
                DenseView::new(&floats[split..end], asked, dim).unwrap().into(),
            ),
            (half(&halves[..split], rows).into(), half(&halves[split..end], asked).into()),
            (
                ByteView::new(&codes[..split], rows, dim).unwrap().into(),
                ByteView::new(&codes[split..end], asked, dim).unwrap().into(),
            ),
        ];
        let mask = RowMask::from_fn(rows, |row| row % every == 0);
        for (corpus, queries) in kinds {
            for metric in [Metric::Dot, Metric::L2, Metric::Cosine] {
                let options = SearchOptions::new(metric, Wanted::Top(k)).only(&mask);
                let found = agreed_in(corpus, queries, &options);
                prop_assert!(found.iter().flatten().all(|near| (near.row as usize).is_multiple_of(every)));
                prop_assert!(found.iter().all(|found| found.len() == k.min(rows.div_ceil(every))));
            }
        }
    }

    #[test]
    fn small_integers_are_ranked_as_integers_are(
        (dim, corpus, query) in (1usize..40).prop_flat_map(|dim| (
            Just(dim),
            proptest::collection::vec(-3i32..4, dim * 30),
            proptest::collection::vec(-3i32..4, dim),
        )),
        k in 0usize..40,
    ) {
        let floats = |values: &[i32]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let (data, asked) = (floats(&corpus), floats(&query));
        let (data, asked) = (DenseView::new(&data, 30, dim).unwrap(), DenseView::new(&asked, 1, dim).unwrap());
        let rows: Vec<&[i32]> = corpus.chunks(dim).collect();
        let sum = |f: &dyn Fn(usize) -> i32| (0..dim).map(f).sum::<i32>();
        for metric in [Metric::Dot, Metric::L2, Metric::Cosine] {
            let found = agreed(data, asked, metric, Wanted::Top(k));
            let key = |row: usize| -> f64 {
                let dot = sum(&|d| rows[row][d] * query[d]);
                match metric {
                    Metric::Dot => f64::from(-dot),
                    Metric::L2 => f64::from(sum(&|d| (rows[row][d] - query[d]).pow(2))),
                    // sign · cos²: integers small enough that equal ratios are equal in f64.
                    Metric::Cosine => {
                        let norm = sum(&|d| rows[row][d].pow(2));
                        if norm == 0 { 0.0 } else { -f64::from(dot.signum() * dot * dot) / f64::from(norm) }
                    }
                }
            };
            let mut expected: Vec<usize> = (0..30).collect();
            // −0 and +0 are the same number.
            expected.sort_by(|&a, &b| key(a).partial_cmp(&key(b)).unwrap().then(a.cmp(&b)));
            expected.truncate(k);
            let rows: Vec<usize> = found[0].iter().map(|near| near.row as usize).collect();
            prop_assert_eq!(rows, expected, "{}", metric);
        }
    }

    #[test]
    fn any_finite_rows_agree(
        (dim, corpus, queries) in prop_oneof![Just(1usize), Just(31), Just(32), Just(33)].prop_flat_map(|dim| {
            let value = prop_oneof![
                3 => -1f32..1.0,
                1 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()),
                1 => Just(0.0f32),
            ];
            (Just(dim), proptest::collection::vec(value.clone(), dim * 20), proptest::collection::vec(value, dim * 3))
        }),
        threshold in -20_000i32..20_000,
    ) {
        let (data, asked) = (DenseView::new(&corpus, 20, dim).unwrap(), DenseView::new(&queries, 3, dim).unwrap());
        for metric in [Metric::Dot, Metric::L2, Metric::Cosine] {
            agreed(data, asked, metric, Wanted::Top(7));
            agreed(data, asked, metric, Wanted::Within(Decimal::from_ten_thousandths(threshold)));
        }
    }
}

#[test]
fn a_threshold_includes_what_lies_exactly_on_it() {
    let corpus = [3.0f32, 4.0, 4.0, 3.0, 0.0, 5.0];
    let view = DenseView::new(&corpus, 3, 2).unwrap();
    let query = [1.0f32, 0.0];
    let query = DenseView::new(&query, 1, 2).unwrap();
    let rows = |metric, text: &str| -> Vec<u32> {
        agreed(view, query, metric, Wanted::Within(text.parse().unwrap()))[0]
            .iter()
            .map(|near| near.row)
            .collect()
    };
    assert_eq!(rows(Metric::Cosine, "0.6"), [1, 0]);
    assert_eq!(rows(Metric::Cosine, "0.6001"), [1]);
    assert_eq!(rows(Metric::Dot, "0"), [1, 0, 2]);
    assert_eq!(rows(Metric::L2, "-1"), [0u32; 0]);
}

#[test]
fn a_mask_of_another_corpus_is_refused() {
    let rows = DenseView::new(&[1.0, 2.0], 2, 1).unwrap();
    let mask = RowMask::none(3);
    for kernels in every_backend().unwrap() {
        let options = SearchOptions::new(Metric::Dot, Wanted::Top(1)).only(&mask);
        let got = kernels.search_corpus(&Corpus::unpacked(rows), rows, &options);
        assert!(matches!(got, Err(tensor_kernels::KernelError::LengthMismatch { got: 3, expected: 2, .. })));
    }
}
