//! Datasets as the API shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::described::Described;
use super::measure::Measured;
use crate::dataset::Dataset;
use crate::dataset::api_path::api_path;
use crate::dataset::statement::StatementKind;
use crate::dataset::types::column_type;
use crate::domain::columns::Column;
use crate::endpoints::Prepared;

/// A dataset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dataset)]
pub struct DatasetView {
    name: String,
    title: String,
    /// Kafka topic of the rows.
    topic: String,
    /// Kafka topic of the rejected rows.
    dead_letter_topic: String,
    /// Table of the rows.
    table: String,
    /// Columns that identify a row. Empty: each message counts once.
    key: Vec<String>,
    /// Rows in the table of the rows.
    rows: u64,
    /// Bytes of all its tables on the disk of ClickHouse.
    bytes: u64,
    /// Rows that were added to the table in the last minute.
    rows_last_minute: u64,
    lag: LagView,
    /// How many rows are rejected, by the code of their first fault. Rows that a replay has sent are not counted.
    rejects: BTreeMap<String, u64>,
    tables: Vec<TableView>,
    endpoints: Vec<EndpointView>,
    checks: Vec<CheckView>,
    links: LinksView,
}

/// How far the table lags behind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetLag)]
struct LagView {
    /// Messages of the topic that are not loaded yet. Null if the broker does not answer.
    #[schema(required)]
    messages: Option<u64>,
    /// For how long the oldest acknowledged upload has been waiting to become visible.
    seconds: f64,
}

/// A table of a dataset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetTable)]
struct TableView {
    name: String,
    rows: u64,
    bytes: u64,
}

/// An endpoint of a dataset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetEndpoint)]
struct EndpointView {
    name: String,
    title: String,
    /// Its path, and then its further ones.
    paths: Vec<String>,
}

/// A check of a dataset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetCheck)]
struct CheckView {
    name: String,
    title: String,
    /// When it passes: `no rows` or `rows`. Null: its rows are only shown.
    #[schema(required)]
    expect: Option<&'static str>,
    path: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetLinks)]
struct LinksView {
    #[serde(rename = "self")]
    this: String,
    uploads: String,
}

/// A dataset with its columns and its schema.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetWithSchema)]
pub struct DatasetDetails {
    #[serde(flatten)]
    view: DatasetView,
    columns: Vec<ColumnView>,
    /// The Avro schema of a row.
    #[schema(value_type = Object)]
    schema: Value,
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetColumn)]
struct ColumnView {
    name: String,
    /// Its type in ClickHouse.
    #[serde(rename = "type")]
    kind: String,
    /// Further names in a header or a JSON object.
    aliases: Vec<String>,
    /// False: the server fills it in.
    is_in_files: bool,
}

impl DatasetView {
    pub(super) fn new(described: &Described, measured: &Measured) -> Self {
        let dataset = &described.dataset;
        let tables = tables(dataset, measured);
        let key = dataset.columns.key().unwrap_or_default().iter();
        let checks = described.queries.iter().filter_map(|one| {
            let expectation = one.endpoint.check?;
            let (name, title) = (one.endpoint.name.clone(), one.endpoint.title.clone());
            Some(CheckView { name, title, expect: expectation.name(), path: one.path() })
        });
        Self {
            name: dataset.name.clone(),
            title: dataset.title.clone(),
            topic: dataset.topic.clone(),
            dead_letter_topic: dataset.dead_letter_topic.clone(),
            table: dataset.table.clone(),
            key: key.filter_map(|at| dataset.columns.get(*at)).map(|column| column.name.clone()).collect(),
            rows: tables.iter().find(|table| table.name == dataset.table).map_or(0, |table| table.rows),
            bytes: tables.iter().map(|table| table.bytes).sum(),
            rows_last_minute: measured.last_minute.get(&dataset.topic).copied().unwrap_or_default(),
            lag: LagView {
                messages: measured.behind.get(&dataset.topic).copied(),
                seconds: measured.lags.get(&dataset.topic).copied().unwrap_or_default().seconds,
            },
            rejects: rejects(dataset, measured),
            tables,
            endpoints: described.endpoints().map(EndpointView::of).collect(),
            checks: checks.collect(),
            links: LinksView {
                this: format!("/datasets/{}", dataset.name),
                uploads: api_path(&dataset.name, "/uploads"),
            },
        }
    }
}

/// Returns the tables of a dataset that hold rows, in the order in which they are created.
fn tables(dataset: &Dataset, measured: &Measured) -> Vec<TableView> {
    let created = dataset.tables.iter().filter(|statement| statement.kind == StatementKind::Table);
    let own = dataset.has_key().then_some(&dataset.conflicts);
    let names = created.map(|statement| &statement.name).chain(own);
    let view = |name: &String| {
        let size = measured.tables.iter().find(|size| size.name == *name);
        let (rows, bytes) = size.map_or((0, 0), |size| (size.rows, size.bytes));
        TableView { name: name.clone(), rows, bytes }
    };
    names.map(view).collect()
}

fn rejects(dataset: &Dataset, measured: &Measured) -> BTreeMap<String, u64> {
    let mut by_code = BTreeMap::new();
    let topics = [&dataset.topic, &dataset.dead_letter_topic];
    for (code, rows) in topics.into_iter().filter_map(|topic| measured.rejects.get(topic)).flatten() {
        *by_code.entry(code.clone()).or_default() += rows;
    }
    by_code
}

impl EndpointView {
    fn of(prepared: &Prepared) -> Self {
        let aliases = prepared.endpoint.aliases.iter().map(|alias| alias.path());
        Self {
            name: prepared.endpoint.name.clone(),
            title: prepared.endpoint.title.clone(),
            paths: std::iter::once(prepared.path()).chain(aliases).collect(),
        }
    }
}

impl DatasetDetails {
    pub(super) fn new(described: &Described, measured: &Measured) -> Self {
        let dataset = &described.dataset;
        Self {
            view: DatasetView::new(described, measured),
            columns: dataset.columns.iter().map(ColumnView::of).collect(),
            // It was parsed when the server started.
            schema: serde_json::from_str(&dataset.schema).unwrap_or_default(),
        }
    }
}

impl ColumnView {
    fn of(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            kind: column_type(column),
            aliases: column.aliases.clone(),
            is_in_files: column.is_field(),
        }
    }
}
