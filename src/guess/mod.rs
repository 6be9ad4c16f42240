//! Guesses a dataset from the first rows of a file: its schema, tables, endpoints and checks.
//!
//! [`fields`] reads the rows as texts, [`evidence`] notes what the values of each field show, [`kind`] chooses the types, [`mod@write`] writes the
//! files. Then the rows are read once more, as an upload would read them: a column with faults gets a wider type. So the dataset accepts
//! every row that it was made of.

mod evidence;
mod fields;
mod kind;
mod names;
mod objects;
mod verify;
mod write;

use thiserror::Error;

use self::evidence::Evidence;
use self::fields::Fields;
pub use self::fields::Sample;
use self::kind::{Guessed, choose};
use self::names::{identifiers, quoted};
use self::verify::faults;
use crate::domain::columns::ColumnsError;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::money;
use crate::ingest::FileError;

/// Rows that are looked at.
pub const MAX_ROWS: u64 = 100_000;

/// Bytes of a file that are looked at.
pub const MAX_HEAD_BYTES: u64 = 32 << 20;

/// Ends of the names of columns that identify a row.
const NAMES_OF_KEYS: [&str; 8] = ["id", "_no", "_nr", "_number", "_key", "_seq", "number", "nummer"];

/// Why no dataset can be guessed.
#[derive(Debug, Error)]
pub enum GuessError {
    #[error(
        "the file is empty; give a file with some rows: CSV whose first line names the columns, or JSON objects"
    )]
    Empty,
    #[error("the file has a header but no rows; add some, from which the types can be guessed")]
    NoRows,
    #[error("the first line names no columns: {line:?}; put a line with their names before it")]
    NoHeader { line: String },
    #[error("no field of the file can be a column; give a file with other fields")]
    NoColumns,
    #[error("the file has more than {most} columns; give a file with fewer")]
    TooManyColumns { most: usize },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the guessed schema cannot be used: {0}; write one by hand, see docs/DATASETS.md")]
    Schema(#[from] ColumnsError),
}

/// A field of the file that is no column.
#[derive(Clone, Debug)]
pub struct LeftOut {
    pub name: String,
    /// With what to do.
    pub reason: &'static str,
}

/// A column.
#[derive(Clone, Debug)]
struct GuessedColumn {
    name: String,
    place: Vec<String>,
    kind: Guessed,
    is_nullable: bool,
    /// An empty text is null.
    is_empty_null: bool,
    values: u64,
    nulls: u64,
    is_unique: bool,
    times: Option<(i64, i64)>,
    /// Its place in an object is named by a JSON Pointer.
    has_path: bool,
}

impl GuessedColumn {
    fn quoted(&self) -> String {
        quoted(&self.name)
    }
}

/// A dataset.
#[derive(Clone, Debug)]
pub struct Guess {
    name: String,
    file: String,
    columns: Vec<GuessedColumn>,
    key: Option<usize>,
    /// By which column rows are aggregated. None: by the time at which they were received.
    time: Option<usize>,
    pub left_out: Vec<LeftOut>,
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that an upload would reject, with the first reasons.
    pub rejected: u64,
    pub reasons: Vec<String>,
    pub encoding: &'static str,
    pub is_json: bool,
    pub decimal: DecimalMark,
    pub sample: Sample,
}

/// Guesses a dataset from the first bytes of a file. `is_whole`: it has no others.
///
/// # Errors
/// The bytes are not text, or have no columns or no rows.
pub fn guess(name: &str, file: &str, head: &[u8], is_whole: bool) -> Result<Guess, GuessError> {
    let fields = Fields::read(head, is_whole)?;
    let mark = fields.mark();
    let mut left_out = fields.left_out;
    let originals: Vec<String> = fields.list.iter().map(|field| field.place.join(".")).collect();
    let mut columns = Vec::new();
    for (field, name) in fields.list.into_iter().zip(identifiers(&originals)) {
        match choose(&field.evidence, &name, mark) {
            Some(kind) => {
                columns.push(column(name, field.place, kind, &field.evidence, fields.is_json, &originals));
            }
            None => {
                let reason = "its values are lists, or of several kinds; no type of a column has them all";
                left_out.push(LeftOut { name: field.place.join("."), reason });
            }
        }
    }
    if columns.is_empty() {
        return Err(GuessError::NoColumns);
    }
    let mut guess = Guess {
        name: name.to_owned(),
        file: file.to_owned(),
        key: None,
        time: None,
        columns,
        left_out,
        rows: fields.rows,
        rejected: 0,
        reasons: Vec::new(),
        encoding: fields.encoding,
        is_json: fields.is_json,
        decimal: mark,
        sample: fields.sample,
    };
    guess.widen(head, is_whole)?;
    guess.key = guess.find_key();
    guess.time = guess.columns.iter().position(|column| column.kind.is_time() && !column.is_nullable);
    Ok(guess)
}

fn column(
    name: String,
    place: Vec<String>,
    kind: Guessed,
    evidence: &Evidence,
    is_json: bool,
    originals: &[String],
) -> GuessedColumn {
    let is_text = matches!(kind, Guessed::Text { .. });
    let is_without_values = evidence.values == 0;
    let is_nullable = match is_text && !is_json {
        // An empty field is an empty text.
        true => is_without_values,
        false => {
            let has_empty = evidence.nulls > 0 || (evidence.empty_texts > 0 && !is_text);
            has_empty || evidence.has_null_words || is_without_values
        }
    };
    let original = place.join(".").to_lowercase();
    let is_ambiguous = originals.iter().filter(|other| other.to_lowercase() == original).count() > 1;
    let is_unique = evidence.are_longs && evidence.is_unique;
    GuessedColumn {
        has_path: is_json && (place.len() > 1 || is_ambiguous),
        name,
        place,
        kind,
        is_nullable,
        is_empty_null: is_without_values && !is_json,
        values: evidence.values,
        nulls: evidence.nulls,
        is_unique,
        times: evidence.times,
    }
}

impl Guess {
    /// Reads the rows as an upload does, and gives each column with faults a wider type, until all rows are accepted or no type helps.
    fn widen(&mut self, head: &[u8], is_whole: bool) -> Result<(), GuessError> {
        loop {
            let found = faults(&self.schema(), head, is_whole, self.decimal)?;
            let mut is_wider = false;
            for column in &mut self.columns {
                if !found.columns.contains(&column.name) {
                    continue;
                }
                if let Some(wider) = column.kind.wider() {
                    (column.kind, is_wider) = (wider, true);
                }
            }
            if !is_wider {
                (self.rejected, self.reasons) = (found.rejected, found.reasons);
                return Ok(());
            }
        }
    }

    /// Finds a column that identifies a row: a whole number that no two rows have in common, and whose name says so.
    fn find_key(&self) -> Option<usize> {
        let is_key = |column: &GuessedColumn| {
            matches!(column.kind, Guessed::Long { minimum: Some(0) })
                && !column.is_nullable
                && column.is_unique
                && column.values > 1
                && NAMES_OF_KEYS.iter().any(|end| column.name.ends_with(end))
        };
        self.columns.iter().position(is_key)
    }

    /// Returns the name of the key, if rows have one.
    pub fn key_name(&self) -> Option<&str> {
        self.key.and_then(|at| self.columns.get(at)).map(|column| column.name.as_str())
    }

    pub fn column_count(&self) -> usize {
        self.columns.len()
    }
}

/// Whether a text means that there is no number.
fn is_null_word(text: &[u8]) -> bool {
    !text.is_empty() && money::is_null(text)
}

#[cfg(test)]
mod tests;
