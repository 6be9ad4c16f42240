//! Jobs that wait or run, in their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::SubmitError;
use super::report::{JobState, JobView, Phase};
use super::store::Record;
use roundhouse_part::lock::lock;

/// The number that stands for a progress of 1.
const WHOLE: f64 = 1_000_000.0;

/// The phases, in their order.
const PHASES: [Phase; 5] =
    [Phase::Reading, Phase::Waiting, Phase::ComparingRows, Phase::ComparingHours, Phase::ComparingAggregates];

/// The progress of a job whose rows are loaded.
pub(super) const ROWS_LOADED: f64 = 0.5;

/// The progress of a job whose rows are compared.
pub(super) const ROWS_COMPARED: f64 = 0.85;

/// A job's progress, which never decreases, and its phase.
#[derive(Debug, Default)]
pub(super) struct Progress {
    share: AtomicU32,
    /// An index into [`PHASES`].
    phase: AtomicU8,
}

impl Progress {
    /// Records progress, from 0 to 1.
    pub(super) fn reach(&self, share: f64) {
        // The clamp keeps it in range; the rest is cut off.
        self.share.fetch_max((share.clamp(0.0, 1.0) * WHOLE) as u32, Ordering::Relaxed);
    }

    pub(super) fn share(&self) -> f64 {
        f64::from(self.share.load(Ordering::Relaxed)) / WHOLE
    }

    /// Records the phase that begins now.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Option<Phase> {
        PHASES.get(usize::from(self.phase.load(Ordering::Relaxed))).copied()
    }
}

/// A job that waits or runs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: Uuid,
    record: Mutex<Record>,
    pub(super) progress: Progress,
    /// Cancelled when the job is cancelled.
    pub(super) cancelled: CancellationToken,
    /// Cancelled when the job's end is stored.
    pub(super) stored: CancellationToken,
    /// Cancelled when everything else of the job is removed, too.
    pub(super) ended: CancellationToken,
    /// Its place among the waiting jobs.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Job {
    pub(super) fn new(record: Record, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            id: record.id,
            record: Mutex::new(record),
            progress: Progress::default(),
            cancelled: CancellationToken::new(),
            stored: CancellationToken::new(),
            ended: CancellationToken::new(),
            place: Mutex::new(place),
        }
    }

    pub(super) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Changes the record to a new version, and returns it, if its state is one of `from`.
    fn change(&self, from: &[JobState], change: impl FnOnce(&mut Record)) -> Option<Record> {
        let mut record = lock(&self.record);
        if !from.contains(&record.state) {
            return None;
        }
        change(&mut record);
        record.version += 1;
        Some(record.clone())
    }

    /// Records that the job runs, unless it was cancelled.
    pub(super) fn begin(&self) -> Option<Record> {
        self.change(&[JobState::Queued, JobState::Running], |record| record.state = JobState::Running)
    }

    /// Records how the job ended, unless it was cancelled.
    pub(super) fn end(&self, change: impl FnOnce(&mut Record)) -> Option<Record> {
        self.change(&[JobState::Running], change)
    }

    /// Records that the job is cancelled, and stops it. Returns false if it had already ended.
    pub(super) fn cancel(&self) -> bool {
        let unfinished = [JobState::Queued, JobState::Running];
        let changed = self.change(&unfinished, |record| record.state = JobState::Cancelled);
        self.cancelled.cancel();
        changed.is_some()
    }

    /// Shows the job. Its end is shown once it is stored: a restart must not undo what a client has seen.
    pub(super) fn view(&self) -> JobView {
        let mut record = self.record();
        if record.state.is_end() && !self.stored.is_cancelled() {
            record.state = JobState::Running;
            (record.report, record.reason) = (None, None);
        }
        record.view(self.progress.share(), self.progress.phase())
    }
}

/// Waiting jobs in their order, and running jobs.
#[derive(Debug)]
pub(super) struct Queue {
    places: Arc<Semaphore>,
    limit: usize,
    jobs: Mutex<Jobs>,
    /// One permit for each waiting job, and one for each job that was withdrawn since.
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
}

impl Jobs {
    fn start(&mut self, job: Arc<Job>) -> Arc<Job> {
        lock(&job.place).take();
        self.running.push(Arc::clone(&job));
        job
    }
}

impl Queue {
    /// `limit` is how many jobs may wait. One more is refused.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
            jobs: Mutex::default(),
            waiting: Semaphore::new(0),
        }
    }

    /// Reserves a place for a job that is about to be queued.
    ///
    /// # Errors
    /// No place is left.
    pub(super) fn reserve(&self) -> Result<OwnedSemaphorePermit, SubmitError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| SubmitError::QueueFull { limit: self.limit })
    }

    /// Adds a job at the end.
    pub(super) fn push(&self, job: Job) {
        lock(&self.jobs).waiting.push_back(Arc::new(job));
        self.waiting.add_permits(1);
    }

    /// Puts jobs before all others, in their order.
    pub(super) fn put_first(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        let mut queue = lock(&self.jobs);
        for job in jobs.into_iter().rev() {
            queue.waiting.push_front(Arc::new(job));
        }
        self.waiting.add_permits(count);
    }

    /// Waits for the next job, and moves it to the running jobs.
    pub(super) async fn next(&self) -> Option<Arc<Job>> {
        loop {
            self.waiting.acquire().await.ok()?.forget();
            let mut jobs = lock(&self.jobs);
            // None: the job was withdrawn.
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(jobs.start(job));
            }
        }
    }

    /// Moves a waiting job to the running jobs. None if it does not wait.
    pub(super) fn withdraw(&self, id: Uuid) -> Option<Arc<Job>> {
        let mut jobs = lock(&self.jobs);
        let at = jobs.waiting.iter().position(|job| job.id == id)?;
        let job = jobs.waiting.remove(at)?;
        Some(jobs.start(job))
    }

    /// Finds a job that waits or runs.
    pub(super) fn find(&self, id: Uuid) -> Option<Arc<Job>> {
        let jobs = lock(&self.jobs);
        jobs.running.iter().chain(&jobs.waiting).find(|job| job.id == id).cloned()
    }

    /// Removes a job that has ended.
    pub(super) fn end(&self, id: Uuid) {
        lock(&self.jobs).running.retain(|job| job.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::BETS;

    fn job(id: u128) -> Job {
        let record = Record {
            id: Uuid::from_u128(id),
            dataset: BETS.to_owned(),
            version: 0,
            state: JobState::Queued,
            file_name: String::new(),
            read: crate::ingest::rows::ReadOptions::default(),
            bytes: 0,
            sha256: String::new(),
            uploads: Vec::new(),
            attempt: None,
            reason: None,
            report: None,
        };
        Job::new(record, None)
    }

    #[tokio::test]
    async fn jobs_of_an_earlier_process_come_first_and_keep_their_order() {
        let queue = Queue::new(10);
        queue.push(job(3));
        queue.put_first(vec![job(1), job(2)]);
        queue.push(job(4));
        for expected in 1..=4 {
            assert_eq!(queue.next().await.unwrap().id, Uuid::from_u128(expected));
        }
        queue.end(Uuid::from_u128(1));
        assert!(queue.find(Uuid::from_u128(1)).is_none());
        assert!(queue.find(Uuid::from_u128(2)).is_some());
    }

    #[test]
    fn a_job_beyond_the_limit_is_refused() {
        let queue = Queue::new(10);
        let places: Vec<_> = (0..10).map(|_| queue.reserve().unwrap()).collect();
        assert!(matches!(queue.reserve(), Err(SubmitError::QueueFull { .. })));
        drop(places);
        drop(queue.reserve().unwrap());
    }

    #[tokio::test]
    async fn a_withdrawn_job_is_skipped_and_the_next_one_is_returned() {
        let queue = Queue::new(10);
        for id in 1..=3 {
            queue.push(job(id));
        }
        assert!(queue.withdraw(Uuid::from_u128(9)).is_none());
        let withdrawn = queue.withdraw(Uuid::from_u128(2)).unwrap();
        assert!(withdrawn.cancel() && !withdrawn.cancel());
        assert_eq!((withdrawn.begin(), withdrawn.end(|_| {})), (None, None));
        assert!(queue.withdraw(Uuid::from_u128(2)).is_none());
        assert_eq!(queue.next().await.unwrap().id, Uuid::from_u128(1));
        assert_eq!(queue.next().await.unwrap().id, Uuid::from_u128(3));
        queue.push(job(4));
        assert_eq!(queue.next().await.unwrap().id, Uuid::from_u128(4));
    }

    #[test]
    fn progress_never_decreases() {
        let progress = Progress::default();
        progress.reach(0.5);
        progress.reach(0.25);
        assert_eq!(progress.share(), 0.5);
        progress.reach(7.0);
        assert_eq!(progress.share(), 1.0);
    }
}
