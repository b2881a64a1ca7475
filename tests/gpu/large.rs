//! Rows that no single buffer and no single dimension of workgroups has room for.

use tensor_kernels::{ByteView, KMeansCodesOptions, Kernels, Metric, SearchOptions, Wanted};

use crate::{by_gpu, kernels, shared};

/// More tiles of 64 rows than a dispatch has workgroups in one dimension; padded to 64 bytes a row they are 256 MiB, two
/// buffers of the least size that adapters allow.
const ROWS: usize = 65_536 * 64 + 1;

/// Rows of one byte, in stretches that are far from each other.
fn rows() -> Vec<i8> {
    (0..ROWS).map(|row| [-120i8, 3, 90][row / 1_000 % 3] + (row % 7) as i8).collect()
}

#[test]
fn rows_in_several_buffers_are_searched() {
    let Some(gpu) = shared() else { return };
    let mut codes = rows();
    // The nearest are in the first buffer and in the last.
    (codes[17], codes[ROWS - 1]) = (127, 127);
    let corpus = ByteView::new(&codes, ROWS, 1).unwrap();
    let query = ByteView::new(&[1], 1, 1).unwrap();
    let gpu = kernels(gpu);
    let options = SearchOptions::new(Metric::Dot, Wanted::Top(2));
    let found = by_gpu(gpu.search_corpus(&gpu.corpus(corpus).value, query, &options).unwrap());
    assert_eq!(found[0].iter().map(|near| near.row as usize).collect::<Vec<_>>(), [17, ROWS - 1]);
    let oracle = Kernels::scalar().unwrap().search(corpus, query, Metric::Dot, Wanted::Top(2));
    assert_eq!(found, oracle.unwrap().value);
}

#[test]
fn rows_in_several_buffers_are_clustered() {
    let Some(gpu) = shared() else { return };
    let codes = rows();
    let options = KMeansCodesOptions { k: 3, max_iterations: 1, seed: 1, exponent: 0, epoch: 0 };
    let train = |kernels: &Kernels| kernels.kmeans_codes(&codes, 1, &options).unwrap();
    assert_eq!(by_gpu(train(&kernels(gpu))), train(&Kernels::scalar().unwrap()).value);
}
