//! The columns that order pages, and their values as texts.

use super::Prepared;
use crate::dataset::endpoint::types::Type;
use crate::warehouse::text::Text;

/// The values of the page columns of one row: what [`KeyColumn::expression`] returns for each.
pub type Key = Vec<String>;

/// A column that orders pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyColumn<'a> {
    pub name: &'a str,
    pub is_descending: bool,
    kind: &'a Type,
}

impl<'a> KeyColumn<'a> {
    pub(super) fn all(prepared: &'a Prepared) -> Vec<Self> {
        let columns = prepared.endpoint.page.iter().flat_map(|page| &page.columns);
        let known = columns.filter_map(|column| {
            let kind = prepared.column(&column.name)?.kind.bare().0;
            Some(Self { name: &column.name, is_descending: column.is_descending, kind })
        });
        known.collect()
    }

    /// Returns an expression with the value as text. Text may be any bytes, and a time has the zone of its column.
    pub(super) fn expression(&self, name: &str) -> String {
        match self.kind {
            Type::String | Type::FixedString(_) => format!("hex({name})"),
            Type::DateTime { .. } | Type::DateTime64 { .. } => format!("toString(toTimeZone({name}, 'UTC'))"),
            _ => format!("toString({name})"),
        }
    }

    /// Returns the type of a parameter with the value.
    pub(super) fn parameter_type(&self) -> String {
        match self.kind {
            Type::FixedString(_) => "String".to_owned(),
            Type::DateTime { .. } => "DateTime('UTC')".to_owned(),
            Type::DateTime64 { precision, .. } => format!("DateTime64({precision}, 'UTC')"),
            kind => kind.to_string(),
        }
    }

    /// Returns the value of that parameter. None if the text is not a value of the column.
    pub(super) fn parameter(&self, text: &str) -> Option<String> {
        match self.kind {
            Type::String | Type::FixedString(_) => Some(Text::from(unhex(text)?).parameter()),
            kind => kind.read_text(text).ok().map(|value| value.parameter()),
        }
    }
}

/// Reads what ClickHouse's `hex()` returns.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Decides how many of some rows fit a page: `limit`, or fewer, so that rows with equal keys stay together. `keys`: those of `limit` rows
/// and of one more, if there is one. None if all rows have the same key, so that more of them may follow.
pub(super) fn cut(keys: &[Key], limit: usize) -> Option<usize> {
    if keys.len() <= limit {
        return Some(keys.len());
    }
    (1..=limit).rev().find(|at| keys.get(at - 1) != keys.get(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_equal_keys_stay_on_one_page() {
        let keys = |letters: &str| letters.chars().map(|letter| vec![letter.to_string()]).collect::<Vec<_>>();
        for (letters, limit, fits) in [
            ("", 2, Some(0)),
            ("a", 2, Some(1)),
            ("ab", 2, Some(2)),
            ("aa", 2, Some(2)),
            ("abc", 2, Some(2)),
            ("abb", 2, Some(1)),
            ("aab", 2, Some(2)),
            ("aaa", 2, None),
            ("abcdd", 4, Some(3)),
        ] {
            assert_eq!(cut(&keys(letters), limit), fits, "{letters}");
        }
    }

    #[test]
    fn text_may_be_any_bytes() {
        assert_eq!(unhex("00FFab"), Some(vec![0, 255, 171]));
        for text in ["0", "0g", "é", "+1"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
