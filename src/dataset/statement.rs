//! The statements in the folder `tables` of a dataset: what they create, as far as their text says it. ClickHouse checks the rest.

use super::fault::FileFault;
use super::files::SqlFile;
use super::sql::blanked;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS ";
const VIEW: &str = "CREATE MATERIALIZED VIEW IF NOT EXISTS ";

/// A statement that creates a table or a materialized view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub file: SqlFile,
    /// The table or view that it creates.
    pub name: String,
    pub kind: StatementKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    Table,
    View(View),
}

/// A materialized view on the row table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The table that gets its rows.
    pub target: String,
    /// Its query before and after the name of the row table.
    before: String,
    after: String,
}

impl View {
    /// Returns the query of the view, reading from `source` instead of the row table.
    pub fn query_from(&self, source: &str) -> String {
        format!("{}{source}{}", self.before, self.after)
    }
}

impl Statement {
    pub fn view(&self) -> Option<&View> {
        match &self.kind {
            StatementKind::Table => None,
            StatementKind::View(view) => Some(view),
        }
    }
}

/// Reads the statements of a dataset, one in each file.
///
/// # Errors
/// One creates neither a table nor a materialized view `TO` a table, no statement creates the row table or the table of a view, or a view
/// does not read the row table exactly once.
pub(super) fn read(files: &[SqlFile], row_table: &str) -> Result<Vec<Statement>, FileFault> {
    let texts = files.iter().map(Text::new).collect::<Result<Vec<_>, _>>()?;
    let tables: Vec<&str> = texts.iter().filter(|text| !text.is_view).map(|text| text.name).collect();
    if !tables.contains(&row_table) {
        let message = format!("no file in this folder creates the row table {row_table}; add one");
        let folder = files.first().map_or("tables", |file| file.path.as_str());
        return Err(FileFault::new(folder, 1, message));
    }
    texts.iter().map(|text| text.statement(&tables, row_table)).collect()
}

/// The text of a statement.
struct Text<'a> {
    file: &'a SqlFile,
    /// The text without strings and comments, to look for words.
    blank: String,
    is_view: bool,
    name: &'a str,
    /// Where the name begins.
    start: usize,
}

impl<'a> Text<'a> {
    fn new(file: &'a SqlFile) -> Result<Self, FileFault> {
        let blank = blanked(&file.text);
        let fault = |byte: usize, message: &str| FileFault::at(&file.path, &file.text, byte, message);
        let begin = blank.len() - blank.trim_start().len();
        let end = blank.trim_end().trim_end_matches(';').len();
        if let Some(byte) = blank.get(..end).and_then(|text| text.find(';')) {
            return Err(fault(byte, "a file has one statement; put each one into a file of its own"));
        }
        let body = blank.get(begin..).unwrap_or_default();
        let (is_view, length) = match (body.starts_with(TABLE), body.starts_with(VIEW)) {
            (true, _) => (false, TABLE.len()),
            (_, true) => (true, VIEW.len()),
            _ => {
                let message = "the statement must begin with CREATE TABLE IF NOT EXISTS or CREATE MATERIALIZED VIEW IF NOT EXISTS";
                return Err(fault(begin, message));
            }
        };
        let start = begin + length;
        let name = file.text.get(start..).and_then(identifier);
        let name = name
            .ok_or_else(|| fault(start, "a name of letters, digits and _ must follow, without a database"))?;
        Ok(Self { file, blank, is_view, name, start })
    }

    fn fault(&self, byte: usize, message: String) -> FileFault {
        FileFault::at(&self.file.path, &self.file.text, byte, message)
    }

    fn statement(&self, tables: &[&str], row_table: &str) -> Result<Statement, FileFault> {
        let kind = match self.is_view {
            true => StatementKind::View(self.view(tables, row_table)?),
            false => StatementKind::Table,
        };
        Ok(Statement { file: self.file.clone(), name: self.name.to_owned(), kind })
    }

    fn view(&self, tables: &[&str], row_table: &str) -> Result<View, FileFault> {
        let rest = self.blank.get(self.start..).unwrap_or_default();
        let (head, query) = rest.split_once(" AS\n").ok_or_else(|| {
            self.fault(self.start, "AS at the end of a line must precede the query of the view".to_owned())
        })?;
        let target = head.split_once(" TO ").and_then(|(_, target)| identifier(target));
        let target = target.ok_or_else(|| {
            let message =
                "the view must name its table: CREATE MATERIALIZED VIEW IF NOT EXISTS view TO table AS";
            self.fault(self.start, message.to_owned())
        })?;
        if !tables.contains(&target) {
            let message = format!("no file in this folder creates the table {target} of the view; add one");
            return Err(self.fault(self.start, message));
        }
        let begin = self.blank.len() - query.len();
        let mut places = sources(query, row_table);
        let (Some(from), None) = (places.next(), places.next()) else {
            let message =
                format!("the query of a view must read the row table exactly once, as FROM {row_table}");
            return Err(self.fault(begin, message));
        };
        let text = self.file.text.trim_end().trim_end_matches(';');
        let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
        Ok(View {
            target: target.to_owned(),
            before: part(text.get(begin..begin + from)),
            after: part(text.get(begin + from + row_table.len()..)),
        })
    }
}

/// Returns the places in a query where the row table follows FROM or JOIN.
fn sources<'a>(query: &'a str, row_table: &'a str) -> impl Iterator<Item = usize> + 'a {
    query.match_indices(row_table).filter_map(move |(from, name)| {
        let before = query.get(..from)?.trim_end();
        let after = query.get(from + name.len()..)?;
        let is_word = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        let follows = ["FROM", "JOIN"].iter().any(|word| before.to_ascii_uppercase().ends_with(word));
        (is_word && follows && before.len() < from).then_some(from)
    })
}

/// Returns the name at the beginning of a text.
fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && !rest.starts_with('.')).then_some(name)
}
