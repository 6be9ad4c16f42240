//! Counts running uploads, so that other work can wait for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The number of running uploads. Clones share it.
#[derive(Clone, Debug)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl UnderWay {
    /// Counts one more until the result is dropped.
    pub fn begin(&self) -> OneUnderWay {
        self.0.send_modify(|count| *count += 1);
        OneUnderWay(self.clone())
    }

    pub fn are_running(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until none is running, or `patience` is over.
    pub async fn wait_until_none(&self, patience: Duration) {
        let mut count = self.0.subscribe();
        // The sender exists: the only error is the timeout.
        let _ = tokio::time::timeout(patience, count.wait_for(|count| *count == 0)).await;
    }
}

/// One running upload.
#[derive(Debug)]
pub struct OneUnderWay(UnderWay);

impl Drop for OneUnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_the_last_upload_and_no_longer_than_their_patience() {
        let uploads = UnderWay::default();
        uploads.wait_until_none(Duration::MAX).await;
        let (first, second) = (uploads.begin(), uploads.begin());
        let waiting = tokio::spawn({
            let uploads = uploads.clone();
            async move { uploads.wait_until_none(Duration::from_secs(60)).await }
        });
        drop(first);
        uploads.wait_until_none(Duration::from_secs(5)).await;
        assert!(!waiting.is_finished() && uploads.are_running());
        drop(second);
        waiting.await.unwrap();
        assert!(!uploads.are_running());
    }
}
