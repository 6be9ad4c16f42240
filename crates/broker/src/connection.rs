//! The connection of one client. It reads requests and writes answers in the order of the requests.
//!
//! Whatever a client sends, a connection uses no more memory than the bytes received. A connection that stops in the middle of a request
//! is closed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::{Answer, Broker, Ends};

/// Maximum bytes of a request, like Kafka's `socket.request.max.bytes`.
const MAX_FRAME_BYTES: usize = 100 << 20;

/// Bytes reserved before they have arrived.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Time limit for the rest of a request once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit for the client to accept an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many requests of a connection may wait for the disk at the same time.
const ANSWERS_AHEAD: usize = 16;

/// Serves a client until it disconnects or sends an invalid request.
pub(crate) async fn serve(broker: Arc<Broker>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ends = Ends { broker: stream.local_addr()?, client: stream.peer_addr()? };
    let (reader, writer) = stream.into_split();
    let (answers, waiting) = mpsc::channel(ANSWERS_AHEAD);
    let (read, written) =
        tokio::join!(read_requests(&broker, ends, reader, answers), write_answers(writer, waiting));
    read.and(written)
}

async fn read_requests(
    broker: &Broker,
    ends: Ends,
    mut reader: OwnedReadHalf,
    answers: mpsc::Sender<Answer>,
) -> io::Result<()> {
    while let Some(frame) = read_frame(&mut reader).await? {
        match broker.answer(frame, ends).await {
            Ok(Answer::None) => {}
            Ok(answer) => {
                if answers.send(answer).await.is_err() {
                    return Ok(());
                }
            }
            Err(refusal) => {
                tracing::debug!(%refusal, "connection closed");
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn write_answers(mut writer: OwnedWriteHalf, mut waiting: mpsc::Receiver<Answer>) -> io::Result<()> {
    while let Some(answer) = waiting.recv().await {
        let bytes = match answer {
            Answer::Now(bytes) => bytes,
            Answer::Later(answer) => answer.await,
            Answer::None => continue,
        };
        timeout(WRITE_TIMEOUT, writer.write_all(&bytes)).await??;
    }
    Ok(())
}

/// Reads a frame, including its length. Returns `None` if the client has closed the connection between two frames.
async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<Option<Bytes>> {
    let mut prefix = [0; 4];
    if let Err(error) = reader.read_exact(&mut prefix).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"));
    }
    let mut frame = BytesMut::with_capacity(4 + length.min(READ_AHEAD_BYTES));
    frame.extend_from_slice(&prefix);
    timeout(FRAME_TIMEOUT, read_rest(reader, &mut frame, 4 + length)).await??;
    Ok(Some(frame.freeze()))
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
