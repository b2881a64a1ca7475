//! The index of all pairs: the right rows in blocks, each with its inverted lists, its tile of dense
//! dimensions and its masks; and the left rows as what they look up there.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::columns::Columns;
use super::{CHUNK, WORD, direct};
use crate::aligned::AlignedBuf;
use crate::isa::Level;
use crate::simd::stream::prefetch;
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
    /// Entries of both sides; of one, where they are the same.
    pub(super) entries: usize,
    pub(super) variant: Variant,
    /// Mask words of a row.
    pub(super) words: usize,
    pub(super) blocks: Vec<Block>,
    pub(super) walks: Ragged<Walk>,
    pub(super) dense: Ragged<(u32, f32)>,
    /// Left rows' masks, row-major.
    pub(super) masks: Vec<u64>,
}

/// Entries of a list that are added without looking for its end: a cache line of [`Entry`]s.
pub(super) const GROUP: usize = 8;
/// Entries of a block whose lists are filled up to whole groups: eight times as many fit 32 bits.
const MOST_FILLED: usize = 1 << 29;

/// A row in a list, counted from the first of its block and at most their number, which `lists.rs` relies on.
#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) value: f32,
}

/// Consecutive right rows.
pub(super) struct Block {
    first: usize,
    rows: usize,
    /// Every list is filled up to a multiple of this, at its beginning, with entries of the row `rows`, which does not exist.
    group: usize,
    /// Where each list begins and, one further, ends.
    starts: Vec<u32>,
    /// Rows and values by list, where dot products are wanted.
    entries: AlignedBuf<Entry>,
    /// Rows by list, where only counts are.
    ids: AlignedBuf<u32>,
    /// Values of dense dimensions by chunk of rows: `[chunk][dimension][CHUNK]`.
    pub(super) tile: AlignedBuf<f32>,
    /// Masks by chunk of rows: `[chunk][word][CHUNK]`.
    pub(super) masks: Vec<u64>,
}

impl Block {
    /// Rows without lists, in a tile and masks that are still to be filled.
    pub(super) fn dense(rows: usize, dimensions: usize, words: usize) -> Self {
        Self {
            first: 0,
            rows,
            group: GROUP,
            starts: vec![0],
            entries: AlignedBuf::zeroed(0),
            ids: AlignedBuf::zeroed(0),
            tile: AlignedBuf::zeroed(stride(rows) * dimensions),
            masks: vec![0; stride(rows) * words],
        }
    }

    /// The first of the rows.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// How many there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What a left row meets in a list, where dot products are wanted, filled up to whole groups of [`GROUP`] with
    /// entries that no pair of the row needs. `own`: it is a row of the block itself and meets those after it.
    #[inline(always)]
    pub(super) fn entries(&self, walk: &Walk, own: bool) -> &[Entry] {
        &self.entries[self.filled(walk, own)]
    }

    /// The same, where only counts are wanted.
    #[inline(always)]
    pub(super) fn ids(&self, walk: &Walk, own: bool) -> &[u32] {
        &self.ids[self.filled(walk, own)]
    }

    /// Where the entries of a walk begin, to be fetched ahead of it.
    #[inline(always)]
    pub(super) fn start(&self, walk: &Walk, own: bool) -> usize {
        if own { walk.own_end as usize } else { self.starts[walk.list as usize] as usize }
    }

    #[inline(always)]
    fn filled(&self, walk: &Walk, own: bool) -> Range<usize> {
        let met = self.met(walk, own);
        met.end - met.len().next_multiple_of(self.group)..met.end
    }

    /// The places of what a left row meets in a list; a list may begin with padding.
    #[inline(always)]
    pub(super) fn met(&self, walk: &Walk, own: bool) -> Range<usize> {
        self.start(walk, own)..self.starts[walk.list as usize + 1] as usize
    }

    /// Asks memory for a place of the lists.
    #[inline(always)]
    pub(super) fn ask_for(&self, place: usize) {
        if let Some(entry) = self.entries.get(place) {
            prefetch(entry, 0);
        } else if let Some(id) = self.ids.get(place) {
            prefetch(id, 0);
        }
    }

    /// The row and the value at a place of a list; `None` where it is padding.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> Option<(u32, f32)> {
        let entry = self.entries.get(place).copied();
        let (id, value) = entry.map_or_else(|| (self.ids[place], 0.0), |entry| (entry.id, entry.value));
        ((id as usize) < self.rows).then_some((id, value))
    }

    /// Accumulators of a left row: one for each row and at least one for padding, in whole chunks.
    pub(super) fn stride(&self) -> usize {
        stride(self.rows)
    }
}

fn stride(rows: usize) -> usize {
    (rows + 1).next_multiple_of(CHUNK)
}

/// Rows of different lengths, end to end.
pub(super) struct Ragged<T> {
    pub(super) ends: Vec<usize>,
    pub(super) items: Vec<T>,
}

impl<T> Ragged<T> {
    fn row(&self, row: usize) -> &[T] {
        &self.items[self.ends[row]..self.ends[row + 1]]
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
        if right.is_none() && direct::suits(left) {
            return direct::index(wants, left);
        }
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
        let explanation = Survey::new(left, right).plan(level, wants).1;
        if right.is_none() && direct::suits(left) { explanation.directly() } else { explanation }
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

    fn entries(&self) -> usize {
        self.right.indices.len() + if self.triangle { 0 } else { self.left.indices.len() }
    }

    /// Whether a column can make any pair meet.
    fn meets(&self, column: usize) -> bool {
        self.right_counts[column] > u32::from(self.triangle) && self.left_counts[column] > 0
    }

    fn plan(&self, level: Level, wants: Wants) -> (Plan, Explanation) {
        let column = |number: usize| {
            let (left, right) = (self.left_counts[number], self.right_counts[number]);
            // Columns number at most u32::MAX.
            self.meets(number).then_some(Column { number: number as u32, left, right })
        };
        let columns = (0..self.right_counts.len()).filter_map(column).collect();
        let entries = self.entries();
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
            walks.ends.push(walks.items.len());
            dense.ends.push(dense.items.len());
        }
        Index {
            triangle: self.triangle,
            entries: self.entries(),
            variant: plan.variant,
            words,
            blocks,
            walks,
            dense,
            masks,
        }
    }

    fn block(&self, layout: &Layout, roles: &[Role], rows: Range<usize>, own_ends: &mut [u32]) -> Block {
        let entries = self.right.indptr[rows.start]..self.right.indptr[rows.end];
        let columns = &self.right_columns[entries.clone()];
        let role_of = |column: u32| roles[column as usize];
        let mut lens = vec![0u32; layout.lists];
        for &column in columns {
            if let Role::List(list) = role_of(column) {
                lens[list as usize] += 1;
            }
        }
        // Whole groups need no loop over what is left; places must fit 32 bits all the same.
        let group = if columns.len() < MOST_FILLED { GROUP } else { 1 };
        let (mut starts, mut next) = (Vec::with_capacity(layout.lists + 1), Vec::with_capacity(layout.lists));
        let mut end = 0;
        for &len in &lens {
            starts.push(end);
            #[expect(clippy::cast_possible_truncation, reason = "a group is small")]
            let filled = len.next_multiple_of(group as u32);
            next.push(end + filled - len);
            end += filled;
        }
        starts.push(end);
        let listed = end as usize;
        let stride = stride(rows.len());
        let tile_dense = if layout.wants.dots { layout.dense } else { 0 };
        let mut block = Block {
            first: rows.start,
            rows: rows.len(),
            group,
            starts,
            entries: AlignedBuf::zeroed(if layout.wants.dots { listed } else { 0 }),
            ids: AlignedBuf::zeroed(if layout.wants.dots { 0 } else { listed }),
            tile: AlignedBuf::zeroed(stride * tile_dense),
            masks: vec![0; stride * layout.words],
        };
        #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
        let nobody = rows.len() as u32;
        for (&start, &first) in block.starts.iter().zip(&next) {
            let padding = start as usize..first as usize;
            if layout.wants.dots {
                block.entries[padding].fill(Entry { id: nobody, value: 0.0 });
            } else {
                block.ids[padding].fill(nobody);
            }
        }
        // Rows ascend, so each list does. `next` ends as the end of each list.
        for row in rows.clone() {
            let local = row - rows.start;
            let (chunk, lane) = (local / CHUNK, local % CHUNK);
            #[expect(clippy::needless_range_loop, reason = "`at` numbers entries of several slices")]
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
                        if layout.wants.dots {
                            block.entries[place as usize] = Entry { id, value: self.right.units[at] };
                        } else {
                            block.ids[place as usize] = id;
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
