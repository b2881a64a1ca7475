//! Unsigned LEB128: seven bits a byte, low bits first, the high bit says that more follow.

use super::decode::{WireError, take};

/// Bytes that `value` takes.
pub(super) fn len(value: u32) -> usize {
    // 0 takes one byte, as 1 does.
    let bits = u32::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends `value`.
pub(super) fn write(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a value off the front of `input`. One padded with zero groups is read as well: the decoder
/// finds it by encoding again.
pub(super) fn read(input: &mut &[u8]) -> Result<u32, WireError> {
    let mut value = 0u64;
    for shift in (0..5).map(|group| 7 * group) {
        let [byte] = take(input)?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return u32::try_from(value).map_err(|_| WireError::IntegerTooLong);
        }
    }
    Err(WireError::IntegerTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_round_trips() {
        for value in (0..32).flat_map(|bit| [(1u32 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u32::MAX]) {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(bytes.len(), len(value), "{value}");
            assert_eq!(read(&mut &bytes[..]), Ok(value));
            assert_eq!(read(&mut &bytes[..bytes.len() - 1]), Err(WireError::Truncated { got: 0, needed: 1 }));
        }
    }

    #[test]
    fn values_of_more_than_32_bits_are_refused() {
        assert_eq!(read(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..]), Ok(u32::MAX));
        assert_eq!(read(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x10][..]), Err(WireError::IntegerTooLong));
        assert_eq!(read(&mut &[0x80; 9][..]), Err(WireError::IntegerTooLong));
    }
}
