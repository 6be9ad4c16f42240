//! The settings of a topic, in a file in its directory.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::MAX_BATCH_BYTES;
use crate::durable::{read_if_exists, replace_file};

const FILE_NAME: &str = "settings.json";

/// The settings that the creator of a topic may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct TopicSettings {
    /// Maximum bytes of a batch as it is sent: `max.message.bytes`.
    pub max_message_bytes: usize,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { max_message_bytes: MAX_BATCH_BYTES }
    }
}

impl TopicSettings {
    /// Reads the settings of the topic in `directory`, if there are any.
    pub fn load(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let Some(text) = read_if_exists(&path)? else { return Ok(None) };
        let settings = serde_json::from_slice(&text).unwrap_or_else(|error| {
            // Accepting larger batches than intended is harmless. A broker that does not start affects every topic.
            tracing::error!(
                file = %path.display(), %error, "the settings of a topic are damaged; using the default settings"
            );
            Self::default()
        });
        Ok(Some(settings))
    }

    /// Stores the settings. They are on disk on return.
    pub fn store(self, directory: &Path) -> io::Result<()> {
        replace_file(&directory.join(FILE_NAME), &serde_json::to_vec(&self)?)
    }
}
