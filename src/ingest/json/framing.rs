//! Text to the texts of rows: the lines of NDJSON, the elements of a JSON array, or objects one after the other.
//!
//! Only brackets, quotes and commas are looked at. Whether a row is valid JSON is found out later, so that an invalid one is rejected and the
//! rest of the file goes on.

use memchr::memchr2;

use super::words;
use crate::ingest::FileError;
use crate::ingest::format::FileFormat;
use crate::ingest::records::LineCounter;

/// Characters of a text that is not JSON that an error shows.
const SHOWN_CHARACTERS: usize = 120;

/// How the rows of a file follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One on each line.
    Lines,
    /// Between commas, in brackets.
    Array,
    /// Objects that may take several lines.
    Objects,
    /// All text is one row.
    One,
}

/// The text of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct RowText<'a> {
    /// The number of the row: of the line on which it begins. Of several rows on one line, each further one has the next number, so that a
    /// number stands for one row only.
    pub(in crate::ingest) number: u64,
    /// The line on which it begins, from 1.
    pub(in crate::ingest) line: u64,
    /// Without blanks around it.
    pub(in crate::ingest) raw: &'a [u8],
    /// The file ended before its array was closed.
    pub(in crate::ingest) is_cut_off: bool,
}

/// Brackets and quotes that are open.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: u32,
    is_in_text: bool,
}

/// Reads the texts of rows from text that arrives piece by piece. Memory is bounded by the limit of a row and the size of a piece.
#[derive(Debug)]
pub(in crate::ingest) struct RowTexts {
    /// None: it is not known yet.
    shape: Option<Shape>,
    /// The sender says that each line is a row.
    are_lines: bool,
    max_row_bytes: usize,
    text: Vec<u8>,
    /// Where the next row begins in `text`.
    start: usize,
    /// Bytes after `start` in which the row does not end.
    searched: usize,
    nesting: Nesting,
    lines: LineCounter,
    last_number: u64,
    /// The array's opening bracket was read, and its closing one was not.
    is_open: bool,
    /// A comma was read after the last element.
    is_after_comma: bool,
}

impl RowTexts {
    pub(in crate::ingest) fn new(format: FileFormat, max_row_bytes: usize) -> Self {
        Self {
            shape: (format == FileFormat::JsonRow).then_some(Shape::One),
            are_lines: format == FileFormat::NdJson,
            max_row_bytes,
            text: Vec::new(),
            start: 0,
            searched: 0,
            nesting: Nesting::default(),
            lines: LineCounter::default(),
            last_number: 0,
            is_open: false,
            is_after_comma: false,
        }
    }

    /// The buffer to whose end new text is to be added.
    pub(in crate::ingest) fn buffer(&mut self) -> &mut Vec<u8> {
        // What has been read is removed here, once for each piece, and not after each row.
        self.text.drain(..self.start);
        self.start = 0;
        &mut self.text
    }

    /// What was added and not read yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// Number of the line with which [`unread`](Self::unread) begins.
    pub(super) fn line(&self) -> u64 {
        self.lines.next
    }

    /// Counts a line end that the text does not have: all of it was read, and what follows begins another line.
    pub(super) fn end_line(&mut self) {
        self.lines.next += 1;
        self.lines.after_cr = false;
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Returns the next row; none if more text is needed, or, with `last`, if there is no more.
    ///
    /// # Errors
    /// The row is longer than the limit, or the text is not JSON.
    pub(in crate::ingest) fn next(&mut self, last: bool) -> Result<Option<RowText<'_>>, FileError> {
        let Some(shape) = self.find_shape(last)? else { return Ok(None) };
        match shape {
            Shape::Lines => self.next_line(last),
            Shape::Array => self.next_element(last),
            Shape::Objects => self.next_object(last),
            Shape::One => {
                self.skip_blanks();
                self.finish(None, last, false)
            }
        }
    }

    /// Finds out how rows follow each other. None: more text is needed.
    fn find_shape(&mut self, last: bool) -> Result<Option<Shape>, FileError> {
        if self.shape.is_some() {
            return Ok(self.shape);
        }
        self.skip_blanks();
        let rest = self.unread();
        self.shape = match rest.first() {
            None => None,
            Some(b'[') => Some(Shape::Array),
            Some(b'{') if self.are_lines => Some(Shape::Lines),
            Some(b'{') => shape_of_objects(rest, last || rest.len() > self.max_row_bytes),
            Some(_) => {
                let line = rest.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
                let line = String::from_utf8_lossy(line).chars().take(SHOWN_CHARACTERS).collect();
                return Err(FileError::NotJson { line });
            }
        };
        Ok(self.shape)
    }

    fn next_line(&mut self, last: bool) -> Result<Option<RowText<'_>>, FileError> {
        self.skip_blanks_before_row();
        let rest = self.text.get(self.start..).unwrap_or_default();
        let unsearched = rest.get(self.searched..).unwrap_or_default();
        let end = memchr2(b'\r', b'\n', unsearched).map(|at| at + self.searched);
        self.finish(end, last, false)
    }

    fn next_object(&mut self, last: bool) -> Result<Option<RowText<'_>>, FileError> {
        self.skip_blanks_before_row();
        let end = self.search();
        self.finish(end, last, false)
    }

    fn next_element(&mut self, last: bool) -> Result<Option<RowText<'_>>, FileError> {
        loop {
            self.skip_blanks_before_row();
            let rest = self.text.get(self.start..).unwrap_or_default();
            match rest.first() {
                Some(b'[') if !self.is_open => {
                    (self.is_open, self.is_after_comma) = (true, false);
                    self.start += 1;
                }
                // After an array nothing but another one may follow.
                Some(_) if !self.is_open => {
                    let end = memchr2(b'\r', b'\n', rest);
                    return self.finish(end, last, false);
                }
                Some(b']') if !self.is_after_comma => {
                    self.is_open = false;
                    self.start += 1;
                }
                Some(_) => {
                    let found = self.search();
                    return self.finish_element(found, last);
                }
                None if last && self.is_open => {
                    self.is_open = false;
                    return Ok(Some(self.take(0, true)));
                }
                None => return Ok(None),
            }
        }
    }

    /// Ends an element at its separator, which is skipped.
    fn finish_element(&mut self, found: Option<usize>, last: bool) -> Result<Option<RowText<'_>>, FileError> {
        let Some(end) = found else {
            // Without its separator, what there is of the array at the end of the file may lack something.
            let is_cut_off = last && self.is_open;
            self.is_open &= !last;
            return self.finish(None, last, is_cut_off);
        };
        self.check_length(end)?;
        let separator = self.text.get(self.start + end).copied();
        let begin = self.start;
        let (number, line) = self.number();
        self.skip(end + 1);
        (self.is_open, self.is_after_comma) = (separator == Some(b','), separator == Some(b','));
        let raw = self.text.get(begin..begin + end).unwrap_or_default().trim_ascii();
        Ok(Some(RowText { number, line, raw, is_cut_off: false }))
    }

    /// Ends a row. `end`: none if the text does not have it.
    fn finish(
        &mut self,
        end: Option<usize>,
        last: bool,
        is_cut_off: bool,
    ) -> Result<Option<RowText<'_>>, FileError> {
        let length = self.unread().len();
        let Some(end) = end.or(last.then_some(length)) else {
            if !matches!(self.shape, Some(Shape::Array | Shape::Objects)) {
                self.searched = length;
            }
            self.check_length(length)?;
            return Ok(None);
        };
        if end == 0 {
            return Ok(None);
        }
        self.check_length(end)?;
        Ok(Some(self.take(end, is_cut_off)))
    }

    /// Takes a row of this length.
    fn take(&mut self, length: usize, is_cut_off: bool) -> RowText<'_> {
        let begin = self.start;
        let (number, line) = self.number();
        self.skip(length);
        let raw = self.text.get(begin..begin + length).unwrap_or_default().trim_ascii();
        RowText { number, line, raw, is_cut_off }
    }

    /// Numbers the row that begins here.
    fn number(&mut self) -> (u64, u64) {
        let line = self.lines.next;
        self.last_number = line.max(self.last_number + 1);
        (self.last_number, line)
    }

    /// Skips text that was read.
    fn skip(&mut self, length: usize) {
        self.lines.count(self.text.get(self.start..self.start + length).unwrap_or_default());
        self.start += length;
        (self.searched, self.nesting) = (0, Nesting::default());
    }

    fn skip_blanks_before_row(&mut self) {
        if self.searched == 0 {
            self.skip_blanks();
        }
    }

    fn skip_blanks(&mut self) {
        let blanks = self.unread().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if blanks > 0 {
            self.skip(blanks);
        }
    }

    /// Searches on for the end of a row. Returns its length; none if more text is needed.
    fn search(&mut self) -> Option<usize> {
        let is_array = self.shape == Some(Shape::Array);
        let rest = self.text.get(self.start..).unwrap_or_default();
        let mut at = self.searched;
        let found = search(rest, &mut at, &mut self.nesting, is_array);
        self.searched = at;
        found
    }

    fn check_length(&self, length: usize) -> Result<(), FileError> {
        if length > self.max_row_bytes {
            return Err(FileError::LineTooLong { line: self.lines.next, limit: self.max_row_bytes });
        }
        Ok(())
    }
}

/// Searches for the end of a row, from `at` on. `is_array`: rows end before a comma or the bracket that closes the array, otherwise after the
/// bracket that closes an object, or at a line end outside of all brackets.
fn search(rest: &[u8], at: &mut usize, nesting: &mut Nesting, is_array: bool) -> Option<usize> {
    while let Some(&byte) = rest.get(*at) {
        let tail = rest.get(*at..).unwrap_or_default();
        if nesting.is_in_text {
            let length = words::quote(tail);
            match tail.get(length) {
                None => {
                    *at = rest.len();
                    return None;
                }
                // Its character may be in the next piece.
                Some(b'\\') if tail.len() < length + 2 => {
                    *at += length;
                    return None;
                }
                Some(b'\\') => *at += length + 2,
                _ => {
                    nesting.is_in_text = false;
                    *at += length + 1;
                }
            }
            continue;
        }
        // Inside of an object or an array only quotes and brackets matter.
        if nesting.depth > 0 && !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']') {
            *at += words::bracket(tail);
            continue;
        }
        match byte {
            b'"' => nesting.is_in_text = true,
            b'{' | b'[' => nesting.depth += 1,
            b',' | b']' if is_array && nesting.depth == 0 => return Some(*at),
            b'\r' | b'\n' if !is_array && nesting.depth == 0 => return Some(*at),
            b'}' | b']' => {
                nesting.depth = nesting.depth.saturating_sub(1);
                if nesting.depth == 0 && !is_array {
                    return Some(*at + 1);
                }
            }
            _ => {}
        }
        *at += 1;
    }
    None
}

/// Finds out whether each line is an object, or one may take several lines. `is_all`: no more text will come, or there is enough of it.
fn shape_of_objects(rest: &[u8], is_all: bool) -> Option<Shape> {
    let end = memchr2(b'\r', b'\n', rest);
    let end = end.or(is_all.then_some(rest.len()))?;
    let (line, after) = rest.split_at(end);
    let (mut at, mut nesting) = (0, Nesting::default());
    // What follows an object on its line does not matter: the line is then an invalid row.
    if search(line, &mut at, &mut nesting, false).is_some() {
        return Some(Shape::Lines);
    }
    // In an object of several lines the next one begins with a name. A line that begins with a brace shows that the first one is broken.
    match after.iter().find(|byte| !matches!(byte, b'\r' | b'\n')) {
        Some(b'{') => Some(Shape::Lines),
        Some(_) => Some(Shape::Objects),
        None => is_all.then_some(Shape::Objects),
    }
}
