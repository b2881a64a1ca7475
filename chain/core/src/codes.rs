//! The codebook in force, and the codes of a block's delta in it.
//!
//! A codebook enters the chain like any value: by a `Put` of its canonical bytes under its own key. From the
//! next block on, headers carry the entry nearest to the block's delta, found by the codebook's integer form.
//! Because the state holds the codebook, a replay knows which one was in force at every height.

use tensor_kernels::{ConsensusCodebook, DeltaBatch, DeltaSum, DeltaVector, KernelError, Kernels, Metric};

use crate::block::Block;
use crate::codebook::{CodebookError, GlobalCodebook};
use crate::encoding::{Decode, DecodeError};
use crate::head::{Head, Rules};
use crate::kernel_span::kernel_span;
use crate::rejection::{CodebookFault, Rejection};
use crate::state::{Entry, State};
use crate::store::StoreError;
use crate::transaction::Transaction;

/// The key under which the state holds the global codebook.
pub const CODEBOOK_KEY: &str = "_codebook:global";

/// The integer form of the codebook in force, and the metric by which it looks up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vocabulary {
    metric: Metric,
    book: ConsensusCodebook,
}

impl Vocabulary {
    /// # Errors
    /// A codebook without an integer form.
    pub(crate) fn of(codebook: &GlobalCodebook) -> Result<Self, CodebookError> {
        Ok(Self { metric: codebook.metric(), book: codebook.to_consensus()? })
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.book.epoch()
    }

    /// The code of a delta: its nearest entry. None in an empty codebook, and for a sum beyond the range of deltas.
    pub(crate) fn quantize(&self, kernels: &Kernels, delta: &DeltaSum) -> Result<Option<u16>, KernelError> {
        // Rounded twice, by operations that are the same on every machine.
        let Ok(delta) = delta.to_sparse().and_then(|sum| DeltaVector::from_sparse(&sum)) else {
            return Ok(None);
        };
        let batch = DeltaBatch::pack(delta.dim(), [&delta])?;
        let _span = kernel_span("quantize", batch.rows());
        let nearest = kernels.quantize_deltas(&self.book, &batch, self.metric)?.value;
        // A codebook has at most 65,536 entries.
        Ok(nearest.into_iter().flatten().next().map(|found| found.row as u16))
    }

    /// What a code misses of a delta, relative to the length of the delta; `None` for a zero delta or an unknown
    /// code. See `drift`.
    #[expect(clippy::cast_precision_loss, reason = "rounds once, the same on every machine")]
    pub(crate) fn error(&self, code: u16, delta: &DeltaSum) -> Option<f64> {
        let entry = self.book.entry(usize::from(code)).filter(|_| !delta.is_zero())?;
        let scale = |exponent: i8| libm::ldexp(1.0, i32::from(exponent));
        let mut x = vec![0.0; entry.len()];
        for (&index, &component) in delta.indices().iter().zip(delta.components()) {
            *x.get_mut(index as usize)? = component as f64 * scale(delta.exponent());
        }
        let c: Vec<f64> = entry.iter().map(|&code| f64::from(code) * scale(self.book.exponent())).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let s = match self.metric {
            Metric::Cosine => dot(&x, &c) / dot(&c, &c).max(f64::MIN_POSITIVE),
            Metric::Dot | Metric::L2 => 1.0,
        };
        let missed: Vec<f64> = x.iter().zip(&c).map(|(x, c)| x - s * c).collect();
        Some((dot(&missed, &missed) / dot(&x, &x)).sqrt())
    }
}

/// Epoch of the codebook in force; 0 without one.
pub(crate) fn epoch(head: &Head) -> u64 {
    head.codebook.as_deref().map_or(0, Vocabulary::epoch)
}

/// The code of a block's delta in the codebook in force, if there is one.
pub(crate) fn quantize(rules: &Rules, head: &Head, delta: &DeltaSum) -> Result<Vec<u16>, KernelError> {
    let kernels = rules.verdicts.kernels();
    let code = head.codebook.as_deref().map(|vocabulary| vocabulary.quantize(kernels, delta)).transpose()?;
    Ok(code.flatten().into_iter().collect())
}

/// A write to the codebook's key must put a codebook of the chain's dimension, of the next epoch.
pub(crate) fn check_codebook_write(
    transaction: &Transaction,
    rules: &Rules,
    head: &Head,
) -> Result<(), Rejection> {
    if transaction.key() != CODEBOOK_KEY {
        return Ok(());
    }
    let (dim, next) = (rules.params.embedding_dim.get() as usize, epoch(head).checked_add(1));
    let fault = match read(transaction) {
        None => CodebookFault::NotAPut,
        Some(Err(error)) => CodebookFault::Record(error),
        Some(Ok(book)) if book.dimension() != dim => {
            CodebookFault::Dimension { got: book.dimension(), expected: dim }
        }
        Some(Ok(book)) if Some(book.epoch()) != next => {
            CodebookFault::Epoch { got: book.epoch(), in_force: epoch(head) }
        }
        Some(Ok(book)) if book.metric() == Metric::Dot || Vocabulary::of(&book).is_err() => {
            CodebookFault::NotForConsensus
        }
        Some(Ok(_)) => return Ok(()),
    };
    Err(Rejection::Codebook(fault))
}

/// The codebook that a block puts in force.
pub(crate) fn last_codebook(block: &Block) -> Option<Vocabulary> {
    let writes = block.transactions().filter(|transaction| transaction.key() == CODEBOOK_KEY);
    Vocabulary::of(&read(writes.last()?)?.ok()?).ok()
}

/// The global codebook in the state.
pub(crate) fn stored_codebook(state: State<'_>) -> Result<Option<GlobalCodebook>, StoreError> {
    let decode = |entry: Entry| GlobalCodebook::from_bytes(&entry.value.bytes);
    let codebook = state.get(CODEBOOK_KEY)?.map(decode).transpose();
    codebook.map_err(|source| StoreError::State { key: CODEBOOK_KEY.to_owned(), source })
}

/// The codebook that an operation puts, if it puts anything.
pub(crate) fn read(transaction: &Transaction) -> Option<Result<GlobalCodebook, DecodeError>> {
    match transaction {
        Transaction::Put { data, .. } => Some(GlobalCodebook::from_bytes(data)),
        _ => None,
    }
}
