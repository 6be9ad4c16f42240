//! How fast a sender is, and whether it has to give way to others.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use roundhouse_part::lock::lock;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How much time spent waiting for a sender its speed is averaged over. It is short, since others are waiting.
const WINDOW: Duration = Duration::from_secs(3);

/// One sender. Only time spent waiting for it counts.
#[derive(Debug, Default)]
pub struct Pace {
    measured: Mutex<Measured>,
    gives_way: CancellationToken,
}

#[derive(Debug, Default)]
struct Measured {
    waiting_since: Option<Instant>,
    /// Time and bytes of this window, and of the one before.
    window: (Duration, u64),
    before: (Duration, u64),
}

impl Pace {
    /// Notes that the reader now waits for the sender.
    pub fn wait(&self) {
        self.measured().waiting_since.get_or_insert_with(Instant::now);
    }

    /// Notes that bytes have arrived.
    fn came(&self, bytes: u64) {
        let mut measured = self.measured();
        let waited = measured.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        measured.window = (measured.window.0 + waited, measured.window.1 + bytes);
        if measured.window.0 >= WINDOW {
            measured.before = std::mem::take(&mut measured.window);
        }
    }

    /// Notes that the stream of its body has returned something.
    pub fn came_next<E>(&self, next: Option<&Result<Bytes, E>>) {
        self.came(next.and_then(|next| next.as_ref().ok()).map_or(0, Bytes::len) as u64);
    }

    /// Returns its speed in the last seconds; none if the reader has not waited for it long enough, or does not wait for it now.
    pub fn bytes_per_second(&self) -> Option<u64> {
        let measured = self.measured();
        let (mut time, mut bytes) = measured.window;
        time += measured.waiting_since?.elapsed();
        if time < WINDOW {
            time += measured.before.0;
            bytes += measured.before.1;
        }
        (time >= WINDOW).then(|| bytes * 1000 / (time.as_millis().max(1) as u64))
    }

    /// Has the sender give way.
    pub fn give_way(&self) {
        self.gives_way.cancel();
    }

    pub fn gives_way(&self) -> bool {
        self.gives_way.is_cancelled()
    }

    /// Waits until the sender has to give way.
    pub fn until_it_gives_way(&self) -> WaitForCancellationFutureOwned {
        self.gives_way.clone().cancelled_owned()
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        lock(&self.measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sender_is_as_fast_as_it_was_lately() {
        let pace = Pace::default();
        let receive = async |seconds, bytes| {
            pace.wait();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let speed = pace.bytes_per_second();
            pace.came(bytes);
            speed
        };
        // Many bytes at once, and then nearly none: soon it is slow.
        assert_eq!(receive(0, 50_000_000).await, None);
        assert_eq!(receive(2, 10).await, None);
        assert_eq!(receive(1, 10).await, Some(16_666_670));
        assert_eq!(receive(3, 30).await, Some(0));
        assert_eq!(receive(1, 40).await, Some(7));
        // Time in which nobody waited for it does not count.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(pace.bytes_per_second(), None);
        assert_eq!(receive(2, 60_000).await, Some(13));
        assert_eq!(receive(0, 0).await, Some(20_013));
    }
}
