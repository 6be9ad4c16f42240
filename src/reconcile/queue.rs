//! Jobs that wait or run, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::SubmitError;
use super::report::JobView;
use super::store::Record;

/// Jobs that may wait; one more is refused.
const MAX_WAITING: usize = 1000;

/// The whole of a job's progress.
const WHOLE: f64 = 1_000_000.0;

/// How far a job has come; it never goes back.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU32);

impl Progress {
    /// Notes a share of the whole, from 0 to 1.
    pub(super) fn reach(&self, share: f64) {
        // Truncated, and in range, by the clamp.
        self.0.fetch_max((share.clamp(0.0, 1.0) * WHOLE) as u32, Ordering::Relaxed);
    }

    pub(super) fn share(&self) -> f64 {
        f64::from(self.0.load(Ordering::Relaxed)) / WHOLE
    }
}

/// A job that waits or runs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: Uuid,
    record: Mutex<Record>,
    pub(super) progress: Progress,
    /// Its place among those that wait.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Job {
    pub(super) fn new(record: Record, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            id: record.id,
            record: Mutex::new(record),
            progress: Progress::default(),
            place: Mutex::new(place),
        }
    }

    pub(super) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Changes the record, and returns it as a new version.
    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> Record {
        let mut record = lock(&self.record);
        change(&mut record);
        record.version += 1;
        record.clone()
    }

    pub(super) fn view(&self) -> JobView {
        lock(&self.record).view(self.progress.share())
    }
}

/// Jobs in the order in which they are worked on, and those that are.
#[derive(Debug)]
pub(super) struct Queue {
    places: Arc<Semaphore>,
    jobs: Mutex<Jobs>,
    /// As many permits as jobs wait.
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
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
        place.map_err(|_| SubmitError::QueueFull { limit: MAX_WAITING })
    }

    /// Adds a job at the end.
    pub(super) fn push(&self, job: Job) -> Arc<Job> {
        let job = Arc::new(job);
        lock(&self.jobs).waiting.push_back(Arc::clone(&job));
        self.waiting.add_permits(1);
        job
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
        self.waiting.acquire().await.ok()?.forget();
        let mut jobs = lock(&self.jobs);
        let job = jobs.waiting.pop_front()?;
        lock(&job.place).take();
        jobs.running.push(Arc::clone(&job));
        Some(job)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::report::JobState;
    use super::*;

    fn job(id: u128) -> Job {
        let record = Record {
            id: Uuid::from_u128(id),
            version: 0,
            state: JobState::Queued,
            file_name: String::new(),
            encoding: None,
            bytes: 0,
            reason: None,
            report: None,
        };
        Job::new(record, None)
    }

    #[tokio::test]
    async fn jobs_of_an_earlier_run_come_first_and_each_in_its_order() {
        let queue = Queue::new();
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
        let queue = Queue::new();
        let places: Vec<_> = (0..MAX_WAITING).map(|_| queue.reserve().unwrap()).collect();
        assert!(matches!(queue.reserve(), Err(SubmitError::QueueFull { .. })));
        drop(places);
        drop(queue.reserve().unwrap());
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
