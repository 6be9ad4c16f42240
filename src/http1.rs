//! HTTP/1.1 as the API and the embedded ClickHouse speak it: until they are told to stop.

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use tokio_util::sync::CancellationToken;

/// Any error of a service or of a body.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Speaks on a connection until it ends; after `stop` until the request that is under way has been answered.
pub(crate) async fn converse<I, S, B>(connection: Connection<I, S>, stop: &CancellationToken)
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
        tracing::debug!(%error, "a connection ended early");
    }
}
