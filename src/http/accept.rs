//! Which of several formats a client prefers: the `Accept` header (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// Returns the format that the client prefers, and of several equal ones the first. None if the header names no supported format.
/// `find` gets media types in lower case, and ranges such as `text/*`.
pub fn preferred<F>(headers: &HeaderMap, find: impl Fn(&str) -> Option<F>) -> Option<F> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<(f32, F)> = None;
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        if let (Some(quality), Some(format)) = (quality, find(&kind))
            && quality > best.as_ref().map_or(0.0, |(best, _)| *best)
        {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format)
}
