//! Which of the waiting changesets share the next block.
//!
//! Two may share a block when neither wrote a key that the other read or wrote, so that their order does not
//! matter, and when deltas that their callers supplied may stand together. Of two that may not, one waits
//! for the next block. This only schedules: every changeset is judged by `apply` whatever it shares a block with.

use std::collections::{BTreeMap, BTreeSet};

use tensor_kernels::{KernelError, independent_set};

use crate::changeset::{Changeset, MAX_BLOCK_BYTES};
use crate::transaction::Transaction;
use crate::verdicts::Verdicts;

/// What a block may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) changesets: usize,
    pub(crate) transactions: usize,
}

/// Positions of the waiting changesets that share the next block, ascending. The first one, which has waited
/// longest, is always among them, so that none waits for ever.
pub(crate) fn choose(
    waiting: &[&Changeset],
    limits: BatchLimits,
    verdicts: &Verdicts,
) -> Result<Vec<usize>, KernelError> {
    let fitting = &waiting[..count_fitting(waiting, limits)];
    let mut clashes = key_clashes(fitting);
    clashes.extend(delta_clashes(fitting, verdicts)?);
    // A row in a clash with itself is never taken, which leaves the first row without a rival.
    let rivals_of_first: Vec<u32> = clashes.iter().filter(|pair| pair.0 == 0).map(|pair| pair.1).collect();
    clashes.extend(rivals_of_first.into_iter().map(|row| (row, row)));
    let (rows, clashes) = (fitting.len() as u32, Vec::from_iter(clashes)); // at most 1,000 rows
    Ok(independent_set(rows, &clashes).into_iter().map(|row| row as usize).collect())
}

/// How many of the waiting, from the first on, one block has room for; at least one.
fn count_fitting(waiting: &[&Changeset], limits: BatchLimits) -> usize {
    let (mut transactions, mut bytes) = (0, 0);
    let fits = |changeset: &&&Changeset| {
        transactions += changeset.transactions().len();
        bytes += changeset.encoded_len();
        transactions <= limits.transactions && bytes <= MAX_BLOCK_BYTES
    };
    let count = waiting.iter().take(limits.changesets).take_while(fits).count();
    count.max(waiting.len().min(1))
}

/// Pairs of rows (lower first) of which one wrote a key that the other read or wrote.
fn key_clashes(rows: &[&Changeset]) -> BTreeSet<(u32, u32)> {
    let mut writers = BTreeMap::<&str, BTreeSet<u32>>::new();
    for (row, changeset) in (0..).zip(rows) {
        for key in changeset.transactions().iter().map(Transaction::key) {
            writers.entry(key).or_default().insert(row);
        }
    }
    let mut clashes = BTreeSet::new();
    for (row, changeset) in (0..).zip(rows) {
        let reads = changeset.reads().iter().map(String::as_str);
        for key in changeset.transactions().iter().map(Transaction::key).chain(reads) {
            let others = writers.get(key).into_iter().flatten().filter(|&&other| other != row);
            clashes.extend(others.map(|&other| (row.min(other), row.max(other))));
        }
    }
    clashes
}

/// Pairs of rows (lower first) whose callers supplied deltas that may not both stand.
fn delta_clashes(rows: &[&Changeset], verdicts: &Verdicts) -> Result<Vec<(u32, u32)>, KernelError> {
    // Only what began at a height can be rejected for its delta.
    let explicit = |changeset: &&Changeset| changeset.begin_height().is_some();
    let supplied = (0..).zip(rows).filter(|(_, changeset)| explicit(changeset));
    let (rows, deltas): (Vec<u32>, Vec<_>) =
        supplied.filter_map(|(row, changeset)| Some((row, changeset.supplied_delta()?))).unzip();
    let clashes = verdicts.clashes_within(&deltas)?;
    Ok(clashes.into_iter().map(|(a, b)| (rows[a as usize], rows[b as usize])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Height;
    use proptest::prelude::*;
    use tensor_kernels::{DeltaVector, Kernels, SparseVec, Thresholds};

    const LIMITS: BatchLimits = BatchLimits { changesets: 1_000, transactions: 1_000 };

    fn changeset(begin: Option<u64>, reads: &[&str], writes: &[&str], delta: Option<&[f32]>) -> Changeset {
        let delete = |key: &&str| Transaction::Delete { key: (*key).to_owned() };
        let delta =
            delta.map(|dense| DeltaVector::from_sparse(&SparseVec::from_dense(dense).unwrap()).unwrap());
        let reads = reads.iter().map(|key| (*key).to_owned()).collect();
        Changeset::new(begin.map(Height), reads, writes.iter().map(delete).collect(), delta).unwrap()
    }

    fn chosen(waiting: &[Changeset], limits: BatchLimits) -> Vec<usize> {
        let verdicts = Verdicts::new(Kernels::scalar().unwrap(), Thresholds::default(), 2);
        choose(&waiting.iter().collect::<Vec<_>>(), limits, &verdicts).unwrap()
    }

    #[test]
    fn writers_and_readers_of_one_key_go_apart_and_readers_go_together() {
        let write = changeset(None, &[], &["k"], None);
        let read = changeset(Some(0), &["k"], &["a"], None);
        let also_read = changeset(Some(0), &["k"], &["b"], None);
        assert_eq!(chosen(&[write.clone(), write.clone()], LIMITS), [0]);
        assert_eq!(chosen(&[write.clone(), read.clone()], LIMITS), [0]);
        assert_eq!(chosen(&[read.clone(), write], LIMITS), [0]);
        assert_eq!(chosen(&[read, also_read], LIMITS), [0, 1]);
    }

    #[test]
    fn the_first_is_taken_even_where_more_could_go_without_it() {
        let both = changeset(None, &[], &["a", "b"], None);
        let (a, b) = (changeset(None, &[], &["a"], None), changeset(None, &[], &["b"], None));
        assert_eq!(chosen(&[both.clone(), a.clone(), b.clone()], LIMITS), [0]);
        assert_eq!(chosen(&[a, both, b], LIMITS), [0, 2]);
    }

    #[test]
    fn clashing_supplied_deltas_go_apart_and_auto_commits_are_not_asked() {
        let with = |begin, key: &str, delta: &[f32]| changeset(begin, &[], &[key], Some(delta));
        let rows = [
            with(Some(0), "a", &[1.0, 0.0]),
            with(Some(0), "b", &[2.0, 0.0]),
            with(Some(0), "c", &[0.0, 1.0]),
        ];
        assert_eq!(chosen(&rows, LIMITS), [0, 2]);
        let auto = [with(None, "a", &[1.0, 0.0]), with(None, "b", &[2.0, 0.0])];
        assert_eq!(chosen(&auto, LIMITS), [0, 1]);
    }

    #[test]
    fn what_is_chosen_fits_a_block() {
        let rows: Vec<_> = ["a", "b", "c", "d"].map(|key| changeset(None, &[], &[key], None)).to_vec();
        assert_eq!(chosen(&rows, BatchLimits { transactions: 3, ..LIMITS }), [0, 1, 2]);
        assert_eq!(chosen(&rows, BatchLimits { changesets: 2, ..LIMITS }), [0, 1]);
        assert_eq!(chosen(&[], LIMITS), [0; 0]);
        let big = |key: &str| {
            Changeset::single(Transaction::Put { key: key.to_owned(), data: vec![0; 400_000] }).unwrap()
        };
        assert_eq!(chosen(&[big("a"), big("b"), big("c")], LIMITS), [0, 1]);
    }

    proptest! {
        #[test]
        fn no_two_chosen_share_a_written_key(
            rows in proptest::collection::vec(("[a-e]{0,3}", "[a-e]{1,3}"), 1..12),
        ) {
            let split = |text: &str| text.split("").filter(|c| !c.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let rows: Vec<_> = rows.iter().map(|(reads, writes)| {
                let (reads, writes) = (split(reads), split(writes));
                let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
                changeset(Some(0), &reads.iter().map(String::as_str).collect::<Vec<_>>(), &writes, None)
            }).collect();
            let chosen = chosen(&rows, LIMITS);
            prop_assert_eq!(chosen.first(), Some(&0));
            for &a in &chosen {
                for &b in chosen.iter().filter(|&&b| b != a) {
                    let (writes, other) = (rows[a].writes(), &rows[b]);
                    prop_assert!(writes.is_disjoint(&other.writes()));
                    prop_assert!(other.reads().iter().all(|key| !writes.contains(key.as_str())));
                }
            }
        }
    }
}
