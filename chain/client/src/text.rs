//! Bytes for people and for JSON: text where they are text, hexadecimal where they are not or where that is shorter.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// A stored value, as JSON: `{"text": …}` or `{"hex": …}`. Shown to people without its control characters.
///
/// ```
/// use tensor_client::text::Data;
/// assert_eq!(serde_json::to_string(&Data::of(b"hi"))?, r#"{"text":"hi"}"#);
/// let data: Data = serde_json::from_str(r#"{"hex":"00ff"}"#)?;
/// assert_eq!(data.into_bytes()?, [0, 255]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// UTF-8 text.
    Text(String),
    /// Anything else, and text that is shorter so: JSON escapes a control character with up to six bytes.
    Hex(String),
}

/// Text that should be hexadecimal and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected pairs of hexadecimal digits")]
pub struct NotHex;

impl Data {
    /// The bytes as text if they are and if that is no longer in JSON, else as hexadecimal: never more than twice as
    /// long as they are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if escaped_len(text) <= 2 * bytes.len() => Self::Text(text.to_owned()),
            _ => Self::Hex(hex(bytes)),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// [`Hex`](Self::Hex) with anything else in it.
    pub fn into_bytes(self) -> Result<Vec<u8>, NotHex> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Hex(hex) => unhex(&hex).ok_or(NotHex),
        }
    }
}

impl std::fmt::Display for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Control characters would let a stored value write to the terminal.
            Self::Text(text) => text.chars().try_for_each(|c| match c.is_control() {
                true => write!(f, "{}", c.escape_default()),
                false => f.write_char(c),
            }),
            Self::Hex(hex) => write!(f, "0x{hex}"),
        }
    }
}

/// How many bytes a text takes between the quotes of JSON.
fn escaped_len(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\x08' | b'\t' | b'\n' | b'\x0c' | b'\r' => r"\n".len(),
        0..b' ' => r"\u0000".len(),
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a hexadecimal text, if it is one.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_round_trips_and_refuses_the_rest() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        for bad in ["0", "0g", "é"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_escapes_would_make_longer_is_hexadecimal() {
        for c in (0..=0xff).filter_map(char::from_u32) {
            let json = serde_json::to_string(&c.to_string()).unwrap();
            assert_eq!(escaped_len(&c.to_string()) + 2, json.len(), "{json}");
        }
        assert_eq!(Data::of(&[0; 3]), Data::Hex("000000".to_owned()));
        for text in ["", "\n\t", "\"\\", "a long line with its \x1b", "é"] {
            assert_eq!(Data::of(text.as_bytes()), Data::Text(text.to_owned()));
        }
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(Data::of(b"a\x1b[31mb").to_string(), "a\\u{1b}[31mb");
        assert_eq!(Data::of(&[0xff]).to_string(), "0xff");
    }
}
