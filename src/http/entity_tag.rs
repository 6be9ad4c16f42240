//! What a client has already (RFC 9110, section 13.1.2).

use axum::http::{HeaderMap, header};

/// Whether the request names this entity tag in `If-None-Match`.
pub fn is_known(headers: &HeaderMap, entity_tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == entity_tag)
}
