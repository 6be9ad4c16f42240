//! Dispatches requests: which ones are supported, in which versions, and what answers them.

use bytes::Bytes;
use roundhouse_part::lock::lock;

use crate::broker::{API_VERSIONS, Answer, Broker, Call, Ends, Refusal};
use crate::error_code::ErrorCode;
use crate::wire::{Reader, Writer};
use crate::{
    admin, cluster, configs, fetch, groups, list_offsets, offsets, produce, topics, transaction_requests,
};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const LEAVE_GROUP: i16 = 13;
const SYNC_GROUP: i16 = 14;
const DESCRIBE_GROUPS: i16 = 15;
const LIST_GROUPS: i16 = 16;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const DELETE_RECORDS: i16 = 21;
const INIT_PRODUCER_ID: i16 = 22;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const ADD_OFFSETS_TO_TXN: i16 = 25;
const END_TXN: i16 = 26;
const TXN_OFFSET_COMMIT: i16 = 28;
const DESCRIBE_ACLS: i16 = 29;
const DESCRIBE_CONFIGS: i16 = 32;
const ALTER_CONFIGS: i16 = 33;
const DESCRIBE_LOG_DIRS: i16 = 35;
const CREATE_PARTITIONS: i16 = 37;
const DELETE_GROUPS: i16 = 42;
const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
const OFFSET_DELETE: i16 = 47;
const DESCRIBE_CLUSTER: i16 = 60;

/// A version that no request has.
const NEVER: i16 = i16::MAX;

/// A kind of request: its key, the first and the last supported version, and the first one with tagged fields.
struct Api(i16, i16, i16, i16);

/// The supported requests. Versions with tagged fields are supported only where clients need them.
const APIS: [Api; 31] = [
    // Earlier versions are refused. They are named because librdkafka before 2.11 takes their absence for a broker without compression.
    Api(PRODUCE, 0, 8, NEVER),
    Api(FETCH, 4, 11, NEVER),
    // Administrators look for the newest record with version 7.
    Api(LIST_OFFSETS, 1, 7, 6),
    Api(METADATA, 0, 8, NEVER),
    Api(OFFSET_COMMIT, 0, 7, NEVER),
    // Kafka Streams needs version 7, with which a consumer waits for offsets of open transactions.
    Api(OFFSET_FETCH, 0, 7, 6),
    Api(FIND_COORDINATOR, 0, 2, NEVER),
    Api(JOIN_GROUP, 0, 5, NEVER),
    Api(HEARTBEAT, 0, 3, NEVER),
    Api(LEAVE_GROUP, 0, 3, NEVER),
    Api(SYNC_GROUP, 0, 3, NEVER),
    Api(DESCRIBE_GROUPS, 0, 4, NEVER),
    Api(LIST_GROUPS, 0, 2, NEVER),
    Api(API_VERSIONS, 0, 4, 3),
    Api(CREATE_TOPICS, 0, 4, NEVER),
    Api(DELETE_TOPICS, 0, 3, NEVER),
    Api(DELETE_RECORDS, 0, 1, NEVER),
    Api(INIT_PRODUCER_ID, 0, 4, 2),
    Api(ADD_PARTITIONS_TO_TXN, 0, 2, NEVER),
    Api(ADD_OFFSETS_TO_TXN, 0, 2, NEVER),
    Api(END_TXN, 0, 2, NEVER),
    // Kafka Streams needs version 3, with which a member of a group says who it is.
    Api(TXN_OFFSET_COMMIT, 0, 3, 3),
    Api(DESCRIBE_ACLS, 0, 1, NEVER),
    Api(DESCRIBE_CONFIGS, 0, 3, NEVER),
    Api(ALTER_CONFIGS, 0, 1, NEVER),
    Api(DESCRIBE_LOG_DIRS, 0, 1, NEVER),
    Api(CREATE_PARTITIONS, 0, 1, NEVER),
    Api(DELETE_GROUPS, 0, 1, NEVER),
    Api(INCREMENTAL_ALTER_CONFIGS, 0, 0, NEVER),
    Api(OFFSET_DELETE, 0, 0, NEVER),
    Api(DESCRIBE_CLUSTER, 0, 1, 0),
];

/// The first version of produce requests with record batches. Before, they have message sets, the format before Kafka 0.11.
const FIRST_PRODUCE: i16 = 3;

/// Maximum bytes of a request for which there is no other limit.
const MAX_SMALL_REQUEST: usize = 1 << 20;

/// Maximum bytes of a request with the assignments of all members of a group, or with offsets and their notes.
const MAX_GROUP_REQUEST: usize = 16 << 20;

fn max_bytes(key: i16) -> usize {
    match key {
        SYNC_GROUP | OFFSET_COMMIT | TXN_OFFSET_COMMIT => MAX_GROUP_REQUEST,
        _ => MAX_SMALL_REQUEST,
    }
}

/// Kinds of unsupported requests that are remembered, so that each is logged once.
const MAX_REMEMBERED_REFUSALS: usize = 1_000;

impl Broker {
    /// Answers one request. `frame`: the whole request, including its length.
    pub async fn answer(&self, frame: Bytes, ends: Ends) -> Result<Answer<'_>, Refusal> {
        let size = frame.len();
        let mut reader = Reader::new(frame.slice(4.min(size)..), false);
        let (key, version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
        let client_id = reader.string()?.unwrap_or_default();
        let spoken = APIS
            .iter()
            .find(|Api(known, first, last, _)| *known == key && (*first..=*last).contains(&version));
        let flexible = spoken.is_some_and(|Api(.., since)| version >= *since);
        let call = Call { key, version, correlation_id, client_id, ends, flexible };
        let has_message_sets = key == PRODUCE && version < FIRST_PRODUCE;
        if spoken.is_none() || has_message_sets {
            return self.refuse(&call);
        }
        let mut reader = reader.flexible(flexible);
        reader.tags()?;
        match key {
            PRODUCE => Ok(produce::produce(self, &call, reader)?),
            _ if size > max_bytes(key) => Err(Refusal::Malformed),
            FETCH => Ok(Answer::Wait(Box::pin(fetch::fetch(&self.log, call.clone(), reader)?))),
            JOIN_GROUP => Ok(Answer::Wait(Box::pin(groups::join(self, call.clone(), reader)?))),
            SYNC_GROUP => Ok(Answer::Wait(Box::pin(groups::sync(self, call.clone(), reader)?))),
            _ => self.answer_small(&call, reader).await.map(Answer::Now),
        }
    }

    async fn answer_small(&self, call: &Call, reader: Reader) -> Result<Bytes, Refusal> {
        Ok(match call.key {
            API_VERSIONS => api_versions(call),
            METADATA => cluster::metadata(self, call, reader)?,
            FIND_COORDINATOR => cluster::find_coordinator(call, reader)?,
            DESCRIBE_CLUSTER => cluster::describe(call, reader)?,
            LIST_OFFSETS => list_offsets::list(self, call, reader).await?,
            CREATE_TOPICS => topics::create(self, call, reader).await?,
            DELETE_TOPICS => topics::delete(self, call, reader).await?,
            CREATE_PARTITIONS => topics::add_partitions(self, call, reader).await?,
            DELETE_RECORDS => admin::delete_records(self, call, reader).await?,
            DESCRIBE_LOG_DIRS => admin::describe_log_dirs(self, call, reader).await?,
            DESCRIBE_ACLS => admin::describe_acls(call),
            DESCRIBE_CONFIGS => configs::describe(self, call, reader)?,
            ALTER_CONFIGS => configs::alter(self, call, reader).await?,
            INCREMENTAL_ALTER_CONFIGS => configs::alter_incrementally(self, call, reader).await?,
            HEARTBEAT => groups::heartbeat(self, call, reader)?,
            LEAVE_GROUP => groups::leave(self, call, reader)?,
            DESCRIBE_GROUPS => groups::describe(self, call, reader)?,
            LIST_GROUPS => groups::list(self, call),
            DELETE_GROUPS => groups::delete(self, call, reader).await?,
            INIT_PRODUCER_ID => transaction_requests::start(self, call, reader).await?,
            ADD_PARTITIONS_TO_TXN => transaction_requests::add_partitions(self, call, reader).await?,
            ADD_OFFSETS_TO_TXN => transaction_requests::add_group(self, call, reader).await?,
            TXN_OFFSET_COMMIT => transaction_requests::add_offsets(self, call, reader).await?,
            END_TXN => transaction_requests::end(self, call, reader).await?,
            OFFSET_COMMIT => offsets::commit(self, call, reader).await?,
            OFFSET_FETCH => offsets::fetch(self, call, reader).await?,
            OFFSET_DELETE => offsets::delete(self, call, reader).await?,
            _ => return Err(Refusal::Unsupported(call.key, call.version)),
        })
    }

    /// Refuses an unsupported request. Only for `ApiVersions`, every client understands an answer in version 0.
    fn refuse(&self, call: &Call) -> Result<Answer<'static>, Refusal> {
        let (key, version) = (call.key, call.version);
        let mut refusals = lock(&self.refusals);
        if refusals.len() < MAX_REMEMBERED_REFUSALS && refusals.insert((call.client_id.clone(), key, version))
        {
            tracing::warn!(client = call.client_id, key, version, "unsupported request");
        }
        if key != API_VERSIONS {
            return Err(Refusal::Unsupported(key, version));
        }
        let mut answer = Writer::answer(call.correlation_id, 256, false);
        answer.error(Some(ErrorCode::UnsupportedVersion)).structs(&APIS, write_api);
        Ok(Answer::Now(answer.finish()))
    }
}

/// Lists the supported requests.
fn api_versions(call: &Call) -> Bytes {
    let mut answer = call.answer(256);
    answer.error(None).structs(&APIS, write_api);
    if call.version >= 1 {
        answer.i32(0);
    }
    answer.finish()
}

fn write_api(answer: &mut Writer, Api(key, first, last, _): &Api) {
    answer.i16(*key).i16(*first).i16(*last);
}
