//! A `multipart/form-data` request: query and parameters that would be too long for a URL, and files that are external tables.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::HeaderMap;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::body;
use super::exception::{Code, Exception};
use super::external::FormFile;
use roundhouse_listener::content::media_type;

/// Bytes of a whole form, its files included.
const MAX_FORM: usize = 16 << 20;

/// Fields and files of a form.
const MAX_FIELDS: usize = 4096;

/// How long a form may take to arrive. Meanwhile it occupies one of the places.
const FORM_TIMEOUT: Duration = Duration::from_secs(300);

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "multipart/form-data"
}

/// What a form has.
#[derive(Debug, Default)]
pub(super) struct FormParts {
    pub(super) fields: Vec<(String, String)>,
    pub(super) files: Vec<FormFile>,
}

/// Reads a form.
///
/// # Errors
/// It is malformed, too large or too slow.
pub(super) async fn read(request: hyper::Request<Incoming>) -> Result<FormParts, Exception> {
    let (parts, body) = request.into_parts();
    let broken =
        |reason: String| Exception::new(Code::BadArguments, format_args!("Cannot read the form: {reason}"));
    // As a whole: multer 3.1, which reads forms, can take a form that arrives in several pieces for an incomplete one.
    let body = Body::from_stream(ReceiverStream::new(body::frames(body)));
    let whole = timeout(FORM_TIMEOUT, to_bytes(body, MAX_FORM))
        .await
        .map_err(|_| broken(format!("it did not arrive within {} seconds", FORM_TIMEOUT.as_secs())))?
        .map_err(|error| broken(error.to_string()))?;
    let mut request = hyper::Request::from_parts(parts, Body::from(whole));
    // The limit is MAX_FORM, not the 2 MiB of axum.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(error.body_text()))?;
    let mut parts = FormParts::default();
    while let Some(field) = form.next_field().await.map_err(|error| broken(error.body_text()))? {
        if parts.fields.len() + parts.files.len() == MAX_FIELDS {
            return Err(broken(format!("it has more than {MAX_FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        // Not as text: that would strip a byte order mark, which may be part of a value.
        let data = field.bytes().await.map_err(|error| broken(error.body_text()))?;
        if is_file {
            parts.files.push(FormFile { name, data });
        } else {
            parts.fields.push((name, String::from_utf8_lossy(&data).into_owned()));
        }
    }
    Ok(parts)
}
