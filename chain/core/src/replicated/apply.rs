//! One entry of the replicated log, applied: a function of the state before it and the entry.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{LogPosition, ProposedWrite, ReplicatedBatch, SessionRequest};
use super::outcome::{Remembered, WriteOutcome};
use super::sessions::{Admission, Sessions};
use crate::apply::{self, Applied};
use crate::block::Omitted;
use crate::changeset::Changeset;
use crate::committer::CommitReceipt;
use crate::encoding::Encode;
use crate::error::ChainError;
use crate::head::Tip;
use crate::index::{IndexOp, Space};
use crate::ledger::Ledger;
use crate::store::StoreError;

/// The key of the record that says which entry was applied last.
pub(super) const APPLIED: &[u8] = b"applied";

/// The record that says which entry was applied last.
pub(super) fn applied_op(position: LogPosition) -> IndexOp {
    IndexOp::put(Space::Meta, APPLIED.to_vec(), position.to_bytes())
}

/// Judges the writes of a batch, writes the block of those that stand, and remembers what each client is answered.
/// Block, state, memory and position reach the index together.
pub(super) fn apply_batch(
    ledger: &Ledger,
    position: LogPosition,
    batch: &ReplicatedBatch,
) -> Result<Vec<WriteOutcome>, ChainError> {
    let mut head = ledger.lock_head();
    let _disk = ledger.writable_disk()?;
    let (store, rules, stamp) = (ledger.store(), ledger.rules(), batch.stamp());
    let digests = batch.digests();
    if stamp.timestamp_ms < head.tip.timestamp_ms || !stamp.is_over(rules.params.chain_id, &digests) {
        store.write(vec![applied_op(position)])?;
        return Ok(vec![WriteOutcome::BadStamp; batch.writes().len()]);
    }
    let mut sessions = Sessions::new(store.index(), position.index);
    let Admitted { fresh, mut outcomes, repeats } = admit(ledger, batch, &mut sessions)?;

    let changesets: Vec<Changeset> = fresh.iter().map(|(_, write)| write.changeset.clone()).collect();
    let mut judged = apply::judge(rules, &head, store.state()?, changesets)?;
    let verdicts = std::mem::take(&mut judged.verdicts);
    let stands: BTreeSet<usize> = fresh
        .iter()
        .zip(&verdicts)
        .filter_map(|((row, _), verdict)| verdict.is_ok().then_some(*row))
        .collect();
    let (mut ops, mut written) = (vec![applied_op(position)], None);
    if !judged.accepted.is_empty() {
        judged.omitted = (0..) // of at most 1,000 writes
            .zip(&digests)
            .filter(|(row, _)| !stands.contains(&(*row as usize)))
            .map(|(position, &digest)| Omitted { position, digest })
            .collect();
        let tree = std::mem::take(&mut head.tree);
        let applied = apply::link(rules, &head, store.index(), judged, stamp.clone(), tree)?;
        let Applied { block, bytes, ops: effects, tree } = applied;
        ops.extend(effects);
        let tip = Tip::of(&block);
        written = Some((block, bytes, tip, tree));
    }
    // Where nothing stands, no write is told of a block.
    let Tip { height, hash, .. } = written.as_ref().map_or(head.tip, |(_, _, tip, _)| *tip);
    for ((row, write), verdict) in fresh.into_iter().zip(verdicts) {
        let (outcome, remembered) = match verdict {
            Ok(()) => {
                let (receipt, log_index) = (CommitReceipt { height, hash }, position.index);
                let outcome = WriteOutcome::Committed { receipt, log_index };
                (outcome, Remembered::Committed { height, log_index })
            }
            Err(rejection) => (WriteOutcome::Rejected(rejection.clone()), Remembered::Rejected(rejection)),
        };
        if let Some(request) = write.session {
            sessions.remember(request, remembered);
        }
        outcomes.insert(row, outcome);
    }
    ops.extend(sessions.into_ops());
    match written {
        Some((block, bytes, tip, tree)) => {
            store.append_replicated(&bytes, tip, ops)?;
            ledger.advance(&mut head, &block, tip, tree);
        }
        None => store.write(ops)?,
    }
    for (row, first) in repeats {
        outcomes.extend(outcomes.get(&first).cloned().map(|outcome| (row, outcome)));
    }
    Ok(outcomes.into_values().collect())
}

/// What is to be judged, and what is answered without. Every row of the batch is in one of the three.
struct Admitted<'b> {
    /// Rows to be judged, ascending.
    fresh: Vec<(usize, &'b ProposedWrite)>,
    /// By row.
    outcomes: BTreeMap<usize, WriteOutcome>,
    /// Rows that ask the same as an earlier, fresh row, with that row.
    repeats: Vec<(usize, usize)>,
}

fn admit<'b>(
    ledger: &Ledger,
    batch: &'b ReplicatedBatch,
    sessions: &mut Sessions<'_>,
) -> Result<Admitted<'b>, ChainError> {
    let mut admitted = Admitted { fresh: Vec::new(), outcomes: BTreeMap::new(), repeats: Vec::new() };
    let mut asked = BTreeMap::<SessionRequest, usize>::new();
    for (row, write) in batch.writes().iter().enumerate() {
        let Some(request) = write.session else {
            admitted.fresh.push((row, write));
            continue;
        };
        if let Some(&first) = asked.get(&request) {
            admitted.repeats.push((row, first));
            continue;
        }
        let outcome = match sessions.admit(request)? {
            Admission::Fresh => {
                asked.insert(request, row);
                admitted.fresh.push((row, write));
                continue;
            }
            Admission::Known(remembered) => recall(ledger, remembered)?,
            Admission::Expired => WriteOutcome::SessionExpired,
            Admission::TooOld { oldest } => WriteOutcome::SequenceTooOld { oldest },
        };
        admitted.outcomes.insert(row, outcome);
    }
    Ok(admitted)
}

fn recall(ledger: &Ledger, remembered: Remembered) -> Result<WriteOutcome, ChainError> {
    Ok(match remembered {
        Remembered::Committed { height, log_index } => {
            let block = ledger.store().block(height)?.ok_or(StoreError::Misplaced { height })?;
            WriteOutcome::Committed { receipt: CommitReceipt { height, hash: block.hash() }, log_index }
        }
        Remembered::Rejected(rejection) => WriteOutcome::Rejected(rejection),
    })
}
