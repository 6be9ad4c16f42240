//! Headers that are lists (RFC 9110, section 5.6.1).

use http::{HeaderMap, HeaderName};

/// Returns the items of all lines of a header. Empty ones are left out, and so are lines that are not ASCII.
pub fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(split).map(str::trim_ascii).filter(|item| !item.is_empty())
}

/// Splits a line at its commas, except those in quotes.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.split(move |c| {
        let is_separator = c == ',' && !is_quoted;
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        is_separator
    })
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn items_are_split_at_commas_that_are_not_in_quotes() {
        let mut headers = HeaderMap::new();
        for line in [r#" "a,b" ,, W/"c\",d""#, "e", ""] {
            headers.append(header::IF_NONE_MATCH, line.parse().unwrap());
        }
        let items: Vec<&str> = items(&headers, &header::IF_NONE_MATCH).collect();
        assert_eq!(items, [r#""a,b""#, r#"W/"c\",d""#, "e"]);
    }
}
