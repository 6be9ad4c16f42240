//! Which headers a file has after its first one, as the ledger of uploads keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lines of repeated headers that are kept.
pub const MAX_LINES: usize = 20;

/// The headers of a file after its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaterHeaders {
    /// How many times the columns were named again in the same order; these lines are skipped.
    pub repeated: u64,
    /// The first 20 of these lines.
    pub repeated_lines: Vec<u64>,
    /// Headers that name the columns in another order, or other columns, by their line: the rows after such a line are read by it.
    pub changes: BTreeMap<u64, String>,
}

impl LaterHeaders {
    pub fn is_empty(&self) -> bool {
        self.repeated == 0 && self.changes.is_empty()
    }

    /// The header by which a line was read; `first`: that of the file.
    pub fn header_of<'a>(&'a self, line: u64, first: &'a str) -> &'a str {
        self.changes.range(..line).next_back().map_or(first, |(_, header)| header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_the_last_header_before_it() {
        let changes = BTreeMap::from([(10, "b".to_owned()), (20, "c".to_owned())]);
        let later = LaterHeaders { changes, ..LaterHeaders::default() };
        for (line, header) in [(2, "a"), (9, "a"), (11, "b"), (19, "b"), (21, "c"), (500, "c")] {
            assert_eq!(later.header_of(line, "a"), header, "{line}");
        }
    }
}
