//! External tables: files of a form that the statement of the form reads as tables.
//!
//! Each is a temporary table of the connection. The parameters `NAME_structure` or `NAME_types` name its columns,
//! `NAME_format` the format of the file.

use std::iter::Peekable;

use bytes::Bytes;

use super::engine;
use super::exception::{Code, Exception};
use super::ffi::{Connection, Statement};
use super::quoting::quoted_name;
use roundhouse_sql::{Token, Tokens};

/// The name of a table whose part of the form has none, and the format of a file that does not name one.
const UNNAMED: &str = "_data";
const DEFAULT_FORMAT: &str = "TabSeparated";

/// A file of a form.
#[derive(Debug)]
pub(super) struct FormFile {
    pub(super) name: String,
    pub(super) data: Bytes,
}

/// A table that comes with a request.
#[derive(Debug)]
pub(super) struct ExternalTable {
    name: String,
    /// Names and types of its columns, as in CREATE TABLE.
    columns: String,
    format: String,
    data: Bytes,
}

impl ExternalTable {
    /// Makes tables of a form's files, and takes the parameters that describe them.
    ///
    /// # Errors
    /// Nothing says which columns a file has, or the text that does is malformed.
    pub(super) fn of_files(
        files: Vec<FormFile>,
        parameters: &mut Vec<(String, String)>,
    ) -> Result<Vec<Self>, Exception> {
        files.into_iter().map(|file| Self::of_file(file, parameters)).collect()
    }

    fn of_file(file: FormFile, parameters: &mut Vec<(String, String)>) -> Result<Self, Exception> {
        let name = if file.name.is_empty() { UNNAMED.to_owned() } else { file.name };
        let mut take = |suffix: &str| {
            let parameter = format!("{name}_{suffix}");
            let at = parameters.iter().position(|(name, _)| *name == parameter)?;
            Some(parameters.swap_remove(at).1)
        };
        let (structure, types) = (take("structure"), take("types"));
        let format = take("format").unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
        let columns = match (structure, types) {
            (Some(structure), _) => columns(&structure, true),
            (None, Some(types)) => columns(&types, false),
            (None, None) => {
                let reason = format_args!(
                    "Neither structure nor types have been provided for external table {name}. \
                     Use fields {name}_structure or {name}_types to do so"
                );
                return Err(Exception::new(Code::BadArguments, reason));
            }
        };
        let columns = columns.ok_or_else(|| {
            let reason = format_args!("Cannot parse the structure of external table {name}");
            Exception::new(Code::SyntaxError, reason)
        })?;
        if format.is_empty() || !format.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Exception::new(Code::UnknownFormat, format_args!("Unknown format {format}")));
        }
        Ok(Self { name, columns, format, data: file.data })
    }

    /// Creates the table in a connection, without rows.
    ///
    /// # Errors
    /// The engine refuses the columns, or the connection has a table of this name.
    pub(super) fn create(&self, connection: &mut Connection) -> Result<(), Exception> {
        let table = quoted_name(&self.name);
        let create = format!("CREATE TEMPORARY TABLE {table} ({}) ENGINE = Memory", self.columns);
        engine::run(connection, &create).map_err(Exception::from_engine).map(drop)
    }

    /// Inserts the rows of the file.
    ///
    /// # Errors
    /// The engine refuses the data.
    pub(super) fn fill(&self, connection: &mut Connection) -> Result<(), Exception> {
        let insert = format!("INSERT INTO {}", quoted_name(&self.name));
        let statement = Statement { text: insert.as_bytes(), format: &self.format, parameters: &[] };
        let mut stream = connection.insert(statement).map_err(Exception::from_engine)?;
        stream.append(&self.data);
        stream.finish().map_err(Exception::from_engine).map(drop)
    }

    /// The statement that removes the table from its connection.
    pub(super) fn drop_statement(&self) -> String {
        format!("DROP TEMPORARY TABLE IF EXISTS {}", quoted_name(&self.name))
    }
}

/// Words that may follow the first one of a type, as in `DOUBLE PRECISION` and `INT UNSIGNED`.
const TYPE_WORDS: [&[u8]; 8] =
    [b"PRECISION", b"VARYING", b"LARGE", b"OBJECT", b"CHAR", b"CHARACTER", b"SIGNED", b"UNSIGNED"];

/// Reads `name type, name type, …`, or without names `type, type, …`, whose columns are `_1`, `_2`, …. Returns the columns with quoted
/// names. `None` if the text has anything else: it becomes a part of a CREATE, which it must not continue.
fn columns(text: &str, are_named: bool) -> Option<String> {
    let mut columns = Vec::new();
    let mut tokens = Tokens::new(text.as_bytes()).peekable();
    loop {
        let name = if are_named { column_name(&mut tokens)? } else { format!("`_{}`", columns.len() + 1) };
        columns.push(format!("{name} {}", data_type(text, &mut tokens)?));
        match tokens.next() {
            None => return Some(columns.join(", ")),
            Some(comma) if comma.is(b",") => {}
            Some(_) => return None,
        }
    }
}

/// A name in quotes, or bare names with dots between them.
fn column_name(tokens: &mut Peekable<Tokens<'_>>) -> Option<String> {
    let first = tokens.next()?;
    if first.is_quoted_name() {
        return String::from_utf8(first.text.to_vec()).ok();
    }
    let mut name = first.word.then(|| first.unquoted())?;
    while tokens.next_if(|dot| dot.is(b".")).is_some() {
        name = format!("{name}.{}", tokens.next().filter(|part| part.word)?.unquoted());
    }
    Some(quoted_name(&name))
}

/// `UInt8`, `Decimal(18, 4)`, `INT UNSIGNED`.
fn data_type<'t>(text: &'t str, tokens: &mut Peekable<Tokens<'_>>) -> Option<&'t str> {
    let first = tokens.next().filter(|first| first.word)?;
    let mut end = first.end;
    while let Some(next) = tokens.next_if(continues_type) {
        end = if next.is(b"(") { end_of_arguments(tokens, next.depth)? } else { next.end };
    }
    text.get(first.start..end)
}

fn continues_type(token: &Token<'_>) -> bool {
    token.is(b"(") || TYPE_WORDS.iter().any(|word| token.is(word))
}

/// The position after the bracket that closes one of this depth.
fn end_of_arguments(tokens: &mut Peekable<Tokens<'_>>, depth: usize) -> Option<usize> {
    let end = tokens.find(|token| token.is(b";") || token.depth == depth)?;
    end.is(b")").then_some(end.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(name: &str, parameters: &[(&str, &str)]) -> Result<Vec<ExternalTable>, Exception> {
        let file = FormFile { name: name.to_owned(), data: Bytes::new() };
        let mut parameters =
            parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        ExternalTable::of_files(vec![file], &mut parameters)
    }

    #[test]
    fn columns_have_names_or_numbers() {
        let named = tables("t", &[("t_structure", "a UInt8, b String"), ("t_format", "CSV")]).unwrap();
        assert_eq!((named[0].columns.as_str(), named[0].format.as_str()), ("`a` UInt8, `b` String", "CSV"));
        let numbered = tables("", &[("_data_types", "UInt8,Decimal(18, 4)")]).unwrap();
        assert_eq!(numbered[0].columns, "`_1` UInt8, `_2` Decimal(18, 4)");
        assert_eq!(numbered[0].format, "TabSeparated");
    }

    #[test]
    fn a_structure_has_names_and_types_and_nothing_else() {
        let cases = [
            ("index UInt8", "`index` UInt8"),
            ("n.a Array(UInt8) -- c", "`n.a` Array(UInt8)"),
            ("`a\\`b` Int8,\"c\" Int8", "`a\\`b` Int8, \"c\" Int8"),
            ("a INT(11) UNSIGNED, b double precision", "`a` INT(11) UNSIGNED, `b` double precision"),
            ("a Enum8('x, )' = 1, ';' = -2)", "`a` Enum8('x, )' = 1, ';' = -2)"),
            (
                "a Tuple(x UInt8, `y)` Array(Nullable(Int8)))",
                "`a` Tuple(x UInt8, `y)` Array(Nullable(Int8)))",
            ),
        ];
        for (structure, expected) in cases {
            assert_eq!(columns(structure, true).as_deref(), Some(expected), "{structure}");
        }
        for structure in [
            "",
            "a",
            "a UInt8,",
            "a UInt8) AS SELECT 1 AS a --",
            "a UInt8) ENGINE = Memory COMMENT $$ (",
            "a UInt8 DEFAULT 1",
            "a UInt8 DEFAULT(SELECT 1)",
            "a UInt8 MATERIALIZED file('x')",
            "a UInt8 CODEC(NONE)",
            "a UInt8 COMMENT 'x'",
            "a UInt8; b UInt8",
            "a Tuple(x UInt8; DROP TABLE t)",
            "a Tuple(x UInt8",
            "a Tuple(x UInt8]",
            "a Tuple('x UInt8)",
            "a UInt8 b UInt8",
            "INDEX i a TYPE minmax",
            "a 'UInt8'",
            "a -- UInt8",
            "1 UInt8",
        ] {
            assert_eq!(columns(structure, true), None, "{structure}");
        }
        assert_eq!(columns("UInt8) AS SELECT (1", false), None);
    }

    #[test]
    fn a_table_without_columns_or_with_an_impossible_format_is_refused() {
        assert_eq!(tables("t", &[("u_types", "UInt8")]).unwrap_err().code(), 36);
        assert_eq!(tables("t", &[("t_types", "UInt8"), ("t_format", "CSV x")]).unwrap_err().code(), 73);
    }
}
