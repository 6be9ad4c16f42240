//! The catalogue: topics, consumer groups and their committed offsets. Everything that the broker stores besides records. It is kept by
//! `nisshi_storage` in a SlateDB database of small files.

use std::sync::Arc;
use std::time::Duration;

use nisshi_sans_io::ErrorCode;
use nisshi_sans_io::create_topics_request::CreatableTopic;
use nisshi_storage::slate::Engine;
use nisshi_storage::{BrokerRegistrationRequest, Storage as _, TopicId};
use slatedb::config::{
    CompactorOptions, FlushOptions, FlushType, GarbageCollectorDirectoryOptions, GarbageCollectorOptions,
    Settings,
};
use slatedb::object_store::ObjectStore;
use slatedb::{Db, WriteBatch};
use url::Url;
use uuid::Uuid;

use super::log::TopicEntry;
use super::{CLUSTER_ID, NODE_ID};

/// How long a change waits for others that are written to disk with it.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

/// How often the many small write-ahead files are merged into one table, so that the next start reads only a few files.
const TIDY_INTERVAL: Duration = Duration::from_secs(20);

/// How long an unreferenced file is kept.
const GARBAGE_AGE: Duration = Duration::from_secs(60);

/// Bytes of changes after which a table is written.
const TABLE_BYTES: usize = 1 << 20;

/// Maximum bytes of changes that are not on disk yet.
const MAX_UNFLUSHED_BYTES: usize = 32 << 20;

#[derive(Clone)]
pub(super) struct Catalogue {
    /// The storage engine that the services of `nisshi_storage` use.
    pub engine: Engine,
    db: Arc<Db>,
}

impl Catalogue {
    /// Opens the database. `advertised`: the address that clients are told to connect to.
    pub async fn open(store: Arc<dyn ObjectStore>, advertised: Url) -> Result<Self, String> {
        let db = Db::builder("catalogue", store).with_settings(settings()).build().await;
        let db = Arc::new(db.map_err(|error| error.to_string())?);
        let engine = Engine::new(CLUSTER_ID, NODE_ID, advertised, Arc::clone(&db));
        let catalogue = Self { engine, db };
        let registration = BrokerRegistrationRequest {
            broker_id: NODE_ID,
            cluster_id: CLUSTER_ID.to_owned(),
            incarnation_id: Uuid::new_v4(),
            rack: None,
        };
        catalogue.engine.register_broker(registration).await.map_err(|error| error.to_string())?;
        let topics = catalogue.topics().await?;
        let known = |name: &str| topics.iter().any(|topic| topic.name == name);
        catalogue.forget_offsets(|topic| !known(topic)).await?;
        Ok(catalogue)
    }

    /// Returns all topics.
    pub async fn topics(&self) -> Result<Vec<TopicEntry>, String> {
        let metadata = self.engine.metadata(None).await.map_err(|error| error.to_string())?;
        let entry = |topic: &nisshi_sans_io::metadata_response::MetadataResponseTopic| {
            Some(TopicEntry {
                name: topic.name.clone()?,
                id: Uuid::from_bytes(topic.topic_id?),
                partitions: u32::try_from(topic.partitions.as_ref()?.len()).ok()?,
            })
        };
        Ok(metadata.topics().iter().filter_map(entry).collect())
    }

    /// Adds a topic.
    ///
    /// # Errors
    /// The Kafka error, for example that the topic exists.
    pub async fn create(&self, topic: CreatableTopic) -> Result<Uuid, ErrorCode> {
        self.engine.create_topic(topic, false).await.map_err(|error| kafka_error(&error))
    }

    /// Removes a topic and the offsets that groups committed for it.
    ///
    /// # Errors
    /// The Kafka error, for example that the topic does not exist.
    pub async fn delete(&self, name: &str) -> Result<(), ErrorCode> {
        let deleted = self.engine.delete_topic(&TopicId::Name(name.to_owned())).await;
        match deleted.map_err(|error| kafka_error(&error))? {
            ErrorCode::None => {}
            refused => return Err(refused),
        }
        // The engine keeps these offsets, and they would apply to the next topic with this name.
        self.forget_offsets(|topic| topic == name).await.map_err(|error| {
            tracing::error!(topic = name, error, "cannot remove committed offsets");
            ErrorCode::KafkaStorageError
        })
    }

    /// Regularly writes pending changes as one table. Returns when the database is closed.
    pub async fn keep_tidy(self) {
        loop {
            tokio::time::sleep(TIDY_INTERVAL).await;
            if let Err(error) =
                self.db.flush_with_options(FlushOptions { flush_type: FlushType::MemTable }).await
            {
                tracing::debug!(%error, "the broker's catalogue can no longer be flushed");
                return;
            }
        }
    }

    /// Writes all changes and closes the database.
    pub async fn close(&self) -> Result<(), String> {
        self.db.flush().await.map_err(|error| error.to_string())?;
        self.db.close().await.map_err(|error| error.to_string())
    }

    async fn forget_offsets(&self, of: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut scan = self.db.scan_prefix(OFFSET_KEYS).await.map_err(|error| error.to_string())?;
        let mut batch = WriteBatch::new();
        let mut any = false;
        while let Some(entry) = scan.next().await.map_err(|error| error.to_string())? {
            if topic_of_offset_key(&entry.key).is_some_and(&of) {
                batch.delete(entry.key);
                any = true;
            }
        }
        if any { self.db.write(batch).await.map_err(|error| error.to_string()) } else { Ok(()) }
    }
}

fn settings() -> Settings {
    let garbage =
        Some(GarbageCollectorDirectoryOptions { interval: Some(TIDY_INTERVAL), min_age: GARBAGE_AGE });
    Settings {
        flush_interval: Some(FLUSH_INTERVAL),
        l0_sst_size_bytes: TABLE_BYTES,
        max_unflushed_bytes: MAX_UNFLUSHED_BYTES,
        compactor_options: Some(CompactorOptions {
            max_concurrent_compactions: 1,
            ..CompactorOptions::default()
        }),
        garbage_collector_options: Some(GarbageCollectorOptions {
            manifest_options: garbage,
            wal_options: garbage,
            compacted_options: garbage,
            compactions_options: garbage,
        }),
        ..Settings::default()
    }
}

/// The prefix of the engine's keys for committed offsets. It is followed by the group, the topic and the partition. Group and topic are
/// each stored as the length (seven bits per byte, lowest first) and the text.
const OFFSET_KEYS: &[u8] = b"\x01c";

fn topic_of_offset_key(key: &[u8]) -> Option<&str> {
    let (_group, rest) = split_text(key.strip_prefix(OFFSET_KEYS)?)?;
    let (topic, _partition) = split_text(rest)?;
    std::str::from_utf8(topic).ok()
}

fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (place, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return bytes.get(place + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// Returns the error code for the client.
fn kafka_error(error: &nisshi_storage::Error) -> ErrorCode {
    match error {
        nisshi_storage::Error::Api(code) => *code,
        other => {
            tracing::error!(error = %other, "the broker's catalogue failed");
            ErrorCode::UnknownServerError
        }
    }
}
