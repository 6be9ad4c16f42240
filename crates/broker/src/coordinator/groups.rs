//! All groups by their ids: a state machine, as each group is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::answers::{Description, Due, JoinAnswer, Listed, State};
use super::group::Group;
use super::limits::{MAX_BYTES, MAX_GROUPS};
use super::member::Waiter;
use super::requests::{Identity, JoinRequest, Leaving, SyncRequest, check_group_id};
use super::subscription::Subscription;
use crate::error_code::ErrorCode;

/// Whether a group has committed offsets. They are stored elsewhere.
pub(crate) type HasOffsets = Box<dyn Fn(&str) -> bool + Send>;

/// The groups that have members, and those that had some and have committed offsets.
pub(crate) struct Groups<J, S> {
    groups: HashMap<String, Entry<J, S>>,
    /// When which group must be ticked.
    deadlines: BTreeSet<(Duration, String)>,
    /// What all groups take in memory, roughly.
    pub(super) bytes: usize,
    has_offsets: HasOffsets,
}

struct Entry<J, S> {
    group: Group<J, S>,
    /// Its deadline in `deadlines`.
    deadline: Option<Duration>,
    /// Its part of `bytes`.
    bytes: usize,
}

impl<J, S> Groups<J, S> {
    pub fn new(has_offsets: HasOffsets) -> Self {
        Self { groups: HashMap::new(), deadlines: BTreeSet::new(), bytes: 0, has_offsets }
    }

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
        let group_id = request.group_id.clone();
        self.create(&group_id);
        self.change(&group_id, |group| group.join(now, request, new_id, waiter, due));
    }

    fn check_join(&mut self, request: &JoinRequest) -> Result<(), ErrorCode> {
        request.check()?;
        let group = self.groups.get(&request.group_id);
        let known = group.map_or(0, |entry| entry.group.member_bytes(&request.member_id));
        let more = (request.bytes() + request.group_id.len()).saturating_sub(known);
        if !self.has_room(group.is_none(), more) {
            self.forget_unused();
        }
        if self.has_room(!self.groups.contains_key(&request.group_id), more) {
            Ok(())
        } else {
            Err(ErrorCode::GroupMaxSizeReached)
        }
    }

    /// `SyncGroup`.
    pub fn sync(&mut self, now: Duration, request: SyncRequest, waiter: S, due: &mut Due<J, S>) {
        let bytes = request.assignments.iter().map(|(_, assignment)| assignment.len()).sum();
        let checked = check_group_id(&request.group_id).and_then(|()| {
            if !self.groups.contains_key(&request.group_id) {
                Err(ErrorCode::UnknownMemberId)
            } else if self.has_room(false, bytes) {
                Ok(())
            } else {
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        });
        if let Err(error) = checked {
            due.sync(Some(waiter), Err(error));
            return;
        }
        let group_id = request.group_id.clone();
        self.change(&group_id, |group| group.sync(now, request, waiter, due));
    }

    /// The client of a join or a sync has disconnected. `may_return`: it can come back as the same member.
    pub fn withdraw(
        &mut self,
        now: Duration,
        group_id: &str,
        member_id: &str,
        may_return: bool,
        due: &mut Due<J, S>,
    ) where
        J: Waiter,
        S: Waiter,
    {
        self.change(group_id, |group| group.withdraw(now, member_id, may_return, due));
    }

    /// `Heartbeat`.
    ///
    /// # Errors
    /// The member must join (again), or is fenced.
    pub fn heartbeat(
        &mut self,
        now: Duration,
        group_id: &str,
        member: Identity<'_>,
    ) -> Result<(), ErrorCode> {
        check_group_id(group_id)?;
        let answer = self.change(group_id, |group| group.heartbeat(now, member));
        answer.unwrap_or(Err(ErrorCode::UnknownMemberId))
    }

    /// `LeaveGroup`: the results of the members, in their order.
    ///
    /// # Errors
    /// The group id is invalid.
    pub fn leave(
        &mut self,
        now: Duration,
        group_id: &str,
        members: &[Leaving],
        due: &mut Due<J, S>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        check_group_id(group_id)?;
        let leave_all = |group: &mut Group<J, S>| {
            members.iter().map(|member| group.leave(now, member, due)).collect::<Vec<_>>()
        };
        let answers = self.change(group_id, leave_all);
        Ok(answers.unwrap_or_else(|| vec![Err(ErrorCode::UnknownMemberId); members.len()]))
    }

    /// Checks whether `OffsetCommit` may store offsets.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn check_commit(
        &mut self,
        now: Duration,
        group_id: &str,
        member: Identity<'_>,
    ) -> Result<(), ErrorCode> {
        let answer = self.change(group_id, |group| group.check_commit(now, member));
        answer.unwrap_or(if member.generation < 0 { Ok(()) } else { Err(ErrorCode::IllegalGeneration) })
    }

    /// Checks whether `TxnOffsetCommit` may store offsets.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn check_transactional_commit(&self, group_id: &str, member: Identity<'_>) -> Result<(), ErrorCode> {
        check_group_id(group_id)?;
        match self.groups.get(group_id) {
            Some(entry) => entry.group.check_transactional_commit(member),
            None => Group::<J, S>::default().check_transactional_commit(member),
        }
    }

    /// `DescribeGroups`. A group that does not exist is dead.
    pub fn describe(&self, group_id: &str) -> Description {
        match self.existing(group_id) {
            Some(Some(group)) => group.describe(),
            Some(None) => Description::without_members(State::Empty),
            None => Description::without_members(State::Dead),
        }
    }

    /// `ListGroups`. `with_offsets` are all groups that have committed offsets.
    pub fn list(&mut self, with_offsets: impl IntoIterator<Item = String>) -> Vec<Listed> {
        self.forget_unused();
        let others: HashSet<String> =
            with_offsets.into_iter().filter(|id| !self.groups.contains_key(id)).collect();
        let others = others.into_iter().map(|group_id| Listed {
            group_id,
            protocol_type: String::new(),
            state: State::Empty,
        });
        let known = self.groups.iter().map(|(group_id, Entry { group, .. })| Listed {
            group_id: group_id.clone(),
            protocol_type: group.protocol_type().to_owned(),
            state: group.state(),
        });
        known.chain(others).collect()
    }

    /// `DeleteGroups`: forgets the group. The caller must then delete its offsets.
    ///
    /// # Errors
    /// The group has members, or does not exist.
    pub fn delete(&mut self, group_id: &str) -> Result<(), ErrorCode> {
        match self.existing(group_id) {
            Some(Some(group)) if group.state() != State::Empty => Err(ErrorCode::NonEmptyGroup),
            Some(_) => {
                self.remove(group_id);
                Ok(())
            }
            None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// `OffsetDelete`: the topics whose committed offsets must not be deleted.
    ///
    /// # Errors
    /// The group does not exist, or has members that are not consumers.
    pub fn subscription(&self, group_id: &str) -> Result<Subscription, ErrorCode> {
        match self.existing(group_id) {
            Some(Some(group)) => group.subscription(),
            Some(None) => Ok(Subscription::Topics(HashSet::new())),
            None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// Returns the groups with members.
    pub fn used(&self) -> Vec<String> {
        let used = self.groups.iter().filter(|(_, entry)| !entry.group.is_unused());
        used.map(|(group_id, _)| group_id.clone()).collect()
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Removes the clients whose time is over, and ends the rebalances whose time is over.
    pub fn tick(&mut self, now: Duration, due: &mut Due<J, S>) {
        let is_due = |deadline: &&(Duration, String)| deadline.0 <= now;
        let over: Vec<String> =
            self.deadlines.iter().take_while(is_due).map(|(_, group_id)| group_id.clone()).collect();
        for group_id in over {
            self.change(&group_id, |group| group.tick(now, due));
        }
    }

    /// A group that exists. The inner `None` is a group that only has committed offsets.
    fn existing(&self, group_id: &str) -> Option<Option<&Group<J, S>>> {
        let group = self.groups.get(group_id).map(|entry| &entry.group);
        let is_used = group.is_some_and(|group| !group.is_unused());
        (is_used || (self.has_offsets)(group_id)).then_some(group)
    }

    fn has_room(&self, for_group: bool, bytes: usize) -> bool {
        (!for_group || self.groups.len() < MAX_GROUPS) && self.bytes.saturating_add(bytes) <= MAX_BYTES
    }

    fn create(&mut self, group_id: &str) {
        let new = || Entry { group: Group::default(), deadline: None, bytes: 0 };
        self.groups.entry(group_id.to_owned()).or_insert_with(new);
    }

    /// Changes a group, keeps its deadline and size up to date, and forgets it if nobody uses it and it has no offsets.
    fn change<R>(&mut self, group_id: &str, change: impl FnOnce(&mut Group<J, S>) -> R) -> Option<R> {
        let entry = self.groups.get_mut(group_id)?;
        let result = change(&mut entry.group);
        let (deadline, bytes) = (entry.group.next_deadline(), entry.group.bytes() + group_id.len());
        if deadline != entry.deadline {
            entry.deadline.inspect(|old| {
                self.deadlines.remove(&(*old, group_id.to_owned()));
            });
            self.deadlines.extend(deadline.map(|new| (new, group_id.to_owned())));
        }
        self.bytes = self.bytes - entry.bytes + bytes;
        (entry.deadline, entry.bytes) = (deadline, bytes);
        if entry.group.is_unused() && !(self.has_offsets)(group_id) {
            self.remove(group_id);
        }
        Some(result)
    }

    fn remove(&mut self, group_id: &str) {
        if let Some(entry) = self.groups.remove(group_id) {
            self.bytes -= entry.bytes;
            entry.deadline.inspect(|deadline| {
                self.deadlines.remove(&(*deadline, group_id.to_owned()));
            });
        }
    }

    /// Forgets the groups that nobody uses and whose offsets were deleted.
    fn forget_unused(&mut self) {
        let unused =
            self.groups.iter().filter(|(id, entry)| entry.group.is_unused() && !(self.has_offsets)(id));
        let unused: Vec<String> = unused.map(|(id, _)| id.clone()).collect();
        for group_id in unused {
            self.remove(&group_id);
        }
    }
}
