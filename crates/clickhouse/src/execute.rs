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
use super::engine::{self, Engine};
use super::exception::{Code, Exception};
use super::ffi::{Connection, Statement};
use super::output::Output;
use super::processes;
use super::quoting::quoted;
use super::request::{READ_ONLY, Request, cannot_modify};
use super::sessions::Sessions;
use super::statement::{self, Insert, Shape};
use super::text::{Text, read_some, unreadable};
use super::used::Used;
use roundhouse_part::streams;

/// Bytes given to the engine at a time.
const PART: usize = 256 << 10;

/// Bytes read from it at a time: the size of a pipe.
const PIPE: usize = 64 << 10;

const DEFAULT_FORMAT: &str = "TabSeparated";

/// The definition of a table of the database `system`.
const SHOW_CREATE: &str = include_str!("show_create.sql");

/// The state of a statement, as its HTTP connection sees it.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The statement only reads, so it may be stopped when its client has disconnected.
    pub(super) stoppable: AtomicBool,
    /// Its text has been read, and it runs. Never set for an INSERT that reads its data from the request.
    pub(super) begun: AtomicBool,
    pub(super) ended: CancellationToken,
}

/// A request to run.
pub(super) struct Job {
    pub(super) engine: Arc<Engine>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) request: Request,
    pub(super) body: BodyReader,
    pub(super) running: Arc<Running>,
    /// Released when the job ends.
    pub(super) query_id: IdGuard,
}

/// Why a statement has no result.
enum Failure {
    Exception(Exception),
    /// The client has disconnected.
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
    let (ended, engine) = (job.running.ended.clone().drop_guard(), Arc::clone(&job.engine));
    let database = job.request.database.clone();
    let outcome = execute(job, &mut output);
    drop(ended);
    match outcome {
        Ok(()) => output.finish(),
        Err(Failure::Exception(exception)) => output.fail(&exception),
        Err(Failure::Gone) => {}
    }
    engine.keep_spare(database.as_deref());
}

fn execute(job: Job, output: &mut Output) -> Result<(), Failure> {
    let Job { engine, sessions, mut request, body, running, query_id: _query_id } = job;
    let mut body = codec::decoder(body, request.body_coding, request.decompress).map_err(unreadable)?;
    let mut text = Text::read(request.query.take(), &mut body)?;
    let mut used = Used::open(&engine, &sessions, &mut request)?;
    // The engine creates pipes at any time, and the statement could wait for one.
    streams::close_pipes();
    let read_only = request.is_read_only() || used.read_only_level() > 0;
    match text.shape() {
        Shape::Insert(insert) => {
            if used.is_session() && read_only {
                return Err(read_only_mode().into());
            }
            used.prepare(&request, text.bytes())?;
            let data = text.bytes().get(insert.data..).unwrap_or_default();
            run_insert(used.connection()?, &request, insert, data, &mut body, output)?;
        }
        Shape::Select | Shape::Other => {
            let analysis = used.connection()?.classify(text.bytes());
            if analysis.statements > 1 {
                return Err(multiple_statements().into());
            }
            // The engine's own `readonly` allows these, but they change the server or stop queries of others.
            let commands = statement::begins_with(text.bytes(), &[b"SYSTEM", b"KILL"]);
            let changes = commands || used.is_session() && !analysis.read_only;
            if read_only && changes {
                return Err(read_only_mode().into());
            }
            check_session_settings(&used, &request, text.bytes())?;
            let mut level = None;
            if used.is_session() && statement::begins_with(text.bytes(), &[b"SET"]) {
                match statement::take_read_only(text.bytes()) {
                    Some((level, None)) => {
                        used.set_read_only_level(level);
                        return Ok(());
                    }
                    Some((taken, Some(rest))) => {
                        text.replace(rest);
                        level = Some(taken);
                    }
                    None => {}
                }
            }
            if analysis.statements == 0 {
                text.keep_from_client();
            } else if let Some(translated) = translate(used.connection()?, &request, text.bytes())? {
                text.replace(translated);
            }
            used.prepare(&request, text.bytes())?;
            running.stoppable.store(analysis.read_only, Ordering::Release);
            running.begun.store(true, Ordering::Release);
            if output.is_abandoned() {
                return Err(Failure::Gone);
            }
            let connection = used.connection()?;
            if analysis.read_only && text.shape() == Shape::Select {
                run_select(connection, &engine, &request, text.bytes(), output)?;
            } else {
                run_query(connection, &request, text.bytes(), analysis.read_only, output)?;
            }
            if let Some(level) = level {
                used.set_read_only_level(level);
            }
        }
    }
    Ok(())
}

/// Has `readonly` forbid settings in a session, where the engine does not enforce it.
fn check_session_settings(used: &Used, request: &Request, text: &[u8]) -> Result<(), Exception> {
    if !used.is_session() {
        return Ok(());
    }
    let forbids = |level: u8, name: &str| level == 1 || level == 2 && name == READ_ONLY;
    let (in_session, in_request) = (used.read_only_level(), request.read_only_level());
    let given = request.settings.iter().map(|(name, _)| name.clone());
    let named = statement::named_settings(text);
    let mut forbidden = given
        .filter(|name| forbids(in_session, name))
        .chain(named.filter(|name| forbids(in_session, name) || forbids(in_request, name)));
    forbidden.next().map_or(Ok(()), |setting| Err(cannot_modify(&setting)))
}

/// Returns what the engine runs in place of a statement that it would not answer as a server does.
fn translate(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
) -> Result<Option<Vec<u8>>, Exception> {
    let Some((table, end)) = statement::shown_system_table(text, &request.parameters) else {
        return translate_processes(connection, request, text);
    };
    let table = quoted(&table);
    let has_no_text = format!(
        "SELECT 1 FROM system.tables WHERE database = 'system' AND name = {table} AND create_table_query = ''"
    );
    let found = engine::run(connection, &has_no_text).map_err(Exception::from_engine)?;
    let rest = text.get(end..).unwrap_or_default();
    Ok((!found.is_empty()).then(|| [SHOW_CREATE.replace("@TABLE@", &table).as_bytes(), rest].concat()))
}

fn translate_processes(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
) -> Result<Option<Vec<u8>>, Exception> {
    let in_system = processes::are_named(text, &request.parameters)
        && match &request.database {
            Some(database) => database == "system",
            None => engine::current_database(connection)? == "system",
        };
    let scope = processes::Scope { asker: request.asker, parameters: &request.parameters, in_system };
    Ok(processes::translate(text, &scope))
}

fn multiple_statements() -> Exception {
    Exception::new(Code::SyntaxError, "Syntax error (Multi-statements are not allowed)")
}

fn read_only_mode() -> Exception {
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
    let mut stream = connection.insert(statement).map_err(Exception::from_engine)?;
    let mut going = begun.is_empty() || stream.append(begun);
    let mut part = vec![0; PART];
    while going {
        match read_some(body, &mut part)? {
            0 => break,
            read => going = stream.append(part.get(..read).unwrap_or_default()),
        }
    }
    let progress = stream.finish().map_err(Exception::from_engine)?;
    output.add_progress(progress);
    Ok(())
}

/// Runs a SELECT and sends its result as it arrives.
///
/// The engine's client writes into a pipe: in any format, block by block, and no faster than the HTTP client reads.
fn run_select(
    connection: &mut Connection,
    engine: &Engine,
    request: &Request,
    text: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let format = name_format(request, text, output);
    // For writing only: else a statement could read the result of another one, or wait for its own.
    let pipe = streams::pipe_for_writing_only();
    let (mut reader, writer) = pipe.map_err(|error| Exception::new(Code::StdException, error))?;
    let text = statement::into_file(text, &format!("/dev/fd/{}", writer.as_raw_fd()));
    let statement = Statement { text: &text, format, parameters: &request.parameters };
    let (copied, outcome) = thread::scope(|scope| {
        let copying = thread::Builder::new().spawn_scoped(scope, || {
            let copied = copy(&mut reader, output);
            if copied.is_err() {
                engine.kill(&request.tag());
                // If the pipe were closed, the engine's client would run the statement to its end without writing.
                let _ = io::copy(&mut reader, &mut io::sink());
            }
            copied
        });
        let copying = copying.map_err(|error| Exception::new(Code::StdException, error))?;
        // On this thread, because the engine is slower on a thread that it has not seen before.
        let outcome = connection.query(statement).map(|reply| reply.progress());
        drop(writer);
        let failed = |_| Err(Exception::new(Code::StdException, "The copying of the result failed").into());
        Ok::<_, Exception>((copying.join().unwrap_or_else(failed), outcome))
    })?;
    copied?;
    output.add_progress(outcome.map_err(Exception::from_engine)?);
    Ok(())
}

fn copy(reader: &mut PipeReader, output: &mut Output) -> Result<(), Failure> {
    let mut part = vec![0; PIPE];
    loop {
        match read_some(reader, &mut part)? {
            0 => return Ok(()),
            read => output.write(part.get(..read).unwrap_or_default())?,
        }
    }
}

/// Runs any other statement, whose result is small. `returns_rows`: it has one even if that is empty.
fn run_query(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
    returns_rows: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let format = default_format(request);
    let statement = Statement { text, format, parameters: &request.parameters };
    let reply = connection.query(statement).map_err(Exception::from_engine)?;
    output.add_progress(reply.progress());
    if returns_rows || statement::reports(text) || !reply.bytes().is_empty() {
        name_format(request, text, output);
    }
    if !reply.bytes().is_empty() {
        output.write(reply.bytes())?;
    }
    Ok(())
}

/// Sets the format of the answer, and returns the format for a text that names none.
fn name_format<'a>(request: &'a Request, text: &[u8], output: &mut Output) -> &'a str {
    let default = default_format(request);
    output.set_format(statement::output_format(text).unwrap_or(default));
    default
}

fn default_format(request: &Request) -> &str {
    request.default_format.as_deref().unwrap_or(DEFAULT_FORMAT)
}
