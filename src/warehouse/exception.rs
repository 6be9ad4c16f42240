//! Exceptions of ClickHouse, as its HTTP interface writes them: `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`.

use std::fmt;

/// An exception: its code and name are those of ClickHouse's `system.errors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub code: u32,
    /// Empty where the answer had only the code.
    pub name: String,
    /// All of it, for the log: it may quote SQL.
    text: String,
}

impl Exception {
    /// Parses an answer; none if it is no exception.
    pub fn parse(answer: &str) -> Option<Self> {
        // An exception amid an answer has other text before it.
        let (_, text) = answer.split_once("Code: ")?;
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let code = text.get(..digits)?.parse().ok()?;
        Some(Self { code, name: name(text).unwrap_or_default().to_owned(), text: answer.trim().to_owned() })
    }

    /// Whether ClickHouse refused to read more rows, or to use more memory, than this one query may.
    pub fn is_query_limit(&self) -> bool {
        match self.code {
            // TOO_MANY_ROWS, TOO_MANY_BYTES
            158 | 307 => true,
            // MEMORY_LIMIT_EXCEEDED
            241 => !self.is_server_memory(),
            _ => false,
        }
    }

    /// Whether ClickHouse stopped a query because it took too long.
    pub fn is_timeout(&self) -> bool {
        // TIMEOUT_EXCEEDED, TOO_SLOW
        matches!(self.code, 159 | 160)
    }

    /// Whether ClickHouse has too much to do at the moment.
    pub fn is_overload(&self) -> bool {
        // TOO_MANY_SIMULTANEOUS_QUERIES, TOO_MANY_PARTS
        matches!(self.code, 202 | 252) || self.code == 241
    }

    /// Whether a disk of ClickHouse is full.
    pub fn is_disk_full(&self) -> bool {
        // NOT_ENOUGH_SPACE; others have the words of the operating system.
        self.code == 243 || self.text.contains("No space left on device")
    }

    /// Whether ClickHouse refused the user, the password, or what this user asks for.
    pub fn is_access_denied(&self) -> bool {
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, ACCESS_DENIED, AUTHENTICATION_FAILED
        matches!(self.code, 192..=195 | 497 | 516)
    }

    /// The memory of the whole server, or of all queries of its user, is used up.
    fn is_server_memory(&self) -> bool {
        ["(total)", "(for user)", "User memory", "Total memory"].iter().any(|mark| self.text.contains(mark))
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of an error: the last upper-case word in brackets.
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
    fn a_query_that_asks_for_too_much_is_told_from_a_server_that_has_too_little() {
        let of_query = "Code: 241. DB::Exception: Query memory limit exceeded: would use 1.01 GiB, maximum: 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)";
        let of_server = "Code: 241. DB::Exception: (total) memory limit exceeded: would use 9 GiB, maximum: 8 GiB. (MEMORY_LIMIT_EXCEEDED)";
        assert!(Exception::parse(of_query).unwrap().is_query_limit());
        let of_server = Exception::parse(of_server).unwrap();
        assert!(!of_server.is_query_limit() && of_server.is_overload());
    }
}
