//! The last offset of each key, for a limited number of keys.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;

use super::records::Records;

/// The last offsets by the hash of the key. The hash has 128 bits and a random seed, so that no two keys have the same, whatever clients
/// send.
#[derive(Debug)]
pub(super) struct Keys {
    last: HashMap<u128, i64>,
    seeds: [RandomState; 2],
    capacity: usize,
    is_full: bool,
}

impl Keys {
    pub fn new(capacity: usize) -> Self {
        let seeds = [RandomState::new(), RandomState::new()];
        Self { last: HashMap::new(), seeds, capacity, is_full: false }
    }

    /// Adds the keys of a batch. Returns false, and adds none, if there is no room for them. The first batch always has room.
    pub fn add(&mut self, base_offset: i64, records: &Records) -> io::Result<bool> {
        let mut added = Vec::new();
        for record in records.iter() {
            let record = record?;
            if let Some(key) = record.key {
                added.push((self.hash(key), base_offset + i64::from(record.offset_delta)));
            }
        }
        let new = added.iter().filter(|(hash, _)| !self.last.contains_key(hash)).count();
        if !self.last.is_empty() && self.last.len() + new > self.capacity {
            self.is_full = true;
            return Ok(false);
        }
        self.last.extend(added);
        Ok(true)
    }

    /// Whether a batch has never been refused.
    pub fn has_room(&self) -> bool {
        !self.is_full
    }

    /// Whether there is a later record with this key.
    pub fn has_later(&self, key: &[u8], offset: i64) -> bool {
        self.last.get(&self.hash(key)).is_some_and(|last| *last > offset)
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = &self.seeds;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }
}
