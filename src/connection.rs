//! HTTP clients, and why a request of theirs failed: the cause in one line, and whether it was a TLS failure.

use std::error::Error;
use std::io;

use reqwest::{Client, ClientBuilder};

/// How many characters of another program's text an error repeats.
const MAX_TEXT: usize = 300;

/// Builds an HTTP client. On a machine without CA certificates it trusts no server, so it can use `http` only.
///
/// # Errors
/// See [`ClientBuilder::build`].
pub fn http_client(builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Client> {
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// Returns the innermost cause, such as `Connection refused (os error 111)`.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    one_line(&innermost.to_string())
}

/// Whether the other side does not speak TLS, or its certificate was rejected. rustls reports both as invalid data.
pub fn is_tls_failure(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(is_invalid_data) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Looks into nested errors: an `io::Error` may wrap others, which `source` skips.
fn is_invalid_data(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()).is_some_and(is_invalid_data)
}

/// Turns another program's text into one line, and shortens it.
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_tls_failure_is_recognized() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        let wrapped = io::Error::other(io::Error::other(inner));
        assert!(is_tls_failure(&wrapped));
        assert!(!is_tls_failure(&io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused))));
    }

    #[test]
    fn a_long_text_becomes_one_short_line() {
        assert_eq!(one_line("  <html>\n<head>  x"), "<html> <head> x");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), MAX_TEXT + 2);
    }
}
