//! Fetch requests: returns batches as they are in the files, and waits a while if there are none.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use nisshi_sans_io::ErrorCode;
use tokio::time::Instant;

use super::api::Call;
use super::log::{Log, Partition, ReadError};
use super::wire::{Malformed, Reader, Writer};

/// The longest time that a fetch waits, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The most bytes that one answer has, unless a single batch is larger. More would cost memory without making a client faster.
const MAX_BYTES: usize = 8 << 20;

struct Request {
    wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    in_session: bool,
    topics: Vec<(String, Vec<Wanted>)>,
}

#[derive(Clone, Copy)]
struct Wanted {
    number: i32,
    offset: i64,
    max_bytes: usize,
}

struct Found {
    number: i32,
    error: ErrorCode,
    start: i64,
    end: i64,
    records: Bytes,
}

impl Found {
    fn refused(number: i32, error: ErrorCode) -> Self {
        Self { number, error, start: -1, end: -1, records: Bytes::new() }
    }
}

/// Reads what was requested, as soon as there is enough of it or the time is up.
pub(super) async fn fetch(log: &Log, call: &Call, body: Bytes) -> Result<Bytes, Malformed> {
    let request = parse(call.version, Reader(body))?;
    if request.in_session {
        return Ok(answer(call, ErrorCode::FetchSessionIdNotFound, &[]));
    }
    let deadline = Instant::now() + request.wait;
    let partitions: Vec<_> = request
        .topics
        .iter()
        .flat_map(|(topic, wanted)| wanted.iter().filter_map(|wanted| log.partition(topic, wanted.number)))
        .collect();
    loop {
        let mut ends: Vec<_> = partitions.iter().map(|partition| partition.watch_end()).collect();
        let found = tokio::task::block_in_place(|| read(log, &request));
        let all = || found.iter().flat_map(|(_, found)| found);
        let bytes: usize = all().map(|found| found.records.len()).sum();
        let refused = all().any(|found| found.error != ErrorCode::None);
        if bytes >= request.min_bytes || refused || Instant::now() >= deadline {
            return Ok(answer(call, ErrorCode::None, &found));
        }
        if ends.is_empty() {
            tokio::time::sleep_until(deadline).await;
        } else {
            let more = select_all(ends.iter_mut().map(|end| Box::pin(end.changed())));
            let _ = tokio::time::timeout_at(deadline, more).await;
        }
    }
}

fn parse(version: i16, mut reader: Reader) -> Result<Request, Malformed> {
    let _replica = reader.i32()?;
    let wait = Duration::from_millis(u64::try_from(reader.i32()?).unwrap_or_default());
    let min_bytes = usize::try_from(reader.i32()?).unwrap_or_default();
    let max_bytes = usize::try_from(reader.i32()?).unwrap_or_default();
    let _isolation = reader.i8()?;
    let in_session = version >= 7 && {
        let (id, epoch) = (reader.i32()?, reader.i32()?);
        id != 0 || epoch > 0
    };
    let topics = reader.array(|topic| {
        let name = topic.text()?;
        let partitions = topic.array(|partition| {
            let number = partition.i32()?;
            if version >= 9 {
                let _leader_epoch = partition.i32()?;
            }
            let offset = partition.i64()?;
            if version >= 5 {
                let _follower_start = partition.i64()?;
            }
            let max_bytes = usize::try_from(partition.i32()?).unwrap_or_default();
            Ok(Wanted { number, offset, max_bytes })
        })?;
        Ok((name, partitions))
    })?;
    // The rest (partitions to forget in a session, the client's rack) is not needed.
    Ok(Request {
        wait: wait.min(MAX_WAIT),
        min_bytes,
        max_bytes: max_bytes.min(MAX_BYTES),
        in_session,
        topics,
    })
}

fn read(log: &Log, request: &Request) -> Vec<(String, Vec<Found>)> {
    let mut left = request.max_bytes.max(1);
    let mut found = Vec::with_capacity(request.topics.len());
    for (name, wanted) in &request.topics {
        let mut of_topic = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let one = match log.partition(name, wanted.number) {
                Some(partition) => read_partition(&partition, *wanted, left),
                None => Found::refused(wanted.number, ErrorCode::UnknownTopicOrPartition),
            };
            left = left.saturating_sub(one.records.len());
            of_topic.push(one);
        }
        found.push((name.clone(), of_topic));
    }
    found
}

fn read_partition(partition: &Partition, wanted: Wanted, left: usize) -> Found {
    let (start, end) = (partition.start_offset(), partition.end_offset());
    if !(start..=end).contains(&wanted.offset) {
        return Found { start, end, ..Found::refused(wanted.number, ErrorCode::OffsetOutOfRange) };
    }
    let records = if left == 0 || wanted.offset == end {
        Ok(Bytes::new())
    } else {
        partition.read(wanted.offset, wanted.max_bytes.min(left))
    };
    match records {
        Ok(records) => Found { number: wanted.number, error: ErrorCode::None, start, end, records },
        // Kafka answers the same. A client can continue at the offset of the next whole batch.
        Err(ReadError::Damaged) => {
            Found { start, end, ..Found::refused(wanted.number, ErrorCode::CorruptMessage) }
        }
        Err(ReadError::Io(error)) => {
            tracing::error!(%error, "cannot read the log");
            Found { start, end, ..Found::refused(wanted.number, ErrorCode::KafkaStorageError) }
        }
    }
}

fn answer(call: &Call, error: ErrorCode, topics: &[(String, Vec<Found>)]) -> Bytes {
    let bytes: usize = topics.iter().flat_map(|(_, found)| found).map(|found| found.records.len() + 64).sum();
    let mut answer = Writer::answer(call.correlation_id, bytes + 256);
    answer.i32(0);
    if call.version >= 7 {
        answer.i16(error.into()).i32(0);
    }
    answer.array(topics.len());
    for (name, found) in topics {
        answer.string(name).array(found.len());
        for found in found {
            answer.i32(found.number).i16(found.error.into()).i64(found.end).i64(found.end);
            if call.version >= 5 {
                answer.i64(found.start);
            }
            answer.array(0);
            if call.version >= 11 {
                answer.i32(-1);
            }
            answer.bytes(&found.records);
        }
    }
    answer.finish()
}
