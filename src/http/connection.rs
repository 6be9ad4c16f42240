//! The connections of the API. A request that hyper cannot parse (a URL of more than 65,534 bytes, too many headers, not HTTP) never
//! reaches a handler: hyper answers without a body, and closes the connection while the client may still be sending. This module adds
//! the body that every error has, and makes sure that the client receives it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{StatusCode, header};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::head;
use super::parameters::{MAX_QUERY_BYTES, SHOWN_CHARACTERS, query_too_long};
use super::places::Place;
use super::problem::{self, Problem};
use super::unread;

/// Bytes of a request's first line that are kept: more than any line with a URL that hyper accepts.
const MAX_LINE: usize = 66_000;

/// Most bytes of a response that hyper writes itself.
const MAX_BARE: usize = 200;

/// How long a client may read nothing of a response.
const MAX_STALL: Duration = Duration::from_secs(300);

/// A connection on which every error has a body.
#[derive(Debug)]
pub struct Connection<C> {
    inner: C,
    place: Arc<Place>,
    line: Line,
    /// Everything so far has been flushed. A response of hyper's own begins at such a point, and is sent alone.
    is_flushed: bool,
    /// The unsent rest of the response that replaces hyper's. It is the last on this connection.
    answer: Option<Bytes>,
    rest: Option<Rest>,
    /// Runs while the client reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Reads what a client still sends after its response is out. Closing earlier would reset the connection, and the response would be lost.
#[derive(Debug)]
struct Rest {
    patience: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<C> Connection<C> {
    pub fn new(inner: C, place: Arc<Place>) -> Self {
        Self {
            inner,
            place,
            line: Line::default(),
            is_flushed: true,
            answer: None,
            rest: None,
            stalled: None,
        }
    }
}

impl<C: AsyncWrite + Unpin> Connection<C> {
    /// Sends the bytes of hyper, or the response that replaces them.
    fn send(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.answer.is_none() && self.is_flushed {
            self.answer = bare_answer(pieces).map(|bare| with_body(&bare, &self.line));
        }
        let Some(answer) = &mut self.answer else {
            (self.line, self.is_flushed) = (Line::default(), false);
            let sent = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
            return in_time(&mut self.stalled, &self.place, context, sent);
        };
        while answer.has_remaining() {
            let sent = Pin::new(&mut self.inner).poll_write(context, answer);
            let sent = ready!(in_time(&mut self.stalled, &self.place, context, sent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            answer.advance(sent);
        }
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }
}

/// Gives up a client that has read nothing for [`MAX_STALL`].
fn in_time(
    stalled: &mut Option<Pin<Box<Sleep>>>,
    place: &Place,
    context: &mut Context<'_>,
    sent: Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if sent.is_ready() {
        if stalled.take().is_some() {
            place.stalls(false);
        }
        return sent;
    }
    place.stalls(true);
    let stalled = stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(MAX_STALL)));
    ready!(stalled.as_mut().poll(context));
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<C: AsyncRead + Unpin> AsyncRead for Connection<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.line.see(&buffer.filled()[before..]);
        self.place.is_sent_to();
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.send(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
        }
        if this.answer.is_none() {
            return Poll::Ready(Ok(()));
        }
        let rest = this.rest.get_or_insert_with(|| Rest {
            patience: Box::pin(tokio::time::sleep(unread::MAX_TIME)),
            bytes: unread::MAX_BYTES,
        });
        let mut buffer = [0; 8192];
        while rest.bytes > 0 && rest.patience.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut this.inner).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            rest.bytes = rest.bytes.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

/// The first line that arrived since something was last sent. It is that of the request, unless two requests arrived in one piece.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Its end has arrived.
    is_whole: bool,
}

impl Line {
    fn see(&mut self, mut bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.bytes.len());
        if self.is_whole || room == 0 {
            return;
        }
        // Empty lines before a request do not count (RFC 9112, section 2.2).
        while let ([], [b'\r' | b'\n', rest @ ..]) = (self.bytes.as_slice(), bytes) {
            bytes = rest;
        }
        let seen = bytes.get(..room).unwrap_or(bytes);
        let end = seen.iter().position(|byte| *byte == b'\n');
        self.is_whole = end.is_some();
        self.bytes.extend_from_slice(seen.get(..end.unwrap_or(seen.len())).unwrap_or(seen));
    }

    /// Returns the method, the path and the query. Each is empty if it is missing.
    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let mut words = self.bytes.split(|byte| matches!(byte, b' ' | b'\r'));
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        (method, halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    }

    /// What is wrong with a request that hyper answered with this status.
    fn problem(&self, status: StatusCode) -> Problem {
        let (_, _, query) = self.parts();
        // Beyond its buffer hyper gives up before it knows whether the URL or a header is too long.
        let is_too_large = status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let is_cut = self.bytes.len() == MAX_LINE;
        let is_too_long = status == StatusCode::URI_TOO_LONG || is_too_large && is_cut;
        if is_too_long && query.len() > MAX_QUERY_BYTES {
            query_too_long(query)
        } else if is_too_long {
            let detail = "the URL is longer than 65,534 bytes; shorten it";
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
        } else if is_too_large {
            head::too_large()
        } else {
            let detail =
                "this is not an HTTP/1.1 request; its first line or one of its headers cannot be read";
            Problem::new(status, "bad_request", detail)
        }
    }
}

/// A response that hyper writes itself.
struct Bare<'a> {
    status: StatusCode,
    head: &'a str,
}

/// Recognizes a response that no handler writes: an error without a body, with only the headers that hyper adds.
fn bare_answer<'a>(pieces: &'a [IoSlice<'_>]) -> Option<Bare<'a>> {
    let [piece] = pieces else { return None };
    let head = std::str::from_utf8(piece.get(..MAX_BARE).unwrap_or(piece)).ok()?;
    let mut lines = head.strip_suffix("\r\n\r\n")?.split("\r\n");
    let first = lines.next()?;
    let status = first.strip_prefix("HTTP/1.1 4").or_else(|| first.strip_prefix("HTTP/1.0 4"))?;
    let status = match status.get(..3)? {
        "00 " => StatusCode::BAD_REQUEST,
        "14 " => StatusCode::URI_TOO_LONG,
        "31 " => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => return None,
    };
    let is_hypers =
        |line: &str| line == "content-length: 0" || line == "connection: close" || line.starts_with("date: ");
    (head.len() == piece.len() && lines.all(is_hypers)).then_some(Bare { status, head })
}

/// Returns the response with a body. The other headers (`connection`, `date`) stay.
fn with_body(bare: &Bare<'_>, line: &Line) -> Bytes {
    let problem = line.problem(bare.status);
    let (method, path, _) = line.parts();
    let path: String = String::from_utf8_lossy(path).chars().take(SHOWN_CHARACTERS).collect();
    tracing::debug!(path, code = problem.code(), "a request could not be parsed");
    // Text and numbers are always JSON.
    let body = serde_json::to_vec(&problem.body(&path)).unwrap_or_default();
    let status = problem.status();
    let version = bare.head.split(' ').next().unwrap_or_default();
    let mut answer =
        format!("{version} {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let length = format!("{}: ", header::CONTENT_LENGTH);
    let kept = bare.head.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with(&length));
    for line in kept {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer.push_str(&format!(
        "{}: {}\r\n{length}{}\r\n\r\n",
        header::CONTENT_TYPE,
        problem::CONTENT_TYPE,
        body.len()
    ));
    let mut answer = answer.into_bytes();
    if method != b"HEAD" {
        answer.extend_from_slice(&body);
    }
    answer.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const BARE: &str = "HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\
                        date: Sat, 21 Nov 2026 23:00:00 GMT\r\n\r\n";

    /// Answers a request in pieces, of which the client reads at most so many bytes at once. Returns what arrives.
    fn sent(pieces: &[Vec<u8>], at_once: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (ours, mut theirs) = duplex(at_once);
            let mut connection = Connection::new(ours, Arc::default());
            let answering = async move {
                connection.read_u8().await.unwrap();
                for piece in pieces {
                    connection.write_all(piece).await.unwrap();
                }
                connection.shutdown().await.unwrap();
            };
            let mut arrived = Vec::new();
            let asking = async {
                theirs.write_all(b"?").await.unwrap();
                theirs.read_to_end(&mut arrived).await.unwrap();
                drop(theirs);
            };
            tokio::join!(answering, asking);
            arrived
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (ours, _theirs) = duplex(1000);
        let mut connection = Connection::new(ours, Arc::default());
        let started = tokio::time::Instant::now();
        let error = connection.write_all(&[b'x'; 2000]).await.unwrap_err();
        assert_eq!(
            (error.kind(), started.elapsed().as_secs()),
            (io::ErrorKind::TimedOut, MAX_STALL.as_secs())
        );
    }

    /// Pieces that are not a response of hyper's own, though some look like one or contain one.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..300),
            (1..BARE.len()).prop_map(|end| BARE.as_bytes()[..end].to_vec()),
            Just(BARE.replace("414", "404").into_bytes()),
            Just(BARE.replace(": 0", ": 7").into_bytes()),
            Just(BARE.replace("date", "location").into_bytes()),
            Just(format!("{BARE}behind").into_bytes()),
            Just(format!("before{BARE}").into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn responses_of_handlers_arrive_unchanged(
            head in piece(),
            body in prop::collection::vec(prop_oneof![piece(), Just(BARE.into())], 0..9),
            at_once in 1_usize..500,
        ) {
            let pieces = [vec![head], body].concat();
            prop_assert_eq!(sent(&pieces, at_once), pieces.concat());
        }

        #[test]
        fn a_response_of_hyper_arrives_with_a_body(at_once in 1_usize..500) {
            let text = String::from_utf8(sent(&[BARE.into()], at_once)).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            prop_assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"), "{}", head);
            prop_assert!(body.contains(r#""code":"bad_request""#), "{}", body);
        }

        /// In pieces of any size, and after any number of empty lines.
        #[test]
        fn the_first_line_is_parsed(
            before in "(\r?\n){0,3}",
            query in "[a-z=&]{0,40}",
            cuts in prop::collection::vec(0_usize..200, 0..9),
        ) {
            let text = format!("{before}GET /path?{query} HTTP/1.1\r\nhost: /other?x=y\r\n\r\n");
            let (mut line, mut rest) = (Line::default(), text.as_bytes());
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                line.see(piece);
                rest = behind;
            }
            line.see(rest);
            prop_assert_eq!(line.parts(), (b"GET".as_slice(), b"/path".as_slice(), query.as_bytes()));
        }
    }
}
