//! The ClickHouse client.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::insert_formatted::InsertFormatted;
use clickhouse::query::Query;
use clickhouse::{Client, Compression};
use thiserror::Error;
use url::Url;

use super::exception::Exception;
use super::transport;
use crate::counted::counted;
use crate::settings::Secret;

/// Time limit for an insert. Far more than a chunk needs, so only a server that hangs exceeds it.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);

/// How long ClickHouse may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How long ClickHouse may send nothing during a statement that no HTTP request waits for. More than the longest statement takes.
const SILENCE: Duration = Duration::from_secs(900);

/// A client of one database.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    /// A client with a shorter time limit.
    for_requests: Client,
    database: String,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Why a statement failed.
#[derive(Debug, Error)]
pub enum WarehouseError {
    #[error("ClickHouse does not answer in time")]
    TimedOut,
    /// No connection, or it was closed before the answer was complete.
    #[error("ClickHouse does not answer: {0}")]
    Unreachable(#[source] clickhouse::error::Error),
    /// A client's query asks for too much: more rows than may be read, or too much memory.
    #[error("the query would read more than {}, or use too much memory", counted(*rows, "row"))]
    TooMuch { rows: u64 },
    /// ClickHouse answered with an error.
    #[error("ClickHouse failed: {0}")]
    Exception(Exception),
    /// The request cannot be written, or the answer cannot be read.
    #[error("cannot read ClickHouse's answer: {0}")]
    Query(#[source] clickhouse::error::Error),
}

/// What a proxy in front of ClickHouse answers if it cannot reach ClickHouse.
const PROXY_FAILURES: [&str; 3] = ["502 Bad Gateway", "503 Service", "504 Gateway"];

impl From<clickhouse::error::Error> for WarehouseError {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::TimedOut => Self::TimedOut,
            Error::Network(_) => Self::Unreachable(error),
            Error::BadResponse(ref text) => match Exception::parse(text) {
                Some(exception) if exception.is_timeout() => Self::TimedOut,
                Some(exception) => Self::Exception(exception),
                None if PROXY_FAILURES.iter().any(|failure| text.contains(failure)) => {
                    Self::Unreachable(error)
                }
                None => Self::Query(error),
            },
            error => Self::Query(error),
        }
    }
}

impl WarehouseError {
    /// Returns the stable error code that the API and the upload ledger use.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TimedOut | Self::Unreachable(_) => "clickhouse_unavailable",
            Self::TooMuch { .. } => "query_too_large",
            Self::Exception(exception) if exception.is_disk_full() => "disk_full",
            Self::Exception(exception) if exception.is_overload() => "clickhouse_overloaded",
            Self::Exception(exception) if exception.is_access_denied() => "clickhouse_access_denied",
            Self::Exception(_) | Self::Query(_) => "clickhouse_failed",
        }
    }

    /// Describes the error without internal details, for clients of the API.
    pub fn summary(&self) -> String {
        match self {
            Self::TimedOut | Self::TooMuch { .. } => self.to_string(),
            Self::Unreachable(_) => "ClickHouse does not answer".to_owned(),
            Self::Exception(exception) if exception.is_disk_full() => {
                "the disk of ClickHouse is full".to_owned()
            }
            Self::Exception(exception) if exception.is_overload() => "ClickHouse is overloaded".to_owned(),
            Self::Exception(exception) if exception.is_access_denied() => {
                "ClickHouse denied access to the user of this server".to_owned()
            }
            Self::Exception(_) => "ClickHouse failed to run a query".to_owned(),
            Self::Query(_) => "cannot read ClickHouse's answer".to_owned(),
        }
    }
}

impl Warehouse {
    /// `patience`: how long ClickHouse may send nothing during a statement that an HTTP request waits for ([`Warehouse::for_requests`]).
    ///
    /// # Errors
    /// The URL is `https`, and the system's certificates cannot be read.
    pub fn new(
        url: &Url,
        user: Option<&str>,
        password: Option<&Secret>,
        database: &str,
        patience: Duration,
    ) -> std::io::Result<Self> {
        // On loopback, compression costs more than it saves.
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let client = |silence| {
            let mut client = transport::client(url.scheme() == "https", silence)?
                .with_url(url.as_str())
                .with_database(database)
                .with_product_info("roundhouse", env!("CARGO_PKG_VERSION"))
                .with_compression(if loopback { Compression::None } else { Compression::Lz4 });
            if let Some(user) = user {
                client = client.with_user(user);
            }
            if let Some(password) = password {
                client = client.with_password(password.expose());
            }
            std::io::Result::Ok(client)
        };
        Ok(Self { client: client(SILENCE)?, for_requests: client(patience)?, database: database.to_owned() })
    }

    /// Returns a client for statements that an HTTP request waits for. They fail if ClickHouse sends nothing for longer than `patience`.
    #[must_use]
    pub fn for_requests(&self) -> Self {
        Self { client: self.for_requests.clone(), ..self.clone() }
    }

    /// Returns the client as the crate has it.
    pub(super) fn raw(&self) -> &Client {
        &self.client
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// Builds a query in this database. `sql` may have `{name:Type}` parameters.
    pub fn query(&self, sql: &str) -> Query {
        self.client.query_raw(sql)
    }

    /// Checks that ClickHouse answers.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or with an error.
    pub async fn ping(&self) -> Result<(), WarehouseError> {
        in_time(PING_TIMEOUT, self.query("SELECT 1").fetch_one::<u8>()).await?;
        Ok(())
    }

    /// Inserts a block of rows in RowBinary with a deduplication token. However often the same block is sent, the table, and each table that
    /// its views write to, stores it once (`queries/bets/tables/1_game_rounds.sql` explains how). `tag`: the `log_comment` of the insert in
    /// `system.processes`.
    ///
    /// # Errors
    /// ClickHouse does not answer, or refuses the block. It is then unknown whether the block was stored; send it again.
    pub async fn insert_block(
        &self,
        sql: &str,
        token: &str,
        tag: &str,
        block: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), WarehouseError> {
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(INSERT_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", token)
            .with_setting("log_comment", tag)
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with_setting("async_insert", "0")
            // Keep the block whole, whatever limits the server has for splitting and joining blocks.
            .with_setting("max_insert_block_size", "10000000")
            .with_setting("min_insert_block_size_rows", "10000000")
            .with_setting("min_insert_block_size_bytes", "1073741824");
        for piece in block {
            insert.send(piece).await?;
        }
        insert.end().await?;
        Ok(())
    }

    /// Starts an insert of any number of rows in RowBinary; the table gets one part for every `rows` of them. `tag` is its `log_comment` in
    /// `system.processes`. Dropping the insert stops it.
    pub fn insert_in_parts(&self, sql: &str, tag: &str, rows: usize) -> InsertFormatted {
        self.client
            .insert_formatted_with(sql)
            .with_timeouts(Some(INSERT_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("async_insert", "0")
            .with_setting("log_comment", tag)
            .with_setting("max_insert_block_size", rows.to_string())
            .with_setting("min_insert_block_size_rows", rows.to_string())
            .with_setting("min_insert_block_size_bytes", "0")
    }

    /// Inserts rows in RowBinary that need no token.
    ///
    /// # Errors
    /// See [`Warehouse::insert_block`].
    pub async fn insert_rows(&self, sql: &str, rows: Bytes) -> Result<(), WarehouseError> {
        self.insert_tagged(sql, "", std::iter::once(rows)).await
    }

    /// Inserts rows in RowBinary that need no token, piece by piece. `tag`: the `log_comment` of the insert in `system.processes`.
    ///
    /// # Errors
    /// See [`Warehouse::insert_block`].
    pub async fn insert_tagged(
        &self,
        sql: &str,
        tag: &str,
        pieces: impl Iterator<Item = Bytes>,
    ) -> Result<(), WarehouseError> {
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(INSERT_TIMEOUT), Some(INSERT_TIMEOUT))
            .with_setting("async_insert", "0")
            .with_setting("log_comment", tag);
        for piece in pieces {
            insert.send(piece).await?;
        }
        insert.end().await?;
        Ok(())
    }
}

/// Waits for an answer of ClickHouse, for at most `patience`.
///
/// # Errors
/// The statement failed, or the answer did not come in time.
pub async fn in_time<T, E: Into<WarehouseError>>(
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, WarehouseError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(WarehouseError::TimedOut),
    }
}
