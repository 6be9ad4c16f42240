//! The members of a flat object, as the rows of nearly all files are: no member is an object or an array, and no text has an escape.
//!
//! What is not so, and what is not valid, is left to [`members`](super::members), which knows all of JSON and says what is wrong. It takes
//! twice as long.

use super::layout::{Member, Node};
use super::words;

/// Notes where the values of columns are in the text of an object. None: it is not flat, not valid, or has a value twice; some ranges may be
/// set then. `rejects_unknown`: the same if it has another member.
#[inline]
pub(super) fn read(
    text: &str,
    node: &Node,
    rejects_unknown: bool,
    ranges: &mut [Option<(usize, usize)>],
) -> Option<()> {
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0 };
    scan.take(b'{')?;
    scan.skip_blanks();
    if scan.peek()? == b'}' {
        return scan.end();
    }
    let mut hint = 0;
    loop {
        let name = scan.name()?;
        scan.skip_blanks();
        scan.take(b':')?;
        scan.skip_blanks();
        let start = scan.at;
        scan.value()?;
        match node.find(name, &mut hint) {
            Some(Member::Column(column)) => {
                let place = ranges.get_mut(*column)?;
                if place.replace((start, scan.at)).is_some() {
                    return None;
                }
            }
            Some(Member::Node(_)) => return None,
            None if rejects_unknown => return None,
            None => {}
        }
        scan.skip_blanks();
        if scan.peek()? == b'}' {
            return scan.end();
        }
        scan.take(b',')?;
        scan.skip_blanks();
    }
}

/// A place in the text of an object. None: the text is not as expected.
struct Scan<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Scan<'t> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips the closing brace, after which nothing may follow.
    fn end(&mut self) -> Option<()> {
        self.at += 1;
        self.skip_blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    /// Reads a text without escapes.
    #[inline]
    fn name(&mut self) -> Option<&'t str> {
        self.take(b'"')?;
        let start = self.at;
        self.at += words::plain_end(self.bytes.get(start..)?);
        let name = self.text.get(start..self.at)?;
        self.take(b'"')?;
        Some(name)
    }

    /// Skips a value that has no others in it.
    #[inline]
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.name().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Skips a number: <https://www.rfc-editor.org/rfc/rfc8259#section-6>.
    #[inline]
    fn number(&mut self) -> Option<()> {
        // A sign is optional.
        let _ = self.take(b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Skips digits, at least one.
    #[inline]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
