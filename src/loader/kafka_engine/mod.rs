//! Loading with ClickHouse's own consumer instead of Roundhouse's loader: a table with the engine Kafka, and views on it.
//!
//! It loads at least once: after a crash, rounds may be delivered again and are then stored and counted twice; so is a round that is
//! uploaded again (docs/LOADERS.md). This module starts the consumer where the other loader ended. It writes ClickHouse's progress into the
//! ledger, from the offsets that ClickHouse commits after each block. So everything that reads the ledger works the same with both
//! loaders.
//!
//! A loader that takes a topic over begins a new epoch. For Roundhouse's loader all rounds of other epochs are known, so it loads no round
//! again that ClickHouse has stored, committed or not.

mod columns;
mod group;
mod passed_over;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::query::Query;
use rdkafka::Message;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::group::Group;
use self::passed_over::Search;
use super::LoaderError;
use super::chunk::{Chunk, fingerprint};
use super::content::TopicKind;
use super::inbox::existing;
use super::lease::Lease;
use super::ledger::{ChunkState, Ledger, TopicEpoch, TopicLoader};
use super::loading::create_inboxes;
use super::needs::Loader;
use super::recovery::settle;
use super::restore::restore;
use super::retry::wait_before_retry;
use super::state::LoaderState;
use crate::kafka::{BrokerError, Observer, partitions_of};
use crate::settings::ServiceUrl;
use crate::warehouse::client::{Warehouse, WarehouseError, in_time};

/// How often the group's offsets are read.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often the number of partitions is checked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a table's consumer may take to finish its block.
const DROP_TIMEOUT: Duration = Duration::from_secs(60);

const DROP: &str = include_str!("../../../queries/engine/kafka_engine/drop.sql");

/// The tables and views for one topic, in the order in which they are created. Consumption begins with the last one.
struct Tables {
    names: &'static [&'static str],
    definitions: &'static [&'static str],
}

const ROUNDS: Tables = Tables {
    names: &[
        "kafka_rounds_messages",
        "kafka_rounds_view",
        "kafka_rounds_errors_view",
        "kafka_rounds_counts_view",
        "kafka_rounds_blocks_view",
        "kafka_rounds",
        "kafka_rounds_messages_view",
    ],
    definitions: &[
        include_str!("../../../queries/engine/kafka_engine/001_messages.sql"),
        include_str!("../../../queries/engine/kafka_engine/002_rounds_view.sql"),
        include_str!("../../../queries/engine/kafka_engine/003_rounds_errors_view.sql"),
        include_str!("../../../queries/engine/kafka_engine/004_rounds_counts_view.sql"),
        include_str!("../../../queries/engine/kafka_engine/005_rounds_blocks_view.sql"),
        include_str!("../../../queries/engine/kafka_engine/006_rounds.sql"),
        include_str!("../../../queries/engine/kafka_engine/007_messages_view.sql"),
    ],
};

const REJECTS: Tables = Tables {
    names: &["kafka_rejects", "kafka_rejects_view", "kafka_rejects_blocks_view"],
    definitions: &[
        include_str!("../../../queries/engine/kafka_engine/008_rejects.sql"),
        // Consumption begins here. If a block arrives before the next view exists, `passed_over` checks its offsets.
        include_str!("../../../queries/engine/kafka_engine/009_rejects_view.sql"),
        include_str!("../../../queries/engine/kafka_engine/010_rejects_blocks_view.sql"),
    ],
};

impl Tables {
    fn of(kind: &TopicKind) -> &'static Self {
        match kind {
            TopicKind::Rows(_) => &ROUNDS,
            TopicKind::Rejects => &REJECTS,
        }
    }
}

/// A topic that ClickHouse consumes.
#[derive(Clone, Debug)]
pub struct Consumption {
    /// The topic, and the services that the consumer needs.
    pub loader: Loader,
    pub registry_url: ServiceUrl,
}

/// A running consumer, and its progress in the ledger.
struct Following {
    ledger: Ledger,
    epoch: TopicEpoch,
    group: Group,
    /// Checks the number of partitions.
    observer: Arc<Observer>,
    /// The next offsets.
    next: BTreeMap<u16, i64>,
}

impl Consumption {
    /// Starts the consumer and records its progress until `stop`, while this server holds the lease of the topic. The consumer keeps
    /// running afterwards.
    pub async fn run(self, state: watch::Sender<LoaderState>, stop: CancellationToken) {
        let consume = |lease, end| self.consume(lease, &state, end);
        self.loader.candidate.run(&state, &stop, consume).await;
    }

    async fn consume(
        &self,
        lease: Lease,
        state: &watch::Sender<LoaderState>,
        end: CancellationToken,
    ) -> Result<(), LoaderError> {
        let following = self.start_consumer(&lease).await.map_err(|error| match error {
            LoaderError::TakenOver => error,
            // ClickHouse's errors may contain the statement, which has the registry's password in it.
            error => LoaderError::Consumer(self.registry_url.masked(&error.to_string())),
        })?;
        self.follow(following, state, &end).await
    }

    /// Creates the tables. The consumer group begins where the last loader ended.
    async fn start_consumer(&self, lease: &Lease) -> Result<Following, LoaderError> {
        let Loader { kafka, warehouse, topic, .. } = &self.loader;
        create_inboxes(&self.loader).await?;
        drop_tables(&self.loader).await?;
        let ledger = Ledger::new(lease);
        catch_up(&self.loader, &ledger).await?;
        restore(&self.loader, lease).await?;
        let next = settle(&self.loader, lease).await?;
        let epoch = match ledger.topic().await? {
            Some(known) if known.loader() == TopicLoader::ClickHouse => known,
            Some(known) => ledger.hand_over(known, TopicLoader::ClickHouse).await?,
            None => return Err(LoaderError::TakenOver),
        };
        let group = Group::new(kafka, &group_name(warehouse, topic, epoch), topic)?;
        let observer = Arc::new(kafka.observer().map_err(BrokerError::from)?);
        group.begin_at(&next).await?;
        for definition in Tables::of(&self.loader.kind).definitions {
            self.definition(definition, &group, epoch).execute().await.map_err(WarehouseError::from)?;
        }
        tracing::info!(topic, epoch = epoch.epoch, group = group.name(), "ClickHouse consumes the topic");
        Ok(Following { ledger, epoch, group, observer, next })
    }

    fn definition(&self, sql: &str, group: &Group, epoch: TopicEpoch) -> Query {
        let sql = match &self.loader.kind {
            TopicKind::Rows(dataset) => columns::Marks::of(&dataset.columns).fill(sql),
            TopicKind::Rejects => sql.to_owned(),
        };
        self.loader
            .warehouse
            .query(&sql)
            .param("brokers", self.loader.kafka.brokers())
            .param("topic", &self.loader.topic)
            .param("group", group.name())
            .param("registry", self.registry_url.with_credentials().expose())
            .param("epoch", epoch.epoch)
    }

    /// Records ClickHouse's progress. Retries after failures; before `stop` only another loader ends it.
    async fn follow(
        &self,
        mut following: Following,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
    ) -> Result<(), LoaderError> {
        let mut failures = 0;
        let mut looked_at = Instant::now();
        while !stop.is_cancelled() {
            if looked_at.elapsed() >= LOOK_INTERVAL {
                looked_at = Instant::now();
                if self.has_other_partitions(&following).await {
                    // The consumer is started again, and then also follows the new partitions.
                    return Ok(());
                }
            }
            match self.step(&mut following).await {
                Ok(()) => {
                    failures = 0;
                    state.send_if_modified(|state| {
                        let changed = *state != LoaderState::Running;
                        *state = LoaderState::Running;
                        changed
                    });
                    tokio::select! {
                        () = tokio::time::sleep(INTERVAL) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(error @ LoaderError::TakenOver) => return Err(error),
                Err(error) => {
                    tracing::warn!(topic = self.loader.topic, %error, "cannot read the offsets that ClickHouse has committed; retrying");
                    state.send_replace(LoaderState::Waiting(error.to_string()));
                    failures += 1;
                    wait_before_retry(failures, stop).await;
                }
            }
        }
        Ok(())
    }

    async fn has_other_partitions(&self, following: &Following) -> bool {
        match partitions_of(&following.observer, &self.loader.topic).await {
            Ok(partitions) => usize::from(partitions) != following.next.len(),
            Err(error) => {
                tracing::debug!(topic = self.loader.topic, %error, "cannot check the topic");
                false
            }
        }
    }

    async fn step(&self, following: &mut Following) -> Result<(), LoaderError> {
        let Following { ledger, epoch, group, next, .. } = following;
        let committed = group.committed(next.keys().copied()).await?;
        if committed.iter().all(|(partition, offset)| next.get(partition).is_some_and(|next| offset <= next))
        {
            return Ok(());
        }
        if ledger.topic().await? != Some(*epoch) {
            return Err(LoaderError::TakenOver);
        }
        advance(&self.loader, ledger, *epoch, group, next, &committed).await
    }
}

/// Stops ClickHouse's consumption of a topic, if there is any, and hands the topic over to Roundhouse's loader.
///
/// # Errors
/// A service does not answer.
pub(super) async fn hand_back(loader: &Loader, lease: &Lease) -> Result<(), LoaderError> {
    drop_tables(loader).await?;
    let ledger = Ledger::new(lease);
    if let Some(epoch) = catch_up(loader, &ledger).await? {
        ledger.hand_over(epoch, TopicLoader::Roundhouse).await?;
    }
    Ok(())
}

/// Drops the views and the table that exist. The consumer finishes its current block first.
async fn drop_tables(loader: &Loader) -> Result<(), LoaderError> {
    let names = Tables::of(&loader.kind).names;
    let existing = existing(&loader.warehouse, names).await?;
    for name in names.iter().rev().filter(|name| existing.contains(**name)) {
        let dropped = loader.warehouse.query(DROP).param("name", name).execute();
        in_time(DROP_TIMEOUT, dropped).await?;
    }
    Ok(())
}

/// Records ClickHouse's progress if it was the last loader of the topic. Returns the epoch in that case.
async fn catch_up(loader: &Loader, ledger: &Ledger) -> Result<Option<TopicEpoch>, LoaderError> {
    let Some(epoch) = ledger.topic().await?.filter(|known| known.loader() == TopicLoader::ClickHouse) else {
        return Ok(None);
    };
    let group =
        Group::new(&loader.kafka, &group_name(&loader.warehouse, &loader.topic, epoch), &loader.topic)?;
    let watermarks = loader.kafka.watermarks(&loader.topic).await?;
    let mut next: BTreeMap<u16, i64> =
        watermarks.iter().map(|(partition, (low, _))| (*partition, *low)).collect();
    for chunk in ledger.last_chunks(epoch.epoch).await? {
        next.insert(chunk.partition, chunk.last_offset.cast_signed() + 1);
    }
    let mut committed = group.committed(next.keys().copied()).await?;
    // Offsets beyond the end belong to an earlier topic of this name: see [`super::epochs`].
    committed.retain(|partition, offset| watermarks.get(partition).is_some_and(|(_, high)| *offset <= *high));
    advance(loader, ledger, epoch, &group, &mut next, &committed).await?;
    Ok(Some(epoch))
}

/// Records the offsets from `next` up to `committed` as one chunk per partition, after every message in them has been stored in a table.
async fn advance(
    loader: &Loader,
    ledger: &Ledger,
    epoch: TopicEpoch,
    group: &Group,
    next: &mut BTreeMap<u16, i64>,
    committed: &BTreeMap<u16, i64>,
) -> Result<(), LoaderError> {
    let first = |partition: &u16| next.get(partition).copied().unwrap_or(0);
    let ahead = committed.iter().filter(|(partition, offset)| **offset > first(partition));
    let last_offsets: BTreeMap<u16, i64> =
        ahead.map(|(partition, offset)| (*partition, offset - 1)).collect();
    if last_offsets.is_empty() {
        return Ok(());
    }
    let last_messages = group.messages_at(last_offsets).await?;
    let mut search = Search::new(loader, ledger.lease(), epoch.epoch)?;
    let mut chunks = Vec::with_capacity(last_messages.len());
    for (partition, last) in &last_messages {
        let (first_offset, last_offset) = (first(partition), last.offset());
        let offsets = first_offset.cast_unsigned()..=last_offset.cast_unsigned();
        let undecodable = search.rejects(*partition, offsets).await?;
        let messages = (last_offset + 1 - first_offset).unsigned_abs();
        chunks.push(Chunk {
            partition: *partition,
            first_offset,
            last_offset,
            messages,
            new: messages.saturating_sub(undecodable),
            undecodable,
            fingerprint: fingerprint(last),
            ..Chunk::default()
        });
    }
    ledger.write_all(epoch.epoch, chunks.iter(), &[ChunkState::Noted, ChunkState::Done]).await?;
    next.extend(chunks.iter().map(|chunk| (chunk.partition, chunk.last_offset + 1)));
    Ok(())
}

/// Returns the name of an epoch's consumer group. Each epoch has its own, so that its start can be set.
fn group_name(warehouse: &Warehouse, topic: &str, epoch: TopicEpoch) -> String {
    format!("roundhouse-clickhouse-{}-{topic}-{}", warehouse.database(), epoch.epoch)
}
