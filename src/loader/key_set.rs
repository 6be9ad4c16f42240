//! A set of keys: for each value of the columns before the last one, the values of the last one.
//!
//! Keys of one column are a roaring bitmap, a few hundred bytes for a million consecutive ids. Keys of several columns are found by their
//! prefix, the values of the columns before the last one in RowBinary. A prefix takes at most [`MAX_PREFIX`] bytes: of a longer one the set
//! has the digest, so that long texts need no memory. Its ids are kept in a bitmap as soon as there are many; a single one needs no
//! allocation of its own.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};

/// Longest prefix that is kept as it is. A digest has more bytes, so no prefix equals one.
const MAX_PREFIX: usize = 31;

/// More ids of a prefix are kept as a bitmap.
const MAX_FEW: usize = 32;

/// Room for the digest of a prefix.
pub type PrefixDigest = [u8; 32];

/// A key as sets have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Empty if the key has one column.
    prefix: &'a [u8],
    id: u64,
}

impl<'a> Key<'a> {
    /// `prefix`: the values of the columns before the last one in RowBinary. `digest`: where its digest is written if it is long.
    #[inline]
    pub fn new(prefix: &'a [u8], id: u64, digest: &'a mut PrefixDigest) -> Self {
        if prefix.len() <= MAX_PREFIX {
            return Self { prefix, id };
        }
        // The digest resists collisions: whoever chooses the texts cannot make two keys equal.
        *digest = Sha256::digest(prefix).into();
        Self { prefix: digest, id }
    }
}

/// A set of keys.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// Those of one column.
    ids: RoaringTreemap,
    /// Those of several.
    entries: HashTable<Entry>,
    /// The prefixes of the entries, each after its length in a byte.
    prefixes: Vec<u8>,
    /// Its seed is random: whoever chooses the prefixes cannot make them collide.
    hasher: RandomState,
}

/// A prefix and its ids.
#[derive(Clone, Debug)]
struct Entry {
    /// Where the prefix begins in `prefixes`.
    at: usize,
    ids: Ids,
}

impl KeySet {
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.entries.is_empty()
    }

    #[inline]
    pub fn contains(&self, key: Key<'_>) -> bool {
        if key.prefix.is_empty() {
            return self.ids.contains(key.id);
        }
        let hash = self.hasher.hash_one(key.prefix);
        let found = self.entries.find(hash, |entry| prefix_at(&self.prefixes, entry.at) == key.prefix);
        found.is_some_and(|entry| entry.ids.contains(key.id))
    }

    /// Adds a key. Returns whether it is new.
    #[inline]
    pub fn insert(&mut self, key: Key<'_>) -> bool {
        match key.prefix {
            [] => self.ids.insert(key.id),
            prefix => self.ids_of(prefix).insert(key.id),
        }
    }

    /// Adds keys with the prefix of this one, of which there are many.
    pub fn insert_all(&mut self, key: Key<'_>, ids: RoaringTreemap) {
        match key.prefix {
            [] => self.ids |= ids,
            prefix => self.ids_of(prefix).insert_all(ids),
        }
    }

    /// Adds the keys of another set.
    pub fn merge(&mut self, other: &Self) {
        self.ids |= &other.ids;
        for Entry { at, ids } in &other.entries {
            self.ids_of(prefix_at(&other.prefixes, *at)).merge(ids);
        }
    }

    /// Returns the ids of a prefix, none if it is new.
    fn ids_of(&mut self, prefix: &[u8]) -> &mut Ids {
        let Self { entries, prefixes, hasher, .. } = self;
        let place = entries.entry(
            hasher.hash_one(prefix),
            |entry| prefix_at(prefixes, entry.at) == prefix,
            |entry| hasher.hash_one(prefix_at(prefixes, entry.at)),
        );
        match place {
            Place::Occupied(found) => &mut found.into_mut().ids,
            Place::Vacant(place) => {
                let at = prefixes.len();
                write_prefix(prefix, prefixes);
                &mut place.insert(Entry { at, ids: Ids::None }).into_mut().ids
            }
        }
    }
}

/// Keys that are added one after the other and seldom asked for: adding costs little.
#[derive(Debug, Default)]
pub(super) struct LazyKeySet {
    found: KeySet,
    /// The ids of keys that are not in `found` yet, and their prefixes, each after its length in a byte. No prefixes if keys have one column.
    ids: Vec<u64>,
    prefixes: Vec<u8>,
}

impl LazyKeySet {
    pub(super) fn insert(&mut self, key: Key<'_>) {
        self.ids.push(key.id);
        if !key.prefix.is_empty() {
            write_prefix(key.prefix, &mut self.prefixes);
        }
    }

    pub(super) fn contains(&mut self, key: Key<'_>) -> bool {
        if self.prefixes.is_empty() {
            self.found.ids.extend(self.ids.drain(..));
        }
        let mut at = 0;
        for id in self.ids.drain(..) {
            let prefix = prefix_at(&self.prefixes, at);
            self.found.insert(Key { prefix, id });
            at += 1 + prefix.len();
        }
        self.prefixes.clear();
        self.found.contains(key)
    }
}

/// Appends a prefix after its length. It has at most 32 bytes.
#[inline]
fn write_prefix(prefix: &[u8], out: &mut Vec<u8>) {
    out.push(prefix.len() as u8);
    out.extend_from_slice(prefix);
}

#[inline]
fn prefix_at(prefixes: &[u8], at: usize) -> &[u8] {
    let Some((length, rest)) = prefixes.get(at..).and_then(<[u8]>::split_first) else { return &[] };
    rest.get(..usize::from(*length)).unwrap_or_default()
}

/// The ids of a prefix, in few bytes.
#[derive(Clone, Debug)]
enum Ids {
    None,
    One(u64),
    /// Sorted.
    #[expect(clippy::box_collection, reason = "an entry of one id shall be small")]
    Few(Box<Vec<u64>>),
    Many(Box<RoaringTreemap>),
}

impl Ids {
    fn contains(&self, id: u64) -> bool {
        match self {
            Self::None => false,
            Self::One(found) => *found == id,
            Self::Few(ids) => ids.binary_search(&id).is_ok(),
            Self::Many(ids) => ids.contains(id),
        }
    }

    fn insert(&mut self, id: u64) -> bool {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(found) if *found == id => return false,
            Self::One(found) => *self = Self::Few(Box::new(vec![id.min(*found), id.max(*found)])),
            Self::Few(ids) => match ids.binary_search(&id) {
                Ok(_) => return false,
                Err(place) if ids.len() < MAX_FEW => ids.insert(place, id),
                Err(_) => self.insert_all([id].into_iter().collect()),
            },
            Self::Many(ids) => return ids.insert(id),
        }
        true
    }

    /// Adds ids, and keeps all as a bitmap.
    fn insert_all(&mut self, ids: RoaringTreemap) {
        let mut all = match std::mem::replace(self, Self::None) {
            Self::None => Box::default(),
            Self::One(id) => Box::new([id].into_iter().collect()),
            Self::Few(ids) => Box::new(ids.into_iter().collect()),
            Self::Many(ids) => ids,
        };
        *all |= ids;
        *self = Self::Many(all);
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::None => {}
            Self::One(id) => _ = self.insert(*id),
            Self::Few(ids) => {
                for id in ids.iter() {
                    self.insert(*id);
                }
            }
            Self::Many(ids) => self.insert_all((**ids).clone()),
        }
    }
}

#[cfg(test)]
mod tests;
