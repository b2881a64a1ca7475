//! Little-endian numbers out of a stream, as f32 or as indices.
//!
//! They come in pieces of fixed size, so memory grows with what has arrived, never with what was declared.

use std::io::{self, Read};

use super::FileError;

/// Bytes read at a time; a multiple of every element's size.
const PIECE: usize = 1 << 16;

/// A type of number as numpy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F4,
    F8,
    U1,
    I1,
    I4,
    I8,
}

impl Element {
    /// Every type that is read, by its name in a header.
    const NAMES: [(&'static str, Self); 6] = [
        ("<f4", Self::F4),
        ("<f8", Self::F8),
        ("|u1", Self::U1),
        ("|i1", Self::I1),
        ("<i4", Self::I4),
        ("<i8", Self::I8),
    ];

    pub(super) fn of(descr: &str) -> Result<Self, FileError> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == descr);
        found.map(|&(_, element)| element).ok_or_else(|| FileError::UnsupportedType {
            got: descr.to_owned(),
            expected: "<f4, <f8, |u1, |i1, <i4 or <i8",
        })
    }

    /// Bytes of one number.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::U1 | Self::I1 => 1,
            Self::F4 | Self::I4 => 4,
            Self::F8 | Self::I8 => 8,
        }
    }

    /// Hands on `count` numbers as f32: f64 rounded to the nearest, integers only where exact. Whether an f32
    /// is finite is left to the type that takes it.
    pub(super) fn floats(
        self,
        reader: &mut dyn Read,
        count: usize,
        mut push: impl FnMut(usize, f32),
    ) -> Result<(), FileError> {
        match self {
            Self::F4 => each(reader, count, |position, bytes| {
                push(position, f32::from_le_bytes(bytes));
                Ok(())
            }),
            Self::F8 => each(reader, count, |position, bytes| {
                let value = f64::from_le_bytes(bytes);
                let nearest = value as f32;
                if !nearest.is_finite() {
                    return Err(value_error("value", position, value, "a number within the range of f32"));
                }
                push(position, nearest);
                Ok(())
            }),
            Self::U1 | Self::I1 | Self::I4 | Self::I8 => self.integers(reader, count, |position, value| {
                let nearest = value as f32;
                // Through i128, where every f32 of this range has its exact value.
                if nearest as i128 != i128::from(value) {
                    return Err(value_error("value", position, value, "an integer that f32 holds exactly"));
                }
                push(position, nearest);
                Ok(())
            }),
        }
    }

    /// Hands on `count` integers.
    pub(super) fn integers(
        self,
        reader: &mut dyn Read,
        count: usize,
        mut push: impl FnMut(usize, i64) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        match self {
            Self::U1 => each(reader, count, |at, bytes| push(at, u8::from_le_bytes(bytes).into())),
            Self::I1 => each(reader, count, |at, bytes| push(at, i8::from_le_bytes(bytes).into())),
            Self::I4 => each(reader, count, |at, bytes| push(at, i32::from_le_bytes(bytes).into())),
            Self::I8 => each(reader, count, |at, bytes| push(at, i64::from_le_bytes(bytes))),
            Self::F4 | Self::F8 => {
                Err(FileError::UnsupportedType { got: format!("{self:?}"), expected: "an integer type" })
            }
        }
    }
}

/// A number that does not fit its use.
pub(super) fn value_error(
    what: &'static str,
    position: usize,
    got: impl ToString,
    expected: &'static str,
) -> FileError {
    FileError::Value { what, position, got: got.to_string(), expected }
}

/// Calls `take` with each of `count` numbers of `N` bytes.
fn each<const N: usize>(
    reader: &mut dyn Read,
    count: usize,
    mut take: impl FnMut(usize, [u8; N]) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut piece = vec![0; PIECE];
    let mut position = 0;
    while position < count {
        let wanted = (count - position).min(PIECE / N);
        let bytes = &mut piece[..wanted * N];
        reader.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let (got, expected) = (position as u64, count as u64);
                FileError::Length { what: "numbers (the data end early)", got, expected }
            }
            _ => error.into(),
        })?;
        for &number in bytes.as_chunks().0 {
            take(position, number)?;
            position += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(element: Element, bytes: &[u8]) -> Result<Vec<f32>, FileError> {
        let mut values = Vec::new();
        element.floats(&mut &*bytes, bytes.len() / element.size(), |_, value| values.push(value))?;
        Ok(values)
    }

    #[test]
    fn every_type_gives_its_values() {
        assert_eq!(floats(Element::U1, &[0, 255]).unwrap(), [0.0, 255.0]);
        assert_eq!(floats(Element::I1, &[128, 127]).unwrap(), [-128.0, 127.0]);
        assert_eq!(floats(Element::I4, &(-7_i32).to_le_bytes()).unwrap(), [-7.0]);
        assert_eq!(floats(Element::I8, &i64::MIN.to_le_bytes()).unwrap(), [-9_223_372_036_854_775_808.0]);
        assert_eq!(floats(Element::F4, &0.1_f32.to_le_bytes()).unwrap(), [0.1]);
        assert_eq!(floats(Element::F8, &0.1_f64.to_le_bytes()).unwrap(), [0.1]);
    }

    #[test]
    fn what_f32_cannot_hold_is_refused_at_its_position() {
        let exact = |value: i64| floats(Element::I8, &value.to_le_bytes()).is_ok();
        assert!(exact(1 << 24) && exact(3 << 40) && !exact((1 << 24) + 1) && !exact(i64::MAX));
        for value in [1e39, f64::NAN, f64::NEG_INFINITY, f64::MAX] {
            let bytes = [0.0, value].map(f64::to_le_bytes).concat();
            assert!(
                matches!(floats(Element::F8, &bytes), Err(FileError::Value { position: 1, .. })),
                "{value}"
            );
        }
        // The greatest f64 that still rounds to a finite f32 does.
        assert_eq!(floats(Element::F8, &3.402_823_5e38_f64.to_le_bytes()).unwrap(), [f32::MAX]);
    }

    #[test]
    fn a_stream_that_ends_early_says_so() {
        let error = Element::F4.floats(&mut &[0_u8; 10][..], 3, |_, _| ()).unwrap_err();
        assert!(matches!(error, FileError::Length { expected: 3, .. }), "{error}");
        // Nothing is reserved for what does not come.
        assert!(Element::F8.floats(&mut io::empty(), usize::MAX, |_, _| ()).is_err());
    }
}
