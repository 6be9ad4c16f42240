//! What a group answers.

use bytes::Bytes;

use crate::error_code::ErrorCode;

/// The generation of an answer with an error.
const NO_GENERATION: i32 = -1;

/// The answer to `JoinGroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinAnswer {
    pub error: Option<ErrorCode>,
    pub generation: i32,
    /// Empty if the group has selected none.
    pub protocol: String,
    pub leader: String,
    pub member_id: String,
    /// Only for the leader.
    pub members: Vec<JoinedMember>,
}

impl JoinAnswer {
    pub fn refused(member_id: impl Into<String>, error: ErrorCode) -> Self {
        Self {
            error: Some(error),
            generation: NO_GENERATION,
            protocol: String::new(),
            leader: String::new(),
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Of the protocol that the group selected.
    pub metadata: Bytes,
}

/// The answer to `SyncGroup`: the member's assignment.
pub(crate) type SyncAnswer = Result<Bytes, ErrorCode>;

/// The answers that are now due, with those who wait for them: `J` waits for the answer to a join, `S` for that to a sync.
#[derive(Debug)]
pub(crate) struct Due<J, S> {
    pub joins: Vec<(J, JoinAnswer)>,
    pub syncs: Vec<(S, SyncAnswer)>,
}

impl<J, S> Default for Due<J, S> {
    fn default() -> Self {
        Self { joins: Vec::new(), syncs: Vec::new() }
    }
}

impl<J, S> Due<J, S> {
    pub(super) fn join(&mut self, waiter: Option<J>, answer: JoinAnswer) {
        self.joins.extend(waiter.map(|waiter| (waiter, answer)));
    }

    pub(super) fn sync(&mut self, waiter: Option<S>, answer: SyncAnswer) {
        self.syncs.extend(waiter.map(|waiter| (waiter, answer)));
    }
}

/// The state of a group. A group that does not exist is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl State {
    /// As Kafka spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// The answer to `DescribeGroups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub state: State,
    /// Empty if it is not known.
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

impl Description {
    /// A group without members.
    pub(super) fn without_members(state: State) -> Self {
        Self { state, protocol_type: String::new(), protocol: String::new(), members: Vec::new() }
    }
}

/// A member in [`Description`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberDescription {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    /// Empty unless the group is stable.
    pub assignment: Bytes,
}

/// A group in the answer to `ListGroups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub group_id: String,
    /// Empty if it is not known.
    pub protocol_type: String,
    pub state: State,
}
