//! `independent_set`: what a conflict list leaves compatible, the same whichever backend listed it.

use tensor_datasets::generate::bernoulli_sparse;
use tensor_kernels::{Thresholds, independent_set};
use tensor_tests::every_backend;

#[test]
fn the_same_rows_survive_on_every_backend() {
    let rows = bernoulli_sparse(200, 64, 0.1, 7).unwrap();
    let survivors = |kernels: &tensor_kernels::Kernels| {
        let list = kernels.conflict_matrix((&rows).into(), None, &Thresholds::default()).unwrap().value;
        let clashes: Vec<_> =
            list.pairs().iter().filter(|p| p.class.should_reject()).map(|p| (p.left, p.right)).collect();
        (independent_set(200, &clashes), clashes)
    };
    let backends = every_backend().unwrap();
    let (expected, clashes) = survivors(&backends[0]);
    assert!(expected.len() > 20 && expected.len() < 200, "{} of 200", expected.len());
    assert!(clashes.iter().all(|(a, b)| !(expected.contains(a) && expected.contains(b))));
    for kernels in &backends[1..] {
        assert_eq!(survivors(kernels).0, expected, "{kernels:?}");
    }
}
