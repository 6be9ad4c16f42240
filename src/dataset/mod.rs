//! A dataset: a kind of row, described by files.
//!
//! `schemas/NAME.avsc` has the columns, `queries/NAME/dataset.toml` the topic and the table, `queries/NAME/tables` the statements that create
//! the tables, `queries/NAME/endpoints` the queries of the API, and `queries/NAME/checks` those that verify the data. docs/DATASETS.md is
//! the reference. A mistake is reported with its file and line ([`fault`]).

pub mod aggregates;
pub mod api_path;
mod description;
pub mod differences;
pub mod endpoint;
pub mod fault;
pub mod files;
pub mod latest;
pub mod rebuild;
pub mod statement;
pub mod template;
pub mod types;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use thiserror::Error;
use toml::Spanned;

use self::aggregates::AggregateTable;
use self::description::Description;
use self::fault::FileFault;
use self::files::{Files, Origin, SqlFile, TextFile};
use self::latest::Latest;
use self::statement::Statement;
use self::template::{Item, Template};
use self::types::column_type;
use crate::domain::columns::{Column, Columns, ColumnsError};

/// The dataset of game rounds. Paths without `/datasets/NAME` belong to it.
pub const BETS: &str = "bets";

/// Longest name of a dataset: names of tables and groups are made of it.
const MAX_NAME: usize = 48;

/// The names of topics have at most this many characters, in Kafka.
const MAX_TOPIC: usize = 249;

/// Why a dataset cannot be used.
#[derive(Debug, Error)]
pub enum DatasetError {
    #[error(transparent)]
    File(#[from] FileFault),
    #[error("{path} does not exist; a dataset needs it: see docs/DATASETS.md")]
    NoFile { path: String },
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path} is larger than {limit} bytes")]
    TooLarge { path: String, limit: u64 },
    #[error("the dataset {name} does not exist; there are {known}")]
    Unknown { name: String, known: String },
    #[error(
        "the name {name:?} of a dataset must have 1 to 48 lower case letters, digits and _, and begin with a letter"
    )]
    Name { name: String },
    #[error("the datasets {one} and {other} both have the {what} {value}; change it in one of their files")]
    Shared { one: String, other: String, what: &'static str, value: String },
    #[error("the dataset {name} is in the binary and in {directory}; give yours another name")]
    Twice { name: String, directory: String },
}

/// A kind of row.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The text of the Avro schema, which is registered.
    pub schema: String,
    pub columns: Arc<Columns>,
    pub topic: String,
    pub dead_letter_topic: String,
    /// The table of the rows.
    pub table: String,
    /// The tables of conflicts and of the differences that reconciliations find. They exist if the dataset has a key.
    pub conflicts: String,
    pub differences: String,
    /// Indexes of the columns whose values choose the partition. Empty: any partition.
    pub partition_by: Vec<usize>,
    /// The rows that are kept in memory. None: the dataset has no such section.
    pub latest: Option<Latest>,
    /// In the order in which they run.
    pub tables: Vec<Statement>,
    pub endpoints: Vec<SqlFile>,
    pub checks: Vec<SqlFile>,
    /// The tables that its views write to. Empty until ClickHouse has created them: see [`aggregates`].
    pub aggregates: Vec<AggregateTable>,
    /// Whether rows are deleted when they are old. Known with the aggregate tables, like the next one.
    pub rows_expire: bool,
    /// Whether the row table is ordered or partitioned by a field that is not in the key.
    pub is_ordered_by_values: bool,
}

impl Dataset {
    /// Reads a dataset that is in the binary, or in one of the directories.
    ///
    /// # Errors
    /// There is no such dataset, or one of its files has a mistake.
    pub fn read(name: &str, directories: &[Origin]) -> Result<Self, DatasetError> {
        let mut found: Option<(Files, &Origin)> = None;
        let origins = || std::iter::once(&Origin::Shipped).chain(directories);
        for origin in origins() {
            let Some(files) = origin.read(name)? else { continue };
            match (&found, origin) {
                (Some((_, Origin::Shipped)), Origin::Directory(directory)) => {
                    let directory = directory.display().to_string();
                    return Err(DatasetError::Twice { name: name.to_owned(), directory });
                }
                (Some(_), _) => {}
                (None, _) => found = Some((files, origin)),
            }
        }
        let Some((files, _)) = found else {
            let mut known = Vec::new();
            for origin in origins() {
                known.extend(origin.names()?);
            }
            return Err(DatasetError::Unknown { name: name.to_owned(), known: known.join(", ") });
        };
        Self::of(name, files)
    }

    /// # Errors
    /// One of the files has a mistake.
    pub fn of(name: &str, files: Files) -> Result<Self, DatasetError> {
        if !is_name(name) {
            return Err(DatasetError::Name { name: name.to_owned() });
        }
        let columns = columns(&files.schema)?;
        let file = &files.description;
        let description = Description::parse(file)?;
        let here = Here { file, columns: &columns };
        let table = here.identifier(&description.table)?;
        let topic = here.topic(&description.topic)?;
        let dead_letter_topic = match &description.dead_letters {
            Some(topic) => here.topic(topic)?,
            None => format!("{topic}-dlq"),
        };
        let named = |given: &Option<Spanned<String>>, ending: &str| match given {
            Some(name) => here.identifier(name),
            None => Ok(format!("{table}_{ending}")),
        };
        let (conflicts, differences) =
            (named(&description.conflicts, "conflicts")?, named(&description.differences, "differences")?);
        let partition_by = match &description.partition_by {
            Some(names) => here.columns(names)?,
            None => columns.key().unwrap_or_default().to_vec(),
        };
        let tables = statement::read(&files.tables, &table)?;
        let latest = description.latest.as_ref().map(|section| Latest::read(section, &here, &tables, &table));
        let latest = latest.transpose()?;
        Ok(Self {
            name: name.to_owned(),
            title: description.title.into_inner(),
            schema: files.schema.text,
            columns: Arc::new(columns),
            topic,
            dead_letter_topic,
            table,
            conflicts,
            differences,
            partition_by,
            latest,
            tables,
            endpoints: files.endpoints,
            checks: files.checks,
            aggregates: Vec::new(),
            rows_expire: false,
            is_ordered_by_values: false,
        })
    }

    /// Whether rows are identified by a key: then they are counted once, and their files can be reconciled.
    pub fn has_key(&self) -> bool {
        self.columns.key().is_some()
    }

    /// Replaces the schema by one with more columns.
    #[must_use]
    pub fn with_schema(self, schema: String, columns: Columns) -> Self {
        Self { schema, columns: Arc::new(columns), ..self }
    }

    #[must_use]
    pub fn with_topics(self, topic: String, dead_letter_topic: String) -> Self {
        Self { topic, dead_letter_topic, ..self }
    }

    /// Fills in the placeholders of a statement in `queries/engine`: see [`Dataset::template`].
    pub fn sql(&self, statement: &str) -> String {
        self.template().fill(statement)
    }

    /// Returns what the placeholders of statements stand for.
    ///
    /// Names: `table`, `conflicts`, `differences`, and `key`, the last column of the key. Lists: `column` (all), `field` (those of a file),
    /// `other` (what the server fills in, except the upload's id and the line), `key`, `prefix` (the key without its last column), and `value`
    /// (the fields that are not in the key). [`differences`] has more.
    pub fn template(&self) -> Template {
        let key = self.columns.key().unwrap_or_default();
        let (last, prefix) = key.split_last().map_or((None, key), |(last, prefix)| (Some(*last), prefix));
        let item = |column: &Column| Item::new(&column.name, column_type(column));
        let items = |indexes: &[usize]| -> Vec<Item> {
            indexes.iter().filter_map(|&index| self.columns.get(index)).map(item).collect()
        };
        let is_value = |column: &&Column| !key.iter().any(|&at| self.columns.get(at) == Some(*column));
        let last = last.and_then(|index| self.columns.get(index));
        let template = Template::default()
            .with("table", &self.table)
            .with("key", last.map_or("", |column| &column.name))
            .with("conflicts", &self.conflicts)
            .with("differences", &self.differences)
            .list("column", self.columns.iter().map(item))
            .list("field", self.columns.fields().map(item))
            .list("other", self.columns.others().map(item))
            .list("key", items(key))
            .list("prefix", items(prefix))
            .list("value", self.columns.fields().filter(is_value).map(item));
        self.with_differences(template)
    }

    /// Says whether this is its row table, or one of its aggregate tables.
    pub fn has_table(&self, table: &str) -> bool {
        self.table == table || self.aggregates.iter().any(|aggregate| aggregate.table == table)
    }

    /// Returns the names of all tables and views of the dataset.
    fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.has_key().then_some([self.conflicts.as_str(), self.differences.as_str()]);
        self.tables.iter().map(|statement| statement.name.as_str()).chain(own.into_iter().flatten())
    }
}

/// Checks that datasets can be served together: no two have the same topic or table.
///
/// # Errors
/// Two have one.
pub fn check_together(datasets: &[Dataset]) -> Result<(), DatasetError> {
    for (at, one) in datasets.iter().enumerate() {
        for other in datasets.iter().skip(at + 1) {
            let shared = |what, value: &str| DatasetError::Shared {
                one: one.name.clone(),
                other: other.name.clone(),
                what,
                value: value.to_owned(),
            };
            let topics = [&one.topic, &one.dead_letter_topic];
            if let Some(topic) =
                topics.into_iter().find(|topic| [&other.topic, &other.dead_letter_topic].contains(topic))
            {
                return Err(shared("topic", topic));
            }
            let names: HashSet<&str> = one.names().collect();
            if let Some(table) = other.names().find(|name| names.contains(name)) {
                return Err(shared("table", table));
            }
        }
    }
    Ok(())
}

fn columns(schema: &TextFile) -> Result<Columns, FileFault> {
    Columns::parse(&schema.text)
        .map_err(|ColumnsError { line, message }| FileFault::new(&schema.path, line, message))
}

/// Finds what `dataset.toml` names.
struct Here<'a> {
    file: &'a TextFile,
    columns: &'a Columns,
}

impl Here<'_> {
    fn fault(&self, value: &Spanned<String>, message: String) -> FileFault {
        self.fault_at(value.span().start, message)
    }

    fn fault_at(&self, byte: usize, message: String) -> FileFault {
        FileFault::at(&self.file.path, &self.file.text, byte, message)
    }

    fn identifier(&self, value: &Spanned<String>) -> Result<String, FileFault> {
        let name = value.get_ref();
        let is_fine = is_name(name)
            || (name.len() <= 200 && is_name(name.get(..1).unwrap_or_default()) && name.bytes().all(is_word));
        match is_fine {
            true => Ok(name.clone()),
            false => Err(self.fault(
                value,
                format!("{name:?} is not the name of a table; use lower case letters, digits and _, first a letter"),
            )),
        }
    }

    fn topic(&self, value: &Spanned<String>) -> Result<String, FileFault> {
        let name = value.get_ref();
        let is_fine = (1..=MAX_TOPIC - "-dlq".len()).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && !name.bytes().all(|byte| byte == b'.');
        match is_fine {
            true => Ok(name.clone()),
            false => Err(self.fault(
                value,
                format!("{name:?} is not the name of a topic; use up to 245 letters, digits, ., _ and -"),
            )),
        }
    }

    fn columns(&self, names: &[Spanned<String>]) -> Result<Vec<usize>, FileFault> {
        let index = |name: &Spanned<String>| {
            self.columns.position(name.get_ref()).ok_or_else(|| {
                let known: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
                let known = known.join(", ");
                self.fault(name, format!("the schema has no column {:?}; it has {known}", name.get_ref()))
            })
        };
        names.iter().map(index).collect()
    }
}

/// Says whether a dataset may have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(is_word)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests;
