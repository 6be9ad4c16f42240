//! Who becomes a member, and when.

use super::super::limits::{MAX_GROUP_SIZE, MAX_METADATA_BYTES, MAX_PROTOCOLS};
use super::*;

#[test]
fn the_first_member_joins_after_the_initial_delay() {
    let mut world = World::new();
    let first = world.join(join());
    world.wait(Duration::from_millis(299));
    assert!(!world.joins.contains_key(&first));
    world.wait(Duration::from_millis(1));
    let answer = world.joined(first);
    assert_eq!((answer.generation, answer.leader.as_str(), answer.member_id.as_str()), (1, "m1", "m1"));
    assert_eq!(answer.protocol, "range");
    assert_eq!(answer.members.len(), 1);
}

#[test]
fn a_group_forms_within_a_second_even_if_members_go_on_joining() {
    let mut world = World::new();
    let mut waiters = Vec::new();
    for _ in 0..4 {
        waiters.push(world.join(join()));
        world.wait(Duration::from_millis(200));
        assert!(world.joins.is_empty(), "each join extends the delay");
    }
    waiters.push(world.join(join()));
    world.wait(Duration::from_millis(100));
    let generations = waiters.iter().map(|waiter| world.joined(*waiter).generation);
    assert_eq!(generations.collect::<Vec<_>>(), [1; 5]);
}

#[test]
fn only_the_leader_gets_the_members() {
    let mut world = World::new();
    let (first, second) = (world.join(join()), world.join(join_static("i")));
    world.wait(SECOND);
    let members = &world.joined(first).members;
    assert_eq!(members.iter().map(|member| member.member_id.as_str()).collect::<Vec<_>>(), ["m1", "m2"]);
    assert_eq!(members[1].instance_id.as_deref(), Some("i"));
    assert_eq!(members[0].metadata, subscription(&["range"]));
    assert_eq!(world.joined(second).members, []);
    assert_eq!(world.joined(second).leader, "m1");
}

#[test]
fn a_client_that_must_know_its_member_id_gets_it_first() {
    let mut world = World::new();
    let asked = world.join(JoinRequest { requires_known_member: true, ..join() });
    assert_eq!(world.join_error(asked), Some(ErrorCode::MemberIdRequired));
    assert_eq!(world.joins[&asked].member_id, "m1");
    assert_eq!(world.state(), "Empty");
    let known = world.join(JoinRequest { requires_known_member: true, ..join_as("m1") });
    world.wait(SECOND);
    assert_eq!(world.joined(known).member_id, "m1");
}

#[test]
fn a_static_client_need_not_know_its_member_id() {
    let mut world = World::new();
    let waiter = world.join(JoinRequest { requires_known_member: true, ..join_static("i") });
    world.wait(SECOND);
    assert_eq!(world.joined(waiter).member_id, "m1");
}

#[test]
fn a_member_id_that_the_group_does_not_know_is_refused() {
    let mut world = World::new();
    let nobody = world.join(join_as("stranger"));
    assert_eq!(world.join_error(nobody), Some(ErrorCode::UnknownMemberId));
    assert_eq!(world.joins[&nobody].member_id, "stranger");
    world.stable([join()]);
    let stranger = world.join(join_as("stranger"));
    assert_eq!(world.join_error(stranger), Some(ErrorCode::UnknownMemberId));
}

#[test]
fn requests_out_of_the_limits_are_refused() {
    let many = vec!["p"; MAX_PROTOCOLS + 1];
    let large = vec![Protocol { name: "p".to_owned(), metadata: vec![0; MAX_METADATA_BYTES].into() }];
    let cases = [
        (JoinRequest { session_timeout_ms: 5_999, ..join() }, ErrorCode::InvalidSessionTimeout),
        (JoinRequest { session_timeout_ms: -1, ..join() }, ErrorCode::InvalidSessionTimeout),
        (JoinRequest { session_timeout_ms: 1_800_001, ..join() }, ErrorCode::InvalidSessionTimeout),
        (JoinRequest { group_id: String::new(), ..join() }, ErrorCode::InvalidGroupId),
        (JoinRequest { protocols: Vec::new(), ..join() }, ErrorCode::InconsistentGroupProtocol),
        (JoinRequest { protocol_type: String::new(), ..join() }, ErrorCode::InconsistentGroupProtocol),
        (JoinRequest { protocols: protocols(&many), ..join() }, ErrorCode::InvalidRequest),
        (JoinRequest { protocols: large, ..join() }, ErrorCode::InvalidRequest),
    ];
    let mut world = World::new();
    for (request, error) in cases {
        let waiter = world.join(request.clone());
        assert_eq!(world.join_error(waiter), Some(error), "{request:?}");
    }
    assert_eq!(world.state(), "Dead");
}

#[test]
fn a_group_has_a_maximum_size_that_pending_members_count_for() {
    let mut world = World::new();
    let pending = world.join(JoinRequest { requires_known_member: true, ..join() });
    for _ in 1..MAX_GROUP_SIZE {
        world.join(join());
    }
    let refused = world.join(join());
    assert_eq!(world.join_error(refused), Some(ErrorCode::GroupMaxSizeReached));
    let id = world.joins[&pending].member_id.clone();
    let known = world.join(join_as(&id));
    world.wait(SECOND);
    assert_eq!(world.joined(known).generation, 1);
}

#[test]
fn all_groups_together_have_a_maximum_size() {
    let mut world = World::new();
    let large = vec![Protocol { name: "p".to_owned(), metadata: vec![0; MAX_METADATA_BYTES - 1].into() }];
    let request =
        |group: usize| JoinRequest { group_id: format!("g{group}"), protocols: large.clone(), ..join() };
    for group in 0..255 {
        world.join(request(group));
    }
    let refused = world.join(request(255));
    assert_eq!(world.join_error(refused), Some(ErrorCode::GroupMaxSizeReached));
    // They have no more contact, so the room is free again.
    world.wait(SECOND + SESSION);
    let accepted = world.join(request(255));
    world.wait(SECOND);
    assert_eq!(world.joined(accepted).generation, 1);
}

#[test]
fn the_protocol_with_the_most_votes_among_the_common_ones_wins() {
    let mut world = World::new();
    let prefers = |names: &[&str]| JoinRequest { protocols: protocols(names), ..join() };
    world.join(prefers(&["not common", "range", "sticky"]));
    world.join(prefers(&["not common", "sticky", "range"]));
    let last = world.join(prefers(&["sticky", "range"]));
    world.wait(SECOND);
    assert_eq!(world.joined(last).protocol, "sticky");
}

#[test]
fn of_protocols_with_the_same_number_of_votes_the_leader_decides() {
    for [first, second] in [["range", "sticky"], ["sticky", "range"]] {
        let mut world = World::new();
        let leader = world.join(JoinRequest { protocols: protocols(&[first, second]), ..join() });
        world.join(JoinRequest { protocols: protocols(&[second, first]), ..join() });
        world.wait(SECOND);
        assert_eq!(world.joined(leader).protocol, first);
    }
}

#[test]
fn a_client_without_a_protocol_in_common_is_refused() {
    let mut world = World::new();
    world.stable([join()]);
    let other = world.join(JoinRequest { protocols: protocols(&["sticky"]), ..join() });
    assert_eq!(world.join_error(other), Some(ErrorCode::InconsistentGroupProtocol));
    let other = world.join(JoinRequest { protocol_type: "connect".to_owned(), ..join() });
    assert_eq!(world.join_error(other), Some(ErrorCode::InconsistentGroupProtocol));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_follower_that_joins_again_unchanged_stays_in_its_generation() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let again = world.join(join_as(&ids[1]));
    assert_eq!((world.joined(again).generation, world.joined(again).leader.as_str()), (1, ids[0].as_str()));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_leader_that_joins_again_starts_a_rebalance() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    world.join(join_as(&ids[0]));
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_member_that_joins_with_other_metadata_starts_a_rebalance() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let changed = vec![Protocol { name: "range".to_owned(), metadata: subscription(&["other"]) }];
    let changed = world.join(JoinRequest { protocols: changed, ..join_as(&ids[1]) });
    let leader = world.join(join_as(&ids[0]));
    assert_eq!((world.joined(changed).generation, world.joined(leader).generation), (2, 2));
    assert_eq!(world.joined(leader).members[1].metadata, subscription(&["other"]));
}

#[test]
fn a_member_whose_answer_was_lost_gets_it_again_while_the_rebalance_completes() {
    let mut world = World::new();
    let (leader, follower) = (world.join(join()), world.join(join()));
    world.wait(SECOND);
    for lost in [leader, follower] {
        let answer = world.joined(lost).clone();
        let again = world.join(join_as(&answer.member_id));
        assert_eq!(*world.joined(again), answer);
    }
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn a_join_that_is_sent_again_replaces_the_first_one() {
    let mut world = World::new();
    let ids = world.stable([join(), join()]);
    let first = world.join(join_as(&ids[0]));
    let second = world.join(join_as(&ids[0]));
    assert_eq!(world.join_error(first), Some(ErrorCode::RebalanceInProgress));
    let follower = world.join(join_as(&ids[1]));
    assert_eq!((world.joined(second).generation, world.joined(follower).generation), (2, 2));
}

#[test]
fn a_rebalance_of_a_group_with_members_ends_when_all_have_joined() {
    let mut world = World::new();
    let ids = world.stable([join()]);
    let new = world.join(join());
    assert_eq!(world.heartbeat(1, &ids[0]), Err(ErrorCode::RebalanceInProgress));
    let old = world.join(join_as(&ids[0]));
    assert_eq!((world.joined(old).generation, world.joined(new).generation), (2, 2));
    assert_eq!(world.heartbeat(1, &ids[0]), Err(ErrorCode::IllegalGeneration));
    assert_eq!(world.heartbeat(2, &ids[0]), Ok(()));
}

#[test]
fn a_rebalance_waits_for_a_client_that_got_a_member_id() {
    let mut world = World::new();
    let ids = world.stable([join()]);
    world.join(JoinRequest { requires_known_member: true, ..join() });
    let leader = world.join(join_as(&ids[0]));
    assert_eq!(world.state(), "PreparingRebalance");
    world.leave(&[leaving("m3", None)]);
    assert_eq!(world.joined(leader).generation, 2);
}
