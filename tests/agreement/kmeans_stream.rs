//! `kmeans_stream`: the same bytes on every backend, means that are means, and decay by its formula.

use proptest::prelude::*;
use tensor_kernels::{Codebook, DenseView, KMeansStream, KernelError, Kernels, Metric, StreamRate};
use tensor_tests::every_backend;

/// Streams the batches on every backend; what the oracle ends with, and its assignments.
fn agreed(book: &Codebook, rate: StreamRate, batches: &[Vec<f32>]) -> (KMeansStream, Vec<Vec<u32>>) {
    let run = |kernels: &Kernels| {
        let mut stream = KMeansStream::new(book.clone(), rate).unwrap();
        let nearest = batches
            .iter()
            .map(|rows| {
                let view = DenseView::new(rows, rows.len() / book.dim(), book.dim()).unwrap();
                kernels.kmeans_stream(&mut stream, view).unwrap().value
            })
            .collect::<Vec<_>>();
        (stream, nearest)
    };
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]);
    let bits =
        |stream: &KMeansStream| stream.codebook().centroids().iter().map(|c| c.to_bits()).collect::<Vec<_>>();
    for kernels in &backends[1..] {
        let got = run(kernels);
        assert_eq!((bits(&got.0), &got), (bits(&expected.0), &expected), "{rate:?} on {kernels:?}");
    }
    expected
}

fn value() -> impl Strategy<Value = f32> {
    let finite = any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite());
    prop_oneof![4 => -2f32..2.0, 2 => (-2i8..=2).prop_map(f32::from), 1 => finite]
}

/// A dimension, centroids of it, and batches.
fn streams() -> impl Strategy<Value = (usize, Vec<f32>, Vec<Vec<f32>>)> {
    (1usize..20, 1usize..9).prop_flat_map(|(dim, k)| {
        let batch = (0usize..12).prop_flat_map(move |rows| prop::collection::vec(value(), rows * dim));
        (Just(dim), prop::collection::vec(value(), k * dim), prop::collection::vec(batch, 0..5))
    })
}

/// The mean of the rows that chose `id`, in f64 in order; `None` where there are none.
fn mean(rows: &[f32], nearest: &[u32], dim: usize, id: usize) -> Option<Vec<f32>> {
    let members: Vec<_> =
        rows.chunks(dim).zip(nearest).filter(|(_, near)| **near as usize == id).map(|(row, _)| row).collect();
    let sum = |at: usize| members.iter().fold(0.0, |sum, row| sum + f64::from(row[at]));
    (!members.is_empty()).then(|| (0..dim).map(|at| (sum(at) / members.len() as f64) as f32).collect())
}

proptest! {
    #[test]
    fn every_backend_learns_the_same((dim, centroids, batches) in streams(), decay in 0.0f64..1.0) {
        for metric in [Metric::L2, Metric::Cosine] {
            let book = Codebook::new(metric, centroids.len() / dim, dim, centroids.clone()).unwrap();
            for rate in [StreamRate::Mean, StreamRate::Decay(decay), StreamRate::Decay(0.0)] {
                let (stream, nearest) = agreed(&book, rate, &batches);
                for (id, &count) in stream.counts().iter().enumerate() {
                    let seen = nearest.iter().flatten().filter(|near| **near as usize == id).count();
                    prop_assert_eq!(count, seen as u64);
                    if seen == 0 {
                        prop_assert_eq!(stream.codebook().centroid(id), book.centroid(id));
                    }
                }
            }
        }
    }

    #[test]
    fn one_batch_of_all_rows_gives_their_means((dim, centroids, batches) in streams()) {
        let rows = batches.concat();
        let k = centroids.len() / dim;
        let book = Codebook::new(Metric::L2, k, dim, centroids).unwrap();
        // To forget at once leaves the mean of the last batch too.
        for rate in [StreamRate::Mean, StreamRate::Decay(0.0)] {
            let (stream, nearest) = agreed(&book, rate, std::slice::from_ref(&rows));
            for id in 0..k {
                let expected = mean(&rows, &nearest[0], dim, id);
                let expected = expected.as_deref().or(book.centroid(id));
                prop_assert_eq!(stream.codebook().centroid(id), expected, "{:?}", rate);
            }
        }
    }

    #[test]
    fn many_batches_for_one_centroid_give_the_mean_of_all(
        batches in prop::collection::vec(prop::collection::vec(-2f32..2.0, 1..9), 1..6),
    ) {
        let book = Codebook::new(Metric::L2, 1, 1, vec![100.0]).unwrap();
        let (stream, _) = agreed(&book, StreamRate::Mean, &batches);
        let rows = batches.concat();
        let mean = rows.iter().map(|&x| f64::from(x)).sum::<f64>() / rows.len() as f64;
        prop_assert!((f64::from(stream.codebook().centroids()[0]) - mean).abs() < 1e-6);
    }
}

#[test]
fn decay_follows_its_formula() {
    let book = Codebook::new(Metric::L2, 2, 1, vec![0.0, 10.0]).unwrap();
    let (stream, nearest) = agreed(&book, StreamRate::Decay(0.75), &[vec![1.0, 3.0], vec![2.0]]);
    // w = 0.75 + 0.25 · 2 = 1.25, c = 0.25 · 4 / 1.25 = 0.8; then w = 1.1875, c = (0.9375 · 0.8 + 0.5) / 1.1875.
    assert_eq!(nearest, [vec![0, 0], vec![0]]);
    assert!((stream.codebook().centroids()[0] - 1.25 / 1.1875).abs() < 1e-6);
    assert_eq!((stream.codebook().centroids()[1], stream.counts()), (10.0, &[3, 0][..]));
}

#[test]
fn refuses_what_cannot_stream() {
    let book = |metric| Codebook::new(metric, 1, 2, vec![1.0, 0.0]).unwrap();
    for got in [1.0, -0.1, 2.0, f64::INFINITY] {
        let expected = KernelError::BadFactor { got };
        assert_eq!(KMeansStream::new(book(Metric::L2), StreamRate::Decay(got)), Err(expected));
    }
    assert!(matches!(
        KMeansStream::new(book(Metric::L2), StreamRate::Decay(f64::NAN)),
        Err(KernelError::BadFactor { .. })
    ));
    assert!(matches!(
        KMeansStream::new(book(Metric::Dot), StreamRate::Mean),
        Err(KernelError::UnsupportedMetric { got: Metric::Dot, .. })
    ));
    let mut stream = KMeansStream::new(book(Metric::Cosine), StreamRate::Mean).unwrap();
    let narrow = DenseView::new(&[1.0], 1, 1).unwrap();
    for kernels in every_backend().unwrap() {
        assert!(matches!(
            kernels.kmeans_stream(&mut stream, narrow),
            Err(KernelError::DimensionMismatch { got: 1, expected: 2 })
        ));
    }
}
