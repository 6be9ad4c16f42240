//! The pauses between attempts while a service does not answer.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

const RETRY_PAUSE: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Waits before the next attempt.
pub(super) async fn wait_before_retry(failures: usize, stop: &CancellationToken) {
    let pause = RETRY_PAUSE.get(failures).or(RETRY_PAUSE.last()).copied().unwrap_or_default();
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}
