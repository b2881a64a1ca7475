//! The bytes of a log file: a file header, then frames. Integers are little-endian.
//!
//! ```text
//! file    magic "TCBLOCKS" │ version u32 │ length u32 │ parameters │ crc32c of all before
//! frame   magic "TCFR" │ length u32 │ height u64 │ crc32c of payload │ crc32c of all before │ payload
//! ```
//!
//! A frame's header has a checksum of its own so that its length can be believed before the payload is read: a
//! frame cut short by a crash is then told from a damaged one without looking for frames inside its payload,
//! which callers fill with what they like.

use std::ops::Range;

use super::{MAX_PARAMS_BYTES, MAX_PAYLOAD_BYTES};
use crate::ids::Height;

/// Version of the file format.
pub(super) const VERSION: u32 = 1;
/// Bytes of the file header in front of the parameters.
pub(super) const FILE_PREFIX_BYTES: usize = 16;
/// Bytes of a frame in front of its payload.
pub(super) const FRAME_HEADER_BYTES: usize = 24;
/// Bytes of a checksum.
pub(super) const CRC_BYTES: usize = 4;
/// Starts a frame.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"TCFR";

const FILE_MAGIC: [u8; 8] = *b"TCBLOCKS";

/// The file header for a chain's parameters.
pub(super) fn file_header(params: &[u8]) -> Vec<u8> {
    let mut bytes = FILE_MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((params.len() as u32).to_le_bytes()); // at most MAX_PARAMS_BYTES
    bytes.extend(params);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The version and the length of the parameters, from the first bytes of a file.
pub(super) fn parse_file_prefix(bytes: &[u8; FILE_PREFIX_BYTES]) -> Option<(u32, usize)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    (*magic == FILE_MAGIC && len <= MAX_PARAMS_BYTES).then_some((u32::from_le_bytes(*version), len))
}

/// Where in a file the `part` of the payload of the frame at `offset` starts, if that is within the file's `frames`.
pub(super) fn start_of_part(frames: Range<u64>, offset: u64, part: &Range<u32>) -> Option<u64> {
    let payload = offset.checked_add(FRAME_HEADER_BYTES as u64)?;
    let end = payload.checked_add(part.end.into())?;
    let is_part = part.start <= part.end && part.end as usize <= MAX_PAYLOAD_BYTES;
    (is_part && offset >= frames.start && end <= frames.end).then(|| payload + u64::from(part.start))
}

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub payload_len: usize,
    pub height: Height,
    payload_crc: u32,
}

impl FrameHeader {
    pub fn new(height: Height, payload: &[u8]) -> Self {
        Self { payload_len: payload.len(), height, payload_crc: crc32c::crc32c(payload) }
    }

    pub fn to_bytes(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&(self.payload_len as u32).to_le_bytes()); // at most MAX_PAYLOAD_BYTES
        bytes[8..16].copy_from_slice(&self.height.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, unless a bit of it is wrong.
    pub fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (payload_crc, rest) = rest.split_first_chunk()?;
        let (header_crc, _) = rest.split_first_chunk()?;
        let payload_len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let sound = *magic == FRAME_MAGIC
            && payload_len <= MAX_PAYLOAD_BYTES
            && crc32c::crc32c(&bytes[..20]) == u32::from_le_bytes(*header_crc);
        sound.then_some(Self {
            payload_len,
            height: Height(u64::from_le_bytes(*height)),
            payload_crc: u32::from_le_bytes(*payload_crc),
        })
    }

    /// Whether the payload is the one this header was written for.
    pub fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_len && crc32c::crc32c(payload) == self.payload_crc
    }

    /// Bytes of the whole frame.
    pub const fn frame_len(&self) -> u64 {
        (FRAME_HEADER_BYTES + self.payload_len) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_frame_counts() {
        let payload = b"payload".to_vec();
        let header = FrameHeader::new(Height(7), &payload);
        let bytes = header.to_bytes();
        assert_eq!(FrameHeader::parse(&bytes), Some(header));
        assert!(header.fits(&payload));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::parse(&flipped), None, "bit {bit}");
        }
        for bit in 0..payload.len() * 8 {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!header.fits(&flipped), "bit {bit}");
        }
    }

    #[test]
    fn a_sound_header_of_an_impossible_length_is_refused() {
        let header = FrameHeader { payload_len: MAX_PAYLOAD_BYTES + 1, height: Height(0), payload_crc: 0 };
        assert_eq!(FrameHeader::parse(&header.to_bytes()), None);
    }
}
