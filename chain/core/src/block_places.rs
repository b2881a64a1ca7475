//! Where blocks are in the log, by their heights.

use crate::ids::Height;
use crate::index::{IndexOp, Lookup, Space};
use crate::store::StoreError;

/// Notes where the block at a height starts.
pub(crate) fn put(height: Height, offset: u64) -> IndexOp {
    IndexOp::put(Space::Blocks, height.0.to_be_bytes().to_vec(), offset.to_le_bytes().to_vec())
}

/// Where the block at a height starts, if there is one.
pub(crate) fn get(index: &dyn Lookup, height: Height) -> Result<Option<u64>, StoreError> {
    let Some(offset) = index.get(Space::Blocks, &height.0.to_be_bytes())? else { return Ok(None) };
    let offset = <[u8; 8]>::try_from(offset).map_err(|_| StoreError::Misplaced { height })?;
    Ok(Some(u64::from_le_bytes(offset)))
}
