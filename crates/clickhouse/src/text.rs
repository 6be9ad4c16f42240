//! Reads a statement's text from the request, and the first bytes of its data.

use std::io::{self, Read};

use super::exception::{Code, Exception};
use super::processes::TAG_SETTING;
use super::statement::{self, ClientFile, Insert, Shape};

/// Bytes of a statement, without the data of an INSERT.
const MAX_STATEMENT: usize = 16 << 20;

/// Bytes of a body that are read before they are searched for an INSERT. A server parses no more either, unless
/// `max_query_size` is larger.
const STATEMENT_HEAD: usize = 256 << 10;

/// Bytes of the longest text that the engine's client takes for a command. In a longer one that the engine refuses, the
/// position of the error is that of the client's text.
const LONGEST_COMMAND: usize = 16;

/// Bytes read at a time.
const PART: usize = 256 << 10;

/// A statement's text, and the beginning of its data if it is an INSERT.
pub(super) struct Text(Vec<u8>);

impl Text {
    /// Reads the parameter `query` and then the body, up to where the data of an INSERT begins.
    ///
    /// # Errors
    /// The body cannot be read, or the text is too long, empty, or one that a server refuses.
    pub(super) fn read(query: Option<String>, body: &mut dyn Read) -> Result<Self, Exception> {
        Self::check(read_text(query, body)?)
    }

    /// The text, followed by the data that was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn check(mut text: Vec<u8>) -> Result<Self, Exception> {
        let end = match statement::shape(&text) {
            Shape::Insert(insert) => insert.data,
            Shape::Select | Shape::Other => text.len(),
        };
        let statement = text.get_mut(..end).unwrap_or_default();
        if statement.iter().all(u8::is_ascii_whitespace) {
            return Err(Exception::new(
                Code::SyntaxError,
                "Syntax error: failed at position 1 (end of query): Empty query",
            ));
        }
        match statement::client_file(statement) {
            Some(ClientFile::Outfile) => {
                return Err(Exception::new(Code::IntoOutfileNotAllowed, "INTO OUTFILE is not allowed"));
            }
            Some(ClientFile::Infile) => {
                let reason = "Query has infile and was send directly to server";
                return Err(Exception::new(Code::UnknownTypeOfQuery, reason));
            }
            None => {}
        }
        // It names the statement's client: see `processes`.
        if statement::named_settings(statement).any(|name| name == TAG_SETTING) {
            let reason = format_args!("Setting {TAG_SETTING} should not be changed");
            return Err(Exception::new(Code::SettingConstraintViolation, reason));
        }
        if statement::inserts_from_input(statement) {
            let reason = "INSERT … SELECT … FROM input() is not supported by the embedded ClickHouse";
            return Err(Exception::new(Code::NotImplemented, reason));
        }
        statement::disarm_hints(statement);
        Ok(Self(text))
    }

    /// Keeps a text that does not parse from being a command of the engine's client, such as `exit`. The engine then refuses it.
    pub(super) fn keep_from_client(&mut self) {
        let text = self.0.trim_ascii();
        // `\i FILE` is one too.
        let begins_with_word = text.first().is_some_and(u8::is_ascii_alphabetic);
        if text.len() <= LONGEST_COMMAND || !begins_with_word {
            self.0.splice(..0, *b"/**/");
        }
    }

    /// Puts another statement in the place of this one.
    pub(super) fn replace(&mut self, text: Vec<u8>) {
        self.0 = text;
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        statement::shape(&self.0)
    }
}

/// Joins the parameter `query` and the body, up to where the data of an INSERT is known to begin.
fn read_text(query: Option<String>, body: &mut dyn Read) -> Result<Vec<u8>, Exception> {
    let mut text = query.map(String::into_bytes).unwrap_or_default();
    if !text.is_empty() {
        text.push(b'\n');
    }
    if has_all_of_insert(&text) {
        return Ok(text);
    }
    let mut looked_at = text.len();
    let mut part = vec![0; PART];
    loop {
        let read = read_some(body, &mut part)?;
        text.extend_from_slice(part.get(..read).unwrap_or_default());
        if read == 0 {
            return Ok(text);
        }
        if text.len() - looked_at >= STATEMENT_HEAD || text.len() > MAX_STATEMENT {
            looked_at = text.len();
            if has_all_of_insert(&text) {
                return Ok(text);
            }
        }
        if text.len() > MAX_STATEMENT {
            let reason = format_args!("The statement is larger than {MAX_STATEMENT} bytes");
            return Err(Exception::new(Code::QueryIsTooLarge, reason));
        }
    }
}

fn has_all_of_insert(text: &[u8]) -> bool {
    matches!(statement::shape(text), Shape::Insert(Insert { settled: true, .. }))
}

pub(super) fn read_some(body: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Exception> {
    loop {
        match body.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome.map_err(unreadable),
        }
    }
}

/// The exception for a body that cannot be read.
pub(super) fn unreadable(error: io::Error) -> Exception {
    let code = match error.kind() {
        io::ErrorKind::UnexpectedEof => Code::CannotReadAllData,
        io::ErrorKind::TimedOut => Code::SocketTimeout,
        _ => Code::CannotDecompress,
    };
    Exception::new(code, format_args!("Cannot read the request's body: {error}"))
}
