//! Searches on the device: the oracle's neighbours, whatever the shapes, strips and parts of the corpus.

use std::sync::Arc;

use proptest::prelude::*;
use tensor_kernels::gpu::Options;
use tensor_kernels::{
    ByteView, Decimal, DenseView, Fallback, HalfKind, Kernels, Metric, Neighbor, RowMask, SearchOptions,
    SearchRows, Wanted,
};

use crate::rows::{bytes, scattered};
use crate::{by_gpu, kernels, open, options, shared};

const METRICS: [Metric; 3] = [Metric::Dot, Metric::Cosine, Metric::L2];
/// Beside the sides of tiles and strips.
const ROWS: [usize; 8] = [1, 2, 63, 64, 65, 255, 257, 700];
const DIMS: [usize; 8] = [1, 3, 4, 63, 64, 65, 130, 384];

/// Values in −1..1, every fifth row nearly like the one before it, one row of zeros and one far larger than the others.
fn values(rows: usize, dim: usize, seed: u32) -> Vec<f32> {
    let mut draw = scattered(seed);
    let mut values: Vec<f32> = Vec::new();
    for row in 0..rows {
        let start = row.saturating_sub(1) * dim;
        let own: Vec<f32> = match row % 50 {
            1 => vec![0.0; dim],
            13 => (0..dim).map(|_| draw() as f32).collect(),
            n if n % 5 == 4 => values[start..start + dim].iter().map(|x| x.next_up()).collect(),
            _ => (0..dim).map(|_| draw() as f32 / 32_768.0 - 1.0).collect(),
        };
        values.extend(own);
    }
    values
}

/// The device's answer, which is the oracle's.
fn check(
    gpu: &Kernels,
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let ask =
        |kernels: &Kernels| kernels.search_corpus(&kernels.corpus(corpus).value, queries, options).unwrap();
    let found = by_gpu(ask(gpu));
    assert_eq!(found, ask(&Kernels::scalar().unwrap()).value, "{options:?}");
    found
}

fn wanted() -> [Wanted; 5] {
    let within = |ten_thousandths| Wanted::Within(Decimal::from_ten_thousandths(ten_thousandths));
    [Wanted::Top(1), Wanted::Top(10), Wanted::Top(200), within(8_000), within(-5_000)]
}

#[test]
fn floats_of_every_shape() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    for (&rows, &dim) in ROWS.iter().zip(&DIMS).chain(ROWS.iter().rev().zip(&DIMS)) {
        let (data, asked) = (values(rows, dim, 1), values(7, dim, 2));
        let corpus = DenseView::new(&data, rows, dim).unwrap();
        let queries = DenseView::new(&asked, 7, dim).unwrap();
        for metric in METRICS {
            for wanted in wanted() {
                check(&gpu, corpus.into(), queries.into(), &SearchOptions::new(metric, wanted));
            }
        }
    }
}

#[test]
fn bytes_halves_and_masks() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    let (rows, dim) = (300, 70);
    let codes = bytes(rows, dim, 5);
    let signed = ByteView::new(&codes, rows, dim).unwrap();
    let data = values(rows, dim, 6);
    let dense = DenseView::new(&data, rows, dim).unwrap();
    let half = Kernels::scalar().unwrap().half_narrow(dense, HalfKind::Bf16).unwrap().value;
    let mask = RowMask::from_fn(rows, |row| row % 3 == 1);
    for metric in METRICS {
        for wanted in wanted() {
            let options = SearchOptions::new(metric, wanted);
            for options in [options, options.only(&mask)] {
                check(&gpu, signed.into(), signed.into(), &options);
                check(&gpu, signed.into(), dense.into(), &options);
                check(&gpu, half.view().into(), signed.into(), &options);
                check(&gpu, dense.into(), half.view().into(), &options);
            }
        }
    }
    let nothing = RowMask::none(rows);
    let options = SearchOptions::new(Metric::Dot, Wanted::Top(3)).only(&nothing);
    assert!(check(&gpu, signed.into(), signed.into(), &options).iter().all(Vec::is_empty));
}

#[test]
fn a_corpus_in_parts_is_searched_again_and_by_many_queries() {
    // One strip a part, and more queries than are asked together.
    let Some(gpu) = open(Options { work: Some(1), ..options() }) else { return };
    let gpu = kernels(Arc::new(gpu));
    let (data, asked) = (values(900, 20, 3), values(300, 20, 4));
    let corpus = DenseView::new(&data, 900, 20).unwrap();
    let queries = DenseView::new(&asked, 300, 20).unwrap();
    let oracle = Kernels::scalar().unwrap();
    let packed = gpu.corpus(corpus).value;
    for metric in METRICS.into_iter().chain(METRICS) {
        let options = SearchOptions::new(metric, Wanted::Top(5));
        let expected = oracle.search(corpus, queries, metric, Wanted::Top(5)).unwrap().value;
        assert_eq!(by_gpu(gpu.search_corpus(&packed, queries, &options).unwrap()), expected);
    }
}

#[test]
fn long_strips() {
    let Some(gpu) = shared() else { return };
    let (rows, dim) = (66_000, 3);
    let (data, asked) = (values(rows, dim, 8), values(3, dim, 9));
    let corpus = DenseView::new(&data, rows, dim).unwrap();
    let queries = DenseView::new(&asked, 3, dim).unwrap();
    for metric in METRICS {
        let options = SearchOptions::new(metric, Wanted::Top(20));
        check(&kernels(Arc::clone(&gpu)), corpus.into(), queries.into(), &options);
    }
}

#[test]
fn more_rows_than_a_list_has_room_for_are_left_to_the_cpu_query_by_query() {
    let Some(gpu) = shared() else { return };
    // 5,000 rows are the same; the second query is far from them.
    let mut data = vec![1.0f32; 5_000 * 4];
    data.extend([0.0, 0.0, 0.0, -9.0, 0.0, 0.0, 0.0, -8.0]);
    let corpus = DenseView::new(&data, 5_002, 4).unwrap();
    let queries = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0];
    let queries = DenseView::new(&queries, 2, 4).unwrap();
    let found =
        check(&kernels(gpu), corpus.into(), queries.into(), &SearchOptions::new(Metric::Dot, Wanted::Top(2)));
    let rows: Vec<Vec<u32>> = found.iter().map(|found| found.iter().map(|near| near.row).collect()).collect();
    assert_eq!(rows, [[0, 1], [5_000, 5_001]]);
}

#[test]
fn eight_threads_search_a_corpus_that_none_has_searched_before() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    let data = values(700, 30, 12);
    let corpus = DenseView::new(&data, 700, 30).unwrap();
    let options = SearchOptions::new(Metric::Cosine, Wanted::Top(3));
    let expected = Kernels::scalar().unwrap().search(corpus, corpus, Metric::Cosine, Wanted::Top(3));
    let (packed, expected) = (gpu.corpus(corpus).value, expected.unwrap().value);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(by_gpu(gpu.search_corpus(&packed, corpus, &options).unwrap()), expected);
            });
        }
    });
}

#[test]
fn a_corpus_may_be_searched_by_two_devices() {
    let (Some(first), Some(second)) = (shared(), open(options())) else { return };
    let data = values(200, 9, 3);
    let corpus = DenseView::new(&data, 200, 9).unwrap();
    let options = SearchOptions::new(Metric::L2, Wanted::Top(4));
    let expected =
        Kernels::scalar().unwrap().search(corpus, corpus, Metric::L2, Wanted::Top(4)).unwrap().value;
    let (first, second) = (kernels(first), kernels(Arc::new(second)));
    let packed = first.corpus(corpus).value;
    for kernels in [&first, &second, &first] {
        assert_eq!(by_gpu(kernels.search_corpus(&packed, corpus, &options).unwrap()), expected);
    }
}

#[test]
fn what_the_device_is_not_asked() {
    let Some(gpu) = shared() else { return };
    let gpu = kernels(gpu);
    let data = values(300, 2, 1);
    let corpus = DenseView::new(&data, 300, 2).unwrap();
    let reason = |wanted| gpu.search(corpus, corpus, Metric::Dot, wanted).unwrap().info.fallback;
    assert_eq!(reason(Wanted::Top(257)), Some(Fallback::NoVersion));
    assert_eq!(reason(Wanted::Top(0)), Some(Fallback::TooFew));
    assert_eq!(reason(Wanted::Top(1)), None);
    // Rows that are not kept are not worth coding for few queries.
    let few = DenseView::new(&data[..2], 1, 2).unwrap();
    let run = gpu.search(corpus, few, Metric::Dot, Wanted::Top(1)).unwrap();
    assert_eq!(run.info.fallback, Some(Fallback::TooFew));
    let wide = vec![0.0; 65_537];
    let wide = DenseView::new(&wide, 1, 65_537).unwrap();
    let run = gpu.search(wide, wide, Metric::Dot, Wanted::Top(1)).unwrap();
    assert_eq!(run.info.fallback, Some(Fallback::TooWide));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rows_that_are_nearly_as_near_as_each_other(
        codes in prop::collection::vec(-2i8..=2, 40 * 3),
        scales in prop::collection::vec(prop_oneof![8 => Just(1.0f32), 1 => Just(1e-30), 1 => Just(1e30), 1 => Just(0.5)], 40),
        metric in prop::sample::select(&METRICS[..]), k in 1usize..12, t in -20_000i32..20_000,
    ) {
        if let Some(gpu) = shared() {
            let gpu = kernels(gpu);
            let data: Vec<f32> =
                codes.chunks(3).zip(&scales).flat_map(|(row, &s)| row.iter().map(move |&x| f32::from(x) * s)).collect();
            let corpus = DenseView::new(&data, 40, 3).unwrap();
            let queries = DenseView::new(&data[..9 * 3], 9, 3).unwrap();
            for wanted in [Wanted::Top(k), Wanted::Within(Decimal::from_ten_thousandths(t))] {
                check(&gpu, corpus.into(), queries.into(), &SearchOptions::new(metric, wanted));
            }
        }
    }
}
