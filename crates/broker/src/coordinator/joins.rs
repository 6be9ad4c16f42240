//! The joins of a group: who becomes a member, and who must wait for a rebalance.

use std::time::Duration;

use super::answers::{Due, JoinAnswer};
use super::group::{Group, Phase};
use super::limits::{INITIAL_REBALANCE_DELAY, MAX_GROUP_SIZE};
use super::member::Member;
use super::requests::{JoinRequest, Protocol};
use crate::error_code::ErrorCode;

impl<J, S> Group<J, S> {
    /// `JoinGroup`. `new_id` is the member id if the request has none.
    pub fn join(
        &mut self,
        now: Duration,
        request: JoinRequest,
        new_id: String,
        waiter: J,
        due: &mut Due<J, S>,
    ) {
        if let Err(error) = self.check_join(&request) {
            due.join(Some(waiter), JoinAnswer::refused(request.member_id, error));
            return;
        }
        if !request.member_id.is_empty() {
            self.join_with_id(now, request, waiter, due);
        } else if let Some(instance_id) = request.instance_id.clone() {
            self.join_static(now, &instance_id, request, new_id, waiter, due);
        } else if request.requires_known_member {
            self.pending.insert(new_id.clone(), now + request.session_timeout());
            due.join(Some(waiter), JoinAnswer::refused(new_id, ErrorCode::MemberIdRequired));
        } else {
            self.add(now, request, new_id, waiter, due);
        }
        self.complete_join_if_ready(now, due);
    }

    /// Checks that the group has room and a protocol in common with the client.
    fn check_join(&self, request: &JoinRequest) -> Result<(), ErrorCode> {
        let is_replacement = request.instance_id.as_ref().is_some_and(|id| self.instances.contains_key(id));
        if request.member_id.is_empty() && !is_replacement && self.size() >= MAX_GROUP_SIZE {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let is_same_type =
            self.members.is_empty() || self.protocol_type.as_ref() == Some(&request.protocol_type);
        if is_same_type && request.protocols.iter().any(|protocol| self.is_common(protocol)) {
            Ok(())
        } else {
            Err(ErrorCode::InconsistentGroupProtocol)
        }
    }

    fn join_with_id(&mut self, now: Duration, request: JoinRequest, waiter: J, due: &mut Due<J, S>) {
        let member_id = request.member_id.clone();
        if request.instance_id.is_none() && self.pending.remove(&member_id).is_some() {
            self.add(now, request, member_id, waiter, due);
            return;
        }
        if let Err(error) = self.check_member(&member_id, request.instance_id.as_deref()) {
            due.join(Some(waiter), JoinAnswer::refused(member_id, error));
            return;
        }
        if self.may_keep_generation(&member_id, &request.protocols) {
            self.contact(now, &member_id);
            due.join(Some(waiter), self.joined(&member_id));
            return;
        }
        self.update(now, &member_id, request, waiter, due);
        if !matches!(self.phase, Phase::Preparing { .. }) {
            self.prepare_rebalance(now, due);
        }
    }

    /// Whether a member that joins again gets the answer of the current generation, because its answer may have been lost.
    ///
    /// A leader that joins again while the group is stable wants a rebalance, for example because a topic has more partitions.
    fn may_keep_generation(&self, member_id: &str, protocols: &[Protocol]) -> bool {
        let is_unchanged = self.members.get(member_id).is_some_and(|member| member.protocols == protocols);
        match self.phase {
            Phase::Completing { .. } => is_unchanged,
            Phase::Stable { .. } => is_unchanged && self.leader.as_deref() != Some(member_id),
            Phase::Empty | Phase::Preparing { .. } => false,
        }
    }

    /// A static member joins without a member id: it is new, or its process was restarted.
    fn join_static(
        &mut self,
        now: Duration,
        instance_id: &str,
        request: JoinRequest,
        new_id: String,
        waiter: J,
        due: &mut Due<J, S>,
    ) {
        let Some(old_id) = self.instances.get(instance_id).cloned() else {
            self.add(now, request, new_id, waiter, due);
            return;
        };
        let old_leader = self.leader.clone().unwrap_or_default();
        self.rename(&old_id, &new_id, due);
        self.update(now, &new_id, request, waiter, due);
        match self.phase {
            Phase::Stable { .. } if self.select_protocol() == self.protocol => {
                // With its own new id as the leader, it would send assignments that a stable group ignores.
                let answer = JoinAnswer { leader: old_leader, members: Vec::new(), ..self.joined(&new_id) };
                if let Some(member) = self.members.get_mut(&new_id) {
                    due.join(member.join.take(), answer);
                }
            }
            // While completing, the leader may know only the old member id.
            Phase::Stable { .. } | Phase::Completing { .. } => self.prepare_rebalance(now, due),
            Phase::Empty | Phase::Preparing { .. } => {}
        }
    }

    /// Gives a static member a new id. Requests that wait under the old one are fenced.
    fn rename(&mut self, old_id: &str, new_id: &str, due: &mut Due<J, S>) {
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        due.join(member.join.take(), JoinAnswer::refused(old_id, ErrorCode::FencedInstanceId));
        due.sync(member.sync.take(), Err(ErrorCode::FencedInstanceId));
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), new_id.to_owned());
        }
        if self.leader.as_deref() == Some(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        self.members.insert(new_id.to_owned(), member);
    }

    /// Adds a member, and rebalances.
    fn add(
        &mut self,
        now: Duration,
        request: JoinRequest,
        member_id: String,
        waiter: J,
        due: &mut Due<J, S>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let Some(instance_id) = &request.instance_id {
            self.instances.insert(instance_id.clone(), member_id.clone());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, Member::new(now, request, waiter));
        match &mut self.phase {
            Phase::Preparing { until, latest: Some(latest) } => {
                *until = (now + INITIAL_REBALANCE_DELAY).min(*latest);
            }
            Phase::Preparing { latest: None, .. } => {}
            Phase::Empty | Phase::Completing { .. } | Phase::Stable { .. } => {
                self.prepare_rebalance(now, due)
            }
        }
    }

    fn update(
        &mut self,
        now: Duration,
        member_id: &str,
        request: JoinRequest,
        waiter: J,
        due: &mut Due<J, S>,
    ) {
        if let Some(member) = self.members.get_mut(member_id) {
            let replaced = member.update(now, request, waiter);
            due.join(replaced, JoinAnswer::refused(member_id, ErrorCode::RebalanceInProgress));
        }
    }

    /// The answer to a member's join for the current generation.
    pub(super) fn joined(&self, member_id: &str) -> JoinAnswer {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = if self.leader.as_deref() == Some(member_id) {
            self.members.iter().map(|(id, member)| member.joined(id, protocol)).collect()
        } else {
            Vec::new()
        };
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol: protocol.to_owned(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            members,
        }
    }
}
