//! Round trips, and that nothing but the one encoding of a value decodes.

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
