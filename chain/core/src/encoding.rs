//! Canonical bytes: the one encoding of everything that is hashed, signed or stored.
//!
//! Encoding cannot fail. Every value has exactly one encoding, so decoders refuse all others: varints that
//! are longer than needed, flags other than 0 and 1, bytes left over. A [`Reader`] checks every declared
//! length against the bytes that are there *before* anything is allocated for it.

use tensor_kernels::KernelError;

/// A value with canonical bytes.
pub trait Encode {
    /// Appends the canonical bytes.
    fn encode(&self, writer: &mut Writer);

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of everything a reader can read.
    #[derive(Debug, Clone, PartialEq)]
    struct Sample {
        fixed: (u8, u16, u32, u64, i8, i16, i64, i128),
        varint: u64,
        zigzag: i128,
        flag: Option<Vec<u8>>,
        text: String,
        items: Vec<u64>,
    }

    impl Encode for Sample {
        fn encode(&self, writer: &mut Writer) {
            let (a, b, c, d, e, f, g, h) = self.fixed;
            writer.u8(a);
            writer.u16(b);
            writer.u32(c);
            writer.u64(d);
            writer.i8(e);
            writer.i16(f);
            writer.i64(g);
            writer.i128(h);
            writer.varint(self.varint);
            writer.zigzag(self.zigzag);
            writer.bool(self.flag.is_some());
            if let Some(bytes) = &self.flag {
                writer.bytes(bytes);
            }
            writer.str(&self.text);
            writer.varint(self.items.len() as u64);
            self.items.iter().for_each(|&item| writer.varint(item));
        }
    }

    impl Decode for Sample {
        fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
            Ok(Self {
                fixed: (
                    reader.u8()?,
                    reader.u16()?,
                    reader.u32()?,
                    reader.u64()?,
                    reader.i8()?,
                    reader.i16()?,
                    reader.i64()?,
                    reader.i128()?,
                ),
                varint: reader.varint()?,
                zigzag: reader.zigzag()?,
                flag: if reader.bool()? { Some(reader.bytes()?.to_vec()) } else { None },
                text: reader.str()?.to_owned(),
                items: {
                    let count = reader.count(1)?;
                    (0..count).map(|_| reader.varint()).collect::<Result<_, _>>()?
                },
            })
        }
    }

    /// Small and huge integers alike, so that varints of every length occur.
    fn any_width() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let zigzag = (any::<i128>(), 0..128_u32).prop_map(|(value, shift)| value >> shift);
        (
            any::<(u8, u16, u32, u64, i8, i16, i64, i128)>(),
            any_width(),
            zigzag,
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            ".{0,20}",
            proptest::collection::vec(any_width(), 0..20),
        )
            .prop_map(|(fixed, varint, zigzag, flag, text, items)| Sample {
                fixed,
                varint,
                zigzag,
                flag,
                text,
                items,
            })
    }

    proptest! {
        #[test]
        fn values_come_back(sample in sample()) {
            prop_assert_eq!(Sample::from_bytes(&sample.to_bytes()).unwrap(), sample);
        }

        #[test]
        fn no_prefix_is_a_value(sample in sample()) {
            let bytes = sample.to_bytes();
            for len in 0..bytes.len() {
                prop_assert!(Sample::from_bytes(&bytes[..len]).is_err());
            }
        }

        /// The one-encoding rule: whatever decodes, encodes to the very bytes it came from.
        #[test]
        fn a_mutated_byte_is_refused_or_is_another_value(sample in sample(), flip in 1..=255_u8) {
            let bytes = sample.to_bytes();
            for position in 0..bytes.len() {
                let mut mutated = bytes.clone();
                mutated[position] ^= flip;
                if let Ok(decoded) = Sample::from_bytes(&mutated) {
                    prop_assert_ne!(&decoded, &sample);
                    prop_assert_eq!(decoded.to_bytes(), mutated);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(decoded) = Sample::from_bytes(&bytes) {
                prop_assert_eq!(decoded.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn known_varints() {
        let cases: [(u64, &[u8]); 5] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, bytes) in cases {
            let mut writer = Writer::new();
            writer.varint(value);
            assert_eq!(writer.as_bytes(), bytes);
            assert_eq!(Reader::new(bytes).varint(), Ok(value));
        }
    }

    #[test]
    fn known_zigzags() {
        for (value, byte) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (63, 126), (-64, 127)] {
            let mut writer = Writer::new();
            writer.zigzag(value);
            assert_eq!(writer.as_bytes(), [byte]);
            assert_eq!(Reader::new(&[byte]).zigzag(), Ok(value));
        }
        for extreme in [i128::MIN, i128::MAX] {
            let mut writer = Writer::new();
            writer.zigzag(extreme);
            assert_eq!(Reader::new(writer.as_bytes()).zigzag(), Ok(extreme));
        }
    }

    #[test]
    fn long_varints_are_refused() {
        // A needless zero group; 65 bits; 129 bits; a group that never ends.
        assert_eq!(Reader::new(&[0x80, 0]).varint(), Err(DecodeError::Varint));
        let mut wide = [0xff; 10];
        wide[9] = 2;
        assert_eq!(Reader::new(&wide).varint(), Err(DecodeError::Varint));
        let mut wide = [0xff; 19];
        wide[18] = 4;
        assert_eq!(Reader::new(&wide).zigzag(), Err(DecodeError::Varint));
        assert_eq!(Reader::new(&[0x80; 100]).zigzag(), Err(DecodeError::Varint));
    }

    #[test]
    fn a_declared_length_is_checked_before_use() {
        let mut writer = Writer::new();
        writer.varint(u64::MAX);
        writer.raw(&[0; 7]);
        let end = |needed| DecodeError::UnexpectedEnd { needed, left: 7 };
        assert_eq!(Reader::new(writer.as_bytes()).bytes(), Err(end(u64::MAX)));
        let mut writer = Writer::new();
        writer.varint(4);
        writer.raw(&[0; 7]);
        assert_eq!(Reader::new(writer.as_bytes()).count(2), Err(end(8)));
        assert_eq!(Reader::new(writer.as_bytes()).count(1), Ok(4));
    }

    #[test]
    fn bytes_left_over_are_refused() {
        let mut reader = Reader::new(&[1, 2]);
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.remaining(), 1);
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes { left: 1 }));
    }
}
