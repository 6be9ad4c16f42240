//! Passes a request's body to the thread that calls the engine, no faster than the engine reads it.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// Frames that are read ahead of the engine.
const FRAMES_AHEAD: usize = 4;

/// A request whose body sends nothing for this long fails, because it holds one of the connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a body that are read and dropped after the answer. Some clients send the whole body before they read the answer,
/// and would not see an error otherwise.
const DRAIN_LIMIT: usize = 64 << 20;

/// The bytes of a body as they arrive. Reading fails if the body is cut off.
pub(super) struct BodyReader {
    frames: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    /// The place of a form among those in memory.
    _form: Option<OwnedSemaphorePermit>,
}

/// Starts reading a body, a few frames ahead of its reader.
pub(super) fn frames(body: Incoming) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
    tokio::spawn(pump(body, sender));
    frames
}

impl BodyReader {
    pub(super) fn new(body: Incoming) -> Self {
        Self { frames: frames(body), current: Bytes::new(), _form: None }
    }

    /// An empty body, for a request whose form has been read and keeps its place.
    pub(super) fn of_form(place: OwnedSemaphorePermit) -> Self {
        let (_, frames) = mpsc::channel(1);
        Self { frames, current: Bytes::new(), _form: Some(place) }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.frames.blocking_recv() {
                Some(frame) => self.current = frame?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        let (Some(target), Some(source)) = (buffer.get_mut(..length), self.current.get(..length)) else {
            return Ok(0);
        };
        target.copy_from_slice(source);
        self.current.advance(length);
        Ok(length)
    }
}

async fn pump(mut body: Incoming, sender: mpsc::Sender<io::Result<Bytes>>) {
    let mut unwanted = 0;
    while let Some(frame) = next_frame(&mut body).await {
        if sender.is_closed() {
            unwanted += frame.as_ref().map_or(DRAIN_LIMIT, Bytes::len);
            if unwanted >= DRAIN_LIMIT {
                return;
            }
        } else {
            let broken = frame.is_err();
            let _ = sender.send(frame).await;
            if broken {
                return;
            }
        }
    }
}

async fn next_frame(body: &mut Incoming) -> Option<io::Result<Bytes>> {
    loop {
        return match timeout(IDLE_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Some(Ok(data)),
                Err(_trailers) => continue,
            },
            Ok(Some(Err(error))) => Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))),
            Ok(None) => None,
            Err(_elapsed) => Some(Err(io::ErrorKind::TimedOut.into())),
        };
    }
}
