//! A column whose values repeat: the different values, and for each row the number of its value. ClickHouse calls this LowCardinality.

use std::hash::BuildHasher;

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::pieces::Pieces;
use crate::warehouse::row_binary::write_text;

/// The keys follow the rows' numbers, they belong to this block only, and are followed by their number. Source:
/// `SerializationLowCardinality.cpp` of ClickHouse.
const VERSION: u64 = 1;
const HAS_KEYS: u64 = 0x600;

/// After so many rows it is decided whether the values repeat.
const SAMPLE_ROWS: usize = 4096;

/// How many of them may have different values.
const MAX_DISTINCT: usize = SAMPLE_ROWS / 4;

/// The different values of a column, and the rows' numbers.
#[derive(Clone, Debug)]
pub(super) struct Distinct {
    /// For each row the number of its value.
    numbers: Pieces,
    /// Bytes of a number: 1, 2 or 4.
    width: usize,
    rows: usize,
    /// The different values, one after the other. The first one stands for missing values, and its number is 0.
    keys: Vec<u8>,
    /// Where each of them ends in `keys`.
    ends: Vec<usize>,
    /// The numbers of all keys but the first.
    found: HashTable<u32>,
    hasher: DefaultHashBuilder,
    last: u32,
    has_missing: bool,
}

impl Distinct {
    /// `missing`: the encoded value that stands for a missing one.
    pub(super) fn new(missing: &[u8]) -> Self {
        Self {
            numbers: Pieces::default(),
            width: 1,
            rows: 0,
            keys: missing.to_vec(),
            ends: vec![missing.len()],
            found: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            last: 0,
            has_missing: false,
        }
    }

    /// Adds a row with an encoded value. Returns whether the values repeat too seldom, so that [`Distinct::into_plain`] is better. Once it
    /// has decided, it does not change its mind: the values of many rows would need memory all at once.
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) -> bool {
        let number =
            if self.last > 0 && self.key(self.last) == value { self.last } else { self.number(value) };
        self.last = number;
        self.push_number(number);
        self.rows == SAMPLE_ROWS && self.ends.len() > MAX_DISTINCT
    }

    pub(super) fn push_missing(&mut self) {
        self.has_missing = true;
        self.push_number(0);
    }

    pub(super) fn bytes(&self) -> usize {
        self.numbers.bytes() + self.keys.len()
    }

    /// Returns the encoded values, and for each whether it is missing; nothing if none is.
    pub(super) fn into_plain(self) -> (Pieces, Pieces) {
        let (mut values, mut nulls) = (Pieces::default(), Pieces::default());
        for number in self.numbers.values(self.width) {
            let number = number.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            values.end().extend_from_slice(self.key(number));
            if self.has_missing {
                nulls.end().push(u8::from(number == 0));
            }
        }
        (values, nulls)
    }

    /// Returns the column from its type on. `kind`: the type of its values.
    pub(super) fn into_pieces(self, kind: &str, mut head: Vec<u8>) -> impl Iterator<Item = Bytes> {
        let kind = if self.has_missing { format!("Nullable({kind})") } else { kind.to_owned() };
        write_text(format!("LowCardinality({kind})").as_bytes(), &mut head);
        let keys = self.ends.len() as u64;
        for number in [VERSION, HAS_KEYS | u64::from(self.width.trailing_zeros()), keys] {
            head.extend(number.to_le_bytes());
        }
        head.extend(self.keys);
        head.extend((self.rows as u64).to_le_bytes());
        std::iter::once(Bytes::from(head)).chain(self.numbers.into_all())
    }

    fn key(&self, number: u32) -> &[u8] {
        key(&self.keys, &self.ends, number)
    }

    /// Returns the number of a value, which gets one if it is new.
    fn number(&mut self, value: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(value);
        if let Some(number) = self.found.find(hash, |number| key(&self.keys, &self.ends, *number) == value) {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.keys.extend_from_slice(value);
        self.ends.push(self.keys.len());
        let Self { keys, ends, hasher, .. } = self;
        self.found.insert_unique(hash, number, |number| hasher.hash_one(key(keys, ends, *number)));
        number
    }

    #[inline]
    fn push_number(&mut self, number: u32) {
        self.rows += 1;
        while self.width < 4 && number >> (8 * self.width) > 0 {
            self.widen();
        }
        let end = self.numbers.end();
        match self.width {
            1 => end.push(number as u8),
            2 => end.extend_from_slice(&(number as u16).to_le_bytes()),
            _ => end.extend_from_slice(&number.to_le_bytes()),
        }
    }

    #[cold]
    fn widen(&mut self) {
        let narrow = std::mem::take(&mut self.numbers);
        for number in narrow.values(self.width) {
            let end = self.numbers.end();
            end.extend_from_slice(number);
            end.resize(end.len() + self.width, 0);
        }
        self.width *= 2;
    }
}

fn key<'a>(keys: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|end| keys.get(start..*end)).unwrap_or_default()
}
