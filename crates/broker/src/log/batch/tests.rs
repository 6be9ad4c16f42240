//! Tests with valid and invalid batches.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::log::records::MAX_RECORDS_BYTES;

const LIMIT: usize = 1 << 20;

fn varint(value: i64) -> Vec<u8> {
    let mut left = (value << 1 ^ value >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// Returns a record without a key, preceded by its length.
fn record(offset_delta: i64, timestamp_delta: i64, value: &[u8]) -> Vec<u8> {
    keyed_record(offset_delta, timestamp_delta, None, Some(value))
}

/// Returns a record, preceded by its length.
pub(in crate::log) fn keyed_record(
    offset_delta: i64,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let field = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => [&varint(bytes.len() as i64), bytes].concat(),
        None => varint(-1),
    };
    let header = [varint(2), b"id".to_vec(), varint(-1)].concat();
    let body =
        [vec![0], varint(timestamp_delta), varint(offset_delta), field(key), field(value), varint(1), header];
    let body = body.concat();
    [varint(body.len() as i64), body].concat()
}

fn records(count: i64) -> Vec<u8> {
    (0..count).flat_map(|number| record(number, number * 10, b"value of the record")).collect()
}

/// Returns a batch with these records and a correct checksum. The first record's timestamp is 1970.
fn batch(attributes: i16, count: i32, max_timestamp: i64, records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[16] = MAGIC;
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[MAX_TIMESTAMP].copy_from_slice(&max_timestamp.to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes.extend(records);
    let length = (bytes.len() - LENGTH_PREFIX) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    sealed(bytes)
}

/// Returns a batch of `count` records that all have this value.
pub(in crate::log) fn batch_of(count: i32, value: &[u8]) -> Vec<u8> {
    let records: Vec<u8> = (0..count).flat_map(|number| record(i64::from(number), 0, value)).collect();
    batch(0, count, 0, &records)
}

/// Returns a batch of records with keys and values, compressed with this codec. Their timestamp is 1970.
pub(in crate::log) fn keyed_batch(codec: usize, keyed: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<u8> {
    let (attributes, compress) = COMPRESSORS[codec];
    let record = |(number, (key, value)): (usize, &(Vec<u8>, Option<Vec<u8>>))| {
        keyed_record(number as i64, 0, Some(key), value.as_deref())
    };
    let records: Vec<u8> = keyed.iter().enumerate().flat_map(record).collect();
    batch(attributes, keyed.len() as i32, 0, &compress(&records))
}

/// Returns a batch of one record with this time.
pub(in crate::log) fn batch_at(timestamp: i64, value: &[u8]) -> Vec<u8> {
    batch(0, 1, timestamp, &record(0, timestamp, value))
}

/// Returns the same batch as one of a producer with an id.
pub(in crate::log) fn of_producer(
    bytes: Vec<u8>,
    id: i64,
    epoch: i16,
    sequence: i32,
    transactional: bool,
) -> Vec<u8> {
    let mut bytes = bytes;
    bytes[22] |= if transactional { 0x10 } else { 0 };
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    sealed(bytes)
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes[CHECKSUMMED_FROM..]);
    bytes[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn accept(bytes: &[u8]) -> Result<Batch, ErrorCode> {
    Batch::from_producer(Bytes::copy_from_slice(bytes), LIMIT).map_err(|error| error.code())
}

fn refusal(bytes: &[u8]) -> ErrorCode {
    accept(bytes).map(drop).expect_err("a refusal")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("compress")
}

/// Compresses with Snappy in the framing of Java producers.
fn xerial(bytes: &[u8]) -> Vec<u8> {
    let blocks = bytes.chunks(64).map(|block| {
        let block = snappy(block);
        [&(block.len() as u32).to_be_bytes()[..], &block].concat()
    });
    [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &blocks.collect::<Vec<_>>().concat()].concat()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("compress")
}

/// The attributes of a codec, and its compression function.
type Compressor = (i16, fn(&[u8]) -> Vec<u8>);

const COMPRESSORS: [Compressor; 6] =
    [(0, <[u8]>::to_vec), (1, gzip), (2, snappy), (2, xerial), (3, lz4), (4, zstd)];

#[test]
fn a_batch_is_accepted_with_every_codec() {
    for (codec, compress) in COMPRESSORS {
        let bytes = batch(codec, 100, 990, &compress(&records(100)));
        let accepted = accept(&bytes).unwrap_or_else(|code| panic!("codec {codec}: {code:?}"));
        assert_eq!(accepted.bytes, bytes);
    }
}

#[test]
fn a_wrong_checksum_is_corrupt_and_wrong_contents_are_invalid() {
    let mut damaged = batch(0, 100, 990, &records(100));
    damaged[200] ^= 1;
    assert_eq!(refusal(&damaged), ErrorCode::CorruptMessage);
    let whole = batch(0, 100, 990, &records(100));
    assert_eq!(refusal(&whole[..whole.len() - 1]), ErrorCode::CorruptMessage);
    assert_eq!(refusal(&[&whole[..], &whole].concat()), ErrorCode::CorruptMessage, "two batches");
    for (codec, compress) in COMPRESSORS {
        let refused = |what, records: &[u8]| {
            let code = refusal(&batch(codec, 100, 990, &compress(records)));
            assert_eq!(code, ErrorCode::InvalidRecord, "{what}, codec {codec}");
        };
        refused("one record too few", &records(99));
        refused("one record too many", &records(101));
        refused("bytes after the records", &[records(100), vec![0; 3]].concat());
        refused("a missing end", &records(100)[..1_000]);
        refused("an offset twice", &[records(99), record(98, 0, b"again")].concat());
        refused("a length of 2^31 - 1", &[records(99), varint(i64::from(i32::MAX)), vec![0; 9]].concat());
        refused("a negative length", &[records(99), varint(-5), vec![0; 9]].concat());
        refused("a length without end", &[records(99), vec![0xff; 40]].concat());
        if codec != 0 {
            let code = refusal(&batch(codec, 100, 990, &[0x55; 700]));
            assert_eq!(code, ErrorCode::InvalidRecord, "not compressed, codec {codec}");
            let code = refusal(&batch(codec, 100, 990, &[compress(&records(100)), vec![1; 9]].concat()));
            assert_eq!(code, ErrorCode::InvalidRecord, "bytes after the compressed data, codec {codec}");
        }
    }
}

#[test]
fn a_length_that_exceeds_its_record_is_refused() {
    for (place, name) in [(4, "key"), (5, "value")] {
        let mut bytes = record(0, 0, b"value");
        // One byte more than the record has.
        bytes[place] = varint(bytes.len() as i64)[0];
        assert_eq!(refusal(&batch(0, 1, 0, &bytes)), ErrorCode::InvalidRecord, "{name}");
    }
    let short = record(0, 0, b"value");
    let longer = [&[short[0] + 2][..], &short[1..], &[0]].concat();
    assert_eq!(
        refusal(&batch(0, 1, 0, &longer)),
        ErrorCode::InvalidRecord,
        "a record longer than its fields"
    );
}

#[test]
fn invalid_header_fields_are_refused() {
    let good = |attributes| batch(attributes, 10, 90, &records(10));
    for codec in 5..8 {
        assert_eq!(refusal(&good(codec)), ErrorCode::UnsupportedCompressionType);
    }
    for attributes in [0x08, 0x10, 0x20, 0x40, 0x80] {
        assert_eq!(refusal(&good(attributes)), ErrorCode::InvalidRecord, "attributes {attributes:#x}");
    }
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = good(0);
        bytes[at..at + to.len()].copy_from_slice(to);
        refusal(&sealed(bytes))
    };
    assert_eq!(changed(16, &[1]), ErrorCode::UnsupportedForMessageFormat);
    assert_eq!(changed(57, &0_i32.to_be_bytes()), ErrorCode::InvalidRecord, "no records");
    assert_eq!(changed(57, &i32::MAX.to_be_bytes()), ErrorCode::InvalidRecord, "more records than offsets");
    assert_eq!(changed(43, &7_i64.to_be_bytes()), ErrorCode::InvalidRecord, "a producer without an epoch");
    assert_eq!(changed(27, &i64::MAX.to_be_bytes()), ErrorCode::InvalidTimestamp);
    assert_eq!(refusal(&batch(0, 1, 0, &record(0, 0, &[0; LIMIT]))), ErrorCode::MessageTooLarge);
}

#[test]
fn a_decompression_bomb_is_refused_before_it_uses_memory() {
    let huge = record(0, 0, &vec![0; MAX_RECORDS_BYTES]);
    let many: Vec<u8> = (0..40).flat_map(|number| record(number, 0, &[0; 1 << 20])).collect();
    for (codec, compress) in COMPRESSORS.into_iter().skip(1) {
        for (count, records) in [(1, &huge), (40, &many)] {
            let bytes = batch(codec, count, 0, &compress(records));
            let refused = Batch::from_producer(bytes.into(), usize::MAX).expect_err("a refusal").code();
            let allowed = [ErrorCode::MessageTooLarge, ErrorCode::InvalidRecord];
            assert!(allowed.contains(&refused), "codec {codec}: {refused:?}");
        }
    }
}

#[test]
fn the_newest_timestamp_is_corrected() {
    for (codec, compress) in COMPRESSORS {
        let accepted = accept(&batch(codec, 10, 5, &compress(&records(10)))).expect("accepted");
        assert_eq!(accepted.header.max_timestamp, 90);
        let stored = Header::parse(&accepted.bytes).expect("a header");
        assert_eq!(stored, accepted.header);
        assert!(stored.matches(&accepted.bytes));
    }
}

proptest! {
    #[test]
    fn the_check_does_not_panic_on_any_bytes(
        codec in 0_usize..COMPRESSORS.len(),
        place in 0_usize..2_000,
        byte in any::<u8>(),
        count in 1_i32..200,
    ) {
        let (attributes, compress) = COMPRESSORS[codec];
        let mut records = records(100);
        let place_in_records = place % records.len();
        records[place_in_records] = byte;
        let _ = accept(&batch(attributes, count, 0, &compress(&records)));
        let mut bytes = batch(attributes, 100, 0, &compress(&records));
        let place = CHECKSUMMED_FROM + place % (bytes.len() - CHECKSUMMED_FROM);
        bytes[place] = byte;
        let _ = accept(&sealed(bytes));
    }
}

#[test]
fn a_transactional_batch_needs_a_producer_and_a_control_batch_is_refused() {
    let whole = batch_of(1, b"value");
    accept(&of_producer(whole.clone(), 7, 0, 0, true)).expect("accepted");
    assert_eq!(refusal(&of_producer(whole.clone(), -1, -1, -1, true)), ErrorCode::InvalidRecord);
    let mut control = of_producer(whole, 7, 0, 0, true);
    control[22] |= 0x20;
    assert_eq!(refusal(&sealed(control)), ErrorCode::InvalidRecord);
}

/// The bytes that Kafka 3.9 writes for the same marker, without the checksum.
#[test]
fn the_batch_that_ends_a_transaction_has_kafkas_format() {
    for (outcome, kind) in [(Outcome::Abort, 0), (Outcome::Commit, 1)] {
        let marker = Marker {
            producer_id: 0x0102,
            producer_epoch: 3,
            outcome,
            coordinator_epoch: 5,
            timestamp: 1_000,
        };
        let batch = Batch::marker(marker).expect("a batch");
        assert!(batch.header.matches(&batch.bytes));
        assert_eq!(batch.outcome(), Some(outcome));
        assert_eq!(batch.bytes.len(), 78);
        let mut read = Vec::new();
        batch.header.records(&batch.bytes, |record| read.push(record.timestamp)).expect("one record");
        assert_eq!(read, [1_000]);
        let expected = [
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 66, 0, 0, 0, 0, 2][..],
            &batch.bytes[17..21],
            &[0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 3, 0xe8],
            &[0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1],
            &[32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 5, 0],
        ];
        assert_eq!(batch.bytes, expected.concat());
    }
}
