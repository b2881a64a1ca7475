//! Which supplied deltas of a batch clash, with each other and with those committed lately: asked for the
//! whole batch at once, one kernel call each.

use std::collections::BTreeMap;

use tensor_kernels::{DeltaVector, KernelError};

use crate::changeset::Changeset;
use crate::head::{Head, Rules};
use crate::ids::Height;
use crate::rejection::{ConflictCause, Rejection};
use crate::verdicts::similarity;

/// For each row of a batch that may be rejected, what it clashes with.
#[derive(Debug, Default)]
pub(crate) struct Clashes<'b> {
    /// The first committed delta that a row clashes with.
    committed: BTreeMap<usize, Rejection>,
    /// Rows before it that a row clashes with. They count only where they stand.
    earlier: BTreeMap<usize, Vec<Earlier<'b>>>,
}

/// A row that a later one clashes with, and the deltas of both.
#[derive(Debug)]
struct Earlier<'b> {
    row: usize,
    deltas: [&'b DeltaVector; 2],
}

/// A row with a delta of its caller's. Without a begin height it is never rejected.
struct Supplied<'b> {
    row: usize,
    begin: Option<Height>,
    delta: &'b DeltaVector,
}

impl<'b> Clashes<'b> {
    /// Compares the deltas of the chain's dimension; rows with others are rejected for that.
    pub(crate) fn find(rules: &Rules, head: &Head, batch: &'b [Changeset]) -> Result<Self, KernelError> {
        let supplied: Vec<Supplied<'b>> = batch.iter().enumerate().filter_map(of_row(rules)).collect();
        Ok(Self {
            committed: with_committed(rules, head, &supplied)?,
            earlier: with_earlier(rules, &supplied)?,
        })
    }

    /// Rejects a row that clashes with a committed delta or with a row of its own block that stands.
    pub(crate) fn check(&self, row: usize, stands: &[bool], block: Height) -> Result<(), Rejection> {
        if let Some(rejection) = self.committed.get(&row) {
            return Err(rejection.clone());
        }
        let earlier = self.earlier.get(&row).map_or(&[][..], Vec::as_slice);
        match earlier.iter().find(|earlier| stands[earlier.row]) {
            Some(Earlier { deltas: [delta, other], .. }) => Err(conflict(delta, other, block)),
            None => Ok(()),
        }
    }
}

fn of_row<'b>(rules: &Rules) -> impl Fn((usize, &'b Changeset)) -> Option<Supplied<'b>> {
    let dim = rules.params.embedding_dim.get();
    move |(row, changeset)| {
        let delta = changeset.supplied_delta().filter(|delta| delta.dim() == dim)?;
        Some(Supplied { row, begin: changeset.begin_height(), delta })
    }
}

fn with_earlier<'b>(
    rules: &Rules,
    supplied: &[Supplied<'b>],
) -> Result<BTreeMap<usize, Vec<Earlier<'b>>>, KernelError> {
    let deltas: Vec<_> = supplied.iter().map(|supplied| supplied.delta).collect();
    let mut clashes = BTreeMap::<_, Vec<_>>::new();
    for (earlier, later) in rules.verdicts.clashes_within(&deltas)? {
        let (earlier, later) = (&supplied[earlier as usize], &supplied[later as usize]);
        if later.begin.is_some() {
            let deltas = [later.delta, earlier.delta];
            clashes.entry(later.row).or_default().push(Earlier { row: earlier.row, deltas });
        }
    }
    Ok(clashes)
}

fn with_committed(
    rules: &Rules,
    head: &Head,
    supplied: &[Supplied<'_>],
) -> Result<BTreeMap<usize, Rejection>, KernelError> {
    // Nothing is committed since a transaction that began at the tip.
    let behind = |supplied: &&Supplied<'_>| supplied.begin.is_some_and(|begin| begin < head.tip.height);
    let rows: Vec<_> = supplied.iter().filter(behind).collect();
    let Some(oldest) = rows.iter().filter_map(|row| row.begin).min() else {
        return Ok(BTreeMap::new());
    };
    let (heights, committed): (Vec<_>, Vec<_>) = head.recent.since(oldest).unzip();
    let deltas: Vec<_> = rows.iter().map(|row| row.delta).collect();
    let mut clashes = BTreeMap::new();
    for (left, right) in rules.verdicts.clashes_across(&deltas, &committed)? {
        let (row, with, other) = (rows[left as usize], heights[right as usize], committed[right as usize]);
        if row.begin.is_some_and(|begin| begin < with) {
            clashes.entry(row.row).or_insert_with(|| conflict(row.delta, other, with));
        }
    }
    Ok(clashes)
}

fn conflict(delta: &DeltaVector, other: &DeltaVector, with: Height) -> Rejection {
    Rejection::Conflict { cause: ConflictCause::Delta { similarity: similarity(delta, other) }, with }
}
