//! One group: a state machine without a clock, I/O and randomness.
//!
//! Every call gets the time since the start of the broker, and puts the answers that are now due into a [`Due`]. The rules are those of
//! `GroupCoordinator` in Kafka 3.9, with these differences:
//!
//! - Every waiter is answered. Kafka forgets the first of two joins (or syncs) of a member that sends it again, and the sync of a member
//!   that leaves.
//! - The session of an absent static member is not extended when a rebalance ends.
//! - The first rebalance of an empty group ends within a second: [`INITIAL_REBALANCE_DELAY`](super::limits::INITIAL_REBALANCE_DELAY).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::answers::{Description, Due, JoinAnswer, State};
use super::limits::OVERHEAD_BYTES;
use super::member::{Member, Waiter};
use super::requests::{Identity, Leaving};
use super::subscription::{self, Subscription};
use crate::error_code::ErrorCode;

/// The protocol type of consumers, whose metadata names topics.
const CONSUMER: &str = "consumer";

/// A group. `J` waits for the answer to a join, `S` for that to a sync.
#[derive(Debug)]
pub(crate) struct Group<J, S> {
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    /// The protocol of this generation.
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member<J, S>>,
    /// The member ids of the static members, by their instance ids.
    pub(super) instances: BTreeMap<String, String>,
    /// Member ids that were given to clients which have not joined with them yet, and until when they may.
    pub(super) pending: BTreeMap<String, Duration>,
}

/// The state of a group, with its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Empty,
    /// Waits for the members to join.
    Preparing {
        until: Duration,
        /// For the first rebalance of an empty group: every join extends `until`, but not beyond this.
        latest: Option<Duration>,
    },
    /// Waits for the leader to send the assignments.
    Completing {
        /// When the members that have not sent a sync are removed.
        until: Duration,
    },
    Stable {
        /// When the members that have not sent a sync are removed, if there are any.
        until: Option<Duration>,
    },
}

impl<J, S> Default for Group<J, S> {
    fn default() -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }
}

impl<J, S> Group<J, S> {
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Empty => State::Empty,
            Phase::Preparing { .. } => State::PreparingRebalance,
            Phase::Completing { .. } => State::CompletingRebalance,
            Phase::Stable { .. } => State::Stable,
        }
    }

    /// Empty if it is not known.
    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// Whether no client uses the group.
    pub fn is_unused(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty()
    }

    /// Members and clients that got a member id and have not used it yet.
    pub fn size(&self) -> usize {
        self.members.len() + self.pending.len()
    }

    /// What the group takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        let members: usize = self.members.iter().map(|(id, member)| member.bytes(id)).sum();
        let pending: usize = self.pending.keys().map(|id| OVERHEAD_BYTES + id.len()).sum();
        OVERHEAD_BYTES + members + pending
    }

    /// What a member takes in memory, roughly.
    pub fn member_bytes(&self, member_id: &str) -> usize {
        self.members.get(member_id).map_or(0, |member| member.bytes(member_id))
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Empty => None,
            Phase::Preparing { until, .. } | Phase::Completing { until } => Some(until),
            Phase::Stable { until } => until,
        };
        let sessions = self.members.values().filter_map(Member::deadline);
        sessions.chain(self.pending.values().copied()).chain(phase).min()
    }

    /// Removes the clients whose time is over, and ends the rebalance whose time is over.
    pub fn tick(&mut self, now: Duration, due: &mut Due<J, S>) {
        self.pending.retain(|_, deadline| *deadline > now);
        let is_over = |member: &Member<J, S>| member.deadline().is_some_and(|deadline| deadline <= now);
        self.remove_where(now, "session timeout", is_over, due);
        self.complete_join_if_ready(now, due);
        match self.phase {
            Phase::Preparing { until, .. } if until <= now => self.complete_join(now, due),
            Phase::Completing { until } | Phase::Stable { until: Some(until) } if until <= now => {
                self.remove_where(
                    now,
                    "no sync within the rebalance timeout",
                    |member| member.owes_sync,
                    due,
                );
                self.end_sync_timer();
            }
            _ => {}
        }
    }

    /// `Heartbeat`.
    ///
    /// # Errors
    /// The member must join (again), or is fenced.
    pub fn heartbeat(&mut self, now: Duration, member: Identity<'_>) -> Result<(), ErrorCode> {
        self.check_generation(member)?;
        self.contact(now, member.member_id);
        match self.phase {
            Phase::Preparing { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable { .. } => Ok(()),
        }
    }

    /// Checks whether `OffsetCommit` may store offsets. While the group has no members, clients outside of it may.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn check_commit(&mut self, now: Duration, member: Identity<'_>) -> Result<(), ErrorCode> {
        if self.phase == Phase::Empty && member.generation < 0 {
            return Ok(());
        }
        if member.is_outsider() {
            return if self.phase == Phase::Empty { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        }
        self.check_generation(member)?;
        if let Phase::Completing { .. } = self.phase {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.contact(now, member.member_id);
        Ok(())
    }

    /// Checks whether `TxnOffsetCommit` may store offsets. Versions 0 to 2 name no member, and are always allowed.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn check_transactional_commit(&self, member: Identity<'_>) -> Result<(), ErrorCode> {
        if member.is_outsider() || (self.phase == Phase::Empty && member.generation < 0) {
            return Ok(());
        }
        self.check_generation(member)
    }

    /// `LeaveGroup`: removes one member.
    ///
    /// # Errors
    /// The member is unknown or fenced.
    pub fn leave(&mut self, now: Duration, leaving: &Leaving, due: &mut Due<J, S>) -> Result<(), ErrorCode> {
        let instance_id = leaving.instance_id.as_deref();
        let member_id = if leaving.member_id.is_empty() {
            let id = instance_id.and_then(|instance| self.instances.get(instance));
            id.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else if self.pending.remove(&leaving.member_id).is_some() {
            self.complete_join_if_ready(now, due);
            return Ok(());
        } else {
            self.check_member(&leaving.member_id, instance_id)?;
            leaving.member_id.clone()
        };
        self.take_out(&member_id, due);
        self.rebalance_without_removed(now, due);
        Ok(())
    }

    /// The client of a join or a sync has disconnected. A member that cannot come back, because its client does not know its id, is removed
    /// at once, others when their sessions end.
    pub fn withdraw(&mut self, now: Duration, member_id: &str, may_return: bool, due: &mut Due<J, S>)
    where
        J: Waiter,
        S: Waiter,
    {
        let withdrawn = self.members.get_mut(member_id).is_some_and(|member| member.withdraw(now));
        if withdrawn && !may_return {
            self.take_out(member_id, due);
            self.rebalance_without_removed(now, due);
        }
    }

    /// `DescribeGroups`.
    pub fn describe(&self) -> Description {
        let protocol = self.protocol.as_deref().filter(|_| self.state() == State::Stable);
        Description {
            state: self.state(),
            protocol_type: self.protocol_type().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self.members.iter().map(|(id, member)| member.description(id, protocol)).collect(),
        }
    }

    /// The topics whose committed offsets must not be deleted.
    ///
    /// # Errors
    /// The group has members that are not consumers: no offset may be deleted.
    pub fn subscription(&self) -> Result<Subscription, ErrorCode> {
        if self.phase == Phase::Empty {
            return Ok(Subscription::Topics(HashSet::new()));
        }
        if self.protocol_type() != CONSUMER {
            return Err(ErrorCode::NonEmptyGroup);
        }
        Ok(self.consumed_topics().map_or(Subscription::Unknown, Subscription::Topics))
    }

    fn consumed_topics(&self) -> Option<HashSet<String>> {
        let protocol = self.protocol.as_deref()?;
        let mut all = HashSet::new();
        for member in self.members.values() {
            all.extend(subscription::topics(member.metadata(protocol)?)?);
        }
        Some(all)
    }

    /// Checks that the member is in the group, and that its instance id belongs to it.
    pub(super) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            let current = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if current != member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub(super) fn check_generation(&self, member: Identity<'_>) -> Result<(), ErrorCode> {
        self.check_member(member.member_id, member.instance_id)?;
        if member.generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    pub(super) fn contact(&mut self, now: Duration, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.contact(now);
        }
    }

    /// Removes the members that `is_over` selects, and rebalances if there were any.
    fn remove_where(
        &mut self,
        now: Duration,
        reason: &str,
        is_over: impl Fn(&Member<J, S>) -> bool,
        due: &mut Due<J, S>,
    ) {
        let over = self.members.iter().filter(|(_, member)| is_over(member));
        let over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        for member_id in &over {
            tracing::info!(member_id, reason, "removing a member from its group");
            self.take_out(member_id, due);
        }
        if !over.is_empty() {
            self.rebalance_without_removed(now, due);
        }
    }

    /// Removes a member, and answers the requests that it waits for.
    pub(super) fn take_out(&mut self, member_id: &str, due: &mut Due<J, S>) {
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        due.join(member.join, JoinAnswer::refused("", ErrorCode::UnknownMemberId));
        due.sync(member.sync, Err(ErrorCode::UnknownMemberId));
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn rebalance_without_removed(&mut self, now: Duration, due: &mut Due<J, S>) {
        if let Phase::Completing { .. } | Phase::Stable { .. } = self.phase {
            self.prepare_rebalance(now, due);
        }
        self.complete_join_if_ready(now, due);
    }
}

impl Identity<'_> {
    fn is_outsider(&self) -> bool {
        self.generation < 0 && self.member_id.is_empty() && self.instance_id.is_none()
    }
}
