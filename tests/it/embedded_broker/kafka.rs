//! A broker for one test, and Kafka clients in the few forms that the tests need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::harness::part::Part;

/// Time limit for everything that a test waits for, also on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Number of partitions of the tests' topics.
pub const PARTITIONS: i32 = 4;

/// A running broker with its own directory.
pub struct TestBroker {
    pub part: Part,
    pub directory: TempDir,
}

impl TestBroker {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { part: Part::start("broker", directory.path(), &[]), directory }
    }

    /// Starts a broker with a limit for open files and connections.
    pub fn start_with_descriptors(descriptors: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { part: Part::start_with_descriptors("broker", directory.path(), descriptors), directory }
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.part.address.to_string());
        config
    }

    /// Creates a client with these additional settings.
    pub fn make<T: FromClientConfig>(&self, settings: &[(&str, &str)]) -> T {
        let mut config = self.client();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), RDKafkaErrorCode> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let created = block_on(self.admin().create_topics(&[topic], &AdminOptions::new())).unwrap();
        created.into_iter().next().unwrap().map(drop).map_err(|(_, code)| code)
    }

    pub fn delete_topic(&self, name: &str) -> Result<(), RDKafkaErrorCode> {
        let deleted = block_on(self.admin().delete_topics(&[name], &AdminOptions::new())).unwrap();
        deleted.into_iter().next().unwrap().map(drop).map_err(|(_, code)| code)
    }

    /// Creates a producer that records what was acknowledged.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Producer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("message.timeout.ms", "100000");
        config.set("queue.buffering.max.messages", "1000000");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let deliveries = Arc::new(Mutex::new(Vec::new()));
        let context = Deliveries(Arc::clone(&deliveries));
        Producer { inner: config.create_with_context(context).unwrap(), deliveries }
    }

    /// Creates a consumer without a group that reads `partition` from `offset` on.
    pub fn reader(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        settings: &[(&str, &str)],
    ) -> BaseConsumer {
        let settings = [&[("group.id", "reader"), ("enable.auto.commit", "false")], settings].concat();
        let consumer: BaseConsumer = self.make(&settings);
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        consumer.assign(&assignment).unwrap();
        consumer
    }

    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        let consumer: BaseConsumer = self.make(&[]);
        consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap()
    }

    /// Returns all values of a topic by partition, ordered by offset. Asserts that the offsets have no gap.
    pub fn read_all(&self, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<Vec<u8>>> {
        let read = |partition| {
            let (low, high) = self.watermarks(topic, partition);
            let consumer = self.reader(topic, partition, low, &[]);
            let values = (low..high).map(|offset| {
                let message = next(&consumer);
                assert_eq!(message.offset(), offset, "{topic} {partition}");
                message.payload().unwrap_or_default().to_vec()
            });
            (partition, values.collect())
        };
        (0..partitions).map(read).collect()
    }
}

/// An acknowledged or refused record.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub id: u64,
    pub partition: i32,
    pub outcome: Result<i64, RDKafkaErrorCode>,
    pub at: Instant,
}

pub struct Deliveries(Arc<Mutex<Vec<Delivery>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Box<u64>) {
        let at = Instant::now();
        let delivery = match result {
            Ok(message) => {
                Delivery { id: *id, partition: message.partition(), outcome: Ok(message.offset()), at }
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap();
                Delivery { id: *id, partition: message.partition(), outcome: Err(code), at }
            }
        };
        self.0.lock().unwrap().push(delivery);
    }
}

pub struct Producer {
    inner: ThreadedProducer<Deliveries>,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Producer {
    /// Queues a record, and waits while the queue is full.
    pub fn send(&self, topic: &str, partition: i32, id: u64, value: &[u8]) {
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(id)).partition(partition).payload(value);
        let key = id.to_be_bytes();
        record = record.key(&key[..]);
        let started = Instant::now();
        loop {
            match self.inner.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    assert!(started.elapsed() < PATIENCE, "the queue stays full");
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    /// Queues a record, and returns the client's result at once.
    pub fn try_send(&self, topic: &str, id: u64, value: &[u8]) -> Result<(), KafkaError> {
        let record = BaseRecord::<[u8], [u8], Box<u64>>::with_opaque_to(topic, Box::new(id)).payload(value);
        self.inner.send(record).map_err(|(error, _)| error)
    }

    pub fn delivered(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    /// Waits until this many records are acknowledged or refused.
    pub fn wait_for(&self, deliveries: usize) {
        wait_until("deliveries", || self.delivered() >= deliveries);
    }

    /// Waits for all queued records. Returns the result of each.
    pub fn finish(self) -> Vec<Delivery> {
        self.inner.flush(PATIENCE).unwrap();
        self.deliveries.lock().unwrap().clone()
    }

    /// Like [`Producer::finish`], but asserts that every record was acknowledged.
    pub fn finish_acknowledged(self) -> Vec<Delivery> {
        let deliveries = self.finish();
        let refused = deliveries.iter().find(|delivery| delivery.outcome.is_err());
        assert!(refused.is_none(), "{refused:?}");
        deliveries
    }
}

/// Returns the next message. Panics if none comes in time.
pub fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => return message,
            // The broker was killed; the client reconnects by itself.
            Some(Err(KafkaError::MessageConsumption(code))) if is_connection(code) => {}
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    panic!("no message within {PATIENCE:?}");
}

fn is_connection(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
}

pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns incompressible bytes, the same for the same seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    use rand::{RngExt as _, SeedableRng as _};
    let mut noise = vec![0; bytes];
    rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill(&mut noise[..]);
    noise
}
