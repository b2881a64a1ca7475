//! The list of operations as data: one place that says what each computes and how closely its
//! backends agree. Tests, reports and the `caps` command read it.

use crate::BackendKind;

/// How closely the results of different backends, levels and thread counts agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Identical output, byte for byte.
    Exact,
    /// Scores within the stated bound of the real ones.
    Bounded(&'static str),
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Name; its files in `scalar/` and `simd/` (or its one file, where all backends share a function), its agreement test
    /// and its cases in `tensor-bench kernels` are called so.
    pub name: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// Shapes of input and output.
    pub shapes: &'static str,
    /// Arithmetic cost.
    pub cost: &'static str,
    /// How closely backends agree.
    pub agreement: Agreement,
    /// Which backends have it.
    pub backends: &'static [BackendKind],
}

const BOTH: &[BackendKind] = &[BackendKind::Scalar, BackendKind::Simd];
/// On a GPU classes and k-means only of integer codes, pairs of sparse rows only by Jaccard index; see
/// [`Fallback`](crate::Fallback).
const ALL: &[BackendKind] = &[BackendKind::Scalar, BackendKind::Simd, BackendKind::Gpu];

/// Every operation.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "sparse_pair",
        formula: "dot, cosine, Jaccard, weighted Jaccard, overlap, angle, Euclidean, Manhattan of two sparse rows",
        shapes: "rows × dim sparse f32, p pairs → p scores",
        cost: "O(nnz) a pair",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "all_pairs",
        formula: "the pairs of sparse rows whose cosine or Jaccard index is at a threshold or above",
        shapes: "rows × dim sparse f32, a threshold → pairs and scores",
        cost: "one multiply-add per pair and shared position, or less",
        agreement: Agreement::Exact,
        backends: ALL,
    },
    Operation {
        name: "all_pairs_scores",
        formula: "cosine or Jaccard index of every pair of sparse rows",
        shapes: "rows × dim sparse f32 → one f32 a pair",
        cost: "one multiply-add per pair and shared position, or less",
        agreement: Agreement::Bounded(
            "cosine of rows that share s positions: (s + 4)u / (1 − (s + 4)u), u = 2⁻²⁴; Jaccard: exact",
        ),
        backends: BOTH,
    },
    Operation {
        name: "prepared_pair",
        formula: "dot, cosine and Jaccard of two sparse vectors prepared with presence bits and ranks",
        shapes: "one pair → scores; 1 and rows → rows scores",
        cost: "O(dim / 64 + shared positions) a pair, O(nnz) where dim is large",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "conflict_matrix",
        formula: "class of every pair by nine rules over cosine, Jaccard, norms and keys",
        shapes: "rows × dim sparse f32 or deltas → pairs that are not orthogonal",
        cost: "one multiply-add per pair and shared position",
        agreement: Agreement::Exact,
        backends: ALL,
    },
    Operation {
        name: "cosine_classes",
        formula: "class of every pair by the cosine alone",
        shapes: "rows × dim dense f32, i8 or deltas → one byte a pair, or the pairs that are not orthogonal",
        cost: "O(rows² · dim / 2)",
        agreement: Agreement::Exact,
        backends: ALL,
    },
    Operation {
        name: "independent_set",
        formula: "greedy maximal independent set by (degree, row)",
        shapes: "rows and incompatible pairs → rows",
        cost: "O(rows log rows + pairs)",
        agreement: Agreement::Exact,
        // A walk over a graph: nothing for lanes to do, so every backend runs the same function.
        backends: &[BackendKind::Scalar],
    },
    Operation {
        name: "kmeans",
        formula: "greedy k-means++ and Lloyd, Euclidean or spherical, on f32 and on integer codes",
        shapes: "rows × dim dense → k × dim centroids, rows assignments",
        cost: "O(rows · k · dim) an iteration",
        agreement: Agreement::Exact,
        backends: ALL,
    },
    Operation {
        name: "kmeans_stream",
        formula: "c′ = (γw·c + α·Σx) / (γw + αn) over the n rows of a batch nearest to c: mini-batch means or decay",
        shapes: "rows × dim dense and k × dim → rows assignments, k × dim centroids",
        cost: "O(rows · k · dim)",
        agreement: Agreement::Exact,
        // Nearest entries are those of `quantize`; what is left is one sum, the same function for every backend.
        backends: &[BackendKind::Scalar],
    },
    Operation {
        name: "quantize",
        formula: "nearest codebook entry by the codebook's metric; residual v − c",
        shapes: "rows × dim and k × dim → rows entries",
        cost: "O(rows · k · dim)",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "delta",
        formula: "code = round_half_even(x / 2^e), e the smallest that fits",
        shapes: "rows × dim sparse f32 → the same positions as i16 codes",
        cost: "O(nnz)",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "int8",
        formula: "q = round(x / scale), symmetric or min–max, one scale a row",
        shapes: "rows × dim dense f32 ↔ i8",
        cost: "O(rows · dim)",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "half",
        formula: "f16 and bf16: the nearest value, half to even, and its exact f32",
        shapes: "rows × dim dense f32 ↔ 16 bits",
        cost: "O(rows · dim)",
        agreement: Agreement::Exact,
        backends: BOTH,
    },
    Operation {
        name: "search",
        formula: "k nearest rows, or all within a threshold, by dot, cosine or Euclidean distance",
        shapes: "queries × dim and rows × dim dense f32, f16, bf16 or i8 → neighbours",
        cost: "O(queries · rows · dim)",
        agreement: Agreement::Exact,
        backends: ALL,
    },
];
