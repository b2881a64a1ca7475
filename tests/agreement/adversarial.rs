//! Every backend's answer on the values of [`tensor_tests::values`], for the operations whose own tests draw
//! tamer ones.

use std::fmt::Debug;

use proptest::prelude::*;
use tensor_kernels::{
    Codebook, Decimal, DenseView, Int8Mode, KMeansOptions, KernelError, Kernels, Measure, Metric,
    SparseBatch, SparseVec, Thresholds, Wanted,
};
use tensor_tests::every_backend;
use tensor_tests::values::rows;

const METRICS: [Metric; 3] = [Metric::Dot, Metric::L2, Metric::Cosine];

/// Asserts that all backends give one answer.
fn agreed<T: PartialEq + Debug>(run: impl Fn(&Kernels) -> Result<T, KernelError>) {
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]).unwrap();
    for kernels in &backends[1..] {
        assert_eq!(run(kernels).unwrap(), expected, "{kernels:?}");
    }
}

/// A dimension, and so many rows of it.
fn dense(count: usize) -> impl Strategy<Value = (usize, Vec<f32>)> {
    prop_oneof![Just(1usize), 2usize..20, Just(32), Just(65)]
        .prop_flat_map(move |dim| (Just(dim), rows(count, dim)))
}

proptest! {
    #[test]
    fn search((dim, values) in dense(43), threshold in -20_000i32..20_000) {
        let (corpus, queries) = values.split_at(40 * dim);
        let corpus = DenseView::new(corpus, 40, dim).unwrap();
        let queries = DenseView::new(queries, 3, dim).unwrap();
        for metric in METRICS {
            for wanted in [Wanted::Top(5), Wanted::Within(Decimal::from_ten_thousandths(threshold))] {
                agreed(|kernels| Ok(kernels.search(corpus, queries, metric, wanted)?.value));
            }
        }
    }

    #[test]
    fn quantize_and_kmeans((dim, values) in dense(40), seed in any::<u64>()) {
        let view = DenseView::new(&values, 40, dim).unwrap();
        for metric in [Metric::L2, Metric::Cosine] {
            let book = Codebook::new(metric, 7, dim, values[..7 * dim].to_vec()).unwrap();
            agreed(|kernels| Ok(kernels.quantize(&book, view)?.value));
            let options = KMeansOptions { k: 5, max_iterations: 6, seed, metric };
            agreed(|kernels| Ok(kernels.kmeans(view, &options)?.value));
        }
    }

    #[test]
    fn int8_and_cosine_classes((dim, values) in dense(20)) {
        let view = DenseView::new(&values, 20, dim).unwrap();
        for mode in [Int8Mode::Symmetric, Int8Mode::MinMax] {
            agreed(|kernels| {
                let stored = kernels.int8_quantize(view, mode).value;
                let back: Vec<u32> = kernels.int8_dequantize(&stored).value.iter().map(|x| x.to_bits()).collect();
                Ok((stored, back))
            });
        }
        agreed(|kernels| Ok(kernels.cosine_classes(view, &Thresholds::default()).value));
    }

    #[test]
    fn sparse_pair_and_conflict_matrix((dim, values) in dense(12)) {
        let rows: Vec<_> = values.chunks(dim).map(|row| SparseVec::from_dense(row).unwrap()).collect();
        let batch = SparseBatch::from_rows(dim as u32, &rows).unwrap();
        let pairs: Vec<_> = (0..12).flat_map(|i| (0..12).map(move |j| (i, j))).collect();
        for measure in Measure::ALL {
            agreed(|kernels| {
                let scores = kernels.sparse_pair(&batch, &batch, &pairs, measure)?.value;
                Ok(scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>())
            });
        }
        agreed(|kernels| Ok(kernels.conflict_matrix((&batch).into(), None, &Thresholds::default())?.value));
    }
}
