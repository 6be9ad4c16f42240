//! Text as ClickHouse stores it: a String may contain any bytes.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer, de};

/// Bytes that are valid UTF-8 if Roundhouse wrote them. Other programs may write to the tables too, and an invalid row of theirs must not
/// make the other rows unreadable.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Vec<u8>);

impl Text {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text to show. U+FFFD replaces invalid UTF-8.
    pub fn shown(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Like [`Text::shown`], but does not copy valid UTF-8.
    pub fn into_shown(self) -> String {
        String::from_utf8(self.0)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Returns the value for a parameter `{name:String}`: exactly these bytes, escaped as ClickHouse expects.
    pub fn parameter(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' => out.push_str("\\\\"),
                    '\t' => out.push_str("\\t"),
                    '\n' => out.push_str("\\n"),
                    '\'' => out.push_str("\\'"),
                    letter => out.push(letter),
                }
            }
            for byte in chunk.invalid() {
                // Writing to memory cannot fail.
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
        out
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a String")
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Text, E> {
                Ok(Text(bytes))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_utf8_is_shown_as_replacement_characters_and_passed_on_unchanged() {
        let text = Text::from(b"a\xff'\\\tb\xf0\x9f\x92".to_vec());
        assert_eq!(text.shown(), "a\u{fffd}'\\\tb\u{fffd}");
        assert_eq!(text.parameter(), r"a\xFF\'\\\tb\xF0\x9F\x92");
        assert_eq!(text.clone().into_shown(), text.shown());
        assert_eq!(Text::from("Café".as_bytes().to_vec()).parameter(), "Café");
    }
}
