//! Cuts ClickHouse's SQL into tokens: enough to tell keywords from quoted text and comments.

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) text: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
    /// Brackets around it.
    pub(super) depth: usize,
    /// A bare word: keyword, name or number.
    pub(super) word: bool,
}

impl Token<'_> {
    /// Whether it is this keyword, in any case, or this punctuation.
    pub(super) fn is(&self, keyword: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The tokens of a text, without comments. Never fails: an unclosed quote ends with the text.
#[derive(Clone)]
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    position: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, depth: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn end_of(&self, needle: &[u8], from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        let found = rest.windows(needle.len()).position(|window| window == needle);
        found.map_or(self.text.len(), |offset| from + offset + needle.len())
    }

    /// Skips white space and comments.
    pub(super) fn skip_blank(&mut self) {
        loop {
            self.position = match self.rest() {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == b'\x0b' => self.position + 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => self.end_of(b"\n", self.position),
                [b'/', b'*', ..] => self.end_of_comment(),
                _ => return,
            };
        }
    }

    /// Block comments nest.
    fn end_of_comment(&self) -> usize {
        let mut position = self.position + 2;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.text.get(position..).unwrap_or_default() {
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

    /// The position behind a quoted text that begins here: a backslash escapes, a doubled quote stands for itself.
    fn end_of_quoted(&self, quote: u8) -> usize {
        let mut position = self.position + 1;
        loop {
            match self.text.get(position..).unwrap_or_default() {
                [] => return self.text.len(),
                [b'\\', ..] => position += 2,
                [first, second, ..] if *first == quote && *second == quote => position += 2,
                [first, ..] if *first == quote => return position + 1,
                _ => position += 1,
            }
        }
    }

    /// The position behind `$tag$ … $tag$`, or behind the dollar sign if it is no such thing.
    fn end_of_heredoc(&self) -> usize {
        let rest = self.rest();
        let tag =
            rest.iter().skip(1).position(|byte| *byte == b'$').and_then(|length| rest.get(..length + 2));
        match tag {
            Some(tag) if tag.iter().all(|byte| is_word(*byte) || *byte == b'$') => {
                self.end_of(tag, self.position + tag.len())
            }
            _ => self.position + 1,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let start = self.position;
        let first = *self.rest().first()?;
        let word = is_word(first);
        if matches!(first, b')' | b']' | b'}') {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        if matches!(first, b'(' | b'[' | b'{') {
            self.depth += 1;
        }
        let end = match first {
            b'\'' | b'"' | b'`' => self.end_of_quoted(first),
            b'$' => self.end_of_heredoc(),
            _ if word => start + self.rest().iter().take_while(|byte| is_word(**byte)).count(),
            _ => start + 1,
        };
        self.position = end.min(self.text.len());
        let text = self.text.get(start..self.position)?;
        Some(Token { text, start, end: self.position, depth, word })
    }
}
