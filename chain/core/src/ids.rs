//! Names of things: heights and 32-byte identifiers, one type each, so that none stands in for another.

use crate::identity::IdentityError;
use std::fmt;
use std::str::FromStr;

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};

/// Position of a block in the chain; genesis is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Height(pub u64);

impl Height {
    /// Height of the first block.
    pub const GENESIS: Self = Self(0);

    /// The height above, unless this is the highest there is.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(above) => Some(Self(above)),
            None => None,
        }
    }

    /// The height below, unless this is genesis.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(below) => Some(Self(below)),
            None => None,
        }
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Encode for Height {
    fn encode(&self, writer: &mut Writer) {
        writer.varint(self.0);
    }
}

impl Decode for Height {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.varint().map(Self)
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Too few or too many characters.
    #[error("{got} bytes of text: expected 64 hexadecimal digits")]
    Length {
        /// Length of the text in bytes.
        got: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("no hexadecimal digit at position {position}")]
    Digit {
        /// Where, in bytes.
        position: usize,
    },
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// 32 bytes, shown and parsed as 64 hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }

        impl Encode for $name {
            fn encode(&self, writer: &mut Writer) {
                writer.raw(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(Self)
            }
        }
    )*};
}

ids! {
    /// Hash of a block header: the name of a block.
    BlockHash
    /// Root of the Merkle tree over a block's changesets.
    TxRoot
    /// Root of the sparse Merkle tree over all keys and values.
    StateRoot
    /// Hash of a node's public key: the name of a node.
    NodeId
    /// Drawn when a chain is made: tells it from every other.
    ChainId
}

fn parse_hex(text: &str) -> Result<[u8; 32], ParseIdError> {
    if text.len() != 64 {
        return Err(ParseIdError::Length { got: text.len() });
    }
    let mut bytes = [0; 32];
    for (position, character) in text.bytes().enumerate() {
        let digit = char::from(character).to_digit(16).ok_or(ParseIdError::Digit { position })?;
        // A digit is below 16, and positions 2i and 2i + 1 fill byte i of 32.
        bytes[position / 2] = bytes[position / 2] << 4 | digit as u8;
    }
    Ok(bytes)
}

impl ChainId {
    /// An id that no other chain has.
    ///
    /// # Errors
    /// No random bytes.
    pub fn random() -> Result<Self, IdentityError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(IdentityError::Random)?;
        Ok(Self(random))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_comes_back_from_its_text_and_its_bytes(bytes: [u8; 32]) {
            let id = NodeId(bytes);
            prop_assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
            prop_assert_eq!(id.to_string().to_uppercase().parse::<NodeId>().unwrap(), id);
            prop_assert_eq!(NodeId::from_bytes(&id.to_bytes()).unwrap(), id);
        }

        #[test]
        fn a_height_comes_back(height: u64) {
            prop_assert_eq!(Height::from_bytes(&Height(height).to_bytes()).unwrap(), Height(height));
        }
    }

    #[test]
    fn text_and_debug_forms() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        let text = format!("ab{}", "0".repeat(62));
        assert_eq!(BlockHash(bytes).to_string(), text);
        assert_eq!(format!("{:?}", BlockHash(bytes)), format!("BlockHash({text})"));
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        assert_eq!("ab".parse::<TxRoot>(), Err(ParseIdError::Length { got: 2 }));
        let text = format!("0g{}", "0".repeat(62));
        assert_eq!(text.parse::<TxRoot>(), Err(ParseIdError::Digit { position: 1 }));
        // 64 bytes, but not 64 characters.
        assert_eq!("é".repeat(32).parse::<TxRoot>(), Err(ParseIdError::Digit { position: 0 }));
    }

    #[test]
    fn heights_end_at_both_ends() {
        assert_eq!(Height::GENESIS.next(), Some(Height(1)));
        assert_eq!(Height::GENESIS.previous(), None);
        assert_eq!(Height(u64::MAX).next(), None);
    }
}
