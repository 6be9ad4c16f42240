//! Runs one request's statement against the engine, from the first byte of its text to the last of its answer.
//!
//! Blocking, on a thread of its own.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::admission::IdGuard;
use super::body::BodyReader;
use super::codec;
use super::engine::{self, Engine, QUERY_ID_SETTING};
use super::exception::{Code, Exception};
use super::ffi::{Connection, Statement};
use super::output::Output;
use super::request::Request;
use super::sessions::{Lease, Sessions};
use super::statement::{self, ClientFile, Insert, Shape};

/// Bytes of a statement, without the data of an INSERT.
const MAX_STATEMENT: usize = 16 << 20;

/// Bytes of a body that are read before an INSERT is looked for in them: a server parses no more either, unless
/// `max_query_size` says so.
const STATEMENT_HEAD: usize = 256 << 10;

/// Bytes given to the engine at a time.
const PART: usize = 256 << 10;

const DEFAULT_FORMAT: &str = "TabSeparated";

/// What the connection's side of a request knows of the engine's.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The statement only reads, so that it may be stopped when nobody waits for it.
    pub(super) stoppable: AtomicBool,
    pub(super) ended: CancellationToken,
}

/// A request on its way.
pub(super) struct Job {
    pub(super) engine: Arc<Engine>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) request: Request,
    pub(super) body: BodyReader,
    pub(super) running: Arc<Running>,
    /// Given back when the job ends.
    pub(super) query_id: IdGuard,
}

/// Why there is no result.
enum Failure {
    Exception(Exception),
    /// The client went away.
    Gone,
}

impl From<Exception> for Failure {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl From<super::output::Gone> for Failure {
    fn from(_: super::output::Gone) -> Self {
        Self::Gone
    }
}

/// Runs a job and answers it.
pub(super) fn run(job: Job, mut output: Output) {
    let running = Arc::clone(&job.running);
    let outcome = execute(job, &mut output);
    running.ended.cancel();
    match outcome {
        Ok(()) => output.finish(),
        Err(Failure::Exception(exception)) => output.fail(&exception),
        Err(Failure::Gone) => {}
    }
}

fn execute(job: Job, output: &mut Output) -> Result<(), Failure> {
    let Job { engine, sessions, mut request, body, running, query_id: _query_id } = job;
    let mut body = codec::decoder(body, request.body_coding, request.decompress).map_err(unreadable)?;
    let text = read_text(request.query.take(), &mut body)?;
    let mut text = Text::check(text)?;
    let mut used = Used::open(&engine, &sessions, &mut request)?;
    match text.shape() {
        Shape::Insert(insert) => {
            if used.is_session() && request.is_read_only() {
                return Err(read_only().into());
            }
            used.prepare(&request, &text.0)?;
            let data = text.0.get(insert.data..).unwrap_or_default();
            run_insert(used.connection()?, &request, insert, data, &mut body, output)?;
        }
        Shape::Select | Shape::Other => {
            let analysis = used.connection()?.classify(&text.0);
            if analysis.statements > 1 {
                return Err(multiple_statements().into());
            }
            if used.is_session() && request.is_read_only() && !analysis.read_only {
                return Err(read_only().into());
            }
            used.prepare(&request, &text.0)?;
            running.stoppable.store(analysis.read_only, Ordering::Release);
            if output.is_abandoned() {
                return Err(Failure::Gone);
            }
            if analysis.statements == 0 {
                text.keep_from_client();
            }
            let connection = used.connection()?;
            if analysis.read_only && text.shape() == Shape::Select {
                run_select(connection, &engine, &request, &text.0, output)?;
            } else {
                run_query(connection, &request, &text.0, output)?;
            }
        }
    }
    Ok(())
}

/// A statement's text, and the beginning of its data if it is an INSERT.
struct Text(Vec<u8>);

impl Text {
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
        statement::disarm_hints(statement);
        Ok(Self(text))
    }

    /// Has a text that does not parse refused by the engine, where its client would take it for a command of its own,
    /// such as `exit`.
    fn keep_from_client(&mut self) {
        self.0.splice(..0, *b"/**/");
    }

    fn shape(&self) -> Shape<'_> {
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
            let reason = format_args!("A statement of more than {MAX_STATEMENT} bytes is not allowed");
            return Err(Exception::new(Code::QueryIsTooLarge, reason));
        }
    }
}

fn has_all_of_insert(text: &[u8]) -> bool {
    matches!(statement::shape(text), Shape::Insert(Insert { settled: true, .. }))
}

fn read_some(body: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Exception> {
    loop {
        match body.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome.map_err(unreadable),
        }
    }
}

/// Sorts why a body cannot be read.
fn unreadable(error: io::Error) -> Exception {
    let code = match error.kind() {
        io::ErrorKind::UnexpectedEof => Code::CannotReadAllData,
        io::ErrorKind::TimedOut => Code::SocketTimeout,
        _ => Code::CannotDecompress,
    };
    Exception::new(code, format_args!("Cannot read the request's body: {error}"))
}

fn multiple_statements() -> Exception {
    Exception::new(Code::SyntaxError, "Syntax error (Multi-statements are not allowed)")
}

fn read_only() -> Exception {
    Exception::new(Code::Readonly, "default: Cannot execute query in readonly mode")
}

fn run_insert(
    connection: &mut Connection,
    request: &Request,
    insert: Insert<'_>,
    begun: &[u8],
    body: &mut dyn Read,
    output: &mut Output,
) -> Result<(), Failure> {
    let statement = Statement { text: insert.head, format: insert.format, parameters: &request.parameters };
    let mut stream = connection.insert(statement).map_err(|message| Exception::from_engine(&message))?;
    let mut going = begun.is_empty() || stream.append(begun);
    let mut part = vec![0; PART];
    while going {
        match read_some(body, &mut part)? {
            0 => break,
            read => going = stream.append(part.get(..read).unwrap_or_default()),
        }
    }
    let progress = stream.finish().map_err(|message| Exception::from_engine(&message))?;
    output.add_progress(progress);
    Ok(())
}

/// Runs a SELECT and passes its result on as it comes.
///
/// The engine's client writes into a pipe: in every format, block by block, and no faster than the client of ours reads.
fn run_select(
    connection: &mut Connection,
    engine: &Engine,
    request: &Request,
    text: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let format = name_format(request, text, output);
    let (mut reader, writer) = io::pipe().map_err(|error| Exception::new(Code::StdException, error))?;
    let text = statement::into_file(text, &format!("/dev/fd/{}", writer.as_raw_fd()));
    let statement = Statement { text: &text, format, parameters: &request.parameters };
    let (copied, outcome) = thread::scope(|scope| {
        let query = scope.spawn(move || {
            let outcome = connection.query(statement).map(|reply| reply.progress());
            drop(writer);
            outcome
        });
        let copied = copy(&mut reader, output);
        if copied.is_err() {
            engine.kill(&request.query_id);
            // Closing the pipe would have the engine's client run the statement to its end, only without writing.
            let _ = io::copy(&mut reader, &mut io::sink());
        }
        (copied, query.join().unwrap_or_else(|_| Err("the statement's thread failed".to_owned())))
    });
    copied?;
    output.add_progress(outcome.map_err(|message| Exception::from_engine(&message))?);
    Ok(())
}

fn copy(reader: &mut PipeReader, output: &mut Output) -> Result<(), Failure> {
    let mut part = vec![0; PART];
    loop {
        match read_some(reader, &mut part)? {
            0 => return Ok(()),
            read => output.write(part.get(..read).unwrap_or_default())?,
        }
    }
}

/// Runs any other statement; what it returns is small.
fn run_query(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let format = name_format(request, text, output);
    let statement = Statement { text, format, parameters: &request.parameters };
    let reply = connection.query(statement).map_err(|message| Exception::from_engine(&message))?;
    output.add_progress(reply.progress());
    if !reply.bytes().is_empty() {
        output.write(reply.bytes())?;
    }
    Ok(())
}

/// Tells the answer which format it will have, and returns the one for a text that names none.
fn name_format<'a>(request: &'a Request, text: &[u8], output: &mut Output) -> &'a str {
    let default = request.default_format.as_deref().unwrap_or(DEFAULT_FORMAT);
    output.set_format(statement::output_format(text).unwrap_or(default));
    default
}

/// The connection that a request uses: a new one, or that of its session.
enum Used {
    New(Connection),
    Session { lease: Lease, before: Vec<String> },
}

impl Used {
    fn open(engine: &Engine, sessions: &Arc<Sessions>, request: &mut Request) -> Result<Self, Exception> {
        match request.session.take() {
            Some(session) => Ok(Self::Session { lease: sessions.take(session, engine)?, before: Vec::new() }),
            None => engine.connect().map(Self::New),
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, Exception> {
        match self {
            Self::New(connection) => Ok(connection),
            Self::Session { lease, .. } => {
                lease.connection().ok_or_else(|| Exception::new(Code::StdException, "The session is closed"))
            }
        }
    }

    fn is_session(&self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// Applies the request's settings and database, for this request only.
    fn prepare(&mut self, request: &Request, text: &[u8]) -> Result<(), Exception> {
        if let Self::Session { lease, before } = self
            && let Some(connection) = lease.connection()
        {
            if statement::begins_with(text, &[b"SET", b"USE"]) {
                // It changes the session, which the parameters of its request do not.
                return Ok(());
            }
            *before = undo(connection, request)?;
        }
        let enforce = !self.is_session();
        apply(self.connection()?, request, enforce)
    }

    /// Puts a session's settings and database back to what they were before the request. The last statement also ends
    /// what the engine keeps of a failed one until there is another.
    fn restore(&mut self) {
        if let Self::Session { lease, before } = self
            && let Some(connection) = lease.connection()
        {
            let last = format!("SET {QUERY_ID_SETTING} = DEFAULT");
            for statement in before.drain(..).chain([last]) {
                if let Err(message) = engine::run(connection, &statement) {
                    tracing::warn!(message, "cannot restore a session");
                }
            }
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.restore();
    }
}

/// `enforce`: has the engine see to `readonly`. It could not be taken back, so that a session's requests are looked at
/// beforehand instead.
fn apply(connection: &mut Connection, request: &Request, enforce: bool) -> Result<(), Exception> {
    let own = (QUERY_ID_SETTING.to_owned(), request.query_id.clone());
    // `readonly` comes last: it forbids to change more.
    let (last, settings): (Vec<_>, Vec<_>) =
        std::iter::once(&own).chain(&request.settings).partition(|(name, _)| name == "readonly");
    let mut statements = vec![set(&settings)];
    if let Some(database) = request.database.as_deref().filter(|database| !database.is_empty()) {
        statements.push(use_database(database));
    }
    if enforce && !last.is_empty() {
        statements.push(set(&last));
    } else if enforce && request.read_only {
        statements.push("SET readonly = 2".to_owned());
    }
    for statement in statements {
        engine::run(connection, &statement).map_err(|message| Exception::from_engine(&message))?;
    }
    Ok(())
}

fn set(settings: &[&(String, String)]) -> String {
    let pairs: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name} = {}", engine::quoted(value))).collect();
    format!("SET {}", pairs.join(", "))
}

fn use_database(database: &str) -> String {
    format!("USE `{}`", database.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The statements that put back what [`apply`] will change.
fn undo(connection: &mut Connection, request: &Request) -> Result<Vec<String>, Exception> {
    let failed = |message: String| Exception::from_engine(&message);
    let mut statements = Vec::new();
    if request.database.is_some() {
        let row = engine::run(connection, "SELECT currentDatabase()").map_err(failed)?;
        let [database]: [String; 1] =
            serde_json::from_str(&row).map_err(|error| failed(error.to_string()))?;
        statements.push(use_database(&database));
    }
    if !request.settings.is_empty() {
        let names: Vec<String> = request.settings.iter().map(|(name, _)| engine::quoted(name)).collect();
        let query = format!(
            "SELECT name, value, changed FROM system.settings WHERE name IN ({}) FORMAT JSONCompactEachRow",
            names.join(", ")
        );
        for row in engine::run(connection, &query).map_err(failed)?.lines() {
            let (name, value, changed): (String, String, u8) =
                serde_json::from_str(row).map_err(|error| failed(error.to_string()))?;
            let value = if changed == 0 { "DEFAULT".to_owned() } else { engine::quoted(&value) };
            statements.push(format!("SET {name} = {value}"));
        }
    }
    Ok(statements)
}
