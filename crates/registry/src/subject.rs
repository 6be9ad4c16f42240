//! Names of subjects and versions, as they appear in paths.

use std::fmt;
use std::ops::Deref;

use super::{MAX_SUBJECT_BYTES, RegistryError};

/// How names of subjects in contexts begin: `:.context:subject`, and `:*:` for all contexts.
const CONTEXTS: [&str; 2] = [":.", ":*:"];

/// The name of a subject: any text without control characters and without a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject(String);

impl Subject {
    /// Checks a name.
    pub(super) fn parse(name: &str) -> Result<Self, RegistryError> {
        if name.is_empty() || name.len() > MAX_SUBJECT_BYTES || name.chars().any(char::is_control) {
            return Err(RegistryError::InvalidSubject);
        }
        if CONTEXTS.iter().any(|context| name.starts_with(context)) {
            return Err(RegistryError::ContextSubject);
        }
        Ok(Self(name.to_owned()))
    }
}

impl Deref for Subject {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version's number, or the latest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VersionSelector {
    Latest,
    Number(u32),
}

impl VersionSelector {
    /// Parses `latest`, its synonym `-1`, or a number.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        match text {
            "latest" | "-1" => Ok(Self::Latest),
            number => match number.parse::<i32>().map(u32::try_from) {
                Ok(Ok(number @ 1..)) => Ok(Self::Number(number)),
                _ => Err(RegistryError::InvalidVersion(text.chars().take(40).collect())),
            },
        }
    }
}

impl fmt::Display for VersionSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => number.fmt(f),
        }
    }
}
