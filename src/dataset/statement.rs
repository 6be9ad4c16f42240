//! The statements in the folder `tables` of a dataset: what they create, as far as their text says it. ClickHouse checks the rest.

use std::ops::Range;

use roundhouse_sql::{Token, Tokens};

use super::fault::FileFault;
use super::files::SqlFile;

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
    tokens: Vec<Token<'a>>,
    is_view: bool,
    name: &'a str,
    /// Where the name begins.
    start: usize,
    /// Where the statement ends, without a semicolon.
    end: usize,
}

impl<'a> Text<'a> {
    fn new(file: &'a SqlFile) -> Result<Self, FileFault> {
        let tokens: Vec<Token<'a>> = Tokens::new(file.text.as_bytes()).collect();
        let fault = |byte: usize, message: &str| FileFault::at(&file.path, &file.text, byte, message);
        let end = tokens.last().map_or(0, |last| last.end);
        let end = file.text.get(..end).unwrap_or_default().trim_end_matches(';').len();
        if let Some(more) = tokens.iter().find(|token| token.is(b";") && token.start < end) {
            return Err(fault(more.start, "a file has one statement; put each one into a file of its own"));
        }
        let begin = tokens.first().map_or(0, |first| first.start);
        let body = file.text.get(begin..).unwrap_or_default();
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
        Ok(Self { file, tokens, is_view, name, start, end })
    }

    fn fault(&self, byte: usize, message: String) -> FileFault {
        FileFault::at(&self.file.path, &self.file.text, byte, message)
    }

    /// Returns the position after the first such word in a range of the statement. `word` has the characters around it, too.
    fn after(&self, word: &str, range: Range<usize>) -> Option<usize> {
        let is_there = |token: &&Token<'_>| {
            let around = token.start.checked_sub(1).map(|before| before..token.end + 1);
            token.word && around.and_then(|around| self.file.text.get(around)) == Some(word)
        };
        let mut inside = self.tokens.iter().filter(|token| range.contains(&token.start));
        inside.find(is_there).map(|token| token.end + 1)
    }

    fn statement(&self, tables: &[&str], row_table: &str) -> Result<Statement, FileFault> {
        let kind = match self.is_view {
            true => StatementKind::View(self.view(tables, row_table)?),
            false => StatementKind::Table,
        };
        Ok(Statement { file: self.file.clone(), name: self.name.to_owned(), kind })
    }

    fn view(&self, tables: &[&str], row_table: &str) -> Result<View, FileFault> {
        let query = self.after(" AS\n", self.start..self.end).ok_or_else(|| {
            self.fault(self.start, "AS at the end of a line must precede the query of the view".to_owned())
        })?;
        let target = self.after(" TO ", self.start..query);
        let target = target.and_then(|at| self.file.text.get(at..)).and_then(identifier);
        let target = target.ok_or_else(|| {
            let message =
                "the view must name its table: CREATE MATERIALIZED VIEW IF NOT EXISTS view TO table AS";
            self.fault(self.start, message.to_owned())
        })?;
        if !tables.contains(&target) {
            let message = format!("no file in this folder creates the table {target} of the view; add one");
            return Err(self.fault(self.start, message));
        }
        let mut places = self.sources(query, row_table);
        let (Some(source), None) = (places.next(), places.next()) else {
            let message =
                format!("the query of a view must read the row table exactly once, as FROM {row_table}");
            return Err(self.fault(query, message));
        };
        let part = |range: Range<usize>| self.file.text.get(range).unwrap_or_default().to_owned();
        Ok(View {
            target: target.to_owned(),
            before: part(query..source.start),
            after: part(source.end..self.end),
        })
    }

    /// Returns the places in a query where the row table follows FROM or JOIN.
    fn sources(&self, query: usize, row_table: &str) -> impl Iterator<Item = &Token<'a>> {
        let pairs = self.tokens.windows(2).filter_map(|pair| pair.first().zip(pair.last()));
        pairs
            .filter(move |(before, token)| {
                let is_table = token.word && token.text == row_table.as_bytes() && token.start > query;
                let is_qualified = self.file.text.as_bytes().get(token.end) == Some(&b'.');
                is_table && !is_qualified && (before.is(b"FROM") || before.is(b"JOIN"))
            })
            .map(|(_, token)| token)
    }
}

/// Returns the name at the beginning of a text.
fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && !rest.starts_with('.')).then_some(name)
}
