//! Jobs that wait or run, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::SubmitError;
use super::report::{JobState, JobView, Phase};
use super::store::Record;
use crate::lock::lock;

/// The whole of a job's progress.
const WHOLE: f64 = 1_000_000.0;

/// Phases in their order.
const PHASES: [Phase; 4] = [Phase::Reading, Phase::Waiting, Phase::ComparingRows, Phase::ComparingHours];

/// How far a job has come, which never goes back, and what it does.
#[derive(Debug, Default)]
pub(super) struct Progress {
    share: AtomicU32,
    /// As numbered in [`PHASES`].
    phase: AtomicU8,
}

impl Progress {
    /// Notes a share of the whole, from 0 to 1.
    pub(super) fn reach(&self, share: f64) {
        // Truncated, and in range, by the clamp.
        self.share.fetch_max((share.clamp(0.0, 1.0) * WHOLE) as u32, Ordering::Relaxed);
    }

    pub(super) fn share(&self) -> f64 {
        f64::from(self.share.load(Ordering::Relaxed)) / WHOLE
    }

    /// Notes what the job does now.
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
    /// Nobody wants to know any more.
    pub(super) cancelled: CancellationToken,
    /// Its end is stored.
    pub(super) stored: CancellationToken,
    /// And everything else of it is gone.
    pub(super) ended: CancellationToken,
    /// Its place among those that wait.
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

    /// Changes the record to a new version if its state is one of `from`; returns it if so.
    fn change(&self, from: &[JobState], change: impl FnOnce(&mut Record)) -> Option<Record> {
        let mut record = lock(&self.record);
        if !from.contains(&record.state) {
            return None;
        }
        change(&mut record);
        record.version += 1;
        Some(record.clone())
    }

    /// Notes that the job runs, unless it was cancelled.
    pub(super) fn begin(&self) -> Option<Record> {
        self.change(&[JobState::Queued, JobState::Running], |record| record.state = JobState::Running)
    }

    /// Notes how the job has ended, unless it was cancelled.
    pub(super) fn end(&self, change: impl FnOnce(&mut Record)) -> Option<Record> {
        self.change(&[JobState::Running], change)
    }

    /// Notes that the job is cancelled, and stops it. Returns whether it had not ended.
    pub(super) fn cancel(&self) -> bool {
        let unfinished = [JobState::Queued, JobState::Running];
        let changed = self.change(&unfinished, |record| record.state = JobState::Cancelled);
        self.cancelled.cancel();
        changed.is_some()
    }

    /// Shows the job; its end only once that is stored, so that nobody is told what a restart would undo.
    pub(super) fn view(&self) -> JobView {
        let mut record = self.record();
        if record.state.is_end() && !self.stored.is_cancelled() {
            record.state = JobState::Running;
            (record.report, record.reason) = (None, None);
        }
        record.view(self.progress.share(), self.progress.phase())
    }
}

/// Jobs in the order in which they are worked on, and those that are.
#[derive(Debug)]
pub(super) struct Queue {
    places: Arc<Semaphore>,
    limit: usize,
    jobs: Mutex<Jobs>,
    /// As many permits as jobs wait, and one for each that was withdrawn since.
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
    /// `limit`: jobs that may wait; one more is refused.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
            jobs: Mutex::default(),
            waiting: Semaphore::new(0),
        }
    }

    /// Reserves a place for a job that is about to come.
    ///
    /// # Errors
    /// There is none left.
    pub(super) fn reserve(&self) -> Result<OwnedSemaphorePermit, SubmitError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| SubmitError::QueueFull { limit: self.limit })
    }

    /// Adds a job at the end.
    pub(super) fn push(&self, job: Job) {
        lock(&self.jobs).waiting.push_back(Arc::new(job));
        self.waiting.add_permits(1);
    }

    /// Puts jobs, in their order, before all others.
    pub(super) fn put_first(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        let mut queue = lock(&self.jobs);
        for job in jobs.into_iter().rev() {
            queue.waiting.push_front(Arc::new(job));
        }
        self.waiting.add_permits(count);
    }

    /// Waits for the next job, which from then on is one of the running.
    pub(super) async fn next(&self) -> Option<Arc<Job>> {
        loop {
            self.waiting.acquire().await.ok()?.forget();
            let mut jobs = lock(&self.jobs);
            // None: it was withdrawn.
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(jobs.start(job));
            }
        }
    }

    /// Takes a job out of those that wait, if it is one of them: from then on it is one of the running.
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

    /// Forgets a job that has ended.
    pub(super) fn end(&self, id: Uuid) {
        lock(&self.jobs).running.retain(|job| job.id != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u128) -> Job {
        let record = Record {
            id: Uuid::from_u128(id),
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
    async fn jobs_of_an_earlier_run_come_first_and_each_in_its_order() {
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
    fn one_more_than_may_wait_is_refused() {
        let queue = Queue::new(10);
        let places: Vec<_> = (0..10).map(|_| queue.reserve().unwrap()).collect();
        assert!(matches!(queue.reserve(), Err(SubmitError::QueueFull { .. })));
        drop(places);
        drop(queue.reserve().unwrap());
    }

    #[tokio::test]
    async fn a_job_that_is_withdrawn_is_not_worked_on_and_the_next_one_is() {
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
    fn progress_never_goes_back() {
        let progress = Progress::default();
        progress.reach(0.5);
        progress.reach(0.25);
        assert_eq!(progress.share(), 0.5);
        progress.reach(7.0);
        assert_eq!(progress.share(), 1.0);
    }
}
