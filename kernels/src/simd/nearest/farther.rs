//! Which rows a new centroid cannot be nearer to than what they have: the filter of seeding.

use pulp::Simd;

use super::{ByteCentroids, BytePoints, SIDE};
use crate::isa::Level;
use crate::simd::tile::{self, Dots, Sink};

/// Calls `near` with a row of `points` and a centroid, for all pairs but those whose distance is surely no
/// less than the row's in `squares`. Distances are squared and in the frame of the rows.
pub(crate) fn perhaps_nearer(
    level: Level,
    points: &BytePoints,
    centroids: &ByteCentroids,
    squares: &[f32],
    near: &mut Vec<(u32, u32)>,
) {
    for (panel, squares) in squares.chunks(SIDE).enumerate() {
        let (scales, limits) = centroids.farther_than(points.terms(panel), squares);
        let mut sink = Nearer { centroids, first: (panel * SIDE) as u32, scales, limits, near };
        let blocks = 0..centroids.rows().blocks();
        tile::products(level, centroids.rows(), blocks, points.panels(), panel..panel + 1, &mut sink);
    }
}

struct Nearer<'a> {
    centroids: &'a ByteCentroids,
    first: u32,
    scales: [f32; SIDE],
    limits: [f32; SIDE],
    near: &'a mut Vec<(u32, u32)>,
}

impl Sink for Nearer<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, _: usize, dots: &Dots) {
        let first = block * SIDE;
        let offsets = &self.centroids.offsets(block)[..(self.centroids.len() - first).min(SIDE)];
        let (scales, limits) = (self.scales, self.limits);
        for ((id, &offset), dots) in (first as u32..).zip(offsets).zip(dots) {
            let mut reached = 0u32;
            for lane in 0..SIDE {
                let key = (dots[lane] as f32).mul_add(scales[lane], offset);
                // Nothing is said of a limit that is no number.
                reached |= u32::from(!(key <= limits[lane])) << lane;
            }
            while reached != 0 {
                self.near.push((self.first + reached.trailing_zeros(), id));
                reached &= reached - 1;
            }
        }
    }
}
