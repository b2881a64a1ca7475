//! Tile products in plain loops, which the compiler turns into lanes of the level.

use super::{Block, Dots, SIDE};

#[inline(always)]
pub(super) fn times(left: Block<'_>, panel: &[u8], dots: &mut Dots) {
    let (quads, _) = panel.as_chunks::<{ 4 * SIDE }>();
    for row in 0..left.rows {
        let [words] = left.words::<1>(row, quads.len());
        let mut sums = [left.starts[row][0]; SIDE];
        for (q, quad) in quads.iter().enumerate() {
            let a: [i8; 4] = bytemuck::cast(words[q]);
            let a = a.map(i32::from);
            for (sum, b) in sums.iter_mut().zip(quad.as_chunks::<4>().0) {
                for (a, &b) in a.iter().zip(b) {
                    *sum = sum.wrapping_add(a * i32::from(b));
                }
            }
        }
        dots[row] = sums;
    }
}
