//! The kept rows of one dataset.

use std::sync::Arc;
use std::time::Duration;

use super::layout::{Layout, Origin, RowBytes};
use super::status::Status;
use super::store::Store;
use crate::dataset::Dataset;
use crate::domain::value::Value;

pub use super::store::{Found, Size};

/// The last row of each key of a dataset.
#[derive(Debug)]
pub struct LastValues {
    pub dataset: Arc<Dataset>,
    pub layout: Layout,
    store: Store,
    pub(super) status: Status,
}

/// The state of the rows, for people.
#[derive(Clone, Debug)]
pub struct Report {
    pub size: Size,
    /// Why ClickHouse answers. None if it does not.
    pub reason: Option<String>,
    /// Messages of the topic that were not read yet.
    pub lag: u64,
    /// How long ago nothing of the topic was missing.
    pub age: Option<Duration>,
}

impl LastValues {
    /// `limit`: most bytes of memory. None if the dataset has no `[latest]`.
    pub fn new(dataset: &Arc<Dataset>, limit: usize) -> Option<Self> {
        let layout = Layout::new(&dataset.columns, dataset.latest.as_ref()?);
        let store = Store::new(layout.position_bytes(), limit);
        Some(Self { dataset: Arc::clone(dataset), layout, store, status: Status::default() })
    }

    /// Returns the rows of some keys. None if they are not up to date, or if a key may have been left out: ClickHouse knows more then.
    pub fn read<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Option<Found> {
        if !self.status.is_ready() {
            return None;
        }
        self.store.read(keys)
    }

    pub fn report(&self) -> Report {
        let Self { store, status, .. } = self;
        Report { size: store.size(), reason: status.reason(), lag: status.lag(), age: status.age() }
    }

    /// Keeps a row unless a later one is there. `row` is overwritten.
    pub(super) fn put(&self, values: &[Value], buffer: &[u8], origin: Origin, row: &mut RowBytes) {
        self.layout.write(values, buffer, origin, row);
        self.store.put(row);
    }

    pub(super) fn clear(&self) {
        self.store.clear();
    }
}
