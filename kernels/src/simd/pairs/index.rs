//! The index of all pairs: the right rows in blocks, each with its inverted lists, its tile of dense
//! dimensions and its masks; and the left rows as what they look up there.

use super::columns::Columns;
use super::{CHUNK, WORD};
use crate::isa::Level;
use crate::simd::variant::{Column, Explanation, Plan, Shape, Variant, Wants, choose};

/// Rows of one side, with values scaled to length one where dot products are wanted.
pub(crate) struct Side<'a> {
    pub(crate) indptr: &'a [usize],
    pub(crate) indices: &'a [u32],
    pub(crate) units: Vec<f32>,
}

impl Side<'_> {
    fn rows(&self) -> usize {
        self.indptr.len() - 1
    }
}

/// What one entry of a left row looks up.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// The list's number.
    pub(super) list: u32,
    /// In a triangle: where the row itself ends in the list of its own block.
    pub(super) own_end: u32,
    pub(super) weight: f32,
}

/// Everything that all left rows share.
pub(crate) struct Index {
    pub(super) triangle: bool,
    pub(super) variant: Variant,
    /// Mask words of a row.
    pub(super) words: usize,
    pub(super) blocks: Vec<Block>,
    walks: Ragged<Walk>,
    dense: Ragged<(u32, f32)>,
    /// Left rows' masks, row-major.
    masks: Vec<u64>,
}

/// Consecutive right rows.
pub(super) struct Block {
    first: usize,
    rows: usize,
    /// Where each list begins and, one further, ends.
    starts: Vec<u32>,
    /// Rows by list, counted from the block's first: below `rows`, which `lists.rs` relies on.
    ids: Vec<u32>,
    /// Their values, where dot products are wanted.
    values: Vec<f32>,
    /// Values of dense dimensions by chunk of rows: `[chunk][dimension][CHUNK]`.
    pub(super) tile: Vec<f32>,
    /// Masks by chunk of rows: `[chunk][word][CHUNK]`.
    pub(super) masks: Vec<u64>,
}

impl Block {
    /// The first of the rows.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// How many there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows, below [`rows`](Self::rows), and values that a left row meets in a list. `own`: it is a row of the
    /// block itself and meets those after it.
    #[inline(always)]
    pub(super) fn list(&self, walk: &Walk, own: bool) -> (&[u32], &[f32]) {
        let (start, end) = (self.starts[walk.list as usize], self.starts[walk.list as usize + 1]);
        let met = (if own { walk.own_end } else { start }) as usize..end as usize;
        (&self.ids[met.clone()], self.values.get(met).unwrap_or_default())
    }

    /// Rows rounded up to whole chunks.
    pub(super) fn stride(&self) -> usize {
        self.rows.next_multiple_of(CHUNK)
    }
}

/// Rows of different lengths, end to end.
struct Ragged<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Ragged<T> {
    fn row(&self, row: usize) -> &[T] {
        &self.items[self.ends[row] as usize..self.ends[row + 1] as usize]
    }
}

/// What becomes of a dimension: nothing, a list or a dense place.
#[derive(Clone, Copy)]
enum Role {
    Unmet,
    List(u32),
    Dense(u32),
}

impl Index {
    pub(super) fn walks(&self, row: usize) -> &[Walk] {
        self.walks.row(row)
    }

    /// Place in the tile and weight of each dense dimension of a left row.
    pub(super) fn dense(&self, row: usize) -> &[(u32, f32)] {
        self.dense.row(row)
    }

    pub(super) fn mask(&self, row: usize) -> &[u64] {
        &self.masks[row * self.words..(row + 1) * self.words]
    }

    /// Indexes the pairs of `left` and `right`, or of `left` alone where `right` is `None`.
    ///
    /// Memory: proportional to the entries, and to rows × dense dimensions, of which there are only as
    /// many as pay for themselves.
    pub(crate) fn new(level: Level, wants: Wants, left: &Side<'_>, right: Option<&Side<'_>>) -> Self {
        let survey = Survey::new(left, right);
        let (plan, _) = survey.plan(level, wants);
        survey.index(wants, &plan)
    }

    /// What [`new`](Self::new) would do, and why.
    pub(crate) fn explain(
        level: Level,
        wants: Wants,
        left: &Side<'_>,
        right: Option<&Side<'_>>,
    ) -> Explanation {
        Survey::new(left, right).plan(level, wants).1
    }
}

/// The columns of both sides, counted.
struct Survey<'a> {
    left: &'a Side<'a>,
    right: &'a Side<'a>,
    triangle: bool,
    left_columns: std::borrow::Cow<'a, [u32]>,
    right_columns: std::borrow::Cow<'a, [u32]>,
    /// Rows of either side that use a column.
    left_counts: Vec<u32>,
    right_counts: Vec<u32>,
}

impl<'a> Survey<'a> {
    fn new(left: &'a Side<'a>, right: Option<&'a Side<'a>>) -> Self {
        let triangle = right.is_none();
        let right = right.unwrap_or(left);
        // Indices below u32::MAX; an empty batch has no greatest one.
        let columns = Columns::new(right.indices.iter().max().map_or(0, |max| max + 1), right.indices);
        let right_columns = columns.of(right.indices);
        let left_columns = if triangle { right_columns.clone() } else { columns.of(left.indices) };
        let count = |used: &[u32]| {
            let mut counts = vec![0u32; columns.count()];
            for &column in used {
                if let Some(count) = counts.get_mut(column as usize) {
                    *count += 1;
                }
            }
            counts
        };
        let right_counts = count(&right_columns);
        let left_counts = if triangle { right_counts.clone() } else { count(&left_columns) };
        Self { left, right, triangle, left_columns, right_columns, left_counts, right_counts }
    }

    /// Whether a column can make any pair meet.
    fn meets(&self, column: usize) -> bool {
        self.right_counts[column] > u32::from(self.triangle) && self.left_counts[column] > 0
    }

    fn plan(&self, level: Level, wants: Wants) -> (Plan, Explanation) {
        let column = |number: usize| {
            #[expect(clippy::cast_possible_truncation, reason = "columns number at most u32::MAX")]
            let (left, right) = (self.left_counts[number], self.right_counts[number]);
            self.meets(number).then_some(Column { number: number as u32, left, right })
        };
        let columns = (0..self.right_counts.len()).filter_map(column).collect();
        let entries = self.right.indices.len() + if self.triangle { 0 } else { self.left.indices.len() };
        let (left_rows, right_rows) = (self.left.rows(), self.right.rows());
        choose(level, wants, Shape { left_rows, right_rows, triangle: self.triangle, entries }, columns)
    }

    fn index(&self, wants: Wants, plan: &Plan) -> Index {
        let mut roles = vec![Role::Unmet; self.right_counts.len()];
        for (place, &column) in (0..).zip(&plan.dense) {
            roles[column as usize] = Role::Dense(place);
        }
        let mut lists = 0;
        for (column, role) in roles.iter_mut().enumerate() {
            if matches!(role, Role::Unmet) && self.meets(column) {
                *role = Role::List(lists);
                lists += 1;
            }
        }
        let words = if wants.counts { plan.dense.len().div_ceil(WORD) } else { 0 };
        let layout = Layout { wants, dense: plan.dense.len(), words, lists: lists as usize };

        let mut own_ends = vec![0; if self.triangle { self.right.indices.len() } else { 0 }];
        let starts = (0..self.right.rows()).step_by(plan.block.max(1));
        let blocks = starts
            .map(|first| {
                let rows = plan.block.min(self.right.rows() - first);
                self.block(&layout, &roles, first..first + rows, &mut own_ends)
            })
            .collect();

        let mut masks = vec![0; words * self.left.rows()];
        let entries = self.left.indices.len();
        let mut walks = Ragged { ends: vec![0], items: Vec::with_capacity(entries) };
        let mut dense = Ragged { ends: vec![0], items: Vec::new() };
        for row in 0..self.left.rows() {
            for at in self.left.indptr[row]..self.left.indptr[row + 1] {
                let weight = self.left.units.get(at).copied().unwrap_or(0.0);
                match roles.get(self.left_columns[at] as usize) {
                    None | Some(Role::Unmet) => {}
                    Some(&Role::List(list)) => {
                        let own_end = own_ends.get(at).copied().unwrap_or(0);
                        walks.items.push(Walk { list, own_end, weight });
                    }
                    Some(&Role::Dense(place)) => {
                        dense.items.push((place, weight));
                        if words > 0 {
                            masks[row * words + place as usize / WORD] |= 1 << (place as usize % WORD);
                        }
                    }
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX entries")]
            {
                walks.ends.push(walks.items.len() as u32);
                dense.ends.push(dense.items.len() as u32);
            }
        }
        Index { triangle: self.triangle, variant: plan.variant, words, blocks, walks, dense, masks }
    }

    fn block(
        &self,
        layout: &Layout,
        roles: &[Role],
        rows: std::ops::Range<usize>,
        own_ends: &mut [u32],
    ) -> Block {
        let entries = self.right.indptr[rows.start]..self.right.indptr[rows.end];
        let columns = &self.right_columns[entries.clone()];
        let role_of = |column: u32| roles[column as usize];
        let mut starts = vec![0u32; layout.lists + 1];
        for &column in columns {
            if let Role::List(list) = role_of(column) {
                starts[list as usize + 1] += 1;
            }
        }
        for list in 1..starts.len() {
            starts[list] += starts[list - 1];
        }
        let listed = starts[layout.lists] as usize;
        let stride = rows.len().next_multiple_of(CHUNK);
        let tile_dense = if layout.wants.dots { layout.dense } else { 0 };
        let mut block = Block {
            first: rows.start,
            rows: rows.len(),
            starts: Vec::new(),
            ids: vec![0; listed],
            values: vec![0.0; if layout.wants.dots { listed } else { 0 }],
            tile: vec![0.0; stride * tile_dense],
            masks: vec![0; stride * layout.words],
        };
        // Rows ascend, so each list does. `next` ends as the end of each list.
        let mut next = starts.clone();
        for row in rows.clone() {
            let local = row - rows.start;
            let (chunk, lane) = (local / CHUNK, local % CHUNK);
            for at in self.right.indptr[row]..self.right.indptr[row + 1] {
                match role_of(self.right_columns[at]) {
                    Role::Unmet => {}
                    Role::List(list) => {
                        let place = next[list as usize];
                        next[list as usize] += 1;
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "batches have at most u32::MAX rows"
                        )]
                        let id = local as u32;
                        block.ids[place as usize] = id;
                        if let Some(value) = block.values.get_mut(place as usize) {
                            *value = self.right.units[at];
                        }
                        if self.triangle {
                            own_ends[at] = place + 1;
                        }
                    }
                    Role::Dense(place) => {
                        let place = place as usize;
                        if layout.wants.dots {
                            block.tile[(chunk * layout.dense + place) * CHUNK + lane] = self.right.units[at];
                        }
                        if layout.wants.counts {
                            let word = (chunk * layout.words + place / WORD) * CHUNK + lane;
                            block.masks[word] |= 1 << (place % WORD);
                        }
                    }
                }
            }
        }
        block.starts = starts;
        block
    }
}

/// What a block holds.
struct Layout {
    wants: Wants,
    dense: usize,
    words: usize,
    lists: usize,
}
