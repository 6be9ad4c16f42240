//! Broker, registry and ClickHouse as separate processes, for several servers that share them.

use std::path::PathBuf;

use tempfile::TempDir;

use super::part::Part;
use super::server::Server;

/// The three services. Like a cluster, they outlive the servers.
#[derive(Debug)]
pub struct Services {
    pub broker: Part,
    pub registry: Part,
    pub clickhouse: Part,
    directory: TempDir,
}

impl Services {
    /// Starts each service on a free port.
    pub async fn start() -> Self {
        let start = || {
            let directory = TempDir::new().expect("a directory");
            let part = |name: &'static str| Part::start(name, &directory.path().join(name), &[]);
            Self {
                broker: part("broker"),
                registry: part("registry"),
                clickhouse: part("clickhouse"),
                directory,
            }
        };
        tokio::task::spawn_blocking(start).await.expect("the services")
    }

    /// Returns the options of a server that uses these services, and `more`.
    pub fn options(&self, more: &[&str]) -> Vec<String> {
        let urls = [self.broker.address.to_string(), self.registry.url(), self.clickhouse.url()];
        let names = ["--kafka-brokers", "--schema-registry-url", "--clickhouse-url"];
        let given = names.iter().zip(&urls).flat_map(|(name, url)| [(*name).to_owned(), url.clone()]);
        given.chain(more.iter().map(|&option| option.to_owned())).collect()
    }

    /// Starts a server that uses these services, in its own directory, and waits until it answers.
    pub async fn server(&self, more: &[&str]) -> Server {
        let options = self.options(more);
        Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Returns the data directory of a part.
    pub fn data_dir(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }
}
