//! The connections of the API. When all are in use, a new one replaces one without a request, or a slow one. A few spare connections are
//! only for health and metrics, so that these are always answered.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ingest::pace::Pace;
use roundhouse_part::lock::lock;

/// Spare connections, on which only health and metrics are answered.
const SPARE: usize = 64;

/// How long a client may read nothing of a response while others wait.
const STALLED: Duration = Duration::from_secs(3);

/// How long a request's head may take while others wait and there are slow clients.
const REQUEST_TIME: Duration = Duration::from_secs(1);

/// How often the connections are checked while an accepted one waits.
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
    /// Since when the connection waits for a request; none during a request.
    waiting_since: Option<Instant>,
    /// Bytes have arrived.
    is_used: bool,
    /// The speed of the current request.
    pace: Arc<Pace>,
    /// Since when the client reads nothing of the response.
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

    /// Whether it is only for health and metrics.
    pub fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Bytes have arrived.
    pub fn is_sent_to(&self) {
        self.state().is_used = true;
    }

    /// The client stops reading a response, or reads again.
    pub fn stalls(&self, is_stalled: bool) {
        let mut state = self.state();
        state.stalled_since = is_stalled.then(|| state.stalled_since.unwrap_or_else(Instant::now));
    }

    /// A request begins. It ends when the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> Request {
        let mut state = self.state();
        (state.waiting_since, state.pace) = (None, Arc::default());
        drop(state);
        Request(Arc::clone(self))
    }

    /// The speed at which the current request arrives.
    pub fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.state().pace)
    }

    /// The rest of the request is not needed.
    pub fn needs_no_more(&self) {
        self.state().waiting_since = Some(Instant::now());
    }

    /// Waits until the connection has to end.
    pub async fn ends(&self) {
        self.ends.cancelled().await;
    }

    /// How fast its client is, if that is known.
    fn bytes_per_second(&self) -> Option<u64> {
        let state = self.state();
        let is_stalled = state.stalled_since.is_some_and(|since| since.elapsed() >= STALLED);
        if is_stalled { Some(0) } else { state.pace.bytes_per_second() }
    }

    /// Ends the connection. A client that is sending gets an error that says why.
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

/// A request that is being answered.
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
    /// Bytes per second of a client that is not slow.
    least: u64,
    left: Notify,
}

/// The place of a connection, until this is dropped.
#[derive(Debug)]
pub struct Taken {
    pub place: Arc<Place>,
    places: Arc<Places>,
}

impl Places {
    /// `connections`: their number. `least`: bytes per second of a client that is not slow.
    pub fn new(connections: usize, least: u64) -> Self {
        Self { table: Mutex::default(), connections, least, left: Notify::new() }
    }

    /// Takes a place for an accepted connection: a free one, that of a client that has to go, or a spare one.
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

    /// Ends one connection: the one that has waited longest for a request; otherwise the slowest; and only then one that has just been
    /// accepted.
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

    /// Ends the connections on which nothing has arrived yet.
    pub fn end_unused(&self) {
        self.end(|state| !state.is_used);
    }

    /// Ends the connections without a request.
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

/// Returns the place of a request's connection.
pub fn place_of<B>(request: &hyper::Request<B>) -> Option<Arc<Place>> {
    request.extensions().get::<Arc<Place>>().cloned()
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
    async fn the_longest_idle_connection_ends_first_and_none_with_a_request() {
        let places = Arc::new(Places::new(4, 1000));
        let mut taken = fill(&places, 4).await;
        let _first = taken[0].place.begin();
        drop(taken[1].place.begin());
        taken.extend(fill(&places, 2).await);
        assert_eq!(ended(&taken), [2, 3]);
        // A connection whose request has ended is idle since then.
        taken.extend(fill(&places, 1).await);
        assert_eq!(ended(&taken), [1, 2, 3]);
        assert!(!taken.iter().any(|taken| taken.place.is_spare()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_makes_room_and_a_fast_one_stays() {
        let places = Arc::new(Places::new(3, 1000));
        let taken = fill(&places, 3).await;
        let _requests: Vec<Request> = taken.iter().map(|taken| taken.place.begin()).collect();
        let [sender, receiver, works] = [0, 1, 2].map(|at| &taken[at].place);
        sender.pace().wait();
        receiver.stalls(true);
        // Too early to know.
        assert!(places.take().await.place.is_spare());
        tokio::time::sleep(STALLED).await;
        // A new connection stays as long as there is a slow one.
        let _later = (places.take().await, places.take().await);
        assert!(sender.pace().gives_way() && !sender.ends.is_cancelled());
        assert!(receiver.ends.is_cancelled() && !receiver.pace().gives_way());
        assert!(!works.ends.is_cancelled() && !works.pace().gives_way());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_spare_places_are_used_and_then_one_waits() {
        let places = Arc::new(Places::new(2, 1000));
        let busy = fill(&places, 2).await;
        let _requests: Vec<Request> = busy.iter().map(|taken| taken.place.begin()).collect();
        let spare = fill(&places, SPARE).await;
        assert!(spare.iter().all(|taken| taken.place.is_spare()));
        // Idle connections end here too.
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
