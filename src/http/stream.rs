//! Responses that are sent while they are read from ClickHouse.

use std::time::Duration;

use axum::body::{Body, Bytes};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::warehouse::client::WarehouseError;
use crate::warehouse::limited::Rows;

/// How long a client may take to receive a response of some megabytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most pieces that wait for the client.
const PIECES: usize = 2;

/// Bytes of a piece.
pub const PIECE_BYTES: usize = 64 << 10;

/// A response in pieces.
pub trait Pieces: Send + 'static {
    /// Returns the next piece, or none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, WarehouseError>> + Send;
}

impl Pieces for Rows {
    async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        Self::next(self).await
    }
}

/// Sends `start`, the pieces, and `end`. A task reads the pieces. When the client goes away or is too slow, the task and the query stop
/// and the permit is free again. A response that breaks off closes its connection, so that no client takes it for a complete one.
pub fn body(start: Vec<Bytes>, mut pieces: impl Pieces, end: Bytes, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let sending = async {
            for piece in start {
                sender.send(Ok(piece)).await.ok()?;
            }
            loop {
                match pieces.next().await {
                    Ok(Some(piece)) => sender.send(Ok(piece)).await.ok()?,
                    Ok(None) => return sender.send(Ok(end)).await.ok(),
                    Err(error) => {
                        tracing::error!(%error, "a response broke off");
                        return sender.send(Err(error)).await.ok();
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, sending).await.is_err() {
            tracing::warn!("a client was too slow to receive a response, which was broken off");
            // The permit is free for others. The client gets the error when it has read everything before it.
            drop((pieces, permit));
            let _ = sender.send(Err(WarehouseError::TimedOut)).await;
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

/// Writes an element of a JSON array. The caller writes the brackets.
pub fn push_element(piece: &mut Vec<u8>, is_first: &mut bool, element: &impl Serialize) {
    if !std::mem::take(is_first) {
        piece.push(b',');
    }
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(piece, element);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use tokio::sync::Semaphore;

    use super::*;

    /// Pieces without an end.
    struct Endless;

    impl Pieces for Endless {
        async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
            Ok(Some(Bytes::from_static(b"piece")))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_too_slow_gets_an_error_and_not_an_end() {
        let queries = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&queries).acquire_owned().await.unwrap();
        let mut answer = body(Vec::new(), Endless, Bytes::new(), permit).into_data_stream();
        assert!(answer.next().await.unwrap().is_ok());
        tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
        assert_eq!(queries.available_permits(), 1);
        let mut last = None;
        while let Some(piece) = answer.next().await {
            last = Some(piece);
        }
        assert!(last.unwrap().is_err());
    }
}
