//! Which rows a new centroid cannot be nearer to than what they have: the filter of seeding.

use pulp::{Simd, WithSimd};

use super::centroids::Limits;
use super::{ByteCentroids, BytePoints, SIDE};
use crate::isa::Level;
use crate::simd::tile::{self, Dots, Sink};

/// Lists a row of `points` and a centroid in `near` for all pairs but those whose distance is surely no less
/// than the row's in `squares`. Distances are squared and in the frame of the rows.
pub(crate) fn perhaps_nearer(
    level: Level,
    points: &BytePoints,
    centroids: &ByteCentroids,
    squares: &[f32],
    near: &mut Vec<(u32, u32)>,
) {
    let limits = level.dispatch(AllLimits { points, centroids, squares });
    let mut sink = Nearer { centroids, limits: &limits, near };
    let (blocks, panels) = (0..centroids.rows().blocks(), 0..limits.len());
    tile::products(level, centroids.rows(), blocks, points.panels(), panels, &mut sink);
}

/// The limits of each panel.
struct AllLimits<'a> {
    points: &'a BytePoints,
    centroids: &'a ByteCentroids,
    squares: &'a [f32],
}

impl WithSimd for AllLimits<'_> {
    type Output = Vec<Limits>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Limits> {
        let mut limits = Vec::with_capacity(self.squares.len().div_ceil(SIDE));
        for (panel, squares) in self.squares.chunks(SIDE).enumerate() {
            let mut padded = [0.0; SIDE];
            padded[..squares.len()].copy_from_slice(squares);
            let mut of_panel = self.centroids.farther_than(self.points.terms(panel), &padded);
            of_panel.limits[squares.len()..].fill(f32::INFINITY);
            limits.push(of_panel);
        }
        limits
    }
}

struct Nearer<'a> {
    centroids: &'a ByteCentroids,
    limits: &'a [Limits],
    near: &'a mut Vec<(u32, u32)>,
}

impl Sink for Nearer<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, panel: usize, dots: &Dots) {
        let (first, first_row) = (block * SIDE, (panel * SIDE) as u32);
        let offsets = &self.centroids.offsets(block)[..(self.centroids.len() - first).min(SIDE)];
        let Limits { scales, limits } = self.limits[panel];
        for ((id, &offset), dots) in (first as u32..).zip(offsets).zip(dots) {
            let mut reached = 0u32;
            for lane in 0..SIDE {
                let key = (dots[lane] as f32).mul_add(scales[lane], offset);
                // A limit that is no number says nothing is far.
                let far = key <= limits[lane];
                reached |= u32::from(!far) << lane;
            }
            while reached != 0 {
                self.near.push((first_row + reached.trailing_zeros(), id));
                reached &= reached - 1;
            }
        }
    }
}
