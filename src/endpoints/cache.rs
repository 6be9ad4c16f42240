//! Answers that are kept for a short time, so that many equal requests need one query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roundhouse_part::lock::lock;
use tokio::time::Instant;

/// Most bytes of all answers together.
const MAX_BYTES: usize = 16 << 20;

/// Most answers.
const MAX_ANSWERS: usize = 10_000;

/// What an answer costs besides its own bytes.
const OVERHEAD: usize = 512;

/// A digest of a question.
pub type Question = [u8; 32];

/// An answer that can be kept.
pub trait Kept {
    /// Its bytes.
    fn size(&self) -> usize;
}

/// Answers by their questions. While one is computed, equal requests wait for it.
#[derive(Debug)]
pub struct Cache<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    slots: HashMap<Question, Slot<T>>,
    bytes: usize,
}

/// Where an answer is kept, until this time. Locked while it is computed.
type Place<T> = Arc<tokio::sync::Mutex<Option<(Instant, Arc<T>)>>>;

/// The place of one answer.
#[derive(Debug)]
struct Slot<T> {
    answer: Place<T>,
    bytes: usize,
    expires: Instant,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { slots: HashMap::new(), bytes: 0 }) }
    }
}

impl<T: Kept> Cache<T> {
    /// Returns the answer that is kept, or computes it and keeps it for `time`. A failure is not kept.
    ///
    /// # Errors
    /// The answer cannot be computed.
    pub async fn get<E>(
        &self,
        question: Question,
        time: Duration,
        compute: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot(question, time);
        let mut kept = slot.lock().await;
        if let Some((expires, answer)) = kept.as_ref()
            && *expires > Instant::now()
        {
            return Ok(Arc::clone(answer));
        }
        *kept = None;
        let answer = Arc::new(compute.await?);
        let expires = Instant::now() + time;
        *kept = Some((expires, Arc::clone(&answer)));
        self.account(&question, answer.size(), expires);
        Ok(answer)
    }

    fn slot(&self, question: Question, time: Duration) -> Place<T> {
        let mut state = lock(&self.state);
        state.make_room(0);
        if let Some(slot) = state.slots.get(&question) {
            return Arc::clone(&slot.answer);
        }
        let answer = Arc::default();
        let slot = Slot { answer: Arc::clone(&answer), bytes: OVERHEAD, expires: Instant::now() + time };
        state.bytes += OVERHEAD;
        state.slots.insert(question, slot);
        answer
    }

    fn account(&self, question: &Question, size: usize, expires: Instant) {
        let mut state = lock(&self.state);
        state.remove(question).inspect(|slot| {
            // It was not removed meanwhile.
            let bytes = size + OVERHEAD;
            let slot = Slot { answer: Arc::clone(&slot.answer), bytes, expires };
            state.make_room(bytes);
            state.bytes += bytes;
            state.slots.insert(*question, slot);
        });
    }
}

impl<T> State<T> {
    fn remove(&mut self, question: &Question) -> Option<Slot<T>> {
        let slot = self.slots.remove(question)?;
        self.bytes -= slot.bytes;
        Some(slot)
    }

    /// Removes answers until another one has room: those that have expired, then those that expire first.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes <= MAX_BYTES && self.slots.len() < MAX_ANSWERS {
            return;
        }
        let mut by_time: Vec<(Instant, Question)> =
            self.slots.iter().map(|(question, slot)| (slot.expires, *question)).collect();
        by_time.sort_unstable();
        let now = Instant::now();
        for (expires, question) in by_time {
            let has_room = self.bytes + bytes <= MAX_BYTES / 2 && self.slots.len() < MAX_ANSWERS / 2;
            if has_room && expires > now {
                break;
            }
            self.remove(&question);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    impl Kept for usize {
        fn size(&self) -> usize {
            *self
        }
    }

    const TIME: Duration = Duration::from_secs(1);

    fn question(number: u16) -> Question {
        let mut question = [0; 32];
        question[..2].copy_from_slice(&number.to_le_bytes());
        question
    }

    #[tokio::test(start_paused = true)]
    async fn equal_requests_share_one_computation_until_the_answer_expires() {
        let cache: Cache<usize> = Cache::default();
        let runs = AtomicUsize::new(0);
        let ask = async || {
            let compute = async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok::<_, Infallible>(runs.fetch_add(1, Ordering::Relaxed))
            };
            *cache.get(question(1), TIME, compute).await.unwrap()
        };
        assert_eq!(tokio::join!(ask(), ask(), ask()), (0, 0, 0));
        assert_eq!(ask().await, 0);
        tokio::time::sleep(TIME).await;
        assert_eq!(ask().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_kept() {
        let cache: Cache<usize> = Cache::default();
        assert_eq!(cache.get(question(1), TIME, async { Err("no") }).await, Err("no"));
        assert_eq!(cache.get(question(1), TIME, async { Ok::<_, &str>(7) }).await.as_deref(), Ok(&7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_and_number_of_answers_are_bounded() {
        let cache: Cache<usize> = Cache::default();
        for number in 0..100 {
            let compute = async { Ok::<_, Infallible>(1 << 20) };
            cache.get(question(number), TIME, compute).await.unwrap();
            let state = lock(&cache.state);
            assert!(state.bytes <= MAX_BYTES);
            assert_eq!(state.bytes, state.slots.values().map(|slot| slot.bytes).sum::<usize>());
        }
        for number in 0..20_000 {
            cache.get(question(number), TIME, async { Ok::<_, Infallible>(1) }).await.unwrap();
        }
        assert!(lock(&cache.state).slots.len() <= MAX_ANSWERS);
        let kept = cache.get(question(19_999), TIME, async { Ok::<_, Infallible>(2) }).await;
        assert_eq!(kept.as_deref(), Ok(&1));
    }
}
