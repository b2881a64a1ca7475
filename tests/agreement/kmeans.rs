//! `kmeans`: the same bytes from every backend, on f32 rows and on codes.

use proptest::prelude::*;
use tensor_datasets::generate::clustered_dense;
use tensor_kernels::{KMeansCodesOptions, KMeansOptions, Kernels, Metric};
use tensor_tests::every_backend;

proptest! {
    #[test]
    fn the_same_codebook_everywhere(
        rows in 1usize..120, dim in prop_oneof![Just(1usize), Just(7), Just(33)], k in 1usize..9, seed in any::<u64>(),
    ) {
        let data = clustered_dense(rows, dim, 4, 0.3, seed).unwrap();
        for metric in [Metric::L2, Metric::Cosine] {
            let options = KMeansOptions { k, max_iterations: 10, seed, metric };
            let run = |kernels: &Kernels| kernels.kmeans(data.view().unwrap(), &options).unwrap().value;
            let backends = every_backend().unwrap();
            let expected = run(&backends[0]);
            for kernels in &backends[1..] {
                prop_assert_eq!(&run(kernels), &expected, "{} on {:?}", metric, kernels);
            }
        }
    }

    #[test]
    fn the_same_integer_codebook_everywhere(
        (dim, codes) in (1usize..20).prop_flat_map(|dim| (Just(dim), proptest::collection::vec(-127i8..=127, dim * 40))),
        k in 1usize..9, seed in any::<u64>(),
    ) {
        let options = KMeansCodesOptions { k, max_iterations: 10, seed, exponent: -7, epoch: 1 };
        let run = |kernels: &Kernels| kernels.kmeans_codes(&codes, dim as u32, &options).unwrap().value;
        let backends = every_backend().unwrap();
        let expected = run(&backends[0]);
        prop_assert_eq!(expected.codebook.epoch(), 1);
        for kernels in &backends[1..] {
            prop_assert_eq!(&run(kernels), &expected, "{:?}", kernels);
        }
    }
}
