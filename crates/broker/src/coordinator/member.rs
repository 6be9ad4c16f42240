//! One member of a group.

use std::time::Duration;

use bytes::Bytes;

use super::answers::{JoinedMember, MemberDescription};
use super::limits::{NEW_MEMBER_JOIN_TIMEOUT, OVERHEAD_BYTES};
use super::requests::{JoinRequest, Protocol, protocols_bytes};

/// Who waits for the answer to a join or a sync.
pub(super) trait Waiter {
    /// Whether its client has disconnected.
    fn is_gone(&self) -> bool;
}

#[derive(Debug)]
pub(super) struct Member<J, S> {
    pub instance_id: Option<String>,
    client_id: String,
    client_host: String,
    session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// Waits for the answer to its join.
    pub join: Option<J>,
    /// Waits for the answer to its sync.
    pub sync: Option<S>,
    /// Whether it sent no sync in this generation yet.
    pub owes_sync: bool,
    /// Whether no join of it was answered yet.
    is_new: bool,
    /// When it is removed, unless it waits for an answer.
    deadline: Duration,
}

impl<J, S> Member<J, S> {
    /// A member whose first join waits for the answer.
    pub fn new(now: Duration, request: JoinRequest, waiter: J) -> Self {
        Self {
            session_timeout: request.session_timeout(),
            rebalance_timeout: request.rebalance_timeout(),
            protocols: own(request.protocols),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            assignment: Bytes::new(),
            join: Some(waiter),
            sync: None,
            owes_sync: false,
            is_new: true,
            deadline: now + NEW_MEMBER_JOIN_TIMEOUT,
        }
    }

    /// Takes over what a later join says, and waits for its answer. Returns the earlier join that still waits.
    pub fn update(&mut self, now: Duration, request: JoinRequest, waiter: J) -> Option<J> {
        self.session_timeout = request.session_timeout();
        self.rebalance_timeout = request.rebalance_timeout();
        self.protocols = own(request.protocols);
        self.client_id = request.client_id;
        self.client_host = request.client_host;
        self.contact(now);
        self.join.replace(waiter)
    }

    /// The client has sent a request: its session continues.
    pub fn contact(&mut self, now: Duration) {
        let session = now + self.session_timeout;
        self.deadline = if self.is_new { self.deadline.max(session) } else { session };
    }

    /// Forgets the requests whose client has disconnected. Its session goes on without them. Returns whether there were any.
    pub fn withdraw(&mut self, now: Duration) -> bool
    where
        J: Waiter,
        S: Waiter,
    {
        let join = self.join.take_if(|join| join.is_gone()).is_some();
        let sync = self.sync.take_if(|sync| sync.is_gone()).is_some();
        if join {
            self.has_joined(now);
        } else if sync {
            self.contact(now);
        }
        join || sync
    }

    /// Its join is answered: from now on the client must send heartbeats.
    pub fn has_joined(&mut self, now: Duration) {
        self.is_new = false;
        self.contact(now);
    }

    /// When the member is removed if its client sends nothing. A request that waits for its answer counts as contact, except
    /// the first join.
    pub fn deadline(&self) -> Option<Duration> {
        let waits = self.join.is_some() || self.sync.is_some();
        (self.is_new || !waits).then_some(self.deadline)
    }

    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|supported| supported.name == protocol)
    }

    /// The metadata for a protocol.
    pub fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols
            .iter()
            .find(|supported| supported.name == protocol)
            .map(|supported| &supported.metadata)
    }

    /// What it takes in memory, roughly.
    pub fn bytes(&self, member_id: &str) -> usize {
        OVERHEAD_BYTES
            + 2 * self.instance_id.as_ref().map_or(0, String::len)
            + member_id.len()
            + self.client_id.len()
            + self.client_host.len()
            + protocols_bytes(&self.protocols)
            + self.assignment.len()
    }

    pub fn joined(&self, member_id: &str, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: member_id.to_owned(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol).cloned().unwrap_or_default(),
        }
    }

    /// Describes the member; without a protocol, its metadata and assignment are left out.
    pub fn description(&self, member_id: &str, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member_id: member_id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: protocol.and_then(|protocol| self.metadata(protocol)).cloned().unwrap_or_default(),
            assignment: protocol.map(|_| self.assignment.clone()).unwrap_or_default(),
        }
    }
}

/// Copies the metadata: the bytes of a request would keep the whole request in memory.
fn own(mut protocols: Vec<Protocol>) -> Vec<Protocol> {
    for protocol in &mut protocols {
        protocol.metadata = Bytes::copy_from_slice(&protocol.metadata);
    }
    protocols
}
