//! One piece of work by name: what is computed on which input, whoever computes it.
//!
//! The nine rows of the comparison, `w1` to `w9`, have their shapes here and nowhere else, so that our
//! kernels and every peer are timed on the same thing under the same name.

use std::collections::BTreeMap;

use crate::record::Case;

/// What a case does, apart from who does it.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// `w1` … `w9`, or an operation's name.
    pub workload: String,
    /// Sizes and kind of the input.
    pub variant: String,
    /// What is counted, in the plural.
    pub unit: &'static str,
    /// Units in one run.
    pub units: f64,
    /// Arithmetic operations of one run by the plain method; a multiply-add counts two.
    pub ops: Option<f64>,
    /// Bytes that must move to or from memory in one run.
    pub bytes: Option<f64>,
    /// The numbers that plots are drawn over.
    pub params: BTreeMap<String, f64>,
}

impl Work {
    /// Work that counts `units` of something and has no known floor.
    #[must_use]
    pub fn new(workload: &str, variant: String, (units, unit): (f64, &'static str)) -> Self {
        let (workload, params) = (workload.to_owned(), BTreeMap::new());
        Self { workload, variant, unit, units, ops: None, bytes: None, params }
    }

    /// Notes a number that plots are drawn over.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.params.insert(name.to_owned(), value);
        self
    }

    /// The same on the user's data.
    #[must_use]
    pub fn of(mut self, data: &str) -> Self {
        self.variant = format!("{}, {data}", self.variant);
        self
    }

    /// A case of this work with no samples yet.
    #[must_use]
    pub fn case(&self, implementation: &str) -> Case {
        let mut case = Case::new(&self.workload, implementation, &self.variant);
        (case.ops, case.bytes, case.params) = (self.ops, self.bytes, self.params.clone());
        case
    }

    /// The exact ten nearest rows by inner product, of f32 rows: `w1` (one query) and `w2`.
    #[must_use]
    pub fn search(workload: &str, queries: usize, rows: usize, dim: usize) -> Self {
        let scored = queries as f64 * rows as f64;
        let variant = format!("{queries} x {rows} x {dim} f32, dot, top 10");
        let mut work = Self::new(workload, variant, (scored, "rows"))
            .with("queries", queries as f64)
            .with("n", rows as f64)
            .with("dim", dim as f64);
        work.ops = Some(2.0 * scored * dim as f64);
        // A corpus that is scanned once for all queries.
        work.bytes = Some(4.0 * rows as f64 * dim as f64);
        work
    }

    /// The same on signed bytes: `w2i`.
    #[must_use]
    pub fn search_codes(workload: &str, queries: usize, rows: usize, dim: usize) -> Self {
        let f32s = Self::search(workload, queries, rows, dim);
        let variant = format!("{queries} x {rows} x {dim} int8 codes, dot, top 10");
        Self { variant, bytes: f32s.bytes.map(|bytes| bytes / 4.0), ..f32s }
    }

    /// The conflict class of every pair of dense rows by cosine: `w3`. `input` is `f32` or `int8 codes`.
    #[must_use]
    pub fn dense_pairs(workload: &str, rows: usize, dim: usize, input: &str) -> Self {
        let pairs = pairs(rows);
        let variant = format!("all pairs of {rows} x {dim} {input}, conflict classes");
        let work = Self::new(workload, variant, (pairs, "pairs")).with("n", rows as f64);
        Self { ops: Some(2.0 * pairs * dim as f64), ..work.with("dim", dim as f64) }
    }

    /// One measure of every pair of sparse rows: `w4a`, `w4b` and `w4c`. `what` is `cosine`, `jaccard` or
    /// `classes`; `rows` describes the input.
    #[must_use]
    pub fn sparse_pairs(workload: &str, what: &str, rows: usize, dim: u32, density: f64, kind: &str) -> Self {
        let variant = format!("all pairs of {rows} sparse rows, dim {dim}, {kind}, {what}");
        Self::new(workload, variant, (pairs(rows), "pairs"))
            .with("n", rows as f64)
            .with("dim", f64::from(dim))
            .with("density", density)
    }

    /// k-means++ and at most `rounds` rounds of Lloyd: `w5`.
    #[must_use]
    pub fn kmeans(workload: &str, rows: usize, dim: usize, k: usize, rounds: usize) -> Self {
        let variant = format!("k-means++ and {rounds} rounds, {rows} x {dim}, k = {k}");
        Self::new(workload, variant, (rows as f64, "rows"))
            .with("n", rows as f64)
            .with("dim", dim as f64)
            .with("k", k as f64)
    }

    /// The nearest of `k` centroids of every row: `w6`.
    #[must_use]
    pub fn nearest(workload: &str, rows: usize, dim: usize, k: usize) -> Self {
        let variant = format!("nearest of {k} centroids, {rows} x {dim}");
        let work = Self::new(workload, variant, (rows as f64, "rows")).with("n", rows as f64);
        let ops = Some(2.0 * rows as f64 * dim as f64 * k as f64);
        Self { ops, ..work.with("dim", dim as f64).with("k", k as f64) }
    }

    /// Rows to signed bytes or back: `w7`. `what` is `quantize` or `dequantize`.
    #[must_use]
    pub fn int8(workload: &str, what: &str, rows: usize, dim: usize) -> Self {
        let values = rows as f64 * dim as f64;
        let variant = format!("{what}, {rows} x {dim}");
        let unit = if what == "quantize" { CODES } else { "values" };
        let work = Self::new(workload, variant, (values, unit)).with("n", rows as f64);
        // Four bytes on one side, one on the other.
        Self { bytes: Some(5.0 * values), ..work.with("dim", dim as f64) }
    }

    /// Cosine and Jaccard of one pair of sparse vectors after another, both prepared: `w8`.
    #[must_use]
    pub fn sparse_pair(workload: &str, pairs: usize, dim: u32, density: f64) -> Self {
        let variant = format!("cosine and Jaccard of a prepared pair, dim {dim}, {} %", density * 100.0);
        Self::new(workload, variant, (pairs as f64, "pairs"))
            .with("dim", f64::from(dim))
            .with("density", density)
    }
}

/// The unit of what comes out as integers.
pub const CODES: &str = "codes";

/// Pairs i < j of n rows.
#[must_use]
pub fn pairs(rows: usize) -> f64 {
    rows as f64 * (rows as f64 - 1.0) / 2.0
}
