//! Canonical bytes: the one encoding of everything that is hashed, signed or stored.
//!
//! Encoding cannot fail. Every value has exactly one encoding, so decoders refuse all others: varints that
//! are longer than needed, flags other than 0 and 1, bytes left over. A [`Reader`] checks every declared
//! length against the bytes that are there *before* anything is allocated for it.

#[cfg(test)]
mod tests;

use tensor_kernels::KernelError;

/// A value with canonical bytes.
pub trait Encode {
    /// Appends the canonical bytes.
    fn encode(&self, writer: &mut Writer);

    /// About how many bytes there will be: with as many at hand, nothing is copied while they are collected.
    fn size_hint(&self) -> usize {
        0
    }

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.size_hint());
        self.encode(&mut writer);
        writer.into_bytes()
    }
}

/// A value that can be read back from its canonical bytes.
pub trait Decode: Sized {
    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    /// Bytes that are no canonical encoding of a value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); also bytes left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Bytes that are not the canonical encoding of what was to be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early, or a declared length exceeds them.
    #[error("{needed} bytes needed, {left} left")]
    UnexpectedEnd {
        /// Bytes that what was declared takes at least.
        needed: u64,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes follow where the value ends.
    #[error("{left} bytes left over")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// A variable-length integer is longer than needed or too large for its type.
    #[error("variable-length integer is not minimal or out of range")]
    Varint,
    /// A byte that names an alternative names none.
    #[error("{what}: unknown tag {got}")]
    UnknownTag {
        /// What was to be read.
        what: &'static str,
        /// The byte found.
        got: u8,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A well-formed value that breaks a rule of its type.
    #[error("invalid {what}")]
    Invalid {
        /// Which value.
        what: &'static str,
    },
    /// A vector that the kernels refuse.
    #[error("vector: {0}")]
    Vector(#[from] KernelError),
}

/// Collects canonical bytes. Fixed-width integers are little-endian.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

macro_rules! write_fixed {
    ($($int:ident)*) => {$(
        #[doc = concat!("Appends an ", stringify!($int), ".")]
        pub fn $int(&mut self, value: $int) {
            self.raw(&value.to_le_bytes());
        }
    )*};
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// An empty writer that takes so many bytes without growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    write_fixed!(u8 u16 u32 u64 i8 i16 i64 i128);

    /// Appends a flag: one byte, 0 or 1. An optional value is a flag and, if set, the value.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Appends an unsigned LEB128 integer: seven bits a byte, lowest first.
    pub fn varint(&mut self, value: u64) {
        self.leb128(u128::from(value));
    }

    /// Appends a signed integer as the LEB128 of its zigzag form (0, -1, 1, -2 → 0, 1, 2, 3).
    pub fn zigzag(&mut self, value: i128) {
        self.leb128(((value << 1) ^ (value >> 127)).cast_unsigned());
    }

    /// Appends a length (varint) and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends text as its UTF-8 [`bytes`](Self::bytes).
    pub fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Appends bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes collected so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn leb128(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8); // below 0x80
    }
}

/// Reads canonical bytes front to back, never past their end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
}

macro_rules! read_fixed {
    ($($int:ident)*) => {$(
        #[doc = concat!("Reads an ", stringify!($int), ".\n\n# Errors\nToo few bytes.")]
        pub fn $int(&mut self) -> Result<$int, DecodeError> {
            self.array().map($int::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    read_fixed!(u8 u16 u32 u64 i8 i16 i64 i128);

    /// Reads a flag.
    ///
    /// # Errors
    /// A byte other than 0 and 1; no byte.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(DecodeError::UnknownTag { what: "flag", got }),
        }
    }

    /// Reads an unsigned LEB128 integer.
    ///
    /// # Errors
    /// More bytes than the value needs, or more bits than 64; too few bytes.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        u64::try_from(self.leb128()?).map_err(|_| DecodeError::Varint)
    }

    /// Reads a signed zigzag LEB128 integer.
    ///
    /// # Errors
    /// More bytes than the value needs, or more bits than 128; too few bytes.
    pub fn zigzag(&mut self) -> Result<i128, DecodeError> {
        let value = self.leb128()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Reads the number of items that follow, each of which takes at least `min_item_bytes`: what a decoder
    /// may reserve room for.
    ///
    /// # Errors
    /// More items than the bytes that are left can hold; a bad varint.
    pub fn count(&mut self, min_item_bytes: usize) -> Result<usize, DecodeError> {
        let declared = self.varint()?;
        let needed = declared.saturating_mul(min_item_bytes as u64);
        match usize::try_from(declared) {
            Ok(count) if needed <= self.left.len() as u64 => Ok(count),
            _ => Err(DecodeError::UnexpectedEnd { needed, left: self.left.len() }),
        }
    }

    /// Reads length-prefixed bytes, without copying them.
    ///
    /// # Errors
    /// A length beyond the bytes that are left; a bad varint.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count(1)?;
        self.raw(len)
    }

    /// Reads length-prefixed UTF-8 text, without copying it.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes); also bytes that are not UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::NotUtf8)
    }

    /// Reads `len` bytes, without copying them.
    ///
    /// # Errors
    /// Too few bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = DecodeError::UnexpectedEnd { needed: len as u64, left: self.left.len() };
        let (read, left) = self.left.split_at_checked(len).ok_or(end)?;
        self.left = left;
        Ok(read)
    }

    /// Reads as many bytes as the array holds.
    ///
    /// # Errors
    /// Too few bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = DecodeError::UnexpectedEnd { needed: N as u64, left: self.left.len() };
        let (read, left) = self.left.split_first_chunk().ok_or(end)?;
        self.left = left;
        Ok(*read)
    }

    /// Number of bytes left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.left.len()
    }

    /// Ends reading.
    ///
    /// # Errors
    /// Bytes left over.
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { left }),
        }
    }

    fn leb128(&mut self) -> Result<u128, DecodeError> {
        let (mut value, mut shift) = (0_u128, 0);
        loop {
            let byte = self.u8()?;
            let bits = u128::from(byte & 0x7f);
            // 18 full groups make 126 bits: the 19th may hold two.
            if shift > 126 || (shift == 126 && bits > 3) {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            shift += 7;
            match byte {
                0 if shift > 7 => return Err(DecodeError::Varint), // the byte before it could have ended it
                0..0x80 => return Ok(value),
                _ => {}
            }
        }
    }
}
