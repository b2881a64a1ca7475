//! Golden vectors: every backend of this machine reproduces what is committed.

use tensor_kernels::OPERATIONS;
use tensor_tests::every_backend;
use tensor_tests::golden::{GOLDEN, differences};

#[test]
fn every_operation_has_vectors() {
    let mut names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
    names.sort_unstable();
    assert_eq!(GOLDEN.map(|golden| golden.name).to_vec(), names);
}

#[test]
fn every_backend_reproduces_them() {
    for kernels in every_backend().unwrap() {
        assert_eq!(differences(kernels).unwrap(), "", "golden.txt as {kernels:?} would have it");
    }
}
