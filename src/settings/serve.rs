//! Options of the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::parse::{listen_address, size, whole};
use super::{ApiKey, EngineOptions, HostOptions, Secret};
use crate::dataset::BETS;

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Address of the HTTP API; port 0 picks a free one. A non-loopback address requires at least one --api-key
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = listen_address, env = "ROUNDHOUSE_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of everything kept on disk: embedded parts, spooled files. Only one server may use it at a time
    #[arg(long, default_value = ".roundhouse", env = "ROUNDHOUSE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// File to which the addresses are written as JSON (api, kafka_brokers, schema_registry_url, clickhouse_url) once every part answers
    #[arg(long, value_name = "FILE", env = "ROUNDHOUSE_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// API key that requests must carry (Authorization: Bearer or X-API-Key). Repeatable; in the variable, separate keys by commas
    /// [default: none; no key is required]
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
    /// Dataset to serve; repeatable [default: bets]. In the variable, separate names by commas
    #[arg(long = "dataset", value_name = "NAME", default_values_t = [BETS.to_owned()], hide_default_value = true, value_delimiter = ',', env = "ROUNDHOUSE_DATASETS")]
    pub datasets: Vec<String>,
    /// Directory with datasets of your own, in its folders schemas and queries: see docs/DATASETS.md; repeatable
    #[arg(long = "datasets", value_name = "DIR", env = "ROUNDHOUSE_DATASETS_DIR")]
    pub dataset_directories: Vec<PathBuf>,
    /// Avro schema of the rows of bets, registered as a new version if it has changed [default: the built-in schemas/bets.avsc].
    /// It must contain the built-in columns; any extra column must be nullable and exist in the tables game_rounds and conflicts
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

/// The three services that the server uses. A service without a URL is started as an embedded part.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Services (without an address, a service is embedded)")]
pub struct ServiceOptions {
    /// Kafka bootstrap servers, HOST:PORT, separated by commas [also: KAFKA_BROKER]
    #[arg(long, env = "ROUNDHOUSE_KAFKA_BROKERS")]
    pub kafka_brokers: Option<String>,
    /// Topic of the accepted rounds; rejected rows go to the topic of this name with `-dlq` at its end [also: KAFKA_TOPIC]
    /// [default: staging-bets]
    #[arg(long, env = "ROUNDHOUSE_KAFKA_TOPIC")]
    pub kafka_topic: Option<String>,
    /// Number of partitions of a topic that the server creates
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u16>(1..=256), env = "ROUNDHOUSE_KAFKA_PARTITIONS")]
    pub kafka_partitions: u16,
    /// Schema Registry URL, with user and password if it requires them: http://USER:PASSWORD@HOST:PORT [also: SCHEMA_REGISTRY_URL]
    #[arg(long, value_name = "URL", env = "ROUNDHOUSE_SCHEMA_REGISTRY_URL", hide_env_values = true)]
    pub schema_registry_url: Option<Secret>,
    /// ClickHouse HTTP URL, such as http://HOST:8123 [also: CLICKHOUSE_HOST with CLICKHOUSE_PORT]
    #[arg(long, value_name = "URL", env = "ROUNDHOUSE_CLICKHOUSE_URL", hide_env_values = true)]
    pub clickhouse_url: Option<Secret>,
    /// ClickHouse user [default: the user in the URL] [also: CLICKHOUSE_USER]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// ClickHouse password [default: the password in the URL] [also: CLICKHOUSE_PASSWORD]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_PASSWORD", hide_env_values = true)]
    pub clickhouse_password: Option<Secret>,
    /// ClickHouse database, created if it does not exist [default: game_data] [also: CLICKHOUSE_DB]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_DATABASE")]
    pub clickhouse_database: Option<String>,
    /// What loads the topic into ClickHouse
    #[arg(long, value_enum, default_value_t = LoaderKind::Roundhouse, env = "ROUNDHOUSE_LOADER")]
    pub loader: LoaderKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoaderKind {
    /// This server, each round exactly once
    Roundhouse,
    /// ClickHouse itself with a table of its Kafka engine, at least once: see docs/LOADERS.md
    #[value(name = "clickhouse")]
    ClickHouse,
    /// Nothing; another server loads it
    None,
}

impl LoaderKind {
    /// Returns the value of the option.
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
    /// Address of the embedded Kafka broker; port 0 picks a free one. Clients need no key there
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_KAFKA_LISTEN")]
    pub embedded_kafka_listen: SocketAddr,
    /// Address of the embedded registry's REST API; port 0 picks a free one. Clients need no key there
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_REGISTRY_LISTEN")]
    pub embedded_registry_listen: SocketAddr,
    /// Address of the embedded ClickHouse's HTTP interface; port 0 picks a free one. Clients need no key there
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_CLICKHOUSE_LISTEN")]
    pub embedded_clickhouse_listen: SocketAddr,
}

/// What one request, or all requests together, may use.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits (a SIZE is a number of bytes, or one with a unit: 512MiB, 8GB)")]
pub struct Limits {
    /// Largest uploaded file, decompressed
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size::<u64>(0), env = "ROUNDHOUSE_MAX_UPLOAD_BYTES")]
    pub max_upload_bytes: u64,
    /// Longest CSV line, in UTF-8. A rejected line is one Kafka record, and brokers accept 1 MiB by default
    #[arg(long, value_name = "SIZE", default_value = "512KiB", value_parser = size::<usize>(0), env = "ROUNDHOUSE_MAX_LINE_BYTES")]
    pub max_line_bytes: usize,
    /// Largest number of rows in an uploaded file; a file with more is stopped there with 413
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000, value_parser = whole::<u64>(1..=u64::MAX), env = "ROUNDHOUSE_MAX_UPLOAD_ROWS")]
    pub max_upload_rows: u64,
    /// Largest number of rejected rows in an uploaded file; a file with more is stopped there with 422. A request can lower it with
    /// ?max_rejects=
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = whole::<u64>(0..=u64::MAX), env = "ROUNDHOUSE_MAX_UPLOAD_REJECTS")]
    pub max_upload_rejects: u64,
    /// Largest number of files in one form; the next one gets 413
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole::<u64>(1..=u64::MAX), env = "ROUNDHOUSE_MAX_FORM_FILES")]
    pub max_form_files: u64,
    /// Largest number of concurrent uploads, not counting those whose first 64 KiB have not arrived. Up to 16 more wait, at most 10
    /// seconds, and then get 429
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<usize>(0..=u64::MAX), env = "ROUNDHOUSE_MAX_CONCURRENT_UPLOADS")]
    pub max_concurrent_uploads: usize,
    /// Seconds without a byte after which an upload is aborted
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = whole::<u64>(0..=u64::MAX), env = "ROUNDHOUSE_UPLOAD_IDLE_SECONDS")]
    pub upload_idle_seconds: u64,
    /// Slowest upload, in decompressed bytes per second, averaged over 10 seconds of waiting for the client. A slower one gets 408.
    /// 0: no minimum
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size::<u64>(0), env = "ROUNDHOUSE_UPLOAD_MIN_BYTES_PER_SECOND")]
    pub upload_min_bytes_per_second: u64,
    /// Slowest upload while other requests wait for an upload slot or a connection, in decompressed bytes per second, averaged over 3
    /// seconds of waiting for the client. The slowest one below it gets 408. 0: no minimum
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size::<u64>(0), env = "ROUNDHOUSE_UPLOAD_CROWDED_BYTES_PER_SECOND")]
    pub upload_crowded_bytes_per_second: u64,
    /// Seconds of waiting for a client before its speed counts
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = whole::<u64>(0..=3600), env = "ROUNDHOUSE_UPLOAD_GRACE_SECONDS")]
    pub upload_grace_seconds: u64,
    /// Seconds that running uploads may continue after the server was told to stop; then they get 503 with their progress
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = whole::<u64>(0..=600), env = "ROUNDHOUSE_STOP_GRACE_SECONDS")]
    pub stop_grace_seconds: u64,
    /// Largest number of connections to the API. When one more is opened, the server closes an idle or slow one. If there is none, the
    /// new connection gets answers to health and metrics requests only, and 503 to all others
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = whole::<u16>(1..=u16::MAX.into()), env = "ROUNDHOUSE_MAX_CONNECTIONS")]
    pub max_connections: u16,
    /// Seconds that a record may wait for its acknowledgement before the upload fails with 503. A Kafka cluster may need minutes to
    /// recover from a failure of several brokers; meanwhile the upload is read only as far as --producer-queue-mib allows
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = whole::<u64>(5..=3600), env = "ROUNDHOUSE_DELIVERY_TIMEOUT_SECONDS")]
    pub delivery_timeout_seconds: u64,
    /// Queue size in MiB of encoded records before uploads are throttled
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = whole::<u32>(1..=1024), env = "ROUNDHOUSE_PRODUCER_QUEUE_MIB")]
    pub producer_queue_mib: u32,
    /// Seconds that ClickHouse may take to answer; then the request gets 503. A query of GET /aggregates may take no longer in all
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole::<u64>(1..=600), env = "ROUNDHOUSE_QUERY_TIMEOUT_SECONDS")]
    pub query_timeout_seconds: u64,
    /// Largest number of concurrent queries of GET /aggregates; further ones wait, no longer than a query may take
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u16>(1..=64), env = "ROUNDHOUSE_MAX_CONCURRENT_QUERIES")]
    pub max_concurrent_queries: u16,
    /// Largest number of rows that a query of GET /aggregates may read; a query that needs more gets 400
    #[arg(long, value_name = "N", default_value_t = 100_000_000, value_parser = whole::<u64>(1..=u64::MAX), env = "ROUNDHOUSE_MAX_QUERY_ROWS")]
    pub max_query_rows: u64,
    /// Memory for the last values of a dataset (the section latest of its dataset.toml). Some 200 bytes for a price. Requests
    /// for keys that do not fit are answered by ClickHouse
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size::<usize>(0), env = "ROUNDHOUSE_MAX_LATEST_BYTES")]
    pub max_latest_bytes: usize,
    /// Largest number of reconciliations that run at the same time; further ones are queued
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>(0..=u64::MAX), env = "ROUNDHOUSE_MAX_RUNNING_RECONCILIATIONS")]
    pub max_running_reconciliations: usize,
    /// Largest number of queued reconciliations; the next one gets 429
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole::<usize>(0..=u64::MAX), env = "ROUNDHOUSE_MAX_WAITING_RECONCILIATIONS")]
    pub max_waiting_reconciliations: usize,
    /// Largest total size of the files that wait in the data directory for their reconciliation
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = size::<u64>(0), env = "ROUNDHOUSE_RECONCILE_SPOOL_BYTES")]
    pub reconcile_spool_bytes: u64,
    /// Space that is kept free on the data directory's file system, at least 16 MiB. With less, uploads (if the broker or ClickHouse is
    /// embedded) and reconciliations get 507; what Kafka has acknowledged is still loaded
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size::<u64>(16 << 20), env = "ROUNDHOUSE_DISK_RESERVE_BYTES")]
    pub disk_reserve_bytes: u64,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::settings::{Cli, Command};

    #[test]
    fn a_record_may_wait_as_long_as_a_cluster_needs_to_recover() {
        let Command::Serve(options) = Cli::try_parse_from(["roundhouse", "serve"]).unwrap().command else {
            panic!("not serve")
        };
        // A cluster of three that lost two brokers for 53 seconds accepted records again 154 seconds after the failure.
        assert_eq!(options.limits.delivery_timeout_seconds, 300);
    }
}
