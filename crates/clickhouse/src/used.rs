//! The connection that a statement runs on, with the settings of its request only.

use std::sync::Arc;

use super::engine::{self, Engine, use_database};
use super::exception::{Code, Exception};
use super::external::ExternalTable;
use super::ffi::Connection;
use super::processes::TAG_SETTING;
use super::quoting::quoted;
use super::request::{METHOD_LEVEL, READ_ONLY, Request};
use super::sessions::{Lease, Sessions};
use super::statement;

/// Names and values.
type Settings<'a> = Vec<(&'a str, &'a str)>;

/// The connection of a request: a new one, or that of its session.
pub(super) enum Used {
    New(Connection),
    Session { lease: Lease, before: Vec<String> },
}

impl Used {
    /// A new connection is in the request's database already.
    ///
    /// # Errors
    /// The engine or the session has none, or the database does not exist.
    pub(super) fn open(
        engine: &Engine,
        sessions: &Arc<Sessions>,
        request: &mut Request,
    ) -> Result<Self, Exception> {
        match request.session.take() {
            Some(session) => Ok(Self::Session { lease: sessions.take(session, engine)?, before: Vec::new() }),
            None => engine.connect(request.database.as_deref()).map(Self::New),
        }
    }

    /// # Errors
    /// The session is closed.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, Exception> {
        match self {
            Self::New(connection) => Ok(connection),
            Self::Session { lease, .. } => {
                lease.connection().ok_or_else(|| Exception::new(Code::StdException, "The session is closed"))
            }
        }
    }

    pub(super) fn is_session(&self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// The level of `readonly` that was set in the session.
    pub(super) fn read_only_level(&self) -> u8 {
        match self {
            Self::New(_) => 0,
            Self::Session { lease, .. } => lease.read_only,
        }
    }

    /// Sets the level of `readonly` for the session's later requests.
    pub(super) fn set_read_only_level(&mut self, level: u8) {
        if let Self::Session { lease, .. } = self {
            lease.read_only = level;
        }
    }

    /// Applies the request's settings, and in a session its database, for this request only.
    ///
    /// # Errors
    /// A setting or the database is wrong.
    pub(super) fn prepare(&mut self, request: &Request, text: &[u8]) -> Result<(), Exception> {
        if let Self::Session { lease, before } = self
            && let Some(connection) = lease.connection()
        {
            if statement::begins_with(text, &[b"SET", b"USE"]) {
                // It changes the session. The parameters of a request do not.
                return Ok(());
            }
            *before = undo(connection, request)?;
            if let Some(database) = &request.database {
                engine::run(connection, &use_database(database)).map_err(Exception::from_engine)?;
            }
        }
        let enforce = !self.is_session();
        let tag = request.tag();
        let (settings, levels) = settings(request, &tag, enforce);
        self.set(&settings)?;
        for table in &request.external {
            self.add(table)?;
        }
        if levels.is_empty() { Ok(()) } else { self.set(&levels) }
    }

    fn set(&mut self, settings: &Settings<'_>) -> Result<(), Exception> {
        let pairs: Vec<String> =
            settings.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
        let set = format!("SET {}", pairs.join(", "));
        engine::run(self.connection()?, &set).map_err(Exception::from_engine).map(drop)
    }

    /// Adds an external table, for this request only.
    fn add(&mut self, table: &ExternalTable) -> Result<(), Exception> {
        table.create(self.connection()?)?;
        // Not earlier: the session may have a table of its own by this name.
        if let Self::Session { before, .. } = self {
            before.push(table.drop_statement());
        }
        table.fill(self.connection()?)
    }

    /// Restores a session's settings and database. The last statement also makes the engine drop what it keeps of a failed one.
    fn restore(&mut self) {
        if let Self::Session { lease, before } = self
            && let Some(connection) = lease.connection()
        {
            let last = format!("SET {TAG_SETTING} = DEFAULT");
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

/// The settings to apply before the external tables exist, and those to apply after. `enforce`: the engine enforces `readonly`. It could
/// not lower the level again, so in a session the statement is checked beforehand instead.
fn settings<'a>(request: &'a Request, tag: &'a str, enforce: bool) -> (Settings<'a>, Settings<'a>) {
    let given = request.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let (mut levels, mut settings): (Vec<_>, Vec<_>) = given.partition(|(name, _)| *name == READ_ONLY);
    settings.insert(0, (TAG_SETTING, tag));
    if !enforce {
        levels.clear();
    } else if request.read_only {
        levels.push((READ_ONLY, METHOD_LEVEL));
    }
    // `readonly` forbids further changes from the next statement on.
    if request.external.is_empty() {
        settings.append(&mut levels);
    }
    (settings, levels)
}

/// The statements that restore what [`Used::prepare`] will change.
fn undo(connection: &mut Connection, request: &Request) -> Result<Vec<String>, Exception> {
    let mut statements = Vec::new();
    if request.database.is_some() {
        statements.push(use_database(&engine::current_database(connection)?));
    }
    if !request.settings.is_empty() {
        let names: Vec<String> = request.settings.iter().map(|(name, _)| quoted(name)).collect();
        let query = format!(
            "SELECT name, value, changed FROM system.settings WHERE name IN ({}) FORMAT JSONCompactEachRow",
            names.join(", ")
        );
        for row in engine::run(connection, &query).map_err(Exception::from_engine)?.lines() {
            let (name, value, changed): (String, String, u8) =
                serde_json::from_str(row).map_err(|error| Exception::from_engine(error.to_string()))?;
            let value = if changed == 0 { "DEFAULT".to_owned() } else { quoted(&value) };
            statements.push(format!("SET {name} = {value}"));
        }
    }
    Ok(statements)
}
