//! A record of a CSV file to a row's values, or to all that is wrong with it.

use super::{Row, RowSink, RowsError, Text};
use crate::counted::counted;
use crate::domain::columns::{Column, Columns, Source};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};
use crate::ingest::FileError;
use crate::ingest::column_names::Naming;
use crate::ingest::cuts::{Shown, likely_cut};
use crate::ingest::decode::REPLACEMENT;
use crate::ingest::filled::Filled;
use crate::ingest::header::Header;
use crate::ingest::later_headers::Headers;
use crate::ingest::notation::{Held, HeldRows, Notation};
use crate::ingest::parts::other_encoding;
use crate::ingest::records::{Record, RecordReader, shown};
use crate::ingest::reject::{Fault, Reject};
use crate::ingest::row_ends::{RowEnds, Undecided};
use crate::ingest::validate;

/// Looks whether a row comes from another file, in another encoding.
pub(super) fn refuse_other_encoding(
    raw: &[u8],
    line: u64,
    text: &mut Text,
    bytes: &[u8],
) -> Result<(), FileError> {
    let Some(found) = other_encoding(raw, text.decoder.unit()) else { return Ok(()) };
    let byte_offset = text.offsets.find(line, bytes);
    Err(FileError::EncodingChanged { line, byte_offset, before: text.decoder.name(), found })
}

/// What a record is whose fields are all valid.
pub(super) enum Parsed {
    Row {
        /// One of its amounts could be another one.
        is_ambiguous: bool,
    },
    /// A row with these fields, or one with a value that was cut in two.
    Undecided,
}

/// Makes values of records.
pub(super) struct RecordParser<'a> {
    pub(super) naming: Naming<'a>,
    pub(super) filled: &'a Filled,
    pub(super) notation: &'a mut Notation,
    pub(super) undecided: &'a mut Undecided,
    pub(super) clock: &'a mut Clock,
    /// Of the last record.
    pub(super) values: &'a mut Vec<Value>,
}

impl RecordParser<'_> {
    /// The row of the last record.
    pub(super) fn row<'b>(&'b self, line: u64, buffer: &'b [u8]) -> Row<'b> {
        Row { line, values: self.values, buffer }
    }

    /// Fills in a record's values; or says all that is wrong with it, except its byte offset.
    pub(super) fn parse(
        &mut self,
        record: &Record<'_>,
        header: &Header,
        ends: RowEnds,
    ) -> Result<Parsed, Box<Reject>> {
        let Self { naming: Naming { columns, .. }, filled, notation, clock, values, .. } = self;
        if !ends.fits(record, header) || record.is_unclosed {
            return Err(Box::new(whole_line(record, header, columns, notation.mark())));
        }
        values.clear();
        let mut is_ambiguous = false;
        let mut reject: Option<Box<Reject>> = None;
        for (column, &field) in columns.iter().zip(&header.fields) {
            let value = match column.source {
                Source::Field => {
                    let (start, end) = field.and_then(|field| record.bounds(field)).unwrap_or_default();
                    let text = record.buffer.get(start..end).unwrap_or_default();
                    match validate::parse_field(column, text, start, notation.mark(), clock) {
                        Ok(value) => {
                            if let Value::Decimal(_) | Value::Double(_) = value {
                                is_ambiguous |= notation.is_ambiguous(text);
                            }
                            value
                        }
                        Err(error) => {
                            add_fault(&mut reject, record.line, column, error, text);
                            continue;
                        }
                    }
                }
                _ => match filled.value(column, record.line) {
                    Ok(value) => value,
                    Err(error) => {
                        add_fault(&mut reject, record.line, column, error, b"");
                        continue;
                    }
                },
            };
            values.push(value);
        }
        let is_doubtful = ends.is_doubtful(record, header, columns, notation.named());
        match reject {
            None if !is_doubtful => Ok(Parsed::Row { is_ambiguous }),
            None if ends == RowEnds::Unknown => Ok(Parsed::Undecided),
            Some(reject) if !is_doubtful => Err(reject),
            _ => Err(Box::new(whole_line(record, header, columns, notation.mark()))),
        }
    }

    /// Decides what a record is that is not a valid row. Returns the reject with its place, or none if the record is a header.
    ///
    /// # Errors
    /// It shows that the file must not be read any further.
    pub(super) fn judge(
        &self,
        record: &Record<'_>,
        mut reject: Box<Reject>,
        headers: &mut Headers,
        text: &mut Text,
        bytes: &[u8],
    ) -> Result<Option<Box<Reject>>, FileError> {
        if let Some((_, header)) = headers.current() {
            let (ends, columns) = (headers.ends, self.naming.columns);
            let fits = ends.fits(record, header)
                && !ends.is_doubtful(record, header, columns, self.notation.named());
            self.notation.check(record, header, columns, fits)?;
        }
        if headers.see(record, self.naming)? {
            return Ok(None);
        }
        refuse_other_encoding(record.raw, record.line, text, bytes)?;
        reject.byte_offset = text.offsets.find(record.line, bytes);
        Ok(Some(reject))
    }

    /// Takes the rows that waited, now that a row has shown how rows end.
    #[cold]
    pub(super) fn decide<S: RowSink>(
        &mut self,
        ends: RowEnds,
        headers: &Headers,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        if ends != RowEnds::Delimited {
            return self.refuse_undecided(headers, sink);
        }
        let rows = std::mem::take(self.undecided).rows;
        self.accept_held(&rows, headers, true, sink)
    }

    /// Refuses the rows that wait because they can be read in two ways.
    #[cold]
    pub(super) fn refuse_undecided<S: RowSink>(
        &mut self,
        headers: &Headers,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let Undecided { rows, byte_offsets } = std::mem::take(self.undecided);
        let mut byte_offsets = byte_offsets.into_iter();
        for_each_held(&rows, headers, |_, record, header| {
            self.refuse_row(record, header, byte_offsets.next().unwrap_or_default(), sink)
        })
    }

    /// Refuses the file because of a row that can be read in two ways. If the sender named the decimal mark, the row is rejected.
    pub(super) fn refuse_row<S: RowSink>(
        &self,
        record: &Record<'_>,
        header: &Header,
        byte_offset: u64,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let columns = self.naming.columns;
        if let Some(error) = self.notation.undecided(record, header, columns) {
            return Err(error.into());
        }
        let reject = Reject { byte_offset, ..whole_line(record, header, columns, self.notation.mark()) };
        sink.reject(reject, &String::from_utf8_lossy(record.raw)).map_err(RowsError::Sink)
    }

    /// Accepts rows that were held back. `may_hold`: those whose amounts could be others wait on.
    pub(super) fn accept_held<S: RowSink>(
        &mut self,
        held: &HeldRows,
        headers: &Headers,
        may_hold: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        for_each_held(held, headers, |row, record, header| {
            let ends = if record.width > header.width { RowEnds::Delimited } else { RowEnds::Bare };
            match self.parse(record, header, ends) {
                Ok(Parsed::Row { is_ambiguous: true })
                    if may_hold && self.notation.hold(row.line, row.header, record.raw) =>
                {
                    Ok(())
                }
                Ok(_) => sink.accept(self.row(row.line, record.buffer)).map_err(RowsError::Sink),
                // It was valid before, and still is.
                Err(_) => Ok(()),
            }
        })
    }
}

/// Reads held rows again, each with the header that names its fields.
fn for_each_held<E>(
    held: &HeldRows,
    headers: &Headers,
    mut take: impl FnMut(Held, &Record<'_>, &Header) -> Result<(), RowsError<E>>,
) -> Result<(), RowsError<E>> {
    let mut records = RecordReader::new(b',', usize::MAX);
    for (row, raw) in held.iter() {
        let Some(header) = headers.get(row.header) else { continue };
        records.set_delimiter(header.delimiter);
        records.buffer().extend_from_slice(raw);
        if let Some(mut record) = records.next(true)? {
            record.line = row.line;
            take(row, &record, header)?;
        }
    }
    Ok(())
}

/// Adds a fault of a field to its row.
#[cold]
fn add_fault(reject: &mut Option<Box<Reject>>, line: u64, column: &Column, error: ValueError, text: &[u8]) {
    let fault = Fault {
        column: column.name.clone(),
        code: error.code(),
        reason: column.explain(error),
        value: shown(text),
        pointer: None,
    };
    match reject {
        Some(reject) => reject.faults.push(fault),
        None => *reject = Some(Box::new(Reject::of(line, fault))),
    }
}

/// Says why a record does not have the header's fields.
fn whole_line(record: &Record<'_>, header: &Header, columns: &Columns, mark: DecimalMark) -> Reject {
    let (code, reason) = if record.is_unclosed {
        let reason = "a quote is opened here and not closed before the file ends, so the rest of the file is in this row; close it";
        ("unclosed_quote", reason.to_owned())
    } else if record.raw.windows(REPLACEMENT.len()).any(|bytes| bytes == REPLACEMENT) {
        (ValueError::NotDecodable.code(), ValueError::NotDecodable.to_string())
    } else {
        let mut reason =
            format!("the row has {}, the header {}", counted(record.width as u64, "field"), header.width);
        if header.delimiter == b',' && record.width > header.width {
            reason += &cause_of_width(record, header, columns, mark);
        }
        ("wrong_number_of_fields", reason)
    };
    Reject::of_line(record.line, code, reason, record.raw)
}

/// Says how decimal commas may have given a record too many fields.
fn cause_of_width(record: &Record<'_>, header: &Header, columns: &Columns, mark: DecimalMark) -> String {
    if mark == DecimalMark::Comma {
        return "; a decimal comma separates fields, too: write such amounts in quotes".to_owned();
    }
    let in_words = |Shown { column, value, .. }: Shown<'_>| {
        format!(
            "; perhaps {value} has a decimal comma (column {}): write such amounts in quotes, and send the file with decimal=comma",
            column.name
        )
    };
    likely_cut(record, header, columns).map(in_words).unwrap_or_default()
}
