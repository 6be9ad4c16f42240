//! Connections that outlive a request: `session_id` keeps settings and temporary tables from one to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::exception::{Code, Exception};
use super::ffi::Connection;
use crate::lock::lock;

/// Sessions that are kept. Beyond that, the one that expires first is closed.
const MAX_SESSIONS: usize = 256;

/// The session parameters of a request.
#[derive(Clone, Debug)]
pub(super) struct SessionRequest {
    pub(super) id: String,
    pub(super) timeout: Duration,
    /// The session must exist already.
    pub(super) check: bool,
    /// The session ends with this request.
    pub(super) close: bool,
}

/// The sessions by their ids.
#[derive(Default)]
pub(super) struct Sessions {
    slots: Mutex<HashMap<String, Slot>>,
}

enum Slot {
    Busy,
    Idle { connection: Connection, read_only: u8, expires: Instant },
}

impl Sessions {
    /// Takes a session for one request.
    ///
    /// # Errors
    /// Another request is using it, or it does not exist although it must.
    pub(super) fn take(
        self: &Arc<Self>,
        request: SessionRequest,
        engine: &Engine,
    ) -> Result<Lease, Exception> {
        self.expire();
        let mut slots = self.lock();
        let (connection, read_only) = match slots.remove(&request.id) {
            Some(Slot::Idle { connection, read_only, .. }) => (connection, read_only),
            Some(Slot::Busy) => {
                slots.insert(request.id, Slot::Busy);
                return Err(Exception::new(
                    Code::SessionIsLocked,
                    "Session is locked by a concurrent client",
                ));
            }
            None if request.check => return Err(Exception::new(Code::SessionNotFound, "Session not found")),
            None => (engine.connect(None)?, 0),
        };
        make_room(&mut slots);
        slots.insert(request.id.clone(), Slot::Busy);
        Ok(Lease { connection: Some(connection), read_only, sessions: Arc::clone(self), request })
    }

    /// Closes expired sessions.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.lock().retain(|_, slot| match slot {
            Slot::Busy => true,
            Slot::Idle { expires, .. } => *expires > now,
        });
    }

    /// Closes all idle sessions.
    pub(super) fn clear(&self) {
        self.lock().retain(|_, slot| matches!(slot, Slot::Busy));
    }

    fn put_back(&self, request: &SessionRequest, connection: Connection, read_only: u8) {
        let mut slots = self.lock();
        slots.remove(&request.id);
        if !request.close {
            let expires = Instant::now() + request.timeout;
            slots.insert(request.id.clone(), Slot::Idle { connection, read_only, expires });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        lock(&self.slots)
    }
}

fn make_room(slots: &mut HashMap<String, Slot>) {
    if slots.len() < MAX_SESSIONS {
        return;
    }
    let idle = slots.iter().filter_map(|(id, slot)| match slot {
        Slot::Busy => None,
        Slot::Idle { expires, .. } => Some((*expires, id.clone())),
    });
    if let Some((_, id)) = idle.min() {
        slots.remove(&id);
    }
}

/// A session that a request is using. It is returned when this is dropped.
pub(super) struct Lease {
    connection: Option<Connection>,
    /// What was set for `readonly`. The engine is not told: it could not take the level back after a request.
    pub(super) read_only: u8,
    sessions: Arc<Sessions>,
    request: SessionRequest,
}

impl Lease {
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.sessions.put_back(&self.request, connection, self.read_only);
        }
    }
}
