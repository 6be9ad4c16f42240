//! Describing, listing and deleting groups, and the topics that they consume.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::answers::{Listed, State};
use super::super::subscription::{self as metadata, Subscription};
use super::*;

fn consumes(topics: &[&str]) -> JoinRequest {
    let protocols = vec![Protocol { name: "range".to_owned(), metadata: subscription(topics) }];
    JoinRequest { protocols, ..join() }
}

#[test]
fn a_stable_group_is_described_with_assignments() {
    let mut world = World::new();
    let ids = world.stable([join_static("i")]);
    let description = world.groups.describe(GROUP);
    assert_eq!((description.state.name(), description.protocol.as_str()), ("Stable", "range"));
    assert_eq!(description.protocol_type, "consumer");
    let member = &description.members[0];
    assert_eq!((&member.member_id, member.instance_id.as_deref()), (&ids[0], Some("i")));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("client", "/127.0.0.1"));
    assert_eq!(member.metadata, subscription(&["range"]));
    assert_eq!(member.assignment, format!("for {}", ids[0]));
}

#[test]
fn a_group_that_rebalances_is_described_without_protocol_and_assignments() {
    let mut world = World::new();
    world.stable([join()]);
    world.join(join());
    let description = world.groups.describe(GROUP);
    assert_eq!((description.state.name(), description.protocol.as_str()), ("PreparingRebalance", ""));
    assert_eq!(description.members.len(), 2);
    assert!(
        description.members.iter().all(|member| member.metadata.is_empty() && member.assignment.is_empty())
    );
}

#[test]
fn a_group_that_has_only_offsets_is_empty_and_one_without_is_dead() {
    let world = World::new();
    assert_eq!(world.groups.describe(GROUP).state.name(), "Dead");
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    assert_eq!(world.groups.describe(GROUP).state.name(), "Empty");
}

#[test]
fn groups_are_listed_once_whether_they_have_members_or_offsets() {
    let mut world = World::new();
    world.stable([join()]);
    let mut listed = world.groups.list([GROUP.to_owned(), "offsets only".to_owned()]);
    listed.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    let entry = |group_id: &str, protocol_type: &str, state| Listed {
        group_id: group_id.to_owned(),
        protocol_type: protocol_type.to_owned(),
        state,
    };
    assert_eq!(listed, [entry(GROUP, "consumer", State::Stable), entry("offsets only", "", State::Empty)]);
}

#[test]
fn an_empty_group_is_not_listed_once_its_offsets_are_deleted() {
    let mut world = World::new();
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    world.stable([join()]);
    world.wait(SESSION);
    assert_eq!(world.groups.list([GROUP.to_owned()]).len(), 1);
    world.offsets.lock().unwrap().clear();
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.groups.list([]), []);
}

#[test]
fn a_group_with_members_cannot_be_deleted() {
    let mut world = World::new();
    assert_eq!(world.groups.delete(GROUP), Err(ErrorCode::GroupIdNotFound));
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    assert_eq!(world.groups.delete(GROUP), Ok(()));
    world.stable([join()]);
    assert_eq!(world.groups.delete(GROUP), Err(ErrorCode::NonEmptyGroup));
    world.wait(SESSION);
    assert_eq!(world.groups.delete(GROUP), Ok(()));
    world.offsets.lock().unwrap().clear();
    assert_eq!(world.groups.delete(GROUP), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn a_deleted_group_wakes_no_timer() {
    let mut world = World::new();
    world.join(JoinRequest { requires_known_member: true, ..join() });
    assert_eq!(world.groups.delete(GROUP), Ok(()));
    assert_eq!((world.groups.next_deadline(), world.groups.bytes), (None, 0));
}

#[test]
fn offsets_of_topics_that_a_member_consumes_are_protected() {
    let mut world = World::new();
    assert_eq!(world.groups.subscription(GROUP), Err(ErrorCode::GroupIdNotFound));
    world.stable([consumes(&["a", "b"]), consumes(&["c"])]);
    let topics = world.groups.subscription(GROUP).unwrap();
    let protects = ["a", "b", "c", "d"].map(|topic| topics.contains(topic));
    assert_eq!(protects, [true, true, true, false]);
}

#[test]
fn all_offsets_are_protected_while_the_topics_are_unknown() {
    let mut world = World::new();
    world.join(consumes(&["a"]));
    assert_eq!(world.groups.subscription(GROUP), Ok(Subscription::Unknown));
    assert!(Subscription::Unknown.contains("b"));
    let mut world = World::new();
    let malformed = Protocol { name: "range".to_owned(), metadata: Bytes::from_static(b"?") };
    world.stable([JoinRequest { protocols: vec![malformed], ..join() }]);
    assert_eq!(world.groups.subscription(GROUP), Ok(Subscription::Unknown));
}

#[test]
fn no_offset_of_a_group_of_other_members_may_be_deleted_but_all_of_an_empty_group() {
    let mut world = World::new();
    world.offsets.lock().unwrap().insert(GROUP.to_owned());
    world.stable([JoinRequest { protocol_type: "connect".to_owned(), ..join() }]);
    assert_eq!(world.groups.subscription(GROUP), Err(ErrorCode::NonEmptyGroup));
    world.wait(SESSION);
    assert_eq!(world.groups.subscription(GROUP), Ok(Subscription::Topics(HashSet::new())));
}

proptest! {
    #[test]
    fn topics_are_read_from_the_metadata_of_every_version(
        topics in proptest::collection::hash_set("[a-z.]{0,20}", 0..10),
        rest in any::<Vec<u8>>(),
    ) {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut bytes = subscription(&names).to_vec();
        bytes.extend(rest);
        prop_assert_eq!(metadata::topics(&bytes), Some(topics));
    }

    #[test]
    fn malformed_metadata_has_no_topics_and_does_no_harm(bytes in any::<Vec<u8>>(), cut in 1_usize..10) {
        let _ = metadata::topics(&bytes);
        let whole = subscription(&["topic"]);
        let end = whole.len() - 4 - cut;
        prop_assert_eq!(metadata::topics(&whole[..end]), None);
    }
}
