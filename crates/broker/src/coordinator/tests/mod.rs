//! Tests of the coordinator. Time is a number here, and a waiter too.

mod commits;
mod directory;
mod joins;
mod lifetimes;
mod random;
mod shell;
mod static_members;
mod syncs;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::answers::{Due, JoinAnswer, SyncAnswer};
use super::groups::Groups;
use super::member::Waiter;
use super::requests::{Identity, JoinRequest, Leaving, Protocol, SyncRequest};
use crate::error_code::ErrorCode;

impl Waiter for u32 {
    /// Those of the first thousand are connected.
    fn is_gone(&self) -> bool {
        *self > 1_000
    }
}

const GROUP: &str = "g";
const SESSION: Duration = Duration::from_secs(6);
const REBALANCE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

/// Groups, a clock, and the answers so far.
struct World {
    groups: Groups<u32, u32>,
    now: Duration,
    last_waiter: u32,
    joins: HashMap<u32, JoinAnswer>,
    syncs: HashMap<u32, SyncAnswer>,
    /// When each of them was answered.
    answered: HashMap<u32, Duration>,
    /// The groups that have committed offsets.
    offsets: Arc<Mutex<HashSet<String>>>,
}

impl World {
    fn new() -> Self {
        let offsets = Arc::new(Mutex::new(HashSet::new()));
        let known = Arc::clone(&offsets);
        let groups = Groups::new(Box::new(move |id: &str| known.lock().unwrap().contains(id)));
        let (joins, syncs, answered) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { groups, now: Duration::ZERO, last_waiter: 0, joins, syncs, answered, offsets }
    }

    fn join(&mut self, request: JoinRequest) -> u32 {
        self.last_waiter += 1;
        let (waiter, mut due) = (self.last_waiter, Due::default());
        self.groups.join(self.now, request, format!("m{waiter}"), waiter, &mut due);
        self.keep(due);
        waiter
    }

    fn sync(&mut self, request: SyncRequest) -> u32 {
        self.last_waiter += 1;
        let (waiter, mut due) = (self.last_waiter, Due::default());
        self.groups.sync(self.now, request, waiter, &mut due);
        self.keep(due);
        waiter
    }

    fn leave(&mut self, members: &[Leaving]) -> Vec<Result<(), ErrorCode>> {
        let mut due = Due::default();
        let answers = self.groups.leave(self.now, GROUP, members, &mut due).unwrap();
        self.keep(due);
        answers
    }

    fn heartbeat(&mut self, generation: i32, member_id: &str) -> Result<(), ErrorCode> {
        self.groups.heartbeat(self.now, GROUP, Identity { generation, member_id, instance_id: None })
    }

    fn keep(&mut self, due: Due<u32, u32>) {
        for (waiter, answer) in due.joins {
            self.answered.insert(waiter, self.now);
            assert!(self.joins.insert(waiter, answer).is_none(), "the join {waiter} was answered twice");
        }
        for (waiter, answer) in due.syncs {
            self.answered.insert(waiter, self.now);
            assert!(self.syncs.insert(waiter, answer).is_none(), "the sync {waiter} was answered twice");
        }
    }

    /// Lets time pass, with everything that happens meanwhile.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.groups.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let mut due = Due::default();
            self.groups.tick(self.now, &mut due);
            self.keep(due);
            let next = self.groups.next_deadline();
            assert!(next.is_none_or(|next| next > self.now), "nothing is left to do after a tick");
        }
        self.now = end;
    }

    /// The answer to a join that succeeded.
    fn joined(&self, waiter: u32) -> &JoinAnswer {
        let answer = self.joins.get(&waiter).expect("the join is not answered");
        assert_eq!(answer.error, None);
        answer
    }

    fn join_error(&self, waiter: u32) -> Option<ErrorCode> {
        self.joins.get(&waiter).expect("the join is not answered").error
    }

    /// The assignment that a sync returned.
    fn assignment(&self, waiter: u32) -> Result<Bytes, ErrorCode> {
        self.syncs.get(&waiter).expect("the sync is not answered").clone()
    }

    /// A stable group of new members. Returns their ids, the leader first.
    fn stable(&mut self, requests: impl IntoIterator<Item = JoinRequest>) -> Vec<String> {
        let waiters: Vec<u32> = requests.into_iter().map(|request| self.join(request)).collect();
        self.wait(SECOND);
        let mut ids: Vec<String> =
            waiters.iter().map(|waiter| self.joined(*waiter).member_id.clone()).collect();
        let (leader, generation) =
            (self.joined(waiters[0]).leader.clone(), self.joined(waiters[0]).generation);
        ids.sort_by_key(|id| *id != leader);
        let assignments = ids.iter().map(|id| (id.clone(), Bytes::from(format!("for {id}")))).collect();
        self.sync(SyncRequest { assignments, ..sync(generation, &ids[0]) });
        for id in &ids[1..] {
            self.sync(sync(generation, id));
        }
        assert_eq!(self.state(), "Stable");
        ids
    }

    fn state(&self) -> &'static str {
        self.groups.describe(GROUP).state.name()
    }

    fn member_ids(&self) -> Vec<String> {
        self.groups.describe(GROUP).members.into_iter().map(|member| member.member_id).collect()
    }
}

/// A join of a new consumer that need not ask for its member id (version 3).
fn join() -> JoinRequest {
    JoinRequest {
        group_id: GROUP.to_owned(),
        member_id: String::new(),
        instance_id: None,
        requires_known_member: false,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 6_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range"]),
    }
}

fn join_as(member_id: &str) -> JoinRequest {
    JoinRequest { member_id: member_id.to_owned(), ..join() }
}

fn join_static(instance_id: &str) -> JoinRequest {
    JoinRequest { instance_id: Some(instance_id.to_owned()), ..join() }
}

fn protocols(names: &[&str]) -> Vec<Protocol> {
    let protocol = |name: &&str| Protocol { name: (*name).to_owned(), metadata: subscription(&[name]) };
    names.iter().map(protocol).collect()
}

/// The metadata of a consumer of these topics.
fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend([255, 255, 255, 255]);
    bytes.into()
}

fn sync(generation: i32, member_id: &str) -> SyncRequest {
    SyncRequest {
        group_id: GROUP.to_owned(),
        generation,
        member_id: member_id.to_owned(),
        instance_id: None,
        assignments: Vec::new(),
    }
}

fn leaving(member_id: &str, instance_id: Option<&str>) -> Leaving {
    Leaving { member_id: member_id.to_owned(), instance_id: instance_id.map(str::to_owned) }
}
