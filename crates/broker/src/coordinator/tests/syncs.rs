//! The assignments of the leader.

use super::super::limits::MAX_ASSIGNMENT_BYTES;
use super::*;

/// A group of two that waits for the assignments of its leader `m1`.
fn completing() -> World {
    let mut world = World::new();
    let leader = world.join(join());
    world.join(join());
    world.wait(SECOND);
    assert_eq!(world.joined(leader).leader, "m1");
    world
}

fn assigning(assignments: &[(&str, &'static str)]) -> SyncRequest {
    let assignments = assignments
        .iter()
        .map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes.as_bytes())))
        .collect();
    SyncRequest { assignments, ..sync(1, "m1") }
}

#[test]
fn followers_wait_for_the_assignments_of_the_leader() {
    let mut world = completing();
    let follower = world.sync(sync(1, "m2"));
    assert!(world.syncs.is_empty());
    let leader = world.sync(assigning(&[("m1", "a"), ("m2", "b"), ("stranger", "c")]));
    assert_eq!(world.assignment(leader), Ok("a".into()));
    assert_eq!(world.assignment(follower), Ok("b".into()));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_sync_in_a_stable_group_gets_its_assignment_at_once() {
    let mut world = completing();
    world.sync(assigning(&[("m1", "a"), ("m2", "b")]));
    for _ in 0..2 {
        let follower = world.sync(sync(1, "m2"));
        assert_eq!(world.assignment(follower), Ok("b".into()));
    }
}

#[test]
fn assignments_of_a_leader_that_syncs_again_are_ignored() {
    let mut world = completing();
    world.sync(assigning(&[("m1", "a"), ("m2", "b")]));
    let again = world.sync(assigning(&[("m1", "c"), ("m2", "d")]));
    assert_eq!(world.assignment(again), Ok("a".into()));
}

#[test]
fn a_member_that_the_leader_forgets_has_an_empty_assignment() {
    let mut world = completing();
    let follower = world.sync(sync(1, "m2"));
    world.sync(assigning(&[("m1", "a")]));
    assert_eq!(world.assignment(follower), Ok(Bytes::new()));
}

#[test]
fn syncs_that_wait_end_when_the_group_rebalances_again() {
    let mut world = completing();
    let follower = world.sync(sync(1, "m2"));
    world.join(join());
    assert_eq!(world.assignment(follower), Err(ErrorCode::RebalanceInProgress));
    let late = world.sync(sync(1, "m2"));
    assert_eq!(world.assignment(late), Err(ErrorCode::RebalanceInProgress));
}

#[test]
fn a_sync_that_is_sent_again_replaces_the_first_one() {
    let mut world = completing();
    let first = world.sync(sync(1, "m2"));
    let second = world.sync(sync(1, "m2"));
    assert_eq!(world.assignment(first), Err(ErrorCode::RebalanceInProgress));
    world.sync(assigning(&[("m2", "b")]));
    assert_eq!(world.assignment(second), Ok("b".into()));
}

#[test]
fn syncs_that_do_not_fit_the_group_are_refused() {
    let mut world = completing();
    let too_large = vec![("m1".to_owned(), Bytes::from(vec![0; MAX_ASSIGNMENT_BYTES + 1]))];
    let other = || Some("other".to_owned());
    let cases = [
        (SyncRequest { group_id: String::new(), ..sync(1, "m1") }, ErrorCode::InvalidGroupId),
        (SyncRequest { group_id: "unknown".to_owned(), ..sync(1, "m1") }, ErrorCode::UnknownMemberId),
        (sync(1, "stranger"), ErrorCode::UnknownMemberId),
        (sync(0, "m1"), ErrorCode::IllegalGeneration),
        (sync(2, "m1"), ErrorCode::IllegalGeneration),
        (SyncRequest { instance_id: other(), ..sync(1, "m1") }, ErrorCode::UnknownMemberId),
        (SyncRequest { assignments: too_large, ..sync(1, "m1") }, ErrorCode::InvalidRequest),
    ];
    for (request, error) in cases {
        let waiter = world.sync(request.clone());
        assert_eq!(world.assignment(waiter), Err(error), "{request:?}");
    }
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn members_that_do_not_sync_are_removed_after_the_rebalance_timeout() {
    let mut world = completing();
    world.sync(assigning(&[("m1", "a"), ("m2", "b")]));
    for _ in 0..REBALANCE.as_secs() - 1 {
        assert_eq!((world.heartbeat(1, "m1"), world.heartbeat(1, "m2")), (Ok(()), Ok(())));
        world.wait(SECOND);
    }
    assert_eq!(world.heartbeat(1, "m1"), Ok(()));
    world.wait(SECOND);
    assert_eq!(world.state(), "PreparingRebalance");
    assert_eq!(world.member_ids(), ["m1"]);
}

#[test]
fn a_leader_that_does_not_sync_is_removed_and_its_followers_join_again() {
    let mut world = completing();
    let follower = world.sync(sync(1, "m2"));
    world.wait(SESSION);
    assert_eq!(world.assignment(follower), Err(ErrorCode::RebalanceInProgress));
    let again = world.join(join_as("m2"));
    assert_eq!((world.joined(again).leader.as_str(), world.joined(again).generation), ("m2", 2));
}
