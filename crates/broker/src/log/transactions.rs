//! Transactions of a partition, as readers see them.
//!
//! A producer's first transactional batch opens its transaction, a control batch ends it. Readers with [`Isolation::ReadCommitted`] read
//! up to the first record of the oldest open transaction: the last stable offset. They also get a list of the aborted transactions in
//! the range that they read, and skip the records of those.
//!
//! The list is kept in a file per full segment, with the transactions whose end is in that segment. It can always be rebuilt from the
//! segment and from what is known about producers at its start.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::checked_text;
use roundhouse_part::durable::replace_file;

/// Which records a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All that are on disk.
    ReadUncommitted,
    /// Only those before the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// Returns the isolation level with this number in the protocol.
    pub fn of(number: i8) -> Self {
        if number == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// How far a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The offset after the last record that is on disk: the high watermark. Negative once the partition is deleted.
    pub end: i64,
    /// The last stable offset: that of the first record of an open transaction, or `end`.
    pub stable: i64,
}

impl Ends {
    /// Returns how far a reader can read.
    pub fn of(self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end.max(0),
            Isolation::ReadCommitted => self.stable.max(0),
        }
    }
}

/// An open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub first_offset: i64,
}

/// A transaction that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub transaction: Aborted,
    pub is_aborted: bool,
}

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The offset of the control batch that ended it.
    pub last_offset: i64,
    /// The last stable offset after its end. Transactions that end later begin here or later.
    pub stable: i64,
}

/// Transactions whose end is appended but not yet on disk. For readers they are still open, because a crash can undo the end.
#[derive(Debug, Default)]
pub(super) struct Ending(VecDeque<Aborted>);

impl Ending {
    /// Adds a transaction. They are added in the order of their ends.
    pub fn add(&mut self, ended: Aborted) {
        self.0.push_back(ended);
    }

    /// Removes those whose end is before `safe`, and returns the first offset of the rest.
    pub fn first_after(&mut self, safe: i64) -> Option<i64> {
        while self.0.front().is_some_and(|ended| ended.last_offset < safe) {
            self.0.pop_front();
        }
        self.0.iter().map(|ended| ended.first_offset).min()
    }
}

/// Adds the aborted transactions of a segment's list that have records from `from` to before `to`. Returns whether later ones may have
/// such records too.
pub(super) fn overlapping(list: &[Aborted], from: i64, to: i64, found: &mut Vec<Aborted>) -> bool {
    for aborted in list {
        if aborted.last_offset >= from && aborted.first_offset < to {
            found.push(*aborted);
        }
        if aborted.stable >= to {
            return false;
        }
    }
    true
}

/// Writes a segment's list to a file and syncs it.
pub(super) fn save(list: &[Aborted], path: &Path) -> io::Result<()> {
    let mut text = String::new();
    for Aborted { producer_id, first_offset, last_offset, stable } in list {
        let _ = writeln!(text, "{producer_id} {first_offset} {last_offset} {stable}");
    }
    replace_file(path, checked_text::seal(&text).as_bytes())
}

/// Reads what [`save`] wrote. None if the file does not exist.
pub(super) fn load(path: &Path) -> io::Result<Option<Vec<Aborted>>> {
    let Some(text) = checked_text::load(path)? else { return Ok(None) };
    let list: Option<Vec<_>> = text.lines().map(parse_line).collect();
    list.map(Some).ok_or_else(|| checked_text::damaged(path))
}

fn parse_line(line: &str) -> Option<Aborted> {
    let mut words = line.split(' ').map(|word| word.parse().ok());
    let mut next = || words.next().flatten();
    Some(Aborted { producer_id: next()?, first_offset: next()?, last_offset: next()?, stable: next()? })
}

#[cfg(test)]
mod tests;
