//! The coordinator with its clock.

use std::future::Future;

use super::super::Coordinator;
use super::super::limits::MAX_MEMBER_ID_PREFIX;
use super::*;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

fn started() -> Arc<Coordinator> {
    let coordinator = Arc::new(Coordinator::new(Box::new(|_| false)));
    let timer = Arc::clone(&coordinator);
    tokio::spawn(async move { timer.keep_time().await });
    coordinator
}

fn lasting(group_id: &str) -> JoinRequest {
    JoinRequest { group_id: group_id.to_owned(), session_timeout_ms: 1_800_000, ..join() }
}

#[tokio::test]
async fn the_timer_wakes_for_deadlines_that_are_earlier_than_the_one_it_waits_for() {
    let coordinator = started();
    tokio::task::yield_now().await;
    for group in ["a", "b", "c"] {
        let joined = soon(coordinator.join(lasting(group))).await;
        assert_eq!((joined.error, joined.generation), (None, 1));
    }
}

#[tokio::test]
async fn members_get_the_assignments_of_their_leader() {
    let coordinator = started();
    let (first, second) =
        soon(async { tokio::join!(coordinator.join(lasting(GROUP)), coordinator.join(lasting(GROUP))) })
            .await;
    assert_eq!((first.generation, &first.leader), (second.generation, &second.leader));
    let [leader, follower] = if first.leader == first.member_id { [first, second] } else { [second, first] };
    let ids = [&leader.member_id, &follower.member_id];
    let assignments = ids.map(|id| (id.clone(), Bytes::from(id.clone()))).to_vec();
    let (a, b) = soon(async {
        tokio::join!(
            coordinator.sync(sync(1, &follower.member_id)),
            coordinator.sync(SyncRequest { assignments, ..sync(1, &leader.member_id) }),
        )
    })
    .await;
    assert_eq!([a.unwrap(), b.unwrap()], [follower.member_id, leader.member_id.clone()]);
    let identity = Identity { generation: 1, member_id: &leader.member_id, instance_id: None };
    assert_eq!(coordinator.heartbeat(GROUP, identity), Ok(()));
    assert_eq!(coordinator.commit(GROUP, identity, || 7), Ok(7));
    let sleeps = coordinator.tick().unwrap();
    assert!(sleeps > Duration::from_secs(600), "the timer sleeps until a session ends");
    assert_eq!(coordinator.leave(GROUP, &[leaving(&leader.member_id, None)]), Ok(vec![Ok(())]));
    assert_eq!(coordinator.heartbeat(GROUP, identity), Err(ErrorCode::UnknownMemberId));
}

#[tokio::test]
async fn member_ids_are_unique_and_begin_with_the_name_of_the_client() {
    let coordinator = started();
    let long = "é".repeat(MAX_MEMBER_ID_PREFIX);
    let clients =
        [("c", None, "c-"), ("c", Some("i"), "i-"), (long.as_str(), None, &long[..MAX_MEMBER_ID_PREFIX])];
    let mut ids = HashSet::new();
    for (client, instance, prefix) in clients {
        let answer = soon(coordinator.join(JoinRequest {
            client_id: client.to_owned(),
            instance_id: instance.map(str::to_owned),
            group_id: format!("{client}{instance:?}"),
            ..join()
        }))
        .await;
        assert!(answer.member_id.starts_with(prefix), "{}", answer.member_id);
        assert!(answer.member_id.len() <= MAX_MEMBER_ID_PREFIX + 40);
        assert!(ids.insert(answer.member_id));
    }
}

#[tokio::test]
async fn a_join_whose_client_is_gone_disturbs_nobody() {
    let coordinator = started();
    let gone = tokio::time::timeout(Duration::ZERO, coordinator.join(lasting(GROUP))).await;
    assert!(gone.is_err(), "the join waits, and is dropped");
    let other = soon(coordinator.join(lasting(GROUP))).await;
    assert_eq!((other.error, other.generation), (None, 1));
    assert_eq!(coordinator.describe(GROUP).members.len(), 1, "it did not know its member id");
}
