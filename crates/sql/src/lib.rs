//! Cuts SQL into tokens by the rules of ClickHouse's own lexer (`src/Parsers/Lexer.cpp`, 26.7): for the embedded ClickHouse, and for the
//! SQL files of datasets.
//!
//! All of its rules are here: white space of Unicode, typographic quotes, numbers followed by a word (`.5INTO`), heredocs. What
//! the engine reads as a keyword must not be part of a name or of quoted text here.

use std::ops::ControlFlow;

/// The kind of the token before decides how a dot and a number are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bare: a keyword or a name.
    Word,
    /// A name in quotes.
    Name,
    Number,
    Dot,
    /// `)` or `]`.
    Closing,
    /// Text in quotes, an operator, or what the engine refuses.
    Other,
}

/// A word, a quoted text, a number or a sign.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub text: &'a [u8],
    /// The position of its first byte.
    pub start: usize,
    /// The position after its last byte.
    pub end: usize,
    /// The number of brackets around it.
    pub depth: usize,
    /// A bare word: keyword or name.
    pub word: bool,
}

impl Token<'_> {
    /// Whether it is this keyword, in any case, or this punctuation.
    pub fn is(&self, keyword: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }

    /// The text without quotes around it.
    pub fn unquoted(&self) -> String {
        let text = match self.text {
            [b'\'', quoted @ .., b'\''] => quoted,
            _ => self.name(),
        };
        String::from_utf8_lossy(text).into_owned()
    }

    /// Whether it is this name, bare or in quotes.
    pub fn is_name(&self, name: &[u8]) -> bool {
        self.name() == name
    }

    /// Whether it is a name in quotes, which are closed.
    pub fn is_quoted_name(&self) -> bool {
        self.name() != self.text
    }

    /// A name without the quotes that it may have.
    fn name(&self) -> &[u8] {
        match self.text {
            [b'`', name @ .., b'`'] | [b'"', name @ .., b'"'] => name,
            [0xe2, 0x80, 0x9c, name @ .., 0xe2, 0x80, 0x9d] => name,
            bare => bare,
        }
    }
}

/// The tokens of a text, without comments. It never fails: an unclosed quote or comment ends with the text.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
    previous: Option<Kind>,
}

impl<'a> Tokens<'a> {
    /// Begins with the first token of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, depth: 0, previous: None }
    }

    /// Returns the position after the last token.
    pub fn position(&self) -> usize {
        self.position
    }

    fn from(&self, position: usize) -> &'a [u8] {
        self.text.get(position..).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.from(self.position)
    }

    /// The position after the next `needle`, if there is one.
    fn after(&self, needle: &[u8], from: usize) -> Option<usize> {
        memchr::memmem::find(self.from(from), needle).map(|offset| from + offset + needle.len())
    }

    /// The position after the bytes from `from` on that `belongs` accepts.
    fn while_at(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        from + self.from(from).iter().take_while(|byte| belongs(**byte)).count()
    }

    /// Skips white space and comments.
    pub fn skip_blank(&mut self) {
        while let ControlFlow::Continue(end) = self.end_of_blank() {
            self.position = end;
        }
    }

    fn end_of_blank(&self) -> ControlFlow<(), usize> {
        let end_of_line =
            || memchr::memchr(b'\n', self.rest()).map_or(self.text.len(), |at| self.position + at);
        match self.rest() {
            [b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'\x0b', ..] => {
                ControlFlow::Continue(self.position + 1)
            }
            [b'-', b'-', ..] | [b'/', b'/', ..] | [b'#', b' ' | b'!', ..] => {
                ControlFlow::Continue(end_of_line())
            }
            [b'/', b'*', ..] => ControlFlow::Continue(self.end_of_comment()),
            rest => match unicode_space(rest) {
                0 => ControlFlow::Break(()),
                bytes => ControlFlow::Continue(self.position + bytes),
            },
        }
    }

    /// Block comments nest.
    fn end_of_comment(&self) -> usize {
        let mut position = self.position + 2;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.from(position) {
                [b'*', b'/', ..] => {
                    depth -= 1;
                    position += 2;
                }
                [b'/', b'*', ..] => {
                    depth += 1;
                    position += 2;
                }
                [_, ..] => position += 1,
                [] => return self.text.len(),
            }
        }
        position
    }

    /// The kind of the token that begins here, and the position after it.
    fn token(&self) -> Option<(Kind, usize)> {
        let start = self.position;
        Some(match self.rest() {
            [] => return None,
            [b'0'..=b'9', ..] if self.previous == Some(Kind::Dot) => {
                self.after_digits(self.digits(start, false, false))
            }
            [b'0'..=b'9', ..] => self.after_digits(self.number(start)),
            [b'.', rest @ ..] if self.is_dot(rest) => (Kind::Dot, start + 1),
            [b'.', ..] => (Kind::Number, self.exponent(self.digits(start + 1, true, false), false)),
            [quote @ (b'"' | b'`'), ..] => (Kind::Name, self.end_of_quoted(*quote)),
            [b'\'', ..] => (Kind::Other, self.end_of_quoted(b'\'')),
            // Typographic quotes, single and double: nothing is escaped in them.
            [0xe2, 0x80, 0x98, _, _, _, ..] => {
                (Kind::Other, self.after("’".as_bytes(), start + 3).unwrap_or(self.text.len()))
            }
            [0xe2, 0x80, 0x9c, _, _, _, ..] => {
                (Kind::Name, self.after("”".as_bytes(), start + 3).unwrap_or(self.text.len()))
            }
            [b'$', ..] => self.dollar(),
            [b'x' | b'X', b'\'', _, ..] => (Kind::Other, self.end_of_digits(|byte| byte.is_ascii_hexdigit())),
            [b'b' | b'B', b'\'', _, ..] => {
                (Kind::Other, self.end_of_digits(|byte| matches!(byte, b'0' | b'1')))
            }
            [byte, ..] if is_word(*byte) => {
                (Kind::Word, self.while_at(start, |byte| is_word(byte) || byte == b'$'))
            }
            [b')' | b']', ..] => (Kind::Closing, start + 1),
            [b'\\', b'G', ..] => (Kind::Other, start + 2),
            // Other operators of several characters are several tokens here, which hides no word and no comment.
            _ => (Kind::Other, start + 1),
        })
    }

    /// Whether a dot, followed by `rest`, stands between two names and does not begin a number.
    fn is_dot(&self, rest: &[u8]) -> bool {
        let after_value =
            matches!(self.previous, Some(Kind::Closing | Kind::Word | Kind::Name | Kind::Number));
        self.position > 0 && (after_value || !rest.first().is_some_and(u8::is_ascii_digit))
    }

    /// Digits, and single underscores between them, which cannot come first where `first` is set.
    fn digits(&self, from: usize, mut first: bool, hexadecimal: bool) -> usize {
        let is_digit = |byte: &u8| if hexadecimal { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        let mut position = from;
        loop {
            match self.from(position) {
                [byte, ..] if is_digit(byte) => {}
                [b'_', next, ..] if !first && is_digit(next) => {}
                _ => return position,
            }
            position += 1;
            first = false;
        }
    }

    fn number(&self, start: usize) -> usize {
        let (from, hexadecimal) = match self.rest() {
            [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (start + 2, true),
            [b'0', b'b' | b'B', b'0' | b'1', ..] => (start + 2, false),
            _ => (start, false),
        };
        let mut end = self.digits(from, from > start, hexadecimal);
        if self.from(end).first() == Some(&b'.') {
            end = self.digits(end + 1, true, hexadecimal);
        }
        self.exponent(end, hexadecimal)
    }

    /// The position after an exponent, if one begins at `from`.
    fn exponent(&self, from: usize, hexadecimal: bool) -> usize {
        let sign = match self.from(from) {
            [b'p' | b'P', _, ..] if hexadecimal => from + 1,
            [b'e' | b'E', _, ..] if !hexadecimal => from + 1,
            _ => return from,
        };
        let signed = matches!(self.from(sign), [b'-' | b'+', _, ..]);
        self.digits(sign + usize::from(signed), true, false)
    }

    /// What a number is together with a word right after it: a name that begins with digits, or an error.
    fn after_digits(&self, end: usize) -> (Kind, usize) {
        if !self.from(end).first().is_some_and(|byte| is_word(*byte)) {
            return (Kind::Number, end);
        }
        let end = self.while_at(end, is_word);
        let is_name =
            self.text.get(self.position..end).is_some_and(|name| name.iter().all(|byte| is_word(*byte)));
        (if is_name { Kind::Word } else { Kind::Other }, end)
    }

    /// The position after a quoted text that begins here: a backslash escapes, a doubled quote stands for itself.
    fn end_of_quoted(&self, quote: u8) -> usize {
        let mut position = self.position + 1;
        loop {
            match self.from(position) {
                [] => return self.text.len(),
                [b'\\', ..] => position += 2,
                [first, second, ..] if *first == quote && *second == quote => position += 2,
                [first, ..] if *first == quote => return position + 1,
                _ => position += 1,
            }
        }
    }

    /// The position after `x'…'` or `b'…'`; with anything but digits in it, it is an error up to the end.
    fn end_of_digits(&self, is_digit: impl Fn(u8) -> bool) -> usize {
        let end = self.while_at(self.position + 2, is_digit);
        if self.from(end).first() == Some(&b'\'') { end + 1 } else { self.text.len() }
    }

    /// `$tag$ … $tag$`, or a dollar sign, alone or at the beginning of a word.
    fn dollar(&self) -> (Kind, usize) {
        let start = self.position;
        let tag_end = self.while_at(start + 1, is_word) + 1;
        let tag = self.text.get(start..tag_end).filter(|tag| tag.ends_with(b"$"));
        if let Some(end) = tag.and_then(|tag| self.after(tag, tag_end)) {
            return (Kind::Other, end);
        }
        match self.from(start + 1) {
            [byte, ..] if is_word(*byte) => {
                (Kind::Word, self.while_at(start, |byte| is_word(byte) || byte == b'$'))
            }
            _ => (Kind::Other, start + 1),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Bytes of the white space beyond ASCII that a text begins with: U+0085 00A0 180E 2000…200D 2028 2029 202F 205F 2060 3000
/// FEFF.
fn unicode_space(text: &[u8]) -> usize {
    match text {
        [0xc2, 0x85 | 0xa0, ..] => 2,
        [0xe1, 0xa0, 0x8e, ..]
        | [0xe2, 0x80, 0x80..=0x8d | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f | 0xa0, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// Each token of a text with the one after it. Nothing is kept: a statement may have millions of tokens.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (Token<'_>, Token<'_>)> {
    triples(Tokens::new(text)).filter_map(|(first, second, _)| Some((first, second?)))
}

/// Each token with the two after it. Nothing else is kept.
pub fn triples<'a>(
    mut tokens: impl Iterator<Item = Token<'a>>,
) -> impl Iterator<Item = (Token<'a>, Option<Token<'a>>, Option<Token<'a>>)> {
    let mut ahead = [tokens.next(), tokens.next()];
    std::iter::from_fn(move || {
        let [first, second] = ahead;
        ahead = [second, second.and_then(|_| tokens.next())];
        Some((first?, second, ahead[1]))
    })
}

/// The tokens of a text, with the value of a parameter in the place of its `{name:Identifier}`.
#[derive(Debug)]
pub struct Named<'a> {
    tokens: Tokens<'a>,
    parameters: &'a [(String, String)],
}

impl<'a> Named<'a> {
    /// `parameters`: their names and values.
    pub fn new(text: &'a [u8], parameters: &'a [(String, String)]) -> Self {
        Self { tokens: Tokens::new(text), parameters }
    }

    /// The name that a parameter stands for, if `open` begins one, and the tokens after it.
    fn identifier(&self, open: Token<'a>) -> Option<(Token<'a>, Tokens<'a>)> {
        let mut ahead = self.tokens.clone();
        let [name, colon, kind, close] = [ahead.next()?, ahead.next()?, ahead.next()?, ahead.next()?];
        if !(colon.is(b":") && kind.is_name(b"Identifier") && close.is(b"}")) {
            return None;
        }
        let (_, value) = self.parameters.iter().find(|(parameter, _)| name.is_name(parameter.as_bytes()))?;
        Some((Token { text: value.as_bytes(), end: close.end, word: false, ..open }, ahead))
    }
}

impl<'a> Iterator for Named<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.next()?;
        if token.is(b"{")
            && let Some((name, rest)) = self.identifier(token)
        {
            self.tokens = rest;
            return Some(name);
        }
        Some(token)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let start = self.position;
        let (kind, end) = self.token()?;
        self.position = end.min(self.text.len());
        self.previous = Some(kind);
        let text = self.text.get(start..self.position)?;
        if matches!(text, b")" | b"]" | b"}") {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        if matches!(text, b"(" | b"[" | b"{") {
            self.depth += 1;
        }
        Some(Token { text, start, end: self.position, depth, word: kind == Kind::Word })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<&str> {
        Tokens::new(text.as_bytes()).map(|token| std::str::from_utf8(token.text).unwrap_or("?")).collect()
    }

    #[test]
    fn white_space_and_comments_of_every_kind_part_words() {
        for space in [
            "\u{85}",
            "\u{a0}",
            "\u{180e}",
            "\u{2000}",
            "\u{200b}",
            "\u{200d}",
            "\u{2028}",
            "\u{2029}",
            "\u{202f}",
            "\u{205f}",
            "\u{2060}",
            "\u{3000}",
            "\u{feff}",
            "\x0b",
            "\x0c",
            "\r",
            "/**/",
            "/*/**/*/",
            "--\n",
            "//x\n",
            "# x\n",
            "#!x\n",
            "\u{a0}\u{3000} ",
        ] {
            assert_eq!(tokens(&format!("INTO{space}OUTFILE")), ["INTO", "OUTFILE"], "{space:?}");
        }
    }

    #[test]
    fn quotes_of_every_kind_hide_what_is_in_them_and_nothing_else() {
        let cases: [(&str, &[&str]); 13] = [
            ("‘a'’ b", &["‘a'’", "b"]),
            ("“a\"” b", &["“a\"”", "b"]),
            ("‘a\\’ b", &["‘a\\’", "b"]),
            ("'a‘' b", &["'a‘'", "b"]),
            ("'a\\'' b", &["'a\\''", "b"]),
            ("`a``b` c", &["`a``b`", "c"]),
            ("$$'$$ b", &["$$'$$", "b"]),
            ("$t$ '$$ $t$ b", &["$t$ '$$ $t$", "b"]),
            ("$a ' b'", &["$a", "' b'"]),
            ("$a b$ ' $a b$ '", &["$a", "b$", "' $a b$ '"]),
            ("x'4f'b", &["x'4f'", "b"]),
            ("x'4g'b", &["x'4g'b"]),
            ("b'01'b", &["b'01'", "b"]),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_ends_where_a_word_begins_only_if_the_engine_sees_it_so() {
        let cases: [(&str, &[&str]); 13] = [
            (".5INTO", &[".5", "INTO"]),
            ("SELECT -.5INTO", &["SELECT", "-", ".5", "INTO"]),
            ("SELECT .5INTO", &["SELECT", ".", "5INTO"]),
            ("1INTO", &["1INTO"]),
            ("1.5INTO", &["1.5INTO"]),
            ("1e5 INTO", &["1e5", "INTO"]),
            ("0x1fINTO", &["0x1fINTO"]),
            ("0x1f INTO", &["0x1f", "INTO"]),
            ("1_000 INTO", &["1_000", "INTO"]),
            ("a.1.2", &["a", ".", "1", ".", "2"]),
            ("(1).5INTO", &["(", "1", ")", ".", "5INTO"]),
            ("t.format", &["t", ".", "format"]),
            ("\\GINTO", &["\\G", "INTO"]),
        ];
        for (text, expected) in cases {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
