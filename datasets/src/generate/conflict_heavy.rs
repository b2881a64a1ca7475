//! Batches in which a stated share of all pairs falls into each conflict class.
//!
//! Classes nest: of the rows, some share a hub position (their pairs are of low conflict at least);
//! of those, some share a key (ambiguous); of those, some share a direction (conflicting); of those,
//! some are one vector and its negative on equal keys (identical and opposite). A set of m rows has
//! m(m − 1)/2 pairs, so any shares that sum to at most 1 fix the sizes of the nested sets.

use tensor_kernels::{KeySets, SparseBatch};

use super::random::Random;
use super::{GenerateError, Rows, check};

/// Position that every row of the hub shares.
const HUB: u32 = 0;
/// Positions of the common direction of conflicting rows.
const COMMON: std::ops::Range<u32> = 1..9;
/// Positions of its own that each row has.
const OWN: u32 = 4;
/// Key that the rows of the ambiguous set share; row r also has key r + 1 of its own.
const SHARED_KEY: u32 = 0;

/// Share of all pairs in each class, each in 0..=1 and at most 1 together; the rest is orthogonal.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ConflictShares {
    /// Pairs with some common direction on disjoint keys.
    pub low_conflict: f64,
    /// The same, on overlapping keys.
    pub ambiguous: f64,
    /// Pairs of one direction.
    pub conflicting: f64,
    /// Equal deltas on equal keys.
    pub identical: f64,
    /// Deltas that undo each other on equal keys; at most about as many as are identical.
    pub opposite: f64,
}

/// How a row is built; each kind includes what the ones before it have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Alone,
    Hub,
    SharedKey,
    Direction,
    Same,
    Negated,
}

/// `rows` deltas and their keys, in random order, whose pairs fall into the classes in the given
/// shares under the default thresholds. The dimension is 9 + 4 · `rows`.
///
/// Shares are met within 2/`rows`, because the nested sets have whole numbers of rows.
///
/// # Errors
/// A share outside 0..=1 or a sum above 1; opposite pairs beyond what the set of equal rows allows;
/// more rows than a batch can hold.
pub fn conflict_heavy(
    rows: usize,
    shares: ConflictShares,
    seed: u64,
) -> Result<(SparseBatch<'static>, KeySets), GenerateError> {
    check("rows", rows as f64, 0.0, 1e6)?;
    let mut random = Random::new(seed);
    let mut kinds = kinds(rows, shares)?;
    random.shuffle(&mut kinds);
    // At most a million rows: dimension, row numbers and keys fit a u32.
    let mut batch = Rows::new(COMMON.end + OWN * rows as u32);
    let mut keys = Vec::with_capacity(rows);
    for (row, &kind) in (0u32..).zip(&kinds) {
        batch.push(delta(kind, row, &mut random));
        keys.push(match kind {
            Kind::Alone | Kind::Hub => vec![row + 1],
            Kind::SharedKey | Kind::Direction => vec![SHARED_KEY, row + 1],
            Kind::Same | Kind::Negated => vec![SHARED_KEY],
        });
    }
    Ok((batch.finish()?, KeySets::new(keys.iter().map(Vec::as_slice))?))
}

/// The kind of each row, before shuffling.
fn kinds(rows: usize, shares: ConflictShares) -> Result<Vec<Kind>, GenerateError> {
    let ConflictShares { low_conflict, ambiguous, conflicting, identical, opposite } = shares;
    for (name, share) in [
        ("low_conflict", low_conflict),
        ("ambiguous", ambiguous),
        ("conflicting", conflicting),
        ("identical", identical),
        ("opposite", opposite),
    ] {
        check(name, share, 0.0, 1.0)?;
    }
    let equal = size(rows, identical + opposite);
    let direction = size(rows, identical + opposite + conflicting);
    let shared_key = size(rows, identical + opposite + conflicting + ambiguous);
    let sum = identical + opposite + conflicting + ambiguous + low_conflict;
    check("sum of the shares", sum, 0.0, 1.0 + 1e-9)?;
    let hub = size(rows, sum.min(1.0));
    let negated = negated(rows, equal, opposite)?;
    Ok((0..rows)
        .map(|row| match row {
            _ if row < negated => Kind::Negated,
            _ if row < equal => Kind::Same,
            _ if row < direction => Kind::Direction,
            _ if row < shared_key => Kind::SharedKey,
            _ if row < hub => Kind::Hub,
            _ => Kind::Alone,
        })
        .collect())
}

/// Pairs among `m` rows.
fn pairs(m: f64) -> f64 {
    m * (m - 1.0) / 2.0
}

/// The number of rows whose pairs are nearest to `share` of all pairs; 0 where one row or none would do.
fn size(rows: usize, share: f64) -> usize {
    let wanted = share * pairs(rows as f64);
    let m = libm::round((1.0 + libm::sqrt(1.0 + 8.0 * wanted)) / 2.0) as usize;
    if m < 2 { 0 } else { m.min(rows) }
}

/// How many of `equal` rows to negate for a share of opposite pairs: the smaller root of a(equal − a) = pairs.
fn negated(rows: usize, equal: usize, share: f64) -> Result<usize, GenerateError> {
    let (n, m) = (rows as f64, equal as f64);
    // Half of the rows negated gives the most pairs; what rounding to whole rows may cost is forgiven.
    let most = (m * m / 4.0 + n + 1.0) / pairs(n).max(1.0);
    check("opposite", share, 0.0, most)?;
    let root = libm::sqrt((m * m - 4.0 * share * pairs(n)).max(0.0));
    Ok(libm::round((m - root) / 2.0) as usize)
}

/// A delta of a kind. Cosines: hub and hub 1/4, hub and direction 0.22, direction and direction above 0.9;
/// Jaccard: at most 1/9 but among rows of one direction.
fn delta(kind: Kind, row: u32, random: &mut Random) -> Vec<(u32, f32)> {
    let own = COMMON.end + OWN * row..COMMON.end + OWN * (row + 1);
    // A factor leaves every cosine as it is; equal rows must be equal.
    let factor = 0.5 + random.unit();
    let sign = |random: &mut Random| if random.chance(0.5) { 1.0 } else { -1.0 };
    let mut entries = Vec::new();
    match kind {
        Kind::Alone => entries.extend(own.map(|index| (index, factor * sign(random)))),
        Kind::Hub | Kind::SharedKey => {
            entries.push((HUB, factor));
            // Four squares of 3/4: ‖delta‖ = 2 · hub.
            entries.extend(own.map(|index| (index, factor * sign(random) * libm::sqrt(0.75))));
        }
        Kind::Direction | Kind::Same | Kind::Negated => {
            let scale = match kind {
                Kind::Same => 1.0,
                Kind::Negated => -1.0,
                _ => factor,
            };
            entries.push((HUB, scale));
            // Eight squares of 1/2: ‖common part‖ = 2 · hub.
            entries.extend(COMMON.map(|index| (index, scale * libm::sqrt(0.5))));
            if kind == Kind::Direction {
                entries.push((own.start, scale * 0.5 * sign(random)));
            }
        }
    }
    entries.into_iter().map(|(index, value)| (index, value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use tensor_kernels::{ConflictClass, Kernels, Thresholds};

    use super::super::test_support::fingerprint;
    use super::*;

    const SHARES: ConflictShares = ConflictShares {
        low_conflict: 0.3,
        ambiguous: 0.1,
        conflicting: 0.2,
        identical: 0.1,
        opposite: 0.05,
    };

    /// Asserts that the shares hold within 2/rows.
    fn assert_shares(rows: usize, shares: ConflictShares) {
        let (batch, keys) = conflict_heavy(rows, shares, 11).unwrap();
        let list = Kernels::scalar().unwrap();
        let list = list.conflict_matrix((&batch).into(), Some(&keys), &Thresholds::default()).unwrap().value;
        for (class, share) in [
            (ConflictClass::LowConflict, shares.low_conflict),
            (ConflictClass::Ambiguous, shares.ambiguous),
            (ConflictClass::Conflicting, shares.conflicting),
            (ConflictClass::Identical, shares.identical),
            (ConflictClass::Opposite, shares.opposite),
        ] {
            let got = list.count(class) as f64 / list.compared() as f64;
            assert!((got - share).abs() <= 2.0 / rows as f64, "{class}: {got} of {rows} rows, not {share}");
        }
    }

    #[test]
    fn every_class_has_its_share_of_the_pairs() {
        assert_shares(300, SHARES);
        assert_shares(300, ConflictShares::default());
        assert_shares(200, ConflictShares { conflicting: 1.0, ..Default::default() });
        assert_shares(200, ConflictShares { conflicting: 0.45, low_conflict: 0.41, ..Default::default() });
        assert_shares(200, ConflictShares { low_conflict: 1.0, ..Default::default() });
        assert_shares(200, ConflictShares { ambiguous: 0.5, ..Default::default() });
        assert_shares(200, ConflictShares { identical: 0.6, opposite: 0.4, ..Default::default() });
    }

    #[test]
    fn small_batches_and_impossible_shares() {
        for rows in 0..3 {
            assert_eq!(conflict_heavy(rows, SHARES, 1).unwrap().0.rows(), rows);
        }
        let refused = |shares| conflict_heavy(100, shares, 1).is_err();
        assert!(refused(ConflictShares { low_conflict: 0.6, conflicting: 0.6, ..Default::default() }));
        assert!(refused(ConflictShares { identical: f64::NAN, ..Default::default() }));
        assert!(refused(ConflictShares { opposite: 0.9, ..Default::default() }));
        assert!(refused(ConflictShares { conflicting: -0.1, ..Default::default() }));
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(fingerprint(&conflict_heavy(100, SHARES, 42).unwrap().0), "6d4150f821db08ea");
    }
}
