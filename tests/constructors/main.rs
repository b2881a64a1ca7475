//! Wrong shapes are typed errors: never a crash, and never memory for a length that is only declared.

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs::File;

use tensor_kernels::{
    AlignedBuf, ByteView, ClassMatrix, Codebook, ConsensusCodebook, DeltaSum, DeltaVector, DenseRows,
    DenseView, HalfKind, HalfView, Int8Mode, Int8Rows, Int8Scale, KernelError, MappedRows, Metric, RowMask,
    SparseBatch, SparseVec,
};
use tensor_tests::allocation::{Counting, peak_bytes};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than an error takes, far less than any length below.
const LITTLE: usize = 1 << 10;

#[track_caller]
fn refused<T>(construct: impl FnOnce() -> Result<T, KernelError>) -> KernelError {
    let (result, peak) = peak_bytes(construct);
    assert!(peak <= LITTLE, "{peak} bytes held");
    match result {
        Ok(_) => panic!("a wrong shape was accepted"),
        Err(error) => error,
    }
}

/// Numbers of rows and components that four values do not fill, up to those whose product overflows.
const SHAPES: [(usize, usize); 9] = [
    (3, 2),
    (2, 3),
    (4, 0),
    (1, usize::MAX),
    (usize::MAX, 1),
    (usize::MAX, usize::MAX),
    (1 << 32, 1 << 32),
    ((1 << 62) + 1, 4),
    (u32::MAX as usize, u32::MAX as usize),
];

#[test]
fn dense_views_fit_their_data() {
    for (rows, dim) in SHAPES {
        refused(|| DenseView::new(&[1.0; 4], rows, dim));
        refused(|| DenseView::with_stride(&[1.0; 4], rows, dim, dim.saturating_add(1)));
        refused(|| HalfView::from_bits(HalfKind::F16, &[0; 4], rows, dim));
        refused(|| ByteView::new(&[1; 4], rows, dim));
        refused(|| Codebook::new(Metric::L2, rows, dim, vec![1.0; 4]));
        let values = AlignedBuf::zeroed(4);
        refused(|| DenseRows::new(values, rows, dim));
    }
}

#[test]
fn values_have_to_be_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let values = [0.0, bad];
        let error = refused(|| DenseView::new(&values, 1, 2));
        assert!(matches!(error, KernelError::NonFinite { position: 1 }), "{error}");
        refused(|| SparseVec::new(2, vec![1], vec![bad]));
        refused(|| SparseVec::from_dense(&[bad]));
        refused(|| SparseBatch::new(2, vec![0, 1], vec![1], vec![bad]));
        refused(|| Codebook::new(Metric::Cosine, 1, 1, vec![bad]));
    }
    refused(|| HalfView::from_bits(HalfKind::Bf16, &[0x7F80], 1, 1));
}

#[test]
fn sparse_rows_are_in_order() {
    let batch = |indptr: &[usize], indices: &[u32]| {
        let (indptr, indices, values) = (indptr.to_vec(), indices.to_vec(), vec![1.0; indices.len()]);
        refused(move || SparseBatch::new(4, indptr, indices, values))
    };
    for indptr in [&[][..], &[1, 2], &[0, 1], &[0, 2, 1, 2], &[0, usize::MAX], &[0, 2, usize::MAX, 2]] {
        batch(indptr, &[0, 1]);
    }
    for indices in [&[1, 0][..], &[1, 1], &[0, 4], &[0, u32::MAX]] {
        batch(&[0, 2], indices);
        refused(|| SparseVec::new(4, indices.to_vec(), vec![1.0; 2]));
        refused(|| DeltaVector::from_canonical(4, indices.to_vec(), vec![1; 2], 0));
        refused(|| DeltaSum::from_canonical(4, 0, indices.to_vec(), vec![1; 2]));
    }
    refused(|| SparseBatch::new(4, vec![0, 2], vec![0, 1], vec![1.0]));
    refused(|| SparseVec::new(4, vec![0], vec![1.0; 2]));
}

#[test]
fn integer_rows_have_scales_that_fit() {
    let scale = Int8Scale { scale: 1.0, offset: 0.0 };
    for dim in [0, 3, 5, usize::MAX] {
        refused(|| Int8Rows::new(Int8Mode::Symmetric, dim, &[1; 4], vec![scale; 2]));
    }
    refused(|| Int8Rows::new(Int8Mode::Symmetric, 2, &[-128; 4], vec![scale; 2]));
    for dim in [0, 3, u32::MAX] {
        refused(|| ConsensusCodebook::new(dim, 0, vec![1; 4], 0));
    }
}

#[test]
fn memory_that_cannot_be_addressed_is_refused() {
    for (rows, dim) in
        [(1 << 32, 1), (1, 1 << 32), (usize::MAX, usize::MAX), (u32::MAX as usize, u32::MAX as usize)]
    {
        refused(|| Int8Rows::zeroed(Int8Mode::MinMax, rows, dim));
        refused(|| ClassMatrix::orthogonal(rows.max(u32::MAX as usize)));
    }
    let mut mask = RowMask::none(3);
    refused(|| mask.allow(3));
    refused(|| mask.allow(usize::MAX));
}

#[test]
fn a_file_has_to_hold_what_is_mapped() {
    let path = std::env::temp_dir().join(format!("tensor-constructors-{}", std::process::id()));
    std::fs::write(&path, [0u8; 16]).unwrap();
    let file = File::open(&path).unwrap();
    for (rows, dim) in SHAPES {
        for offset in [0, 2, 16, u64::MAX] {
            let (result, peak) = peak_bytes(|| MappedRows::new(&file, offset, rows, dim));
            assert!(result.is_err() && peak <= 2 * LITTLE, "{rows} × {dim} at {offset}: {peak} bytes");
        }
    }
    std::fs::remove_file(&path).unwrap();
}
