//! Runs the statement of an endpoint.

use serde::Deserialize;

use super::arguments::Arguments;
use super::keys::{Key, cut};
use super::select::{self, Extent, KEY, ROWS};
use super::{EndpointError, MAX_ANSWER_BYTES, Prepared};
use crate::dataset::endpoint::Answer;
use crate::dataset::endpoint::value::Value;
use crate::warehouse::client::Warehouse;
use crate::warehouse::format::TableFormat;
use crate::warehouse::limited::{QueryLimits, Rows, limited};

/// Rows in JSON, each an object.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub items: Vec<String>,
    /// The key after which the next page begins, if there may be one.
    pub next: Option<Key>,
}

/// Rows as ClickHouse writes them.
#[derive(Debug)]
pub struct Table {
    pub rows: Rows,
    /// As in [`Found`].
    pub next: Option<Key>,
}

/// A query with the values of a request.
struct Query<'a> {
    warehouse: &'a Warehouse,
    prepared: &'a Prepared,
    arguments: &'a Arguments,
    limits: QueryLimits,
}

/// Reads rows as JSON: all of them, or a page. `after`: the key before the page.
///
/// # Errors
/// There are too many rows, or ClickHouse fails.
pub async fn rows(
    warehouse: &Warehouse,
    prepared: &Prepared,
    arguments: &Arguments,
    after: Option<&Key>,
    limits: QueryLimits,
) -> Result<Found, EndpointError> {
    let query = Query { warehouse, prepared, arguments, limits };
    match arguments.limit {
        Some(limit) => query.page(limit, after).await,
        None => query.all().await,
    }
}

/// Starts to read rows in a format of ClickHouse: all of them, or a page. `formula_starts`: text that begins with one of these letters gets
/// an apostrophe.
///
/// # Errors
/// As [`rows`].
pub async fn table(
    warehouse: &Warehouse,
    prepared: &Prepared,
    arguments: &Arguments,
    after: Option<&Key>,
    (format, formula_starts): (TableFormat, &str),
    limits: QueryLimits,
) -> Result<Table, EndpointError> {
    let query = Query { warehouse, prepared, arguments, limits };
    query.table(after, format, formula_starts).await
}

/// A line of the answer with a key.
#[derive(Deserialize)]
struct KeyLine {
    #[serde(rename = "__page_key")]
    key: Key,
}

impl Query<'_> {
    async fn all(&self) -> Result<Found, EndpointError> {
        let mut sql = select::shown(self.prepared, &self.prepared.endpoint.statement, false, false);
        if self.prepared.endpoint.answer == Answer::One {
            sql.push_str("\nLIMIT 1");
        }
        let text = self.read(&sql, &[]).await?;
        Ok(Found { items: text.lines().map(str::to_owned).collect(), next: None })
    }

    async fn page(&self, limit: u64, after: Option<&Key>) -> Result<Found, EndpointError> {
        let select = |inner: &str| select::shown(self.prepared, inner, false, true);
        let (lines, next) = self.fitting(select, limit, after).await?;
        let mark = format!("\"{KEY}\":");
        let object = |line: String| match line.rfind(&mark) {
            // The comma before it.
            Some(at) => format!("{}}}", line.get(..at).unwrap_or_default().trim_end_matches(',')),
            None => line,
        };
        Ok(Found { items: lines.into_iter().map(object).collect(), next })
    }

    async fn table(
        &self,
        after: Option<&Key>,
        format: TableFormat,
        formula_starts: &str,
    ) -> Result<Table, EndpointError> {
        if self.prepared.endpoint.answer == Answer::One && self.all().await?.items.is_empty() {
            return Err(EndpointError::NoRow);
        }
        let (inner, parameters, next) = match self.arguments.limit {
            None => (self.prepared.endpoint.statement.clone(), Vec::new(), None),
            Some(limit) => self.bounded(limit, after).await?,
        };
        let mut sql = select::shown(self.prepared, &inner, !formula_starts.is_empty(), false);
        if self.prepared.endpoint.answer == Answer::One {
            sql.push_str("\nLIMIT 1");
        }
        let query = self
            .query(&sql, &parameters)
            .with_setting("param___formula_starts", Value::Quoted(formula_starts.to_owned()).parameter());
        Ok(Table { rows: Rows::of(query, format, self.limits)?, next })
    }

    /// Finds where a page ends, so that the link to the next one can be sent before the rows. Returns the statement of the page with its
    /// parameters.
    async fn bounded(
        &self,
        limit: u64,
        after: Option<&Key>,
    ) -> Result<(String, Vec<(String, String)>, Option<Key>), EndpointError> {
        let select = |inner: &str| select::keys_only(self.prepared, inner);
        let (lines, next) = self.fitting(select, limit, after).await?;
        let mut extent = Extent { is_after: after.is_some(), is_until: true, with_ties: false };
        let mut parameters = Vec::new();
        if let Some(after) = after {
            parameters.extend(select::key_parameters(self.prepared, after, false));
        }
        match lines.last() {
            Some(last) => parameters.extend(select::key_parameters(self.prepared, &key(last)?, true)),
            None => {
                extent.is_until = false;
                parameters.push((format!("param_{ROWS}"), "0".to_owned()));
            }
        }
        Ok((select::page(self.prepared, extent), parameters, next))
    }

    /// Reads the lines of a page, and the key after which the next one begins. `select`: what to read of the rows.
    async fn fitting(
        &self,
        select: impl Fn(&str) -> String,
        limit: u64,
        after: Option<&Key>,
    ) -> Result<(Vec<String>, Option<Key>), EndpointError> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        for with_ties in [false, true] {
            let extent = Extent { is_after: after.is_some(), is_until: false, with_ties };
            let mut parameters = vec![(format!("param_{ROWS}"), (limit + 1).to_string())];
            if let Some(after) = after {
                parameters.extend(select::key_parameters(self.prepared, after, false));
            }
            let text = self.read(&select(&select::page(self.prepared, extent)), &parameters).await?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let keys = lines.iter().map(|line| key(line)).collect::<Result<Vec<Key>, _>>()?;
            // With ties, all rows have the same key, and nothing is left out.
            let fits = if with_ties { Some(lines.len()) } else { cut(&keys, wanted) };
            if let Some(fits) = fits {
                let has_more = with_ties || lines.len() > fits;
                let next = keys.get(fits.wrapping_sub(1)).filter(|_| has_more).cloned();
                lines.truncate(fits);
                return Ok((lines, next));
            }
        }
        Ok((Vec::new(), None))
    }

    fn query(&self, sql: &str, parameters: &[(String, String)]) -> clickhouse::query::Query {
        let mut query = limited(self.warehouse, sql, self.limits)
            .with_setting("output_format_json_escape_forward_slashes", "0")
            // JSON cannot contain invalid UTF-8, which only other programs can have written.
            .with_setting("output_format_json_validate_utf8", "1");
        for (name, value) in self.arguments.parameters() {
            query = query.with_setting(name, value);
        }
        for (name, value) in parameters {
            query = query.with_setting(name, value);
        }
        query
    }

    /// Reads an answer as one JSON object per line.
    async fn read(&self, sql: &str, parameters: &[(String, String)]) -> Result<String, EndpointError> {
        let mut rows = Rows::of(self.query(sql, parameters), TableFormat::Ndjson, self.limits)?;
        let mut text = Vec::new();
        while let Some(piece) = rows.next().await? {
            if text.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(EndpointError::TooLarge);
            }
            text.extend_from_slice(&piece);
        }
        Ok(String::from_utf8(text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

fn key(line: &str) -> Result<Key, EndpointError> {
    let read: Result<KeyLine, _> = serde_json::from_str(line);
    let unreadable = |error: serde_json::Error| clickhouse::error::Error::Custom(error.to_string());
    Ok(read.map_err(|error| EndpointError::Warehouse(unreadable(error).into()))?.key)
}
