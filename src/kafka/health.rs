//! Whether topics can take records: each partition has a leader that answers, and as many in-sync replicas as the topic asks for.
//!
//! That some broker answers is not enough. After a failure of two brokers of three, the third still describes the topics, and for
//! as long as the controllers have no majority it still names the leaders that are gone: leaders are therefore asked, too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Mutex as AsyncMutex;

use super::{BrokerError, Kafka, Observer, blocking, topic_setting};

/// How long the description of the topics may take, and then all leaders together.
const METADATA_TIMEOUT: Duration = Duration::from_millis(1200);
const LEADER_TIMEOUT: Duration = Duration::from_millis(1200);

/// How long the topics' settings may take. A broker that does not give them is asked again after as long as they are remembered.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(1);
const CONFIG_MEMORY: Duration = Duration::from_secs(60);

/// How long an answer counts: `/readyz` may be asked often, and by several.
const MEMORY: Duration = Duration::from_secs(1);

/// The setting that says how many in-sync replicas a record needs.
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Partitions that are named of those in the same trouble.
const SHOWN_PARTITIONS: usize = 10;

/// Looks at some topics, again and again.
pub struct TopicsHealth {
    kafka: Kafka,
    topics: Vec<String>,
    observer: Mutex<Option<Arc<Observer>>>,
    /// In-sync replicas that each topic needs, where known.
    minimums: Mutex<Option<(Instant, BTreeMap<String, usize>)>>,
    /// Held while one looks: others then find its answer.
    last: AsyncMutex<Option<(Instant, Result<(), String>)>>,
}

impl fmt::Debug for TopicsHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicsHealth").field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// A partition as a broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartitionState {
    number: i32,
    /// Negative: none.
    leader: i32,
    in_sync: usize,
}

/// A topic as a broker describes it; none of the partitions: there is no such topic.
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

    /// Checks that every partition can take records. Takes less than four seconds; an answer is remembered for one.
    ///
    /// # Errors
    /// What keeps records away, without any address.
    pub async fn check(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MEMORY
        {
            return answer.clone();
        }
        let answer = self.look().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn look(&self) -> Result<(), String> {
        let no_answer = |error: BrokerError| {
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
        let mut observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(observer) = &*observer {
            return Ok(observer.clone());
        }
        Ok(observer.insert(Arc::new(self.kafka.observer()?)).clone())
    }

    /// In-sync replicas that a record needs, by topic; one where the broker does not say.
    async fn minimums(&self) -> BTreeMap<String, usize> {
        let known = self.minimums.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, minimums)) = known
            && at.elapsed() < CONFIG_MEMORY
        {
            return minimums;
        }
        let minimums = self.ask_for_minimums().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the broker does not give the settings of its topics");
            BTreeMap::new()
        });
        *self.minimums.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), minimums.clone()));
        minimums
    }

    async fn ask_for_minimums(&self) -> Result<BTreeMap<String, usize>, BrokerError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let admin = self.kafka.admin()?;
        let minimums = topic_setting(&admin, &topics, MIN_INSYNC_REPLICAS, CONFIG_TIMEOUT).await?;
        let named = self.topics.iter().cloned().zip(minimums);
        Ok(named.filter_map(|(topic, minimum)| Some((topic, minimum?))).collect())
    }
}

/// Has a broker describe the topics, and no others: a cluster may have thousands. Blocks.
fn describe(observer: &Observer, names: Vec<String>) -> Result<Topics, BrokerError> {
    let deadline = Instant::now() + METADATA_TIMEOUT;
    let mut topics = Topics::new();
    for name in names {
        let left = deadline.saturating_duration_since(Instant::now());
        let metadata =
            observer.fetch_metadata(Some(&name), left).map_err(|error| observer.context().of(error))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name);
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

/// Asks all leaders at the same time. Returns the partitions, by topic, of those that do not answer.
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

/// Returns those of one leader's partitions whose end it does not tell. Blocks.
fn silent_of(observer: &Observer, partitions: &[(String, i32)]) -> Vec<(String, i32)> {
    let mut wanted = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        // An offset that is no number is the end: it cannot fail.
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

/// Says what keeps records away.
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

    /// Looks past what is remembered until the answer is `expected`.
    async fn until(
        health: &TopicsHealth,
        is_expected: impl Fn(&Result<(), String>) -> bool,
    ) -> Result<(), String> {
        let mut answer = health.look().await;
        for _ in 0..100 {
            if is_expected(&answer) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = health.look().await;
        }
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_is_ready_as_long_as_its_leader_is_there_and_answers() {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("rounds", 3, 3).unwrap();
        for number in 0..3 {
            cluster.partition_leader("rounds", number, Some(number + 1)).unwrap();
        }
        let health = TopicsHealth::new(Kafka::new(cluster.bootstrap_servers()), ["rounds".to_owned()]);
        assert_eq!(until(&health, Result::is_ok).await, Ok(()));

        cluster.partition_leader("rounds", 1, None).unwrap();
        let reason = until(&health, Result::is_err).await.unwrap_err();
        assert_eq!(reason, "partition 1 of rounds has no leader");
        cluster.partition_leader("rounds", 1, Some(2)).unwrap();
        assert_eq!(until(&health, Result::is_ok).await, Ok(()));

        // The others still describe it as the leader.
        cluster.broker_down(3).unwrap();
        let silent = Err("partition 2 of rounds has a leader that does not answer".to_owned());
        assert_eq!(until(&health, |answer| *answer == silent).await, silent);
        cluster.broker_up(3).unwrap();
        assert_eq!(until(&health, Result::is_ok).await, Ok(()));
        assert_eq!(health.check().await, Ok(()));
    }
}
