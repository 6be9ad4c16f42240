//! Whether the rows of a file end in a delimiter.
//!
//! Some programs write a delimiter after the last field of every row, and not of the header, or the other way round. The empty
//! field that follows is not a value. In other files the same text is a row with a field too many, whose amount was cut at a decimal comma
//! for example. So the first valid row decides, and rows that differ from it are rejected.

use super::header::Header;
use super::notation;
use super::records::Record;
use crate::domain::columns::Columns;

/// How the rows after a header end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowEnds {
    /// No row was valid yet.
    #[default]
    Unknown,
    /// In their last value.
    Bare,
    /// In a delimiter.
    Delimited,
}

impl RowEnds {
    /// Whether a record has the fields of the header.
    #[inline]
    pub fn fits(self, record: &Record<'_>, header: &Header, columns: &Columns) -> bool {
        (record.width == header.width && self != Self::Delimited)
            || self.fits_otherwise(record, header, columns)
    }

    fn fits_otherwise(self, record: &Record<'_>, header: &Header, columns: &Columns) -> bool {
        let ends_empty =
            record.width.checked_sub(1).and_then(|last| record.text(last)).is_some_and(<[u8]>::is_empty);
        if record.width == header.width {
            // An empty last field would be the one after the delimiter, and another field is missing.
            return !ends_empty;
        }
        record.width == header.width + 1
            && match self {
                // The header has this field. One that is not empty is a field too many, of an amount that was cut for example.
                _ if header.has_unnamed_end => ends_empty,
                Self::Bare => false,
                Self::Delimited => ends_empty,
                Self::Unknown => ends_empty && notation::cut_amounts(record, header, columns).is_none(),
            }
    }

    /// How rows end, after a valid one.
    #[inline]
    #[must_use]
    pub fn after(self, record: &Record<'_>, header: &Header) -> Self {
        match self {
            Self::Unknown if record.width > header.width => Self::Delimited,
            Self::Unknown => Self::Bare,
            known => known,
        }
    }
}
