//! The published walk-through of codebooks and transition validation, and what must hold for any stream of
//! observations.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tensor_chain::{
    CodebookConfig, CodebookError, CodebookManager, GlobalCodebook, LocalCodebook, PathError,
    PruningStrategy, RejectionReason, TransitionValidator, ValidationConfig,
};
use tensor_kernels::{Decimal, KernelError, Kernels, Metric};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Two known states, along the first and the second axis.
fn axes() -> GlobalCodebook {
    GlobalCodebook::from_centroids(vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]]).unwrap()
}

fn manager() -> CodebookManager {
    CodebookManager::new(axes(), CodebookConfig::default()).unwrap()
}

#[test]
fn training_finds_the_directions_and_is_repeatable() {
    let vectors: Vec<Vec<f32>> = (0..60)
        .map(|i| {
            let (axis, length) = (i % 3, 1.0 + (i / 3) as f32);
            let mut v = [0.01 * (i % 5) as f32; 3];
            v[axis] = 1.0;
            v.iter().map(|component| component * length).collect()
        })
        .collect();
    let codebook = GlobalCodebook::from_kmeans(&vectors, 3, 100).unwrap();
    assert_eq!((codebook.len(), codebook.dimension(), codebook.metric()), (3, 3, Metric::Cosine));
    for v in &vectors {
        assert!(codebook.is_valid_state(v, decimal("0.99")).unwrap(), "{v:?}");
    }
    let again = GlobalCodebook::from_kmeans(&vectors, 3, 100).unwrap();
    assert_eq!((&codebook, codebook.hash()), (&again, again.hash()));
    let scalar = GlobalCodebook::train(&vectors, 3, 100, Metric::Cosine, Kernels::scalar().unwrap()).unwrap();
    assert_eq!(codebook.hash(), scalar.hash(), "which kernels train changes nothing");
}

#[test]
fn too_little_to_train_on() {
    assert!(GlobalCodebook::from_kmeans(&[], 8, 100).unwrap().is_empty());
    assert!(GlobalCodebook::from_kmeans(&[vec![1.0]], 0, 100).unwrap().is_empty());
    let two = [vec![1.0, 0.0], vec![0.0, 1.0]];
    assert_eq!(GlobalCodebook::from_kmeans(&two, 8, 100).unwrap().len(), 2);
    assert!(matches!(
        GlobalCodebook::from_kmeans(&[vec![1.0], vec![1.0, 2.0]], 1, 1),
        Err(CodebookError::DimensionMismatch { got: 2, expected: 1 })
    ));
}

#[test]
fn a_state_finds_its_nearest_entry() {
    let codebook = axes();
    let (id, similarity) = codebook.quantize(&[0.6, 0.8, 0.0]).unwrap();
    assert_eq!(id, 1);
    assert!((similarity - 0.8).abs() < 1e-7);
    assert_eq!(codebook.quantize(&[1.0, 1.0, 0.0]).unwrap().0, 0, "ties go to the lower id");
    assert_eq!(codebook.compute_residual(&[1.5, 0.25, 0.0]).unwrap(), (0, vec![0.5, 0.25, 0.0]));
    assert!(codebook.is_valid_state(&[0.6, 0.8, 0.0], decimal("0.7")).unwrap());
    assert!(!codebook.is_valid_state(&[0.6, 0.8, 0.0], decimal("0.9")).unwrap());
    assert!(codebook.is_valid_state(&[0.3, 0.0, 0.0], decimal("1")).unwrap(), "a multiple of a centroid");
}

#[test]
fn a_radius_refuses_distant_multiples() {
    let codebook = axes().with_radius(decimal("0.5"));
    assert!(codebook.is_valid_state(&[1.5, 0.0, 0.0], decimal("0.9")).unwrap(), "the radius is inclusive");
    assert!(!codebook.is_valid_state(&[1000.0, 0.0, 0.0], decimal("0.9")).unwrap());
}

#[test]
fn the_metric_decides_what_is_nearest() {
    let centroids = vec![vec![10.0, 0.0], vec![0.5, 0.5]];
    let by_cosine = GlobalCodebook::from_centroids(centroids).unwrap();
    let by_distance = by_cosine.clone().with_metric(Metric::L2).unwrap();
    assert_eq!(by_cosine.quantize(&[1.0, 0.0]).unwrap(), (0, 1.0));
    let (id, similarity) = by_distance.quantize(&[1.0, 0.0]).unwrap();
    assert_eq!(id, 1);
    assert!((similarity - 0.5f64.sqrt()).abs() < 1e-7, "similarity is the cosine to the entry found");
    assert_ne!(by_cosine.hash(), by_distance.hash());
}

#[test]
fn entries_have_ids_labels_and_magnitudes() {
    let labels = vec!["east".to_owned(), "north".to_owned()];
    let centroids = vec![vec![3.0, 4.0], vec![-0.0, 1.0]];
    let codebook = GlobalCodebook::from_centroids_with_labels(centroids.clone(), labels).unwrap();
    let entry = codebook.get(0).unwrap();
    assert_eq!(
        (entry.id, entry.centroid, entry.magnitude, entry.label),
        (0, &[3.0, 4.0][..], 5.0, Some("east"))
    );
    assert_eq!(codebook.iter().map(|entry| entry.id).collect::<Vec<_>>(), [0, 1]);
    assert!(codebook.get(2).is_none());
    assert_eq!(
        GlobalCodebook::from_centroids_with_labels(centroids.clone(), vec![]),
        Err(CodebookError::LabelCount { got: 0, expected: 2 })
    );
    let unlabelled = GlobalCodebook::from_centroids(vec![vec![3.0, 4.0], vec![0.0, 1.0]]).unwrap();
    assert_eq!(codebook.hash(), unlabelled.hash(), "neither labels nor the sign of zero count");
    assert_ne!(codebook.hash(), unlabelled.clone().with_epoch(1).hash());
    assert_ne!(codebook.hash(), unlabelled.with_radius(decimal("1")).hash());
}

#[test]
fn what_no_codebook_takes() {
    assert!(matches!(
        GlobalCodebook::from_centroids(vec![vec![1.0], vec![1.0, 2.0]]),
        Err(CodebookError::DimensionMismatch { got: 2, expected: 1 })
    ));
    assert!(matches!(axes().quantize(&[1.0]), Err(CodebookError::DimensionMismatch { got: 1, expected: 3 })));
    assert!(matches!(
        axes().quantize(&[1.0, f32::NAN, 0.0]),
        Err(CodebookError::Kernel(KernelError::NonFinite { .. }))
    ));
    let empty = GlobalCodebook::empty(3).unwrap();
    assert_eq!(empty.quantize(&[1.0, 0.0, 0.0]), Err(CodebookError::Empty));
    assert!(!empty.is_valid_state(&[1.0, 0.0, 0.0], decimal("0")).unwrap());
    let too_many = GlobalCodebook::from_centroids(vec![vec![1.0]; 65_537]);
    assert!(matches!(too_many, Err(CodebookError::TooManyEntries { .. })));
}

#[test]
fn the_integer_form_keeps_directions_and_sizes() {
    let centroids = vec![vec![1.0, -0.5, 0.0], vec![0.001, 0.0, 0.001], vec![0.0; 3]];
    let codebook = GlobalCodebook::from_centroids(centroids).unwrap().with_epoch(4);
    let by_cosine = codebook.to_consensus().unwrap();
    assert_eq!((by_cosine.epoch(), by_cosine.exponent()), (4, -7));
    assert_eq!(by_cosine.entry(0), Some(&[127, -64, 0][..]), "63.5 rounds half to even");
    assert_eq!(by_cosine.entry(1), Some(&[127, 0, 127][..]), "a short centroid keeps its direction");
    assert_eq!(by_cosine.entry(2), Some(&[0, 0, 0][..]));

    let by_distance = codebook.with_metric(Metric::L2).unwrap().to_consensus().unwrap();
    assert_eq!(by_distance.exponent(), -6);
    assert_eq!(by_distance.entry(0), Some(&[64, -32, 0][..]));

    let huge =
        GlobalCodebook::from_centroids(vec![vec![1.0], vec![1e30]]).unwrap().with_metric(Metric::L2).unwrap();
    assert!(matches!(
        huge.to_consensus(),
        Err(CodebookError::Kernel(KernelError::MagnitudeOutOfRange { position: 1, .. }))
    ));
    assert!(GlobalCodebook::from_centroids(vec![]).unwrap().to_consensus().is_err());
}

#[test]
fn a_local_codebook_learns() {
    let mut local = LocalCodebook::new("users", 128, 256, decimal("0.1")).unwrap();
    local.set_pruning_strategy(PruningStrategy::Hybrid { recency_weight: 0.5, frequency_weight: 0.5 });
    let mut residual = vec![0.0; 128];
    residual[7] = 0.5;
    assert_eq!(local.quantize(&residual).unwrap(), None);
    assert_eq!(local.quantize_and_update(&residual, decimal("0.9")).unwrap(), (0, 1.0));
    assert_eq!(local.quantize_and_update(&residual, decimal("1")).unwrap(), (0, 1.0));
    residual[7] = -0.5;
    assert_eq!(local.quantize_and_update(&residual, decimal("0.9")).unwrap(), (1, 1.0));

    local.ema_update(0, &vec![1.0; 128]).unwrap();
    let moved = local.get(0).unwrap();
    assert_eq!((moved[0], moved[7]), (0.1, 0.55), "a tenth of the observation, nine tenths of the entry");
    let stats = local.stats();
    assert_eq!((stats.entry_count, stats.total_insertions, stats.total_lookups), (2, 2, 3));
    assert_eq!((stats.total_updates, stats.total_prunes), (2, 0));
    assert_eq!((local.domain(), local.dimension(), local.len()), ("users", 128, 2));
}

#[test]
fn looking_up_changes_nothing() {
    let mut local = LocalCodebook::new("d", 2, 4, decimal("0.5")).unwrap();
    local.quantize_and_update(&[1.0, 0.0], decimal("0.9")).unwrap();
    let (before, centroid) = (local.stats(), local.get(0).unwrap().to_vec());
    local.quantize(&[0.5, 0.5]).unwrap();
    assert_eq!((local.stats(), local.get(0).unwrap()), (before, &centroid[..]));
}

#[test]
fn what_no_local_codebook_takes() {
    assert_eq!(LocalCodebook::new("d", 2, 0, decimal("0.1")).unwrap_err(), CodebookError::ZeroCapacity);
    for alpha in ["0", "1.0001", "-0.1"] {
        let refused = LocalCodebook::new("d", 2, 1, decimal(alpha)).unwrap_err();
        assert_eq!(refused, CodebookError::BadAlpha { got: decimal(alpha) });
    }
    assert!(LocalCodebook::new("d", 0, 1, decimal("1")).is_err());
    let mut local = LocalCodebook::new("d", 2, 1, decimal("1")).unwrap();
    assert_eq!(local.quantize_and_update(&[0.0, -0.0], decimal("0.9")), Err(CodebookError::ZeroObservation));
    assert_eq!(local.ema_update(3, &[1.0, 0.0]), Err(CodebookError::UnknownEntry { id: 3 }));
    assert!(local.quantize_and_update(&[1.0], decimal("0.9")).is_err());
    assert!(local.quantize_and_update(&[1.0, f32::INFINITY], decimal("0.9")).is_err());
    assert_eq!(local.stats(), Default::default(), "a refused observation leaves no trace");
}

#[test]
fn both_stages_quantise_a_state() {
    let manager = manager();
    let (exact, near) = ([1.0, 0.0, 0.0], [0.95, 0.2, 0.1]);
    let short = manager.learn("users", &exact).unwrap();
    assert_eq!((short.codes, short.local_entry_id), (vec![0], None), "no residual worth learning");
    assert_eq!(manager.local_stats("users"), None);

    assert_eq!(manager.quantize("users", &near).unwrap().codes, [0], "nothing learned yet");
    let learned = manager.learn("users", &near).unwrap();
    assert_eq!((learned.global_entry_id, learned.local_entry_id), (0, Some(0)));
    assert_eq!((learned.local_similarity, learned.codes), (Some(1.0), vec![0, 0]));
    let seen = manager.quantize("users", &near).unwrap();
    assert_eq!((seen.codes, manager.local_stats("users").unwrap().total_lookups), (vec![0, 0], 1));
    assert_eq!(manager.quantize("orders", &near).unwrap().codes, [0], "domains learn apart");
}

#[test]
fn a_known_residual_makes_a_state_valid_in_its_domain() {
    let manager = manager();
    let (state, twin) = ([0.5, 0.2, 0.9], [0.55, 0.2, 0.8]);
    assert!(!manager.is_valid_state("users", &state).unwrap());
    manager.learn("users", &state).unwrap();
    assert!(manager.is_valid_state("users", &state).unwrap());
    assert!(manager.is_valid_state("users", &twin).unwrap(), "the residual is near, not the state");
    assert!(!manager.is_valid_state("orders", &state).unwrap());
    assert!(
        !manager.global().is_valid_state(&state, decimal("0.8")).unwrap(),
        "the shared codebook is untouched"
    );
}

#[test]
fn the_radius_holds_for_learned_residuals_too() {
    let global = axes().with_radius(decimal("2"));
    let manager = CodebookManager::new(global, CodebookConfig::default()).unwrap();
    manager.learn("users", &[1.0, 0.0, 1.0]).unwrap();
    assert!(manager.is_valid_state("users", &[1.0, 0.0, 2.0]).unwrap());
    assert!(!manager.is_valid_state("users", &[1.0, 0.0, 2.5]).unwrap());
}

#[test]
fn transitions_between_valid_states_within_reach() {
    let manager = manager();
    let (from, to) = ([1.0, 0.0, 0.0], [0.9, 0.3, 0.0]);
    assert!(manager.is_valid_transition("users", &from, &to, decimal("0.4")).unwrap());
    assert!(!manager.is_valid_transition("users", &from, &to, decimal("0.3")).unwrap());
    assert!(!manager.is_valid_transition("users", &from, &[0.5, 0.0, 0.9], decimal("9")).unwrap());
    // Exactly at the limit: 0.75 is a float.
    assert!(manager.is_valid_transition("users", &from, &[1.75, 0.0, 0.0], decimal("0.75")).unwrap());
}

fn validator(config: ValidationConfig) -> TransitionValidator {
    TransitionValidator::new(Arc::new(manager()), config)
}

#[test]
fn a_validator_measures_and_gives_its_reason() {
    let validator = validator(ValidationConfig::default());
    let (known, near, unknown) = ([1.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 1.0]);
    let fine = validator.validate_transition("d", &known, &near).unwrap();
    assert!(fine.is_valid && fine.rejection_reason.is_none());
    assert_eq!(fine.magnitude, 0.5);
    assert!((fine.direction_similarity - 1.0 / 1.25f64.sqrt()).abs() < 1e-12);

    let reason = |from, to| validator.validate_transition("d", from, to).unwrap().rejection_reason;
    assert_eq!(reason(&unknown, &known), Some(RejectionReason::InvalidFrom));
    assert_eq!(reason(&known, &unknown), Some(RejectionReason::InvalidTo));
    let far = reason(&known, &[3.0, 0.0, 0.0]).unwrap();
    assert_eq!(far, RejectionReason::TooFar { magnitude: 2.0, limit: decimal("1") });
    assert_eq!(far.to_string(), "the states are 2.0000 apart, more than 1");

    let batch = [(known, near), (known, unknown)];
    let verdicts = validator.validate_batch("d", &batch).unwrap();
    assert_eq!(verdicts.iter().map(|verdict| verdict.is_valid).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_lenient_validator_forgives_where_a_step_began() {
    let lenient = ValidationConfig {
        strict_transition: false,
        max_transition_magnitude: decimal("9"),
        ..ValidationConfig::default()
    };
    let (known, unknown) = ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]);
    assert!(validator(lenient).validate_transition("d", &unknown, &known).unwrap().is_valid);
    assert!(!validator(lenient).validate_transition("d", &known, &unknown).unwrap().is_valid);
}

#[test]
fn a_path_names_the_hop_that_fails() {
    let validator = validator(ValidationConfig::default());
    let path = [vec![1.0, 0.0, 0.0], vec![1.0, 0.5, 0.0], vec![1.0, 0.5, 3.0], vec![1.0, 0.0, 0.0]];
    assert_eq!(validator.validate_path("d", &path[..2]), Ok(()));
    let failed = validator.validate_path("d", &path).unwrap_err();
    assert_eq!(failed, PathError::Hop { hop: 1, reason: RejectionReason::InvalidTo });
    assert_eq!(failed.to_string(), "hop 1: the state after is near no codebook entry");
    assert_eq!(validator.compute_path_drift(&path[..3]).unwrap(), 3.5);
    let (index, deviation) = validator.find_max_deviation(&path).unwrap().unwrap();
    assert_eq!(index, 2);
    assert!((deviation - (1.0 - 1.0 / 10.25f64.sqrt())).abs() < 1e-12);

    let none: [[f32; 3]; 0] = [];
    assert_eq!(validator.validate_path("d", &none), Ok(()));
    assert_eq!(validator.find_max_deviation(&none), Ok(None));
    assert_eq!(validator.compute_path_drift(&path[..1]), Ok(0.0));
}

#[test]
fn validator_and_manager_share_what_is_learned() {
    let manager = Arc::new(manager());
    let validator = TransitionValidator::new(Arc::clone(&manager), ValidationConfig::default());
    let state = vec![0.5, 0.2, 0.9];
    assert!(!validator.validate_state("d", &state).unwrap());
    validator.learn_from_states("d", &[&state]).unwrap();
    assert!(validator.validate_state("d", &state).unwrap() && manager.is_valid_state("d", &state).unwrap());
}

fn any_strategy() -> impl Strategy<Value = PruningStrategy> {
    let weight = || prop_oneof![Just(0.0), Just(0.5), Just(f64::NAN), Just(f64::INFINITY), -1.0..1.0];
    prop_oneof![
        Just(PruningStrategy::LRU),
        Just(PruningStrategy::LFU),
        (weight(), weight()).prop_map(|(recency_weight, frequency_weight)| PruningStrategy::Hybrid {
            recency_weight,
            frequency_weight
        }),
    ]
}

proptest! {
    #[test]
    fn a_local_codebook_never_outgrows_its_capacity(
        strategy in any_strategy(),
        capacity in 1usize..6,
        stream in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 4), 1..60),
    ) {
        let mut local = LocalCodebook::new("d", 4, capacity, decimal("0.1")).unwrap();
        local.set_pruning_strategy(strategy);
        let (mut newest, mut held) = (None, BTreeMap::<u64, Vec<f32>>::new());
        for residual in &stream {
            prop_assume!(residual.iter().any(|&component| component != 0.0));
            let insertions = local.stats().total_insertions;
            let (id, _) = local.quantize_and_update(residual, decimal("0.99")).unwrap();
            prop_assert!(local.len() <= capacity);
            let stats = local.stats();
            if stats.total_insertions > insertions {
                prop_assert!(Some(id) > newest, "an id was used again");
                prop_assert_eq!(local.get(id), Some(&residual[..]));
                newest = Some(id);
            }
            held.insert(id, local.get(id).unwrap().to_vec());
            held.retain(|&id, _| local.get(id).is_some());
            prop_assert!(held.iter().all(|(&id, centroid)| local.get(id) == Some(centroid)), "another entry changed");
            prop_assert_eq!(held.len(), local.len());
            prop_assert_eq!(stats.total_insertions, stats.total_prunes + stats.entry_count as u64);
        }
    }

    #[test]
    fn integer_and_float_form_point_the_same_way(
        rows in prop::collection::vec(prop::collection::vec(-100.0f32..100.0, 5), 1..8),
    ) {
        let book = GlobalCodebook::from_centroids(rows).unwrap();
        let integers = book.to_consensus().unwrap();
        for entry in book.iter() {
            let codes: Vec<f32> = integers.entry(entry.id.into()).unwrap().iter().map(|&c| f32::from(c)).collect();
            let dot: f64 = codes.iter().zip(entry.centroid).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let norm = codes.iter().map(|&c| f64::from(c).powi(2)).sum::<f64>().sqrt();
            // Half a code in each of five components of which one is ±127: an angle below 0.009.
            prop_assert!(entry.magnitude == 0.0 || dot / (norm * entry.magnitude) > 0.9999);
        }
    }
}
