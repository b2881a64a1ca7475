//! Nearest codebook entries: search for one neighbour, and its integer form.

use super::search::search;
use crate::exact::DeltaRow;
use crate::types::{
    Codebook, ConsensusCodebook, DeltaBatch, DenseView, Metric, Neighbor, SearchOptions, Wanted,
};

/// The nearest entry of each row by the codebook's metric, the lowest id among equals; `row` is the
/// entry's id. `None` where the codebook is empty.
pub(crate) fn quantize(book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
    let nearest = search(book.view().into(), rows.into(), &SearchOptions::new(book.metric(), Wanted::Top(1)));
    nearest.into_iter().map(|found| found.first().copied()).collect()
}

/// The nearest entry of each delta, the lowest id among equals. `None` where the codebook is empty.
/// Cost: one multiply-add per entry and non-zero component.
pub(crate) fn quantize_deltas(
    book: &ConsensusCodebook,
    deltas: &DeltaBatch,
    metric: Metric,
) -> Vec<Option<Neighbor>> {
    let nearest = |row| {
        let delta = DeltaRow::of(deltas, row);
        delta.nearest(book, metric, (0..book.len()).map(|id| (id, delta.dot(book.codes_of(id)))))
    };
    (0..deltas.rows()).map(nearest).collect()
}
