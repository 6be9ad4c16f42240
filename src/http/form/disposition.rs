//! The `Content-Disposition` of a part: its name, and the name of its file.

use std::fmt::Write as _;

use encoding_rs::Encoding;
use percent_encoding::percent_decode;

/// What the header of a part says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    /// Empty if there is none.
    pub(super) name: String,
    /// May be empty: browsers send an empty one for a file input without a choice. None if there is none.
    pub(super) file_name: Option<String>,
}

impl Disposition {
    /// Reads the lines of a header.
    pub(super) fn of(lines: &[u8]) -> Self {
        let lines = unfolded(lines);
        let value = lines.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            name.trim_ascii().eq_ignore_ascii_case(b"content-disposition").then_some(value)
        });
        let Some(value) = value else { return Self::default() };
        let encoded = parameter(value, "filename*").and_then(|value| decoded(&value));
        let plain = || parameter(value, "filename").map(|name| text(&name));
        Self {
            name: parameter(value, "name").map(|name| text(&name)).unwrap_or_default(),
            file_name: encoded.or_else(plain),
        }
    }
}

/// Joins lines that were folded: a line that begins with a space or a tab continues the one before it.
fn unfolded(lines: &[u8]) -> Vec<u8> {
    let is_folded = |at: usize| matches!(lines.get(at..at + 3), Some([b'\r', b'\n', b' ' | b'\t']));
    let is_kept = |at: usize| !is_folded(at) && at.checked_sub(1).is_none_or(|before| !is_folded(before));
    lines.iter().enumerate().filter(|(at, _)| is_kept(*at)).map(|(_, byte)| *byte).collect()
}

/// Makes text of bytes. Bytes that are not UTF-8 become percent codes: which encoding they have is not known.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to memory cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Decodes an extended value (RFC 8187): an encoding, a language, and percent codes.
fn decoded(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let encoding = Encoding::for_label(parts.next()?)?;
    let _language = parts.next()?;
    let bytes: Vec<u8> = percent_decode(parts.next()?).collect();
    Some(encoding.decode_without_bom_handling(&bytes).0.into_owned())
}

/// Returns the value of a parameter of a header, in quotes or not (RFC 9110, section 5.6.6).
pub(super) fn parameter(value: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = after(value, b';')?;
    loop {
        let (name, value) = split(rest, b'=')?;
        // Something without a value may stand before the name.
        let name = name.rsplit(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let (value, behind) = match value.trim_ascii_start().strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, behind) = split(value, b';').unwrap_or((value, b""));
                (value.trim_ascii().to_vec(), behind)
            }
        };
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        rest = behind;
    }
}

/// Splits at the first such byte.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

fn after(bytes: &[u8], at: u8) -> Option<&[u8]> {
    split(bytes, at).map(|(_, after)| after)
}

/// Splits a quoted text from what follows it. A backslash is an escape before a quote only: old browsers send paths with backslashes.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (before, after) = split(rest, b'"')?;
        rest = after;
        match before.strip_suffix(b"\\") {
            Some(before) => {
                value.extend_from_slice(before);
                value.push(b'"');
            }
            None => {
                value.extend_from_slice(before);
                return Some((value, after));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(parameters: &[u8]) -> Option<String> {
        let lines =
            [b"X: y\r\nContent-Disposition: form-data; ".as_slice(), parameters, b"\r\nA: b"].concat();
        Disposition::of(&lines).file_name
    }

    #[test]
    fn a_file_name_is_read_in_every_form_that_clients_send() {
        for (parameters, name) in [
            (b"name=file; filename=\"a \\\"b\\\" C:\\d.csv\"".as_slice(), "a \"b\" C:\\d.csv"),
            (b"filename=b.csv ; name=file", "b.csv"),
            (b"name=\"file\"; filename*=UTF-8''%D0%BE%D1%82%D1%87%D1%91%D1%82.csv", "отчёт.csv"),
            (b"name=file; FileName*=utf-8'en'%e2%82%ac%20rates.csv; filename=\"rates.csv\"", "€ rates.csv"),
            (b"name=file; filename*=windows-1251''%EE%F2%F7%B8%F2.csv", "отчёт.csv"),
            // An extended value that cannot be read: the plain one counts.
            (b"name=file; filename=\"plain.csv\"; filename*=x-unknown''%41", "plain.csv"),
            // A name in windows-1251.
            (b"name=\"file\"; filename=\"\xee\xf2\xf7.csv\"", "%EE%F2%F7.csv"),
            ("name=file; filename=\"日本.csv\"".as_bytes(), "日本.csv"),
            (b"a; b; filename=c", "c"),
            (b"name=file;\r\n\tfilename=\"folded.csv\"", "folded.csv"),
            (b"name=file; filename=\"\"", ""),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(name), "{}", parameters.escape_ascii());
        }
        for parameters in
            [b"name=file".as_slice(), b"name=file; filename", b"filename=\"x", b"filename*=UTF-8''"]
        {
            let found = file_name(parameters).unwrap_or_default();
            assert_eq!(found, "", "{}", parameters.escape_ascii());
        }
        let disposition = Disposition::of(b"content-disposition:form-data ;name=\"\xff\"\r\n");
        assert_eq!(disposition, Disposition { name: "%FF".to_owned(), file_name: None });
    }
}
