//! What a client wants to get: `Accept` and `Accept-Encoding` (RFC 9110, section 12.5).

use http::{HeaderMap, HeaderName, header};

use crate::list::items;

/// Returns the format that the client prefers, and of several equal ones the first. None if the header names no supported format.
/// `find` gets media types in lower case, and ranges such as `text/*`.
pub fn preferred<F>(headers: &HeaderMap, find: impl Fn(&str) -> Option<F>) -> Option<F> {
    let mut best: Option<(f32, F)> = None;
    for (kind, quality) in weighted(headers, &header::ACCEPT) {
        if let Some(format) = find(&kind)
            && quality > best.as_ref().map_or(0.0, |(best, _)| *best)
        {
            best = Some((quality, format));
        }
    }
    best.map(|(_, format)| format)
}

/// Returns the content codings that the client accepts, in lower case.
pub fn codings(headers: &HeaderMap) -> impl Iterator<Item = String> {
    weighted(headers, &header::ACCEPT_ENCODING)
        .filter(|(_, quality)| *quality > 0.0)
        .map(|(coding, _)| coding)
}

/// Returns what a header lists, in lower case and without parameters, each with its quality. What has an invalid quality is left out.
fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (String, f32)> + use<'a> {
    items(headers, name).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((name, quality.map_or(Ok(1.0), str::parse).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    #[test]
    fn the_format_of_the_highest_quality_wins_and_of_equal_ones_the_first() {
        let find = |kind: &str| match kind {
            "application/json" | "application/*" => Some("json"),
            "text/csv" => Some("csv"),
            _ => None,
        };
        for (lines, format) in [
            (&["text/csv"][..], Some("csv")),
            (&["Application/JSON; charset=utf-8, text/csv"], Some("json")),
            (&["application/json;q=0.5, text/csv;q=0.9"], Some("csv")),
            (&["text/csv;q=0.1", "application/*; Q=0.2"], Some("json")),
            (&["text/csv;q=0, text/html"], None),
            (&["text/csv;q=x, application/json;q=0.1"], Some("json")),
            (&[r#"text/html;x="a,text/csv", application/json"#], Some("json")),
            (&[], None),
        ] {
            assert_eq!(preferred(&headers(header::ACCEPT, lines), find), format, "{lines:?}");
        }
    }

    #[test]
    fn a_coding_of_quality_zero_is_not_accepted_however_zero_is_written() {
        let lines = ["gzip;q=0, br; q=0.0, ZSTD;q=0.1", "deflate, lz4;q=0.000"];
        let codings: Vec<String> = codings(&headers(header::ACCEPT_ENCODING, &lines)).collect();
        assert_eq!(codings, ["zstd", "deflate"]);
    }
}
