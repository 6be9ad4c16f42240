//! The keys of all stored rows, read from ClickHouse: see [`super::key_set`].

use std::collections::BTreeMap;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use clickhouse::query::Query;
use roaring::RoaringTreemap;

use super::LoaderError;
use super::content::Stored;
use super::key_set::{Key, KeySet};
use crate::dataset::types::value_type;
use crate::domain::columns::Column;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::{value_length, write_text};

const ALL: &str = include_str!("../../queries/engine/loader/all_keys.sql");
const KNOWN: &str = include_str!("../../queries/engine/loader/known_keys.sql");
const STORED: &str = include_str!("../../queries/engine/loader/stored_keys.sql");
const GIVEN_IDS: &str = include_str!("../../queries/engine/loader/given_ids.sql");
const GIVEN_KEYS: &str = include_str!("../../queries/engine/loader/given_keys.sql");

/// The two encodings of a `groupBitmap` state: a list of ids, and a bitmap.
const SMALL_SET: u8 = 0;
const LARGE_SET: u8 = 1;

/// Bytes of keys that a query contains, before base64. One key more may be in it. The bitmap of a batch's ids needs less, whatever they
/// are.
const GIVEN_BYTES: usize = 6 << 20;

/// Bytes of a query besides the keys.
const QUERY_BYTES: usize = 64 << 10;

/// Returns the keys of all stored rows.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn all(warehouse: &Warehouse, stored: &Stored) -> Result<KeySet, LoaderError> {
    let mut keys = KeySet::default();
    fetch(warehouse.query(&stored.dataset.sql(ALL)), stored, &mut keys).await?;
    Ok(keys)
}

/// Returns the keys that count as known for the next chunks: all of other epochs, and those of this epoch whose offset is lower than
/// the one in `next` for their partition.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn before(
    warehouse: &Warehouse,
    stored: &Stored,
    epoch: u32,
    next: &BTreeMap<u16, i64>,
) -> Result<KeySet, LoaderError> {
    let partitions = next.keys().last().map_or(0, |last| u32::from(*last) + 1);
    let offset = |partition| u16::try_from(partition).ok().and_then(|partition| next.get(&partition));
    let offsets: Vec<i64> =
        (0..partitions).map(|partition| offset(partition).copied().unwrap_or(0)).collect();
    let query = warehouse.query(&stored.dataset.sql(KNOWN)).param("epoch", epoch).param("next", offsets);
    let mut keys = KeySet::default();
    fetch(query, stored, &mut keys).await?;
    Ok(keys)
}

/// Returns those of the given keys that are stored.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn stored(
    warehouse: &Warehouse,
    stored: &Stored,
    given: &[GivenKeys],
) -> Result<KeySet, LoaderError> {
    let mut keys = KeySet::default();
    for given in given {
        fetch(given.query(warehouse, stored, STORED), stored, &mut keys).await?;
    }
    Ok(keys)
}

/// Keys that a query contains.
#[derive(Debug)]
pub(super) struct GivenKeys {
    /// In base64.
    encoded: String,
}

impl GivenKeys {
    /// Divides keys among queries. Each key is its prefix in RowBinary, and its last column.
    ///
    /// # Errors
    /// A bitmap cannot be serialized.
    pub(super) fn of<'a>(
        stored: &Stored,
        keys: impl Iterator<Item = (&'a [u8], u64)>,
    ) -> Result<Vec<Self>, LoaderError> {
        if stored.prefix().next().is_none() {
            let ids = keys.map(|(_, id)| id).collect();
            return Ok(vec![Self { encoded: STANDARD.encode(state(&ids)?) }]);
        }
        let mut all = Vec::new();
        let mut rows = Vec::new();
        for (prefix, id) in keys {
            rows.extend_from_slice(prefix);
            rows.extend(id.to_le_bytes());
            if rows.len() >= GIVEN_BYTES {
                all.push(Self { encoded: STANDARD.encode(&rows) });
                rows.clear();
            }
        }
        if !rows.is_empty() {
            all.push(Self { encoded: STANDARD.encode(&rows) });
        }
        Ok(all)
    }

    /// Returns a query that contains them. `sql`: has a placeholder for them.
    pub(super) fn query(&self, warehouse: &Warehouse, stored: &Stored, sql: &str) -> Query {
        let has_prefix = stored.prefix().next().is_some();
        let sql =
            stored.dataset.sql(sql).replace("/* given */", if has_prefix { GIVEN_KEYS } else { GIVEN_IDS });
        let sql = sql.replace("/* keys */", &self.encoded);
        let query =
            warehouse.query(&sql).with_setting("max_query_size", (sql.len() + QUERY_BYTES).to_string());
        if has_prefix { query.param("structure", structure(stored)) } else { query }
    }
}

/// Returns names and types of the columns of the key.
fn structure(stored: &Stored) -> String {
    let prefix = stored.prefix().map(|column| format!("`{}` {}", column.name, value_type(column.kind)));
    prefix.chain(["`last column` UInt64".to_owned()]).collect::<Vec<_>>().join(", ")
}

/// Returns ids as a state of ClickHouse's `groupBitmap`.
fn state(ids: &RoaringTreemap) -> Result<Vec<u8>, LoaderError> {
    let mut bitmap = Vec::with_capacity(ids.serialized_size());
    ids.serialize_into(&mut bitmap).map_err(LoaderError::KnownKeys)?;
    let mut state = vec![LARGE_SET];
    write_text(&bitmap, &mut state);
    Ok(state)
}

/// Adds the keys of an answer, row by row.
async fn fetch(query: Query, stored: &Stored, keys: &mut KeySet) -> Result<(), LoaderError> {
    let prefix: Vec<&Column> = stored.prefix().collect();
    for_each_row(query, |bytes| {
        let Some(row) = KeyRow::at_start_of(&prefix, bytes) else { return Ok(None) };
        row.add_to(keys).map_err(LoaderError::KnownKeys)?;
        Ok(Some(row.prefix.len() + row.state.len()))
    })
    .await
}

/// Reads an answer in RowBinary. `take` gets bytes that begin with a row, and returns the length of that row, or none if it is not there
/// completely.
///
/// # Errors
/// ClickHouse does not answer, its answer ends within a row, or `take` fails.
pub(super) async fn for_each_row(
    query: Query,
    mut take: impl FnMut(&[u8]) -> Result<Option<usize>, LoaderError>,
) -> Result<(), LoaderError> {
    let mut answer = query.fetch_bytes("RowBinary").map_err(WarehouseError::from)?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.next().await.map_err(WarehouseError::from)? {
        bytes.extend_from_slice(&piece);
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty())
            && let Some(length) = take(rest)?
        {
            taken += length;
        }
        bytes.drain(..taken);
    }
    if bytes.is_empty() { Ok(()) } else { Err(LoaderError::BrokenRow) }
}

/// Returns the length of some columns at the start of `bytes`.
pub(super) fn columns_length(columns: &[&Column], bytes: &[u8]) -> Option<usize> {
    columns.iter().try_fold(0, |length, column| Some(length + value_length(column, bytes.get(length..)?)?))
}

/// A prefix, and the state of `groupBitmap` over its ids. It is one byte for the encoding, then either the number of ids and the ids, or
/// the number of bytes and a 64-bit roaring bitmap in the portable format.
///
/// Source: `RoaringBitmapWithSmallSet::write` in ClickHouse's AggregateFunctionGroupBitmapData.h;
/// <https://github.com/RoaringBitmap/RoaringFormatSpec#extension-for-64-bit-implementations>.
#[derive(Debug, PartialEq, Eq)]
struct KeyRow<'a> {
    prefix: &'a [u8],
    state: &'a [u8],
}

impl<'a> KeyRow<'a> {
    /// Returns none if the row is not there completely.
    fn at_start_of(prefix: &[&Column], bytes: &'a [u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_at_checked(columns_length(prefix, bytes)?)?;
        let (kind, mut values) = rest.split_first()?;
        let number = read_length(&mut values)?;
        let width = if *kind == SMALL_SET { size_of::<u64>() } else { 1 };
        let end = (rest.len() - values.len()).checked_add(number.checked_mul(width)?)?;
        Some(Self { prefix, state: rest.get(..end)? })
    }

    fn add_to(&self, keys: &mut KeySet) -> io::Result<()> {
        let mut digest = [0; 32];
        let mut state = self.state;
        let mut kind = [0];
        state.read_exact(&mut kind)?;
        read_length(&mut state);
        if kind != [SMALL_SET] {
            let key = Key::new(self.prefix, 0, &mut digest);
            keys.insert_all(key, RoaringTreemap::deserialize_from(state)?);
            return Ok(());
        }
        while !state.is_empty() {
            let id = state.try_get_u64_le().map_err(io::Error::other)?;
            keys.insert(Key::new(self.prefix, id, &mut digest));
        }
        Ok(())
    }
}

/// Reads a LEB128 number.
fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for shift in (0..63).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(length).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::columns::{Column, Kind};

    fn read(prefix: &[&Column], mut bytes: &[u8]) -> KeySet {
        let mut keys = KeySet::default();
        while let Some(row) = KeyRow::at_start_of(prefix, bytes) {
            for cut in 0..row.prefix.len() + row.state.len() {
                assert_eq!(KeyRow::at_start_of(prefix, &bytes[..cut]), None);
            }
            row.add_to(&mut keys).unwrap();
            bytes = &bytes[row.prefix.len() + row.state.len()..];
        }
        assert!(bytes.is_empty());
        keys
    }

    fn has(keys: &KeySet, prefix: &[u8], id: u64) -> bool {
        keys.contains(Key::new(prefix, id, &mut [0; 32]))
    }

    #[test]
    fn a_small_state_is_read_as_a_list_of_ids() {
        let mut state = vec![0, 2];
        state.extend(7_u64.to_le_bytes());
        state.extend(u64::MAX.to_le_bytes());
        let keys = read(&[], &state);
        assert!(has(&keys, &[], 7) && has(&keys, &[], u64::MAX) && !has(&keys, &[], 8));
    }

    #[test]
    fn a_large_state_is_read_as_a_bitmap() {
        let ids: RoaringTreemap = (0..100).chain([1 << 40]).collect();
        let keys = read(&[], &state(&ids).unwrap());
        assert!(ids.iter().all(|id| has(&keys, &[], id)) && !has(&keys, &[], 100));
    }

    #[test]
    fn states_follow_the_columns_before_the_last_one() {
        let text = Column::new("symbol", Kind::Text { min_length: 0, max_length: 9 });
        let day = Column::new("day", Kind::Date);
        let mut answer = b"\x02ab\x01\0\0\0".to_vec();
        answer.extend(state(&(0..50).collect()).unwrap());
        answer.extend(b"\0\x02\0\0\0\0\x01\x07\0\0\0\0\0\0\0");
        let keys = read(&[&text, &day], &answer);
        assert!(has(&keys, b"\x02ab\x01\0\0\0", 49) && has(&keys, b"\0\x02\0\0\0", 7));
        assert!(!has(&keys, b"\x02ab\x01\0\0\0", 50) && !has(&keys, b"\0\x01\0\0\0", 7));
    }
}
