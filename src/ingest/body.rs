//! A body that arrives piece by piece: counted, limited, and not waited for without end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use thiserror::Error;
use tokio::time::Instant;

use crate::settings::Limits;

/// Time spent waiting for a sender over which its speed is told.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Why a body is not read on.
#[derive(Debug, Error)]
pub enum BodyError {
    #[error("the file broke off after {bytes} bytes: {reason}")]
    BrokenOff { reason: String, bytes: u64 },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the file comes with {found} bytes a second, of which {least} are the least")]
    TooSlow { found: u64, least: u64 },
}

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of the whole.
    pub bytes: u64,
    /// How long the next piece may take.
    pub idle: Duration,
    /// How slow the sender may be.
    pub rate: Option<RateLimit>,
}

/// How slow a sender may be. Only the time in which it is waited for counts: that a broker is slow is not its fault.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    pub bytes_per_second: u64,
    /// Time of waiting before the speed counts.
    pub grace: Duration,
}

impl BodyLimits {
    pub fn of(limits: &Limits) -> Self {
        let rate = (limits.upload_min_bytes_per_second > 0).then_some(RateLimit {
            bytes_per_second: limits.upload_min_bytes_per_second,
            grace: Duration::from_secs(limits.upload_grace_seconds),
        });
        Self { bytes: limits.max_upload_bytes, idle: Duration::from_secs(limits.upload_idle_seconds), rate }
    }
}

/// A body that is taken piece by piece.
#[derive(Debug)]
pub struct Body<S> {
    stream: S,
    limits: BodyLimits,
    bytes: u64,
    /// How long was waited for the sender, in all.
    waited: Duration,
    /// The same since the speed was last looked at, and the bytes that came meanwhile.
    window: (Duration, u64),
    ended: bool,
}

impl<S, E> Body<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    pub fn new(stream: S, limits: BodyLimits) -> Self {
        Self { stream, limits, bytes: 0, waited: Duration::ZERO, window: (Duration::ZERO, 0), ended: false }
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the next piece; none at the end.
    ///
    /// # Errors
    /// The sender went away, is silent or too slow, or there are more bytes than allowed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.ended {
            return Ok(None);
        }
        let broken_off = |reason: String, bytes| BodyError::BrokenOff { reason, bytes };
        let asked = Instant::now();
        let next = tokio::time::timeout(self.limits.idle, self.stream.next()).await.map_err(|_| {
            broken_off(format!("nothing came for {} seconds", self.limits.idle.as_secs()), self.bytes)
        })?;
        match next {
            None => {
                self.ended = true;
                Ok(None)
            }
            Some(Err(error)) => Err(broken_off(error.to_string(), self.bytes)),
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

    /// Reads a body of which a piece of 1,000 bytes comes each `interval`, and pauses as long after each. Returns the bytes read.
    async fn read(pieces: usize, interval: Duration, least: u64) -> Result<u64, BodyError> {
        let stream = futures_util::stream::iter(0..pieces).then(|_| async move {
            tokio::time::sleep(interval).await;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000]))
        });
        let rate = RateLimit { bytes_per_second: least, grace: Duration::from_secs(5) };
        let limits = BodyLimits { bytes: 1_000_000, idle: Duration::from_secs(60), rate: Some(rate) };
        let mut body = Body::new(Box::pin(stream), limits);
        while body.next().await?.is_some() {
            // A broker that takes its time.
            tokio::time::sleep(interval).await;
        }
        Ok(body.bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_is_as_slow_as_it_is_waited_for() {
        assert_eq!(read(100, Duration::from_secs(1), 1000).await.unwrap(), 100_000);
        let error = read(100, Duration::from_secs(1), 1001).await.unwrap_err();
        assert!(matches!(error, BodyError::TooSlow { found: 1000, least: 1001 }), "{error}");
        // Over before it counts.
        assert_eq!(read(5, Duration::from_secs(1), 1001).await.unwrap(), 5000);
    }
}
