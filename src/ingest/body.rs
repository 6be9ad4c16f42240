//! A body that arrives piece by piece: counted, limited, and not waited for without end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use thiserror::Error;

/// Why a body is not read on.
#[derive(Debug, Error)]
pub enum BodyError {
    #[error("the file broke off after {bytes} bytes: {reason}")]
    BrokenOff { reason: String, bytes: u64 },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
}

/// A body that is taken piece by piece.
#[derive(Debug)]
pub struct Body<S> {
    stream: S,
    limit: u64,
    idle: Duration,
    bytes: u64,
    ended: bool,
}

impl<S, E> Body<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// `limit`: bytes of the whole; `idle`: how long the next piece may take.
    pub fn new(stream: S, limit: u64, idle: Duration) -> Self {
        Self { stream, limit, idle, bytes: 0, ended: false }
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next piece; none at the end.
    ///
    /// # Errors
    /// The sender went away or is silent, or there are more bytes than allowed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.ended {
            return Ok(None);
        }
        let broken_off = |reason: String, bytes| BodyError::BrokenOff { reason, bytes };
        let next = tokio::time::timeout(self.idle, self.stream.next()).await.map_err(|_| {
            broken_off(format!("nothing came for {} seconds", self.idle.as_secs()), self.bytes)
        })?;
        match next {
            None => {
                self.ended = true;
                Ok(None)
            }
            Some(Err(error)) => Err(broken_off(error.to_string(), self.bytes)),
            Some(Ok(piece)) => {
                self.bytes += piece.len() as u64;
                if self.bytes > self.limit {
                    return Err(BodyError::TooLarge { limit: self.limit });
                }
                Ok(Some(piece))
            }
        }
    }
}
