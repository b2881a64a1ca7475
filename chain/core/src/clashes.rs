//! Which supplied deltas of a batch clash, with each other and with those committed lately: one question to the
//! kernels for the whole batch.

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
        // Nothing is committed since a transaction that began at the tip.
        let is_behind = |row: &&Supplied<'_>| row.begin.is_some_and(|begin| begin < head.tip.height);
        let behind: Vec<_> = supplied.iter().filter(is_behind).collect();
        let oldest = behind.iter().filter_map(|row| row.begin).min();
        let portions: Vec<_> = oldest.into_iter().flat_map(|begin| head.recent.since(begin)).collect();

        let of_block: Vec<_> = supplied.iter().map(|row| row.delta).collect();
        let left: Vec<_> = behind.iter().map(|row| row.delta).collect();
        let dim = rules.params.embedding_dim.get();
        let right = portions.iter().map(|portion| portion.packed(dim)).collect::<Result<Vec<_>, _>>()?;
        let (within, across) = rules.verdicts.clashes(&of_block, &left, &right)?;

        let pair = |(earlier, later): (u32, u32)| (&supplied[earlier as usize], &supplied[later as usize]);
        let across = portions.iter().zip(across).flat_map(|(portion, clashes)| {
            let beside = |(row, with): (u32, u32)| (behind[row as usize], &portion.deltas[with as usize]);
            clashes.into_iter().map(beside).collect::<Vec<_>>()
        });
        Ok(Self { committed: with_committed(across), earlier: with_earlier(within.into_iter().map(pair)) })
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

fn with_earlier<'s, 'b: 's>(
    clashes: impl Iterator<Item = (&'s Supplied<'b>, &'s Supplied<'b>)>,
) -> BTreeMap<usize, Vec<Earlier<'b>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for (earlier, later) in clashes.filter(|(_, later)| later.begin.is_some()) {
        let deltas = [later.delta, earlier.delta];
        found.entry(later.row).or_default().push(Earlier { row: earlier.row, deltas });
    }
    found
}

fn with_committed<'s, 'b: 's>(
    clashes: impl Iterator<Item = (&'s Supplied<'b>, &'s (Height, DeltaVector))>,
) -> BTreeMap<usize, Rejection> {
    let mut found = BTreeMap::new();
    for (row, &(with, ref other)) in clashes {
        if row.begin.is_some_and(|begin| begin < with) {
            found.entry(row.row).or_insert_with(|| conflict(row.delta, other, with));
        }
    }
    found
}

fn conflict(delta: &DeltaVector, other: &DeltaVector, with: Height) -> Rejection {
    Rejection::Conflict { cause: ConflictCause::Delta { similarity: similarity(delta, other) }, with }
}
