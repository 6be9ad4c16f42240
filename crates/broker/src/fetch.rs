//! Fetch requests: returns batches as they are in the files, and waits a while if there are none.

use std::time::Duration;

use crate::error_code::ErrorCode;
use bytes::Bytes;
use futures_util::future::select_all;
use tokio::time::Instant;

use crate::broker::Call;
use crate::log::{Aborted, Fetched, Isolation, Log, Partition, ReadError};
use crate::wire::{Malformed, Reader};

/// The longest time that a fetch waits, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The most bytes that one answer has, unless a single batch is larger. More would cost memory without making a client faster.
const MAX_BYTES: usize = 8 << 20;

struct Request {
    wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    isolation: Isolation,
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
    error: Option<ErrorCode>,
    start: i64,
    end: i64,
    stable_end: i64,
    records: Bytes,
    /// For clients that read committed records only: the producers and first offsets of aborted transactions, whose records they skip.
    aborted: Vec<Aborted>,
}

impl Found {
    fn refused(number: i32, error: ErrorCode) -> Self {
        Self {
            number,
            error: Some(error),
            start: -1,
            end: -1,
            stable_end: -1,
            records: Bytes::new(),
            aborted: Vec::new(),
        }
    }
}

/// Reads what was requested, as soon as there is enough of it or the time is up.
pub(crate) fn fetch(
    log: &Log,
    call: Call,
    reader: Reader,
) -> Result<impl Future<Output = Bytes> + Send + '_, Malformed> {
    let request = parse(call.version, reader)?;
    Ok(async move { wait(log, &call, &request).await })
}

async fn wait(log: &Log, call: &Call, request: &Request) -> Bytes {
    if request.in_session {
        return answer(call, Some(ErrorCode::FetchSessionIdNotFound), &[]);
    }
    let deadline = Instant::now() + request.wait;
    let partitions: Vec<_> = request
        .topics
        .iter()
        .flat_map(|(topic, wanted)| wanted.iter().filter_map(|wanted| log.partition(topic, wanted.number)))
        .collect();
    loop {
        let mut ends: Vec<_> = partitions.iter().map(|partition| partition.watch_end()).collect();
        let found = tokio::task::block_in_place(|| read(log, request));
        let all = || found.iter().flat_map(|(_, found)| found);
        let bytes: usize = all().map(|found| found.records.len()).sum();
        let refused = all().any(|found| found.error.is_some());
        if bytes >= request.min_bytes || refused || Instant::now() >= deadline {
            return answer(call, None, &found);
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
    let isolation = Isolation::of(reader.i8()?);
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
        min_bytes: min_bytes.min(max_bytes).min(MAX_BYTES),
        max_bytes: max_bytes.min(MAX_BYTES),
        isolation,
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
                Some(partition) => read_partition(&partition, *wanted, request.isolation, left),
                None => Found::refused(wanted.number, ErrorCode::UnknownTopicOrPartition),
            };
            left = left.saturating_sub(one.records.len());
            of_topic.push(one);
        }
        found.push((name.clone(), of_topic));
    }
    found
}

fn read_partition(partition: &Partition, wanted: Wanted, isolation: Isolation, left: usize) -> Found {
    let (start, end, stable_end) =
        (partition.start_offset(), partition.end_offset(), partition.last_stable_offset());
    let found = |error, records, aborted| Found {
        number: wanted.number,
        error,
        start,
        end,
        stable_end,
        records,
        aborted,
    };
    let refused = |error| found(Some(error), Bytes::new(), Vec::new());
    if !(start..=end).contains(&wanted.offset) {
        return refused(ErrorCode::OffsetOutOfRange);
    }
    if left == 0 || wanted.offset >= partition.visible_end(isolation) {
        return found(None, Bytes::new(), Vec::new());
    }
    match partition.fetch(wanted.offset, wanted.max_bytes.min(left), isolation) {
        Ok(Fetched { records, aborted }) => found(None, records, aborted),
        // Kafka answers the same. A client can continue at the offset of the next whole batch.
        Err(ReadError::Damaged) => refused(ErrorCode::CorruptMessage),
        Err(ReadError::Deleted) if partition.is_deleted() => refused(ErrorCode::UnknownTopicOrPartition),
        Err(ReadError::Deleted) => refused(ErrorCode::OffsetOutOfRange),
        Err(ReadError::Io(error)) => {
            tracing::error!(%error, "cannot read the log");
            refused(ErrorCode::KafkaStorageError)
        }
    }
}

fn answer(call: &Call, error: Option<ErrorCode>, topics: &[(String, Vec<Found>)]) -> Bytes {
    let bytes: usize = topics.iter().flat_map(|(_, found)| found).map(|found| found.records.len() + 64).sum();
    let mut answer = call.answer(bytes + 256);
    answer.i32(0);
    if call.version >= 7 {
        answer.i16(error.map_or(0, ErrorCode::number)).i32(0);
    }
    answer.array(topics.len());
    for (name, found) in topics {
        answer.string(name).array(found.len());
        for found in found {
            answer
                .i32(found.number)
                .i16(found.error.map_or(0, ErrorCode::number))
                .i64(found.end)
                .i64(found.stable_end);
            if call.version >= 5 {
                answer.i64(found.start);
            }
            answer.structs(&found.aborted, |answer, aborted| {
                answer.i64(aborted.producer_id).i64(aborted.first_offset);
            });
            if call.version >= 11 {
                answer.i32(-1);
            }
            answer.bytes(&found.records);
        }
    }
    answer.finish()
}
