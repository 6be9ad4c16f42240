//! Finds out what producers had sent before a segment.
//!
//! A file next to each segment says it. If that file is missing or damaged, an older one and the records after it say the same.

use std::path::Path;
use std::sync::Arc;

use super::producers::Producers;
use super::segment::{Segment, producers_path};

/// Returns what producers had sent before the segment that starts at `base`.
///
/// `earlier`: the segments before it.
pub(super) fn producers_before(directory: &Path, earlier: &[Arc<Segment>], base: i64) -> Producers {
    let mut after = Vec::new();
    for segment in earlier.iter().rev() {
        if let Some(producers) = load(directory, segment.end().offset, true) {
            return replay(producers, &after);
        }
        after.push(segment);
    }
    let first = earlier.first().map_or(base, |first| first.base_offset);
    replay(load(directory, first, false).unwrap_or_default(), &after)
}

/// Remembers what producers sent in these segments, which are in reverse order.
fn replay(mut producers: Producers, segments: &[&Arc<Segment>]) -> Producers {
    for segment in segments.iter().rev() {
        if let Err(error) = segment.replay(&mut producers) {
            tracing::error!(file = %segment.path.display(), %error, "cannot read what producers sent");
            producers.after_loss();
        }
    }
    producers
}

/// Reads what producers had sent before the segment that starts at `base`. None if that is unknown.
///
/// `is_expected`: the file must exist.
fn load(directory: &Path, base: i64, is_expected: bool) -> Option<Producers> {
    let path = producers_path(directory, base);
    let reason = match Producers::load(&path) {
        Ok(None) if !is_expected => return None,
        Ok(None) => "the file does not exist".to_owned(),
        Ok(producers) => return producers,
        Err(error) => error.to_string(),
    };
    tracing::error!(
        file = %path.display(),
        reason,
        "cannot read what producers had sent before a segment; reading the records before it instead"
    );
    None
}
