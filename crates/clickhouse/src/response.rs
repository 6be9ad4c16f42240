//! HTTP responses, with the headers of a ClickHouse server.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::response::Builder;
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::engine::Engine;
use super::exception::Exception;
use super::output::{Answer, Head, Piece};

/// The pause before and after an exception at the end of a body. Clients look for it in one read of the socket, and may drop
/// bytes that arrive just before the connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=UTF-8";

/// What every response to a query contains.
pub(super) struct Context {
    pub(super) engine: Arc<Engine>,
    pub(super) query_id: String,
    /// The client asked for an answer in ClickHouse's blocks.
    pub(super) blocks: bool,
}

impl Context {
    /// The response to an exception before any statement ran.
    pub(super) fn exception(&self, exception: &Exception) -> Response<Body> {
        let body = exception.body_in(self.engine.version(), self.blocks);
        let builder = self.builder(exception.status(), PLAIN);
        finish(builder.header("X-ClickHouse-Exception-Code", exception.code()), Body::from(body))
    }

    /// The response to a statement. `gone` is dropped when the client has received all of it or has disconnected.
    pub(super) fn answer(&self, answer: Answer, gone: DropGuard) -> Response<Body> {
        match answer {
            Answer::Whole(head, body) => {
                gone.disarm();
                let coding = head.coding.filter(|_| !body.is_empty());
                finish(self.answer_builder(&Head { coding, ..head }), Body::from(body))
            }
            Answer::Streamed(head, pieces) => {
                finish(self.answer_builder(&head), Body::from_stream(body_stream(pieces, gone)))
            }
        }
    }

    fn answer_builder(&self, head: &Head) -> Builder {
        let format = head.format.as_deref();
        let content_type = match head.exception_code {
            Some(_) => PLAIN,
            None => format.map_or(PLAIN, content_type),
        };
        let mut builder = self
            .builder(head.status, content_type)
            .header("X-ClickHouse-Timezone", value(self.engine.timezone()))
            .header("X-ClickHouse-Exception-Tag", value(&head.tag))
            .header("X-ClickHouse-Summary", value(&summary(head)));
        if let Some(format) = format {
            builder = builder.header("X-ClickHouse-Format", value(format));
        }
        if let Some(coding) = head.coding {
            builder = builder.header(header::CONTENT_ENCODING, coding.name());
        }
        if let Some(code) = head.exception_code {
            builder = builder.header("X-ClickHouse-Exception-Code", code);
        }
        builder
    }

    fn builder(&self, status: StatusCode, content_type: &'static str) -> Builder {
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, content_type)
            .header("X-ClickHouse-Server-Display-Name", value(self.engine.host_name()))
            .header("X-ClickHouse-Query-Id", value(&self.query_id))
    }
}

/// A short text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "text/html; charset=UTF-8");
    finish(builder, Body::from(text))
}

/// The response to an exception without the name of this machine and the version of the engine.
pub(super) fn refused(status: StatusCode, exception: &Exception) -> Response<Body> {
    let builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, PLAIN)
        .header("X-ClickHouse-Exception-Code", exception.code());
    finish(builder, Body::from(format!("{exception}\n")))
}

fn finish(builder: Builder, body: Body) -> Response<Body> {
    builder.body(body).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn summary(head: &Head) -> String {
    let progress = &head.progress;
    json!({
        "read_rows": progress.read_rows.to_string(),
        "read_bytes": progress.read_bytes.to_string(),
        "written_rows": progress.written_rows.to_string(),
        "written_bytes": progress.written_bytes.to_string(),
        "total_rows_to_read": "0",
        "result_rows": progress.result_rows.to_string(),
        "result_bytes": progress.result_bytes.to_string(),
        "elapsed_ns": head.elapsed_ns.to_string(),
    })
    .to_string()
}

/// The source of a body.
enum Source {
    Pieces(mpsc::Receiver<Piece>, DropGuard),
    BrokenOff,
}

fn body_stream(
    pieces: mpsc::Receiver<Piece>,
    gone: DropGuard,
) -> impl futures_util::Stream<Item = io::Result<bytes::Bytes>> {
    stream::unfold(Source::Pieces(pieces, gone), |source| async move {
        let Source::Pieces(mut pieces, gone) = source else {
            tokio::time::sleep(LAST_WORDS).await;
            let error = io::Error::other("the statement failed after its answer had begun");
            return Some((Err(error), Source::BrokenOff));
        };
        match pieces.recv().await? {
            Piece::Data(bytes) => Some((Ok(bytes), Source::Pieces(pieces, gone))),
            Piece::Exception(bytes) => {
                tokio::time::sleep(LAST_WORDS).await;
                Some((Ok(bytes), Source::BrokenOff))
            }
        }
    })
}

/// The media type that ClickHouse gives a format.
fn content_type(format: &str) -> &'static str {
    let is =
        |prefix: &str| format.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if is("JSONEachRow")
        || is("JSONCompactEachRow")
        || is("JSONStringsEachRow")
        || is("JSONCompactStringsEachRow")
    {
        "application/x-ndjson; charset=UTF-8"
    } else if is("JSON") {
        "application/json; charset=UTF-8"
    } else if is("TabSeparated") || is("TSV") || is("TSKV") || is("LineAsString") {
        "text/tab-separated-values; charset=UTF-8"
    } else if is("CSVWithNames") {
        "text/csv; charset=UTF-8; header=present"
    } else if is("CSV") {
        "text/csv; charset=UTF-8; header=absent"
    } else if is("XML") {
        "application/xml; charset=UTF-8"
    } else if is("Pretty")
        || is("Vertical")
        || is("Values")
        || is("SQLInsert")
        || is("Markdown")
        || is("Null")
    {
        PLAIN
    } else {
        "application/octet-stream"
    }
}

/// What the service returns to hyper. A failure is a response too.
pub(super) type Served = Result<Response<Body>, Infallible>;
