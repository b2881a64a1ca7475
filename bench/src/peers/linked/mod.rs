//! Peers from the Cargo registry, linked into this program: faer, ndarray (over matrixmultiply), NumKong and sprs.
//!
//! Products come from the library; what has to follow (top-k, classes, argmin) is the plainest fast loop, run on a
//! block of products while it is in cache. Threads share the work by blocks, one library call each.

mod blocks;
mod numkong;
mod products;
mod sprs;

use super::clusters::NearestWork;
use super::contender::{Contender, Resident};
use super::int8::Int8Work;
use super::pairs::PairsWork;
use super::search::{K, SearchWork};
use super::sparse::SparseWork;
use super::sparse_pair::SparsePairWork;
use super::workload::Linked;
use products::{Product, faer_product, ndarray_product};

/// The libraries that multiply matrices of f32.
const PRODUCTS: [(&str, Product); 2] =
    [("faer 0.24 matmul", faer_product), ("matrixmultiply 0.3 through ndarray", ndarray_product)];

fn boxed<'a, T: 'a>(
    run: impl FnMut() -> T + 'a,
    answer: impl Fn(&T) -> Vec<f64> + 'a,
) -> Box<dyn Contender + 'a> {
    Box::new(Resident::new("-", run, answer))
}

/// Who answers `w1`, `w2` and `w2i`.
pub fn search(work: &SearchWork, threads: usize) -> Vec<Linked<'_>> {
    let rows = |found: &Vec<u32>| found.iter().map(|&row| f64::from(row)).collect();
    if let Some((corpus, queries)) = &work.codes {
        return numkong::search_codes(corpus, queries, work.corpus.dim(), threads)
            .map(|run| ("numkong linked 7.8, packed i8", boxed(run, rows)))
            .into_iter()
            .collect();
    }
    let (corpus, queries) = (&work.corpus, &work.queries);
    let mut peers: Vec<Linked<'_>> = Vec::new();
    for (name, product) in PRODUCTS {
        let run =
            move || blocks::nearest(corpus.values(), queries.values(), corpus.dim(), K, threads, product);
        peers.push((name, boxed(run, rows)));
    }
    if queries.rows() == 1 {
        let run = move || numkong::one_query(corpus.values(), queries.values(), threads);
        peers.push(("numkong linked 7.8, dot by dot", boxed(run, rows)));
    }
    peers
}

/// Who answers `w3`.
pub fn pairs(work: &PairsWork, threads: usize) -> Vec<Linked<'_>> {
    if work.codes.is_some() {
        return Vec::new();
    }
    let rows = &work.rows;
    let peer = |(name, product): (&'static str, Product)| -> Linked<'_> {
        let run = move || blocks::classes(rows.values(), rows.dim(), threads, product);
        (
            name,
            boxed(run, move |square: &Vec<u8>| {
                work.sampled(|row, at| f64::from(square[row * rows.rows() + at]))
            }),
        )
    };
    PRODUCTS.into_iter().map(peer).collect()
}

/// Who answers `w4a` and `w4b`.
pub fn sparse(work: &SparseWork, threads: usize) -> Vec<Linked<'_>> {
    let answer = |scores: &Vec<f32>| {
        let count = work.rows.rows();
        work.sampled_scores(|row| scores[row * count..][..count].iter().map(|&s| f64::from(s)).collect())
    };
    let pairs = move || numkong::all_pairs(&work.rows, work.score, threads);
    let mut peers: Vec<Linked<'_>> = vec![("numkong linked 7.8, pair by pair", boxed(pairs, answer))];
    if let Some(run) = sprs::cosine(work) {
        peers.push(("sprs 0.11", boxed(run, |product: &sprs::Product| sprs::answer(work, product))));
    }
    peers
}

/// Who answers `w6`.
pub fn nearest(work: &NearestWork, threads: usize) -> Vec<Linked<'_>> {
    let rows = &work.rows;
    let peer = |(name, product): (&'static str, Product)| -> Linked<'_> {
        let run = move || blocks::argmin(rows.values(), work.centroids(), rows.dim(), threads, product);
        (name, boxed(run, |ids: &Vec<u32>| ids.iter().map(|&id| f64::from(id)).collect()))
    };
    PRODUCTS.into_iter().map(peer).collect()
}

/// Who answers `w7`.
pub fn int8(work: &Int8Work, threads: usize) -> Vec<Linked<'_>> {
    numkong::int8(work, threads)
}

/// Who answers `w8`.
pub fn sparse_pair(work: &SparsePairWork) -> Vec<Linked<'_>> {
    let scores = |scores: &Vec<f64>| scores.clone();
    vec![
        ("numkong linked 7.8", boxed(|| numkong::pairs(&work.rows), scores)),
        ("sprs 0.11", boxed(sprs::pairs(&work.rows), scores)),
    ]
}
