//! What goes over a connection between nodes: frames, each a length, a header and perhaps a message.
//!
//! ```text
//! length u32 | binding u64 | kind u8 | stream u32 | payload
//! ```
//!
//! Integers are little-endian; `length` counts what follows it. TLS below vouches for every byte, so a frame needs no
//! checksum of its own. The *binding* is a digest of cluster, sender and addressee, repeated in every frame: a
//! frame that went astray is refused whatever it says. A message of 256 bytes or more travels
//! as LZ4 where that is shorter.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use tensor_chain::encoding::{DecodeError, Reader};
use tensor_chain::hash::Domain;
use tensor_chain::{ChainId, NodeId};

use crate::link::MAX_FRAME_BYTES as MAX_MESSAGE_BYTES;

/// Shorter messages are not worth compressing.
const COMPRESS_FROM: usize = 256;
/// LZ4 cannot make more of a byte than this many: what is declared beyond it is a lie.
const MAX_INFLATION: usize = 255;

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 8 + 1 + 4;
/// A compressed message says first how long it will be.
const INFLATED_BYTES: usize = 4;
const LONGEST_BYTES: usize = HEADER_BYTES + INFLATED_BYTES + MAX_MESSAGE_BYTES;

/// Digest of cluster, sender and addressee that every frame of a direction carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding(u64);

impl Binding {
    /// Of frames in `cluster` from one node to another.
    pub(super) fn new(cluster: ChainId, from: NodeId, to: NodeId) -> Self {
        let digest = BINDING.hash(&[cluster.as_bytes(), from.as_bytes(), to.as_bytes()]);
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

const BINDING: Domain = Domain::new("peer-binding");

/// Number of a stream within its connection, ascending from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u32);

/// One step of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing but a sign of life.
    Alive,
    /// The dialler begins a stream.
    Open(StreamId, Exchange),
    /// A message on a stream.
    Message(StreamId, Bytes),
    /// The sender has no more messages for the stream.
    End(StreamId),
    /// The sender gives up the stream, both ways.
    Reset(StreamId, ResetReason),
    /// The addressee may send so many bytes more on the stream.
    Credit(StreamId, u32),
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// One message and its answer.
    Call,
    /// Messages as they come, and their answers.
    Stream,
}

/// Why a stream was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResetReason {
    /// Whoever used it dropped it.
    #[error("cancelled")]
    Cancelled,
    /// It has more streams, or more unread bytes, than it wants to hold.
    #[error("overloaded")]
    Overloaded,
}

/// Bytes that are no frame for us.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum FrameError {
    /// A length below that of a header or above that of the longest message.
    #[error("a frame of {got} bytes: expected {HEADER_BYTES} to {LONGEST_BYTES}")]
    Length { got: usize },
    /// A frame of another cluster, or of other nodes than the connection's.
    #[error("a frame of another cluster, sender or addressee")]
    Astray,
    /// A header or a payload that is not of its kind.
    #[error("frame: {0}")]
    Malformed(#[from] DecodeError),
    /// A compressed message that declares more than LZ4 can make of it, or than a message may have.
    #[error("a message of {declared} bytes in {compressed} compressed ones")]
    Inflation { declared: usize, compressed: usize },
    /// A compressed message that is not what was declared.
    #[error("a compressed message that is damaged")]
    Damaged,
}

const ALIVE: u8 = 0;
const OPEN: u8 = 1;
const PLAIN: u8 = 2;
const COMPRESSED: u8 = 3;
const END: u8 = 4;
const RESET: u8 = 5;
const CREDIT: u8 = 6;

impl Frame {
    /// Appends the bytes of this frame. A message is at most [`MAX_MESSAGE_BYTES`] long.
    pub(super) fn encode(&self, binding: Binding, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32_le(0); // the length, once it is known
        out.put_u64_le(binding.0);
        let head = |out: &mut BytesMut, kind: u8, stream: StreamId| {
            out.put_u8(kind);
            out.put_u32_le(stream.0);
        };
        match self {
            Self::Alive => head(out, ALIVE, StreamId(0)),
            Self::Open(stream, exchange) => {
                head(out, OPEN, *stream);
                out.put_u8(match exchange {
                    Exchange::Call => 0,
                    Exchange::Stream => 1,
                });
            }
            Self::End(stream) => head(out, END, *stream),
            Self::Reset(stream, reason) => {
                head(out, RESET, *stream);
                out.put_u8(match reason {
                    ResetReason::Cancelled => 0,
                    ResetReason::Overloaded => 1,
                });
            }
            Self::Credit(stream, bytes) => {
                head(out, CREDIT, *stream);
                out.put_u32_le(*bytes);
            }
            Self::Message(stream, message) => {
                let head_at = out.len();
                head(out, COMPRESSED, *stream);
                if !compress(message, out) {
                    out.truncate(head_at);
                    head(out, PLAIN, *stream);
                    out.put_slice(message);
                }
            }
        }
        let length = (out.len() - start - LENGTH_BYTES) as u32; // at most LONGEST_BYTES
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    /// Takes the first frame from `received`, if all of it is there.
    ///
    /// What is allocated is in proportion to what was received, never to what a length declares.
    pub(super) fn decode(received: &mut BytesMut, expected: Binding) -> Result<Option<Self>, FrameError> {
        let Some((length, rest)) = received.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEADER_BYTES..=LONGEST_BYTES).contains(&length) {
            return Err(FrameError::Length { got: length });
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let frame = Self::parse(frame, expected)?;
        received.advance(LENGTH_BYTES + length);
        Ok(Some(frame))
    }

    fn parse(frame: &[u8], expected: Binding) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        if reader.u64()? != expected.0 {
            return Err(FrameError::Astray);
        }
        let kind = reader.u8()?;
        let stream = StreamId(reader.u32()?);
        if (kind == ALIVE) != (stream.0 == 0) {
            return Err(DecodeError::Invalid { what: "stream number" }.into());
        }
        let frame = match kind {
            ALIVE => Self::Alive,
            OPEN => Self::Open(
                stream,
                match reader.u8()? {
                    0 => Exchange::Call,
                    1 => Exchange::Stream,
                    got => return Err(DecodeError::UnknownTag { what: "exchange", got }.into()),
                },
            ),
            PLAIN => {
                let message = reader.raw(reader.remaining())?;
                if message.len() > MAX_MESSAGE_BYTES {
                    return Err(FrameError::Length { got: frame.len() });
                }
                // A copy: a view would keep the whole receive buffer alive for as long as nobody reads it.
                Self::Message(stream, Bytes::copy_from_slice(message))
            }
            COMPRESSED => {
                let declared = reader.u32()? as usize;
                let compressed = reader.raw(reader.remaining())?;
                Self::Message(stream, inflate(compressed, declared)?)
            }
            END => Self::End(stream),
            RESET => Self::Reset(
                stream,
                match reader.u8()? {
                    0 => ResetReason::Cancelled,
                    1 => ResetReason::Overloaded,
                    got => return Err(DecodeError::UnknownTag { what: "reset reason", got }.into()),
                },
            ),
            CREDIT => Self::Credit(stream, reader.u32()?),
            got => return Err(DecodeError::UnknownTag { what: "frame", got }.into()),
        };
        reader.finish()?;
        Ok(frame)
    }
}

/// Appends length and compressed form of a message, unless that would not be shorter.
fn compress(message: &[u8], out: &mut BytesMut) -> bool {
    if message.len() < COMPRESS_FROM {
        return false;
    }
    out.put_u32_le(message.len() as u32); // at most MAX_MESSAGE_BYTES
    let start = out.len();
    out.resize(start + get_maximum_output_size(message.len()), 0);
    let shorter =
        compress_into(message, &mut out[start..]).ok().filter(|&len| len + INFLATED_BYTES < message.len());
    out.truncate(start + shorter.unwrap_or_default());
    shorter.is_some()
}

fn inflate(compressed: &[u8], declared: usize) -> Result<Bytes, FrameError> {
    if declared > MAX_MESSAGE_BYTES || declared > compressed.len().saturating_mul(MAX_INFLATION) {
        return Err(FrameError::Inflation { declared, compressed: compressed.len() });
    }
    let mut message = vec![0; declared];
    match decompress_into(compressed, &mut message) {
        Ok(len) if len == declared => Ok(message.into()),
        _ => Err(FrameError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tensor_tests::allocation::peak_bytes;

    use super::*;

    const BINDING: Binding = Binding(7);

    fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        Frame::decode(&mut BytesMut::from(bytes), BINDING)
    }

    fn encoded(frame: &Frame) -> BytesMut {
        let mut bytes = BytesMut::new();
        frame.encode(BINDING, &mut bytes);
        bytes
    }

    fn frames() -> impl Strategy<Value = Frame> {
        let stream = (1..=u32::MAX).prop_map(StreamId);
        // Runs of one byte compress, noise does not.
        let message = prop_oneof![
            vec(any::<u8>(), 0..600),
            (any::<u8>(), 0..100_000_usize).prop_map(|(byte, len)| vec![byte; len]),
        ];
        prop_oneof![
            Just(Frame::Alive),
            stream.clone().prop_map(|stream| Frame::Open(stream, Exchange::Stream)),
            (stream.clone(), message).prop_map(|(stream, message)| Frame::Message(stream, message.into())),
            stream.clone().prop_map(Frame::End),
            stream.clone().prop_map(|stream| Frame::Reset(stream, ResetReason::Overloaded)),
            (stream, any::<u32>()).prop_map(|(stream, bytes)| Frame::Credit(stream, bytes)),
        ]
    }

    /// Decodes whatever the bytes are and holds the decoder to its bound of memory.
    fn check(bytes: &[u8]) {
        let mut received = BytesMut::from(bytes);
        loop {
            let before = received.len();
            let (decoded, peak) = peak_bytes(|| Frame::decode(&mut received, BINDING));
            assert!(peak <= MAX_INFLATION * before + 1024, "{peak} bytes held for {before} received");
            match decoded {
                Ok(Some(_)) => assert!(received.len() < before),
                Ok(None) | Err(_) => break,
            }
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_one_after_the_other(frames in vec(frames(), 0..8)) {
            let mut bytes = BytesMut::new();
            frames.iter().for_each(|frame| frame.encode(BINDING, &mut bytes));
            for frame in &frames {
                let decoded = Frame::decode(&mut bytes, BINDING).unwrap();
                prop_assert_eq!(decoded.as_ref(), Some(frame));
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn a_part_of_a_frame_is_not_yet_one(frame in frames(), part: prop::sample::Index) {
            let bytes = encoded(&frame);
            prop_assert_eq!(decode(&bytes[..part.index(bytes.len())]).unwrap(), None);
        }

        #[test]
        fn made_up_bytes_never_panic_and_hold_little(
            length in 0..600_u32,
            kind in 0..9_u8,
            rest in vec(any::<u8>(), 0..600),
        ) {
            check(&rest);
            check(&[&length.to_le_bytes()[..], &7_u64.to_le_bytes(), &[kind], &rest].concat());
        }

        #[test]
        fn an_altered_byte_never_panics_and_holds_little(
            frame in frames(),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut bytes = encoded(&frame);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            check(&bytes);
        }
    }

    #[test]
    fn what_compresses_travels_compressed() {
        let message = Bytes::from(vec![9; 1 << 20]);
        assert!(encoded(&Frame::Message(StreamId(1), message)).len() < 5_000);
    }

    #[test]
    fn the_longest_message_passes_and_a_longer_frame_is_refused_before_it_is_there() {
        let noise = |len: usize| {
            let mut state = 1_u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..len).map(|_| next()).collect::<Bytes>()
        };
        let longest = Frame::Message(StreamId(1), noise(MAX_MESSAGE_BYTES));
        assert_eq!(decode(&encoded(&longest)), Ok(Some(longest)));
        let length = u32::MAX.to_le_bytes();
        assert_eq!(decode(&length), Err(FrameError::Length { got: u32::MAX as usize }));
        let long = Frame::Message(StreamId(1), noise(MAX_MESSAGE_BYTES + 1));
        assert!(matches!(decode(&encoded(&long)), Err(FrameError::Length { .. })));
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_declares() {
        let bomb = |declared: usize, compressed: &[u8]| {
            let length = (HEADER_BYTES + INFLATED_BYTES + compressed.len()) as u32;
            let mut bytes = BytesMut::new();
            bytes.put_u32_le(length);
            bytes.put_u64_le(BINDING.0);
            bytes.put_u8(COMPRESSED);
            bytes.put_u32_le(1);
            bytes.put_u32_le(declared as u32);
            bytes.put_slice(compressed);
            let (decoded, peak) = peak_bytes(|| decode(&bytes));
            assert!(peak <= 2 * bytes.len() + 1024 + declared.min(MAX_MESSAGE_BYTES), "{peak}");
            decoded
        };
        let zeros = lz4_flex::block::compress(&vec![0; MAX_MESSAGE_BYTES + 1]);
        for declared in [MAX_MESSAGE_BYTES + 1, u32::MAX as usize] {
            assert!(matches!(bomb(declared, &zeros), Err(FrameError::Inflation { .. })));
        }
        assert!(matches!(bomb(1 << 20, &[0; 64]), Err(FrameError::Inflation { .. })));
        // It may not become longer than it said, nor shorter.
        let honest = lz4_flex::block::compress(&[0; 1000]);
        assert!(bomb(1000, &honest).is_ok());
        assert_eq!(bomb(999, &honest), Err(FrameError::Damaged));
        assert_eq!(bomb(1001, &honest), Err(FrameError::Damaged));
    }

    #[test]
    fn a_frame_is_of_one_cluster_sender_and_addressee() {
        let (cluster, a, b) = (ChainId([1; 32]), NodeId([2; 32]), NodeId([3; 32]));
        let binding = Binding::new(cluster, a, b);
        let mut bytes = BytesMut::new();
        Frame::Alive.encode(binding, &mut bytes);
        let read = |cluster, from, to| Frame::decode(&mut bytes.clone(), Binding::new(cluster, from, to));
        assert_eq!(read(cluster, a, b), Ok(Some(Frame::Alive)));
        for other in [(ChainId([9; 32]), a, b), (cluster, b, a), (cluster, a, a)] {
            assert_eq!(read(other.0, other.1, other.2), Err(FrameError::Astray));
        }
    }
}
