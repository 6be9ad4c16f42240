//! The coordinator of consumer groups: who is a member of which group, and with which assignment.
//!
//! [`Group`](group::Group) and [`Groups`](groups::Groups) hold the rules, as state machines without a clock and I/O.
//! [`Coordinator`] adds those. Groups are kept in memory only, as committed offsets are all that must survive a restart: after one, members
//! get `UNKNOWN_MEMBER_ID` and join again.
//!
//! Limits: see [`limits`]. A join beyond them gets `GROUP_MAX_SIZE_REACHED` (groups, members, bytes) or `INVALID_REQUEST` (protocols and metadata).

mod answers;
mod group;
mod groups;
mod joins;
mod limits;
mod member;
mod rebalance;
mod requests;
mod shell;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use self::answers::{Description, JoinAnswer};
pub(crate) use self::requests::{Identity, JoinRequest, Leaving, Protocol, SyncRequest};
pub(crate) use self::shell::Coordinator;
