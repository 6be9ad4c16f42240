//! What clients ask of a group. The fields are those of the wire.

use std::time::Duration;

use bytes::Bytes;

use super::limits::{
    MAX_METADATA_BYTES, MAX_PROTOCOLS, MAX_SESSION_TIMEOUT, MIN_REBALANCE_TIMEOUT, MIN_SESSION_TIMEOUT,
    OVERHEAD_BYTES,
};
use crate::error_code::ErrorCode;

/// One protocol (assignment strategy) that a member supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub name: String,
    pub metadata: Bytes,
}

/// `JoinGroup`.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    pub group_id: String,
    /// Empty if the client has none yet.
    pub member_id: String,
    /// From version 5.
    pub instance_id: Option<String>,
    /// True from version 4: a new dynamic member first gets its id, and then joins with it.
    pub requires_known_member: bool,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    /// From version 1. -1 means the session timeout.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// In the order of the member's preference.
    pub protocols: Vec<Protocol>,
}

impl JoinRequest {
    /// Checks what does not depend on the group.
    pub(super) fn check(&self) -> Result<(), ErrorCode> {
        check_group_id(&self.group_id)?;
        if !(MIN_SESSION_TIMEOUT..=MAX_SESSION_TIMEOUT).contains(&self.session_timeout()) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if self.protocol_type.is_empty() || self.protocols.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.protocols.len() > MAX_PROTOCOLS || protocols_bytes(&self.protocols) > MAX_METADATA_BYTES {
            return Err(ErrorCode::InvalidRequest);
        }
        Ok(())
    }

    pub(super) fn session_timeout(&self) -> Duration {
        milliseconds(self.session_timeout_ms)
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        match self.rebalance_timeout_ms {
            -1 => self.session_timeout(),
            timeout => milliseconds(timeout).max(MIN_REBALANCE_TIMEOUT),
        }
    }

    /// What the member takes in memory, roughly. A new member id is not longer than the limit of its prefix and a UUID.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + self.member_id.len()
            + self.instance_id.as_ref().map_or(0, |id| 2 * id.len())
            + self.client_id.len()
            + self.client_host.len()
            + protocols_bytes(&self.protocols)
    }
}

/// `SyncGroup`.
#[derive(Clone, Debug)]
pub(crate) struct SyncRequest {
    pub group_id: String,
    pub generation: i32,
    pub member_id: String,
    /// From version 3.
    pub instance_id: Option<String>,
    /// From the leader: member ids and their assignments.
    pub assignments: Vec<(String, Bytes)>,
}

/// Who sends a request as a member of a group: `Heartbeat`, `OffsetCommit` and `TxnOffsetCommit`.
///
/// A client outside of the group, such as an admin client, has generation -1, an empty member id and no instance id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub generation: i32,
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
}

/// A member that `LeaveGroup` removes. Versions 0 to 2 have one, without an instance id.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// Empty if an administrator removes a static member.
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// Returns an error if a group with this id cannot have members.
pub(super) fn check_group_id(group_id: &str) -> Result<(), ErrorCode> {
    if group_id.is_empty() { Err(ErrorCode::InvalidGroupId) } else { Ok(()) }
}

pub(super) fn protocols_bytes(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
}

/// Negative counts as zero.
fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}
