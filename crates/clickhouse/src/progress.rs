//! `X-ClickHouse-Progress`: headers that are sent while a statement runs (`send_progress_in_http_headers=1`).
//!
//! ClickHouse sends the first line of an answer and these headers early, and the rest of the head when the result begins. hyper
//! writes a head as a whole, so the lines go to the socket in front of it, and its first line is left out then. The status is 200
//! by that time, even if the statement fails later: then there is an `X-ClickHouse-Exception-Code`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use roundhouse_part::lock::lock;

const FIRST_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// Time between two headers unless the request says otherwise, and at least.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The part of an answer's head that is sent early. Shared by a connection and the request that it is answering.
#[derive(Clone, Debug, Default)]
pub(super) struct EarlyHead(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Lines that are not yet on their way.
    waiting: Vec<u8>,
    /// The first line was sent: hyper's is to be left out.
    begun: bool,
}

impl EarlyHead {
    /// Adds a progress header to the head of the answer that is being waited for. The connection sends it when it is polled next.
    pub(super) fn add_progress(&self, progress: &str) {
        let mut state = lock(&self.0);
        if !state.begun {
            state.begun = true;
            state.waiting.extend_from_slice(FIRST_LINE);
        }
        state.waiting.extend_from_slice(format!("X-ClickHouse-Progress: {progress}\r\n").as_bytes());
    }
}

/// A socket that sends an [`EarlyHead`] in front of what is written to it.
#[derive(Debug)]
pub(super) struct EarlySocket<S> {
    socket: S,
    early: EarlyHead,
}

impl<S: AsyncWrite + Unpin> EarlySocket<S> {
    pub(super) fn new(socket: S, early: EarlyHead) -> Self {
        Self { socket, early }
    }

    fn poll_early(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.early.0);
        while !state.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &state.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            state.waiting.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// The bytes of `head` that were sent early already: its first line, once.
    fn sent_already(&self, head: &[u8]) -> usize {
        let begun = std::mem::take(&mut lock(&self.early.0).begun);
        let first_line = memchr::memmem::find(head, b"\r\n").map_or(0, |end| end + 2);
        if begun && head.starts_with(b"HTTP/") { first_line } else { 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EarlySocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EarlySocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_early(context))?;
        match self.sent_already(bytes) {
            0 => Pin::new(&mut self.socket).poll_write(context, bytes),
            sent => Poll::Ready(Ok(sent)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_early(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_early(context))?;
        match self.sent_already(slices.first().map_or(b"".as_slice(), |first| first)) {
            0 => Pin::new(&mut self.socket).poll_write_vectored(context, slices),
            sent => Poll::Ready(Ok(sent)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_first_line_of_an_answer_is_sent_once() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let early = EarlyHead::default();
        let mut socket = EarlySocket::new(near, early.clone());
        for progress in ["{1}", "{2}"] {
            early.add_progress(progress);
        }
        socket.flush().await.unwrap();
        let mut begun = vec![0; b"HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: {1}\r\n".len()];
        far.read_exact(&mut begun).await.unwrap();
        assert_eq!(begun, b"HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: {1}\r\n");
        // The answer, and the next one on the same connection.
        for _ in 0..2 {
            socket.write_all(b"HTTP/1.1 500 Error\r\nA: b\r\n\r\n").await.unwrap();
        }
        drop(socket);
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "X-ClickHouse-Progress: {2}\r\nA: b\r\n\r\nHTTP/1.1 500 Error\r\nA: b\r\n\r\n");
    }
}
