//! A broker without a process and a port: requests are passed to it as bytes, as a connection does.

mod limits;
mod offsets;

use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::broker::{Answer, Ends};
use crate::error_code::ErrorCode;
use crate::wire::{Reader, Writer};

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestBroker {
    pub broker: Arc<Broker>,
    pub directory: Arc<tempfile::TempDir>,
}

impl TestBroker {
    pub async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("temporary directory"))).await
    }

    async fn start_in(directory: Arc<tempfile::TempDir>) -> Self {
        let broker = Self::open(directory.path()).await;
        Self { broker, directory }
    }

    async fn open(directory: &Path) -> Arc<Broker> {
        let broker = open(directory, 100, CancellationToken::new()).await.expect("opened");
        broker.transactions.recover().await;
        broker
    }

    /// Starts another broker with the files as they are now, as after a kill.
    pub async fn restart(self) -> Self {
        let Self { broker, directory } = self;
        drop(broker);
        Self::start_in(directory).await
    }

    /// Sends a request, and returns a reader of the answer's body.
    pub async fn ask(
        &self,
        key: i16,
        version: i16,
        flexible: bool,
        body: impl FnOnce(&mut Writer),
    ) -> Reader {
        let request = request(key, version, flexible, body);
        let address = SocketAddr::from(([127, 0, 0, 1], 9092));
        let answer = self.broker.answer(request, Ends { broker: address, client: address }).await;
        let bytes = match answer.expect("an answer") {
            Answer::Now(bytes) => bytes,
            Answer::Later(answer) | Answer::Wait(answer) => answer.await,
            Answer::None => Bytes::new(),
        };
        let mut reader = Reader::new(bytes.slice(8..), flexible);
        reader.tags().expect("the end of the header");
        reader
    }

    pub async fn create_topic(&self, name: &str, partitions: i32) {
        let mut answer = self
            .ask(19, 1, false, |request| {
                request.array(1).string(name).i32(partitions).i16(1).array(0).array(0).i32(1_000).bool(false);
            })
            .await;
        let results = answer.structs(|topic| Ok((topic.text()?, topic.i16()?, topic.string()?)));
        assert_eq!(results.expect("an answer"), [(name.to_owned(), 0, None)]);
    }

    pub async fn delete_topic(&self, name: &str) {
        let mut answer = self
            .ask(20, 0, false, |request| {
                request.array(1).string(name).i32(1_000);
            })
            .await;
        let results = answer.structs(|topic| Ok((topic.text()?, topic.i16()?)));
        assert_eq!(results.expect("an answer"), [(name.to_owned(), 0)]);
    }
}

/// Returns the number of an error, or 0.
pub(crate) fn number(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, ErrorCode::number)
}

/// Returns the frame of a request.
fn request(key: i16, version: i16, flexible: bool, body: impl FnOnce(&mut Writer)) -> Bytes {
    // Its first field is its key and version, where an answer has its correlation id.
    let mut request = Writer::answer(i32::from(key) << 16 | i32::from(version), 256, false);
    request.i32(7).nullable_string(Some("tests"));
    let mut request = request.flexible(flexible);
    request.tags();
    body(&mut request);
    request.finish()
}

/// Returns a join of a new consumer that need not ask for its member id.
pub(crate) fn join_request(group: &str) -> Bytes {
    request(11, 3, false, |request| {
        request.string(group).i32(60_000).i32(60_000).string("").string("consumer");
        request.array(1).string("range").bytes(&[]);
    })
}
