//! A body that arrives piece by piece. Its bytes are counted and limited, and so is the time of waiting for it. It also ends when the
//! server stops, or when others wait for the slot of a slow sender.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::counted::counted;
use crate::settings::Limits;

/// Time of waiting for a sender over which its speed is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// The reason why reading a body stops.
#[derive(Debug, Error)]
pub enum BodyError {
    #[error("the file broke off after {}: {reason}", counted(*bytes, "byte"))]
    BrokenOff { reason: String, bytes: u64 },
    #[error("the file is larger than {}", counted(*limit, "byte"))]
    TooLarge { limit: u64 },
    #[error("upload too slow: {found} bytes/s, the minimum is {least}")]
    TooSlow { found: u64, least: u64 },
    #[error("upload stopped because others were waiting: {found} bytes/s, the minimum is then {least}")]
    GaveWay { found: u64, least: u64 },
    #[error("the server is stopping")]
    Stopping { bytes: u64 },
}

/// The stop of a server, for the bodies that it is reading.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// The server is asked to stop. No new body is read.
    pub begun: CancellationToken,
    /// The time of bodies that had begun is over.
    pub bodies_end: CancellationToken,
}

/// Limits of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes in all.
    pub bytes: u64,
    /// Time to wait for the next piece.
    pub idle: Duration,
    /// Minimum speed of the sender.
    pub rate: Option<RateLimit>,
    /// Minimum speed while others wait, in bytes per second.
    pub crowded: u64,
}

/// Minimum speed of a sender. Only the time of waiting for the sender counts, not that of waiting for the broker.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub bytes_per_second: u64,
    /// Time of waiting before the speed matters.
    pub grace: Duration,
}

impl BodyLimits {
    pub fn of(limits: &Limits) -> Self {
        let rate = (limits.upload_min_bytes_per_second > 0).then_some(RateLimit {
            bytes_per_second: limits.upload_min_bytes_per_second,
            grace: Duration::from_secs(limits.upload_grace_seconds),
        });
        Self {
            bytes: limits.max_upload_bytes,
            idle: Duration::from_secs(limits.upload_idle_seconds),
            rate,
            crowded: limits.upload_crowded_bytes_per_second,
        }
    }
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Body<S> {
    stream: S,
    limits: BodyLimits,
    stop: Stop,
    pace: Arc<Pace>,
    /// The first piece, if [`Body::begin`] has read it.
    first: Option<Bytes>,
    bytes: u64,
    /// Total time of waiting for the sender.
    waited: Duration,
    /// The same since the speed was last checked, and the bytes that arrived in that time.
    window: (Duration, u64),
    ended: bool,
}

impl<S, E> Body<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    pub fn new(stream: S, limits: BodyLimits, stop: Stop) -> Self {
        Self {
            stream,
            limits,
            stop,
            pace: Arc::default(),
            first: None,
            bytes: 0,
            waited: Duration::ZERO,
            window: (Duration::ZERO, 0),
            ended: false,
        }
    }

    /// Returns the number of bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how fast the sender is. Others may end the body with it.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Waits for the first piece. [`Body::next`] returns it.
    ///
    /// # Errors
    /// As [`Body::next`]; or the server is stopping.
    pub async fn begin(&mut self) -> Result<(), BodyError> {
        if self.stop.begun.is_cancelled() {
            return Err(BodyError::Stopping { bytes: 0 });
        }
        self.first = self.next().await?;
        Ok(())
    }

    /// Returns the next piece; none at the end.
    ///
    /// # Errors
    /// The sender disconnected, sends nothing, is too slow or has to give way; the body is too large; or the server has stopped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.ended {
            return Ok(None);
        }
        let asked = Instant::now();
        match self.wait().await? {
            None => {
                self.ended = true;
                Ok(None)
            }
            Some(Err(error)) => Err(BodyError::BrokenOff { reason: error.to_string(), bytes: self.bytes }),
            Some(Ok(piece)) => {
                self.bytes += piece.len() as u64;
                if self.bytes > self.limits.bytes {
                    return Err(BodyError::TooLarge { limit: self.limits.bytes });
                }
                self.check_rate(asked.elapsed(), piece.len() as u64)?;
                Ok(Some(piece))
            }
        }
    }

    /// Waits for the next piece, for a limited time.
    async fn wait(&mut self) -> Result<Option<Result<Bytes, E>>, BodyError> {
        self.pace.wait();
        let next = tokio::time::timeout(self.limits.idle, self.stream.next());
        let next = tokio::select! {
            biased;
            () = self.stop.bodies_end.cancelled() => return Err(BodyError::Stopping { bytes: self.bytes }),
            () = self.pace.until_it_gives_way() => {
                let found = self.pace.bytes_per_second().unwrap_or_default();
                return Err(BodyError::GaveWay { found, least: self.limits.crowded });
            }
            next = next => next.map_err(|_| {
                let reason = format!("no data for {}", counted(self.limits.idle.as_secs(), "second"));
                BodyError::BrokenOff { reason, bytes: self.bytes }
            })?,
        };
        self.pace.came_next(next.as_ref());
        Ok(next)
    }

    fn check_rate(&mut self, waited: Duration, bytes: u64) -> Result<(), BodyError> {
        let Some(rate) = self.limits.rate else { return Ok(()) };
        self.waited += waited;
        if self.waited <= rate.grace {
            return Ok(());
        }
        self.window = (self.window.0 + waited, self.window.1 + bytes);
        let (time, bytes) = self.window;
        if time < RATE_WINDOW {
            return Ok(());
        }
        self.window = (Duration::ZERO, 0);
        let found = bytes * 1000 / (time.as_millis().max(1) as u64);
        if found < rate.bytes_per_second {
            return Err(BodyError::TooSlow { found, least: rate.bytes_per_second });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Reads a body with a piece of 1,000 bytes each `interval`, and pauses for the same time after each. Returns the bytes read.
    async fn read(pieces: usize, interval: Duration, least: u64) -> Result<u64, BodyError> {
        let stream = futures_util::stream::iter(0..pieces).then(|_| async move {
            tokio::time::sleep(interval).await;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000]))
        });
        let rate = RateLimit { bytes_per_second: least, grace: Duration::from_secs(5) };
        let limits =
            BodyLimits { bytes: 1_000_000, idle: Duration::from_secs(60), rate: Some(rate), crowded: 0 };
        let mut body = Body::new(Box::pin(stream), limits, Stop::default());
        while body.next().await?.is_some() {
            // A slow broker.
            tokio::time::sleep(interval).await;
        }
        Ok(body.bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_for_the_sender_counts_as_slow() {
        assert_eq!(read(100, Duration::from_secs(1), 1000).await.unwrap(), 100_000);
        let error = read(100, Duration::from_secs(1), 1001).await.unwrap_err();
        assert!(matches!(error, BodyError::TooSlow { found: 1000, least: 1001 }), "{error}");
        // It ends before the speed matters.
        assert_eq!(read(5, Duration::from_secs(1), 1001).await.unwrap(), 5000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_of_the_server_and_waiting_others_end_a_body() {
        let limits = BodyLimits { bytes: 1000, idle: Duration::from_secs(60), rate: None, crowded: 500 };
        let body = |stop: &Stop| {
            let stream = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"begun"))]);
            Body::new(Box::pin(stream.chain(futures_util::stream::pending())), limits, stop.clone())
        };
        let stop = Stop::default();
        let mut read = body(&stop);
        read.begin().await.unwrap();
        assert_eq!(read.next().await.unwrap().unwrap(), "begun");
        let (pace, ends) = (read.pace().clone(), stop.bodies_end.clone());
        let slow = tokio::spawn(async move { read.next().await });
        tokio::time::sleep(Duration::from_secs(10)).await;
        pace.give_way();
        let error = slow.await.unwrap().unwrap_err();
        assert!(matches!(error, BodyError::GaveWay { found: 0, least: 500 }), "{error}");

        let mut read = body(&stop);
        stop.begun.cancel();
        // A body that has begun continues until its time is over, and no other begins.
        assert_eq!(read.next().await.unwrap().unwrap(), "begun");
        assert!(matches!(body(&stop).begin().await, Err(BodyError::Stopping { bytes: 0 })));
        ends.cancel();
        assert!(matches!(read.next().await, Err(BodyError::Stopping { bytes: 5 })));
    }
}
