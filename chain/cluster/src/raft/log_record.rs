//! How entries, votes and places look in the log on disk.
//!
//! The library below has checksums of its own, but takes any record that ends before its stated length for a tail that
//! a crash cut off, and drops it with everything behind it. So each payload states its length under a checksum that is
//! checked first: a length that was damaged is an error. Index and term are part of the payload, so that a sound
//! payload that came to lie under another place is an error too.
//!
//! ```text
//! payload   length of the body (u32) · index (u64) · term (u64) · CRC-32C of these · CRC-32C of the body · body
//! place     term (u64) · index (u64)
//! vote      term (u64) · node (32 bytes) · committed (u8)
//! ```

use std::io::{self, Read, Write};

use openraft::vote::RaftLeaderId;
use raft_log::codeq::{Decode, Encode};

use super::messages::to_vec;
use super::types::{LogId, Payload, RaftNode, TypeConfig, Vote, log_id, position};
use tensor_chain::replicated::LogPosition;

/// Most bytes of a body: far above any batch.
const MAX_BODY_BYTES: usize = 16 << 20;
const FIELDS_BYTES: usize = 4 + 8 + 8;
/// Bytes of a payload before its body.
pub(super) const HEAD_BYTES: usize = FIELDS_BYTES + 4 + 4;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) LogPosition);

impl From<&LogId> for Place {
    fn from(id: &LogId) -> Self {
        Self(position(id))
    }
}

impl From<Place> for LogId {
    fn from(Place(position): Place) -> Self {
        log_id(position)
    }
}

impl Encode for Place {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        writer.write_all(&self.0.term.to_le_bytes())?;
        writer.write_all(&self.0.index.to_le_bytes())?;
        Ok(16)
    }
}

impl Decode for Place {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        let [term, index] = [read_u64(&mut reader)?, read_u64(&mut reader)?];
        Ok(Self(LogPosition { term, index }))
    }
}

/// Whom this node has voted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
pub(super) struct VoteRecord(pub(super) Vote);

impl Encode for VoteRecord {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let Vote { leader_id, committed } = &self.0;
        writer.write_all(&leader_id.term.to_le_bytes())?;
        writer.write_all(&leader_id.voted_for.0)?;
        writer.write_all(&[u8::from(*committed)])?;
        Ok(41)
    }
}

impl Decode for VoteRecord {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        let (term, mut node, mut committed) = (read_u64(&mut reader)?, [0; 32], [0]);
        reader.read_exact(&mut node)?;
        reader.read_exact(&mut committed)?;
        let leader_id = <TypeConfig as openraft::RaftTypeConfig>::LeaderId::new(term, RaftNode(node));
        match committed {
            [committed @ (0 | 1)] => Ok(Self(Vote { leader_id, committed: committed == 1 })),
            _ => Err(damaged("a vote")),
        }
    }
}

/// What an entry holds, and where it belongs.
#[derive(Debug, Clone)]
pub(super) struct PayloadRecord {
    pub(super) place: Place,
    pub(super) payload: Payload,
}

impl Encode for PayloadRecord {
    fn encode<W: Write>(&self, mut writer: W) -> io::Result<usize> {
        let body = to_vec(&self.payload).map_err(io::Error::other)?;
        let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY_BYTES);
        let len = len.ok_or_else(|| io::Error::other(format!("an entry of {} bytes", body.len())))?;
        let LogPosition { term, index } = self.place.0;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(&len.to_le_bytes());
        head.extend_from_slice(&index.to_le_bytes());
        head.extend_from_slice(&term.to_le_bytes());
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        head.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        writer.write_all(&head)?;
        writer.write_all(&body)?;
        Ok(head.len() + body.len())
    }
}

impl Decode for PayloadRecord {
    fn decode<R: Read>(mut reader: R) -> io::Result<Self> {
        let mut head = [0; HEAD_BYTES];
        reader.read_exact(&mut head)?;
        let Head { len, position, body_crc } =
            Head::read(&head)?.ok_or_else(|| damaged("the head of an entry"))?;
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let LogPosition { term, index } = position;
        let entry = || damaged(&format!("the entry at index {index} of term {term}"));
        if body_crc != crc32c::crc32c(&body) {
            return Err(entry());
        }
        let payload = postcard::from_bytes(&body).map_err(|_| entry())?;
        Ok(Self { place: Place(position), payload })
    }
}

/// What a payload says before its body.
pub(super) struct Head {
    /// Bytes of the body.
    pub(super) len: usize,
    position: LogPosition,
    body_crc: u32,
}

impl Head {
    /// `None` where the head does not have its checksum.
    pub(super) fn read(head: &[u8; HEAD_BYTES]) -> io::Result<Option<Self>> {
        let (fields, mut crcs) = head.split_at(FIELDS_BYTES);
        let [head_crc, body_crc] = [read_u32(&mut crcs)?, read_u32(&mut crcs)?];
        let sound = head_crc == crc32c::crc32c(fields);
        let mut fields = fields;
        let (len, index, term) =
            (read_u32(&mut fields)? as usize, read_u64(&mut fields)?, read_u64(&mut fields)?);
        let position = LogPosition { term, index };
        Ok((sound && len <= MAX_BODY_BYTES).then_some(Self { len, position, body_crc }))
    }
}

/// Damage, as opposed to a tail that a crash cut off.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Raft log is damaged: {what}"))
}

fn read_u32(reader: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_u64(reader: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::Command;
    use tensor_chain::replicated::ReplicatedEntry;

    #[test]
    fn every_flipped_byte_of_a_payload_is_damage_and_never_a_short_read() {
        let payload = Payload::Normal(Command::new(ReplicatedEntry::Session));
        let record = PayloadRecord { place: Place(LogPosition { term: 3, index: 7 }), payload };
        let mut bytes = Vec::new();
        assert_eq!(record.encode(&mut bytes).unwrap(), bytes.len());
        let back = PayloadRecord::decode(&bytes[..]).unwrap();
        assert_eq!(back.place, record.place);
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x40;
            let error = PayloadRecord::decode(&flipped[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {position}: {error}");
        }
        let short = PayloadRecord::decode(&bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
