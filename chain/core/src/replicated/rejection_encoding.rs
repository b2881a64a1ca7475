//! Canonical bytes of rejections, for the memory of what clients were answered.
//!
//! That memory is bounded: what would take more than [`MAX_BYTES`], long values above all, is remembered as
//! [`Rejection::DetailsForgotten`]. So are faults of a codebook's record, which are texts of this program.

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::ids::Height;
use crate::rejection::{CodebookFault, ConflictCause, Rejection};

/// Most bytes that a remembered rejection takes.
const MAX_BYTES: usize = 4 << 10;

const FORGOTTEN: u8 = 0;
const KEY_CONFLICT: u8 = 1;
const DELTA_CONFLICT: u8 = 2;
const BEGIN_TOO_OLD: u8 = 3;
const BEGIN_ABOVE_TIP: u8 = 4;
const KEY_ABSENT: u8 = 5;
const VALUE_DIFFERS: u8 = 6;
const DELTA_DIMENSION: u8 = 7;
const CODEBOOK_NOT_A_PUT: u8 = 8;
const CODEBOOK_DIMENSION: u8 = 9;
const CODEBOOK_EPOCH: u8 = 10;
const CODEBOOK_NOT_FOR_CONSENSUS: u8 = 11;

impl Encode for Rejection {
    fn encode(&self, writer: &mut Writer) {
        let mut whole = Writer::new();
        encode_whole(self, &mut whole);
        match whole.as_bytes().len() <= MAX_BYTES {
            true => writer.raw(whole.as_bytes()),
            false => writer.u8(FORGOTTEN),
        }
    }
}

fn encode_whole(rejection: &Rejection, writer: &mut Writer) {
    match rejection {
        Rejection::Conflict { cause: ConflictCause::Key { key }, with } => {
            writer.u8(KEY_CONFLICT);
            writer.str(key);
            with.encode(writer);
        }
        Rejection::Conflict { cause: ConflictCause::Delta { similarity }, with } => {
            writer.u8(DELTA_CONFLICT);
            writer.u64(similarity.to_bits());
            with.encode(writer);
        }
        Rejection::BeginTooOld { begin, tip } => heights(BEGIN_TOO_OLD, *begin, *tip, writer),
        Rejection::BeginAboveTip { begin, tip } => heights(BEGIN_ABOVE_TIP, *begin, *tip, writer),
        Rejection::KeyAbsent { key } => {
            writer.u8(KEY_ABSENT);
            writer.str(key);
        }
        Rejection::ValueDiffers { key, expected, found } => {
            writer.u8(VALUE_DIFFERS);
            writer.str(key);
            for value in [expected, found] {
                writer.bool(value.is_some());
                value.iter().for_each(|bytes| writer.bytes(bytes));
            }
        }
        Rejection::DeltaDimension { got, expected } => {
            writer.u8(DELTA_DIMENSION);
            writer.u32(*got);
            writer.u32(*expected);
        }
        Rejection::Codebook(CodebookFault::NotAPut) => writer.u8(CODEBOOK_NOT_A_PUT),
        Rejection::Codebook(CodebookFault::Dimension { got, expected }) => {
            writer.u8(CODEBOOK_DIMENSION);
            writer.varint(*got as u64);
            writer.varint(*expected as u64);
        }
        Rejection::Codebook(CodebookFault::Epoch { got, in_force }) => {
            writer.u8(CODEBOOK_EPOCH);
            writer.varint(*got);
            writer.varint(*in_force);
        }
        Rejection::Codebook(CodebookFault::NotForConsensus) => writer.u8(CODEBOOK_NOT_FOR_CONSENSUS),
        Rejection::Codebook(CodebookFault::Record(_)) | Rejection::DetailsForgotten => writer.u8(FORGOTTEN),
    }
}

fn heights(tag: u8, begin: Height, tip: Height, writer: &mut Writer) {
    writer.u8(tag);
    begin.encode(writer);
    tip.encode(writer);
}

impl Decode for Rejection {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            FORGOTTEN => Self::DetailsForgotten,
            KEY_CONFLICT => {
                let cause = ConflictCause::Key { key: reader.str()?.to_owned() };
                Self::Conflict { cause, with: Height::decode(reader)? }
            }
            DELTA_CONFLICT => {
                let cause = ConflictCause::Delta { similarity: f64::from_bits(reader.u64()?) };
                Self::Conflict { cause, with: Height::decode(reader)? }
            }
            BEGIN_TOO_OLD => {
                Self::BeginTooOld { begin: Height::decode(reader)?, tip: Height::decode(reader)? }
            }
            BEGIN_ABOVE_TIP => {
                Self::BeginAboveTip { begin: Height::decode(reader)?, tip: Height::decode(reader)? }
            }
            KEY_ABSENT => Self::KeyAbsent { key: reader.str()?.to_owned() },
            VALUE_DIFFERS => {
                let key = reader.str()?.to_owned();
                let mut value = || match reader.bool()? {
                    true => reader.bytes().map(|bytes| Some(bytes.to_vec())),
                    false => Ok(None),
                };
                Self::ValueDiffers { key, expected: value()?, found: value()? }
            }
            DELTA_DIMENSION => Self::DeltaDimension { got: reader.u32()?, expected: reader.u32()? },
            CODEBOOK_NOT_A_PUT => Self::Codebook(CodebookFault::NotAPut),
            CODEBOOK_DIMENSION => {
                let mut size = || usize::try_from(reader.varint()?).map_err(|_| DecodeError::Varint);
                Self::Codebook(CodebookFault::Dimension { got: size()?, expected: size()? })
            }
            CODEBOOK_EPOCH => {
                Self::Codebook(CodebookFault::Epoch { got: reader.varint()?, in_force: reader.varint()? })
            }
            CODEBOOK_NOT_FOR_CONSENSUS => Self::Codebook(CodebookFault::NotForConsensus),
            got => return Err(DecodeError::UnknownTag { what: "rejection", got }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_comes_back_or_is_remembered_without_details() {
        let (key, begin, tip) = (|| "k".to_owned(), Height(3), Height(2000));
        let differs = |found| Rejection::ValueDiffers { key: key(), expected: None, found };
        let short = [
            Rejection::Conflict { cause: ConflictCause::Key { key: key() }, with: tip },
            Rejection::Conflict { cause: ConflictCause::Delta { similarity: 0.7 }, with: tip },
            Rejection::BeginTooOld { begin, tip },
            Rejection::BeginAboveTip { begin, tip },
            Rejection::KeyAbsent { key: key() },
            differs(Some(vec![7; 3])),
            Rejection::DeltaDimension { got: 2, expected: 128 },
            Rejection::Codebook(CodebookFault::NotAPut),
            Rejection::Codebook(CodebookFault::Dimension { got: 2, expected: 128 }),
            Rejection::Codebook(CodebookFault::Epoch { got: 9, in_force: 1 }),
            Rejection::Codebook(CodebookFault::NotForConsensus),
            Rejection::DetailsForgotten,
        ];
        for rejection in short {
            assert_eq!(Rejection::from_bytes(&rejection.to_bytes()), Ok(rejection));
        }
        let long = [
            differs(Some(vec![7; MAX_BYTES])),
            Rejection::Codebook(CodebookFault::Record(DecodeError::NotUtf8)),
        ];
        for rejection in long {
            assert_eq!(Rejection::from_bytes(&rejection.to_bytes()), Ok(Rejection::DetailsForgotten));
        }
    }
}
