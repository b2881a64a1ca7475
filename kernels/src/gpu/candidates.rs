//! Pairs that may matter: the device's proposal, none of it used before all of it is checked.

use std::sync::Arc;

use rayon::prelude::*;
use tensor_shaders::conflict_matrix::{LIST, Row, SHADER};

use super::checksum::{Mix, draw_mix, of_rectangle, of_triangle};
use super::coded_rows::{CodedRows, Layout};
use super::device::Gpu;
use super::fault::Fault;
use super::memory::Lease;
use super::resident_rows::{ResidentRows, Strip};
use super::tiles::{self, Proposal, Tile};
use crate::Decimal;

/// Which pairs are asked for.
pub(super) struct Question<'a> {
    pub(super) left: CodedRows<'a>,
    /// The left rows again in a triangle, where only pairs i < j count.
    pub(super) right: CodedRows<'a>,
    pub(super) triangle: bool,
    /// Pairs of which |cos| is below this …
    pub(super) orthogonal: Decimal,
    /// … and whose index of shared positions is below this, if it matters, are left out.
    pub(super) structural: Option<Decimal>,
}

/// For each question the pairs that may be other than orthogonal, ascending: all that are, and few others. Pairs
/// with a zero row are left out. As long as it is not too much for one, all of it is one submission.
///
/// With a and b the norms of two rows of codes, a pair that is not orthogonal has |dot| ≥ t·a·b. The kernel leaves a
/// pair out only if |dot| · 2¹³ < ⌊t·a·2⁷⌋ · ⌊b·2⁶⌋ ≤ t·a·b · 2¹³, so it never leaves out one that is not. The index
/// of shared positions is compared exactly: shared / union < s ⟺ shared · (10⁴ + s) < s · (left + right), s in 10⁻⁴.
pub(super) fn candidates(gpu: &Gpu, questions: &[Question<'_>]) -> Result<Vec<Vec<(u32, u32)>>, Fault> {
    let runs = questions.iter().map(|question| Run::new(gpu, question)).collect::<Result<Vec<_>, _>>()?;
    let mut answers: Vec<_> = runs.iter().map(Answer::to).collect();
    let mut tiles: Vec<_> = (0..).zip(&runs).flat_map(|(number, run)| Tile::all(number, run)).collect();
    while !tiles.is_empty() {
        let portion = tiles.split_off(tiles.len() - tiles::at_once(gpu, &runs, &tiles));
        let proposals = tiles::ask(gpu, &runs, &portion)?;
        for (tile, proposal) in portion.into_iter().zip(proposals) {
            match proposal {
                Some(proposal) => answers[tile.question].add(&tile, proposal),
                None => tiles.extend(tile.halves()),
            }
        }
    }
    runs.iter().zip(answers).map(|(run, answer)| answer.checked(run)).collect()
}

/// What has been proposed to a question so far.
struct Answer {
    pairs: Vec<(u32, u32)>,
    checksums: Vec<[u32; 2]>,
}

impl Answer {
    fn to(run: &Run<'_>) -> Self {
        Self { pairs: Vec::new(), checksums: vec![[0; 2]; run.question.left.rows()] }
    }

    fn add(&mut self, tile: &Tile, (pairs, of_rows): Proposal) {
        self.pairs.extend(pairs);
        for (sums, &[a, b, _]) in self.checksums[tile.left.clone()].iter_mut().zip(&of_rows) {
            *sums = [sums[0].wrapping_add(a), sums[1].wrapping_add(b)];
        }
    }

    /// The pairs, once every row has met each of its columns in just one tile.
    fn checked(mut self, run: &Run<'_>) -> Result<Vec<(u32, u32)>, Fault> {
        if self.checksums != run.expected() {
            return Err(Fault::Mismatch("a row's checksum"));
        }
        self.pairs.par_sort_unstable();
        if self.pairs.is_sorted_by(|a, b| a < b) {
            Ok(self.pairs)
        } else {
            Err(Fault::Mismatch("a pair listed twice"))
        }
    }
}

/// A row as the kernel decides by it, weights left out.
pub(super) fn decisive(rows: CodedRows<'_>, row: usize, question: &Question<'_>) -> Row {
    let squared = rows.squared_norm(row);
    if squared == 0 {
        // A zero row is orthogonal to all: 0 < 2³²−1 times anything but 0, and 0 < 1.
        return Row { reach: u32::MAX, root: u32::MAX, positions: 1, weights: [0; 2] };
    }
    let t = u128::from(question.orthogonal.ten_thousandths().unsigned_abs());
    // The squared norm is below 2^43, so reach and root are below 2^29 and 2^28.
    #[expect(clippy::cast_possible_truncation, reason = "below 2^29 and 2^28")]
    let (reach, root) = (
        (((u128::from(squared) * t * t) << 14) / 100_000_000).isqrt() as u32,
        (squared << 12).isqrt() as u32,
    );
    // At most 10⁴ · 2¹³. Without a threshold no pair reaches 0 shared positions out of 2.
    #[expect(clippy::cast_possible_truncation, reason = "at most 2¹³ positions")]
    let positions =
        question.structural.map_or(1, |s| s.ten_thousandths().unsigned_abs() * rows.positions(row) as u32);
    Row { reach, root, positions, weights: [0; 2] }
}

/// What the kernel multiplies shared positions by.
pub(super) fn structural_factor(question: &Question<'_>) -> u32 {
    10_000 + question.structural.map_or(0, |s| s.ten_thousandths().unsigned_abs())
}

/// What is on the device for one question.
pub(super) struct Run<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) question: &'a Question<'a>,
    pub(super) mix: Mix,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) left: Side,
    /// `None` in a triangle.
    right: Option<Side>,
}

/// Rows, and what decides by them, strip by strip.
pub(super) struct Side {
    pub(super) rows: Arc<ResidentRows>,
    pub(super) tables: Vec<Lease>,
}

impl<'a> Run<'a> {
    fn new(gpu: &'a Gpu, question: &'a Question<'a>) -> Result<Self, Fault> {
        let mut mix = draw_mix();
        if question.structural.is_none() {
            mix[2] = 0;
        }
        let right = (!question.triangle).then(|| Side::new(gpu, question.right, question)).transpose()?;
        let pipeline = gpu.pipelines().get(gpu, &SHADER, LIST)?;
        Ok(Self { gpu, question, mix, pipeline, left: Side::new(gpu, question.left, question)?, right })
    }

    pub(super) fn right(&self) -> &Side {
        self.right.as_ref().unwrap_or(&self.left)
    }

    /// How rows lie, as far as this question reads them.
    pub(super) fn layout(&self) -> Layout {
        let layout = Layout::of(self.question.left);
        Layout {
            bit_chunks: if self.question.structural.is_some() { layout.bit_chunks } else { 0 },
            ..layout
        }
    }

    /// The checksums of all left rows.
    fn expected(&self) -> Vec<[u32; 2]> {
        let Question { left, right, triangle, .. } = *self.question;
        if triangle {
            of_triangle(left, &self.left.rows.columns, self.mix)
        } else {
            of_rectangle(left, self.right().rows.sums(right), self.mix)
        }
    }
}

impl Side {
    fn new(gpu: &Gpu, rows: CodedRows<'_>, question: &Question<'_>) -> Result<Self, Fault> {
        let resident = ResidentRows::of(gpu, rows)?;
        let table = |strip: &Strip| {
            let row = |row: usize| Row { weights: resident.columns[row], ..decisive(rows, row, question) };
            let table: Vec<_> = strip.rows.clone().map(row).collect();
            gpu.memory().upload(gpu, bytemuck::cast_slice(&table), wgpu::BufferUsages::STORAGE)
        };
        let tables = resident.strips.iter().map(table).collect::<Result<_, _>>()?;
        Ok(Self { rows: resident, tables })
    }
}
