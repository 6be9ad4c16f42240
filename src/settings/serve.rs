//! Options of the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ApiKey, EngineOptions, HostOptions, Secret};

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Address of the HTTP API; port 0 takes a free one. Not loopback: at least one --api-key is required
    #[arg(long, default_value = "127.0.0.1:8000", env = "ROUNDHOUSE_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of everything kept on disk: embedded parts, spooled files. One server at a time uses it
    #[arg(long, default_value = ".roundhouse", env = "ROUNDHOUSE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// File in which the addresses are written as JSON (api, kafka_brokers, schema_registry_url,
    /// clickhouse_url) once everything answers
    #[arg(long, env = "ROUNDHOUSE_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// API key that requests must carry (Authorization: Bearer or X-API-Key); may be repeated, or be
    /// separated by commas in the variable. None: no key is asked for
    #[arg(
        long = "api-key",
        env = "ROUNDHOUSE_API_KEYS",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub api_keys: Vec<ApiKey>,
    #[command(flatten)]
    pub hosts: HostOptions,
    /// Avro schema of the rows, registered as a new version if it has changed [default: the built-in schemas/bets.avsc].
    /// It has the built-in columns, and others that are nullable and that game_rounds and conflicts have too
    #[arg(long, value_name = "FILE", env = "ROUNDHOUSE_SCHEMA")]
    pub schema: Option<PathBuf>,
    #[command(flatten)]
    pub services: ServiceOptions,
    #[command(flatten)]
    pub embedded: EmbeddedListenOptions,
    #[command(flatten)]
    pub engine: EngineOptions,
    #[command(flatten)]
    pub limits: Limits,
}

/// The three services behind the server. Each one without a URL is embedded.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Services (each one not given is embedded)")]
pub struct ServiceOptions {
    /// Kafka bootstrap list, HOST:PORT,… [also: KAFKA_BROKER]
    #[arg(long, env = "ROUNDHOUSE_KAFKA_BROKERS")]
    pub kafka_brokers: Option<String>,
    /// Topic of the accepted rounds; rejected lines go to this name with `-dlq` behind it [also: KAFKA_TOPIC]
    #[arg(long, env = "ROUNDHOUSE_KAFKA_TOPIC")]
    pub kafka_topic: Option<String>,
    /// Partitions of a topic that the server creates
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256), env = "ROUNDHOUSE_KAFKA_PARTITIONS")]
    pub kafka_partitions: u16,
    /// Schema Registry URL, with user and password if it needs them: http://USER:PASSWORD@HOST:PORT [also: SCHEMA_REGISTRY_URL]
    #[arg(long, value_name = "URL", env = "ROUNDHOUSE_SCHEMA_REGISTRY_URL", hide_env_values = true)]
    pub schema_registry_url: Option<Secret>,
    /// ClickHouse HTTP URL [also: CLICKHOUSE_HOST with CLICKHOUSE_PORT]
    #[arg(long, value_name = "URL", env = "ROUNDHOUSE_CLICKHOUSE_URL", hide_env_values = true)]
    pub clickhouse_url: Option<Secret>,
    /// ClickHouse user [default: that of the URL] [also: CLICKHOUSE_USER]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// ClickHouse password [default: that of the URL] [also: CLICKHOUSE_PASSWORD]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_PASSWORD", hide_env_values = true)]
    pub clickhouse_password: Option<Secret>,
    /// ClickHouse database, created if it does not exist [default: game_data] [also: CLICKHOUSE_DB]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_DATABASE")]
    pub clickhouse_database: Option<String>,
    /// Who moves the topic into ClickHouse
    #[arg(long, value_enum, default_value_t = LoaderKind::Roundhouse, env = "ROUNDHOUSE_LOADER")]
    pub loader: LoaderKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoaderKind {
    /// This server, exactly once. At most one server per topic
    Roundhouse,
    /// ClickHouse itself, with a table of its engine Kafka, at least once: see docs/LOADERS.md
    #[value(name = "clickhouse")]
    ClickHouse,
    /// Nobody: another server does, or will
    None,
}

impl LoaderKind {
    /// As the option has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Roundhouse => "roundhouse",
            Self::ClickHouse => "clickhouse",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Embedded parts")]
pub struct EmbeddedListenOptions {
    /// Kafka protocol of the embedded broker; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9092", env = "ROUNDHOUSE_EMBEDDED_KAFKA_LISTEN")]
    pub embedded_kafka_listen: SocketAddr,
    /// REST API of the embedded registry; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8081", env = "ROUNDHOUSE_EMBEDDED_REGISTRY_LISTEN")]
    pub embedded_registry_listen: SocketAddr,
    /// HTTP interface of the embedded ClickHouse; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8123", env = "ROUNDHOUSE_EMBEDDED_CLICKHOUSE_LISTEN")]
    pub embedded_clickhouse_listen: SocketAddr,
}

/// What one request, or all together, may use.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Bytes of one uploaded body
    #[arg(long, default_value_t = 8 << 30, env = "ROUNDHOUSE_MAX_UPLOAD_BYTES")]
    pub max_upload_bytes: u64,
    /// Bytes of one CSV line, in UTF-8; a rejected line is one Kafka record, of which brokers take a mebibyte by default
    #[arg(long, default_value_t = 512 << 10, env = "ROUNDHOUSE_MAX_LINE_BYTES")]
    pub max_line_bytes: usize,
    /// Rows of one uploaded file; one with more is stopped there and answered 413
    #[arg(long, default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u64).range(1..), env = "ROUNDHOUSE_MAX_UPLOAD_ROWS")]
    pub max_upload_rows: u64,
    /// Rejected rows of one uploaded file; one with more is stopped there and answered 422. ?max_rejects= asks for less
    #[arg(long, default_value_t = 1_000_000, env = "ROUNDHOUSE_MAX_UPLOAD_REJECTS")]
    pub max_upload_rejects: u64,
    /// Files of one form; one more is answered 413
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..), env = "ROUNDHOUSE_MAX_FORM_FILES")]
    pub max_form_files: u64,
    /// Uploads at the same time, not counting those whose first 64 KiB have not arrived. Up to 16 more wait, 10 seconds at most, and are
    /// then answered 429
    #[arg(long, default_value_t = 4, env = "ROUNDHOUSE_MAX_CONCURRENT_UPLOADS")]
    pub max_concurrent_uploads: usize,
    /// Seconds without a byte after which an upload is given up
    #[arg(long, default_value_t = 60, env = "ROUNDHOUSE_UPLOAD_IDLE_SECONDS")]
    pub upload_idle_seconds: u64,
    /// Bytes (decompressed) that a sender must send in a second, on average over 10 seconds that were spent waiting for it;
    /// a slower one is answered 408. 0: any speed will do
    #[arg(long, default_value_t = 1024, env = "ROUNDHOUSE_UPLOAD_MIN_BYTES_PER_SECOND")]
    pub upload_min_bytes_per_second: u64,
    /// The same while others wait for one of the uploads or connections that are possible at the same time, on average over 3 seconds
    /// that were spent waiting for the sender: the slowest that sends less is answered 408. 0: senders never give way
    #[arg(long, default_value_t = 65_536, env = "ROUNDHOUSE_UPLOAD_CROWDED_BYTES_PER_SECOND")]
    pub upload_crowded_bytes_per_second: u64,
    /// Seconds of waiting for a sender before its speed counts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600), env = "ROUNDHOUSE_UPLOAD_GRACE_SECONDS")]
    pub upload_grace_seconds: u64,
    /// Seconds that uploads may go on after the server was told to stop; then they are answered 503 with how far they got
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600), env = "ROUNDHOUSE_STOP_GRACE_SECONDS")]
    pub stop_grace_seconds: u64,
    /// Connections of the API at the same time. Of more, idle and slow ones are closed; where there are none, health and metrics are
    /// still answered, and anything else 503
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..), env = "ROUNDHOUSE_MAX_CONNECTIONS")]
    pub max_connections: u16,
    /// Seconds a record may wait for its acknowledgement before the upload fails with 503. A Kafka cluster may need minutes to
    /// recover from a failure of several brokers; meanwhile the upload is read no further than --producer-queue-mib
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=3600), env = "ROUNDHOUSE_DELIVERY_TIMEOUT_SECONDS")]
    pub delivery_timeout_seconds: u64,
    /// Mebibytes of encoded records that wait for the broker before an upload is read slower
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), env = "ROUNDHOUSE_PRODUCER_QUEUE_MIB")]
    pub producer_queue_mib: u32,
    /// Seconds that ClickHouse may take to answer a request; then the request is answered 503. A query of GET /aggregates may take no longer in all
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600), env = "ROUNDHOUSE_QUERY_TIMEOUT_SECONDS")]
    pub query_timeout_seconds: u64,
    /// Queries of GET /aggregates that run at the same time; further ones wait, no longer than a query may take
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64), env = "ROUNDHOUSE_MAX_CONCURRENT_QUERIES")]
    pub max_concurrent_queries: u16,
    /// Rows that a query of GET /aggregates may have to read; one that asks for more is answered 400
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(1..), env = "ROUNDHOUSE_MAX_QUERY_ROWS")]
    pub max_query_rows: u64,
    /// Reconciliations that run at the same time; further ones are queued
    #[arg(long, default_value_t = 1, env = "ROUNDHOUSE_MAX_RUNNING_RECONCILIATIONS")]
    pub max_running_reconciliations: usize,
    /// Reconciliations that may be queued; one more is answered 429
    #[arg(long, default_value_t = 1000, env = "ROUNDHOUSE_MAX_WAITING_RECONCILIATIONS")]
    pub max_waiting_reconciliations: usize,
    /// Bytes of files that wait in the data directory for their reconciliation
    #[arg(long, default_value_t = 16 << 30, env = "ROUNDHOUSE_RECONCILE_SPOOL_BYTES")]
    pub reconcile_spool_bytes: u64,
    /// Bytes of the data directory's file system that are kept free: with less, uploads (if the broker or ClickHouse is embedded)
    /// and reconciliations are answered 507. What is acknowledged is still loaded. At least 16 MiB
    #[arg(long, default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(16 << 20..), env = "ROUNDHOUSE_DISK_RESERVE_BYTES")]
    pub disk_reserve_bytes: u64,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::settings::{Cli, Command};

    #[test]
    fn a_record_waits_as_long_as_a_cluster_may_need_to_recover() {
        let Command::Serve(options) = Cli::try_parse_from(["roundhouse", "serve"]).unwrap().command else {
            panic!("not serve")
        };
        // A cluster of three that had lost two brokers for 53 seconds took records again 154 seconds after the failure.
        assert_eq!(options.limits.delivery_timeout_seconds, 300);
    }
}
