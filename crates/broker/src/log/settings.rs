//! The settings of a topic, in a file in its directory. Names, meanings and defaults are Kafka's, except that a topic keeps all its records
//! unless a setting says otherwise.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::RwLock;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::MAX_BATCH_BYTES;
use roundhouse_part::durable::{read_if_exists, replace_file};

const FILE_NAME: &str = "settings.json";

/// The smallest value of `segment.bytes`, as in Kafka 4. Smaller files would be too many.
const MIN_SEGMENT_BYTES: u64 = 1 << 20;

/// The largest value of `segment.bytes`, as in Kafka.
const MAX_SEGMENT_BYTES: u64 = i32::MAX as u64;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The settings that have one value only, because another one would have no effect.
const FIXED: [(&str, &str); 2] = [("compression.type", "producer"), ("message.timestamp.type", "CreateTime")];

/// What a topic's creator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TopicSettings {
    /// `max.message.bytes`: maximum bytes of a batch as it is sent.
    pub max_message_bytes: usize,
    /// `cleanup.policy`: how old records are removed.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`: how old records become before they are deleted; -1: they are kept.
    pub retention_ms: i64,
    /// `retention.bytes`: how large a partition becomes before its oldest records are deleted; -1: any size.
    pub retention_bytes: i64,
    /// `segment.bytes`: how large a file becomes. A start reads at most this much per partition.
    pub segment_bytes: u64,
    /// `segment.ms`: after how long a new file begins, by the timestamps of batches.
    pub segment_ms: i64,
    /// `delete.retention.ms`: how long a record without a value stays after compaction.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: how long a record is not compacted.
    pub min_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`: how much of the log must be uncompacted before it is compacted.
    pub min_cleanable_dirty_ratio: f64,
}

/// How old records are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanupPolicy {
    /// Whole files are deleted when they are too old or the partition is too large.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SettingError {
    #[error("{name} must be {allowed}")]
    Value { name: &'static str, allowed: String },
    #[error("{name} is always {value} in the embedded broker")]
    Fixed { name: &'static str, value: &'static str },
    #[error("the embedded broker does not support the setting {0}")]
    Unknown(String),
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: MAX_BATCH_BYTES,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            retention_ms: -1,
            retention_bytes: -1,
            segment_bytes: 128 << 20,
            segment_ms: 7 * DAY_MS,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            min_cleanable_dirty_ratio: 0.5,
        }
    }
}

impl TopicSettings {
    /// Changes a setting. `value`: none for the default.
    ///
    /// # Errors
    /// The setting does not exist, or the value is not allowed.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), SettingError> {
        let default = Self::default().describe();
        let known = default.iter().find(|(known, ..)| *known == name);
        let Some((name, default, _)) = known else { return Err(SettingError::Unknown(name.to_owned())) };
        let value = value.unwrap_or(default).trim();
        match *name {
            "max.message.bytes" => self.max_message_bytes = number(name, value, 1, MAX_BATCH_BYTES)?,
            "cleanup.policy" => self.cleanup_policy = CleanupPolicy::parse(name, value)?,
            "retention.ms" => self.retention_ms = number(name, value, -1, i64::MAX)?,
            "retention.bytes" => self.retention_bytes = number(name, value, -1, i64::MAX)?,
            "segment.bytes" => {
                self.segment_bytes = number(name, value, MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)?;
            }
            "segment.ms" => self.segment_ms = number(name, value, 1, i64::MAX)?,
            "delete.retention.ms" => self.delete_retention_ms = number(name, value, 0, i64::MAX)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = number(name, value, 0, i64::MAX)?,
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = number(name, value, 0.0, 1.0)?,
            _ => check_fixed(name, value)?,
        }
        Ok(())
    }

    /// Returns the name and the value of every setting, and whether the value is the default.
    pub fn describe(&self) -> Vec<(&'static str, String, bool)> {
        let default = Self::default();
        let of = |settings: &Self| {
            [
                ("max.message.bytes", settings.max_message_bytes.to_string()),
                ("cleanup.policy", settings.cleanup_policy.to_text().to_owned()),
                ("retention.ms", settings.retention_ms.to_string()),
                ("retention.bytes", settings.retention_bytes.to_string()),
                ("segment.bytes", settings.segment_bytes.to_string()),
                ("segment.ms", settings.segment_ms.to_string()),
                ("delete.retention.ms", settings.delete_retention_ms.to_string()),
                ("min.compaction.lag.ms", settings.min_compaction_lag_ms.to_string()),
                ("min.cleanable.dirty.ratio", settings.min_cleanable_dirty_ratio.to_string()),
            ]
        };
        let chosen = of(self).into_iter().zip(of(&default));
        let chosen = chosen.map(|((name, value), (_, default))| {
            let is_default = value == default;
            (name, value, is_default)
        });
        chosen.chain(FIXED.map(|(name, value)| (name, value.to_owned(), true))).collect()
    }

    /// Reads the settings of the topic in `directory`, if there are any. Those that an earlier version did not know have their defaults.
    pub fn load(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let Some(text) = read_if_exists(&path)? else { return Ok(None) };
        let settings = serde_json::from_slice(&text).unwrap_or_else(|error| {
            // By default all records are kept. A broker that does not start affects every topic.
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

impl CleanupPolicy {
    fn parse(name: &'static str, value: &str) -> Result<Self, SettingError> {
        let mut policy = Self { delete: false, compact: false };
        for word in value.split(',').map(str::trim) {
            match word {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => {
                    let allowed = "delete, compact, or both separated by a comma".to_owned();
                    return Err(SettingError::Value { name, allowed });
                }
            }
        }
        Ok(policy)
    }

    fn to_text(self) -> &'static str {
        match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, _) => "delete",
        }
    }
}

fn number<T: FromStr + PartialOrd + Display>(
    name: &'static str,
    value: &str,
    least: T,
    most: T,
) -> Result<T, SettingError> {
    let parsed = value.parse().ok().filter(|number| (&least..=&most).contains(&number));
    parsed.ok_or_else(|| SettingError::Value { name, allowed: format!("a number from {least} to {most}") })
}

fn check_fixed(name: &'static str, value: &str) -> Result<(), SettingError> {
    match FIXED.into_iter().find(|(fixed, _)| *fixed == name) {
        Some((name, fixed)) if fixed != value => Err(SettingError::Fixed { name, value: fixed }),
        _ => Ok(()),
    }
}

/// The settings of a topic that are in force. All its partitions share them.
#[derive(Debug)]
pub(super) struct Settings(RwLock<TopicSettings>);

impl Settings {
    pub fn new(settings: TopicSettings) -> Self {
        Self(RwLock::new(settings))
    }

    pub fn get(&self) -> TopicSettings {
        *roundhouse_part::lock::read(&self.0)
    }

    pub fn set(&self, settings: TopicSettings) {
        *roundhouse_part::lock::write(&self.0) = settings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_name_and_refused_outside_their_limits() {
        let mut settings = TopicSettings::default();
        let accepted = [
            ("cleanup.policy", "compact, delete"),
            ("retention.ms", "60000"),
            ("segment.bytes", "52428800"),
            ("min.cleanable.dirty.ratio", "0.1"),
            ("message.timestamp.type", "CreateTime"),
        ];
        for (name, value) in accepted {
            settings.set(name, Some(value)).unwrap_or_else(|error| panic!("{error}"));
        }
        let described = settings.describe();
        let value = |name| {
            described
                .iter()
                .find(|(known, ..)| *known == name)
                .map(|(_, value, is_default)| (value.as_str(), *is_default))
        };
        assert_eq!(value("cleanup.policy"), Some(("compact,delete", false)));
        assert_eq!(value("min.cleanable.dirty.ratio"), Some(("0.1", false)));
        assert_eq!(value("retention.bytes"), Some(("-1", true)));
        let refused = [
            ("cleanup.policy", "remove"),
            ("retention.ms", "-2"),
            ("segment.bytes", "14"),
            ("max.message.bytes", "0"),
            ("min.cleanable.dirty.ratio", "NaN"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "1"),
        ];
        for (name, value) in refused {
            settings.set(name, Some(value)).expect_err(name);
        }
        settings.set("retention.ms", None).expect("the default");
        assert_eq!(settings.retention_ms, -1);
    }

    #[test]
    fn stored_settings_are_loaded_and_those_of_an_earlier_version_have_the_new_defaults() {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::write(directory.path().join(FILE_NAME), r#"{"max_message_bytes":1000}"#).expect("write");
        let mut settings = TopicSettings::load(directory.path()).expect("loaded").expect("settings");
        assert_eq!(settings, TopicSettings { max_message_bytes: 1_000, ..TopicSettings::default() });
        settings.set("retention.bytes", Some("5000000")).expect("set");
        settings.store(directory.path()).expect("stored");
        assert_eq!(TopicSettings::load(directory.path()).expect("loaded"), Some(settings));
    }
}
