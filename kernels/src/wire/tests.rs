//! Round trips, bounds and sizes over every form; hostile bytes.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// Any finite non-zero value, and ones that f16 or i8 hold exactly.
fn value() -> impl Strategy<Value = f32> {
    let any_finite = any::<u32>().prop_map(f32::from_bits);
    let halves = (-2048i16..2048, -20i32..4).prop_map(|(n, e)| f32::from(n) * 2f32.powi(e));
    let codes = (-127i8..=127).prop_map(f32::from);
    let denormals = (1u32..400).prop_map(f32::from_bits);
    prop_oneof![any_finite, halves, codes, denormals, -1f32..1.0]
        .prop_filter("a stored value", |x| x.is_finite() && *x != 0.0)
}

fn vector() -> impl Strategy<Value = SparseVec> {
    let near_the_end = u32::MAX - 700..u32::MAX;
    let index = prop_oneof![3 => 0u32..60, 1 => 0u32..70_000, 1 => near_the_end];
    (btree_map(index, value(), 0..40), 0u32..50).prop_map(|(entries, beyond)| {
        let dim = entries.last_key_value().map_or(0, |(&last, _)| last + 1).saturating_add(beyond);
        let (indices, values) = entries.into_iter().unzip();
        SparseVec::new(dim, indices, values).unwrap()
    })
}

fn tolerance() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0), Just(f32::INFINITY), 1e-6f32..0.1, any::<u32>().prop_map(f32::from_bits)]
}

/// Greatest difference of two vectors of one dimension, over the positions of either.
fn distance(a: &SparseVec, b: &SparseVec) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let mut gaps: std::collections::BTreeMap<u32, f64> = a.iter().map(|(i, x)| (i, x.into())).collect();
    b.iter().for_each(|(i, y)| *gaps.entry(i).or_default() -= f64::from(y));
    gaps.into_values().fold(0.0, |greatest, gap| greatest.max(gap.abs()))
}

proptest! {
    #[test]
    fn lossless_round_trip(v in vector()) {
        let encoded = encode(&v);
        let decoded = decode(encoded.bytes()).unwrap();
        prop_assert_eq!(&decoded.vector, &v);
        prop_assert_eq!(decoded.form, encoded.form());
        prop_assert_eq!(encoded.form().error_bound.to_bits(), 0);
    }

    #[test]
    fn lossy_round_trip_keeps_the_bound_it_carries(v in vector(), tolerance in tolerance()) {
        let encoded = encode_within(&v, tolerance);
        let decoded = decode(encoded.bytes()).unwrap();
        prop_assert_eq!(decoded.form, encoded.form());
        let bound = decoded.form.error_bound;
        prop_assert!(bound == 0.0 || bound <= tolerance);
        prop_assert!(distance(&v, &decoded.vector) <= f64::from(bound));
        prop_assert!(encoded.bytes().len() <= encode(&v).bytes().len());
    }

    #[test]
    fn the_tolerance_is_met_exactly(v in vector()) {
        let rough = encode_within(&v, f32::INFINITY);
        let bound = rough.form().error_bound;
        if bound > 0.0 {
            prop_assert_eq!(encode_within(&v, bound), rough);
            prop_assert!(encode_within(&v, bound.next_down()).form().error_bound < bound);
        }
    }

    #[test]
    fn dense_vectors_pick_by_actual_length(dense in vec(prop_oneof![Just(0.0), value()], 0..50)) {
        let v = SparseVec::from_dense(&dense).unwrap();
        let encoded = encode(&v);
        // Lengths by the format as documented, for f32, which every vector has.
        let head = 1 + usize::from(dense.len() >= 128) + 1;
        let (as_dense, as_sparse) = (head + 4 * dense.len(), head + 1 + 5 * v.nnz());
        prop_assert!(encoded.bytes().len() <= as_dense.min(as_sparse));
        if encoded.form().number == Number::F32 {
            prop_assert_eq!(encoded.bytes().len(), as_dense.min(as_sparse));
            prop_assert_eq!(encoded.form().layout == Layout::Sparse, as_sparse < as_dense);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in vec(any::<u8>(), 0..60)) {
        refused_or_canonical(&bytes);
    }

    #[test]
    fn near_encodings_are_refused_or_canonical(
        head in 0u8..16, dim in 0u8..40, rest in vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 0..60),
    ) {
        refused_or_canonical(&[&[head, dim], &rest[..]].concat());
    }

    #[test]
    fn damaged_encodings_are_refused_or_canonical(
        v in vector(), tolerance in tolerance(), at in any::<prop::sample::Index>(), flip in 1u8.., extra in any::<u8>(),
    ) {
        let good = encode_within(&v, tolerance).into_bytes();
        let mut flipped = good.clone();
        flipped[at.index(good.len())] ^= flip;
        refused_or_canonical(&flipped);
        prop_assert!(decode(&good[..at.index(good.len())]).is_err(), "a prefix");
        prop_assert!(decode(&[&good[..], &[extra]].concat()).is_err(), "a suffix");
    }
}

/// What decodes without loss is what its vector encodes to; what decodes at all is small.
fn refused_or_canonical(bytes: &[u8]) {
    if let Ok(Decoded { vector, form }) = decode(bytes) {
        assert!(vector.nnz() <= bytes.len());
        if form.error_bound == 0.0 {
            assert_eq!(encode(&vector).bytes(), bytes);
        }
    }
}

#[test]
fn the_format_is_pinned() {
    let v = |dense: &[f32]| SparseVec::from_dense(dense).unwrap();
    // f32: 0.1 fits nothing shorter. Two values so that neither is alone the i8 scale.
    let bits = |x: f32| x.to_le_bytes();
    let (a, b) = (0.1f32, 0.070_707_07f32);
    assert_eq!(encode(&v(&[a, b])).bytes(), [&[0, 2][..], &bits(a), &bits(b)].concat());
    // f16: 1.0 = 0x3C00, −2.0 = 0xC000; sparse, at 1 and at 3 + 200.
    let sparse = SparseVec::new(300, vec![1, 203], vec![1.0, -2.0]).unwrap();
    assert_eq!(encode(&sparse).bytes(), [5, 0xAC, 2, 2, 1, 0xC9, 1, 0, 0x3C, 0, 0xC0]);
    // i8: codes 127 and −64 under a scale of 0.5 come back exactly; zero stays zero.
    let codes = [63.5f32, -32.0, 0.0, 1.5, -63.5, 63.5, 0.5, -0.5, 1.0];
    let expected = [&[2, 9][..], &bits(0.5), &[127, 192, 0, 3, 129, 127, 1, 255, 2]].concat();
    assert_eq!(encode(&v(&codes)).bytes(), expected);
    // Lossy: the bound comes before the scale.
    let lossy = encode_within(&v(&[a, b, 0.05]), 1e-3);
    assert_eq!(lossy.form().number, Number::F16, "i8 would need a scale as well");
    assert_eq!((lossy.bytes()[0], &lossy.bytes()[2..6]), (9, &bits(lossy.form().error_bound)[..]));
    assert_eq!(encode(&SparseVec::zero(0)).bytes(), [0, 0]);
    assert_eq!(encode(&SparseVec::zero(u32::MAX)).bytes(), [4, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]);
}

#[test]
fn five_per_cent_of_768_shrink_more_than_25_fold() {
    let entries = (0..38u32).map(|k| (k * 20 + k % 7, (k as f32 * 0.7).sin() + 0.01));
    let (indices, values): (Vec<_>, Vec<_>) = entries.unzip();
    let sparse = SparseVec::new(768, indices, values).unwrap();
    let encoded = encode_within(&sparse, 0.005);
    assert_eq!((encoded.form().layout, encoded.form().number), (Layout::Sparse, Number::I8));
    assert_eq!(encoded.bytes().len(), 1 + 2 + 4 + 4 + 1 + 38 + 38);
    assert!(encoded.ratio() > 25.0, "{}", encoded.ratio());
    assert_eq!(
        encode(&sparse).form(),
        Form { layout: Layout::Sparse, number: Number::F32, error_bound: 0.0 }
    );
    let dense =
        SparseVec::from_dense(&(0..768).map(|k| (k as f32 * 0.7).sin() + 0.01).collect::<Vec<_>>()).unwrap();
    let encoded = encode_within(&dense, 0.005);
    assert_eq!((encoded.form().layout, encoded.form().number), (Layout::Dense, Number::I8));
    assert!(encoded.ratio() > 3.9, "{}", encoded.ratio());
}

#[test]
fn a_tolerance_that_is_no_number_loses_nothing_and_an_infinite_one_stays_finite() {
    let v = SparseVec::from_dense(&[0.1, 0.07, f32::MAX, f32::from_bits(1)]).unwrap();
    for tolerance in [f32::NAN, -1.0, 0.0] {
        assert_eq!(encode_within(&v, tolerance), encode(&v));
    }
    let rough = encode_within(&v, f32::INFINITY);
    assert!(rough.form().error_bound.is_finite() && rough.form().number == Number::I8);
    assert!(decode(rough.bytes()).unwrap().vector.values().iter().all(|x| x.is_finite()));
}

#[test]
fn each_refusal_has_its_name() {
    let max = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    let refused = |bytes: &[&[u8]]| decode(&bytes.concat()).unwrap_err();
    assert_eq!(refused(&[]), WireError::Truncated { got: 0, needed: 1 });
    for head in [3, 7, 8, 12, 16, 0x80] {
        assert_eq!(refused(&[&[head, 0]]), WireError::UnknownForm { got: head });
    }
    let needed = 4 * u64::from(u32::MAX);
    assert_eq!(refused(&[&[0], &max]), WireError::Truncated { got: 0, needed }, "a dimension alone");
    let needed = 5 * u64::from(u32::MAX);
    assert_eq!(refused(&[&[4], &max, &max]), WireError::Truncated { got: 0, needed }, "a count alone");
    assert_eq!(refused(&[&[4], &[0xFF; 5]]), WireError::IntegerTooLong);
    assert_eq!(refused(&[&[0, 0, 7]]), WireError::TrailingBytes { got: 1 });
    assert_eq!(refused(&[&[4, 9, 1, 9], &[0; 4]]), WireError::IndexOutOfBounds { entry: 0, dim: 9 });
    assert_eq!(
        refused(&[&[4], &max, &[2], &max[..4], &[0x0F, 0], &[0; 8]]),
        WireError::IndexOutOfBounds { entry: 0, dim: u32::MAX }
    );
    let nan = f32::NAN.to_le_bytes();
    assert_eq!(refused(&[&[0, 1], &nan]), WireError::BadNumber { position: 0, word: f32::NAN.to_bits() });
    assert_eq!(refused(&[&[1, 1, 0, 0x7C]]), WireError::BadNumber { position: 0, word: 0x7C00 });
    let one = 1f32.to_le_bytes();
    assert_eq!(refused(&[&[2, 1], &one, &[0x80]]), WireError::BadNumber { position: 0, word: 0x80 });
    for bad in [0f32, -1.0, f32::INFINITY, f32::NAN] {
        let bad = bad.to_le_bytes();
        assert!(matches!(refused(&[&[2, 1], &bad, &[1]]), WireError::BadFloat { field: "scale", .. }));
        assert!(matches!(
            refused(&[&[9, 1], &bad, &[1, 1]]),
            WireError::BadFloat { field: "error bound", .. }
        ));
    }
    // Padded integer, dense zero that is sparse, negative zero, explicit zero, f32 that f16 holds, lossy negative zero.
    let zeros = [0u8; 40];
    for bytes in [
        &[&[0u8, 0x80, 0][..]][..],
        &[&[0, 10], &zeros],
        &[&[0, 1, 0, 0, 0, 0x80]],
        &[&[4, 200, 1, 1, 0], &zeros[..4]],
        &[&[0, 1], &one],
        &[&[9, 1], &one, &[0, 0x80]],
    ] {
        assert_eq!(refused(bytes), WireError::NotCanonical, "{bytes:?}");
    }
}
