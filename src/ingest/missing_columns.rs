//! A header that lacks columns: which names are expected, which were found, and why a name may not have been recognized.

use std::fmt;

use super::column_names::{Naming, plain_name, trimmed};
use crate::domain::columns::Column;

/// Names of a header that an error shows.
const SHOWN_NAMES: usize = 50;

/// Characters of a name that an error shows.
const SHOWN_CHARACTERS: usize = 80;

/// Columns that a header lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingColumns {
    /// As the schema calls them.
    pub missing: Vec<String>,
    /// The names in the header, as they stand there.
    pub found: Vec<String>,
    /// The missing columns, each with the name that the file must use for it.
    expected: Vec<String>,
    /// The header names no column at all.
    is_all: bool,
    /// A name that would be one of the missing columns without characters that cannot be seen.
    hidden: Option<Hidden>,
}

/// A name with a character that cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hidden {
    /// From 1.
    position: usize,
    name: String,
    character: char,
}

impl MissingColumns {
    pub(super) fn of<'a>(
        missing: &[&Column],
        found: impl Iterator<Item = &'a String> + Clone,
        naming: Naming<'_>,
    ) -> Self {
        let expected = missing.iter().map(|column| match naming.names.name_of(&column.name) {
            Some(name) => format!("{:?} (for {}, as columns= says)", shown(name), column.name),
            None => column.name.clone(),
        });
        Self {
            missing: missing.iter().map(|column| column.name.clone()).collect(),
            found: found.clone().map(|name| trimmed(name).to_owned()).collect(),
            expected: expected.collect(),
            is_all: missing.len() == naming.columns.fields().count(),
            hidden: found.enumerate().find_map(|(at, name)| Hidden::of(at + 1, name, missing, naming)),
        }
    }

    /// Says that a column with this name is missing from a file that must have it.
    pub fn one(missing: &str, found: Vec<String>) -> Self {
        let missing = vec![missing.to_owned()];
        Self { expected: missing.clone(), missing, found, is_all: false, hidden: None }
    }
}

impl Hidden {
    fn of(position: usize, text: &str, missing: &[&Column], naming: Naming<'_>) -> Option<Self> {
        let character = text.chars().find(|c| is_hidden(*c))?;
        let plain = plain_name(&text.replace(is_hidden, ""));
        let column = missing.iter().find(|column| plain_name(naming.name_of(column)) == plain)?;
        Some(Self { position, name: naming.name_of(column).to_owned(), character })
    }
}

/// Whether nobody sees a character: it is a control character, or has no width.
fn is_hidden(c: char) -> bool {
    let has_no_width = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    c.is_control() || has_no_width
}

impl fmt::Display for MissingColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, expected, is_all, hidden, .. } = self;
        let expected = expected.join(", ");
        match is_all {
            true => write!(f, "the header has none of the expected names; expected: {expected}; found: ")?,
            false => write!(f, "the header lacks {expected}; found: ")?,
        }
        let names = found.iter().take(SHOWN_NAMES).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        let more = if found.len() > SHOWN_NAMES { ", …" } else { "" };
        write!(f, "{names}{more}; ")?;
        match hidden {
            Some(Hidden { position, name, character }) => {
                let kind = if *character == '\0' { "a NUL byte" } else { "a character that cannot be seen" };
                let code = u32::from(*character);
                write!(f, "field {position} is {name} with {kind} (U+{code:04X}); remove it")
            }
            None => f.write_str(
                "rename the fields in the header, add what is missing, or say which field is which column with \
                 columns=COLUMN:NAME,…",
            ),
        }
    }
}

/// A name with its control characters made visible.
fn shown(name: &str) -> String {
    name.chars()
        .take(SHOWN_CHARACTERS)
        .flat_map(|c| {
            let escaped = if is_hidden(c) { Some(c.escape_unicode()) } else { None };
            let plain = if escaped.is_none() { Some(c) } else { None };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
