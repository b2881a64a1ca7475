//! Every backend, level and number of threads returns the same bytes, and those bytes are good clusters.

use proptest::prelude::*;

use super::*;
use crate::isa::Level;
use crate::types::{DenseView, Metric};
use crate::{Isa, KernelError, scalar, simd};

/// Runs `by_level` at every SIMD level of this machine on one thread and on two.
fn at_every_level<T: Send>(by_level: impl Fn(Level) -> T + Sync) -> Vec<(Isa, usize, T)> {
    let mut results = Vec::new();
    for level in Isa::available().into_iter().filter_map(Level::open) {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            results.push((level.isa(), threads, pool.install(|| by_level(level))));
        }
    }
    results
}

/// The result of the oracle, after checking that every other way gives the same bytes.
fn kmeans(data: &[f32], dim: usize, options: KMeansOptions) -> KMeans {
    let view = DenseView::new(data, data.len() / dim, dim).unwrap();
    let oracle = scalar::kmeans::kmeans(&view, &options).unwrap();
    let bits =
        |result: &KMeans| -> Vec<u32> { result.codebook.centroids().iter().map(|c| c.to_bits()).collect() };
    for (isa, threads, result) in
        at_every_level(|level| simd::kmeans::kmeans(level, &view, &options).unwrap())
    {
        assert_eq!(bits(&result), bits(&oracle), "{isa}, {threads} threads");
        assert_eq!(result.inertia.to_bits(), oracle.inertia.to_bits(), "{isa}, {threads} threads");
        assert_eq!(result, oracle, "{isa}, {threads} threads");
    }
    oracle
}

fn kmeans_codes(codes: &[i8], dim: u32, options: KMeansCodesOptions) -> KMeansCodes {
    let oracle = scalar::kmeans_codes::kmeans_codes(codes, dim, &options).unwrap();
    for (isa, threads, result) in
        at_every_level(|level| simd::kmeans_codes::kmeans_codes(level, codes, dim, &options).unwrap())
    {
        assert_eq!(result, oracle, "{isa}, {threads} threads");
    }
    oracle
}

fn options(k: usize, metric: Metric) -> KMeansOptions {
    KMeansOptions { k, metric, ..KMeansOptions::default() }
}

fn code_options(k: usize) -> KMeansCodesOptions {
    KMeansCodesOptions { k, max_iterations: 100, seed: 42, exponent: -7, epoch: 3 }
}

/// `rows × dim` values in (−1, 1), always the same.
fn noise(rows: usize, dim: usize) -> Vec<f32> {
    let mut draws = draws::Draws::new(5);
    (0..rows * dim).map(|_| (2.0 * draws.unit() - 1.0) as f32).collect()
}

/// Rows around `centres` corners of a cube of side 100, row `i` at corner `i % centres`.
fn planted(rows: usize, dim: usize, centres: usize) -> Vec<f32> {
    let corner = |row: usize, i: usize| if (row % centres) >> (i % 5) & 1 == 1 { 100.0 } else { 0.0 };
    let mut data = noise(rows, dim);
    for (position, x) in data.iter_mut().enumerate() {
        *x += corner(position / dim, position % dim);
    }
    data
}

/// FNV-1a of the centroids' bits and the assignments.
fn fingerprint(centroids: impl Iterator<Item = u32>, assignments: &[u32]) -> u64 {
    let bytes = centroids.chain(assignments.iter().copied()).flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn planted_clusters_are_found() {
    for metric in [Metric::L2, Metric::Cosine] {
        let mut data = planted(600, 33, 31);
        if metric == Metric::Cosine {
            // The corner at the origin would have no direction.
            data.iter_mut().for_each(|x| *x -= 40.0);
        }
        let result = kmeans(&data, 33, options(31, metric));
        assert!(result.converged && result.codebook.len() == 31, "{metric}");
        for row in 31..600 {
            assert_eq!(result.assignments[row], result.assignments[row % 31], "{metric}, row {row}");
        }
        if metric == Metric::Cosine {
            for id in 0..31 {
                let centroid = result.codebook.centroid(id).unwrap();
                let norm = centroid.iter().map(|&c| f64::from(c).powi(2)).sum::<f64>();
                assert!((norm - 1.0).abs() < 1e-6, "centroid {id} has squared norm {norm}");
            }
        }
    }
    let codes: Vec<i8> = planted(600, 33, 31).iter().map(|&x| x as i8).collect();
    let result = kmeans_codes(&codes, 33, code_options(31));
    assert!(result.converged && result.codebook.len() == 31);
    assert!((31..600).all(|row| result.assignments[row] == result.assignments[row % 31]));
    assert_eq!((result.codebook.exponent(), result.codebook.epoch()), (-7, 3));
}

#[test]
fn a_seed_means_the_same_bytes_for_ever() {
    let data = noise(300, 31);
    let mut prints = Vec::new();
    for metric in [Metric::L2, Metric::Cosine] {
        let result = kmeans(&data, 31, KMeansOptions { max_iterations: 7, ..options(10, metric) });
        let bits = result.codebook.centroids().iter().map(|c| c.to_bits());
        prints.push(fingerprint(bits, &result.assignments));
    }
    let codes: Vec<i8> = data.iter().map(|x| (x * 127.0) as i8).collect();
    let result = kmeans_codes(&codes, 31, code_options(10));
    let bits = result.codebook.codes().iter().map(|&c| u32::from(c.cast_unsigned()));
    prints.push(fingerprint(bits, &result.assignments));
    assert_eq!(prints, [0x66a0_9e9f_260c_6d12, 0x7607_222e_2726_7098, 0xabdd_0c93_efb8_4c15], "{prints:#x?}");
}

#[test]
fn inertia_never_grows_and_belongs_to_what_is_returned() {
    let data = noise(500, 31);
    let codes: Vec<i8> = data.iter().map(|x| (x * 20.0) as i8).collect();
    let (mut inertia, mut code_inertia) = (f64::INFINITY, u128::MAX);
    let seeded = kmeans(&data, 31, KMeansOptions { max_iterations: 0, ..options(12, Metric::L2) }).inertia;
    for max_iterations in 0..12 {
        let result = kmeans(&data, 31, KMeansOptions { max_iterations, ..options(12, Metric::L2) });
        // Centroids are rounded to f32, so a converged step may repeat the sum to about 1e-14 of it.
        assert!(result.inertia <= inertia * (1.0 + 1e-13), "{} after {inertia}", result.inertia);
        assert!(result.iterations == max_iterations || result.converged);
        inertia = result.inertia;
        let mut recomputed = 0.0;
        for (row, x) in data.chunks(31).enumerate() {
            let c = result.codebook.centroid(result.assignments[row] as usize).unwrap();
            recomputed += x.iter().zip(c).map(|(&x, &c)| (f64::from(x) - f64::from(c)).powi(2)).sum::<f64>();
        }
        assert!((recomputed / inertia - 1.0).abs() < 1e-12);

        let result = kmeans_codes(&codes, 31, KMeansCodesOptions { max_iterations, ..code_options(12) });
        assert!(result.inertia <= code_inertia);
        code_inertia = result.inertia;
    }
    assert!(inertia < 0.9 * seeded, "{inertia} after {seeded}");
}

#[test]
fn nothing_in_nothing_out() {
    for (data, dim, k) in [(&[][..], 5, 3), (&[1.0, 2.0, 3.0, 4.0], 2, 0)] {
        let result = kmeans(data, dim, options(k, Metric::Cosine));
        assert!(result.codebook.is_empty() && result.assignments.is_empty() && result.converged);
        assert_eq!((result.codebook.dim(), result.iterations, result.inertia.to_bits()), (dim, 0, 0));
    }
    for (codes, k) in [(&[][..], 3), (&[1, 2, 3, 4], 0)] {
        let result = kmeans_codes(codes, 2, code_options(k));
        assert!(result.codebook.is_empty() && result.assignments.is_empty() && result.converged);
        assert_eq!((result.codebook.dim(), result.codebook.epoch(), result.inertia), (2, 3, 0));
    }
}

#[test]
fn refuses_what_it_cannot_cluster() {
    let view = DenseView::new(&[1.0], 1, 1).unwrap();
    let dot = options(1, Metric::Dot);
    let unsupported = KernelError::UnsupportedMetric { operation: "kmeans", got: Metric::Dot };
    assert_eq!(scalar::kmeans::kmeans(&view, &dot), Err(unsupported.clone()));
    for (_, _, result) in at_every_level(|level| simd::kmeans::kmeans(level, &view, &dot)) {
        assert_eq!(result, Err(unsupported.clone()));
    }
    let refuse = |codes: &[i8], dim, options: KMeansCodesOptions| {
        scalar::kmeans_codes::kmeans_codes(codes, dim, &options).unwrap_err()
    };
    assert_eq!(refuse(&[1], 0, code_options(1)), KernelError::ZeroDimension);
    assert!(matches!(refuse(&[1], 65_537, code_options(1)), KernelError::TooLarge { got: 65_537, .. }));
    assert!(matches!(
        refuse(&[1; 5], 2, code_options(1)),
        KernelError::LengthMismatch { got: 5, expected: 4, .. }
    ));
    assert!(matches!(refuse(&[-128], 1, code_options(1)), KernelError::NotCanonical { .. }));
    assert!(matches!(
        refuse(&[0; 65_537], 1, code_options(1 << 17)),
        KernelError::TooLarge { got: 65_537, .. }
    ));
    let exponent = KMeansCodesOptions { exponent: 17, ..code_options(1) };
    assert!(matches!(refuse(&[1], 1, exponent), KernelError::NotCanonical { .. }));
}

#[test]
fn no_more_centroids_than_distinct_rows() {
    // Five copies each of three rows; the zero row and −0.0 are one.
    let data: Vec<f32> = [[0.0, -0.0], [3.0, 4.0], [-1.0, 0.0]].repeat(5).concat();
    for metric in [Metric::L2, Metric::Cosine] {
        let result = kmeans(&data, 2, options(100, metric));
        assert_eq!((result.codebook.len(), result.inertia), (3, 0.0), "{metric}");
        assert!((3..15).all(|row| result.assignments[row] == result.assignments[row % 3]));
    }
    let codes: Vec<i8> = data.iter().map(|&x| x as i8).collect();
    let result = kmeans_codes(&codes, 2, code_options(100));
    assert_eq!((result.codebook.len(), result.inertia), (3, 0));
}

#[test]
fn the_size_of_the_numbers_does_not_matter() {
    let data = planted(150, 9, 6);
    let plain = kmeans(&data, 9, options(6, Metric::L2));
    for scale in [2f32.powi(120), 2f32.powi(60), 2f32.powi(-100)] {
        let scaled: Vec<f32> = data.iter().map(|x| x * scale).collect();
        let result = kmeans(&scaled, 9, options(6, Metric::L2));
        assert_eq!(result.assignments, plain.assignments, "scale {scale}");
        let unscaled: Vec<f32> = result.codebook.centroids().iter().map(|c| c / scale).collect();
        assert_eq!(unscaled, plain.codebook.centroids(), "scale {scale}");
    }
    // Denormals: the least steps there are.
    let steps: Vec<f32> = [0, 1, 1000, 1001, 2000, 2001].map(f32::from_bits).to_vec();
    let result = kmeans(&steps, 1, options(3, Metric::L2));
    assert_eq!(result.codebook.len(), 3);
    assert!([0, 2, 4].iter().all(|&row| result.assignments[row] == result.assignments[row + 1]));
    // Both ends of f32 and the least number above zero.
    let ends = [f32::MAX, f32::MIN, f32::MAX, f32::MIN, f32::from_bits(1), 0.0];
    let result = kmeans(&ends, 1, options(3, Metric::L2));
    assert_eq!(result.codebook.len(), 3);
    assert!(result.inertia < 1e-80);
}

#[test]
fn wide_rows_and_partial_panels() {
    for (rows, dim, k) in [(1, 1, 1), (15, 1, 4), (17, 33, 8), (40, 768, 9), (1100, 3, 17)] {
        for metric in [Metric::L2, Metric::Cosine] {
            let data = noise(rows, dim);
            let result = kmeans(&data, dim, options(k, metric));
            // In one dimension there are two directions.
            let distinct = if dim == 1 && metric == Metric::Cosine { k.min(2) } else { k };
            assert_eq!(result.codebook.len(), distinct, "{rows} × {dim}, {metric}");
        }
        let codes: Vec<i8> = noise(rows, dim).iter().map(|x| (x * 127.0) as i8).collect();
        kmeans_codes(&codes, u32::try_from(dim).unwrap(), code_options(k));
    }
}

#[test]
fn ties_go_to_the_lowest_centroid() {
    // On a grid of few values every seed is equally far from many rows.
    let mut draws = draws::Draws::new(1);
    let codes: Vec<i8> = (0..400 * 6).map(|_| (draws.below(3) as i8) - 1).collect();
    let data: Vec<f32> = codes.iter().copied().map(f32::from).collect();
    for max_iterations in [0, 3] {
        let result = kmeans(&data, 6, KMeansOptions { max_iterations, ..options(20, Metric::L2) });
        let centroids = result.codebook.centroids();
        for (x, &id) in data.chunks(6).zip(&result.assignments) {
            let distance = |c: &[f32]| nearest::squared_distance(x, c);
            let least = centroids.chunks(6).map(distance).fold(f64::INFINITY, f64::min);
            if max_iterations == 0 {
                // Seeds are integers: these sums are exact.
                let first = centroids.chunks(6).position(|c| distance(c) <= least);
                assert_eq!(first, Some(id as usize));
            }
        }
        kmeans_codes(&codes, 6, KMeansCodesOptions { max_iterations, ..code_options(20) });
    }
}

#[test]
fn strides_are_skipped() {
    let data = noise(50, 8);
    let view = DenseView::with_stride(&data, 50, 5, 8).unwrap();
    let dense: Vec<f32> = view.iter().flatten().copied().collect();
    let expected = kmeans(&dense, 5, options(4, Metric::L2));
    assert_eq!(scalar::kmeans::kmeans(&view, &options(4, Metric::L2)), Ok(expected.clone()));
    for (_, _, result) in at_every_level(|level| simd::kmeans::kmeans(level, &view, &options(4, Metric::L2)))
    {
        assert_eq!(result, Ok(expected.clone()));
    }
}

/// Components that meet at ties, at one ulp, and at both ends of f32.
fn component() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (-2i8..=2).prop_map(f32::from),
        2 => prop_oneof![Just(1.0f32.next_up()), Just(1.0f32.next_down()), Just(-0.0)],
        2 => -1.0f32..1.0,
        1 => prop_oneof![Just(f32::MAX), Just(f32::MIN), Just(f32::from_bits(1)), Just(1e-30), Just(1e30)],
    ]
}

proptest! {
    #[test]
    fn every_way_gives_the_same_bytes(
        (dim, data) in (1usize..6, 0usize..60).prop_flat_map(|(dim, rows)| {
            (Just(dim), proptest::collection::vec(component(), dim * rows))
        }),
        k in 0usize..12, seed: u64, max_iterations in 0usize..6, cosine: bool,
    ) {
        let metric = if cosine { Metric::Cosine } else { Metric::L2 };
        let result = kmeans(&data, dim, KMeansOptions { k, max_iterations, seed, metric });
        prop_assert!(result.codebook.len() <= k.min(data.len() / dim));
        prop_assert!(result.assignments.iter().all(|&id| (id as usize) < result.codebook.len()));
        let codes: Vec<i8> = data.iter().map(|&x| (x * 50.0).clamp(-127.0, 127.0) as i8).collect();
        let options = KMeansCodesOptions { k, max_iterations, seed, exponent: 0, epoch: 0 };
        let result = kmeans_codes(&codes, u32::try_from(dim).unwrap(), options);
        prop_assert!(result.codebook.len() <= k.min(codes.len() / dim));
    }
}
