//! The ready file. It exists while the server answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roundhouse_part::durable::remove_if_exists;

use super::CommandError;
use super::services::Addresses;

/// A ready file that was written. It is removed when this is dropped, unless another server has replaced it.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
    text: String,
}

impl ReadyFile {
    /// Removes a file that a killed server has left.
    pub fn remove_old(path: &Path) -> Result<(), CommandError> {
        remove_if_exists(path).map_err(|error| {
            CommandError::failed(format!("cannot remove the old --ready-file {}: {error}", path.display()))
        })
    }

    /// Writes the addresses in one step, so that nobody reads half of the file.
    pub fn write(path: PathBuf, addresses: &Addresses) -> Result<Self, CommandError> {
        let json: BTreeMap<&str, String> = BTreeMap::from([
            ("api", addresses.api.clone()),
            ("kafka_brokers", addresses.kafka_brokers.clone()),
            ("schema_registry_url", addresses.schema_registry_url.to_string()),
            ("clickhouse_url", addresses.clickhouse_url.to_string()),
        ]);
        let partial = path.with_extension("partial");
        let text = serde_json::to_string_pretty(&json).unwrap_or_default();
        match std::fs::write(&partial, &text).and_then(|()| std::fs::rename(&partial, &path)) {
            Ok(()) => Ok(Self { path, text }),
            Err(error) => {
                let path = path.display();
                Err(CommandError::failed(format!("cannot write --ready-file {path}: {error}")))
            }
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the ready file");
        }
    }
}
