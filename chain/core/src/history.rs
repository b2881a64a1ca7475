//! The history index: for every key the operations that worked on it, in order.
//!
//! A row is the key, the height and the operation's position; it has no value, because the block holds
//! the operation. Rows of a key lie together, so what one key's history costs follows that key alone,
//! and its last write is one look-up whether or not the key still lives.

use std::ops::ControlFlow;

use crate::ids::Height;
use crate::index::{Index, IndexError, IndexOp, Lookup, Space};
use crate::state::Place;

/// Rows of one key share this prefix, and no other key's rows do: the length comes first.
fn prefix(key: &str) -> Vec<u8> {
    // Keys are at most 4,096 bytes.
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], key.as_bytes()].concat()
}

/// Bytes of a row after the prefix: height and position, big-endian, so that rows sort by place.
const PLACE_BYTES: usize = 12;

fn row(key: &str, place: Place) -> Vec<u8> {
    let (height, position) = (place.height.0.to_be_bytes(), place.position.to_be_bytes());
    [&prefix(key)[..], &height, &position].concat()
}

fn place_of(row: &[u8]) -> Option<Place> {
    let (height, position) = row.last_chunk::<PLACE_BYTES>()?.split_first_chunk()?;
    let position = u32::from_be_bytes(position.try_into().ok()?);
    Some(Place { height: Height(u64::from_be_bytes(*height)), position })
}

/// Notes an operation.
pub(crate) fn put(key: &str, place: Place) -> IndexOp {
    IndexOp::put(Space::History, row(key, place), Vec::new())
}

/// Where the key was last written at or below a height.
pub(crate) fn last_at(index: &dyn Lookup, key: &str, height: Height) -> Result<Option<Place>, IndexError> {
    let at_most = row(key, Place { height, position: u32::MAX });
    let found = index.last(Space::History, &prefix(key), Some(&at_most))?;
    Ok(found.and_then(|(row, _)| place_of(&row)))
}

/// The height of the last block that wrote the key.
pub(crate) fn last_write(index: &dyn Lookup, key: &str) -> Result<Option<Height>, IndexError> {
    Ok(last_at(index, key, Height(u64::MAX))?.map(|place| place.height))
}

/// All places that wrote the key, ascending.
pub(crate) fn of_key(index: &dyn Index, key: &str) -> Result<Vec<Place>, IndexError> {
    of_key_from(index, key, Height::GENESIS, usize::MAX)
}

/// The places that wrote the key at or above a height, ascending, and at most so many.
pub(crate) fn of_key_from(
    index: &dyn Index,
    key: &str,
    from: Height,
    limit: usize,
) -> Result<Vec<Place>, IndexError> {
    let first = row(key, Place { height: from, position: 0 });
    let mut places = Vec::new();
    index.scan(Space::History, &prefix(key), Some(&first), &mut |row, _| {
        if places.len() >= limit {
            return ControlFlow::Break(());
        }
        places.extend(place_of(row));
        ControlFlow::Continue(())
    })?;
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::MemoryIndex;

    #[test]
    fn rows_of_one_key_sort_by_place_and_keep_apart_from_other_keys() {
        let index = MemoryIndex::new();
        let place = |height, position| Place { height: Height(height), position };
        let mine = [place(1, 0), place(255, 7), place(256, 0), place(256, 2)];
        index.write(mine.iter().rev().map(|&place| put("key", place)).collect()).unwrap();
        // Keys of which one begins with the other, and with bytes like those of a place.
        let others = ["ke", "key\0", "key\0\0\0\0\0\0\0\u{1}\0\0\0\0", "keys"];
        index.write(others.map(|key| put(key, place(9, 9))).to_vec()).unwrap();

        assert_eq!(of_key(&index, "key").unwrap(), mine);
        assert_eq!(of_key_from(&index, "key", Height(255), 2).unwrap(), mine[1..3]);
        assert_eq!(of_key_from(&index, "key", Height(257), 2).unwrap(), []);
        assert_eq!(last_at(&index, "key", Height(255)).unwrap(), Some(place(255, 7)));
        assert_eq!(last_at(&index, "key", Height(0)).unwrap(), None);
        assert_eq!(last_write(&index, "key").unwrap(), Some(Height(256)));
        assert_eq!(last_write(&index, "k").unwrap(), None);
    }
}
