//! The headers that a file has after its first one, as stored in the upload ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many line numbers of repeated headers are stored.
pub const MAX_LINES: usize = 20;

/// The headers of a file after its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaterHeaders {
    /// How often the same header was repeated. These lines are skipped.
    pub repeated: u64,
    /// The line numbers of the first 20 repetitions.
    pub repeated_lines: Vec<u64>,
    /// Headers with other columns, or another order, by line number. Each applies to the rows after it.
    pub changes: BTreeMap<u64, String>,
}

impl LaterHeaders {
    pub fn is_empty(&self) -> bool {
        self.repeated == 0 && self.changes.is_empty()
    }

    /// Returns the header that applies to a line. `first`: the file's first header.
    pub fn header_of<'a>(&'a self, line: u64, first: &'a str) -> &'a str {
        self.changes.range(..line).next_back().map_or(first, |(_, header)| header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_header_before_a_line_applies_to_it() {
        let changes = BTreeMap::from([(10, "b".to_owned()), (20, "c".to_owned())]);
        let later = LaterHeaders { changes, ..LaterHeaders::default() };
        for (line, header) in [(2, "a"), (9, "a"), (11, "b"), (19, "b"), (21, "c"), (500, "c")] {
            assert_eq!(later.header_of(line, "a"), header, "{line}");
        }
    }
}
