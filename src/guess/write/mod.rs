//! Writes the files of a guessed dataset. They have comments for the person who edits them.

mod aggregate;
mod queries;
mod schema;
mod tables;

use self::aggregate::Aggregate;
use super::Guess;
use super::kind::Guessed;
use super::names::{free_name, quoted};

/// Names of tables that the engine has.
const TABLES_OF_THE_ENGINE: [&str; 4] = ["rejects", "upload_ledger", "loader_chunks", "conflicts"];

impl Guess {
    /// Returns the files of the dataset: their paths below the directory of `--datasets`, and their texts.
    pub fn files(&self) -> Vec<(String, String)> {
        let (name, folder) = (&self.name, format!("queries/{}", self.name));
        let aggregate = Aggregate::of(self);
        let mut files = vec![
            (format!("schemas/{name}.avsc"), self.schema()),
            (format!("{folder}/dataset.toml"), self.description()),
            (format!("{folder}/tables/1_{}.sql", self.table()), self.row_table()),
            (format!("{folder}/tables/2_{}.sql", aggregate.table), aggregate.create()),
            (format!("{folder}/tables/3_{}_view.sql", aggregate.table), aggregate.view()),
            (format!("{folder}/endpoints/list.sql"), self.list()),
            (format!("{folder}/endpoints/by_{}.sql", aggregate.unit), aggregate.endpoint()),
            (format!("{folder}/checks/stored.sql"), self.stored()),
            (format!("{folder}/checks/by_{}_against_rows.sql", aggregate.unit), aggregate.check()),
        ];
        files.extend(self.duplicates().map(|text| (format!("{folder}/checks/duplicates.sql"), text)));
        files.push((format!("data/{name}.{}", self.sample.extension), self.sample.text.clone()));
        files
    }

    /// The name of the table of the rows.
    fn table(&self) -> String {
        let is_taken = TABLES_OF_THE_ENGINE.contains(&self.name.as_str());
        if is_taken { format!("{}_rows", self.name) } else { self.name.clone() }
    }

    /// The column in which the server notes when it received a row, if the file has no time by which rows can be aggregated.
    fn received_at(&self) -> Option<String> {
        self.time.is_none().then(|| free_name("received_at", &self.called()))
    }

    /// Whether the server fills in a column of this name: the file does not have it.
    fn has_filled(&self, name: &str) -> bool {
        !self.called().contains(&name)
    }

    /// The time by which rows are aggregated, in SQL.
    fn time_column(&self) -> String {
        let column = self.time.and_then(|at| self.columns.get(at)).map(|column| column.name.clone());
        quoted(&column.or_else(|| self.received_at()).unwrap_or_default())
    }

    /// The names of all columns, and what the file calls them.
    fn called(&self) -> Vec<&str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        names
            .chain(self.columns.iter().filter_map(|column| column.place.first().map(String::as_str)))
            .collect()
    }

    fn title(&self) -> String {
        let words = self.name.replace('_', " ");
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    fn description(&self) -> String {
        let (topic, table) = (self.name.replace('_', "-"), self.table());
        format!(
            "# Guessed from {} by `roundhouse datasets new`. docs/DATASETS.md describes every value.\n\
             title = {:?}\n\
             # Kafka topic of the rows. Rejected rows go to the topic {topic}-dlq.\n\
             topic = {topic:?}\n\
             table = {table:?}\n\
             # Rows with the same values of these columns keep their order. Default: the key; without a key, any partition.\n\
             # partition_by = [{:?}]\n",
            self.file.replace(['\n', '\r'], " "),
            self.title(),
            self.columns.first().map_or("", |column| &column.name),
        )
    }
}

impl Guessed {
    /// The type in ClickHouse.
    fn sql(&self, is_nullable: bool) -> String {
        let plain = match self {
            Self::Boolean => "Bool".to_owned(),
            Self::Long { minimum: Some(_) } => "UInt64".to_owned(),
            Self::Long { minimum: None } => "Int64".to_owned(),
            Self::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
            Self::Double => "Float64".to_owned(),
            Self::Uuid => "UUID".to_owned(),
            Self::Date => "Date32".to_owned(),
            Self::Millis => "DateTime64(3, 'UTC')".to_owned(),
            Self::Micros => "DateTime64(6, 'UTC')".to_owned(),
            Self::Enum(_) | Self::Text { .. } => "String".to_owned(),
        };
        let inner = if is_nullable { format!("Nullable({plain})") } else { plain };
        if matches!(self, Self::Enum(_)) { format!("LowCardinality({inner})") } else { inner }
    }
}

/// Returns a name for something that a statement adds to the columns.
fn added(guess: &Guess, name: &str) -> String {
    let taken: Vec<&str> = guess.columns.iter().map(|column| column.name.as_str()).collect();
    free_name(name, &taken)
}
