//! Options of the embedded parts when they run alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::parse::{listen_address, whole};
use super::{HostOptions, Secret, exit_codes};
use roundhouse_listener::guard::cors_origin;
use roundhouse_part::sandbox::Peer;

#[derive(Debug, Subcommand)]
pub enum EmbeddedCommand {
    /// A Kafka broker on local files
    #[command(after_help = exit_codes::EMBEDDED)]
    Broker(BrokerOptions),
    /// A Confluent-compatible Schema Registry on a local file
    #[command(after_help = exit_codes::EMBEDDED)]
    Registry(RegistryOptions),
    /// The ClickHouse engine with its HTTP interface
    #[command(after_help = exit_codes::EMBEDDED)]
    #[command(name = "clickhouse")]
    ClickHouse(ClickHouseOptions),
}

/// Tells a part that a supervisor runs it.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct SupervisedOption {
    /// Announce the address on standard output, and stop when standard input closes
    #[arg(long, hide = true)]
    pub supervised: bool,
}

#[derive(Clone, Debug, Args)]
pub struct BrokerOptions {
    /// Address of the Kafka protocol; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_KAFKA_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the log
    #[arg(long, default_value = ".roundhouse/broker")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

#[derive(Clone, Debug, Args)]
pub struct RegistryOptions {
    /// Address of the REST API; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_REGISTRY_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the schemas
    #[arg(long, default_value = ".roundhouse/registry")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

#[derive(Clone, Debug, Args)]
pub struct ClickHouseOptions {
    /// Address of the HTTP interface; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123", value_parser = listen_address, env = "ROUNDHOUSE_EMBEDDED_CLICKHOUSE_LISTEN")]
    pub listen: SocketAddr,
    /// Directory of the databases
    #[arg(long, default_value = ".roundhouse/clickhouse")]
    pub data_dir: PathBuf,
    /// Addresses (HOST:PORT) that ClickHouse may connect to, separated by commas: the Kafka brokers and the schema registry that its
    /// table engine Kafka uses. `any` allows every port, for brokers that advertise others [default: none]
    #[arg(long, value_delimiter = ',')]
    pub connect: Vec<Peer>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub engine: EngineOptions,
    /// Password of the server that runs this part (user roundhouse). Set only as a variable, since other users can read command lines
    #[arg(long, hide = true, env = "ROUNDHOUSE_CLICKHOUSE_OWN_KEY", hide_env_values = true)]
    pub own_key: Option<Secret>,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

/// What the embedded ClickHouse needs besides an address and a directory.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Embedded ClickHouse")]
pub struct EngineOptions {
    /// The ClickHouse engine, libchdb.so or libchdb.dylib [default: next to the roundhouse binary, or in ../lib/roundhouse from
    /// there]
    #[arg(long, env = "ROUNDHOUSE_CLICKHOUSE_LIBRARY")]
    pub clickhouse_library: Option<PathBuf>,
    /// Largest number of concurrent queries; further ones wait
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<u16>(2..=64), env = "ROUNDHOUSE_CLICKHOUSE_CONNECTIONS")]
    pub clickhouse_connections: u16,
    /// Origins of web pages that may read from it (CORS), http://HOST:PORT, separated by commas; empty allows none. The default is
    /// Tabix in docker-compose.yml
    #[arg(
        long,
        default_value = "http://localhost:8088",
        value_delimiter = ',',
        value_parser = cors_origin,
        env = "ROUNDHOUSE_CLICKHOUSE_CORS_ORIGINS"
    )]
    pub clickhouse_cors_origins: Vec<String>,
}
