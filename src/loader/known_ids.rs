//! The ids of all stored rounds, as roaring bitmaps: a few hundred bytes for a million consecutive ids.

use std::collections::BTreeMap;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use roaring::RoaringTreemap;

use super::LoaderError;
use crate::dataset::Dataset;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::write_text;

/// The two encodings of a `groupBitmap` state: a list of ids, and a bitmap.
const SMALL_SET: u8 = 0;
const LARGE_SET: u8 = 1;

/// Returns the ids of all stored rounds.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn all(warehouse: &Warehouse, dataset: &Dataset) -> Result<RoaringTreemap, LoaderError> {
    fetch(warehouse.query(&dataset.sql(include_str!("../../queries/engine/loader/all_ids.sql")))).await
}

/// Returns the ids that count as known for the next chunks: all of other epochs, and those of this epoch whose offset is lower than
/// the one in `next` for their partition.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn before(
    warehouse: &Warehouse,
    dataset: &Dataset,
    epoch: u32,
    next: &BTreeMap<u16, i64>,
) -> Result<RoaringTreemap, LoaderError> {
    let partitions = next.keys().last().map_or(0, |last| u32::from(*last) + 1);
    let offset = |partition| u16::try_from(partition).ok().and_then(|partition| next.get(&partition));
    let offsets: Vec<i64> =
        (0..partitions).map(|partition| offset(partition).copied().unwrap_or(0)).collect();
    let query = warehouse
        .query(&dataset.sql(include_str!("../../queries/engine/loader/known_ids.sql")))
        .param("epoch", epoch)
        .param("next", offsets);
    fetch(query).await
}

/// Returns those of the given ids that are stored. `max_query_bytes`: the limit for the query, which contains the ids.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn stored(
    warehouse: &Warehouse,
    dataset: &Dataset,
    ids: &RoaringTreemap,
    max_query_bytes: u32,
) -> Result<RoaringTreemap, LoaderError> {
    let sql = dataset.sql(include_str!("../../queries/engine/loader/stored_ids.sql"));
    let sql = sql.replace("/* ids */", &state(ids)?);
    fetch(warehouse.query(&sql).with_setting("max_query_size", max_query_bytes.to_string())).await
}

/// Returns ids as a state of ClickHouse's `groupBitmap`, in base64.
///
/// # Errors
/// The bitmap cannot be serialized.
pub fn state(ids: &RoaringTreemap) -> Result<String, LoaderError> {
    let mut bitmap = Vec::with_capacity(ids.serialized_size());
    ids.serialize_into(&mut bitmap).map_err(LoaderError::KnownIds)?;
    let mut state = vec![LARGE_SET];
    write_text(&bitmap, &mut state);
    Ok(STANDARD.encode(state))
}

async fn fetch(query: clickhouse::query::Query) -> Result<RoaringTreemap, LoaderError> {
    let mut cursor = query.fetch_bytes("RowBinary").map_err(WarehouseError::from)?;
    let state = cursor.collect().await.map_err(WarehouseError::from)?;
    parse_state(&state).map_err(LoaderError::KnownIds)
}

/// Reads a state of ClickHouse's `groupBitmap` over UInt64. It is one byte for the encoding, then either the number of ids and the ids,
/// or the number of bytes and a 64-bit roaring bitmap in the portable format.
///
/// Source: `RoaringBitmapWithSmallSet::write` in ClickHouse's AggregateFunctionGroupBitmapData.h;
/// <https://github.com/RoaringBitmap/RoaringFormatSpec#extension-for-64-bit-implementations>.
fn parse_state(mut state: &[u8]) -> io::Result<RoaringTreemap> {
    let mut kind = [0];
    state.read_exact(&mut kind)?;
    let length = read_length(&mut state)?;
    if kind == [SMALL_SET] {
        return (0..length).map(|_| state.try_get_u64_le().map_err(io::Error::other)).collect();
    }
    RoaringTreemap::deserialize_from(state)
}

/// Reads a LEB128 number.
fn read_length(state: &mut &[u8]) -> io::Result<u64> {
    let mut length = 0;
    for shift in (0..63).step_by(7) {
        let byte = state.try_get_u8().map_err(io::Error::other)?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(length);
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_state_is_read_as_a_list_of_ids() {
        let mut state = vec![0, 2];
        state.extend(7_u64.to_le_bytes());
        state.extend(u64::MAX.to_le_bytes());
        assert_eq!(parse_state(&state).unwrap().iter().collect::<Vec<_>>(), [7, u64::MAX]);
        assert!(parse_state(&state[..9]).is_err());
    }

    #[test]
    fn a_large_state_is_read_as_a_bitmap() {
        let ids: RoaringTreemap = (0..100_000).chain([1 << 40]).collect();
        let mut bitmap = Vec::new();
        ids.serialize_into(&mut bitmap).unwrap();
        let mut state = vec![1];
        crate::warehouse::row_binary::write_text(&bitmap, &mut state);
        assert_eq!(parse_state(&state).unwrap(), ids);
    }
}
