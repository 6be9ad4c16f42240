//! What a text must match: a regular expression for the whole text. Matching takes time linear in its length (crate `regex`).

use regex::bytes::{Regex, RegexBuilder};

/// Largest size of a compiled pattern, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A pattern. Two are equal if they are written in the same way.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// # Errors
    /// It is not a regular expression, or is too large. The text says why.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_BYTES).build();
        // By itself first: `a)|(b` would be a pattern once it stands in brackets.
        let whole = compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")));
        match whole {
            Ok(whole) => Ok(Self { text: text.to_owned(), whole }),
            Err(regex::Error::CompiledTooBig(limit)) => {
                Err(format!("it needs more than {limit} bytes; use fewer or smaller repetitions"))
            }
            Err(error) => Err(last_line(&error.to_string()).to_owned()),
        }
    }

    /// Returns the pattern as the schema has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says whether the whole text matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.whole.is_match(text)
    }
}

/// The cause in an error of several lines, of which the first ones show the pattern.
fn last_line(error: &str) -> &str {
    error.lines().last().unwrap_or(error).trim_start_matches("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts_only() {
        let pattern = Pattern::new("[A-Z]{2}|x").unwrap();
        for (text, is_match) in [("EU", true), ("x", true), ("EUR", false), ("EUx", false), ("EU\n", false)] {
            assert_eq!(pattern.matches(text.as_bytes()), is_match, "{text:?}");
        }
        assert!(Pattern::new("é+").unwrap().matches("éé".as_bytes()));
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused() {
        assert_eq!(Pattern::new("[a-").unwrap_err(), "unclosed character class");
        assert!(Pattern::new("a)|(b").is_err());
        assert!(Pattern::new("(?:a{1000}){1000}").unwrap_err().contains("bytes"));
    }
}
