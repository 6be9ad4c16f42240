//! Which names a file uses for the columns of the schema: the parameter `columns`.
//!
//! `user_id:PlayerID,provider:"Vendor, Inc."` says that the column `user_id` is called `PlayerID` in the file. The column ends at
//! the first colon; the file's name ends at the next comma. A name with commas, quotes or line ends is written in double quotes, in which
//! a quote is doubled. Names are compared as in a header: in any case, without the blanks around them.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::columns::{Column, Columns, is_same_name};

/// Characters of a part of the parameter that an error shows.
const SHOWN_CHARACTERS: usize = 80;

/// One column that a file calls by another name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    column: String,
    /// As the sender wrote it.
    name: String,
    /// As it is compared.
    plain: String,
}

impl Named {
    /// None if one of the two is empty, or the column cannot be one.
    fn new(column: &str, name: &str) -> Option<Self> {
        let (column, name) = (column.trim().to_lowercase(), name.trim().to_owned());
        let plain = plain_name(&name);
        let is_pair = !column.is_empty() && !column.contains(',') && !plain.is_empty();
        is_pair.then_some(Self { column, name, plain })
    }

    /// Whether the schema has its column.
    fn is_of(&self, columns: &Columns) -> bool {
        columns.fields().any(|column| is_same_name(&column.name, &self.column))
    }
}

/// The columns that a file calls by other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames(Arc<[Named]>);

/// Why a value of the parameter cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ColumnNamesError {
    #[error("{found:?} is not COLUMN:NAME; write for example user_id:PlayerID,provider:Vendor")]
    NotAPair { found: String },
    #[error(
        "the quote in {found:?} is not closed, or text follows it; write a quote inside a quoted name twice"
    )]
    Quote { found: String },
    #[error("there is no column {column:?}; the columns are {known}")]
    UnknownColumn { column: String, known: String },
    #[error("the column comes first, then the name in the file; write {right}")]
    WrongOrder { right: String },
    #[error("column {column} is given two names; give it one")]
    ColumnTwice { column: String },
    #[error("the name {name:?} is given to two columns; a field of the file can only be one of them")]
    NameTwice { name: String },
}

impl ColumnNames {
    /// Reads the parameter.
    ///
    /// # Errors
    /// It is not a list of pairs, or names a column that is not in the schema, or a column or a name twice.
    pub fn parse(text: &str, columns: &Columns) -> Result<Self, ColumnNamesError> {
        Self::read(text, columns).map_err(|error| match Self::turned_round(text, columns) {
            Some(names) => ColumnNamesError::WrongOrder { right: names.to_string() },
            None => error,
        })
    }

    fn read(text: &str, columns: &Columns) -> Result<Self, ColumnNamesError> {
        let mut named: Vec<Named> = Vec::new();
        let mut rest = text;
        loop {
            let (next, after) = take_pair(rest)?;
            if !next.is_of(columns) {
                let known: Vec<&str> = columns.fields().map(|column| column.name.as_str()).collect();
                let written = rest.split_once(':').map_or(rest, |(column, _)| column);
                let column = shortened(written.trim());
                return Err(ColumnNamesError::UnknownColumn { column, known: known.join(", ") });
            }
            if named.iter().any(|other| other.column == next.column) {
                return Err(ColumnNamesError::ColumnTwice { column: next.column });
            }
            if named.iter().any(|other| other.plain == next.plain) {
                return Err(ColumnNamesError::NameTwice { name: next.name });
            }
            named.push(next);
            match after {
                Some(after) => rest = after,
                None => return Ok(Self(named.into())),
            }
        }
    }

    /// Returns what a list means in which pairs have the name first and then the column. None if it has no such pair, or cannot be used
    /// in this way either.
    fn turned_round(text: &str, columns: &Columns) -> Option<Self> {
        let right = |pair: &str| match take_pair(pair) {
            Ok((named, None)) if named.is_of(columns) => Some(named),
            _ => None,
        };
        let pairs = split_outside_quotes(text).into_iter();
        let named: Option<Vec<Named>> = pairs
            .map(|pair| right(pair).or_else(|| take_turned_pair(pair).filter(|named| named.is_of(columns))))
            .collect();
        Self::read(&Self(named?.into()).to_string(), columns).ok()
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn stored(text: &str) -> Self {
        let mut named = Vec::new();
        let mut rest = Some(text).filter(|text| !text.is_empty());
        while let Some(Ok((next, after))) = rest.map(take_pair) {
            named.push(next);
            rest = after;
        }
        Self(named.into())
    }

    /// The column that a field of this name is; `plain`: see [`plain_name`].
    pub fn column_of<'a>(&self, plain: &str, columns: &'a Columns) -> Option<&'a Column> {
        match self.0.iter().find(|named| named.plain == plain) {
            Some(named) => columns.fields().find(|column| is_same_name(&column.name, &named.column)),
            // A column that has another name is not called by its own ones.
            None => columns
                .fields()
                .find(|column| column.is_called(plain))
                .filter(|column| self.name_of(&column.name).is_none()),
        }
    }

    /// The name that the file uses for a column, if it is not the column's own.
    pub fn name_of(&self, column: &str) -> Option<&str> {
        self.0.iter().find(|named| is_same_name(column, &named.column)).map(|named| named.name.as_str())
    }
}

impl fmt::Display for ColumnNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Named { column, name, .. }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let is_bare = !name.starts_with('"') && !name.contains(',');
            match is_bare {
                true => write!(f, "{comma}{column}:{name}")?,
                false => write!(f, "{comma}{column}:\"{}\"", name.replace('"', "\"\""))?,
            }
        }
        Ok(())
    }
}

/// The part of a text that an error shows.
fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

/// Splits a list at its commas, except those in double quotes.
fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    })
    .collect()
}

/// Reads a pair that has the name first and then the column.
fn take_turned_pair(pair: &str) -> Option<Named> {
    let (name, column) = pair.rsplit_once(':')?;
    let name = match name.trim().strip_prefix('"') {
        Some(quoted) => take_quoted(quoted).filter(|(_, rest)| rest.is_none())?.0,
        None => name.to_owned(),
    };
    Named::new(column, &name)
}

/// Takes the first pair of a list, and what follows its comma.
fn take_pair(text: &str) -> Result<(Named, Option<&str>), ColumnNamesError> {
    let not_a_pair = || ColumnNamesError::NotAPair { found: shortened(text) };
    let (column, after) = text.split_once(':').ok_or_else(not_a_pair)?;
    let (name, rest) = match after.trim_start().strip_prefix('"') {
        Some(quoted) => {
            take_quoted(quoted).ok_or_else(|| ColumnNamesError::Quote { found: shortened(text) })?
        }
        None => match after.split_once(',') {
            Some((name, rest)) => (name.to_owned(), Some(rest)),
            None => (after.to_owned(), None),
        },
    };
    Named::new(column, &name).map(|named| (named, rest)).ok_or_else(not_a_pair)
}

/// Takes a name up to its closing quote, and what follows the comma after it.
fn take_quoted(text: &str) -> Option<(String, Option<&str>)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => {
                let after = after.trim_start();
                return match after.strip_prefix(',') {
                    Some(rest) => Some((name, Some(rest))),
                    None => after.is_empty().then_some((name, None)),
                };
            }
        }
    }
}

/// What a field of a file may be: the columns of the schema, under the names that the file uses.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    pub columns: &'a Columns,
    pub names: &'a ColumnNames,
}

impl<'a> Naming<'a> {
    /// Returns the column that a field of this name is; `plain`: see [`plain_name`].
    pub fn column_of(self, plain: &str) -> Option<&'a Column> {
        self.names.column_of(plain, self.columns)
    }

    /// Returns the name that the file must use for a column.
    pub fn name_of(self, column: &'a Column) -> &'a str {
        self.names.name_of(&column.name).unwrap_or(&column.name)
    }

    /// Returns the names that a header must have, for an error.
    pub fn expected(self) -> String {
        let in_words = |column| match self.name_of(column) {
            // Otherwise it would look like two names.
            name if name.contains(',') => format!("{name:?}"),
            name => name.to_owned(),
        };
        self.columns.fields().map(in_words).collect::<Vec<_>>().join(", ")
    }
}

/// Returns a name as it is compared: in lower case, without what may stand around it.
pub fn plain_name(name: &str) -> String {
    trimmed(name).to_lowercase()
}

/// Returns a name without what may stand around it: blanks, byte order marks, and the end of a file of DOS.
pub fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{1a}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn columns() -> Columns {
        Columns::parse(
            r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#,
        )
        .unwrap()
    }

    fn parse(text: &str) -> Result<ColumnNames, ColumnNamesError> {
        ColumnNames::parse(text, &columns())
    }

    #[test]
    fn an_alias_of_the_schema_is_a_name_of_its_column_unless_the_sender_names_another() {
        let columns = Columns::parse(
            r#"{"type":"record","name":"R","fields":[
                {"name":"basePrice","type":"long","aliases":["price","Größe"]},{"name":"b","type":"string"}]}"#,
        );
        let columns = columns.unwrap();
        let none = ColumnNames::default();
        for name in ["basePrice", "BASEPRICE", "Price", "GRÖSSE", "größe"] {
            let column = none.column_of(&plain_name(name), &columns);
            let expected = (name != "GRÖSSE").then_some("basePrice");
            assert_eq!(column.map(|column| column.name.as_str()), expected, "{name}");
        }
        let named = ColumnNames::parse("baseprice:cost,b:price", &columns).unwrap();
        for (name, expected) in
            [("cost", Some("basePrice")), ("price", Some("b")), ("größe", None), ("b", None)]
        {
            let column = named.column_of(name, &columns);
            assert_eq!(column.map(|column| column.name.as_str()), expected, "{name}");
        }
    }

    #[test]
    fn any_name_can_be_written() {
        for (text, name) in [
            ("id:PlayerID", "PlayerID"),
            (" ID : Player ID ", "Player ID"),
            ("id:a:b", "a:b"),
            ("id:\"a,b\"", "a,b"),
            ("id: \"a \"\"b\"\"\" ", "a \"b\""),
            ("id:Игрок №", "Игрок №"),
            ("id:a\\b\"c", "a\\b\"c"),
        ] {
            for more in ["", ",name:x"] {
                let names = parse(&format!("{text}{more}")).unwrap();
                assert_eq!(names.name_of("id"), Some(name), "{text}{more}");
                assert_eq!(names.name_of("name").is_some(), !more.is_empty(), "{text}{more}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, part) in [
            ("", "is not COLUMN:NAME"),
            ("id", "\"id\" is not COLUMN:NAME"),
            ("id:", "is not COLUMN:NAME"),
            (":x", "is not COLUMN:NAME"),
            ("id:x,", "is not COLUMN:NAME"),
            ("name,id:x", "\"name,id:x\" is not COLUMN:NAME"),
            ("id:\"x", "is not closed"),
            ("id:\"x\"y", "text follows"),
            ("player:x", "no column \"player\"; the columns are id, name"),
            ("id:x,id:y", "column id is given two names"),
            ("id:x,name: X", "the name \"X\" is given to two columns"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_with_the_names_first_is_answered_with_the_right_order() {
        for (text, right) in [
            ("PlayerID:id", "id:PlayerID"),
            (" Player ID : Name ", "name:Player ID"),
            ("PlayerID:id,name:Vendor", "id:PlayerID,name:Vendor"),
            ("a:b:id,\"Vendor, \"\"Inc.\"\"\":name", "id:a:b,name:\"Vendor, \"\"Inc.\"\"\""),
            ("name:Vendor,PlayerID:ID", "name:Vendor,id:PlayerID"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, ColumnNamesError::WrongOrder { right: right.to_owned() }, "{text}");
            assert!(error.to_string().ends_with(&format!("write {right}")), "{error}");
            parse(right).unwrap();
        }
        // With these, no order is right.
        for (text, part) in [
            ("Player:Game", "no column \"Player\""),
            ("Player:id,Other:x", "no column \"Player\""),
            ("A:id,B:id", "no column \"A\""),
            ("Player,id", "is not COLUMN:NAME"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_column_with_another_name_is_not_found_by_its_own() {
        let columns = columns();
        let column = |names: &ColumnNames, plain: &str| {
            names.column_of(plain, &columns).map(|column| column.name.clone())
        };
        let names = parse("id:Name,name:id").unwrap();
        assert_eq!(column(&names, "name").as_deref(), Some("id"));
        assert_eq!(column(&names, "id").as_deref(), Some("name"));
        let names = parse("id:player").unwrap();
        assert_eq!((column(&names, "id"), column(&names, "player").as_deref()), (None, Some("id")));
        assert_eq!(column(&names, "name").as_deref(), Some("name"));
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_again(id in "[\"a-c:,\\\\ é\\n]{1,8}", name in "[x-z,\"]{1,8}") {
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let Ok(names) = parse(&format!("id:{},name:{}", quoted(&id), quoted(&name))) else { return Ok(()) };
            prop_assert_eq!(names.name_of("id"), Some(id.trim()));
            prop_assert_eq!(ColumnNames::stored(&names.to_string()), names.clone());
            prop_assert_eq!(parse(&names.to_string()), Ok(names));
        }
    }
}
