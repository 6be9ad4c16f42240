//! Rows by their keys, within a limit of memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::layout::RowBytes;

/// What a row costs besides its own bytes: its place in the map, which is between 7/16 and 7/8 full, and two allocations.
const ROW_OVERHEAD: usize = 112;

/// Rows by their keys. Of two rows of a key, it keeps the later one, in whatever order they come.
///
/// A key that would exceed the limit is not kept, and from then on no further one is: a row that was left out must not be taken for the
/// last one when an earlier row of its key arrives. The rows that are there stay, and are replaced by later ones.
#[derive(Debug)]
pub(super) struct Store {
    state: RwLock<State>,
    /// Bytes at the start of a record that compare like the rows.
    position_bytes: usize,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    rows: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    is_full: bool,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub bytes: usize,
    /// Whether keys were left out.
    pub is_full: bool,
}

/// Rows that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    bytes: Vec<u8>,
    rows: Vec<(Range<usize>, Range<usize>)>,
}

impl Found {
    /// Returns the key and the record of each.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let slice = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.rows.iter().map(move |(key, record)| (slice(key), slice(record)))
    }

    fn push(&mut self, key: &[u8], record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.rows.push((start..middle, middle..self.bytes.len()));
    }
}

impl Store {
    /// `limit`: most bytes of memory.
    pub(super) fn new(position_bytes: usize, limit: usize) -> Self {
        Self { state: RwLock::default(), position_bytes, limit }
    }

    /// Keeps a row unless a later one of its key is there.
    pub(super) fn put(&self, row: &RowBytes) {
        let mut state = self.write();
        state.put(row, self.position_bytes, self.limit);
    }

    /// Returns the rows of these keys. None if a key is not there, and may have been left out.
    pub(super) fn read<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Option<Found> {
        let state = self.lock();
        let mut found = Found::default();
        for key in keys {
            match state.rows.get(key) {
                Some(record) => found.push(key, record),
                None if state.is_full => return None,
                None => {}
            }
        }
        Some(found)
    }

    pub(super) fn size(&self) -> Size {
        let state = self.lock();
        Size { rows: state.rows.len(), bytes: state.bytes, is_full: state.is_full }
    }

    pub(super) fn clear(&self) {
        let old = std::mem::take(&mut *self.write());
        // Readers do not wait while its memory is freed.
        drop(old);
    }

    fn lock(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, row: &RowBytes, position_bytes: usize, limit: usize) {
        let new = row.record.as_slice();
        let Some(kept) = self.rows.get_mut(row.key.as_slice()) else {
            let bytes = row.key.len() + new.len() + ROW_OVERHEAD;
            self.is_full |= self.bytes + bytes > limit;
            if !self.is_full {
                self.bytes += bytes;
                self.rows.insert(row.key.as_slice().into(), new.into());
            }
            return;
        };
        if kept.get(..position_bytes) >= new.get(..position_bytes) {
            return;
        }
        if kept.len() == new.len() {
            kept.copy_from_slice(new);
            return;
        }
        let bytes = self.bytes - kept.len() + new.len();
        if bytes <= limit {
            self.bytes = bytes;
            *kept = new.into();
        } else {
            self.bytes -= row.key.len() + kept.len() + ROW_OVERHEAD;
            self.is_full = true;
            self.rows.remove(row.key.as_slice());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A row with a position of one byte.
    fn row(key: u8, position: u8, length: usize) -> RowBytes {
        let mut record = vec![position];
        record.resize(1 + length, position);
        RowBytes { key: vec![key], record }
    }

    proptest! {
        #[test]
        fn the_later_row_stays_whatever_the_order_and_however_often_it_comes(
            rows in prop::collection::vec((0_u8..8, any::<u8>()), 0..200)
        ) {
            let (one, other) = (Store::new(1, 1 << 20), Store::new(1, 1 << 20));
            let row = |(key, position): &(u8, u8)| row(*key, *position, usize::from(*position) % 5);
            rows.iter().for_each(|seed| one.put(&row(seed)));
            rows.iter().rev().chain(&rows).for_each(|seed| other.put(&row(seed)));
            let mut model = BTreeMap::new();
            for (key, position) in &rows {
                let last = model.entry(*key).or_insert(*position);
                *last = (*last).max(*position);
            }
            let keys: Vec<[u8; 1]> = (0..8).map(|key| [key]).collect();
            let read = |store: &Store| store.read(keys.iter().map(|key| &key[..])).unwrap();
            prop_assert_eq!(read(&one), read(&other));
            prop_assert_eq!(one.size(), other.size());
            let found: BTreeMap<u8, u8> = read(&one).rows().map(|(key, record)| (key[0], record[0])).collect();
            prop_assert_eq!(found, model);
        }

        #[test]
        fn the_limit_holds_and_what_is_answered_is_right_even_if_keys_were_left_out(
            rows in prop::collection::vec((0_u8..20, any::<u8>()), 0..200)
        ) {
            let limit = 10 * (ROW_OVERHEAD + 8);
            let store = Store::new(1, limit);
            let mut model = BTreeMap::new();
            for (key, position) in &rows {
                store.put(&row(*key, *position, usize::from(*position)));
                let last = model.entry(*key).or_insert(*position);
                *last = (*last).max(*position);
                prop_assert!(store.size().bytes <= limit);
            }
            for key in 0..20 {
                let found = store.read(std::iter::once(&[key][..]));
                let found = found.map(|found| found.rows().map(|(_, record)| record[0]).next());
                prop_assert!(found.is_none_or(|found| found == model.get(&key).copied()), "{key}: {found:?}");
            }
            store.clear();
            prop_assert_eq!(store.size(), Size { rows: 0, bytes: 0, is_full: false });
        }
    }
}
