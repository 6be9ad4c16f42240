//! Sessions, rebalance timeouts, and members that leave.

use super::*;

#[test]
fn a_member_without_contact_is_removed_after_its_session_timeout() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    world.wait(SESSION - SECOND);
    assert_eq!(world.heartbeat(1, &ids[0]), Ok(()));
    world.wait(SECOND);
    assert_eq!(world.member_ids(), [ids[0].clone()]);
    assert_eq!(world.heartbeat(1, &ids[0]), Err(ErrorCode::RebalanceInProgress));
    assert_eq!(world.heartbeat(1, &ids[1]), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn commits_and_syncs_and_joins_extend_a_session_too() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    for _ in 0..3 {
        world.wait(SESSION - SECOND);
        world.sync(sync(1, &ids[0]));
        world.join(join_as(&ids[1]));
        world.wait(SESSION - SECOND);
        for id in &ids {
            let member = Identity { generation: 1, member_id: id, instance_id: None };
            assert_eq!(world.groups.check_commit(world.now, GROUP, member), Ok(()));
        }
    }
    assert_eq!(world.state(), "Stable");
}

#[test]
fn members_that_do_not_join_again_are_removed_after_the_rebalance_timeout() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let leader = world.join(join_as(&ids[0]));
    for _ in 0..REBALANCE.as_secs() {
        assert_eq!(world.heartbeat(1, &ids[1]), Err(ErrorCode::RebalanceInProgress));
        world.wait(SECOND);
    }
    assert_eq!(world.joined(leader).generation, 2);
    assert_eq!(world.joined(leader).members.len(), 1);
}

#[test]
fn a_version_without_a_rebalance_timeout_has_that_of_the_session() {
    let mut world = World::new();
    let version_0 = || JoinRequest { rebalance_timeout_ms: -1, ..join() };
    let ids = world.stable([version_0(), version_0()]);
    let leader = world.join(JoinRequest { member_id: ids[0].clone(), ..version_0() });
    for _ in 0..2 {
        assert!(!world.joins.contains_key(&leader));
        world.wait(SESSION / 2);
        let _ = world.heartbeat(1, &ids[1]);
    }
    assert_eq!(world.joined(leader).generation, 2);
}

#[test]
fn a_leader_that_does_not_join_again_is_replaced() {
    let mut world = World::new();
    let ids = world.stable([join_static("i"), join()]);
    let other = world.join(JoinRequest { protocols: protocols(&["range", "x"]), ..join_as(&ids[1]) });
    for _ in 0..REBALANCE.as_secs() {
        let static_member = Identity { generation: 1, member_id: &ids[0], instance_id: Some("i") };
        let _ = world.groups.heartbeat(world.now, GROUP, static_member);
        world.wait(SECOND);
    }
    assert_eq!(world.joined(other).leader, ids[1]);
    assert_eq!(world.joined(other).members.len(), 2, "a static member may come back");
}

#[test]
fn a_member_that_waits_for_a_rebalance_keeps_its_session() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let leader = world.join(join_as(&ids[0]));
    for _ in 0..10 {
        world.wait(SECOND);
        assert_eq!(world.heartbeat(1, &ids[1]), Err(ErrorCode::RebalanceInProgress));
    }
    let follower = world.join(join_as(&ids[1]));
    assert_eq!((world.joined(leader).generation, world.joined(follower).generation), (2, 2));
    // Its client is gone. It counts from the answer on.
    world.wait(SESSION);
    assert!(!world.member_ids().contains(&ids[0]));
}

#[test]
fn the_first_join_of_a_member_waits_for_five_minutes_at_most() {
    let mut world = World::new();
    let ids = world.stable([JoinRequest { rebalance_timeout_ms: i32::MAX, ..join() }]);
    let new = world.join(join());
    for _ in 0..299 {
        world.wait(SECOND);
        let _ = world.heartbeat(1, &ids[0]);
    }
    assert!(!world.joins.contains_key(&new));
    world.wait(SECOND);
    assert_eq!(world.join_error(new), Some(ErrorCode::UnknownMemberId));
    assert_eq!(world.member_ids(), ids);
}

#[test]
fn a_heartbeat_does_not_shorten_the_time_of_a_first_join() {
    let mut world = World::new();
    let ids = world.stable([JoinRequest { rebalance_timeout_ms: i32::MAX, ..join() }]);
    let asked = world.join(JoinRequest { requires_known_member: true, ..join() });
    let new = world.joins[&asked].member_id.clone();
    let waiting = world.join(join_as(&new));
    assert_eq!(world.heartbeat(1, &new), Err(ErrorCode::RebalanceInProgress));
    for _ in 0..2 * SESSION.as_secs() {
        world.wait(SECOND);
        let _ = world.heartbeat(1, &ids[0]);
    }
    world.join(join_as(&ids[0]));
    assert_eq!(world.joined(waiting).generation, 2);
}

#[test]
fn a_client_that_does_not_use_its_member_id_is_forgotten() {
    let mut world = World::new();
    world.join(JoinRequest { requires_known_member: true, ..join() });
    world.wait(SESSION - SECOND);
    assert_eq!(world.state(), "Empty");
    world.wait(SECOND);
    assert_eq!(world.state(), "Dead");
    let late = world.join(join_as("m1"));
    assert_eq!(world.join_error(late), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn a_member_that_leaves_starts_a_rebalance() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    assert_eq!(world.leave(&[leaving(&ids[0], None)]), [Ok(())]);
    assert_eq!((world.state(), world.member_ids()), ("PreparingRebalance", vec![ids[1].clone()]));
    let other = world.join(join_as(&ids[1]));
    assert_eq!(world.joined(other).leader, ids[1]);
}

#[test]
fn a_request_that_waits_ends_when_its_member_leaves() {
    let mut world = World::new();
    let joining = world.join(join());
    world.leave(&[leaving("m1", None)]);
    assert_eq!(world.join_error(joining), Some(ErrorCode::UnknownMemberId));
    let (leader, _) = (world.join(join()), world.join(join()));
    world.wait(SECOND);
    let (leader, generation) = (world.joined(leader).leader.clone(), world.joined(leader).generation);
    let follower = world.member_ids().into_iter().find(|id| *id != leader).unwrap();
    let waiting = world.sync(sync(generation, &follower));
    world.leave(&[leaving(&follower, None)]);
    assert_eq!(world.assignment(waiting), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn one_request_removes_several_members() {
    let mut world = World::new();
    let ids = world.stable([join(), join_static("i"), join_static("j")]);
    let pending = world.join(JoinRequest { requires_known_member: true, ..join() });
    let pending = world.joins[&pending].member_id.clone();
    let answers = world.leave(&[
        leaving(&ids[0], None),
        leaving("", Some("i")),
        leaving(&ids[0], Some("j")),
        leaving("", Some("unknown")),
        leaving("", None),
        leaving("stranger", None),
        leaving(&pending, None),
    ]);
    let unknown = Err(ErrorCode::UnknownMemberId);
    let fenced = Err(ErrorCode::FencedInstanceId);
    assert_eq!(answers, [Ok(()), Ok(()), fenced, unknown, unknown, unknown, Ok(())]);
    assert_eq!(world.groups.describe(GROUP).members[0].instance_id.as_deref(), Some("j"));
}

#[test]
fn leaving_a_group_that_does_not_exist_names_each_member() {
    let mut world = World::new();
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(world.leave(&[leaving("a", None), leaving("", Some("i"))]), [unknown, unknown]);
    let invalid = world.groups.leave(world.now, "", &[], &mut Due::default());
    assert_eq!(invalid, Err(ErrorCode::InvalidGroupId));
}

#[test]
fn a_group_without_members_and_offsets_disappears() {
    let mut world = World::new();
    world.stable([join(), join()]);
    world.wait(SESSION);
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.groups.next_deadline(), None, "nothing wakes the timer while nobody uses a group");
    assert_eq!(world.groups.bytes, 0, "it takes no memory");
}

#[test]
fn a_group_without_members_but_with_offsets_goes_on_with_its_generations() {
    let mut world = World::new();
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    let ids = world.stable([join()]);
    world.leave(&[leaving(&ids[0], None)]);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.groups.describe(GROUP).protocol_type, "consumer");
    let next = world.join(join());
    world.wait(SECOND);
    assert_eq!(world.joined(next).generation, 3, "the empty group was generation 2");
}

#[test]
fn a_member_whose_client_disconnects_while_it_waits_is_removed_when_its_session_ends() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    // Waits from here on are those of clients that disconnect.
    world.last_waiter = 1_000;
    let rebalance = i32::try_from(Duration::from_hours(1).as_millis()).unwrap();
    world.join(JoinRequest { rebalance_timeout_ms: rebalance, ..join_as(&ids[0]) });
    let mut due = Due::default();
    world.groups.withdraw(world.now, GROUP, &ids[0], true, &mut due);
    world.keep(due);
    assert_eq!(world.member_ids().len(), 2, "it may come back");
    world.last_waiter = 100;
    let other = world.join(join_as(&ids[1]));
    world.wait(SESSION);
    assert_eq!(world.joined(other).members.len(), 1);
    assert_eq!(world.member_ids(), [ids[1].clone()]);
}

#[test]
fn a_withdrawal_affects_only_the_request_of_the_client_that_has_disconnected() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let again = world.join(join_as(&ids[0]));
    // An earlier request of the member is gone. This one, of its next connection, is not.
    let mut due = Due::default();
    world.groups.withdraw(world.now, GROUP, &ids[0], false, &mut due);
    world.groups.withdraw(world.now, GROUP, "stranger", false, &mut due);
    world.groups.withdraw(world.now, "no group", &ids[0], false, &mut due);
    world.keep(due);
    world.join(join_as(&ids[1]));
    assert_eq!(world.joined(again).generation, 2);
}
