//! The topics that the members of a consumer group consume, read from their metadata.

use std::collections::HashSet;

/// The topics that a group consumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    Topics(HashSet<String>),
    /// The group has not selected a protocol yet, or its metadata cannot be read. To be safe, it counts as consuming every topic.
    Unknown,
}

impl Subscription {
    pub fn contains(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Unknown => true,
        }
    }
}

/// Reads the topics from the metadata of the protocol `consumer`. All its versions begin as version 0 does.
///
/// Returns `None` if the metadata is malformed.
pub(super) fn topics(metadata: &[u8]) -> Option<HashSet<String>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = i32::from_be_bytes(*count);
    let mut topics = HashSet::new();
    for _ in 0..u32::try_from(count).ok()? {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (topic, after) = after.split_at_checked(length)?;
        topics.insert(str::from_utf8(topic).ok()?.to_owned());
        rest = after;
    }
    Some(topics)
}
