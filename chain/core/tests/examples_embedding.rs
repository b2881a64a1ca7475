//! The published walk-through of an embedding's life: before, after, delta.

use tensor_chain::{DEFAULT_EMBEDDING_DIM, EmbeddingError, EmbeddingState};
use tensor_kernels::{KernelError, SparseVec};

#[test]
fn from_before_through_after_to_delta() {
    let state = EmbeddingState::from_dense(&[1.0, 2.0, 3.0]).unwrap();
    assert!(!state.is_computed());
    assert!(state.after().is_none() && state.delta().is_none());
    assert_eq!(state.before().to_dense(), [1.0, 2.0, 3.0]);
    assert_eq!(state.delta_or_zero(), SparseVec::zero(3));
    assert_eq!(state.delta_magnitude(), 0.0);

    let after = SparseVec::from_dense(&[1.5, 2.0, 3.5]).unwrap();
    let computed = state.compute(after.clone()).unwrap();
    assert!(computed.is_computed());
    assert_eq!(computed.before().to_dense(), [1.0, 2.0, 3.0]);
    assert_eq!(computed.after(), Some(&after));
    assert_eq!(computed.delta().unwrap().to_dense(), [0.5, 0.0, 0.5]);
    assert_eq!(computed.delta_or_zero(), *computed.delta().unwrap());
    assert_eq!(computed.delta_magnitude(), 0.5f64.sqrt());
    assert_eq!(computed.dimension(), 3);
}

#[test]
fn only_differences_above_the_threshold_are_stored() {
    let state = EmbeddingState::from_dense(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    let computed = state.compute_with_threshold(&[1.005, 2.5, 3.0, 3.98], 0.01).unwrap();
    assert_eq!(computed.delta().unwrap().indices(), [1, 3]);
    assert_eq!(
        computed.after().unwrap().to_dense(),
        [1.005, 2.5, 3.0, 3.98],
        "the state after is kept whole"
    );
}

#[test]
fn a_difference_of_exactly_the_threshold_is_not_stored() {
    let computed = EmbeddingState::empty(2).compute_with_threshold(&[0.25, -0.5], 0.25).unwrap();
    assert_eq!(computed.delta().unwrap().indices(), [1]);
}

#[test]
fn an_empty_state_begins_at_zero() {
    let computed =
        EmbeddingState::empty(DEFAULT_EMBEDDING_DIM.get()).compute_from_dense(&[0.5; 128]).unwrap();
    assert_eq!(computed.delta(), computed.after());
}

#[test]
fn a_cleared_component_is_a_difference() {
    let computed = EmbeddingState::from_dense(&[2.0, 1.0]).unwrap().compute_from_dense(&[0.0, 1.0]).unwrap();
    assert_eq!(computed.delta().unwrap().to_dense(), [-2.0, 0.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let state = || EmbeddingState::from_dense(&[1.0, 2.0]).unwrap();
    assert_eq!(
        state().compute_from_dense(&[1.0]).unwrap_err(),
        EmbeddingError::DimensionMismatch { before: 2, after: 1 }
    );
    assert_eq!(
        state().compute_from_dense(&[1.0, f32::NAN]).unwrap_err(),
        EmbeddingError::Vector(KernelError::NonFinite { position: 1 })
    );
    for threshold in [-0.1, f32::NAN, f32::INFINITY] {
        let refused = state().compute_with_threshold(&[1.0, 2.0], threshold).unwrap_err();
        assert!(matches!(refused, EmbeddingError::BadThreshold { .. }), "{threshold}");
    }
    let overflow = EmbeddingState::from_dense(&[f32::MIN]).unwrap().compute_from_dense(&[f32::MAX]);
    assert!(matches!(overflow, Err(EmbeddingError::Vector(_))));
}
