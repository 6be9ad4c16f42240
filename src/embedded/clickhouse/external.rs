//! External tables: files of a form that the statement of the form reads as tables.
//!
//! Each is a temporary table of the connection. The parameters `NAME_structure` or `NAME_types` name its columns,
//! `NAME_format` the format of the file.

use bytes::Bytes;

use super::engine;
use super::exception::{Code, Exception};
use super::ffi::{Connection, Statement};
use super::tokens::Tokens;

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
    structure: String,
    format: String,
    data: Bytes,
}

impl ExternalTable {
    /// Makes tables of a form's files, and takes the parameters that describe them.
    ///
    /// # Errors
    /// Nothing says which columns a file has.
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
        let structure = structure.or_else(|| types.map(|types| numbered(&types))).ok_or_else(|| {
            let reason = format_args!(
                "Neither structure nor types have been provided for external table {name}. \
                 Use fields {name}_structure or {name}_types to do so"
            );
            Exception::new(Code::BadArguments, reason)
        })?;
        if format.is_empty() || !format.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Exception::new(Code::UnknownFormat, format_args!("Unknown format {format}")));
        }
        Ok(Self { name, structure, format, data: file.data })
    }

    /// Creates the table in a connection, with its rows.
    ///
    /// # Errors
    /// The engine refuses the structure or the data.
    pub(super) fn create(&self, connection: &mut Connection) -> Result<(), Exception> {
        let failed = |message: String| Exception::from_engine(&message);
        let table = engine::quoted_name(&self.name);
        let create = format!("CREATE TEMPORARY TABLE {table} ({}) ENGINE = Memory", self.structure);
        // A structure that closes the bracket could go on with a statement of its own.
        if connection.classify(create.as_bytes()).statements != 1 {
            let reason = format_args!("Cannot parse the structure of external table {}", self.name);
            return Err(Exception::new(Code::SyntaxError, reason));
        }
        engine::run(connection, &create).map_err(failed)?;
        let insert = format!("INSERT INTO {table}");
        let statement = Statement { text: insert.as_bytes(), format: &self.format, parameters: &[] };
        let mut stream = connection.insert(statement).map_err(failed)?;
        stream.append(&self.data);
        stream.finish().map_err(failed).map(drop)
    }

    /// The statement that removes the table from its connection.
    pub(super) fn drop_statement(&self) -> String {
        format!("DROP TEMPORARY TABLE IF EXISTS {}", engine::quoted_name(&self.name))
    }
}

/// Columns `_1`, `_2`, … of types that are separated by commas.
fn numbered(types: &str) -> String {
    let commas = Tokens::new(types.as_bytes()).filter(|token| token.depth == 0 && token.is(b","));
    let mut from = 0;
    let mut columns = Vec::new();
    for (start, end) in commas.map(|comma| (comma.start, comma.end)).chain([(types.len(), types.len())]) {
        let column = types.get(from..start).unwrap_or_default();
        columns.push(format!("_{} {}", columns.len() + 1, column.trim()));
        from = end;
    }
    columns.join(", ")
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
        assert_eq!((named[0].structure.as_str(), named[0].format.as_str()), ("a UInt8, b String", "CSV"));
        let numbered = tables("", &[("_data_types", "UInt8,Decimal(18, 4)")]).unwrap();
        assert_eq!(numbered[0].structure, "_1 UInt8, _2 Decimal(18, 4)");
        assert_eq!(numbered[0].format, "TabSeparated");
    }

    #[test]
    fn a_table_without_columns_or_with_an_impossible_format_is_refused() {
        assert_eq!(tables("t", &[("u_types", "UInt8")]).unwrap_err().code(), 36);
        assert_eq!(tables("t", &[("t_types", "UInt8"), ("t_format", "CSV x")]).unwrap_err().code(), 73);
    }
}
