//! How two deltas stand to each other, and the compact list of pairs that matter.

use std::fmt;

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
    /// The rule for pairs of which either delta is zero.
    pub const ZERO: Self = Self(1);
    /// The only rule that finds two non-zero deltas orthogonal.
    pub const ORTHOGONAL: Self = Self(6);

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
    pairs: Vec<ConflictPair>,
    compared: u64,
}

impl ConflictList {
    pub(crate) fn new(left_rows: usize, right_rows: usize, compared: u64, pairs: Vec<ConflictPair>) -> Self {
        debug_assert!(pairs.is_sorted_by_key(|pair| (pair.left, pair.right)));
        debug_assert!(pairs.iter().all(|pair| pair.class != ConflictClass::Orthogonal));
        Self { left_rows, right_rows, pairs, compared }
    }

    /// How many pairs there are of each class, and by which rule.
    #[must_use]
    pub fn counts(&self) -> ConflictCounts {
        let mut counts = ConflictCounts::new(self.compared);
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
        self.compared
    }

    /// Number of pairs of a class.
    #[must_use]
    pub fn count(&self, class: ConflictClass) -> u64 {
        match class {
            ConflictClass::Orthogonal => self.compared - self.pairs.len() as u64,
            _ => self.pairs.iter().filter(|pair| pair.class == class).count() as u64,
        }
    }

    /// Number of listed (not orthogonal) pairs that rule `number` decided.
    #[must_use]
    pub fn count_by_rule(&self, number: u8) -> u64 {
        self.pairs.iter().filter(|pair| pair.rule.number() == number).count() as u64
    }

    /// The class of a pair; for all pairs of one batch `left` is the lower row.
    #[must_use]
    pub fn class_of(&self, left: u32, right: u32) -> ConflictClass {
        self.pairs
            .binary_search_by_key(&(left, right), |pair| (pair.left, pair.right))
            .map_or(ConflictClass::Orthogonal, |found| self.pairs[found].class)
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
