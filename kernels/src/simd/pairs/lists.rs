//! Inverted lists: for each dimension that a left row uses, the right rows that use it too.
//!
//! Adding to an accumulator that a list names is one load, one operation and one store, which is what a core can
//! do in a cycle; gathers and scatters are no faster. A bounds check would cost as much again, so this
//! loop has none.

#![expect(unsafe_code, reason = "accumulators are reached without a bounds check in the hottest loop")]

use super::index::{Block, GROUP, Walk};

/// How many lists ahead the beginning of a list is fetched.
const AHEAD: usize = 4;

/// Adds what the lists say of a left row to the accumulators of a block, one for each of its rows.
/// `own`: the left row lies in the block itself; the accumulators up to its own then hold nothing of meaning.
#[inline(always)]
pub(super) fn add<const DOTS: bool, const COUNTS: bool>(
    block: &Block,
    walks: &[Walk],
    own: bool,
    dots: &mut [f32],
    counts: &mut [u32],
) {
    assert!(!DOTS || dots.len() > block.rows(), "an accumulator for each row, and one for padding");
    assert!(!COUNTS || counts.len() > block.rows(), "a count for each row, and one for padding");
    let mut one = |id: u32, product: f32| {
        // SAFETY: ids of a block are at most its number of rows, and the slices that are used were
        // checked above to be longer.
        unsafe {
            if DOTS {
                *dots.get_unchecked_mut(id as usize) += product;
            }
            if COUNTS {
                *counts.get_unchecked_mut(id as usize) += 1;
            }
        }
    };
    for (number, walk) in walks.iter().enumerate() {
        if let Some(later) = walks.get(number + AHEAD) {
            block.ask_for(block.start(later, own));
        }
        if DOTS {
            let (many, few) = block.entries(walk, own).as_chunks::<GROUP>();
            for entries in many {
                for entry in entries {
                    one(entry.id, walk.weight * entry.value);
                }
            }
            for entry in few {
                one(entry.id, walk.weight * entry.value);
            }
        } else {
            let (many, few) = block.ids(walk, own).as_chunks::<GROUP>();
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
    for (walk, place) in walks.iter().flat_map(|walk| block.met(walk, own).map(move |place| (walk, place))) {
        let Some((id, value)) = block.at(place) else { continue };
        let count = &mut counts[id as usize];
        if *count == 0 {
            touched.push(id);
        }
        *count += 1;
        if DOTS {
            dots[id as usize] += walk.weight * value;
        }
    }
}
