//! Which commits of offsets are allowed.

use super::*;

const OUTSIDER: Identity<'static> = Identity { generation: -1, member_id: "", instance_id: None };

fn member(generation: i32, member_id: &str) -> Identity<'_> {
    Identity { generation, member_id, instance_id: None }
}

#[test]
fn a_client_outside_of_the_group_may_commit_while_it_has_no_members() {
    let mut world = World::new();
    assert_eq!(world.groups.check_commit(world.now, GROUP, OUTSIDER), Ok(()));
    world.stable([join()]);
    assert_eq!(world.groups.check_commit(world.now, GROUP, OUTSIDER), Err(ErrorCode::UnknownMemberId));
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    world.wait(SESSION);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.groups.check_commit(world.now, GROUP, OUTSIDER), Ok(()));
}

#[test]
fn a_commit_of_a_generation_is_refused_if_the_group_does_not_exist() {
    let mut world = World::new();
    assert_eq!(
        world.groups.check_commit(world.now, GROUP, member(1, "m")),
        Err(ErrorCode::IllegalGeneration)
    );
}

#[test]
fn only_members_of_the_current_generation_may_commit() {
    let mut world = World::new();
    let ids = world.stable([join()]);
    let cases = [
        (member(1, &ids[0]), Ok(())),
        (member(0, &ids[0]), Err(ErrorCode::IllegalGeneration)),
        (member(2, &ids[0]), Err(ErrorCode::IllegalGeneration)),
        (member(-1, &ids[0]), Err(ErrorCode::IllegalGeneration)),
        (member(1, "stranger"), Err(ErrorCode::UnknownMemberId)),
        (member(1, ""), Err(ErrorCode::UnknownMemberId)),
    ];
    for (identity, answer) in cases {
        assert_eq!(world.groups.check_commit(world.now, GROUP, identity), answer, "{identity:?}");
        assert_eq!(world.groups.check_transactional_commit(GROUP, identity), answer, "{identity:?}");
    }
}

#[test]
fn a_member_may_commit_before_it_joins_again_but_not_before_it_has_its_assignment() {
    let mut world = World::new();
    let ids = world.stable([join()]);
    world.join(join());
    assert_eq!(world.groups.check_commit(world.now, GROUP, member(1, &ids[0])), Ok(()));
    world.join(join_as(&ids[0]));
    assert_eq!(world.state(), "CompletingRebalance");
    let answer = world.groups.check_commit(world.now, GROUP, member(2, &ids[0]));
    assert_eq!(answer, Err(ErrorCode::RebalanceInProgress));
    assert_eq!(world.groups.check_transactional_commit(GROUP, member(2, &ids[0])), Ok(()));
}

#[test]
fn a_transaction_without_a_member_may_always_commit() {
    let mut world = World::new();
    assert_eq!(world.groups.check_transactional_commit(GROUP, OUTSIDER), Ok(()));
    world.stable([join()]);
    assert_eq!(world.groups.check_transactional_commit(GROUP, OUTSIDER), Ok(()));
    assert_eq!(world.groups.check_transactional_commit("", OUTSIDER), Err(ErrorCode::InvalidGroupId));
    let unknown = world.groups.check_transactional_commit("unknown", member(1, "m"));
    assert_eq!(unknown, Err(ErrorCode::UnknownMemberId));
}
