//! CORS headers, by which a browser shows answers to pages of allowed origins. Other pages get none.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const EXPOSED: &str = "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,\
                       X-ClickHouse-Format,X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,\
                       X-ClickHouse-Exception-Tag";

const PREFLIGHT_SECONDS: &str = "86400";

/// The headers of an answer to an allowed origin.
pub(super) fn add_cors(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The further headers of the answer to a preflight.
pub(super) fn add_preflight(headers: &mut HeaderMap, request: &HeaderMap) {
    let fixed: [(HeaderName, &'static str); 2] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
}
