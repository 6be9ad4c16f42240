//! The limits of groups. Kafka's own defaults are named where they differ.

use std::time::Duration;

/// The smallest `session.timeout.ms`, as in Kafka (`group.min.session.timeout.ms`).
pub(crate) const MIN_SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// The largest `session.timeout.ms`, as in Kafka (`group.max.session.timeout.ms`).
pub(crate) const MAX_SESSION_TIMEOUT: Duration = Duration::from_mins(30);

/// The smallest time that a rebalance waits for the members. A smaller `max.poll.interval.ms` counts as this.
pub(crate) const MIN_REBALANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// The first rebalance of an empty group ends when no member has joined for this long (`group.initial.rebalance.delay.ms`; Kafka: 3 s).
pub(crate) const INITIAL_REBALANCE_DELAY: Duration = Duration::from_millis(300);

/// The first rebalance of an empty group ends at the latest after this time, even if members go on joining.
pub(crate) const MAX_INITIAL_REBALANCE_DELAY: Duration = Duration::from_millis(900);

/// How long the first join of a member may wait, as in Kafka. Such a client cannot send heartbeats yet.
pub(crate) const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_mins(5);

/// Maximum number of groups that are in memory: those with members, and those that had some and have committed offsets.
pub(crate) const MAX_GROUPS: usize = 10_000;

/// Maximum number of members of a group, including clients that got a member id and have not used it yet (`group.max.size`).
pub(crate) const MAX_GROUP_SIZE: usize = 1_000;

/// Maximum number of protocols (assignment strategies) of a member.
pub(crate) const MAX_PROTOCOLS: usize = 16;

/// Maximum bytes of the names and the metadata of all protocols of a member.
pub(crate) const MAX_METADATA_BYTES: usize = 256 << 10;

/// Maximum bytes of the assignment of a member.
pub(crate) const MAX_ASSIGNMENT_BYTES: usize = 256 << 10;

/// Maximum bytes of all groups together.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// Maximum bytes of the prefix of a new member id: the start of the client id or of the group instance id.
pub(crate) const MAX_MEMBER_ID_PREFIX: usize = 256;

/// What a member, a pending member or a group takes in memory in addition to its texts, roughly.
pub(super) const OVERHEAD_BYTES: usize = 512;
