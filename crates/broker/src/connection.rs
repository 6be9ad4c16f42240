//! The connection of one client. It reads requests and writes answers in the order of the requests.
//!
//! Whatever a client sends, a connection uses no more memory for requests than the bytes received. A client that does not take its answers
//! gets no further ones: beyond [`MAX_UNSENT_BYTES`], its next request waits. A connection is closed if it is idle for long, or if it stops
//! in the middle of a request or of an answer ([`Limits`]).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::broker::{Answer, Broker, Ends};

/// Maximum bytes of a request, like Kafka's `socket.request.max.bytes`.
const MAX_FRAME_BYTES: usize = 100 << 20;

/// Bytes reserved before they have arrived.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// How many requests of a connection may wait for the disk at the same time.
const ANSWERS_AHEAD: usize = 16;

/// While this many bytes of answers wait to be sent, the next request is not handled. One answer may be larger.
const MAX_UNSENT_BYTES: usize = 1 << 20;

/// How long a connection stays open without a request, like Kafka's `connections.max.idle.ms`.
pub(crate) const MAX_IDLE: Duration = Duration::from_mins(10);

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until the first byte of the next request.
    pub idle: Duration,
    /// For the rest of a request.
    pub request: Duration,
    /// For the client to take an answer.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: MAX_IDLE, request: Duration::from_mins(1), answer: Duration::from_mins(1) }
    }
}

/// An answer that waits to be sent, and its part of [`MAX_UNSENT_BYTES`].
type Unsent = (Answer<'static>, OwnedSemaphorePermit);

/// Serves a client until it disconnects or sends an invalid request.
pub(crate) async fn serve(broker: Arc<Broker>, stream: TcpStream, limits: Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ends = Ends { broker: stream.local_addr()?, client: stream.peer_addr()? };
    let (reader, writer) = stream.into_split();
    let (answers, waiting) = mpsc::channel(ANSWERS_AHEAD);
    let requests = Requests { broker: &broker, ends, reader, limits, answers, room: Room::default() };
    // If reading ends, the remaining answers are still sent. If writing fails, nothing more is read.
    let reading = async { Ok(requests.answer_all().await) };
    let (read, ()) = tokio::try_join!(reading, write_answers(writer, waiting, limits.answer))?;
    read
}

/// The requests of a connection.
struct Requests<'a> {
    broker: &'a Broker,
    ends: Ends,
    reader: OwnedReadHalf,
    limits: Limits,
    answers: mpsc::Sender<Unsent>,
    room: Room,
}

/// Room for answers that wait to be sent.
#[derive(Debug)]
struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UNSENT_BYTES)))
    }
}

impl Room {
    /// Waits until there is some room.
    async fn wait(&self) {
        drop(self.0.acquire().await);
    }

    /// Waits until there is room for an answer. A large one takes all.
    async fn take(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(MAX_UNSENT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(bytes).await.map_err(io::Error::other)
    }
}

impl Requests<'_> {
    /// Answers requests until the client disconnects or sends an invalid one.
    async fn answer_all(mut self) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut self.reader, self.limits).await? {
            self.room.wait().await;
            let answer = match self.broker.answer(frame, self.ends).await {
                Ok(Answer::None) => continue,
                Ok(Answer::Now(bytes)) => Answer::Now(bytes),
                Ok(Answer::Later(answer)) => Answer::Later(answer),
                Ok(Answer::Wait(answer)) => tokio::select! {
                    bytes = answer => Answer::Now(bytes),
                    () = disconnected(&mut self.reader) => return Ok(()),
                },
                Err(refusal) => {
                    tracing::debug!(%refusal, "connection closed");
                    return Ok(());
                }
            };
            let bytes = if let Answer::Now(bytes) = &answer { bytes.len() } else { 0 };
            let room = self.room.take(bytes).await?;
            if self.answers.send((answer, room)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Waits until the client closes the connection: for ever, if it has sent another request.
async fn disconnected(reader: &mut OwnedReadHalf) {
    if let Ok(1..) = reader.peek(&mut [0]).await {
        std::future::pending().await
    }
}

async fn write_answers(
    mut writer: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Unsent>,
    limit: Duration,
) -> io::Result<()> {
    while let Some((answer, _room)) = waiting.recv().await {
        let bytes = match answer {
            Answer::Now(bytes) => bytes,
            Answer::Later(answer) | Answer::Wait(answer) => answer.await,
            Answer::None => continue,
        };
        timeout(limit, writer.write_all(&bytes)).await??;
    }
    Ok(())
}

/// Reads a frame, including its length. Returns `None` if the client has closed the connection between two frames, or sends nothing for
/// too long.
async fn read_frame(reader: &mut OwnedReadHalf, limits: Limits) -> io::Result<Option<Bytes>> {
    let (mut first, mut rest) = ([0], [0; 3]);
    match timeout(limits.idle, reader.read(&mut first)).await {
        Ok(Ok(1..)) => {}
        Ok(Ok(0)) | Err(_) => return Ok(None),
        Ok(Err(error)) => return Err(error),
    }
    let whole = async {
        reader.read_exact(&mut rest).await?;
        let ([first], [second, third, fourth]) = (first, rest);
        let prefix = [first, second, third, fourth];
        let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"));
        }
        let mut frame = BytesMut::with_capacity(4 + length.min(READ_AHEAD_BYTES));
        frame.extend_from_slice(&prefix);
        read_rest(reader, &mut frame, 4 + length).await?;
        Ok(Some(frame.freeze()))
    };
    timeout(limits.request, whole).await?
}

async fn read_rest(reader: &mut OwnedReadHalf, frame: &mut BytesMut, bytes: usize) -> io::Result<()> {
    let mut limited = reader.take((bytes - frame.len()) as u64);
    while frame.len() < bytes {
        // The buffer grows by doubling, so never by more than has arrived.
        frame.reserve((bytes - frame.len()).min(frame.len().max(READ_AHEAD_BYTES)));
        if limited.read_buf(frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::tests::{PATIENCE, TestBroker, join_request};

    const SHORT: Duration = Duration::from_millis(50);

    /// Connects to a broker with these limits.
    async fn connect(broker: &TestBroker, limits: Limits) -> TcpStream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (server, _) = listener.accept().await.expect("accepted");
        tokio::spawn(serve(Arc::clone(&broker.broker), server, limits));
        client
    }

    async fn is_closed(mut client: TcpStream) {
        let closed = timeout(PATIENCE, client.read_to_end(&mut Vec::new())).await;
        assert!(matches!(closed.expect("the connection is closed"), Ok(0) | Err(_)));
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let broker = TestBroker::start().await;
        is_closed(connect(&broker, Limits { idle: SHORT, ..Limits::default() }).await).await;
    }

    #[tokio::test]
    async fn a_connection_that_stops_in_the_length_of_a_request_is_closed() {
        let broker = TestBroker::start().await;
        for bytes in [&[0][..], &[0, 0, 0], &[0, 0, 0, 9, 1]] {
            let mut client = connect(&broker, Limits { request: SHORT, ..Limits::default() }).await;
            client.write_all(bytes).await.expect("sent");
            is_closed(client).await;
        }
    }

    #[tokio::test]
    async fn the_next_request_waits_until_a_large_answer_is_sent() {
        let room = Room::default();
        let small = room.take(1_000).await.expect("room");
        room.wait().now_or_never().expect("there is more room");
        let mut large = Box::pin(room.take(8 << 20));
        assert!((&mut large).now_or_never().is_none(), "a large answer takes all");
        drop(small);
        let large = large.now_or_never().expect("alone").expect("room");
        assert!(room.wait().now_or_never().is_none());
        drop(large);
        room.wait().now_or_never().expect("it is sent");
    }

    #[tokio::test]
    async fn a_member_whose_client_disconnects_while_it_joins_leaves_its_group() {
        let broker = TestBroker::start().await;
        let mut client = connect(&broker, Limits::default()).await;
        client.write_all(&join_request("group")).await.expect("sent");
        let members = || broker.broker.groups.describe("group").members.len();
        // The timers of the groups do not run here, so the join waits for ever.
        wait_until(|| members() == 1).await;
        drop(client);
        wait_until(|| members() == 0).await;
    }

    async fn wait_until(condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it takes too long");
    }
}
