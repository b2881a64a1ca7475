//! The nine rules: one total function from a pair to its class.

use super::predicates::jaccard_at_least;
use crate::types::KeyRelation;
use crate::{ConflictClass, Decimal, Rule, Thresholds};

/// The comparisons that the rules ask of a pair of non-zero vectors, each answered exactly.
pub(crate) trait PairView {
    /// cos ≥ t.
    fn cosine_at_least(&self, t: Decimal) -> bool;
    /// |cos| < t, for t ≥ 0.
    fn cosine_magnitude_below(&self, t: Decimal) -> bool;
    /// min/max of the norms ≥ t.
    fn norm_ratio_at_least(&self, t: Decimal) -> bool;

    /// cos ≤ t, for t < 0: |cos| ≥ |t| and cos < 0.
    fn cosine_at_most(&self, t: Decimal) -> bool {
        let magnitude = Decimal::from_ten_thousandths(t.ten_thousandths().saturating_abs());
        !self.cosine_magnitude_below(magnitude) && !self.cosine_at_least(Decimal::from_ten_thousandths(0))
    }
}

/// The class of a pair and the rule that decided, for rows of `left` and `right` non-zero positions of
/// which `shared` are common. `keys` is asked only by the rules that need it.
pub(crate) fn classify(
    (left, right, shared): (usize, usize, u64),
    pair: &impl PairView,
    keys: impl Fn() -> KeyRelation,
    thresholds: &Thresholds,
) -> (ConflictClass, Rule) {
    use ConflictClass::{Ambiguous, Conflicting, Identical, LowConflict, Opposite, Orthogonal};

    if left == 0 || right == 0 {
        let class = match keys() {
            KeyRelation::Disjoint => Orthogonal,
            KeyRelation::Equal if left == right => Identical,
            KeyRelation::Equal | KeyRelation::Overlapping => Ambiguous,
        };
        return (class, Rule::ZERO);
    }
    let union = left as u64 + right as u64 - shared;
    if shared == union && keys() == KeyRelation::Equal {
        if pair.cosine_at_least(thresholds.identical) && pair.norm_ratio_at_least(thresholds.identical_ratio)
        {
            return (Identical, Rule::IDENTICAL);
        }
        if pair.cosine_at_most(thresholds.opposite) && pair.norm_ratio_at_least(thresholds.opposite_ratio) {
            return (Opposite, Rule::OPPOSITE);
        }
    }
    if pair.cosine_at_least(thresholds.conflict) {
        return (Conflicting, Rule::SAME_DIRECTION);
    }
    if jaccard_at_least(shared, union, thresholds.structural) {
        return (Conflicting, Rule::STRUCTURE);
    }
    if pair.cosine_magnitude_below(thresholds.orthogonal) {
        return (Orthogonal, Rule::ORTHOGONAL);
    }
    let mirrored = Decimal::from_ten_thousandths(-thresholds.conflict.ten_thousandths());
    if pair.cosine_at_most(mirrored) {
        return (Conflicting, Rule::OPPOSITE_DIRECTION);
    }
    if !thresholds.allow_key_overlap_merge && keys() != KeyRelation::Disjoint {
        return (Ambiguous, Rule::KEY_OVERLAP);
    }
    (LowConflict, Rule::OTHERWISE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ThresholdsBuilder;
    use crate::exact::{CodePair, SquaredNorm};
    use KeyRelation::{Disjoint, Equal, Overlapping};
    use proptest::prelude::*;

    /// Two vectors of the given codes at positions 0.. and `offset`.., under exponents `e`.
    fn verdict(a: &[i16], b: &[i16], offset: usize, e: (i8, i8), keys: KeyRelation) -> (ConflictClass, u8) {
        let shared: Vec<(i16, i16)> = a.iter().skip(offset).copied().zip(b.iter().copied()).collect();
        let dot = shared.iter().map(|&(x, y)| i64::from(x) * i64::from(y)).sum();
        let pair =
            CodePair { dot, left: SquaredNorm::of_codes(a), right: SquaredNorm::of_codes(b), exponents: e };
        let counts = (a.len(), b.len(), shared.len() as u64);
        let (class, rule) = classify(counts, &pair, || keys, &Thresholds::default());
        (class, rule.number())
    }

    #[test]
    fn each_rule_decides_its_own_case() {
        use ConflictClass::{Ambiguous, Conflicting, Identical, LowConflict, Opposite, Orthogonal};
        let even = (0, 0);
        for (a, b, offset, e, keys, expected) in [
            // 1: a zero delta is decided by keys alone.
            (&[][..], &[5][..], 0, even, Disjoint, (Orthogonal, 1)),
            (&[], &[], 0, even, Equal, (Identical, 1)),
            (&[], &[], 0, even, Disjoint, (Orthogonal, 1)),
            (&[], &[5], 0, even, Equal, (Ambiguous, 1)),
            (&[5], &[], 0, even, Overlapping, (Ambiguous, 1)),
            // 2, 3: same keys, same positions, same or opposite change of the same size.
            (&[100, 50], &[100, 50], 0, even, Equal, (Identical, 2)),
            (&[100, 50], &[-100, -50], 0, even, Equal, (Opposite, 3)),
            // The same direction at another size is a conflict, not a duplicate; so is its opposite.
            (&[100, 50], &[100, 50], 0, (0, 3), Equal, (Conflicting, 4)),
            (&[100, 50], &[-100, -50], 0, (0, 3), Equal, (Conflicting, 5)),
            // Without equal keys there is no identity.
            (&[100, 50], &[100, 50], 0, even, Overlapping, (Conflicting, 4)),
            (&[100, 50], &[-100, -50], 0, even, Disjoint, (Conflicting, 5)),
            // 4: direction alone, one of three positions shared.
            (&[1, 100], &[100, 1], 1, even, Disjoint, (Conflicting, 4)),
            // 5: positions alone, at exactly one half.
            (&[1, 100, 0x40], &[0x40, -0x64, 1], 1, even, Disjoint, (Conflicting, 5)),
            // 6: orthogonal, whatever the keys.
            (&[100, 1], &[1, 100], 1, even, Equal, (Orthogonal, 6)),
            // 7: the mirror of 4.
            (&[1, 100], &[-100, 1], 1, even, Disjoint, (Conflicting, 7)),
            // 8, 9: in between, keys decide.
            (&[30, 10], &[10, 30], 1, even, Overlapping, (Ambiguous, 8)),
            (&[30, 10], &[10, 30], 1, even, Disjoint, (LowConflict, 9)),
        ] {
            assert_eq!(verdict(a, b, offset, e, keys), expected, "{a:?} {b:?} offset {offset} {keys:?}");
        }
    }

    #[test]
    fn cosine_exactly_at_the_thresholds() {
        use ConflictClass::{Conflicting, LowConflict, Orthogonal};
        // [3,4] and [1] at 3's position: cos 0.6; scaled to hit 0.1 and 0.7 exactly by integers:
        // dot/√(ab) = 7/10 with a = 7² + 51 = 100 (7,7,1,1), b = 1.
        assert_eq!(verdict(&[7, 1, 1, 7], &[1], 3, (0, 0), Disjoint), (Conflicting, 4));
        assert_eq!(verdict(&[7, 1, 2, 7], &[1], 3, (0, 0), Disjoint), (LowConflict, 9));
        assert_eq!(verdict(&[7, 1, 1, -7], &[1], 3, (0, 0), Disjoint), (Conflicting, 7));
        // 1/10: a = 1 + 99 = (9, 3, 3, 1), the last shared: not below 0.1.
        assert_eq!(verdict(&[9, 3, 3, 1], &[1], 3, (0, 0), Disjoint), (LowConflict, 9));
        assert_eq!(verdict(&[9, 3, 4, 1], &[1], 3, (0, 0), Disjoint), (Orthogonal, 6));
    }

    #[test]
    fn overlap_merging_turns_ambiguous_into_low_conflict() {
        let thresholds =
            ThresholdsBuilder { allow_key_overlap_merge: true, ..Default::default() }.build().unwrap();
        let norm = SquaredNorm::of_codes(&[30, 10]);
        let pair = CodePair { dot: 300, left: norm, right: norm, exponents: (0, 0) };
        let (class, rule) = classify((2, 2, 1), &pair, || Overlapping, &thresholds);
        assert_eq!((class, rule.number()), (ConflictClass::LowConflict, 9));
    }

    proptest! {
        #[test]
        fn swapping_the_pair_changes_nothing(
            a in proptest::collection::vec(1i16..200, 0..6), b in proptest::collection::vec(-200i16..0, 0..6),
            mixed in proptest::collection::vec(prop_oneof![-99i16..0, 1i16..99], 0..6),
            keys in prop_oneof![Just(Disjoint), Just(Overlapping), Just(Equal)],
        ) {
            for (x, y) in [(&a, &b), (&a, &mixed), (&b, &mixed), (&mixed, &mixed)] {
                prop_assert_eq!(verdict(x, y, 0, (0, 1), keys).0, verdict(y, x, 0, (1, 0), keys).0);
            }
        }
    }
}
