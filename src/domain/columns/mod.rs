//! The columns of a row, read from an Avro schema. Everything else follows this one description of a file's rows.
//!
//! Of Avro (<https://avro.apache.org/docs/1.12.0/specification/>) it reads records of `long`, `int`, `boolean`, `double`, `string`, `enum`,
//! `timestamp-millis`, `timestamp-micros`, `date`, `decimal` in `bytes`, and `uuid` in `fixed` or `string`, each alone or in a union with
//! `null`. Additional attributes say what Avro cannot say about a field: `minimum`, `maximum`, `min_length`, `max_length`, `pattern`, `multiline`, `path`
//! (a JSON Pointer), and `source` for a field that the server fills in. Avro's `aliases` are further names in a header or a JSON object.
//! The record's attribute `key` names the fields that identify a row, `unknown_members` what happens to members of a JSON object that are
//! no field. [`schema`] reads them.

mod bounds;
mod lines;
pub mod pattern;
pub mod pointer;
mod schema;
#[cfg(test)]
mod tests;

use thiserror::Error;

use self::pattern::Pattern;
use self::pointer::Pointer;
use super::value::{Value, ValueError};
use super::{date, money, timestamp};

/// Symbols of an enum that an error lists.
const SHOWN_SYMBOLS: usize = 20;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Int,
    Long {
        minimum: i64,
    },
    Double,
    /// Money: `precision` digits in all, `scale` of them after the point.
    Decimal {
        precision: u32,
        scale: u32,
    },
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros,
    /// Days since 1970-01-01.
    Date,
    /// Lengths in characters.
    Text {
        min_length: usize,
        max_length: usize,
    },
    /// One of the column's symbols.
    Enum,
    /// In sixteen bytes.
    Uuid,
    /// In 36 characters.
    UuidText,
}

impl Kind {
    /// Says whether values may be words, so that a name in the place of a value shows nothing.
    pub fn has_words(self) -> bool {
        matches!(self, Self::Text { .. } | Self::Enum | Self::Boolean)
    }
}

/// The source of a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file's field of that name.
    Field,
    /// The id of the row's upload.
    UploadId,
    /// The number of the row's line in its file, from 1.
    Line,
    /// When the server got the bytes of the row.
    ReceivedAt,
    /// When the server validated the row.
    ProcessedAt,
    /// The partition of the message that the row was read from; null if it was no message.
    SourcePartition,
    /// The offset of that message.
    SourceOffset,
}

/// The position of `null` in the union of a nullable column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nullability {
    Required,
    NullFirst,
    NullLast,
}

/// The smallest and the largest value that the schema allows, beyond what the type allows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    pub minimum: Option<Value>,
    pub maximum: Option<Value>,
}

impl Bounds {
    /// Says whether there are none.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.minimum.is_none() && self.maximum.is_none()
    }

    /// Says whether a value is within them. Null is.
    #[inline]
    pub fn admit(&self, value: Value) -> bool {
        self.minimum.is_none_or(|minimum| value.compare(minimum).is_none_or(|order| order.is_ge()))
            && self.maximum.is_none_or(|maximum| value.compare(maximum).is_none_or(|order| order.is_le()))
    }
}

/// One column: a field of the Avro record, in wire order.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    /// Further names in a header or a JSON object.
    pub aliases: Vec<String>,
    pub kind: Kind,
    pub nullability: Nullability,
    pub source: Source,
    pub bounds: Bounds,
    /// What a text must match.
    pub pattern: Option<Pattern>,
    /// A text may have line ends and tabs.
    pub is_multiline: bool,
    /// Those of an enum.
    pub symbols: Vec<String>,
    /// The place of the value in a JSON object. None: the member with the column's name, or with one of its aliases.
    pub path: Option<Pointer>,
}

impl Column {
    /// A required field of a file, without further rules.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            aliases: Vec::new(),
            kind,
            nullability: Nullability::Required,
            source: Source::Field,
            bounds: Bounds::default(),
            pattern: None,
            is_multiline: false,
            symbols: Vec::new(),
            path: None,
        }
    }

    /// Says whether files have a field for it.
    pub fn is_field(&self) -> bool {
        self.source == Source::Field
    }

    /// Says whether the server fills it in, and not with the upload's id or the line.
    pub fn is_other(&self) -> bool {
        !matches!(self.source, Source::Field | Source::UploadId | Source::Line)
    }

    #[inline]
    pub fn is_nullable(&self) -> bool {
        self.nullability != Nullability::Required
    }

    /// Returns the column's name, then its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// Says whether a header or a list of columns means this column by a name in lower case.
    pub fn is_called(&self, plain: &str) -> bool {
        self.names().any(|name| is_same_name(name, plain))
    }

    /// Returns the symbol of an enum's value; nothing for a position that the schema does not have.
    #[inline]
    pub fn symbol(&self, position: u32) -> &str {
        usize::try_from(position).ok().and_then(|at| self.symbols.get(at)).map_or("", String::as_str)
    }

    /// Says whether a value from another producer could have come from a file. What a text says does not matter, nor how long it is.
    pub fn admits(&self, value: Value) -> bool {
        let is_possible = match (self.kind, value) {
            (_, Value::Null) => self.is_nullable(),
            (Kind::Long { minimum }, Value::Long(number)) => number >= minimum,
            (Kind::Timestamp, Value::Timestamp(millis)) => timestamp::is_in_range(millis),
            (Kind::TimestampMicros, Value::TimestampMicros(micros)) => timestamp::is_in_range_micros(micros),
            (Kind::Date, Value::Date(days)) => date::RANGE.contains(&days),
            (Kind::Decimal { precision, .. }, Value::Decimal(unscaled)) => {
                unscaled.unsigned_abs() <= money::largest(precision).unsigned_abs()
            }
            (Kind::Double, Value::Double(number)) => number.is_finite(),
            (Kind::Enum, Value::Enum(position)) => (position as usize) < self.symbols.len(),
            (Kind::Boolean, Value::Boolean(_))
            | (Kind::Int, Value::Int(_))
            | (Kind::Text { .. }, Value::Text { .. })
            | (Kind::Uuid | Kind::UuidText, Value::Uuid(_)) => true,
            _ => false,
        };
        is_possible && (self.bounds.is_open() || self.bounds.admit(value))
    }

    /// Says whether values that were written for another column can be values of this one.
    pub fn can_read(&self, writer: &Self) -> bool {
        let is_same_type = match (self.kind, writer.kind) {
            (
                Kind::Decimal { scale, precision },
                Kind::Decimal { scale: written_scale, precision: written_precision },
            ) => scale == written_scale && written_precision <= precision,
            // An enum's value is a position, so the writer's symbols must be the first of these.
            (Kind::Enum, Kind::Enum) => self.symbols.starts_with(&writer.symbols),
            (one, other) => std::mem::discriminant(&one) == std::mem::discriminant(&other),
        };
        is_same_type && (self.is_nullable() || !writer.is_nullable())
    }

    /// Says why a text is not a value of this column, and what to do.
    pub fn explain(&self, error: ValueError) -> String {
        match (error, &self.pattern) {
            (ValueError::UnknownSymbol, _) => {
                let shown = self.symbols.iter().take(SHOWN_SYMBOLS).map(String::as_str).collect::<Vec<_>>();
                let more = if self.symbols.len() > SHOWN_SYMBOLS { ", …" } else { "" };
                let list = shown.join(", ");
                format!("not one of the schema's symbols; write {list}{more}, in this case")
            }
            (ValueError::WrongType { found }, _) => format!("this is {found}; {}", self.wanted_json()),
            (ValueError::PatternMismatch, Some(pattern)) => {
                format!("the text does not match the schema's pattern {}", pattern.text())
            }
            (error, _) => error.to_string(),
        }
    }
}

impl Column {
    /// Says which JSON value the column needs.
    fn wanted_json(&self) -> &'static str {
        match self.kind {
            Kind::Boolean => "write true or false",
            Kind::Int | Kind::Long { .. } | Kind::Double | Kind::Decimal { .. } => {
                "write a number, or a string with a number in it"
            }
            Kind::Timestamp => {
                "write a string such as \"2019-10-22T08:20:41Z\", or a number of milliseconds since 1970"
            }
            Kind::TimestampMicros => {
                "write a string such as \"2019-10-22T08:20:41Z\", or a number of microseconds since 1970"
            }
            Kind::Date | Kind::Text { .. } | Kind::Enum | Kind::Uuid | Kind::UuidText => "write a string",
        }
    }
}

/// Says whether a name is this one, which is in lower case.
pub fn is_same_name(name: &str, plain: &str) -> bool {
    if name.is_ascii() { name.eq_ignore_ascii_case(plain) } else { name.to_lowercase() == plain }
}

/// What happens to members of a JSON object that are no field of the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownMembers {
    #[default]
    Ignore,
    /// The row is rejected.
    Reject,
}

/// The columns of a row, in the order in which Avro writes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    columns: Vec<Column>,
    key: Vec<usize>,
    unknown_members: UnknownMembers,
}

/// The reason why an Avro schema does not describe rows.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {message}")]
pub struct ColumnsError {
    /// The line of the mistake in the schema's text, from 1.
    pub line: usize,
    /// The cause, and what to do.
    pub message: String,
}

impl Columns {
    /// Reads the columns from the text of a dataset's schema. Without a `key` its rows have none.
    ///
    /// # Errors
    /// It is not an Avro record, a field has an unsupported type, or an attribute is unknown or has a bad value.
    pub fn parse(schema: &str) -> Result<Self, ColumnsError> {
        schema::read(schema, schema::Rules::Ours)
    }

    /// Reads the columns from the schema of any producer, to decode its rows: attributes do not matter, and no column is a key.
    ///
    /// # Errors
    /// It is not an Avro record, or a field has an unsupported type.
    pub fn of_writer(schema: &str) -> Result<Self, ColumnsError> {
        schema::read(schema, schema::Rules::Types)
    }

    /// Returns the columns for which files have fields.
    pub fn fields(&self) -> impl Iterator<Item = &Column> {
        self.iter().filter(|column| column.is_field())
    }

    /// Returns the columns that the server fills in, except those for the upload's id and the line.
    pub fn others(&self) -> impl Iterator<Item = &Column> {
        self.iter().filter(|column| column.is_other())
    }

    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.columns.iter()
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns a column by its index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&Column> {
        self.columns.get(index)
    }

    /// Returns the index of the column with this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Returns the indexes of the columns that identify a row. None: its rows have no key. All are required, and the last one is a `long` or
    /// an `int` that is not negative.
    pub fn key(&self) -> Option<&[usize]> {
        (!self.key.is_empty()).then_some(self.key.as_slice())
    }

    /// Returns the index of the only column that identifies a row.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn single_key(&self) -> Result<usize, ColumnsError> {
        match self.key[..] {
            [index] => Ok(index),
            _ => Err(ColumnsError {
                line: 1,
                message: "the record has no key of one column; set its attribute key to the name of a required field of type \
                          long with minimum 0"
                    .to_owned(),
            }),
        }
    }

    /// Returns what happens to members of a JSON object that are no field.
    pub fn unknown_members(&self) -> UnknownMembers {
        self.unknown_members
    }
}
