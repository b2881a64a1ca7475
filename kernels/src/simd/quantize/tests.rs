//! Integer nearest entries against exact search over the same values as f32, on every level.

use proptest::prelude::*;

use super::{quantize, quantize_deltas};
use crate::isa::{Isa, Level};
use crate::scalar;
use crate::types::{
    Codebook, ConsensusCodebook, DeltaBatch, DeltaVector, DenseView, Metric, Neighbor, SearchOptions,
    SparseVec, Wanted,
};

const METRICS: [Metric; 3] = [Metric::Dot, Metric::Cosine, Metric::L2];

fn bits(found: &[Option<Neighbor>]) -> Vec<Option<(u32, u64)>> {
    found.iter().map(|found| found.map(|n| (n.row, n.score.to_bits()))).collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().into_iter().filter_map(Level::open)
}

/// Nearest entries of deltas, once all levels agree with the oracle.
fn agreed(book: &ConsensusCodebook, deltas: &DeltaBatch, metric: Metric) -> Vec<Option<Neighbor>> {
    let expected = scalar::quantize::quantize_deltas(book, deltas, metric);
    for level in levels() {
        let got = quantize_deltas(level, book, deltas, metric);
        assert_eq!(bits(&got), bits(&expected), "{metric} on {}", level.isa());
    }
    expected
}

/// The same by search over f32 values.
fn by_search(book: &ConsensusCodebook, deltas: &DeltaBatch, metric: Metric) -> Vec<Option<Neighbor>> {
    let scale = 2f32.powi(i32::from(book.exponent()));
    let entries: Vec<f32> = book.codes().iter().map(|&code| f32::from(code) * scale).collect();
    let dim = book.dim() as usize;
    let rows: Vec<f32> =
        (0..deltas.rows()).flat_map(|row| deltas.delta(row).unwrap().to_sparse().to_dense()).collect();
    let entries = DenseView::new(&entries, book.len(), dim).unwrap();
    let rows = DenseView::new(&rows, deltas.rows(), dim).unwrap();
    let found =
        scalar::search::search(entries.into(), rows.into(), &SearchOptions::new(metric, Wanted::Top(1)));
    found.into_iter().map(|found| found.first().copied()).collect()
}

fn delta(exponent: i32, codes: &[i16]) -> DeltaVector {
    let values: Vec<f32> = codes.iter().map(|&code| f32::from(code) * 2f32.powi(exponent)).collect();
    DeltaVector::from_sparse(&SparseVec::from_dense(&values).unwrap()).unwrap()
}

fn batch(deltas: &[DeltaVector], dim: u32) -> DeltaBatch {
    DeltaBatch::pack(dim, deltas).unwrap()
}

/// Few distinct entry codes, so that entries tie; zero entries too.
fn book(dim: u32) -> impl Strategy<Value = ConsensusCodebook> {
    let code = prop_oneof![3 => Just(0i8), 3 => -2i8..=2, 1 => -127i8..=127];
    let entry = (0u8..6, prop::collection::vec(code, dim as usize));
    let exponent = prop_oneof![-64i8..=16, -10i8..0, Just(-64i8), Just(16)];
    (prop::collection::vec(entry, 0..40), exponent).prop_map(move |(entries, exponent)| {
        let zeroed = |(kind, codes): (u8, Vec<i8>)| if kind == 0 { vec![0; codes.len()] } else { codes };
        ConsensusCodebook::new(dim, exponent, entries.into_iter().flat_map(zeroed).collect(), 0).unwrap()
    })
}

fn deltas(dim: u32) -> impl Strategy<Value = Vec<DeltaVector>> {
    let code =
        prop_oneof![3 => Just(0i16), 2 => -2i16..=2, 1 => -DeltaVector::MAX_CODE..=DeltaVector::MAX_CODE];
    let exponent = prop_oneof![-64i32..=16, -10i32..0];
    let one = (exponent, prop::collection::vec(code, dim as usize));
    prop::collection::vec(one.prop_map(|(exponent, codes)| delta(exponent, &codes)), 0..8)
}

proptest! {
    #[test]
    fn integers_choose_what_exact_search_chooses(
        (dim, book, deltas) in prop::sample::select(&[1u32, 2, 3, 33][..])
            .prop_flat_map(|dim| (Just(dim), book(dim), deltas(dim))),
    ) {
        let deltas = batch(&deltas, dim);
        for metric in METRICS {
            prop_assert_eq!(bits(&agreed(&book, &deltas, metric)), bits(&by_search(&book, &deltas, metric)));
        }
    }

    #[test]
    fn every_level_quantises_f32_rows_alike(
        (dim, entries, rows) in (1usize..40).prop_flat_map(|dim| {
            let row = move |most| prop::collection::vec(prop::collection::vec(-2i8..=2, dim), 0..most);
            (Just(dim), row(20), row(20))
        }),
        metric in prop::sample::select(&METRICS[..]),
    ) {
        let values = |rows: &[Vec<i8>]| rows.concat().iter().map(|&x| f32::from(x) / 3.0).collect::<Vec<f32>>();
        let book = Codebook::new(metric, entries.len(), dim, values(&entries)).unwrap();
        let data = values(&rows);
        let view = DenseView::new(&data, rows.len(), dim).unwrap();
        let expected = scalar::quantize::quantize(&book, view);
        prop_assert!(expected.iter().all(|found| found.is_some() != entries.is_empty()));
        for level in levels() {
            prop_assert_eq!(bits(&quantize(level, &book, view)), bits(&expected));
        }
    }
}

#[test]
fn the_greatest_operands_do_not_overflow() {
    let dim = 65_536u32;
    let (high, low) = (vec![127i8; dim as usize], vec![-127i8; dim as usize]);
    let mut nearly = high.clone();
    nearly[65_535] = 126;
    let codes = [low, nearly, high].concat();
    for (book_exponent, delta_exponent) in [(-64, 16), (16, -64), (16, 16), (-64, -64)] {
        let book = ConsensusCodebook::new(dim, book_exponent, codes.clone(), 0).unwrap();
        let greatest = delta(delta_exponent, &vec![DeltaVector::MAX_CODE; dim as usize]);
        let least = delta(delta_exponent, &vec![-DeltaVector::MAX_CODE; dim as usize]);
        let deltas = batch(&[greatest, least], dim);
        for metric in METRICS {
            let found = agreed(&book, &deltas, metric);
            assert_eq!(bits(&found), bits(&by_search(&book, &deltas, metric)), "{metric}");
            assert_eq!(
                found[0].unwrap().row,
                if (metric, book_exponent, delta_exponent) == (Metric::L2, 16, -64) { 1 } else { 2 }
            );
        }
    }
}

#[test]
fn ties_go_to_the_lowest_entry_and_an_empty_codebook_has_none() {
    // Entries 1 and 2 have the same direction; 3 is entry 1 again.
    let book = ConsensusCodebook::new(2, 0, vec![0, 0, 1, 1, 2, 2, 1, 1, -1, -1], 0).unwrap();
    let deltas = batch(&[delta(0, &[5, 5]), delta(0, &[0, 0]), delta(0, &[-7, -7])], 2);
    let ids = |metric| agreed(&book, &deltas, metric).iter().map(|n| n.unwrap().row).collect::<Vec<_>>();
    assert_eq!(ids(Metric::Cosine), [1, 0, 4]);
    assert_eq!(ids(Metric::L2), [2, 0, 4]);
    assert_eq!(ids(Metric::Dot), [2, 0, 4]);
    assert_eq!(agreed(&book, &deltas, Metric::Cosine)[1].unwrap().score, 0.0);
    assert_eq!(agreed(&ConsensusCodebook::empty(2), &deltas, Metric::L2), [None, None, None]);
    assert!(agreed(&book, &batch(&[], 2), Metric::L2).is_empty());
}
