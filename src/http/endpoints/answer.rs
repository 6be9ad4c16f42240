//! Answers a request to an endpoint.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::figure::figure;
use super::format::Wanted;
use super::request::{Asked, Controls};
use crate::dataset::endpoint::{Answer as Kind, Expectation, LIMIT};
use crate::endpoints::arguments::Arguments;
use crate::endpoints::cache::{Cache, Kept, Question};
use crate::endpoints::latest::Rows;
use crate::endpoints::{EndpointError, Key, Prepared, Table, cursor, rows, table};
use crate::http::aggregates::{in_time, permit};
use crate::http::download::formula_starts;
use crate::http::entity_tag;
use crate::http::format::Format;
use crate::http::problem::Problem;
use crate::http::state::AppState;
use crate::http::stream;
use crate::plot::{self, Figure, MAX_POINTS, PlotError};
use crate::warehouse::format::TableFormat;

/// The answers of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Answers {
    kept: Cache<Complete>,
}

/// An answer that is complete: in JSON, or a figure.
#[derive(Debug)]
struct Complete {
    /// A figure, the elements of the array, or the one object.
    bytes: Bytes,
    next_cursor: Option<String>,
    entity_tag: String,
}

impl Kept for Complete {
    fn size(&self) -> usize {
        self.bytes.len() + self.next_cursor.as_ref().map_or(0, String::len)
    }
}

/// A request whose values have been read.
struct Ask<'a> {
    state: &'a AppState,
    prepared: &'a Prepared,
    arguments: Arguments,
    controls: Controls,
    headers: HeaderMap,
    link: Option<(String, String)>,
}

impl Answers {
    pub(super) async fn respond(
        &self,
        state: &AppState,
        prepared: &Prepared,
        request: Request,
    ) -> Result<Response, Problem> {
        let Asked { controls, given, in_path, headers, link } =
            Asked::read(request, &prepared.endpoint).await?;
        let has_limit = given.contains_key(LIMIT);
        let mut arguments = Arguments::read(prepared, given, &in_path)?;
        // A figure shows all rows, not a page, unless the request says how many.
        if !has_limit && matches!(controls.format, Wanted::Svg | Wanted::Png) {
            arguments.limit = arguments.limit.map(|_| MAX_POINTS as u64);
        }
        let ask = Ask { state, prepared, arguments, controls, headers, link };
        in_time(state, self.answer(&ask)).await
    }

    async fn answer(&self, ask: &Ask<'_>) -> Result<Response, Problem> {
        let mut response = match ask.controls.format {
            Wanted::Rows(Format::Table(format)) => ask.table(format).await?,
            _ => {
                let complete = match ask.prepared.endpoint.cache {
                    Some(time) => self.kept.get(ask.question(), time, ask.complete()).await?,
                    None => Arc::new(ask.complete().await?),
                };
                ask.whole(&complete)
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        set(headers, header::CACHE_CONTROL, cache_control(ask.prepared.endpoint.cache));
        Ok(response)
    }
}

/// Only the client may cache an answer. Without `cache` it must ask whether the answer has changed.
fn cache_control(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs()) {
        Some(seconds @ 1..) => format!("private, max-age={seconds}"),
        _ => "private, no-cache".to_owned(),
    }
}

/// A figure runs nothing and loads nothing.
const SVG_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// The client gets a fixed sentence, the log gets the cause.
fn undrawn(error: impl ToString) -> Problem {
    Problem::unavailable("internal", "the figure cannot be drawn; ask for another format", error)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // No value has a control character.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

impl Ask<'_> {
    fn after(&self) -> Result<Option<Key>, EndpointError> {
        let cursor = self.controls.cursor.as_ref();
        cursor.map(|cursor| cursor::decode(cursor, self.prepared, &self.arguments)).transpose()
    }

    /// Identifies the answer: equal requests have the same one.
    fn question(&self) -> Question {
        let asked = (self.prepared.path(), &self.arguments, &self.controls);
        Sha256::digest(format!("{asked:?}")).into()
    }

    /// Reads the rows, and writes them in JSON or draws them.
    async fn complete(&self) -> Result<Complete, Problem> {
        let after = self.after()?;
        if let Some(rows) = self.remembered() {
            let is_missing = self.prepared.endpoint.answer == Kind::One && rows.count == 0;
            return match is_missing {
                true => Err(EndpointError::NoRow.into()),
                false => Ok(self.completed(Bytes::from(rows.text), None)),
            };
        }
        let _permit = permit(self.state).await?;
        let (warehouse, limits) = (&self.state.warehouse, self.state.query_limits);
        let found = rows(warehouse, self.prepared, &self.arguments, after.as_ref(), limits).await?;
        let (bytes, next) = match (&self.prepared.endpoint.plot, self.controls.format) {
            (Some(plot), format @ (Wanted::Svg | Wanted::Png)) => {
                let figure = figure(self.prepared, plot, &found.items)?;
                (self.draw(figure, format).await?, None)
            }
            _ => (Bytes::from(self.rows(found.items)?), found.next),
        };
        Ok(self.completed(bytes, next))
    }

    /// Returns the rows if memory has them. A page after another one comes from ClickHouse, like the one before.
    fn remembered(&self) -> Option<Rows> {
        let is_first = self.controls.cursor.is_none() && self.controls.format == Wanted::Rows(Format::Json);
        self.prepared.latest.as_ref().filter(|_| is_first)?.rows(&self.arguments)
    }

    fn completed(&self, bytes: Bytes, next: Option<Key>) -> Complete {
        let next_cursor = next.map(|key| cursor::encode(&key, self.prepared, &self.arguments));
        let mut digest = Sha256::new_with_prefix(format!("{} {next_cursor:?} ", self.prepared.path()));
        digest.update(&bytes);
        let digest = digest.finalize();
        let tag = digest.iter().take(8).fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
        Complete { bytes, next_cursor, entity_tag: format!("\"{tag}\"") }
    }

    /// The elements of the array, or the one object.
    fn rows(&self, items: Vec<String>) -> Result<String, EndpointError> {
        match self.prepared.endpoint.answer {
            Kind::One => items.into_iter().next().ok_or(EndpointError::NoRow),
            Kind::List => Ok(items.join(",")),
        }
    }

    /// Draws on a thread of its own: a large picture takes a tenth of a second.
    async fn draw(&self, figure: Figure, format: Wanted) -> Result<Bytes, Problem> {
        let Controls { size, theme, .. } = self.controls;
        let draw = move || match format {
            Wanted::Png => plot::png(&figure, size, theme).map(Bytes::from),
            _ => plot::svg(&figure, size).map(Bytes::from),
        };
        match tokio::task::spawn_blocking(draw).await {
            Ok(Ok(drawn)) => Ok(drawn),
            Ok(Err(error @ PlotError::TooLarge)) => {
                Err(Problem::parameter("width", format_args!("{error}; lower width or height")))
            }
            Ok(Err(error)) => Err(undrawn(error)),
            Err(error) => Err(undrawn(error)),
        }
    }

    fn whole(&self, complete: &Complete) -> Response {
        let mut response = if self.link.is_some() && entity_tag::is_known(&self.headers, &complete.entity_tag)
        {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let body = match self.controls.format {
                Wanted::Rows(_) => self.body(complete),
                Wanted::Svg | Wanted::Png => Body::from(complete.bytes.clone()),
            };
            let kind = HeaderValue::from_static(self.controls.format.content_type());
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        };
        let headers = response.headers_mut();
        // Weak: the same rows may be sent as other bytes, for example with gzip.
        set(headers, header::ETAG, format!("W/{}", complete.entity_tag));
        if self.controls.format == Wanted::Svg {
            headers.insert(header::CONTENT_SECURITY_POLICY, SVG_POLICY);
        }
        self.add_link(&mut response, complete.next_cursor.as_deref());
        response
    }

    fn body(&self, complete: &Complete) -> Body {
        if self.prepared.endpoint.answer == Kind::One {
            return Body::from(complete.bytes.clone());
        }
        // It continues the object whose first member are the items.
        let end = match self.prepared.endpoint.check {
            Some(expectation) => format!("],\"check\":{}}}", self.verdict(expectation, complete)),
            None => {
                let next = complete.next_cursor.as_ref();
                format!(
                    "],\"page\":{},\"links\":{}}}",
                    json!({ "limit": self.arguments.limit, "next_cursor": next }),
                    json!({ "next": next.and_then(|cursor| self.next_link(cursor)) }),
                )
            }
        };
        let pieces = [Bytes::from_static(b"{\"items\":["), complete.bytes.clone(), Bytes::from(end)];
        Body::from_stream(tokio_stream::iter(pieces.map(Ok::<_, Infallible>)))
    }

    /// The result of a check.
    fn verdict(&self, expectation: Expectation, complete: &Complete) -> Value {
        let columns: Vec<&str> = self.prepared.columns.iter().map(|column| column.name.as_str()).collect();
        json!({
            "name": self.prepared.endpoint.name, "title": self.prepared.endpoint.title, "expect": expectation.name(),
            "passed": expectation.is_met(!complete.bytes.is_empty()), "columns": columns,
        })
    }

    /// Starts to send rows that ClickHouse writes.
    async fn table(&self, format: TableFormat) -> Result<Response, Problem> {
        let after = self.after()?;
        let permit = permit(self.state).await?;
        let (warehouse, limits) = (&self.state.warehouse, self.state.query_limits);
        let starts = formula_starts(self.controls.escape_formulas && format == TableFormat::Csv);
        let (prepared, arguments) = (self.prepared, &self.arguments);
        let Table { mut rows, next } =
            table(warehouse, prepared, arguments, after.as_ref(), (format, &starts), limits).await?;
        // When the first piece arrives, ClickHouse has done most of its work. Until then a failure is an error response.
        let first = rows.next().await.map_err(EndpointError::from)?.unwrap_or_default();
        let body = stream::body(vec![first], rows, Bytes::new(), permit);
        let format = Format::Table(format);
        let kind = HeaderValue::from_static(format.content_type());
        let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
        if let Some(extension) = format.extension() {
            let name = format!("attachment; filename=\"{}.{extension}\"", prepared.endpoint.name);
            set(response.headers_mut(), header::CONTENT_DISPOSITION, name);
        }
        let next = next.map(|key| cursor::encode(&key, prepared, arguments));
        self.add_link(&mut response, next.as_deref());
        Ok(response)
    }

    fn add_link(&self, response: &mut Response, next_cursor: Option<&str>) {
        if let Some(next) = next_cursor.and_then(|cursor| self.next_link(cursor)) {
            set(response.headers_mut(), header::LINK, format!("<{next}>; rel=\"next\""));
        }
    }

    /// The path of the next page. None after a POST, whose body has the parameters: its client adds the cursor there.
    fn next_link(&self, cursor: &str) -> Option<String> {
        let (path, query) = self.link.as_ref()?;
        let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        next.extend_pairs(kept).append_pair("cursor", cursor);
        Some(format!("{path}?{}", next.finish()))
    }
}
