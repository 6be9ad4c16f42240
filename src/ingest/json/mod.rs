//! Rows of JSON: NDJSON, an array of objects, or objects one after the other.
//!
//! [`framing`] finds the text of each row, [`flat`] or [`members`] the texts of its columns ([`layout`] says where they are), [`values`] reads them. A
//! value is read from its text, so a number never becomes a binary float on its way to a decimal.

mod flat;
mod framing;
mod layout;
mod members;
#[cfg(test)]
mod tests;
mod values;
mod words;

pub(super) use self::framing::RowTexts;
use self::layout::Layout;
use self::members::{MemberFault, Members};
use super::FileError;
use super::column_names::Naming;
use super::decode::REPLACEMENT;
use super::filled::Filled;
use super::format::FileFormat;
use super::records::shown;
use super::reject::{Fault, Reject};
use crate::domain::columns::{Column, Columns};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};

/// The member, or the column, of a corrected row with the line of its reject.
pub const REJECT_LINE: &str = "reject_line";

/// Reads a value by itself. `raw`: valid JSON.
///
/// # Errors
/// It is not a value of this column.
pub(super) fn value_of(
    column: &Column,
    raw: &str,
    mark: DecimalMark,
    clock: &mut Clock,
) -> Result<Value, ValueError> {
    values::read(column, raw, &mut Vec::new(), mark, clock)
}

/// Reads rows of JSON from text that arrives piece by piece.
#[derive(Debug)]
pub(super) struct JsonReader {
    texts: RowTexts,
    layout: Layout,
    members: Members,
    /// The texts of a row's columns.
    buffer: Vec<u8>,
}

/// What reading a row needs besides its text.
pub(super) struct RowContext<'a> {
    pub(super) columns: &'a Columns,
    pub(super) filled: &'a Filled,
    pub(super) mark: DecimalMark,
    pub(super) clock: &'a mut Clock,
    /// The values of the last row.
    pub(super) values: &'a mut Vec<Value>,
}

/// A row that was read. Its values are in [`RowContext::values`].
pub(super) struct JsonRow<'a> {
    /// Its number, which stands for its line: see [`framing::RowText`].
    pub(super) number: u64,
    /// The line on which it begins.
    pub(super) line: u64,
    pub(super) raw: &'a [u8],
    /// What text values are ranges of.
    pub(super) buffer: &'a [u8],
    /// What is wrong with it, except its byte offset.
    pub(super) reject: Option<Box<Reject>>,
}

impl JsonReader {
    pub(super) fn new(naming: Naming<'_>, format: FileFormat, max_row_bytes: usize) -> Self {
        Self {
            texts: RowTexts::new(format, max_row_bytes),
            // A corrected row says which reject it is.
            layout: Layout::of(naming, (format == FileFormat::JsonRow).then_some(REJECT_LINE)),
            members: Members::default(),
            buffer: Vec::new(),
        }
    }

    /// The buffer to whose end new text is to be added.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        self.texts.buffer()
    }

    /// What was added and not read yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.texts.unread()
    }

    /// Number of the line with which [`unread`](Self::unread) begins.
    pub(super) fn line(&self) -> u64 {
        self.texts.line()
    }

    /// See [`RowTexts::end_line`].
    pub(super) fn end_line(&mut self) {
        self.texts.end_line();
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.texts.capacity() + self.buffer.capacity()
    }

    /// Reads the next row; none if more text is needed, or, with `last`, if there is no more.
    ///
    /// # Errors
    /// A row is longer than the limit, or the text is not JSON.
    pub(super) fn next(
        &mut self,
        context: &mut RowContext<'_>,
        last: bool,
    ) -> Result<Option<JsonRow<'_>>, FileError> {
        let Self { texts, layout, members, buffer } = self;
        let Some(text) = texts.next(last)? else { return Ok(None) };
        let mut row = RowReading { layout, members, buffer, context, number: text.number, reject: None };
        row.read(text.raw, text.is_cut_off);
        let reject = row.reject;
        Ok(Some(JsonRow { number: text.number, line: text.line, raw: text.raw, buffer, reject }))
    }
}

/// Reads one row.
struct RowReading<'a, 'c> {
    layout: &'a Layout,
    members: &'a mut Members,
    buffer: &'a mut Vec<u8>,
    context: &'a mut RowContext<'c>,
    number: u64,
    reject: Option<Box<Reject>>,
}

impl RowReading<'_, '_> {
    fn read(&mut self, raw: &[u8], is_cut_off: bool) {
        self.context.values.clear();
        self.buffer.clear();
        match self.read_members(raw, is_cut_off) {
            Ok(text) => self.read_values(text),
            Err((code, reason)) => {
                let mut fault = Fault::of_line(code, reason, raw);
                fault.pointer = Some(String::new());
                self.reject = Some(Box::new(Reject::of(self.number, fault)));
            }
        }
    }

    /// Finds the members of the object. Returns its text; or a code, the cause and what to do.
    fn read_members<'t>(
        &mut self,
        raw: &'t [u8],
        is_cut_off: bool,
    ) -> Result<&'t str, (&'static str, String)> {
        let invalid = |reason: String| Err(("invalid_json", reason));
        if is_cut_off {
            return invalid("the file ends before its array is closed; send the whole file".to_owned());
        }
        // The decoder has left nothing else.
        let text = std::str::from_utf8(raw).unwrap_or_default();
        match raw.first() {
            Some(b'{') => {}
            Some(b'"' | b'[' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') => {
                return Err((
                    "wrong_type",
                    "a row must be a JSON object; correct it, or remove it".to_owned(),
                ));
            }
            Some(_) => return invalid("not JSON; write one object for each row".to_owned()),
            None => {
                return invalid(
                    "nothing stands before this comma or bracket; remove the comma before it".to_owned(),
                );
            }
        }
        match self.members.read(text, self.layout, self.context.columns.len()) {
            Ok(()) => Ok(text),
            Err(_) if raw.windows(REPLACEMENT.len()).any(|bytes| bytes == REPLACEMENT) => {
                Err((ValueError::NotDecodable.code(), ValueError::NotDecodable.to_string()))
            }
            Err(error) => invalid(in_words(&error)),
        }
    }

    fn read_values(&mut self, text: &str) {
        let columns = self.context.columns;
        for (index, column) in columns.iter().enumerate() {
            let raw = if column.is_field() { self.members.text(index, text) } else { None };
            let context = &mut *self.context;
            let value = match raw {
                Some(raw) => values::read(column, raw, self.buffer, context.mark, context.clock),
                None if column.is_field() => super::validate::null(column),
                None => context.filled.value(column, self.number),
            };
            match value {
                Ok(value) => context.values.push(value),
                Err(error) => {
                    let pointer = self.layout.pointer(index);
                    self.add_fault(fault(column, error, pointer, raw.unwrap_or_default()));
                }
            }
        }
        for at in 0..self.members.faults.len() {
            let Some(found) = self.members.faults.get(at).cloned() else { continue };
            self.add_member_fault(found);
        }
    }

    #[cold]
    fn add_member_fault(&mut self, found: MemberFault) {
        let column = found.column.and_then(|index| self.context.columns.get(index));
        let column = column.map(|column| column.name.clone()).unwrap_or_default();
        let MemberFault { pointer, code, reason, value, .. } = found;
        self.add_fault(Fault { column, code, reason: reason.to_owned(), value, pointer: Some(pointer) });
    }

    #[cold]
    fn add_fault(&mut self, fault: Fault) {
        match &mut self.reject {
            Some(reject) => reject.faults.push(fault),
            None => self.reject = Some(Box::new(Reject::of(self.number, fault))),
        }
    }
}

#[cold]
fn fault(column: &Column, error: ValueError, pointer: &str, raw: &str) -> Fault {
    Fault {
        column: column.name.clone(),
        code: error.code(),
        reason: column.explain(error),
        value: shown(raw.as_bytes()),
        pointer: Some(pointer.to_owned()),
    }
}

/// Says what is wrong with the text of an object, and where.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let cause = text.strip_suffix(&place).unwrap_or(&text);
    format!(
        "not valid JSON: {cause}, at character {} of line {} of the row; correct it",
        error.column(),
        error.line()
    )
}
