//! How far a partition was compacted, in a file in its directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::log::checked_text;
use roundhouse_part::durable::replace_file;

const FILE_NAME: &str = "compacted";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The offset up to which keys have been collected.
    pub clean_until: i64,
    /// When each segment was compacted for the first time, by its base offset. In milliseconds since 1970.
    first_passes: BTreeMap<i64, i64>,
}

impl Progress {
    /// Reads the file. If it does not exist or is damaged, nothing has been compacted: then everything is compacted again.
    pub fn load(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE_NAME);
        let text = match checked_text::load(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "compacting the partition from its start again");
                String::new()
            }
            Err(error) => return Err(error),
        };
        Ok(parse(&text).unwrap_or_default())
    }

    /// Writes the file and syncs it.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let mut text = format!("{}\n", self.clean_until);
        for (base, first) in &self.first_passes {
            let _ = writeln!(text, "{base} {first}");
        }
        replace_file(&directory.join(FILE_NAME), checked_text::seal(&text).as_bytes())
    }

    /// Notes that a segment was compacted.
    pub fn note(&mut self, base_offset: i64, now: i64) {
        self.first_passes.entry(base_offset).or_insert(now);
    }

    /// Returns when a segment was compacted for the first time.
    pub fn first_pass(&self, base_offset: i64) -> Option<i64> {
        self.first_passes.get(&base_offset).copied()
    }

    /// Forgets the segments that are not among these.
    pub fn forget_deleted(&mut self, bases: &[i64]) {
        self.first_passes.retain(|base, _| bases.binary_search(base).is_ok());
    }
}

fn parse(text: &str) -> Option<Progress> {
    let mut lines = text.lines();
    let clean_until = lines.next()?.parse().ok()?;
    let first_passes = lines.map(|line| {
        let (base, first) = line.split_once(' ')?;
        Some((base.parse().ok()?, first.parse().ok()?))
    });
    Some(Progress { clean_until, first_passes: first_passes.collect::<Option<_>>()? })
}
