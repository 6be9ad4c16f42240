//! The compatibility levels of Confluent's registry.

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

/// Which earlier schemas a new one must be compatible with, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Level {
    None,
    #[default]
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    /// Parses a level's name in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Self::deserialize(name.as_str().into_deserializer()).map_err(|_: serde::de::value::Error| ()).ok()
    }

    /// Returns the level's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether the new schema must be able to read data of earlier schemas.
    pub(super) fn reads_old(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether earlier schemas must be able to read data of the new one.
    pub(super) fn is_read_by_old(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether all earlier schemas count, instead of the latest one only.
    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}
