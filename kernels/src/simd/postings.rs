//! Inverted lists: for each dimension, the rows that use it, ascending, with their values.

use crate::exact::JudgedRows;

/// Rows of the right batch by dimension, walked by rows of the left batch.
pub(crate) struct Postings {
    /// Right rows and values, dimension after dimension.
    entries: Vec<(u32, f32)>,
    /// For each entry of the left batch: its value and the part of `entries` that it meets.
    walks: Vec<(f32, std::ops::Range<u32>)>,
    /// Row pointers of the left batch.
    left_indptr: Vec<usize>,
}

impl Postings {
    /// Builds the lists. In a triangle each left entry meets only the rows after its own.
    ///
    /// Memory is proportional to the entries of both batches, never to the dimension.
    pub(crate) fn new<B: JudgedRows>(left: &B, right: &B, triangle: bool) -> Self {
        let columns = Columns::new(right.dim(), right.indices());
        let mut ends = vec![0u32; columns.count() + 1];
        for &index in right.indices() {
            if let Some(column) = columns.of(index) {
                ends[column + 1] += 1;
            }
        }
        for column in 1..ends.len() {
            ends[column] += ends[column - 1];
        }
        let starts = ends.clone();
        let values = right.scaled_values();
        let mut entries = vec![(0, 0.0); right.indices().len()];
        // Rows ascend, so each list ascends by row. `next` ends as the end of each list.
        let mut next = starts.clone();
        let mut own = vec![0u32; if triangle { right.indices().len() } else { 0 }];
        for row in 0..right.rows() {
            for at in right.indptr()[row]..right.indptr()[row + 1] {
                if let Some(column) = columns.of(right.indices()[at]) {
                    #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
                    let entry = (row as u32, values[at]);
                    entries[next[column] as usize] = entry;
                    if triangle {
                        own[at] = next[column];
                    }
                    next[column] += 1;
                }
            }
        }
        let left_values = left.scaled_values();
        let walk = |at: usize, &index: &u32| {
            let met = columns.of(index).map_or(0..0, |column| {
                let start = if triangle { own[at] + 1 } else { starts[column] };
                start..next[column]
            });
            (left_values[at], met)
        };
        let walks = left.indices().iter().enumerate().map(|(at, index)| walk(at, index)).collect();
        Self { entries, walks, left_indptr: left.indptr().to_vec() }
    }

    fn walks(&self, i: usize) -> &[(f32, std::ops::Range<u32>)] {
        &self.walks[self.left_indptr[i]..self.left_indptr[i + 1]]
    }

    /// How many entries left row `i` meets in all its lists.
    pub(crate) fn meetings(&self, i: usize) -> usize {
        self.walks(i).iter().map(|(_, met)| met.len()).sum()
    }

    /// Calls `add(j, product)` for every right row `j` that left row `i` meets, in ascending dimension.
    #[inline(always)]
    pub(crate) fn accumulate(&self, i: usize, mut add: impl FnMut(u32, f64)) {
        for (value, met) in self.walks(i) {
            let value = f64::from(*value);
            for &(j, partner) in &self.entries[met.start as usize..met.end as usize] {
                add(j, value * f64::from(partner));
            }
        }
    }
}

/// Numbers the dimensions that occur: directly where the dimension is small beside the entries,
/// else by their rank, so that a dimension of four billion costs nothing.
enum Columns {
    Direct(usize),
    Ranked(Vec<u32>),
}

impl Columns {
    fn new(dim: u32, indices: &[u32]) -> Self {
        let dim = dim as usize;
        if dim <= 4 * indices.len() + 1_024 {
            return Self::Direct(dim);
        }
        let mut used = indices.to_vec();
        used.sort_unstable();
        used.dedup();
        Self::Ranked(used)
    }

    fn count(&self) -> usize {
        match self {
            Self::Direct(count) => *count,
            Self::Ranked(used) => used.len(),
        }
    }

    fn of(&self, index: u32) -> Option<usize> {
        match self {
            Self::Direct(_) => Some(index as usize),
            Self::Ranked(used) => used.binary_search(&index).ok(),
        }
    }
}
