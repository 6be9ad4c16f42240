//! One field of one round, parsed.

/// A typed field. Text is a range of bytes in the buffer that the row came from, so that a row's values can be
/// kept in one reused vector without an allocation per field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Long(i64),
    /// Unscaled: the amount times ten to the power of the column's scale.
    Decimal(i128),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Text {
        start: usize,
        end: usize,
    },
    /// The sixteen bytes as one number, the first of them the highest.
    Uuid(u128),
}

impl Value {
    /// The bytes of a text value in `buffer`; empty for any other value.
    #[inline]
    pub fn text<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        match *self {
            Self::Text { start, end } => buffer.get(start..end).unwrap_or_default(),
            _ => &[],
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
    #[error("the number is below the smallest allowed or above the largest")]
    IntegerOutOfRange,
    #[error("not a decimal number: write 12.5, without blanks or thousands separators")]
    NotADecimal,
    #[error(
        "not a decimal number with a comma: write 1234,5 or 1.234,5, with points only between groups of three digits"
    )]
    NotACommaDecimal,
    #[error("more fraction digits than the schema's scale keeps")]
    TooManyDigits,
    #[error("more digits before the point than the schema's precision keeps")]
    DecimalOutOfRange,
    #[error("not a date with a time: write 2019-10-22 08:20:41 or 2019-10-22T08:20:41Z")]
    NotATimestamp,
    #[error("the time is before 1970 or after 2105")]
    TimestampOutOfRange,
    #[error("longer than the schema's max_length")]
    TextTooLong,
    #[error("shorter than the schema's min_length")]
    TextTooShort,
    #[error("a control character")]
    ControlCharacter,
    #[error("bytes that are not characters in the file's encoding")]
    NotDecodable,
}

impl ValueError {
    /// The code by which API, dead-letter headers and the rejects table name this error.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing_value",
            Self::NotAnInteger => "not_an_integer",
            Self::IntegerOutOfRange => "integer_out_of_range",
            Self::NotADecimal | Self::NotACommaDecimal => "not_a_decimal",
            Self::TooManyDigits => "too_many_digits",
            Self::DecimalOutOfRange => "decimal_out_of_range",
            Self::NotATimestamp => "not_a_timestamp",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::TextTooLong => "text_too_long",
            Self::TextTooShort => "text_too_short",
            Self::ControlCharacter => "control_character",
            Self::NotDecodable => "not_decodable",
        }
    }
}
