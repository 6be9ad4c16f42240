//! The running engine: opens connections and stops queries.

use std::ffi::CString;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::configuration::Layout;
use super::exception::{Code, Exception};
use super::ffi::{Api, Connection, Statement};
use super::processes;
use super::quoting::quoted_name;
use roundhouse_part::lock::lock;
use roundhouse_part::{EmbeddedError, streams};

/// How far a statement is.
const PROGRESS: &str = include_str!("progress.sql");

/// The database of a new connection.
const DEFAULT_DATABASE: &str = "default";

/// A connection that has not been used yet.
enum Spare {
    /// It is in this database.
    Ready(Connection, String),
    Taken,
    /// The engine is closed: a new connection would start it again.
    Closed,
}

impl Spare {
    fn take(&mut self) -> Self {
        let next = if matches!(self, Self::Closed) { Self::Closed } else { Self::Taken };
        std::mem::replace(self, next)
    }
}

/// The engine, open on a directory until [`Engine::close`].
pub(super) struct Engine {
    api: Arc<Api>,
    arguments: Vec<CString>,
    /// Keeps the engine running when no request has a connection. It also stops queries.
    control: Mutex<Option<Connection>>,
    spare: Mutex<Spare>,
    version: String,
    timezone: String,
    host_name: String,
}

impl Engine {
    /// Starts the engine on a directory.
    ///
    /// # Errors
    /// The engine does not start on it.
    pub(super) fn open(api: Arc<Api>, layout: &Layout) -> Result<Self, EmbeddedError> {
        let arguments = arguments(layout)?;
        // The table engine FileLog ignores `user_files_path`. It accepts files below the current directory.
        let user_files = layout.user_files();
        std::env::set_current_dir(&user_files)
            .map_err(|error| EmbeddedError::directory(&user_files, error))?;
        api.leave_signals_alone();
        let mut control = Connection::open(&api, &arguments)
            .ok_or_else(|| failed(format!("the engine cannot start on {}", layout.directory().display())))?;
        let [version, timezone, host_name] = about(&mut control).map_err(failed)?;
        for view in processes::views() {
            run(&mut control, &view).map_err(failed)?;
        }
        // The engine has some of its own.
        streams::close_pipes();
        Ok(Self {
            api,
            arguments,
            control: Mutex::new(Some(control)),
            spare: Mutex::new(Spare::Taken),
            version,
            timezone,
            host_name,
        })
    }

    /// Returns a new connection in a database: the spare one, or one that is opened now, which takes a millisecond. Resetting a used
    /// connection would take longer.
    ///
    /// # Errors
    /// The database does not exist, or the engine is closed. A database that was dropped after the spare connection was opened in it is not
    /// noticed.
    pub(super) fn connect(&self, database: Option<&str>) -> Result<Connection, Exception> {
        let database = database.unwrap_or(DEFAULT_DATABASE);
        let spare = lock(&self.spare).take();
        let (mut connection, its) = match spare {
            Spare::Ready(connection, its) => Some((connection, its)),
            Spare::Taken => self.open_in_default(),
            Spare::Closed => None,
        }
        .ok_or_else(|| Exception::new(Code::StdException, "The engine is closed"))?;
        if its != database {
            run(&mut connection, &use_database(database)).map_err(Exception::from_engine)?;
        }
        Ok(connection)
    }

    /// Opens a spare connection, if there is none, in the database that was used last. To be called after an answer.
    pub(super) fn keep_spare(&self, database: Option<&str>) {
        let mut spare = lock(&self.spare);
        if matches!(*spare, Spare::Taken)
            && let Some((mut connection, mut its)) = self.open_in_default()
        {
            if let Some(database) = database
                && run(&mut connection, &use_database(database)).is_ok()
            {
                database.clone_into(&mut its);
            }
            *spare = Spare::Ready(connection, its);
        }
    }

    fn open_in_default(&self) -> Option<(Connection, String)> {
        let connection = Connection::open(&self.api, &self.arguments)?;
        Some((connection, DEFAULT_DATABASE.to_owned()))
    }

    /// Stops the query with this tag, if it runs.
    pub(super) fn kill(&self, tag: &str) {
        self.kill_where(&processes::has_tag(tag));
    }

    /// How far the query with this tag is, as JSON. `None` if it does not run.
    pub(super) fn progress(&self, tag: &str) -> Option<String> {
        let question = PROGRESS.replace("@TAG@", &processes::has_tag(tag));
        let row = run(lock(&self.control).as_mut()?, &question).ok()?;
        let (read_rows, read_bytes, written_rows, written_bytes, total_rows_to_read, elapsed_ns, found): (
            String,
            String,
            String,
            String,
            String,
            String,
            Value,
        ) = serde_json::from_str(&row).ok()?;
        let progress = json!({
            "read_rows": read_rows,
            "read_bytes": read_bytes,
            "written_rows": written_rows,
            "written_bytes": written_bytes,
            "total_rows_to_read": total_rows_to_read,
            "result_rows": "0",
            "result_bytes": "0",
            "elapsed_ns": elapsed_ns,
        });
        (found != 0 && found != "0").then(|| progress.to_string())
    }

    /// Stops all queries that only read.
    pub(super) fn kill_reads(&self) {
        self.kill_where("query_kind = 'Select'");
    }

    /// Stops all queries.
    pub(super) fn kill_all(&self) {
        self.kill_where("1");
    }

    fn kill_where(&self, condition: &str) {
        let text = format!("KILL QUERY WHERE {condition} ASYNC");
        let mut control = lock(&self.control);
        if let Some(control) = control.as_mut()
            && let Err(message) = run(control, &text)
        {
            tracing::warn!(message, "cannot stop a query");
        }
    }

    /// Closes the control connection. The engine stops with its last connection.
    pub(super) fn close(&self) {
        *lock(&self.spare) = Spare::Closed;
        drop(lock(&self.control).take());
    }

    /// ClickHouse's version, like `26.7.2.1`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn timezone(&self) -> &str {
        &self.timezone
    }

    pub(super) fn host_name(&self) -> &str {
        &self.host_name
    }
}

/// Runs an internal statement and returns its result as text.
///
/// # Errors
/// The engine's message.
pub(super) fn run(connection: &mut Connection, text: &str) -> Result<String, String> {
    let statement = Statement { text: text.as_bytes(), format: "JSONCompactEachRow", parameters: &[] };
    connection.query(statement).map(|reply| String::from_utf8_lossy(reply.bytes()).into_owned())
}

/// The database in which a connection is.
///
/// # Errors
/// The engine does not say.
pub(super) fn current_database(connection: &mut Connection) -> Result<String, Exception> {
    let row = run(connection, "SELECT currentDatabase()").map_err(Exception::from_engine)?;
    let [database]: [String; 1] =
        serde_json::from_str(&row).map_err(|error| Exception::from_engine(error.to_string()))?;
    Ok(database)
}

/// The statement that puts a connection into a database.
pub(super) fn use_database(database: &str) -> String {
    format!("USE {}", quoted_name(database))
}

fn arguments(layout: &Layout) -> Result<Vec<CString>, EmbeddedError> {
    let options = [
        ("path", layout.data()),
        ("config-file", layout.configuration()),
        ("users_config", layout.configuration()),
    ];
    let program = CString::new("clickhouse").map_err(|error| failed(error.to_string()));
    let options = options.into_iter().map(|(name, path)| {
        let option = [b"--", name.as_bytes(), b"=", path.as_os_str().as_encoded_bytes()].concat();
        CString::new(option).map_err(|error| failed(error.to_string()))
    });
    std::iter::once(program).chain(options).collect()
}

fn about(connection: &mut Connection) -> Result<[String; 3], String> {
    let row = run(connection, "SELECT version(), timezone(), hostName()")?;
    serde_json::from_str(&row).map_err(|error| format!("cannot read the engine's version: {error}"))
}

fn failed(reason: impl Into<String>) -> EmbeddedError {
    EmbeddedError::Failed { part: "ClickHouse engine", reason: reason.into() }
}
