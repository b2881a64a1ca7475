//! Inverted lists: for each dimension that a left row uses, the right rows that use it too.
//!
//! Adding to an accumulator that a list names is one load, one operation and one store, which is what a core can
//! do in a cycle; gathers and scatters are no faster. A bounds check would cost as much again, so this
//! loop has none.

#![expect(unsafe_code, reason = "accumulators are reached without a bounds check in the hottest loop")]

use super::index::{Block, Walk};

/// Entries added without looking for the end of the list.
const UNROLLED: usize = 8;

/// Adds what the lists say of a left row to the accumulators of a block, one for each of its rows.
/// `own`: the left row lies in the block itself.
#[inline(always)]
pub(super) fn add<const DOTS: bool, const COUNTS: bool>(
    block: &Block,
    walks: &[Walk],
    own: bool,
    dots: &mut [f32],
    counts: &mut [u32],
) {
    assert!(!DOTS || dots.len() >= block.rows(), "an accumulator for each row");
    assert!(!COUNTS || counts.len() >= block.rows(), "a count for each row");
    let mut one = |id: u32, product: f32| {
        // SAFETY: a block's ids are below its number of rows, and the slices that are used were
        // checked above to be that long.
        unsafe {
            if DOTS {
                *dots.get_unchecked_mut(id as usize) += product;
            }
            if COUNTS {
                *counts.get_unchecked_mut(id as usize) += 1;
            }
        }
    };
    for walk in walks {
        let (ids, values) = block.list(walk, own);
        let (many, few) = ids.as_chunks::<UNROLLED>();
        if DOTS {
            let (many_values, few_values) = values.as_chunks::<UNROLLED>();
            for (ids, values) in many.iter().zip(many_values) {
                for lane in 0..UNROLLED {
                    one(ids[lane], walk.weight * values[lane]);
                }
            }
            for (&id, &value) in few.iter().zip(few_values) {
                one(id, walk.weight * value);
            }
        } else {
            for ids in many {
                for &id in ids {
                    one(id, 0.0);
                }
            }
            for &id in few {
                one(id, 0.0);
            }
        }
    }
}

/// The same, noting each partner when it is met first. Accumulators are zero before.
#[inline(always)]
pub(super) fn touch<const DOTS: bool>(
    block: &Block,
    walks: &[Walk],
    own: bool,
    (dots, counts): (&mut [f32], &mut [u32]),
    touched: &mut Vec<u32>,
) {
    for walk in walks {
        let (ids, values) = block.list(walk, own);
        for (at, &id) in ids.iter().enumerate() {
            let count = &mut counts[id as usize];
            if *count == 0 {
                touched.push(id);
            }
            *count += 1;
            if DOTS {
                dots[id as usize] += walk.weight * values[at];
            }
        }
    }
}
