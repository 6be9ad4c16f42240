//! Dispatches requests: which ones are supported, in which versions, and what answers them.
//!
//! `nisshi` provides the messages of the protocol, the catalogue and the groups. Everything that handles records is our own code.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use nisshi_broker::coordinator::group::administrator::Controller;
use nisshi_sans_io::{
    Body, ErrorCode, Frame, Header, InitProducerIdRequest, InitProducerIdResponse, ListGroupsRequest,
};
use nisshi_storage::slate::Engine;
use nisshi_storage::{
    DeleteGroupsService, DescribeGroupsService, FindCoordinatorService, ListGroupsService, MetadataService,
};
use rama::{Context, Service};
use thiserror::Error;
use tokio::sync::Mutex;

use super::catalogue::Catalogue;
use super::log::Log;
use super::wire::{Malformed, Reader, Writer};
use super::{fetch, groups, offsets, produce, requests, topics};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const API_VERSIONS: i16 = 18;

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
const DESCRIBE_CONFIGS: i16 = 32;
const DELETE_GROUPS: i16 = 42;

/// The supported requests: API key, first and last version. None of these versions has tagged fields, except version 3 of
/// [`API_VERSIONS`], with which clients begin.
const APIS: [(i16, i16, i16); 20] = [
    (PRODUCE, 3, 8),
    (FETCH, 4, 11),
    (LIST_OFFSETS, 1, 5),
    (METADATA, 1, 8),
    (OFFSET_COMMIT, 2, 7),
    (OFFSET_FETCH, 1, 5),
    (FIND_COORDINATOR, 0, 2),
    (JOIN_GROUP, 0, 5),
    (HEARTBEAT, 0, 3),
    (LEAVE_GROUP, 0, 3),
    (SYNC_GROUP, 0, 3),
    (DESCRIBE_GROUPS, 0, 4),
    (LIST_GROUPS, 0, 2),
    (API_VERSIONS, 0, 3),
    (CREATE_TOPICS, 2, 4),
    (DELETE_TOPICS, 1, 3),
    (DELETE_RECORDS, 0, 1),
    (INIT_PRODUCER_ID, 0, 1),
    (DESCRIBE_CONFIGS, 1, 3),
    (DELETE_GROUPS, 0, 1),
];

/// Maximum bytes of a request other than a produce request.
const MAX_SMALL_REQUEST: usize = 1 << 20;

/// What all connections share.
pub(super) struct Broker {
    pub catalogue: Catalogue,
    pub log: Arc<Log>,
    groups: Controller<Engine>,
    /// Locked while a topic is created or deleted.
    pub topic_changes: Mutex<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("log", &self.log).finish_non_exhaustive()
    }
}

/// The fields of a request's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
}

/// The answer to a request.
pub(super) enum Answer {
    Now(Bytes),
    /// Sent in this request's turn, once it is complete.
    Later(BoxFuture<'static, Bytes>),
    /// No answer, because the client wants none (`acks=0`).
    None,
}

/// Why a connection is closed without an answer.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("malformed request")]
    Malformed,
    #[error("unsupported request: API key {0}, version {1}")]
    Unsupported(i16, i16),
    #[error("the request failed: {0}")]
    Failed(String),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Broker {
    pub fn new(catalogue: Catalogue, log: Arc<Log>) -> Result<Self, String> {
        let groups = Controller::with_storage(catalogue.engine.clone()).map_err(|error| error.to_string())?;
        Ok(Self { catalogue, log, groups, topic_changes: Mutex::new(()) })
    }

    /// Answers one request. `frame`: the whole request, including its length.
    pub async fn answer(&self, frame: Bytes) -> Result<Answer, Refusal> {
        let mut reader = Reader(frame.slice(4.min(frame.len())..));
        let call = Call { key: reader.i16()?, version: reader.i16()?, correlation_id: reader.i32()? };
        let spoken = |(key, first, last): &(i16, i16, i16)| {
            *key == call.key && (*first..=*last).contains(&call.version)
        };
        if call.key == API_VERSIONS {
            return Ok(Answer::Now(api_versions(call, APIS.iter().any(spoken))));
        }
        if !APIS.iter().any(spoken) {
            return Err(Refusal::Unsupported(call.key, call.version));
        }
        let _client = reader.string()?;
        match call.key {
            PRODUCE => Ok(produce::produce(&self.log, &call, reader.0)?),
            _ if frame.len() > MAX_SMALL_REQUEST => Err(Refusal::Malformed),
            FETCH => Ok(Answer::Now(fetch::fetch(&self.log, &call, reader.0).await?)),
            _ => {
                let body = self.answer_small(call, &mut reader).await?;
                let header = Header::Response { correlation_id: call.correlation_id };
                Frame::response(header, body, call.key, call.version).map(Answer::Now).map_err(failed)
            }
        }
    }

    async fn answer_small(&self, call: Call, reader: &mut Reader) -> Result<Body, Refusal> {
        let version = call.version;
        Ok(match call.key {
            METADATA => self.stored(MetadataService, requests::metadata(version, reader)?).await?,
            FIND_COORDINATOR => {
                self.stored(FindCoordinatorService, requests::find_coordinator(version, reader)?).await?
            }
            LIST_OFFSETS => offsets::list(&self.log, requests::list_offsets(version, reader)?).await.into(),
            CREATE_TOPICS => topics::create(self, requests::create_topics(reader)?).await.into(),
            DELETE_TOPICS => topics::delete(self, requests::delete_topics(reader)?).await.into(),
            DELETE_RECORDS => topics::delete_records(self, requests::delete_records(reader)?).await.into(),
            DESCRIBE_CONFIGS => topics::describe(self, requests::describe_configs(reader)?).into(),
            INIT_PRODUCER_ID => init_producer(&requests::init_producer_id(reader)?).into(),
            LIST_GROUPS => self.stored(ListGroupsService, ListGroupsRequest::default()).await?,
            DESCRIBE_GROUPS => self.stored(DescribeGroupsService, requests::describe_groups(reader)?).await?,
            DELETE_GROUPS => self.stored(DeleteGroupsService, requests::delete_groups(reader)?).await?,
            _ => self.answer_group(call, reader).await?,
        })
    }

    async fn answer_group(&self, call: Call, reader: &mut Reader) -> Result<Body, Refusal> {
        let version = call.version;
        let answer = match call.key {
            JOIN_GROUP => groups::join(&self.groups, &requests::join_group(version, reader)?).await,
            SYNC_GROUP => groups::sync(&self.groups, &requests::sync_group(version, reader)?).await,
            HEARTBEAT => groups::heartbeat(&self.groups, &requests::heartbeat(version, reader)?).await,
            LEAVE_GROUP => groups::leave(&self.groups, &requests::leave_group(version, reader)?).await,
            OFFSET_COMMIT => groups::commit(&self.groups, &requests::offset_commit(version, reader)?).await,
            OFFSET_FETCH => groups::committed(&self.groups, &requests::offset_fetch(reader)?).await,
            _ => return Err(Refusal::Unsupported(call.key, version)),
        };
        answer.map_err(failed)
    }

    /// Lets a service of `nisshi_storage` answer from the catalogue.
    async fn stored<S, R>(&self, service: S, request: R) -> Result<Body, Refusal>
    where
        S: Service<Engine, R>,
        S::Response: Into<Body>,
        S::Error: fmt::Display,
    {
        let context = Context::with_state(self.catalogue.engine.clone());
        service.serve(context, request).await.map(Into::into).map_err(failed)
    }
}

fn failed(error: impl fmt::Display) -> Refusal {
    Refusal::Failed(error.to_string())
}

/// Gives an idempotent producer a random id. There are so many ids that none occurs twice.
fn init_producer(request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default().throttle_time_ms(0);
    if request.transactional_id.is_some() {
        return response
            .error_code(ErrorCode::TransactionalIdAuthorizationFailed.into())
            .producer_id(-1)
            .producer_epoch(-1);
    }
    response.error_code(0).producer_id(rand::random::<i64>() & i64::MAX).producer_epoch(0)
}

/// Lists the supported requests. If the version of this request is not supported, answers in version 0 with that error.
fn api_versions(call: Call, spoken: bool) -> Bytes {
    let mut answer = Writer::answer(call.correlation_id, 256);
    if !spoken {
        answer.i16(ErrorCode::UnsupportedVersion.into()).array(1).i16(API_VERSIONS).i16(0).i16(3);
        return answer.finish();
    }
    answer.i16(0);
    let flexible = call.version >= 3;
    if flexible {
        answer.i8(i8::try_from(APIS.len() + 1).unwrap_or(i8::MAX));
    } else {
        answer.array(APIS.len());
    }
    for (key, first, last) in APIS {
        answer.i16(key).i16(first).i16(last);
        if flexible {
            answer.i8(0);
        }
    }
    if call.version >= 1 {
        answer.i32(0);
    }
    if flexible {
        answer.i8(0);
    }
    answer.finish()
}
