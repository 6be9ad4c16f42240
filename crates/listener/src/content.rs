//! What the body of a request is: `Content-Type` and `Content-Encoding` (RFC 9110, section 8).

use http::{HeaderMap, header};

/// Returns the `Content-Type` with its parameters; empty if there is none.
pub fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns the media type in lower case, without parameters; empty if there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    content_type(headers).split(';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase()
}

/// Returns the coding in lower case. None: the body is not encoded.
pub fn coding(headers: &HeaderMap) -> Option<String> {
    let coding = String::from_utf8_lossy(headers.get(header::CONTENT_ENCODING)?.as_bytes());
    Some(coding.trim().to_ascii_lowercase()).filter(|coding| !matches!(coding.as_str(), "" | "identity"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_media_type_is_compared_without_case_and_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(media_type(&headers), "");
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("Text/CSV ; charset=UTF-8"));
        assert_eq!(
            (media_type(&headers).as_str(), content_type(&headers)),
            ("text/csv", "Text/CSV ; charset=UTF-8")
        );
    }

    #[test]
    fn a_coding_that_is_not_text_does_not_count_as_none() {
        for (value, expected) in
            [(&b"GZip "[..], Some("gzip")), (b"identity", None), (b"", None), (b"\xff", Some("\u{fffd}"))]
        {
            let headers =
                HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_bytes(value).unwrap())]);
            assert_eq!(coding(&headers).as_deref(), expected, "{value:?}");
        }
        assert_eq!(coding(&HeaderMap::new()), None);
    }
}
