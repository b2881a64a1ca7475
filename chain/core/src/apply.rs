//! From a batch of changesets to a block: a pure function of the state before.
//!
//! [`judge`] decides which changesets stand, in order and each by itself, and collects what they write.
//! [`link`] makes the block of those that stand. Neither reads a clock, draws a random number or asks
//! anything but the index it is given, so every node and every replay comes to the same bytes.

use tensor_kernels::{DeltaSum, DeltaVector, KernelError};

use crate::block::{BLOCK_VERSION, Block, BlockHeader, Omitted, Stamp, tx_root};
use crate::changeset::Changeset;
use crate::clashes::Clashes;
use crate::codes;
use crate::effects::Effects;
use crate::head::{Head, Rules};
use crate::history;
use crate::ids::Height;
use crate::index::{IndexError, IndexOp, Lookup};
use crate::recent::BEGIN_WINDOW;
use crate::rejection::{ConflictCause, Rejection};
use crate::state::State;
use crate::state_tree::{self, PageCache};
use crate::store::StoreError;
use crate::transaction::Transaction;

/// A batch after its judgement.
#[derive(Debug)]
pub(crate) struct Judged {
    /// One verdict for each changeset of the batch, in its order.
    pub(crate) verdicts: Vec<Result<(), Rejection>>,
    /// The changesets that stand.
    pub(crate) accepted: Vec<Changeset>,
    /// What their proposer signed besides: nothing, unless the caller says so.
    pub(crate) omitted: Vec<Omitted>,
    /// What they write.
    effects: Effects,
}

impl Judged {
    /// The first verdict against a changeset, with its position.
    pub(crate) fn first_rejection(&self) -> Option<(usize, &Rejection)> {
        self.verdicts
            .iter()
            .enumerate()
            .find_map(|(position, verdict)| Some((position, verdict.as_ref().err()?)))
    }
}

/// A block, its canonical bytes, what the index has to write for it, and what is then at hand of the state tree.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) block: Block,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ops: Vec<IndexOp>,
    pub(crate) tree: PageCache,
}

/// Judges every changeset of a batch against the state before it and against those before it that stand.
pub(crate) fn judge(
    rules: &Rules,
    head: &Head,
    state: State<'_>,
    batch: Vec<Changeset>,
) -> Result<Judged, ApplyError> {
    let height = head.tip.height.next().ok_or(ApplyError::HeightExhausted)?;
    let clashes = Clashes::find(rules, head, &batch)?;
    let mut stands = vec![false; batch.len()];
    let mut effects = Effects::new(height);
    let mut verdicts = Vec::with_capacity(batch.len());
    for (row, changeset) in batch.iter().enumerate() {
        let mut judge_one = || {
            check_shape(rules, head, changeset)?;
            check_keys(changeset, head.tip.height, &effects, state.index)?;
            clashes.check(row, &stands, height)?;
            effects.run(changeset, state)
        };
        verdicts.push(match judge_one() {
            Ok(()) => {
                stands[row] = true;
                Ok(())
            }
            Err(Refusal::Rejected(rejection)) => Err(rejection),
            Err(Refusal::Failed(error)) => return Err(error),
        });
    }
    let accepted =
        batch.into_iter().zip(stands).filter_map(|(changeset, stands)| stands.then_some(changeset));
    Ok(Judged { verdicts, accepted: accepted.collect(), omitted: Vec::new(), effects })
}

/// A begin height within the window below the tip, a delta of the chain's dimension, a codebook that follows
/// the one in force.
fn check_shape(rules: &Rules, head: &Head, changeset: &Changeset) -> Result<(), Rejection> {
    let tip = head.tip.height;
    match changeset.begin_height() {
        Some(begin) if begin > tip => return Err(Rejection::BeginAboveTip { begin, tip }),
        Some(begin) if tip.0 - begin.0 > BEGIN_WINDOW => return Err(Rejection::BeginTooOld { begin, tip }),
        _ => {}
    }
    let expected = rules.params.embedding_dim.get();
    match changeset.supplied_delta().map(DeltaVector::dim) {
        Some(got) if got != expected => return Err(Rejection::DeltaDimension { got, expected }),
        _ => {}
    }
    changeset
        .transactions()
        .iter()
        .try_for_each(|transaction| codes::check_codebook_write(transaction, rules, head))
}

/// First committer wins: no key that an explicit transaction read or wrote may have been written since it began.
fn check_keys(
    changeset: &Changeset,
    tip: Height,
    effects: &Effects,
    index: &dyn Lookup,
) -> Result<(), Refusal> {
    let Some(begin) = changeset.begin_height() else {
        return Ok(()); // an auto-commit is based on no earlier state
    };
    let reads = changeset.reads().iter().map(String::as_str);
    for key in changeset.transactions().iter().map(Transaction::key).chain(reads) {
        let last_write = if effects.touch(key) {
            Some(effects.height())
        } else if begin == tip {
            None // nothing can have been written since
        } else {
            history::last_write(index, key)?
        };
        if let Some(with) = last_write.filter(|&height| height > begin) {
            let cause = ConflictCause::Key { key: key.to_owned() };
            return Err(Rejection::Conflict { cause, with }.into());
        }
    }
    Ok(())
}

/// Makes the block of the changesets that stand, stamped by its proposer, on top of the head. `tree` is empty or of the
/// head's tree.
pub(crate) fn link(
    rules: &Rules,
    head: &Head,
    index: &dyn Lookup,
    Judged { accepted, omitted, effects, .. }: Judged,
    stamp: Stamp,
    mut tree: PageCache,
) -> Result<Applied, ApplyError> {
    let height = effects.height();
    let (state_root, mut ops) = state_tree::apply(&mut tree, index, effects.tree_changes())?;
    let deltas = accepted.iter().map(|changeset| rules.delta(changeset)).collect::<Result<Vec<_>, _>>()?;
    let delta = DeltaSum::of(rules.params.embedding_dim.get(), deltas.iter().map(AsRef::as_ref))?;
    let header = BlockHeader {
        version: BLOCK_VERSION,
        height,
        prev_hash: head.tip.hash,
        tx_root: tx_root(&accepted),
        tx_count: accepted.len() as u32, // at most 1,000
        state_root,
        quantized_codes: codes::quantize(rules, head, &delta)?,
        codebook_epoch: codes::epoch(head),
        delta,
        timestamp_ms: stamp.timestamp_ms,
        proposer: stamp.proposer,
        proposer_key: stamp.proposer_key,
        signature: stamp.signature,
    };
    let block = Block { header, changesets: accepted, omitted, signatures: Vec::new() };
    let (bytes, ends) = block.to_bytes_noting();
    ops.extend(effects.index_ops(&ends));
    Ok(Applied { block, bytes, ops, tree })
}

/// Why a changeset does not stand: a verdict against it, or a failure to come to one.
#[derive(Debug)]
pub(crate) enum Refusal {
    Rejected(Rejection),
    Failed(ApplyError),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<E: Into<ApplyError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A failure that says nothing about any changeset: the index or the kernels could not answer.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The index, or a record in it, could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernels refused their input.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The chain has as many blocks as can be counted.
    #[error("no height is left above the tip")]
    HeightExhausted,
}

impl From<IndexError> for ApplyError {
    fn from(error: IndexError) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::ChainParams;
    use crate::identity::Identity;
    use crate::ids::ChainId;
    use crate::index::{Index, MemoryIndex};
    use crate::log::MemoryLog;
    use tensor_kernels::{Kernels, SparseVec, Thresholds};

    /// The rules and the head of a new chain whose deltas have two components.
    fn new_chain() -> (Rules, Head) {
        let (chain_id, thresholds) = (ChainId::default(), Thresholds::default());
        let params = ChainParams { chain_id, embedding_dim: 2.try_into().unwrap(), thresholds };
        let genesis = params.genesis(Stamp::sign(&Identity::from_bytes(&[1; 32]), chain_id, 0, &[]));
        (Rules::new(params, Kernels::scalar().unwrap()), Head::genesis(&genesis))
    }

    fn changeset(transaction: Transaction, dense: [f32; 2]) -> Changeset {
        let delta = DeltaVector::from_sparse(&SparseVec::from_dense(&dense).unwrap()).unwrap();
        Changeset::new(Some(Height(0)), [].into(), vec![transaction], Some(delta)).unwrap()
    }

    fn delete(key: &str) -> Transaction {
        Transaction::Delete { key: key.to_owned() }
    }

    #[test]
    fn only_what_stands_counts_against_what_comes_after() {
        let ((rules, head), index, log) = (new_chain(), MemoryIndex::new(), MemoryLog::default());
        let fails = Transaction::Update { key: "absent".to_owned(), data: Vec::new() };
        let batch = vec![
            changeset(fails, [1.0, 0.0]),
            changeset(delete("a"), [2.0, 0.0]), // like the first, which does not stand
            changeset(delete("b"), [3.0, 0.0]), // like the second, which does
            changeset(delete("c"), [0.0, 1.0]),
        ];
        let judged = judge(&rules, &head, State { index: &index, blocks: &log }, batch.clone()).unwrap();
        assert!(matches!(judged.verdicts[0], Err(Rejection::KeyAbsent { .. })));
        assert_eq!(judged.verdicts[1], Ok(()));
        assert!(matches!(
            judged.verdicts[2],
            Err(Rejection::Conflict { cause: ConflictCause::Delta { .. }, with: Height(1) })
        ));
        assert_eq!(judged.verdicts[3], Ok(()));
        assert_eq!(judged.accepted, [batch[1].clone(), batch[3].clone()]);
    }

    #[test]
    fn the_same_batch_makes_the_same_block_and_nothing_is_written() {
        let ((rules, head), index, log) = (new_chain(), MemoryIndex::new(), MemoryLog::default());
        let stamp = || Stamp::sign(&Identity::from_bytes(&[1; 32]), ChainId::default(), 7, &[]);
        let block = || {
            let batch = vec![changeset(delete("a"), [1.0, 0.0]), changeset(delete("b"), [0.0, 1.0])];
            let judged = judge(&rules, &head, State { index: &index, blocks: &log }, batch).unwrap();
            link(&rules, &head, &index, judged, stamp(), PageCache::default()).unwrap().block
        };
        assert_eq!(block(), block());
        assert_eq!(index.len(crate::index::Space::State).unwrap(), 0);
    }
}
