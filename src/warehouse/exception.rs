//! Exceptions of ClickHouse, in the form of its HTTP interface: `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`.

use std::fmt;

/// An exception, with the code and name from ClickHouse's `system.errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub code: u32,
    /// Empty if the answer had only the code.
    pub name: String,
    /// The whole text, for the log. It may contain SQL.
    text: String,
}

impl Exception {
    /// Parses an answer. Returns none if it is not an exception.
    pub fn parse(answer: &str) -> Option<Self> {
        // An exception in the middle of an answer has other text before it.
        let (_, text) = answer.split_once("Code: ")?;
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let code = text.get(..digits)?.parse().ok()?;
        Some(Self { code, name: name(text).unwrap_or_default().to_owned(), text: answer.trim().to_owned() })
    }

    /// Whether this one query exceeded its limit of rows or memory.
    pub fn is_query_limit(&self) -> bool {
        match self.code {
            // TOO_MANY_ROWS, TOO_MANY_BYTES
            158 | 307 => true,
            // MEMORY_LIMIT_EXCEEDED
            241 => !self.is_server_memory(),
            _ => false,
        }
    }

    /// Whether ClickHouse stopped the query because it took too long.
    pub fn is_timeout(&self) -> bool {
        // TIMEOUT_EXCEEDED, TOO_SLOW
        matches!(self.code, 159 | 160)
    }

    /// Whether ClickHouse is overloaded at the moment.
    pub fn is_overload(&self) -> bool {
        // TOO_MANY_SIMULTANEOUS_QUERIES, TOO_MANY_PARTS
        matches!(self.code, 202 | 252) || self.code == 241
    }

    /// Whether a disk of ClickHouse is full.
    pub fn is_disk_full(&self) -> bool {
        // NOT_ENOUGH_SPACE; other codes carry the operating system's message.
        self.code == 243 || self.text.contains("No space left on device")
    }

    /// Whether ClickHouse rejected the user or password, or the user lacks a privilege.
    pub fn is_access_denied(&self) -> bool {
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, ACCESS_DENIED, AUTHENTICATION_FAILED
        matches!(self.code, 192..=195 | 497 | 516)
    }

    /// Whether a function of the query refused its arguments: a division by zero, a number that is too large, text that is not a date, or
    /// what `throwIf` tests.
    pub fn is_of_values(&self) -> bool {
        matches!(
            self.code,
            // CANNOT_PARSE_TEXT, PARAMETER_OUT_OF_BOUND, CANNOT_PARSE_INPUT_ASSERTION_FAILED, ATTEMPT_TO_READ_AFTER_EOF, CANNOT_PARSE_DATE,
            // CANNOT_PARSE_DATETIME, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, CANNOT_PARSE_NUMBER
            6 | 12 | 27 | 32 | 38 | 41 | 69 | 70 | 72
            // TOO_LARGE_ARRAY_SIZE, TOO_LARGE_STRING_SIZE, ILLEGAL_DIVISION, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, CANNOT_PARSE_UUID,
            // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, DECIMAL_OVERFLOW, CANNOT_PARSE_BOOL
            | 128 | 131 | 153 | 321 | 376 | 395 | 407 | 467
        )
    }

    /// Whether the memory limit of the whole server, or of all queries of its user, was exceeded.
    fn is_server_memory(&self) -> bool {
        ["(total)", "(for user)", "User memory", "Total memory"].iter().any(|mark| self.text.contains(mark))
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the name of an error: the last upper-case word in parentheses.
fn name(text: &str) -> Option<&str> {
    let is_name = |word: &&str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.rsplit('(').filter_map(|part| part.split_once(')').map(|(word, _)| word)).find(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_has_its_code_and_its_name() {
        let text = "Code: 60. DB::Exception: Table game_data.x (MergeTree) does not exist. (UNKNOWN_TABLE) (version 26.7.2.1 (official build))\n";
        for text in [text.to_owned(), format!("__exception__\r\n{text}")] {
            let exception = Exception::parse(&text).unwrap();
            assert_eq!((exception.code, exception.name.as_str()), (60, "UNKNOWN_TABLE"));
            assert!(exception.to_string().contains("game_data.x"));
        }
        let bare = Exception::parse("Code: 516").unwrap();
        assert!(bare.is_access_denied() && bare.name.is_empty());
        for answer in ["", "502 Bad Gateway", "<html>Code: none</html>"] {
            assert_eq!(Exception::parse(answer), None, "{answer}");
        }
    }

    #[test]
    fn a_query_over_its_memory_limit_is_distinguished_from_a_server_out_of_memory() {
        let of_query = "Code: 241. DB::Exception: Query memory limit exceeded: would use 1.01 GiB, maximum: 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)";
        let of_server = "Code: 241. DB::Exception: (total) memory limit exceeded: would use 9 GiB, maximum: 8 GiB. (MEMORY_LIMIT_EXCEEDED)";
        assert!(Exception::parse(of_query).unwrap().is_query_limit());
        let of_server = Exception::parse(of_server).unwrap();
        assert!(!of_server.is_query_limit() && of_server.is_overload());
    }
}
