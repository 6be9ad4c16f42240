//! The rebalance of a group: its start, the next generation, and the assignments of the leader.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::answers::{Due, JoinAnswer, SyncAnswer};
use super::group::{Group, Phase};
use super::limits::{
    INITIAL_REBALANCE_DELAY, MAX_ASSIGNMENT_BYTES, MAX_INITIAL_REBALANCE_DELAY, MIN_REBALANCE_TIMEOUT,
};
use super::member::Member;
use super::requests::{Identity, Protocol, SyncRequest};
use crate::error_code::ErrorCode;

impl<J, S> Group<J, S> {
    /// `SyncGroup`.
    pub fn sync(&mut self, now: Duration, request: SyncRequest, waiter: S, due: &mut Due<J, S>) {
        if let Err(error) = self.check_sync(&request) {
            due.sync(Some(waiter), Err(error));
            return;
        }
        let Some(member) = self.members.get_mut(&request.member_id) else {
            due.sync(Some(waiter), Err(ErrorCode::UnknownMemberId));
            return;
        };
        member.contact(now);
        member.owes_sync = false;
        due.sync(member.sync.replace(waiter), Err(ErrorCode::RebalanceInProgress));
        if let Phase::Completing { until } = self.phase {
            if self.leader.as_ref() != Some(&request.member_id) {
                return;
            }
            self.assign(request.assignments);
            self.phase = Phase::Stable { until: Some(until) };
        }
        self.answer_syncs(now, due);
        self.end_sync_timer();
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        self.check_generation(request.identity())?;
        if let Phase::Preparing { .. } = self.phase {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if request.assignments.iter().any(|(_, assignment)| assignment.len() > MAX_ASSIGNMENT_BYTES) {
            return Err(ErrorCode::InvalidRequest);
        }
        Ok(())
    }

    /// Stores the assignments of the leader. A member without one has nothing to do.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>) {
        let mut assignments: HashMap<String, Bytes> = assignments.into_iter().collect();
        for (member_id, member) in &mut self.members {
            let assignment = assignments.remove(member_id).unwrap_or_default();
            // The bytes of the request would keep the whole request in memory.
            member.assignment = Bytes::copy_from_slice(&assignment);
        }
    }

    /// Answers the syncs that wait with the assignments.
    fn answer_syncs(&mut self, now: Duration, due: &mut Due<J, S>) {
        for member in self.members.values_mut().filter(|member| member.sync.is_some()) {
            let assignment = member.assignment.clone();
            answer_sync(now, member, Ok(assignment), due);
        }
    }

    /// Stops waiting for syncs once every member has sent one.
    pub(super) fn end_sync_timer(&mut self) {
        if let Phase::Stable { until } = &mut self.phase {
            *until = until.filter(|_| self.members.values().any(|member| member.owes_sync));
        }
    }

    /// Starts to wait for the members to join. Assignments that they wait for will not come.
    pub(super) fn prepare_rebalance(&mut self, now: Duration, due: &mut Due<J, S>) {
        for member in self.members.values_mut() {
            answer_sync(now, member, Err(ErrorCode::RebalanceInProgress), due);
            member.owes_sync = false;
        }
        self.phase = if self.phase == Phase::Empty {
            let latest = Some(now + MAX_INITIAL_REBALANCE_DELAY);
            Phase::Preparing { until: now + INITIAL_REBALANCE_DELAY, latest }
        } else {
            Phase::Preparing { until: now + self.rebalance_timeout(), latest: None }
        };
    }

    /// Ends the wait for joins if nobody is missing. The first rebalance of an empty group waits for its timer.
    pub(super) fn complete_join_if_ready(&mut self, now: Duration, due: &mut Due<J, S>) {
        let Phase::Preparing { latest, .. } = self.phase else {
            return;
        };
        let all_joined = self.pending.is_empty() && self.members.values().all(|member| member.join.is_some());
        if all_joined && (latest.is_none() || self.members.is_empty()) {
            self.complete_join(now, due);
        }
    }

    /// Ends the wait for joins. Dynamic members that have not joined are removed; static ones may come back until their session ends.
    pub(super) fn complete_join(&mut self, now: Duration, due: &mut Due<J, S>) {
        let missing = self.members.iter().filter(|(_, member)| member.join.is_none() && !member.is_static());
        let missing: Vec<String> = missing.map(|(id, _)| id.clone()).collect();
        for member_id in missing {
            self.take_out(&member_id, due);
        }
        if self.members.is_empty() {
            self.next_generation(Phase::Empty);
        } else if self.elect_leader() {
            self.next_generation(Phase::Completing { until: now + self.rebalance_timeout() });
            self.answer_joins(now, due);
        } else {
            self.phase = Phase::Preparing { until: now + self.rebalance_timeout(), latest: None };
        }
    }

    fn next_generation(&mut self, phase: Phase) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.phase = phase;
        tracing::debug!(
            generation = self.generation,
            members = self.members.len(),
            "a group has a new generation"
        );
    }

    /// Makes sure that the leader has joined. Returns false if nobody has.
    fn elect_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leader.is_some_and(|leader| leader.join.is_some()) {
            return true;
        }
        let joined = self.members.iter().find(|(_, member)| member.join.is_some());
        let Some((member_id, _)) = joined else {
            return false;
        };
        self.leader = Some(member_id.clone());
        true
    }

    fn answer_joins(&mut self, now: Duration, due: &mut Due<J, S>) {
        let answers: Vec<JoinAnswer> = self.members.keys().map(|member_id| self.joined(member_id)).collect();
        for (member, answer) in self.members.values_mut().zip(answers) {
            member.owes_sync = true;
            if let Some(waiter) = member.join.take() {
                due.join(Some(waiter), answer);
                member.has_joined(now);
            }
        }
    }

    /// The longest rebalance timeout of the members.
    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default().max(MIN_REBALANCE_TIMEOUT)
    }

    /// Every member votes for the first of its protocols that all support. The one with the most votes wins; of several, the one
    /// that the leader prefers.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let leader = self.members.get(self.leader.as_ref()?)?;
        let names = leader.protocols.iter().filter(|protocol| self.is_common(protocol));
        let common: Vec<&str> = names.map(|protocol| protocol.name.as_str()).collect();
        let mut votes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            let first = member.protocols.iter().find(|protocol| common.contains(&protocol.name.as_str()))?;
            *votes.entry(&first.name).or_default() += 1;
        }
        let most = votes.values().max()?;
        let winner = common.iter().find(|name| votes.get(**name) == Some(most))?;
        Some((*winner).to_owned())
    }

    /// Whether all members support a protocol.
    pub(super) fn is_common(&self, protocol: &Protocol) -> bool {
        self.members.values().all(|member| member.supports(&protocol.name))
    }
}

fn answer_sync<J, S>(now: Duration, member: &mut Member<J, S>, answer: SyncAnswer, due: &mut Due<J, S>) {
    if let Some(waiter) = member.sync.take() {
        due.sync(Some(waiter), answer);
        member.contact(now);
    }
}

impl SyncRequest {
    fn identity(&self) -> Identity<'_> {
        Identity {
            generation: self.generation,
            member_id: &self.member_id,
            instance_id: self.instance_id.as_deref(),
        }
    }
}
