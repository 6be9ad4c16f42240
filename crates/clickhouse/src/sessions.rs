//! Connections that outlive a request: `session_id` keeps settings and temporary tables from one to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::exception::{Code, Exception};
use super::ffi::Connection;
use roundhouse_part::lock::lock;

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
        let kept = self.occupy(&request)?;
        // From here on it gives the id back when it is dropped.
        let mut lease = Lease { connection: None, read_only: 0, sessions: Arc::clone(self), request };
        let (connection, read_only) = match kept {
            Some(kept) => kept,
            None => (engine.connect(None)?, 0),
        };
        (lease.connection, lease.read_only) = (Some(connection), read_only);
        Ok(lease)
    }

    /// Marks a session as used, and returns its connection and level of `readonly` if it exists.
    fn occupy(&self, request: &SessionRequest) -> Result<Option<(Connection, u8)>, Exception> {
        let mut slots = self.lock();
        let kept = match slots.remove(&request.id) {
            Some(Slot::Idle { connection, read_only, .. }) => Some((connection, read_only)),
            Some(Slot::Busy) => {
                slots.insert(request.id.clone(), Slot::Busy);
                return Err(Exception::new(
                    Code::SessionIsLocked,
                    "Session is locked by a concurrent client",
                ));
            }
            None if request.check => return Err(Exception::new(Code::SessionNotFound, "Session not found")),
            None => None,
        };
        let closed = make_room(&mut slots);
        slots.insert(request.id.clone(), Slot::Busy);
        drop(slots);
        drop(closed);
        Ok(kept)
    }

    /// Closes expired sessions.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        self.close_where(|expires| expires <= now);
    }

    /// Closes all idle sessions.
    pub(super) fn clear(&self) {
        self.close_where(|_| true);
    }

    /// The engine closes the connections after the lock is released.
    fn close_where(&self, is_over: impl Fn(Instant) -> bool) {
        let closed: Vec<Slot> = self
            .lock()
            .extract_if(|_, slot| match slot {
                Slot::Busy => false,
                Slot::Idle { expires, .. } => is_over(*expires),
            })
            .map(|(_, slot)| slot)
            .collect();
        drop(closed);
    }

    fn put_back(&self, request: &SessionRequest, connection: Option<Connection>, read_only: u8) {
        let mut slots = self.lock();
        slots.remove(&request.id);
        match connection {
            Some(connection) if !request.close => {
                let expires = Instant::now() + request.timeout;
                slots.insert(request.id.clone(), Slot::Idle { connection, read_only, expires });
            }
            closed => {
                drop(slots);
                drop(closed);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        lock(&self.slots)
    }
}

/// Takes the idle session that expires first if there are too many.
fn make_room(slots: &mut HashMap<String, Slot>) -> Option<Slot> {
    if slots.len() < MAX_SESSIONS {
        return None;
    }
    let idle = slots.iter().filter_map(|(id, slot)| match slot {
        Slot::Busy => None,
        Slot::Idle { expires, .. } => Some((*expires, id.clone())),
    });
    let (_, id) = idle.min()?;
    slots.remove(&id)
}

/// A session that a request is using. It is returned when this is dropped.
pub(super) struct Lease {
    connection: Option<Connection>,
    /// The level of `readonly` of the session. The engine does not get it, because it could not lower the level again after a request.
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
        self.sessions.put_back(&self.request, self.connection.take(), self.read_only);
    }
}
