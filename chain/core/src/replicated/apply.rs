//! One entry of the replicated log, applied: a function of the state before it and the entry.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::entry::{LogPosition, ReplicatedBatch, SessionRequest};
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
use crate::rejection::Rejection;
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
    let (store, rules) = (ledger.store(), ledger.rules());
    let digests = batch.digests();
    let stamp = batch.stamp();
    if stamp.timestamp_ms < head.tip.timestamp_ms || !stamp.is_over(rules.params.chain_id, &digests) {
        store.write(vec![applied_op(position)])?;
        return Ok(vec![WriteOutcome::BadStamp; batch.writes().len()]);
    }
    let mut sessions = Sessions::new(store.index(), position.index);
    let Admitted { fresh, mut outcomes, repeats } = admit(ledger, batch, &mut sessions)?;

    let changesets = fresh.iter().filter_map(|&row| batch.writes().get(row));
    let changesets: Vec<Changeset> = changesets.map(|write| write.changeset.clone()).collect();
    let mut judged = apply::judge(rules, &head, store.index(), changesets)?;
    let verdicts = std::mem::take(&mut judged.verdicts);
    let mut ops = vec![applied_op(position)];
    let mut written = None;
    if !judged.accepted.is_empty() {
        let tree = std::mem::take(&mut head.tree);
        let applied = apply::link(rules, &head, store.index(), judged, stamp.clone(), tree)?;
        let Applied { mut block, ops: effects, tree } = applied;
        let stands: Vec<usize> =
            fresh.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(&row, _)| row).collect();
        let omitted = (0..).zip(&digests).filter(|(row, _)| stands.binary_search(row).is_err());
        // A batch has at most 1,000 writes.
        block.omitted = omitted.map(|(row, &digest)| Omitted { position: row as u32, digest }).collect();
        ops.extend(effects);
        let tip = Tip::of(&block);
        written = Some((CommitReceipt { height: tip.height, hash: tip.hash }, block, tip, tree));
    }
    let receipt = written.as_ref().map(|(receipt, ..)| *receipt);
    for (&row, verdict) in fresh.iter().zip(verdicts) {
        let outcome = outcome(verdict, receipt, position.index);
        if let (Some(request), Some(remembered)) = (session_of(batch, row), remembered(&outcome)) {
            sessions.remember(request, remembered);
        }
        if let Some(slot) = outcomes.get_mut(row) {
            *slot = Some(outcome);
        }
    }
    ops.extend(sessions.into_ops());
    match written {
        Some((_, block, tip, tree)) => {
            store.append_replicated(&block, tip, ops)?;
            ledger.advance(&mut head, &block, tip, tree);
        }
        None => store.write(ops)?,
    }
    for (row, first) in repeats {
        let answer = outcomes.get(first).cloned().flatten();
        if let Some(slot) = outcomes.get_mut(row) {
            *slot = answer;
        }
    }
    // Every row was admitted, answered from memory, or repeats one that was.
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(WriteOutcome::BadStamp)).collect())
}

/// What is to be judged, and what is answered without.
struct Admitted {
    /// Rows to be judged, ascending.
    fresh: Vec<usize>,
    /// By row; `None` where it is still to come.
    outcomes: Vec<Option<WriteOutcome>>,
    /// Rows that ask the same as an earlier row of this batch, with that row.
    repeats: Vec<(usize, usize)>,
}

fn admit(
    ledger: &Ledger,
    batch: &ReplicatedBatch,
    sessions: &mut Sessions<'_>,
) -> Result<Admitted, ChainError> {
    let (mut fresh, mut repeats) = (Vec::new(), Vec::new());
    let mut outcomes = vec![None; batch.writes().len()];
    let mut asked = BTreeMap::<SessionRequest, usize>::new();
    for ((row, write), outcome) in batch.writes().iter().enumerate().zip(&mut outcomes) {
        let Some(request) = write.session else {
            fresh.push(row);
            continue;
        };
        match asked.entry(request) {
            Slot::Occupied(first) => repeats.push((row, *first.get())),
            Slot::Vacant(slot) => match sessions.admit(request)? {
                Admission::Fresh => {
                    slot.insert(row);
                    fresh.push(row);
                }
                Admission::Known(remembered) => *outcome = Some(recall(ledger, remembered)?),
                Admission::Expired => *outcome = Some(WriteOutcome::SessionExpired),
                Admission::TooOld { oldest } => *outcome = Some(WriteOutcome::SequenceTooOld { oldest }),
            },
        }
    }
    Ok(Admitted { fresh, outcomes, repeats })
}

fn session_of(batch: &ReplicatedBatch, row: usize) -> Option<SessionRequest> {
    batch.writes().get(row)?.session
}

/// A write that stands is part of the block that was written.
fn outcome(verdict: Result<(), Rejection>, receipt: Option<CommitReceipt>, log_index: u64) -> WriteOutcome {
    match (verdict, receipt) {
        (Ok(()), Some(receipt)) => WriteOutcome::Committed { receipt, log_index },
        (Ok(()), None) => WriteOutcome::BadStamp,
        (Err(rejection), _) => WriteOutcome::Rejected(rejection),
    }
}

fn remembered(outcome: &WriteOutcome) -> Option<Remembered> {
    match outcome {
        WriteOutcome::Committed { receipt, log_index } => {
            Some(Remembered::Committed { height: receipt.height, log_index: *log_index })
        }
        WriteOutcome::Rejected(rejection) => Some(Remembered::Rejected(rejection.clone())),
        _ => None,
    }
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
