//! What a topic is configured with, in a file in its directory.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::MAX_BATCH_BYTES;
use super::replace_file;

const FILE_NAME: &str = "settings.json";

/// The settings of a topic that its creator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct TopicSettings {
    /// Bytes of a batch as it was sent: `max.message.bytes`.
    pub max_message_bytes: usize,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { max_message_bytes: MAX_BATCH_BYTES }
    }
}

impl TopicSettings {
    /// Reads the settings of the topic in `directory`, if they were stored.
    pub fn load(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let settings = serde_json::from_slice(&text).unwrap_or_else(|error| {
            // Larger batches than wanted harm nobody; a broker that does not start harms every topic.
            tracing::error!(
                file = %path.display(), %error, "the settings of a topic are damaged; using the default ones"
            );
            Self::default()
        });
        Ok(Some(settings))
    }

    /// Stores them, on the disk on return.
    pub fn store(self, directory: &Path) -> io::Result<()> {
        replace_file(&directory.join(FILE_NAME), &serde_json::to_vec(&self)?)
    }
}
