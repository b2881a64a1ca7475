//! The three number formats of the wire.

use half::f16;

use crate::types::{Int8Mode, Int8Scale, Mapping};

/// How one component is written, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    /// IEEE single precision, 4 bytes.
    F32,
    /// IEEE half precision, 2 bytes.
    F16,
    /// A signed byte in −127..=127 times one f32 scale of the vector.
    I8,
}

impl Number {
    /// Every format, the most precise first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::I8];

    /// What the first byte of an encoding says.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::I8 => 2,
        }
    }

    /// Bytes of one component.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }
}

/// Turns components into words, the bits that are written, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coder {
    number: Number,
    mapping: Mapping,
}

impl Coder {
    /// `scale` is what an [`Number::I8`] code is multiplied with; other formats do without.
    pub(super) fn new(number: Number, scale: f32) -> Self {
        Self { number, mapping: Mapping::new(Int8Mode::Symmetric, Int8Scale { scale, offset: 0.0 }) }
    }

    /// The word of `x`, in the low bytes. A magnitude that is out of range becomes infinite in f16.
    pub(super) fn word(self, x: f32) -> u32 {
        match self.number {
            Number::F32 => x.to_bits(),
            Number::F16 => u32::from(f16::from_f32(x).to_bits()),
            Number::I8 => u32::from(self.mapping.code(libm::rint(self.mapping.position(x))).cast_unsigned()),
        }
    }

    /// The value of a word; `None` for one that stands for no value: NaN, infinity, the i8 code −128.
    #[expect(clippy::cast_possible_truncation, reason = "the low bytes are the word")]
    pub(super) fn value(self, word: u32) -> Option<f32> {
        let value = match self.number {
            Number::F32 => f32::from_bits(word),
            Number::F16 => f16::from_bits(word as u16).to_f32(),
            Number::I8 if word as u8 == i8::MIN.cast_unsigned() => return None,
            Number::I8 => self.mapping.value((word as u8).cast_signed()),
        };
        value.is_finite().then_some(value)
    }
}
