//! One field of one row, parsed.

use std::cmp::Ordering;

use super::offset;

/// A typed field. Text is a range of bytes in the row's buffer, so the values of a row fit into one reused vector, without an allocation
/// for each field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    /// Files only have finite numbers.
    Double(f64),
    /// Unscaled: the amount times ten to the power of the column's scale.
    Decimal(i128),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros(i64),
    /// Days since 1970-01-01.
    Date(i32),
    Text {
        start: usize,
        end: usize,
    },
    /// The position of a symbol in the column's list, from 0.
    Enum(u32),
    /// The sixteen bytes as one big-endian number.
    Uuid(u128),
}

impl Value {
    /// Returns the bytes of a text value in `buffer`; none of any other value.
    #[inline]
    pub fn text<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        match *self {
            Self::Text { start, end } => buffer.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Returns a whole number, of either width.
    #[inline]
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(i64::from(number)),
            Self::Long(number) => Some(number),
            _ => None,
        }
    }

    /// Compares two numbers or times of one type. None: they have no order.
    #[inline]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) | (Self::Date(one), Self::Date(other)) => {
                Some(one.cmp(&other))
            }
            (Self::Long(one), Self::Long(other))
            | (Self::Timestamp(one), Self::Timestamp(other))
            | (Self::TimestampMicros(one), Self::TimestampMicros(other)) => Some(one.cmp(&other)),
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(&other),
            (Self::Decimal(one), Self::Decimal(other)) => Some(one.cmp(&other)),
            _ => None,
        }
    }
}

/// Why a field's text is not a value of its column. The code is stable: it is part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("a value is required")]
    Missing,
    #[error("not a whole number")]
    NotAnInteger,
    #[error(
        "a number in scientific notation, as spreadsheets write long numbers: its last digits are lost; export the file again, and do not \
         save it with a spreadsheet"
    )]
    DigitsLost,
    #[error("the number is below the smallest allowed or above the largest")]
    IntegerOutOfRange,
    #[error("not a decimal number; write 12.5, without blanks or thousands separators")]
    NotADecimal,
    #[error(
        "the amount has a comma; if it is the decimal mark, send the file with decimal=comma, if it separates thousands, write 1234.5"
    )]
    DecimalComma,
    #[error(
        "not an amount with a decimal comma; write 1234,5 or 1.234,5, with points only between groups of three digits, or send files that \
         have decimal points without decimal=comma"
    )]
    NotACommaDecimal,
    #[error("more digits after the decimal mark than the schema's scale allows; amounts are never rounded")]
    TooManyDigits,
    #[error("more digits before the decimal mark than the schema's precision allows")]
    DecimalOutOfRange,
    #[error("the number is too large for a 64-bit floating-point number")]
    DoubleOutOfRange,
    #[error("the number is below the schema's minimum or above its maximum")]
    OutOfBounds,
    #[error("not a boolean; write true, false, 1 or 0")]
    NotABoolean,
    #[error("not a date; write the year first: 2019-10-22")]
    NotADate,
    #[error("the date is before 1900-01-01 or after 2299-12-31, or outside the schema's minimum and maximum")]
    DateOutOfRange,
    #[error("not a UUID; write 32 hexadecimal digits in five groups: 8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21")]
    NotAUuid,
    #[error("not one of the schema's symbols; upper and lower case are different")]
    UnknownSymbol,
    #[error("the JSON value is {found}, which the column cannot have; write another type")]
    WrongType { found: &'static str },
    #[error(
        "not a whole number of milliseconds or microseconds since 1970; write one, or a string such as \"2019-10-22T08:20:41Z\""
    )]
    NotAnEpochTime,
    #[error("an escape such as \\ud83d is half of a character; write both halves, or the character itself")]
    LoneSurrogate,
    #[error("the text does not match the schema's pattern")]
    PatternMismatch,
    #[error("not a time; write 2019-10-22 08:20:41, 2019-10-22T08:20:41Z or 2019-10-22 10:20:41 +02:00")]
    NotATimestamp,
    #[error(
        "the date does not begin with the year, so day and month could be confused; write the year first, then the month and the day: \
         2025-05-02 08:20:41 for 2 May 2025"
    )]
    YearNotFirst,
    #[error("a date without a time of day; write both, such as 2019-10-22 08:20:41")]
    NoTimeOfDay,
    #[error("the time is before 1970 or after 2105")]
    TimestampOutOfRange,
    #[error("the time is before the schema's minimum or after its maximum")]
    TimestampOutOfBounds,
    /// With its offsets from UTC, in seconds.
    #[error(
        "the clocks were set back and showed this time twice, at {} and at {}; write which one, such as 02:30:00{}",
        offset::format(*.first), offset::format(*.second), offset::format(*.first)
    )]
    AmbiguousTime { first: i32, second: i32 },
    #[error(
        "the clocks were set forward from {} to {} and never showed this time; correct it, or write it with its offset",
        offset::format(*.before), offset::format(*.after)
    )]
    NonexistentTime { before: i32, after: i32 },
    #[error("longer than the schema's max_length")]
    TextTooLong,
    #[error("shorter than the schema's min_length")]
    TextTooShort,
    #[error("the text has a control character")]
    ControlCharacter,
    #[error(
        "the bytes are not text in the file's encoding; send the file with the right one, for example encoding=windows-1252"
    )]
    NotDecodable,
}

impl ValueError {
    /// Returns the code that the API, the headers of dead letters and the table `rejects` use.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_value",
            Self::NotAnInteger => "not_an_integer",
            Self::DigitsLost => "digits_lost",
            Self::IntegerOutOfRange => "integer_out_of_range",
            Self::NotADecimal | Self::DecimalComma | Self::NotACommaDecimal => "not_a_decimal",
            Self::TooManyDigits => "too_many_digits",
            Self::DecimalOutOfRange | Self::DoubleOutOfRange | Self::OutOfBounds => "decimal_out_of_range",
            Self::NotABoolean => "not_a_boolean",
            Self::NotADate => "not_a_date",
            Self::DateOutOfRange => "date_out_of_range",
            Self::NotAUuid => "not_a_uuid",
            Self::UnknownSymbol => "unknown_symbol",
            Self::PatternMismatch => "pattern_mismatch",
            Self::NotATimestamp | Self::YearNotFirst | Self::NoTimeOfDay | Self::NotAnEpochTime => {
                "not_a_timestamp"
            }
            Self::WrongType { .. } => "wrong_type",
            Self::TimestampOutOfRange | Self::TimestampOutOfBounds => "timestamp_out_of_range",
            Self::AmbiguousTime { .. } => "ambiguous_time",
            Self::NonexistentTime { .. } => "nonexistent_time",
            Self::TextTooLong => "text_too_long",
            Self::TextTooShort => "text_too_short",
            Self::ControlCharacter => "control_character",
            Self::NotDecodable | Self::LoneSurrogate => "not_decodable",
        }
    }
}
