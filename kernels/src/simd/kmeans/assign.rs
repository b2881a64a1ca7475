//! The nearest centroid of each row: by bytes where they can tell, else exactly among those they leave. Rows
//! to which they leave many meet all centroids in f32, a lane a row.

use pulp::{Simd, WithSimd};

use super::float::{AssignPanel, TILE, tiles};
use crate::isa::Level;
use crate::kmeans::{BLOCK, DensePoints, nearest};
use crate::simd::nearest::{ByteCentroids, BytePoints, Candidates, Filter, Found, Frame};
use crate::simd::tile::{DIM_LIMIT, SIDE};

/// From this many candidates on a row is cheaper to meet all centroids in f32.
const MANY: u32 = 16;

/// The centroids of one round.
pub(super) struct Assign<'a> {
    level: Level,
    points: &'a DensePoints<'a>,
    centroids: &'a [f32],
    tiles: Vec<[f32; TILE]>,
    /// None where a dot product of bytes might not fit 32 bits.
    bytes: Option<ByteCentroids>,
}

impl<'a> Assign<'a> {
    pub(super) fn new(
        level: Level,
        points: &'a DensePoints<'a>,
        frame: &Frame,
        centroids: &'a [f32],
    ) -> Self {
        let rows = || centroids.chunks_exact(points.dim());
        Self {
            level,
            points,
            centroids,
            tiles: tiles(points, rows()),
            bytes: (points.dim() < DIM_LIMIT).then(|| ByteCentroids::round(frame, true, rows())),
        }
    }

    /// Assigns the rows of one task, which begin with row `first`.
    pub(super) fn rows(&self, first: usize, points: Option<&BytePoints>, out: &mut [u32]) {
        let mut hard = Vec::new();
        if let (Some(points), Some(bytes)) = (points, &self.bytes) {
            let mut filter = Filter::new(self.level, bytes);
            for (panel, out) in out.chunks_mut(SIDE).enumerate() {
                let found = filter.candidates(points, panel);
                let first = first + panel * SIDE;
                self.level.dispatch(Decide { assign: self, first, found, hard: &mut hard, out });
            }
        } else {
            hard.extend(first..first + out.len());
        }
        let mut panel = vec![[0.0; BLOCK]; self.points.dim()];
        for rows in hard.chunks(BLOCK) {
            let Self { points, centroids, ref tiles, .. } = *self;
            let ids = self.level.dispatch(AssignPanel { points, rows, panel: &mut panel, tiles, centroids });
            for (&row, id) in rows.iter().zip(ids) {
                out[row - first] = id;
            }
        }
    }
}

/// Decides the rows of one panel but for the `hard` ones.
struct Decide<'a> {
    assign: &'a Assign<'a>,
    first: usize,
    found: &'a Candidates,
    hard: &'a mut Vec<usize>,
    out: &'a mut [u32],
}

impl WithSimd for Decide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Assign { points, centroids, .. } = *self.assign;
        for (lane, out) in self.out.iter_mut().enumerate() {
            let row = self.first + lane;
            match self.found.of(lane) {
                Found::Decided(id) => *out = id,
                Found::OneOf(many) if many >= MANY => self.hard.push(row),
                Found::OneOf(_) => *out = nearest(points.row(row), centroids, self.found.ids(lane)),
            }
        }
    }
}
