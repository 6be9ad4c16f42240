//! Options of the embedded parts, each alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{HostOptions, Secret};
use crate::guard::cors_origin;

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
    pub hosts: HostOptions,
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
    /// Addresses (HOST:PORT) that ClickHouse may connect to, separated by commas: the Kafka brokers and the registry of
    /// its table engine Kafka. `any`: every port as well, for brokers that advertise others. None: it connects to nothing
    #[arg(long, value_delimiter = ',')]
    pub connect: Vec<Peer>,
    #[command(flatten)]
    pub hosts: HostOptions,
    #[command(flatten)]
    pub engine: EngineOptions,
    /// Password of the server that this is embedded in (user roundhouse). A variable only: command lines can be read by everyone
    #[arg(long, hide = true, env = "ROUNDHOUSE_CLICKHOUSE_OWN_KEY", hide_env_values = true)]
    pub own_key: Option<Secret>,
    #[command(flatten)]
    pub supervised: SupervisedOption,
}

/// Where the embedded ClickHouse may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Address {
        host: String,
        port: u16,
    },
    /// Every port of every host.
    Any,
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let address = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match address {
            Some((host, port)) if !host.is_empty() => Ok(Self::Address { host: host.to_owned(), port }),
            _ => Err("not HOST:PORT, and not `any`"),
        }
    }
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
    /// Origins of web pages that may read from it (CORS), separated by commas: http://HOST:PORT. Default: Tabix of docker-compose.yml.
    /// Empty: none
    #[arg(
        long,
        default_value = "http://localhost:8088",
        value_delimiter = ',',
        value_parser = cors_origin,
        env = "ROUNDHOUSE_CLICKHOUSE_CORS_ORIGINS"
    )]
    pub clickhouse_cors_origins: Vec<String>,
}
