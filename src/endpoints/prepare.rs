//! Checks endpoints against ClickHouse when the server starts.

use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use super::latest::Answering;
use super::{Column, Prepared};
use crate::dataset::endpoint::Endpoint;
use crate::dataset::endpoint::types::Type;
use crate::dataset::endpoint::value::Value;
use crate::dataset::fault::FileFault;
use crate::latest::values::LastValues;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::format::TableFormat;
use crate::warehouse::limited::{QueryLimits, Rows, limited};

/// Why an endpoint cannot be served.
#[derive(Debug, Error)]
pub enum PrepareError {
    #[error(transparent)]
    File(#[from] FileFault),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Asks ClickHouse which columns the statement returns. Nothing is read. `values`: the last values of the dataset.
///
/// # Errors
/// ClickHouse refuses the statement, a column cannot be sent, `page`, `plot` or `latest` cannot be used with them, or ClickHouse does not
/// answer.
pub async fn prepare(
    warehouse: &Warehouse,
    dataset: &str,
    values: Option<&Arc<LastValues>>,
    endpoint: Endpoint,
    limits: QueryLimits,
) -> Result<Prepared, PrepareError> {
    let sql = format!("DESCRIBE TABLE\n(\n{}\n)", endpoint.statement);
    let mut query = limited(warehouse, &sql, limits);
    for parameter in endpoint.parameters.iter().filter(|parameter| parameter.is_bound) {
        let value = parameter.left_out.clone().unwrap_or_else(|| parameter.kind.sample());
        query = query.with_setting(format!("param_{}", parameter.name), value.parameter());
    }
    let text = match read(query, limits).await {
        Err(WarehouseError::Exception(exception))
            if !exception.is_overload() && !exception.is_access_denied() =>
        {
            return Err(refused(&endpoint, &exception.to_string()).into());
        }
        read => read?,
    };
    let unreadable =
        |_| endpoint.fault("ClickHouse's description of its columns cannot be read; simplify it");
    let columns = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Described>(line).map_err(unreadable).and_then(|one| column(&endpoint, one))
        })
        .collect::<Result<Vec<Column>, FileFault>>()?;
    let known: Vec<(String, Type)> =
        columns.iter().map(|column| (column.name.clone(), column.kind.clone())).collect();
    endpoint.check_columns(&known)?;
    let latest = Answering::of(&endpoint, &columns, values)?;
    Ok(Prepared { dataset: dataset.into(), endpoint, columns, latest })
}

async fn read(query: clickhouse::query::Query, limits: QueryLimits) -> Result<String, WarehouseError> {
    let mut rows = Rows::of(query, TableFormat::Ndjson, limits)?;
    let mut text = Vec::new();
    while let Some(piece) = rows.next().await? {
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The fault of a statement that ClickHouse refuses. Only the person who starts the server sees it.
fn refused(endpoint: &Endpoint, exception: &str) -> FileFault {
    let reason = exception.split("DB::Exception: ").nth(1).unwrap_or(exception);
    let reason = reason.split(": In scope").next().unwrap_or(reason);
    let reason = reason.split(" (version").next().unwrap_or(reason).replace('\n', " ");
    endpoint.fault(format!("ClickHouse refuses the statement: {}; correct it", reason.trim()))
}

fn column(endpoint: &Endpoint, described: Described) -> Result<Column, FileFault> {
    let Described { name, kind } = described;
    match Type::parse(&kind) {
        Ok(Type::Other(_)) | Err(_) => Err(endpoint.fault(format!(
            "the column {name} has the type {kind}, which cannot be sent; convert it, for example with toString() or a -Merge function"
        ))),
        Ok(kind) => Ok(Column { name, kind }),
    }
}

impl Type {
    /// Returns a value to check a statement with.
    fn sample(&self) -> Value {
        let quoted = |text: &str| Value::Quoted(text.to_owned());
        match self {
            Self::LowCardinality(inner) => inner.sample(),
            Self::Nullable(_) => Value::Null,
            Self::Array(_) => Value::Array(Vec::new()),
            Self::Tuple(members) => Value::Tuple(members.iter().map(|member| member.kind.sample()).collect()),
            Self::Bool => Value::Bare("false".to_owned()),
            Self::Integer { .. } | Self::Float(_) | Self::Decimal { .. } => Value::Bare("1".to_owned()),
            Self::Enum(names) => quoted(names.first().map_or("", String::as_str)),
            Self::Date | Self::Date32 => quoted("2000-01-01"),
            Self::DateTime { .. } | Self::DateTime64 { .. } => quoted("2000-01-01 00:00:00"),
            Self::Uuid => quoted("00000000-0000-0000-0000-000000000000"),
            Self::Ipv4 => quoted("127.0.0.1"),
            Self::Ipv6 => quoted("::1"),
            Self::String | Self::FixedString(_) | Self::Map(..) | Self::Other(_) => quoted(""),
        }
    }
}
