//! The connections to ClickHouse. All statements go through this module, and none of them waits forever for an answer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use clickhouse::Client;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use crate::counted::counted;

/// Time limit for opening a connection to ClickHouse.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Less than the 3 seconds after which ClickHouse closes an idle connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

const KEEPALIVE: Duration = Duration::from_secs(60);

/// Returns a client whose statements fail if ClickHouse sends nothing for `silence` while an answer is due.
///
/// # Errors
/// `is_https` is set, and the system's certificates cannot be read.
pub(super) fn client(is_https: bool, silence: Duration) -> io::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.enforce_http(!is_https);
    let connector = Connector { tcp, silence };
    let mut builder = HttpClient::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE_TIMEOUT);
    if !is_https {
        return Ok(Client::with_http_client(builder.build(connector)));
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
    let connector = tls.https_only().enable_http1().wrap_connector(connector);
    Ok(Client::with_http_client(builder.build(connector)))
}

/// Opens connections that fail if the other side sends nothing for too long.
#[derive(Clone, Debug)]
struct Connector {
    tcp: HttpConnector,
    silence: Duration,
}

impl Service<Uri> for Connector {
    type Response = Impatient<<HttpConnector as Service<Uri>>::Response>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, silence) = (self.tcp.call(uri), self.silence);
        Box::pin(async move { Ok(Impatient { inner: connecting.await?, silence, waiting: None }) })
    }
}

/// A connection that fails if nothing arrives for `silence` after something was last sent or received.
#[derive(Debug)]
struct Impatient<C> {
    inner: C,
    silence: Duration,
    /// The timer, while an answer is due.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<C: Read + Unpin> Read for Impatient<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.waiting = None;
            return Poll::Ready(read);
        }
        let silence = this.silence;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence)));
        ready!(waiting.as_mut().poll(context));
        // This also closes a connection that was only kept for the next statement.
        let reason = format!("nothing was received for {}", counted(silence.as_secs(), "second"));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl<C: Write + Unpin> Impatient<C> {
    /// Restarts the timer after something was sent.
    fn sent(&mut self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (true, Some(waiting)) = (sent.is_ready(), &mut self.waiting) {
            waiting.as_mut().reset(Instant::now() + self.silence);
        }
        sent
    }
}

impl<C: Write + Unpin> Write for Impatient<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<C: Connection> Connection for Impatient<C> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Starts a server that answers with `pieces` of a row, with a `pause` before each, and then sends nothing more.
    async fn ask(pieces: usize, pause: Duration) -> Result<String, clickhouse::error::Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            assert!(connection.read(&mut [0; 4096]).await.unwrap() > 0);
            for piece in 0..pieces {
                tokio::time::sleep(pause).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
                let text = if piece == 0 { format!("{head}x") } else { "x".to_owned() };
                connection.write_all(text.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await
        });
        let client = client(false, Duration::from_millis(500)).unwrap().with_url(url);
        let mut cursor = client.query_raw("SELECT 1").fetch_bytes("TSV")?;
        let mut text = String::new();
        while let Some(bytes) = cursor.next().await? {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        Ok(text)
    }

    #[tokio::test]
    async fn a_statement_fails_if_clickhouse_stops_sending() {
        assert_eq!(ask(4, Duration::ZERO).await.unwrap(), "xxxx");
        // The whole answer takes longer than the limit, but no single pause does.
        assert_eq!(ask(4, Duration::from_millis(200)).await.unwrap(), "xxxx");
        for pieces in [0, 1, 3] {
            let error = ask(pieces, Duration::ZERO).await.unwrap_err();
            assert!(matches!(error, clickhouse::error::Error::Network(_)), "{pieces}: {error:?}");
        }
    }
}
