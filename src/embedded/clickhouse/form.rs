//! The fields of a `multipart/form-data` request: query and parameters that would be too long for a URL.

use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{HeaderMap, header};
use hyper::body::Incoming;
use tokio_stream::wrappers::ReceiverStream;

use super::body;
use super::exception::{Code, Exception};

/// Bytes of a whole form.
const MAX_FORM: usize = 16 << 20;

/// Fields of a form.
const MAX_FIELDS: usize = 4096;

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// Reads a form.
///
/// # Errors
/// It is broken or too large, or has files: tables sent along with a query are not supported.
pub(super) async fn fields(request: hyper::Request<Incoming>) -> Result<Vec<(String, String)>, Exception> {
    let (parts, body) = request.into_parts();
    let broken =
        |reason: String| Exception::new(Code::BadArguments, format_args!("Cannot read the form: {reason}"));
    // As a whole: the reader of forms (multer 3.1) takes one that arrives between two of its looks for an incomplete one.
    let body = Body::from_stream(ReceiverStream::new(body::frames(body)));
    let whole = to_bytes(body, MAX_FORM).await.map_err(|error| broken(error.to_string()))?;
    let mut request = hyper::Request::from_parts(parts, Body::from(whole));
    // Ours is the limit, not axum's of 2 MiB.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(error.body_text()))?;
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(error.body_text()))? {
        if field.file_name().is_some() {
            let reason = "External tables (files in a form) are not supported by the embedded ClickHouse";
            return Err(Exception::new(Code::NotImplemented, reason));
        }
        if fields.len() == MAX_FIELDS {
            return Err(broken(format!("it has more than {MAX_FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        // Not as text: that would strip a byte order mark, which may be part of a value.
        let value = field.bytes().await.map_err(|error| broken(error.body_text()))?;
        fields.push((name, String::from_utf8_lossy(&value).into_owned()));
    }
    Ok(fields)
}
