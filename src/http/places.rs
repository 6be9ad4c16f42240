//! Who holds the connections of the API. When all are in use, who has sent no request, or is slow, goes for one who comes; and a few
//! more are there for health and metrics, so that these are answered whatever the others do.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ingest::pace::Pace;
use crate::lock::lock;

/// Connections besides the others, on which only health and metrics are answered.
const SPARE: usize = 64;

/// How long a receiver may take nothing of an answer while others wait.
const STALLED: Duration = Duration::from_secs(3);

/// How long a request's head may take while others wait, and there are others who are slow.
const REQUEST_TIME: Duration = Duration::from_secs(1);

/// How often the connections are looked at while one waits that was accepted.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// One connection.
#[derive(Debug)]
pub struct Place {
    state: Mutex<State>,
    is_spare: bool,
    ends: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Since when a request is waited for; none while one is under way.
    waiting_since: Option<Instant>,
    /// It has sent something.
    is_used: bool,
    /// Of the sender of the request that is under way.
    pace: Arc<Pace>,
    /// Since when nothing is taken of the answer.
    stalled_since: Option<Instant>,
}

impl Default for Place {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Place {
    fn new(is_spare: bool) -> Self {
        let state = State {
            waiting_since: Some(Instant::now()),
            is_used: false,
            pace: Arc::default(),
            stalled_since: None,
        };
        Self { state: Mutex::new(state), is_spare, ends: CancellationToken::new() }
    }

    /// Whether it is one of those for health and metrics alone.
    pub fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Something has come.
    pub fn is_sent_to(&self) {
        self.state().is_used = true;
    }

    /// Nothing is taken of an answer, or something again.
    pub fn stalls(&self, is_stalled: bool) {
        let mut state = self.state();
        state.stalled_since = is_stalled.then(|| state.stalled_since.unwrap_or_else(Instant::now));
    }

    /// A request is under way, until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Request {
        let mut state = self.state();
        (state.waiting_since, state.pace) = (None, Arc::default());
        drop(state);
        Request(Arc::clone(self))
    }

    /// How fast the request that is under way comes.
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.state().pace)
    }

    /// What is still read of a request is not needed.
    pub fn needs_no_more(&self) {
        self.state().waiting_since = Some(Instant::now());
    }

    /// Waits until the connection has to end.
    pub async fn ends(&self) {
        self.ends.cancelled().await;
    }

    /// How fast its client is, if that can be said.
    fn bytes_per_second(&self) -> Option<u64> {
        let state = self.state();
        let is_stalled = state.stalled_since.is_some_and(|since| since.elapsed() >= STALLED);
        if is_stalled { Some(0) } else { state.pace.bytes_per_second() }
    }

    /// Has its client go: one that is sending is told why.
    fn give_way(&self) {
        let state = self.state();
        if state.waiting_since.is_none() && state.stalled_since.is_none() {
            state.pace.give_way();
        } else {
            self.ends.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Request(Arc<Place>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.needs_no_more();
    }
}

/// All connections.
#[derive(Debug)]
pub struct Places {
    table: Mutex<Vec<Arc<Place>>>,
    connections: usize,
    /// Bytes a second of a sender that need not go.
    least: u64,
    left: Notify,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Taken {
    pub place: Arc<Place>,
    places: Arc<Places>,
}

impl Places {
    /// `connections`: how many there may be. `least`: bytes a second of a sender that need not go.
    pub fn new(connections: usize, least: u64) -> Self {
        Self { table: Mutex::default(), connections, least, left: Notify::new() }
    }

    /// Takes a place for a connection that was accepted: a free one, that of a client who goes for it, or a spare one.
    pub async fn take(self: &Arc<Self>) -> Taken {
        loop {
            if let Some(place) = self.find() {
                return Taken { place, places: Arc::clone(self) };
            }
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.left.notified()).await;
        }
    }

    fn find(&self) -> Option<Arc<Place>> {
        let mut table = lock(&self.table);
        for (is_spare, limit) in [(false, self.connections), (true, SPARE)] {
            let has_room = table.iter().filter(|place| place.is_spare == is_spare).count() < limit;
            if has_room || self.make_room(&mut table, is_spare) {
                let place = Arc::new(Place::new(is_spare));
                table.push(Arc::clone(&place));
                return Some(place);
            }
        }
        None
    }

    /// Has one go: of those of whom a request is waited for, the one for the longest time; otherwise the slowest; and only then one
    /// who has just come.
    fn make_room(&self, table: &mut Vec<Arc<Place>>, is_spare: bool) -> bool {
        let places = table.iter().enumerate().filter(|(_, place)| place.is_spare == is_spare);
        let waiting = places.clone().filter_map(|(at, place)| Some((place.state().waiting_since?, at)));
        let longest = waiting.min();
        let is_late = |(since, _): &(Instant, usize)| since.elapsed() >= REQUEST_TIME;
        let slow = places.filter_map(|(at, place)| Some((place.bytes_per_second()?, at)));
        let slowest = || slow.filter(|(speed, _)| *speed < self.least).min();
        let late = longest.filter(is_late).map(|(_, at)| at);
        let goes = late.or_else(|| slowest().map(|(_, at)| at)).or(longest.map(|(_, at)| at));
        let Some(at) = goes else { return false };
        table.swap_remove(at).give_way();
        true
    }

    /// Ends the connections on which nothing has come yet.
    pub fn end_unused(&self) {
        self.end(|state| !state.is_used);
    }

    /// Ends the connections on which no request is under way.
    pub fn end_waiting(&self) {
        self.end(|state| state.waiting_since.is_some());
    }

    fn end(&self, is_ended: impl Fn(&State) -> bool) {
        lock(&self.table)
            .iter()
            .filter(|place| is_ended(&place.state()))
            .for_each(|place| place.ends.cancel());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.places.table).retain(|place| !Arc::ptr_eq(place, &self.place));
        self.places.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(places: &Arc<Places>, count: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(places.take().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        taken
    }

    fn ended(taken: &[Taken]) -> Vec<usize> {
        (0..taken.len()).filter(|at| taken[*at].place.ends.is_cancelled()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_waited_for_longest_goes_first_and_nobody_with_a_request() {
        let places = Arc::new(Places::new(4, 1000));
        let mut taken = fill(&places, 4).await;
        let _first = taken[0].place.begin();
        drop(taken[1].place.begin());
        taken.extend(fill(&places, 2).await);
        assert_eq!(ended(&taken), [2, 3]);
        // The one that has ended its request was waited for since then.
        taken.extend(fill(&places, 1).await);
        assert_eq!(ended(&taken), [1, 2, 3]);
        assert!(!taken.iter().any(|taken| taken.place.is_spare()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_goes_for_one_who_comes_and_who_is_not_stays() {
        let places = Arc::new(Places::new(3, 1000));
        let taken = fill(&places, 3).await;
        let _requests: Vec<Request> = taken.iter().map(|taken| taken.place.begin()).collect();
        let [sender, receiver, works] = [0, 1, 2].map(|at| &taken[at].place);
        sender.pace().wait();
        receiver.stalls(true);
        // Too early to say.
        assert!(places.take().await.place.is_spare());
        tokio::time::sleep(STALLED).await;
        // One who has just come stays as long as there is one who is slow.
        let _later = (places.take().await, places.take().await);
        assert!(sender.pace().gives_way() && !sender.ends.is_cancelled());
        assert!(receiver.ends.is_cancelled() && !receiver.pace().gives_way());
        assert!(!works.ends.is_cancelled() && !works.pace().gives_way());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_there_are_spare_ones_and_then_one_waits() {
        let places = Arc::new(Places::new(2, 1000));
        let busy = fill(&places, 2).await;
        let _requests: Vec<Request> = busy.iter().map(|taken| taken.place.begin()).collect();
        let spare = fill(&places, SPARE).await;
        assert!(spare.iter().all(|taken| taken.place.is_spare()));
        // Those who send nothing go here too.
        let another = places.take().await;
        assert_eq!((ended(&spare), another.place.is_spare()), (vec![0], true));
        let mut answered: Vec<Request> = spare.iter().map(|taken| taken.place.begin()).collect();
        let _another = another.place.begin();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await.place.is_spare() }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waiting.is_finished());
        answered.pop();
        assert!(waiting.await.unwrap());
        drop(busy);
        assert!(!places.take().await.place.is_spare());
    }
}
