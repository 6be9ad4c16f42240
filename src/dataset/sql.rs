//! SQL text, as far as datasets need it.

/// Returns the statement with the contents of its strings, quoted names and comments replaced by blanks, byte for byte, so that places in
/// both texts are the same. Line breaks stay. Strings and comments are those of
/// <https://clickhouse.com/docs/sql-reference/syntax>; an unfinished one ends with the text.
pub fn blanked(sql: &str) -> String {
    let bytes = sql.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = match byte {
            b'\'' | b'"' | b'`' => quoted(rest),
            b'-' if rest.starts_with(b"--") => line(rest),
            b'#' if rest.starts_with(b"# ") || rest.starts_with(b"#!") => line(rest),
            b'/' if rest.starts_with(b"/*") => block(rest),
            _ => 0,
        };
        let inside = out.get_mut(at..at + length).unwrap_or_default();
        inside.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at += length.max(1);
    }
    // Whole strings and comments were replaced by ASCII, so the rest is still UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

fn quoted(text: &[u8]) -> usize {
    let quote = text.first();
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        if Some(byte) == quote {
            return at + 1;
        }
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    text.len()
}

fn line(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).unwrap_or(text.len())
}

fn block(text: &[u8]) -> usize {
    memchr::memmem::find(text.get(2..).unwrap_or_default(), b"*/").map_or(text.len(), |end| end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_blank_and_the_rest_stays_in_its_place() {
        let sql = "SELECT 'a;\\'ö', \"b;\" -- c;\n, `d;` /* e;\n */ FROM t; # f;";
        let blank = blanked(sql);
        assert_eq!(blank.len(), sql.len());
        assert_eq!(blank.find(';'), sql.find("; #"));
        assert_eq!(blank.lines().count(), sql.lines().count());
        assert!(blank.contains("FROM t;") && !blank.contains('ö'));
        assert_eq!(blanked("SELECT 'open"), "SELECT      ");
    }
}
