//! The groups with a clock, random member ids and waiting requests.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use roundhouse_part::lock::lock;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::answers::{Description, Due, JoinAnswer, Listed, SyncAnswer};
use super::groups::{Groups, HasOffsets};
use super::limits::MAX_MEMBER_ID_PREFIX;
use super::member::Waiter;
use super::requests::{Identity, JoinRequest, Leaving, SyncRequest};
use super::subscription::Subscription;
use crate::error_code::ErrorCode;

type Joins = oneshot::Sender<JoinAnswer>;
type Syncs = oneshot::Sender<SyncAnswer>;

/// The coordinator of all groups of the broker. Groups are not stored: after a restart, clients join again.
pub(crate) struct Coordinator {
    state: Mutex<Timed>,
    started: Instant,
    /// Wakes [`Self::keep_time`] when a deadline appears that is earlier than the one that it waits for.
    earlier: Notify,
}

struct Timed {
    groups: Groups<Joins, Syncs>,
    /// The deadline that [`Coordinator::keep_time`] waits for.
    awaited: Option<Duration>,
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator").finish_non_exhaustive()
    }
}

impl Coordinator {
    /// `has_offsets` tells whether a group has committed offsets. It is called while the groups are locked, so it must not call the
    /// coordinator, and must not wait for anything else.
    pub fn new(has_offsets: HasOffsets) -> Self {
        let timed = Timed { groups: Groups::new(has_offsets), awaited: None };
        Self { state: Mutex::new(timed), started: Instant::now(), earlier: Notify::new() }
    }

    /// Ends sessions and rebalances in time. It must run as long as the broker does. It sleeps until the next deadline, and for ever
    /// while there is none.
    pub async fn keep_time(&self) {
        loop {
            let deadline = self.tick();
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(self.started + deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// `JoinGroup`: waits until the rebalance ends.
    pub async fn join(&self, request: JoinRequest) -> JoinAnswer {
        let (group_id, given_id, new_id) =
            (request.group_id.clone(), request.member_id.clone(), new_member_id(&request));
        let may_return = !given_id.is_empty() || request.instance_id.is_some();
        let member_id = if given_id.is_empty() { new_id.clone() } else { given_id.clone() };
        let (waiter, answer) = oneshot::channel();
        self.with_groups(|groups, now, due| groups.join(now, request, new_id, waiter, due));
        let mut waiting = Waiting { coordinator: self, group_id, member_id, may_return, answer };
        let stopped = |_| JoinAnswer::refused(given_id, ErrorCode::CoordinatorNotAvailable);
        (&mut waiting.answer).await.unwrap_or_else(stopped)
    }

    /// `SyncGroup`: waits until the leader has sent the assignments.
    pub async fn sync(&self, request: SyncRequest) -> SyncAnswer {
        let (group_id, member_id) = (request.group_id.clone(), request.member_id.clone());
        let (waiter, answer) = oneshot::channel();
        self.with_groups(|groups, now, due| groups.sync(now, request, waiter, due));
        let mut waiting = Waiting { coordinator: self, group_id, member_id, may_return: true, answer };
        (&mut waiting.answer).await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// `Heartbeat`.
    ///
    /// # Errors
    /// The member must join (again), or is fenced.
    pub fn heartbeat(&self, group_id: &str, member: Identity<'_>) -> Result<(), ErrorCode> {
        self.with_groups(|groups, now, _| groups.heartbeat(now, group_id, member))
    }

    /// `LeaveGroup`: the results of the members, in their order.
    ///
    /// # Errors
    /// The group id is invalid.
    pub fn leave(
        &self,
        group_id: &str,
        members: &[Leaving],
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        self.with_groups(|groups, now, due| groups.leave(now, group_id, members, due))
    }

    /// Calls `send` if `OffsetCommit` may store offsets. Until it returns, the group does not change. It must not wait for anything.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn commit<T>(
        &self,
        group_id: &str,
        member: Identity<'_>,
        send: impl FnOnce() -> T,
    ) -> Result<T, ErrorCode> {
        self.with_groups(|groups, now, _| groups.check_commit(now, group_id, member).map(|()| send()))
    }

    /// Calls `send` if `TxnOffsetCommit` may store offsets. Until it returns, the group does not change. It must not wait for anything.
    ///
    /// # Errors
    /// The commit must be refused.
    pub fn transactional_commit<T>(
        &self,
        group_id: &str,
        member: Identity<'_>,
        send: impl FnOnce() -> T,
    ) -> Result<T, ErrorCode> {
        self.with_groups(|groups, _, _| groups.check_transactional_commit(group_id, member).map(|()| send()))
    }

    /// `DescribeGroups`. A group that does not exist is dead.
    pub fn describe(&self, group_id: &str) -> Description {
        self.with_groups(|groups, _, _| groups.describe(group_id))
    }

    /// `ListGroups`. `with_offsets` are all groups that have committed offsets.
    pub fn list(&self, with_offsets: impl IntoIterator<Item = String>) -> Vec<Listed> {
        self.with_groups(|groups, _, _| groups.list(with_offsets))
    }

    /// `DeleteGroups`: forgets the group, and calls `send`, which deletes its offsets, before anyone can join it again.
    ///
    /// # Errors
    /// The group has members, or does not exist.
    pub fn delete<T>(&self, group_id: &str, send: impl FnOnce() -> T) -> Result<T, ErrorCode> {
        self.with_groups(|groups, _, _| groups.delete(group_id).map(|()| send()))
    }

    /// `OffsetDelete`: calls `send` with the topics whose committed offsets must not be deleted. Until it returns, the group does not
    /// change.
    ///
    /// # Errors
    /// The group does not exist, or has members that are not consumers.
    pub fn with_subscription<T>(
        &self,
        group_id: &str,
        send: impl FnOnce(&Subscription) -> T,
    ) -> Result<T, ErrorCode> {
        self.with_groups(|groups, _, _| groups.subscription(group_id).map(|topics| send(&topics)))
    }

    /// Calls `send` with the groups that have members. Until it returns, no group changes.
    pub fn with_used<T>(&self, send: impl FnOnce(Vec<String>) -> T) -> T {
        self.with_groups(|groups, _, _| send(groups.used()))
    }

    /// Runs a call, and sends the answers that it made due.
    fn with_groups<R>(
        &self,
        call: impl FnOnce(&mut Groups<Joins, Syncs>, Duration, &mut Due<Joins, Syncs>) -> R,
    ) -> R {
        let mut due = Due::default();
        let mut state = lock(&self.state);
        let result = call(&mut state.groups, self.started.elapsed(), &mut due);
        let next = state.groups.next_deadline();
        if next.is_some_and(|next| state.awaited.is_none_or(|awaited| next < awaited)) {
            state.awaited = next;
            self.earlier.notify_one();
        }
        drop(state);
        send(due);
        result
    }

    /// Does what is due, and returns when there is more to do.
    pub(super) fn tick(&self) -> Option<Duration> {
        let mut due = Due::default();
        let mut state = lock(&self.state);
        state.groups.tick(self.started.elapsed(), &mut due);
        state.awaited = state.groups.next_deadline();
        let awaited = state.awaited;
        drop(state);
        send(due);
        awaited
    }
}

/// A request that waits. If it is dropped before its answer, the client has disconnected: from then on, the time of the member's session
/// runs.
struct Waiting<'a, T> {
    coordinator: &'a Coordinator,
    group_id: String,
    member_id: String,
    /// Whether the client can come back as the same member.
    may_return: bool,
    answer: oneshot::Receiver<T>,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if self.answer.is_terminated() {
            return;
        }
        // This is how the group tells this request from a later one of the member.
        self.answer.close();
        self.coordinator.with_groups(|groups, now, due| {
            groups.withdraw(now, &self.group_id, &self.member_id, self.may_return, due);
        });
    }
}

impl<T> Waiter for oneshot::Sender<T> {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

/// Sends answers. A client that is gone does not receive its answer; its session ends.
fn send(due: Due<Joins, Syncs>) {
    due.joins.into_iter().for_each(|(waiter, answer)| drop(waiter.send(answer)));
    due.syncs.into_iter().for_each(|(waiter, answer)| drop(waiter.send(answer)));
}

/// A member id that no other member has. It begins as Kafka's do: with the instance id or the client id.
fn new_member_id(request: &JoinRequest) -> String {
    let prefix = request.instance_id.as_deref().unwrap_or(&request.client_id);
    let prefix = &prefix[..prefix.floor_char_boundary(MAX_MEMBER_ID_PREFIX)];
    format!("{prefix}-{}", Uuid::new_v4())
}
