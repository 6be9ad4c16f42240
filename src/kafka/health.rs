//! Checks whether topics accept records: each partition needs a leader that answers, and enough in-sync replicas.
//!
//! It is not enough that some broker answers. If two of three brokers fail, the third one still describes the topics. And while the
//! controllers have no majority, it still names the failed leaders. Therefore the leaders are asked too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Mutex as AsyncMutex;

use super::{BrokerError, Kafka, Observer, Watermarks, blocking, is_denied, topic_setting, watermarks};
use roundhouse_part::lock::lock;

/// Time limits for the description of the topics, and for the answers of all leaders together.
const METADATA_TIMEOUT: Duration = Duration::from_millis(1200);
const LEADER_TIMEOUT: Duration = Duration::from_millis(1200);

/// Time limit for the topics' settings. They are cached for CONFIG_MEMORY, also if the broker did not report them.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(1);
const CONFIG_MEMORY: Duration = Duration::from_secs(60);

/// How long a result is cached, since several clients may call `/readyz` often.
const MEMORY: Duration = Duration::from_secs(1);

/// The topic setting for the number of in-sync replicas that a record needs.
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// How many partitions with the same problem are named.
const SHOWN_PARTITIONS: usize = 10;

/// Checks some topics repeatedly.
pub struct TopicsHealth {
    kafka: Kafka,
    topics: Vec<String>,
    observer: Mutex<Option<Arc<Observer>>>,
    /// The number of in-sync replicas that each topic needs, if known.
    minimums: Mutex<Option<(Instant, BTreeMap<String, usize>)>>,
    /// Locked during a check; concurrent callers then get its result.
    last: AsyncMutex<Option<(Instant, Result<(), String>)>>,
}

impl fmt::Debug for TopicsHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicsHealth").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// A partition as described by a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartitionState {
    number: i32,
    /// Negative if there is none.
    leader: i32,
    in_sync: usize,
}

/// Topics as described by a broker. A topic without partitions does not exist.
type Topics = BTreeMap<String, Vec<PartitionState>>;

impl TopicsHealth {
    pub fn new(kafka: Kafka, topics: impl IntoIterator<Item = String>) -> Self {
        Self {
            kafka,
            topics: topics.into_iter().collect(),
            observer: Mutex::default(),
            minimums: Mutex::default(),
            last: AsyncMutex::default(),
        }
    }

    /// Checks that every partition accepts records. Takes less than four seconds; the result is cached for one second.
    ///
    /// # Errors
    /// The reason why records are not accepted, without any address.
    pub async fn check(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MEMORY
        {
            return answer.clone();
        }
        let answer = self.run_check().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Returns the first offset and the end offset of each partition of a topic.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn watermarks(&self, topic: &str) -> Result<Watermarks, BrokerError> {
        let (observer, topic) = (self.observer()?, topic.to_owned());
        blocking(move || watermarks(&observer, &topic)).await
    }

    async fn run_check(&self) -> Result<(), String> {
        let no_answer = |error: BrokerError| {
            if let BrokerError::MayNotRead { .. } = error {
                return error.to_string();
            }
            tracing::debug!(%error, "the broker does not describe its topics");
            "the broker does not answer".to_owned()
        };
        let observer = self.observer().map_err(no_answer)?;
        let (asked, names) = (observer.clone(), self.topics.clone());
        let topics = blocking(move || describe(&asked, names)).await.map_err(no_answer)?;
        let (silent, minimums) = tokio::join!(silent_partitions(observer, &topics), self.minimums());
        judge(&topics, &minimums, &silent)
    }

    fn observer(&self) -> Result<Arc<Observer>, BrokerError> {
        let mut observer = lock(&self.observer);
        if let Some(observer) = &*observer {
            return Ok(observer.clone());
        }
        Ok(observer.insert(Arc::new(self.kafka.observer()?)).clone())
    }

    /// Returns the number of in-sync replicas that a record needs, by topic. Topics that the broker does not report are left out.
    async fn minimums(&self) -> BTreeMap<String, usize> {
        let known = lock(&self.minimums).clone();
        if let Some((at, minimums)) = known
            && at.elapsed() < CONFIG_MEMORY
        {
            return minimums;
        }
        let minimums = self.fetch_minimums().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the broker does not return the settings of the topics");
            BTreeMap::new()
        });
        *lock(&self.minimums) = Some((Instant::now(), minimums.clone()));
        minimums
    }

    async fn fetch_minimums(&self) -> Result<BTreeMap<String, usize>, BrokerError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let admin = self.kafka.admin()?;
        let minimums = topic_setting(&admin, &topics, MIN_INSYNC_REPLICAS, CONFIG_TIMEOUT).await?;
        let named = self.topics.iter().cloned().zip(minimums);
        Ok(named.filter_map(|(topic, minimum)| Some((topic, minimum?))).collect())
    }
}

/// Asks a broker to describe these topics only, since a cluster may have thousands. Blocks.
fn describe(observer: &Observer, names: Vec<String>) -> Result<Topics, BrokerError> {
    let deadline = Instant::now() + METADATA_TIMEOUT;
    let mut topics = Topics::new();
    for name in names {
        let left = deadline.saturating_duration_since(Instant::now());
        let metadata =
            observer.fetch_metadata(Some(&name), left).map_err(|error| observer.context().of(error))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name);
        let reason = found.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
        if let Some(reason) = reason.filter(|reason| is_denied(*reason)) {
            return Err(BrokerError::MayNotRead { topic: name, reason });
        }
        let partitions = found.map_or(&[][..], |topic| topic.partitions());
        let state = |partition: &MetadataPartition| PartitionState {
            number: partition.id(),
            leader: partition.leader(),
            in_sync: partition.isr().len(),
        };
        topics.insert(name, partitions.iter().map(state).collect());
    }
    Ok(topics)
}

/// Asks all leaders at the same time. Returns the partitions whose leader does not answer, by topic.
async fn silent_partitions(observer: Arc<Observer>, topics: &Topics) -> BTreeMap<String, Vec<i32>> {
    let mut by_leader: BTreeMap<i32, Vec<(String, i32)>> = BTreeMap::new();
    for (topic, partitions) in topics {
        for partition in partitions.iter().filter(|partition| partition.leader >= 0) {
            by_leader.entry(partition.leader).or_default().push((topic.clone(), partition.number));
        }
    }
    let asking = by_leader.into_values().map(|partitions| {
        let observer = observer.clone();
        blocking(move || Ok(silent_of(&observer, &partitions)))
    });
    let mut silent: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in join_all(asking).await.into_iter().flatten().flatten() {
        silent.entry(topic).or_default().push(partition);
    }
    silent.values_mut().for_each(|partitions| partitions.sort_unstable());
    silent
}

/// Returns those partitions of one leader whose end offset it does not return. Blocks.
fn silent_of(observer: &Observer, partitions: &[(String, i32)]) -> Vec<(String, i32)> {
    let mut wanted = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        // `Offset::End` is always a valid offset, so this cannot fail.
        let _ = wanted.add_partition_offset(topic, *partition, Offset::End);
    }
    match observer.offsets_for_times(wanted, LEADER_TIMEOUT) {
        Ok(answered) => {
            let refused = answered.elements().into_iter().filter(|partition| partition.error().is_err());
            refused.map(|partition| (partition.topic().to_owned(), partition.partition())).collect()
        }
        Err(error) => {
            tracing::debug!(%error, "a leader does not answer");
            partitions.to_vec()
        }
    }
}

/// Returns the reasons why records are not accepted.
fn judge(
    topics: &Topics,
    minimums: &BTreeMap<String, usize>,
    silent: &BTreeMap<String, Vec<i32>>,
) -> Result<(), String> {
    let mut troubles = Vec::new();
    for (topic, partitions) in topics {
        if partitions.is_empty() {
            troubles.push(format!("topic {topic} does not exist"));
        }
        let numbers = |is_meant: &dyn Fn(&PartitionState) -> bool| -> Vec<i32> {
            let meant = partitions.iter().filter(|partition| is_meant(partition));
            meant.map(|partition| partition.number).collect()
        };
        let minimum = minimums.get(topic).copied().unwrap_or(1);
        let no_leader = numbers(&|partition| partition.leader < 0);
        let too_few = numbers(&|partition| partition.leader >= 0 && partition.in_sync < minimum);
        let silent = silent.get(topic).cloned().unwrap_or_default();
        troubles.extend(named(topic, &no_leader, "no leader"));
        troubles.extend(named(topic, &silent, "a leader that does not answer"));
        let what = format!("fewer in-sync replicas than {MIN_INSYNC_REPLICAS} ({minimum})");
        troubles.extend(named(topic, &too_few, &what));
    }
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("; ")) }
}

fn named(topic: &str, partitions: &[i32], what: &str) -> Option<String> {
    let shown: Vec<String> = partitions.iter().take(SHOWN_PARTITIONS).map(ToString::to_string).collect();
    let (noun, verb) = if partitions.len() == 1 { ("partition", "has") } else { ("partitions", "have") };
    let more = match partitions.len().saturating_sub(SHOWN_PARTITIONS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!partitions.is_empty()).then(|| format!("{noun} {}{more} of {topic} {verb} {what}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    fn partition(number: i32, leader: i32, in_sync: usize) -> PartitionState {
        PartitionState { number, leader, in_sync }
    }

    #[test]
    fn partitions_without_leader_or_replicas_are_named() {
        let topics = Topics::from([
            ("a".to_owned(), vec![partition(0, 1, 3), partition(1, -1, 0), partition(2, 1, 1)]),
            ("b".to_owned(), (0..12).map(|number| partition(number, 1, 1)).collect()),
            ("c".to_owned(), Vec::new()),
        ]);
        let minimums = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let silent = BTreeMap::from([("b".to_owned(), (0..12).collect())]);
        let reason = judge(&topics, &minimums, &silent).unwrap_err();
        assert_eq!(
            reason,
            "partition 1 of a has no leader; partition 2 of a has fewer in-sync replicas than min.insync.replicas (2); \
             partitions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more of b have a leader that does not answer; topic c does not exist"
        );
        let healthy = Topics::from([("a".to_owned(), vec![partition(0, 1, 2)])]);
        assert_eq!(judge(&healthy, &minimums, &BTreeMap::new()), Ok(()));
    }

    /// Repeats the check, without the cache, until the result is as expected.
    async fn wait_until(
        health: &TopicsHealth,
        is_expected: impl Fn(&Result<(), String>) -> bool,
    ) -> Result<(), String> {
        let mut answer = health.run_check().await;
        for _ in 0..100 {
            if is_expected(&answer) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = health.run_check().await;
        }
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_is_ready_while_it_has_a_leader_that_answers() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("rounds", 3, 3).unwrap();
        for number in 0..3 {
            cluster.partition_leader("rounds", number, Some(number + 1)).unwrap();
        }
        let health = TopicsHealth::new(Kafka::new(cluster.bootstrap_servers()), ["rounds".to_owned()]);
        assert_eq!(wait_until(&health, Result::is_ok).await, Ok(()));

        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.topic_error("rounds", denied).unwrap();
        let reason = wait_until(&health, Result::is_err).await.unwrap_err();
        assert!(reason.starts_with("cannot read topic rounds"), "{reason}");
        cluster.topic_error("rounds", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
        assert_eq!(wait_until(&health, Result::is_ok).await, Ok(()));

        cluster.partition_leader("rounds", 1, None).unwrap();
        let reason = wait_until(&health, Result::is_err).await.unwrap_err();
        assert_eq!(reason, "partition 1 of rounds has no leader");
        cluster.partition_leader("rounds", 1, Some(2)).unwrap();
        assert_eq!(wait_until(&health, Result::is_ok).await, Ok(()));

        // The other brokers still name broker 3 as the leader.
        cluster.broker_down(3).unwrap();
        let silent = Err("partition 2 of rounds has a leader that does not answer".to_owned());
        assert_eq!(wait_until(&health, |answer| *answer == silent).await, silent);
        cluster.broker_up(3).unwrap();
        assert_eq!(wait_until(&health, Result::is_ok).await, Ok(()));
        assert_eq!(health.check().await, Ok(()));
    }
}
