//! Every option of every subcommand: its flag, environment variable, default and unit.
//!
//! One line of help is the option's manual. [`Cli`] is what clap reads; what needs more than one option to
//! decide (a broker given or embedded, keys on a public address) is decided in `commands`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

/// Takes CSV exports of game rounds over HTTP, brings them through Kafka into ClickHouse exactly once, and
/// proves that every row is there.
#[derive(Debug, Parser)]
#[command(name = "roundhouse", version, max_term_width = 110)]
pub struct Cli {
    /// How log lines look on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto, env = "ROUNDHOUSE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or tracing directives (info,roundhouse::loader=debug)
    #[arg(long, global = true, default_value = "info", env = "ROUNDHOUSE_LOG")]
    pub log: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise
    Auto,
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the API; starts an embedded broker, registry and ClickHouse for each URL that is not given
    Serve(Box<ServeOptions>),
    /// Does the whole job on a file in a temporary data directory, prints what came of it, and exits
    Demo(DemoOptions),
    /// Runs one embedded part alone
    #[command(subcommand)]
    Embedded(EmbeddedCommand),
    /// Works on rejected rows of a running server
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Writes a CSV file of invented game rounds, the same for the same options
    Generate(GenerateOptions),
    /// Sends CSV files to a running server. Exit code 0: every row was accepted, 1: some were rejected, 2: a file failed
    Upload(UploadOptions),
    /// Has a running server compare a file with what is stored. Exit code 0: it matches, 1: it does not, 2: it could not be done
    Reconcile(ReconcileOptions),
    /// Asks a running server what happened each hour, by player and game
    Aggregates(AggregatesOptions),
}

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
    /// Schema Registry URL [also: SCHEMA_REGISTRY_URL]
    #[arg(long, env = "ROUNDHOUSE_SCHEMA_REGISTRY_URL")]
    pub schema_registry_url: Option<Url>,
    /// ClickHouse HTTP URL [also: CLICKHOUSE_HOST with CLICKHOUSE_PORT]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_URL")]
    pub clickhouse_url: Option<Url>,
    /// ClickHouse user [also: CLICKHOUSE_USER]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// ClickHouse password [also: CLICKHOUSE_PASSWORD]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_PASSWORD", hide_env_values = true)]
    pub clickhouse_password: Option<Secret>,
    /// ClickHouse database, made if missing [default: game_data] [also: CLICKHOUSE_DB]
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

/// What the embedded ClickHouse needs besides an address and a directory.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Embedded ClickHouse")]
pub struct EngineOptions {
    /// libchdb.so (or .dylib), the ClickHouse engine [default: where `npm ci --prefix engine` puts it, or
    /// beside the roundhouse binary]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_LIBRARY")]
    pub clickhouse_library: Option<PathBuf>,
    /// Queries that run at the same time; further ones wait
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64), env = "ROUNDHOUSE_CLICKHOUSE_CONNECTIONS")]
    pub clickhouse_connections: u16,
    /// Origins of web pages that may query it (CORS), separated by commas
    #[arg(
        long,
        default_value = "http://localhost:8088",
        value_delimiter = ',',
        env = "ROUNDHOUSE_CLICKHOUSE_CORS_ORIGINS"
    )]
    pub clickhouse_cors_origins: Vec<String>,
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
    /// Uploads at the same time; one more is answered 429
    #[arg(long, default_value_t = 4, env = "ROUNDHOUSE_MAX_CONCURRENT_UPLOADS")]
    pub max_concurrent_uploads: usize,
    /// Seconds without a byte after which an upload is given up
    #[arg(long, default_value_t = 60, env = "ROUNDHOUSE_UPLOAD_IDLE_SECONDS")]
    pub upload_idle_seconds: u64,
    /// Bytes (decompressed) that a sender must send in a second, on average over 10 seconds that were spent waiting for it;
    /// a slower one is answered 408. 0: any speed will do
    #[arg(long, default_value_t = 1024, env = "ROUNDHOUSE_UPLOAD_MIN_BYTES_PER_SECOND")]
    pub upload_min_bytes_per_second: u64,
    /// Seconds of waiting for a sender before its speed counts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600), env = "ROUNDHOUSE_UPLOAD_GRACE_SECONDS")]
    pub upload_grace_seconds: u64,
    /// Seconds a record may wait for its acknowledgement before the upload fails with 503
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600), env = "ROUNDHOUSE_DELIVERY_TIMEOUT_SECONDS")]
    pub delivery_timeout_seconds: u64,
    /// Mebibytes of encoded records that wait for the broker before an upload is read slower
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024), env = "ROUNDHOUSE_PRODUCER_QUEUE_MIB")]
    pub producer_queue_mib: u32,
    /// Seconds a query of GET /aggregates may take before it is answered 503
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
}

/// Where a running server is.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8000", env = "ROUNDHOUSE_SERVER")]
    pub server: Url,
    /// API key, for a server that asks for one
    #[arg(long, value_name = "KEY", env = "ROUNDHOUSE_API_KEY", hide_env_values = true)]
    pub api_key: Option<Secret>,
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Produces an upload's rejected rows that are valid now, or corrected ones. Exit code 0: none is still rejected, 1: some
    /// are, 2: it could not be done
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// The upload whose rejects they are
    #[arg(long, value_name = "ID")]
    pub upload: uuid::Uuid,
    /// Only rejects with this code, such as not_a_decimal
    #[arg(long)]
    pub code: Option<String>,
    /// Corrected rows: the CSV file of GET /uploads/{id}/rejects, with its column reject_line
    #[arg(long)]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answer as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoOptions {
    /// The CSV file to bring through
    #[arg(default_value = "data/gamerounds.csv")]
    pub file: PathBuf,
    #[command(flatten)]
    pub engine: EngineOptions,
}

#[derive(Debug, Subcommand)]
pub enum EmbeddedCommand {
    /// A Kafka broker on local files
    Broker(BrokerOptions),
    /// A Confluent-compatible Schema Registry on a local file
    Registry(RegistryOptions),
    /// The ClickHouse engine behind its HTTP interface
    #[command(name = "clickhouse")]
    ClickHouse(ClickHouseOptions),
}

/// What every supervised part is told by its supervisor.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct SupervisedOption {
    /// Announce on standard output, and stop when standard input closes
    #[arg(long, hide = true)]
    pub supervised: bool,
}

#[derive(Clone, Debug, Args)]
pub struct BrokerOptions {
    /// Address of the Kafka protocol; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9092", env = "ROUNDHOUSE_EMBEDDED_KAFKA_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the log
    #[arg(long, default_value = ".roundhouse/broker")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

#[derive(Clone, Debug, Args)]
pub struct RegistryOptions {
    /// Address of the REST API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8081", env = "ROUNDHOUSE_EMBEDDED_REGISTRY_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the schemas
    #[arg(long, default_value = ".roundhouse/registry")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

#[derive(Clone, Debug, Args)]
pub struct ClickHouseOptions {
    /// Address of the HTTP interface; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8123", env = "ROUNDHOUSE_EMBEDDED_CLICKHOUSE_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the databases
    #[arg(long, default_value = ".roundhouse/clickhouse")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub engine: EngineOptions,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// Rows
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    /// Seed: the same seed and options make the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Players, the first of them playing far more than the last
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub players: u32,
    /// Games
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub games: u32,
    /// Days over which the rounds are spread
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// game_instance_id of the first round
    #[arg(long, default_value_t = 20_000)]
    pub first_id: u64,
    /// Of 100 amounts of money, how many are missing (written as NaN, NULL or nothing)
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub null_percent: u8,
    /// Encoding, with a byte order mark
    #[arg(long, value_enum, default_value_t = FileEncoding::Utf16le)]
    pub encoding: FileEncoding,
    /// The file to write; `-` is standard output
    #[arg(short, long)]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileEncoding {
    #[value(name = "utf-16le")]
    Utf16le,
    #[value(name = "utf-16be")]
    Utf16be,
    #[value(name = "utf-8")]
    Utf8,
}

#[derive(Debug, Args)]
pub struct UploadOptions {
    /// The CSV files, which are uploaded one after the other
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answers as they are, a JSON object per file and line
    #[arg(long)]
    pub json: bool,
    /// What is waited for
    #[arg(long, value_enum, default_value_t = WaitFor::Visible)]
    pub wait: WaitFor,
    /// Encoding of the files, a label of the WHATWG Encoding Standard [default: a byte order mark's, else found]
    #[arg(long)]
    pub encoding: Option<String>,
    /// Send files that were uploaded before all the same
    #[arg(long)]
    pub force: bool,
    /// Only say what would be accepted and rejected
    #[arg(long)]
    pub validate_only: bool,
    /// Rejected rows, or percent of the rows (`5%`), after which a file is given up
    #[arg(long, value_name = "N")]
    pub max_rejects: Option<String>,
    /// What a rejected row does to the rest of its file [default: continue]
    #[arg(long, value_enum)]
    pub on_error: Option<OnError>,
}

#[derive(Debug, Args)]
pub struct ReconcileOptions {
    /// The CSV file
    pub file: PathBuf,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Encoding of the file, a label of the WHATWG Encoding Standard [default: a byte order mark's, else found]
    #[arg(long)]
    pub encoding: Option<String>,
    /// The upload to which the file belongs, if its bytes are not the same; may be repeated. Stored rounds of it that the file has
    /// not are unexpected
    #[arg(long = "upload-id", value_name = "ID")]
    pub upload_ids: Vec<uuid::Uuid>,
    /// Produce what is missing, rebuild hours that differ, and check again
    #[arg(long)]
    pub repair: bool,
    /// With --repair: whose values count where a round is stored with others than the file has [default: stored]
    #[arg(long, value_enum, requires = "repair")]
    pub prefer: Option<Prefer>,
    /// With --repair: remove rounds that are stored as from the file's upload, and are not in it
    #[arg(long, requires = "repair")]
    pub remove_unexpected: bool,
    /// Differences that are shown: a number, or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    pub differences: Count,
}

impl ReconcileOptions {
    /// What the API is told besides the file.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let encoding = self.encoding.iter().map(|encoding| ("encoding", encoding.clone()));
        encoding.chain(self.upload_ids.iter().map(|id| ("upload_id", id.to_string()))).collect()
    }
}

/// Whose values count where a round is stored with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Prefer {
    /// What is stored stays
    Stored,
    /// Rounds get the values of the file
    File,
}

impl Prefer {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::File => "file",
        }
    }
}

/// A number of things, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Most(u64),
    All,
}

impl Count {
    pub fn most(self) -> u64 {
        match self {
            Self::Most(count) => count,
            Self::All => u64::MAX,
        }
    }
}

impl std::str::FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Most).map_err(|_| "a whole number, or `all`"),
        }
    }
}

#[derive(Debug, Args)]
pub struct AggregatesOptions {
    /// Only this player; may be repeated
    #[arg(long = "player", value_name = "ID")]
    pub players: Vec<String>,
    /// Only this game; may be repeated
    #[arg(long = "game", value_name = "ID")]
    pub games: Vec<u64>,
    /// From this date or time on, such as 2019-10-22 or 2019-10-22T08:00:00Z
    #[arg(long)]
    pub from: Option<String>,
    /// To this date, which is meant whole, or to this time, which is excluded
    #[arg(long)]
    pub to: Option<String>,
    /// Order; a minus before it turns it round [default: created_hour]
    #[arg(
        long,
        allow_hyphen_values = true,
        value_parser = ["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"],
        conflicts_with = "summary"
    )]
    pub sort: Option<String>,
    /// Rows, at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["all", "summary"])]
    pub limit: u64,
    /// Every row, page by page
    #[arg(long, conflicts_with = "summary")]
    pub all: bool,
    /// Totals and those of each hour instead of the rows
    #[arg(long)]
    pub summary: bool,
    /// How they are written; `json` is the server's answer as it is, one per page
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    Table,
    Json,
    Csv,
    Ndjson,
}

impl AnswerFormat {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Table | Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// What an upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The broker has every row
    Acknowledged,
    /// The rows are in the aggregates
    Visible,
}

impl WaitFor {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Visible => "visible",
        }
    }
}

/// What a rejected row does to the rest of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Nothing
    Continue,
    /// It is not taken
    Abort,
}

impl OnError {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Abort => "abort",
        }
    }
}

/// Text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A key that opens the API: 16 to 256 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct ApiKey(Secret);

impl ApiKey {
    /// The key itself, for the comparison with what a request carries.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl std::str::FromStr for ApiKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (16..=256).contains(&text.len()) {
            Ok(Self(Secret(text.to_owned())))
        } else {
            Err("a key has 16 to 256 visible ASCII characters")
        }
    }
}
