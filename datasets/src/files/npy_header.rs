//! The header of a `.npy`: magic, version, and a Python dictionary with type, order and shape.
//!
//! Only what numpy itself writes is read: three keys, in any order, with plain values.

use std::io::{Read, Write};

use super::FileError;

/// First bytes of every `.npy`.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read; numpy refuses from 10,000 bytes on.
const MAX_HEADER: u32 = 16 << 10;
/// Most dimensions that are read.
const MAX_DIMENSIONS: usize = 8;
/// What the dictionary has to be.
const DICTIONARY: &str = "a dictionary of 'descr', 'fortran_order' and 'shape'";

/// What a `.npy` says of its array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Type of its numbers, e.g. `<f4`.
    pub(super) descr: String,
    /// Stored column by column.
    pub(super) fortran_order: bool,
    /// Length of each dimension, outermost first.
    pub(super) shape: Vec<u64>,
    /// Bytes before the first number.
    pub(super) bytes: u64,
}

impl Header {
    /// Reads up to the first number.
    pub(super) fn read(reader: &mut impl Read) -> Result<Self, FileError> {
        let mut start = [0; 8];
        reader.read_exact(&mut start)?;
        let [magic @ .., major, _minor] = start;
        if magic != *MAGIC {
            return Err(FileError::BadMagic { got: magic.to_vec(), expected: MAGIC });
        }
        let (len, width) = match major {
            1 => {
                let mut len = [0; 2];
                reader.read_exact(&mut len)?;
                (u16::from_le_bytes(len).into(), 2)
            }
            2 | 3 => {
                let mut len = [0; 4];
                reader.read_exact(&mut len)?;
                (u32::from_le_bytes(len), 4)
            }
            got => return Err(FileError::UnknownVersion { got }),
        };
        if len > MAX_HEADER {
            return Err(FileError::BadHeader {
                got: format!("{len} bytes"),
                expected: "at most 16,384 bytes",
            });
        }
        let mut text = vec![0; len as usize];
        reader.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let bytes = 8 + width + u64::from(len);
        parse(&text, bytes).ok_or(FileError::BadHeader { got: text, expected: DICTIONARY })
    }

    /// Writes version 1.0, padded so that numbers begin at a multiple of 64 bytes.
    pub(super) fn write(writer: &mut impl Write, descr: &str, shape: &[u64]) -> std::io::Result<()> {
        let lengths: Vec<_> = shape.iter().map(u64::to_string).collect();
        // A tuple of one needs its comma.
        let comma = if shape.len() == 1 { "," } else { "" };
        let shape = format!("({}{comma})", lengths.join(", "));
        let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let padding = (MAGIC.len() + 4 + dictionary.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
        writer.write_all(MAGIC)?;
        writer.write_all(&[1, 0])?;
        // Types and shapes written here take far less than 64 KiB.
        writer.write_all(&(padding as u16).to_le_bytes())?;
        writeln!(writer, "{dictionary:<width$}", width = padding - 1)
    }
}

fn parse(text: &str, bytes: u64) -> Option<Header> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim_start();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let fresh;
        (fresh, rest) = match key {
            "descr" => {
                let (value, after) = quoted(after)?;
                (descr.replace(value).is_none(), after)
            }
            "fortran_order" => {
                let (value, after) = boolean(after)?;
                (fortran_order.replace(value).is_none(), after)
            }
            "shape" => {
                let (value, after) = tuple(after)?;
                (shape.replace(value).is_none(), after)
            }
            _ => return None,
        };
        if !fresh {
            return None;
        }
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(Header { descr: descr?.to_owned(), fortran_order: fortran_order?, shape: shape?, bytes })
}

/// A quoted text without escapes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote).filter(|(inside, _)| !inside.contains('\\'))
}

fn boolean(text: &str) -> Option<(bool, &str)> {
    let value = |word, value| text.strip_prefix(word).map(|after| (value, after));
    value("True", true).or_else(|| value("False", false))
}

/// A tuple of lengths, and what follows it.
fn tuple(text: &str) -> Option<(Vec<u64>, &str)> {
    let (inside, after) = text.strip_prefix('(')?.split_once(')')?;
    let inside = inside.trim();
    let lengths = inside.strip_suffix(',').unwrap_or(inside);
    if lengths.is_empty() {
        return Some((Vec::new(), after));
    }
    // Python 2 wrote long integers with an L behind.
    let length = |field: &str| field.trim().trim_end_matches('L').parse().ok();
    let lengths: Vec<u64> = lengths.split(',').take(MAX_DIMENSIONS + 1).map(length).collect::<Option<_>>()?;
    (lengths.len() <= MAX_DIMENSIONS).then_some((lengths, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[][..], &[0], &[7], &[60_000, 784], &[u64::MAX, 1, 2]] {
            let mut bytes = Vec::new();
            Header::write(&mut bytes, "<f4", shape).unwrap();
            assert_eq!(bytes.len() % 64, 0);
            let header = Header::read(&mut &*bytes).unwrap();
            let expected = Header {
                descr: "<f4".into(),
                fortran_order: false,
                shape: shape.to_vec(),
                bytes: bytes.len() as u64,
            };
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn keys_may_come_in_any_order_but_once_each() {
        let parse = |text: &str| parse(text, 0);
        let header = parse("{\"shape\":(3L,4L),'fortran_order':True , 'descr' : '|u1'}  \n").unwrap();
        assert_eq!((header.fortran_order, &*header.shape, &*header.descr), (true, &[3, 4][..], "|u1"));
        for bad in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3), 'shape': (3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,,4)}",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        let long = [&MAGIC[..], &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert!(matches!(Header::read(&mut &*long), Err(FileError::BadHeader { .. })));
        assert!(matches!(
            Header::read(&mut &b"\x93NUMPY\x04\0"[..]),
            Err(FileError::UnknownVersion { got: 4 })
        ));
        assert!(matches!(Header::read(&mut &b"PK\x03\x04    "[..]), Err(FileError::BadMagic { .. })));
        assert!(matches!(Header::read(&mut &b"\x93NUM"[..]), Err(FileError::Io(_))));
    }
}
