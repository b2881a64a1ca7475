//! How two deltas stand to each other, and the compact list of pairs that matter.

use std::fmt;

use crate::error::KernelError;

/// The class of a pair of deltas. Nine rules decide it; the first that matches wins:
///
/// | rule | condition | class |
/// |---|---|---|
/// | 1 | either delta is zero | keys disjoint: `Orthogonal`; both zero on equal keys: `Identical`; else `Ambiguous` |
/// | 2 | keys equal, Jaccard = 1, cos ≥ identical, norm ratio ≥ identical_ratio | `Identical` |
/// | 3 | keys equal, Jaccard = 1, cos ≤ opposite, norm ratio ≥ opposite_ratio | `Opposite` |
/// | 4 | cos ≥ conflict | `Conflicting` |
/// | 5 | Jaccard ≥ structural | `Conflicting` |
/// | 6 | \|cos\| < orthogonal | `Orthogonal` |
/// | 7 | cos ≤ −conflict | `Conflicting` |
/// | 8 | keys overlap (and overlap merging is not allowed) | `Ambiguous` |
/// | 9 | otherwise | `LowConflict` |
///
/// cos is the cosine of the exact vectors, Jaccard the index of their positions. "At or above" is
/// inclusive, "below" is strict, and every comparison is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictClass {
    /// Independent directions.
    Orthogonal,
    /// Some common direction, little in common structurally.
    LowConflict,
    /// Not separable without asking: keys overlap.
    Ambiguous,
    /// Same direction or same positions.
    Conflicting,
    /// The same change twice.
    Identical,
    /// A change and its undoing.
    Opposite,
}

impl ConflictClass {
    /// Every class, in the order of their discriminants.
    pub const ALL: [Self; 6] = [
        Self::Orthogonal,
        Self::LowConflict,
        Self::Ambiguous,
        Self::Conflicting,
        Self::Identical,
        Self::Opposite,
    ];

    /// Whether two deltas of this class may be merged.
    #[must_use]
    pub const fn can_merge(self) -> bool {
        !self.should_reject()
    }

    /// Whether one of two deltas of this class has to be rejected.
    #[must_use]
    pub const fn should_reject(self) -> bool {
        matches!(self, Self::Ambiguous | Self::Conflicting)
    }

    /// The name used in reports and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orthogonal => "orthogonal",
            Self::LowConflict => "low_conflict",
            Self::Ambiguous => "ambiguous",
            Self::Conflicting => "conflicting",
            Self::Identical => "identical",
            Self::Opposite => "opposite",
        }
    }
}

impl fmt::Display for ConflictClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which of the nine rules of [`ConflictClass`] decided a pair, 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(u8);

impl Rule {
    /// Number of rules.
    pub const COUNT: usize = 9;
    /// Either delta is zero.
    pub const ZERO: Self = Self(1);
    /// One change twice.
    pub const IDENTICAL: Self = Self(2);
    /// A change and its undoing.
    pub const OPPOSITE: Self = Self(3);
    /// Conflicting by a large cosine.
    pub const SAME_DIRECTION: Self = Self(4);
    /// Conflicting by common positions.
    pub const STRUCTURE: Self = Self(5);
    /// The only rule that finds two non-zero deltas orthogonal.
    pub const ORTHOGONAL: Self = Self(6);
    /// Conflicting by a cosine far below zero.
    pub const OPPOSITE_DIRECTION: Self = Self(7);
    /// Ambiguous by common keys.
    pub const KEY_OVERLAP: Self = Self(8);
    /// None of the others.
    pub const OTHERWISE: Self = Self(9);

    pub(crate) const fn new(number: u8) -> Self {
        debug_assert!(1 <= number && number as usize <= Self::COUNT);
        Self(number)
    }

    /// The rule's number, 1 to 9.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Rule {
    type Error = KernelError;

    fn try_from(number: u8) -> Result<Self, KernelError> {
        match number {
            1..=9 => Ok(Self(number)),
            got => Err(KernelError::NoSuchRule { got }),
        }
    }
}

/// A pair of rows that is not orthogonal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictPair {
    /// Row of the left batch; for all pairs of one batch, the lower row.
    pub left: u32,
    /// Row of the right batch; for all pairs of one batch, the higher row.
    pub right: u32,
    /// The class, never `Orthogonal`.
    pub class: ConflictClass,
    /// The rule that decided.
    pub rule: Rule,
}

/// How many pairs of a batch there are of each class, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConflictCounts {
    compared: u64,
    /// Of classes other than orthogonal; the place of that one stays 0.
    classes: [u64; ConflictClass::ALL.len()],
    rules: [u64; Rule::COUNT],
}

impl ConflictCounts {
    /// Counts over `compared` pairs of which none is known to be other than orthogonal.
    pub(crate) const fn new(compared: u64) -> Self {
        Self { compared, classes: [0; ConflictClass::ALL.len()], rules: [0; Rule::COUNT] }
    }

    pub(crate) fn add(&mut self, class: ConflictClass, rule: Rule, pairs: u64) {
        self.classes[class as usize] += pairs;
        self.rules[usize::from(rule.number()) - 1] += pairs;
    }

    pub(crate) fn extend(&mut self, pairs: &[ConflictPair]) {
        for pair in pairs {
            self.add(pair.class, pair.rule, 1);
        }
    }

    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.compared += other.compared;
        self.classes.iter_mut().zip(other.classes).for_each(|(sum, n)| *sum += n);
        self.rules.iter_mut().zip(other.rules).for_each(|(sum, n)| *sum += n);
        self
    }

    /// Number of pairs compared.
    #[must_use]
    pub const fn compared(&self) -> u64 {
        self.compared
    }

    /// Number of pairs that are not orthogonal.
    #[must_use]
    pub fn not_orthogonal(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Number of pairs of a class.
    #[must_use]
    pub fn count(&self, class: ConflictClass) -> u64 {
        match class {
            ConflictClass::Orthogonal => self.compared - self.not_orthogonal(),
            _ => self.classes[class as usize],
        }
    }

    /// Number of pairs that are not orthogonal and that a rule decided.
    #[must_use]
    pub fn count_by_rule(&self, rule: Rule) -> u64 {
        self.rules[usize::from(rule.number()) - 1]
    }
}

/// The pairs of a batch that are not orthogonal, ascending by (left, right), with counts of all pairs.
///
/// Memory is proportional to the pairs listed, not to the square of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictList {
    left_rows: usize,
    right_rows: usize,
    /// Whether right is left: only pairs left < right are compared.
    triangle: bool,
    pairs: Vec<ConflictPair>,
}

impl ConflictList {
    /// The list of all pairs of one batch.
    pub(crate) fn triangle(rows: usize, pairs: Vec<ConflictPair>) -> Self {
        debug_assert!(pairs.iter().all(|pair| pair.left < pair.right));
        Self { triangle: true, ..Self::cross(rows, rows, pairs) }
    }

    /// The list of all pairs of a left and a right row.
    pub(crate) fn cross(left_rows: usize, right_rows: usize, pairs: Vec<ConflictPair>) -> Self {
        debug_assert!(pairs.is_sorted_by_key(|pair| (pair.left, pair.right)));
        debug_assert!(pairs.iter().all(|pair| pair.class != ConflictClass::Orthogonal));
        Self { left_rows, right_rows, triangle: false, pairs }
    }

    /// How many pairs there are of each class, and by which rule.
    #[must_use]
    pub fn counts(&self) -> ConflictCounts {
        let mut counts = ConflictCounts::new(self.compared());
        counts.extend(&self.pairs);
        counts
    }

    /// The listed pairs, ascending by (left, right).
    #[must_use]
    pub fn pairs(&self) -> &[ConflictPair] {
        &self.pairs
    }

    /// Number of pairs compared, listed or not.
    #[must_use]
    pub const fn compared(&self) -> u64 {
        let (left, right) = (self.left_rows as u64, self.right_rows as u64);
        if self.triangle { left * left.saturating_sub(1) / 2 } else { left * right }
    }

    /// Number of pairs of a class.
    #[must_use]
    pub fn count(&self, class: ConflictClass) -> u64 {
        match class {
            ConflictClass::Orthogonal => self.compared() - self.pairs.len() as u64,
            _ => self.pairs.iter().filter(|pair| pair.class == class).count() as u64,
        }
    }

    /// Number of pairs that are not orthogonal and that a rule decided.
    #[must_use]
    pub fn count_by_rule(&self, rule: Rule) -> u64 {
        self.pairs.iter().filter(|pair| pair.rule == rule).count() as u64
    }

    /// The class of a pair; for all pairs of one batch in either order. `None` where it was not compared: a row
    /// that does not exist, or a row of one batch with itself.
    #[must_use]
    pub fn class_of(&self, left: usize, right: usize) -> Option<ConflictClass> {
        let (i, j) = if self.triangle { (left.min(right), left.max(right)) } else { (left, right) };
        if i >= self.left_rows || j >= self.right_rows || (self.triangle && i == j) {
            return None;
        }
        let listed =
            self.pairs.binary_search_by_key(&(i, j), |pair| (pair.left as usize, pair.right as usize));
        Some(listed.map_or(ConflictClass::Orthogonal, |place| self.pairs[place].class))
    }

    /// The dense `left_rows × right_rows` matrix of classes, row-major. For all pairs of one batch it
    /// is the upper triangle; the rest stays `Orthogonal`.
    #[must_use]
    pub fn to_dense(&self) -> Vec<ConflictClass> {
        let width = self.right_rows;
        let mut dense = vec![ConflictClass::Orthogonal; self.left_rows * width];
        for pair in &self.pairs {
            dense[pair.left as usize * width + pair.right as usize] = pair.class;
        }
        dense
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The class that the dense matrix of a list holds of a pair that was compared.
    fn of_dense(list: &ConflictList, left: usize, right: usize) -> Option<ConflictClass> {
        let rows = (0..list.left_rows).contains(&left) && (0..list.right_rows).contains(&right);
        rows.then(|| list.to_dense()[left * list.right_rows + right])
    }

    #[test]
    fn numbers_from_1_to_9_are_rules() {
        let named = [
            Rule::ZERO,
            Rule::IDENTICAL,
            Rule::OPPOSITE,
            Rule::SAME_DIRECTION,
            Rule::STRUCTURE,
            Rule::ORTHOGONAL,
            Rule::OPPOSITE_DIRECTION,
            Rule::KEY_OVERLAP,
            Rule::OTHERWISE,
        ];
        for (number, rule) in (1..).zip(named) {
            assert_eq!((Rule::try_from(number), rule.number()), (Ok(rule), number));
        }
        for got in [0, 10, u8::MAX] {
            assert_eq!(Rule::try_from(got), Err(KernelError::NoSuchRule { got }));
        }
    }

    #[test]
    fn a_list_and_its_counts_tell_the_same_of_every_rule() {
        let pair = |right, rule| ConflictPair { left: 0, right, class: ConflictClass::Conflicting, rule };
        let list = ConflictList::triangle(
            4,
            vec![pair(1, Rule::STRUCTURE), pair(2, Rule::OPPOSITE_DIRECTION), pair(3, Rule::STRUCTURE)],
        );
        let by_rule = |number| Rule::try_from(number).map(|rule| list.count_by_rule(rule));
        assert_eq!((by_rule(4), by_rule(5), by_rule(7)), (Ok(0), Ok(2), Ok(1)));
        for rule in (1..=9).map(|number| Rule::try_from(number).unwrap()) {
            assert_eq!(list.counts().count_by_rule(rule), list.count_by_rule(rule));
        }
    }

    proptest! {
        #[test]
        fn every_pair_has_the_class_of_the_dense_matrix_and_no_other_pair_has_one(
            left_rows in 0usize..7,
            right_rows in 0usize..7,
            classes in proptest::collection::vec(0..ConflictClass::ALL.len(), 49),
        ) {
            let pairs = |left_rows: usize, right_rows: usize, triangle: bool| {
                let all = (0..left_rows).flat_map(move |i| (0..right_rows).map(move |j| (i, j)));
                all.filter(|&(i, j)| !triangle || i < j)
                    .map(|(i, j)| (i, j, ConflictClass::ALL[classes[7 * i + j]]))
                    .filter(|&(_, _, class)| class != ConflictClass::Orthogonal)
                    .map(|(i, j, class)| ConflictPair {
                        left: i as u32,
                        right: j as u32,
                        class,
                        rule: Rule::SAME_DIRECTION,
                    })
                    .collect::<Vec<_>>()
            };
            let cross = ConflictList::cross(left_rows, right_rows, pairs(left_rows, right_rows, false));
            let triangle = ConflictList::triangle(left_rows, pairs(left_rows, left_rows, true));
            let (mut crossed, mut met) = (0, 0);
            for i in 0..9 {
                for j in 0..9 {
                    prop_assert_eq!(cross.class_of(i, j), of_dense(&cross, i, j));
                    crossed += u64::from(cross.class_of(i, j).is_some());
                    let either = (i != j).then(|| of_dense(&triangle, i.min(j), i.max(j))).flatten();
                    prop_assert_eq!(triangle.class_of(i, j), either);
                    met += u64::from(either.is_some());
                }
            }
            prop_assert_eq!((cross.compared(), 2 * triangle.compared()), (crossed, met));
        }
    }
}
