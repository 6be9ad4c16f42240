//! Members with a `group.instance.id`.

use super::*;

fn identity<'a>(member_id: &'a str, instance_id: &'a str) -> Identity<'a> {
    Identity { generation: 1, member_id, instance_id: Some(instance_id) }
}

#[test]
fn a_static_member_that_restarts_keeps_its_assignment_without_a_rebalance() {
    let mut world = World::new();
    let ids = world.stable([join(), join_static("i")]);
    let again = world.join(join_static("i"));
    let answer = world.joined(again).clone();
    assert_eq!((answer.generation, answer.leader.as_str()), (1, ids[0].as_str()));
    assert_ne!(answer.member_id, ids[1]);
    assert_eq!(world.state(), "Stable");
    let synced = world.sync(SyncRequest { instance_id: Some("i".to_owned()), ..sync(1, &answer.member_id) });
    assert_eq!(world.assignment(synced), Ok(format!("for {}", ids[1]).into()));
    assert_eq!(world.heartbeat(1, &ids[0]), Ok(()));
}

#[test]
fn the_old_process_of_a_static_member_is_fenced() {
    let mut world = World::new();
    let ids = world.stable([join(), join_static("i")]);
    let old = &ids[1];
    world.join(join_static("i"));
    let fenced = Err(ErrorCode::FencedInstanceId);
    assert_eq!(world.groups.heartbeat(world.now, GROUP, identity(old, "i")), fenced);
    assert_eq!(world.groups.check_commit(world.now, GROUP, identity(old, "i")), fenced);
    assert_eq!(world.groups.check_transactional_commit(GROUP, identity(old, "i")), fenced);
    assert_eq!(world.leave(&[leaving(old, Some("i"))]), [fenced]);
    let join = world.join(JoinRequest { member_id: old.clone(), ..join_static("i") });
    assert_eq!(world.join_error(join), Some(ErrorCode::FencedInstanceId));
    let synced = world.sync(SyncRequest { instance_id: Some("i".to_owned()), ..sync(1, old) });
    assert_eq!(world.assignment(synced), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn an_instance_id_that_the_group_does_not_know_is_refused() {
    let mut world = World::new();
    let ids = world.stable([join()]);
    let unknown = Err(ErrorCode::UnknownMemberId);
    assert_eq!(world.groups.heartbeat(world.now, GROUP, identity(&ids[0], "j")), unknown);
    let join = world.join(JoinRequest { member_id: ids[0].clone(), ..join_static("j") });
    assert_eq!(world.join_error(join), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn a_static_leader_that_restarts_is_not_told_that_it_leads() {
    let mut world = World::new();
    let ids = world.stable([join_static("i"), join()]);
    let again = world.join(join_static("i"));
    let answer = world.joined(again).clone();
    assert_eq!((answer.leader.as_str(), answer.members.len()), (ids[0].as_str(), 0));
    // It still is the leader: its next join starts a rebalance.
    world.join(JoinRequest { member_id: answer.member_id, ..join_static("i") });
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_static_member_that_restarts_with_another_protocol_starts_a_rebalance() {
    let mut world = World::new();
    let both = |names: &[&str], request: JoinRequest| JoinRequest { protocols: protocols(names), ..request };
    let ids = world.stable([both(&["range", "sticky"], join_static("i"))]);
    assert_eq!(ids.len(), 1);
    let again = world.join(both(&["sticky", "range"], join_static("i")));
    assert_eq!((world.joined(again).generation, world.joined(again).protocol.as_str()), (2, "sticky"));
}

#[test]
fn a_static_member_that_restarts_while_the_leader_assigns_starts_a_rebalance() {
    let mut world = World::new();
    let leader = world.join(join());
    world.join(join_static("i"));
    world.wait(SECOND);
    assert_eq!(world.joined(leader).leader, "m1");
    world.join(join_static("i"));
    assert_eq!(world.state(), "PreparingRebalance");
    let leader = world.join(join_as("m1"));
    assert_eq!(world.joined(leader).generation, 2);
}

#[test]
fn requests_of_the_old_process_that_wait_are_fenced() {
    let mut world = World::new();
    let old = world.join(join_static("i"));
    let new = world.join(join_static("i"));
    assert_eq!(world.join_error(old), Some(ErrorCode::FencedInstanceId));
    let follower = world.join(join_static("j"));
    world.wait(SECOND);
    assert_eq!(world.joined(new).leader, world.joined(new).member_id);
    let follower = world.joined(follower).member_id.clone();
    let waiting = world.sync(sync(1, &follower));
    world.join(join_static("j"));
    assert_eq!(world.assignment(waiting), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn an_absent_static_member_stays_in_the_group_until_its_session_ends() {
    let mut world = World::new();
    let slow = JoinRequest { session_timeout_ms: 60_000, ..join_static("i") };
    let ids = world.stable([join(), slow.clone()]);
    let leader = world.join(join_as(&ids[0]));
    world.wait(REBALANCE);
    assert_eq!(world.joined(leader).members.len(), 2);
    let new = world.join(slow);
    assert!(!world.joins.contains_key(&new), "it rejoins while the leader assigns, so the group rebalances");
    let leader = world.join(join_as(&ids[0]));
    assert_eq!(world.joined(leader).generation, world.joined(new).generation);
}
