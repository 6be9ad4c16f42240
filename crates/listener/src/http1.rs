//! HTTP/1.1 connections of the API and of the embedded ClickHouse. Also the limit for a request's head, which the registry uses too.

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use tokio_util::sync::CancellationToken;

/// Any error of a service or of a body.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Maximum bytes of a request's head: its first line and its headers.
pub const MAX_HEAD_BYTES: usize = 128 << 10;

/// Bytes of a head that hyper may buffer. Hyper's own limit depends on how the bytes arrive: it rejects a head that is incomplete at this
/// size, but accepts one that a last, large read completes. So [`is_head_too_large`] decides, and this value only bounds memory.
pub const HEAD_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;

/// Whether a request's head is larger than [`MAX_HEAD_BYTES`], however its bytes arrived. Whitespace around header values does not belong
/// to the values and is not counted.
pub fn is_head_too_large<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    let target = [
        uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len()),
        uri.authority().map_or(0, |authority| authority.as_str().len()),
        uri.path_and_query().map_or(0, |path| path.as_str().len()),
    ];
    let first_line = request.method().as_str().len() + " ".len() + " HTTP/1.1\r\n".len();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + ": ".len() + value.len() + "\r\n".len());
    first_line + target.iter().sum::<usize>() + headers.sum::<usize>() + "\r\n".len() > MAX_HEAD_BYTES
}

/// Serves a connection until it ends. After `stop` the current request is still answered.
pub async fn converse<I, S, B>(connection: Connection<I, S>, stop: &CancellationToken)
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<AnyError>,
    B: Body + 'static,
    B::Error: Into<AnyError>,
{
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_head_counts() {
        let head = |target: &str, value: usize| {
            let head =
                format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(value));
            let request = Request::get(target).header("host", "localhost").header("x", "y".repeat(value));
            (head.len(), is_head_too_large(&request.body(()).unwrap()))
        };
        for target in ["/", "/a/b?c=d", "http://localhost:8000/?a"] {
            let rest = head(target, 0).0;
            assert_eq!(head(target, MAX_HEAD_BYTES - rest), (MAX_HEAD_BYTES, false), "{target}");
            assert_eq!(head(target, MAX_HEAD_BYTES - rest + 1), (MAX_HEAD_BYTES + 1, true), "{target}");
        }
    }
}
