//! The line `sep=;`, by which Excel is told what the delimiter of a file is.

/// Returns the delimiter that a line names, if it is such a line: in any case, quoted or not. Delimiters after it, as a program writes
/// them that fills each line up, do not matter.
pub fn delimiter(line: &[u8]) -> Option<u8> {
    let line = std::str::from_utf8(line).ok()?;
    let line = line.trim_start_matches('\u{feff}').trim_matches(' ');
    let line = line.strip_prefix('"').unwrap_or(line);
    let (key, named) = line.split_once('=')?;
    if !key.eq_ignore_ascii_case("sep") {
        return None;
    }
    let (delimiter, rest) = match named.strip_prefix("\\t") {
        Some(rest) => (b'\t', rest),
        None => (*named.as_bytes().first()?, named.get(1..)?),
    };
    let is_delimiter = delimiter == b'\t' || (delimiter.is_ascii_punctuation() && delimiter != b'"');
    let is_filler = |byte: u8| byte == delimiter || matches!(byte, b'"' | b',' | b';' | b'\t' | b' ');
    (is_delimiter && rest.bytes().all(is_filler)).then_some(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_the_line_names() {
        for (line, expected) in [
            ("sep=;", b';'),
            ("SEP=,", b','),
            ("sep=\t", b'\t'),
            ("sep=\\t", b'\t'),
            ("\"sep=|\"", b'|'),
            ("\u{feff}\"sep=;\"", b';'),
            ("sep=;;;;;", b';'),
            ("sep=,;;;", b','),
        ] {
            assert_eq!(delimiter(line.as_bytes()), Some(expected), "{line}");
        }
        for line in [
            "",
            "sep",
            "sep=",
            "sep=x",
            "sep=\"",
            "sep=;x",
            "separator=;",
            "sep=ö",
            "id,sep=;",
            "\u{fffd}sep=;",
        ] {
            assert_eq!(delimiter(line.as_bytes()), None, "{line}");
        }
        assert_eq!(delimiter(b"sep=\xff"), None);
    }
}
