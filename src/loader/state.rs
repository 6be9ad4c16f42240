//! What a loader is doing.

use uuid::Uuid;

/// The state of a loader, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoaderState {
    Starting,
    Running,
    /// Another server loads the topic. This one takes over if the other dies.
    Standby {
        owner: Uuid,
    },
    /// An attempt failed; the loader retries by itself.
    Waiting(String),
}
