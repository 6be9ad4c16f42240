//! Random clients, whose processes start, die, leave and change at any time, against what a group promises.

use proptest::prelude::*;

use super::super::limits::MAX_INITIAL_REBALANCE_DELAY;
use super::*;

const CLIENTS: usize = 7;
const LONGEST_SESSION: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(100);

/// How long a group of live members may take to become stable.
const SETTLING: Duration = MAX_INITIAL_REBALANCE_DELAY
    .saturating_add(REBALANCE)
    .saturating_add(LONGEST_SESSION)
    .saturating_add(SECOND);

#[derive(Clone, Debug)]
enum Event {
    /// The process starts; if it runs, it was killed before.
    Start(usize),
    Die(usize),
    Leave(usize),
    /// The client does what the protocol wants next.
    Act(usize),
    /// The client joins again, with other metadata if the number differs.
    Rejoin(usize, u8),
    /// The client sends heartbeats and commits of every generation.
    Confuse(usize),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let client = || 0..CLIENTS;
    prop_oneof![
        4 => client().prop_map(Event::Start),
        1 => client().prop_map(Event::Die),
        1 => client().prop_map(Event::Leave),
        12 => client().prop_map(Event::Act),
        1 => (client(), 0..3_u8).prop_map(|(client, metadata)| Event::Rejoin(client, metadata)),
        1 => client().prop_map(Event::Confuse),
        5 => (0..1_000_u64).prop_map(Event::Wait),
        1 => (0..12_000_u64).prop_map(Event::Wait),
    ]
}

/// A process that may be a member.
#[derive(Clone, Debug, Default)]
struct Client {
    is_alive: bool,
    member_id: String,
    metadata: u8,
    joining: Option<u32>,
    syncing: Option<u32>,
    joined: Option<JoinAnswer>,
    assignment: Option<Bytes>,
}

impl Client {
    /// It must join again.
    fn reset(&mut self, keeps_id: bool) {
        (self.joined, self.assignment, self.joining, self.syncing) = (None, None, None, None);
        if !keeps_id {
            self.member_id.clear();
        }
    }

    fn react(&mut self, error: ErrorCode) {
        match error {
            ErrorCode::FencedInstanceId => *self = Self::default(),
            ErrorCode::UnknownMemberId => self.reset(false),
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::MemberIdRequired => {
                self.reset(true);
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

struct Run {
    world: World,
    clients: Vec<Client>,
    /// The requests that are not answered, the members that sent them, and when.
    waiting: HashMap<u32, (String, Duration)>,
    /// When the group last heard from a member, and its session timeout.
    contacts: HashMap<String, (Duration, Duration)>,
    /// Who was told to be the leader of which generation.
    leaders: HashMap<i32, String>,
    generation: i32,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        // The group stays known while it is empty, so that a generation never comes back.
        world.offsets.lock().unwrap().insert(GROUP.to_owned());
        let clients = vec![Client::default(); CLIENTS];
        let (waiting, contacts, leaders) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { world, clients, waiting, contacts, leaders, generation: 0 }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Start(i) => self.clients[i] = Client { is_alive: true, ..Client::default() },
            Event::Die(i) => self.clients[i] = Client::default(),
            Event::Leave(i) => {
                let leaving = leaving(&self.clients[i].member_id, instance(i));
                self.world.leave(&[leaving]);
                self.clients[i] = Client::default();
            }
            Event::Act(i) => self.act(i),
            Event::Rejoin(i, metadata) if self.clients[i].is_alive => {
                self.clients[i].metadata = metadata;
                self.clients[i].reset(true);
                self.join(i);
            }
            Event::Rejoin(..) => {}
            Event::Confuse(i) => self.confuse(i),
            Event::Wait(time) => self.world.wait(Duration::from_millis(time)),
        }
        self.check();
    }

    fn act(&mut self, i: usize) {
        self.receive(i);
        let client = &self.clients[i];
        if !client.is_alive || client.joining.is_some() || client.syncing.is_some() {
            return;
        }
        match (&client.joined, &client.assignment) {
            (None, _) => self.join(i),
            (Some(_), None) => self.sync(i),
            (Some(joined), Some(_)) => {
                let generation = joined.generation;
                if let Err(error) = self.heartbeat(i, generation) {
                    self.clients[i].react(error);
                }
            }
        }
    }

    /// Reads the answers that the client waits for.
    fn receive(&mut self, i: usize) {
        let client = &mut self.clients[i];
        if let Some(answer) = client.joining.and_then(|waiter| self.world.joins.get(&waiter)) {
            client.joining = None;
            match answer.error {
                Some(ErrorCode::MemberIdRequired) => client.member_id.clone_from(&answer.member_id),
                Some(error) => client.react(error),
                None => {
                    client.member_id.clone_from(&answer.member_id);
                    client.joined = Some(answer.clone());
                }
            }
        }
        if let Some(answer) = client.syncing.and_then(|waiter| self.world.syncs.get(&waiter)) {
            client.syncing = None;
            match answer.clone() {
                Err(error) => client.react(error),
                Ok(assigned) => {
                    let generation = client.joined.as_ref().unwrap().generation;
                    let key = instance(i).unwrap_or(&client.member_id);
                    let expected = assignment(generation, &self.leaders[&generation], key);
                    assert_eq!(assigned, expected, "the assignment is that of the leader");
                    client.assignment = Some(assigned);
                }
            }
        }
    }

    fn join(&mut self, i: usize) {
        let client = &self.clients[i];
        let request = JoinRequest {
            member_id: client.member_id.clone(),
            instance_id: instance(i).map(str::to_owned),
            requires_known_member: i >= 2,
            session_timeout_ms: if i.is_multiple_of(2) { 6_000 } else { 10_000 },
            rebalance_timeout_ms: if i.is_multiple_of(3) { 8_000 } else { 20_000 },
            protocols: vec![Protocol { name: "range".to_owned(), metadata: vec![client.metadata].into() }],
            ..join()
        };
        let (known, session) = (request.member_id.clone(), request.session_timeout());
        let waiter = self.world.join(request);
        // New member ids are named after the waiter.
        let member_id = if known.is_empty() { format!("m{waiter}") } else { known };
        self.contacts.entry(member_id.clone()).or_default().1 = session;
        self.waiting.insert(waiter, (member_id, self.world.now));
        self.clients[i].joining = Some(waiter);
    }

    fn sync(&mut self, i: usize) {
        let client = &self.clients[i];
        let joined = client.joined.as_ref().unwrap();
        let leader = joined.leader.clone();
        let assign = |member: &super::super::answers::JoinedMember| {
            let key = member.instance_id.as_ref().unwrap_or(&member.member_id);
            (member.member_id.clone(), assignment(joined.generation, &leader, key))
        };
        let assignments = joined.members.iter().map(assign).collect();
        let instance_id = instance(i).map(str::to_owned);
        let request = SyncRequest { assignments, instance_id, ..sync(joined.generation, &client.member_id) };
        let waiter = self.world.sync(request.clone());
        self.waiting.insert(waiter, (request.member_id, self.world.now));
        self.clients[i].syncing = Some(waiter);
    }

    fn heartbeat(&mut self, i: usize, generation: i32) -> Result<(), ErrorCode> {
        let member_id = self.clients[i].member_id.clone();
        let identity = Identity { generation, member_id: &member_id, instance_id: instance(i) };
        let answer = self.world.groups.heartbeat(self.world.now, GROUP, identity);
        self.note_contact(&member_id, answer);
        if answer.is_ok() {
            assert_eq!(generation, self.generation, "a heartbeat of an old generation is refused");
        }
        answer
    }

    fn confuse(&mut self, i: usize) {
        self.note_generations();
        let member_id = self.clients[i].member_id.clone();
        let mut accepted = HashSet::new();
        for generation in 0..self.generation + 3 {
            let _ = self.heartbeat(i, generation);
            let identity = Identity { generation, member_id: &member_id, instance_id: instance(i) };
            let answer = self.world.groups.check_commit(self.world.now, GROUP, identity);
            self.note_contact(&member_id, answer);
            let transactional = self.world.groups.check_transactional_commit(GROUP, identity);
            if answer.is_ok() || transactional.is_ok() {
                assert!(generation >= self.generation, "a commit of an old generation is refused");
                accepted.insert(generation);
            }
        }
        // It may be one that nobody knows: that in which the group became empty.
        assert!(accepted.len() <= 1, "one generation is current: {accepted:?}");
    }

    fn note_contact(&mut self, member_id: &str, answer: Result<(), ErrorCode>) {
        if matches!(answer, Ok(()) | Err(ErrorCode::RebalanceInProgress)) {
            self.contacts.entry(member_id.to_owned()).or_default().0 = self.world.now;
        }
    }

    /// Looks at the answers that came since the last time.
    fn note_generations(&mut self) {
        let answered = |waiter: &u32| self.world.answered.get(waiter).copied();
        let new: Vec<(u32, String, Duration)> = self
            .waiting
            .iter()
            .filter_map(|(waiter, (member, _))| Some((*waiter, member.clone(), answered(waiter)?)))
            .collect();
        for (waiter, member_id, at) in new {
            self.waiting.remove(&waiter);
            let contact = &mut self.contacts.entry(member_id).or_default().0;
            *contact = at.max(*contact);
            let Some(answer) = self.world.joins.get(&waiter).filter(|answer| answer.error.is_none()) else {
                continue;
            };
            self.generation = self.generation.max(answer.generation);
            if answer.leader == answer.member_id {
                let leader = self.leaders.entry(answer.generation).or_insert_with(|| answer.leader.clone());
                assert_eq!(*leader, answer.leader, "a generation has one leader");
            }
        }
    }

    fn check(&mut self) {
        self.note_generations();
        let now = self.world.now;
        for (waiter, (member_id, since)) in &self.waiting {
            assert!(
                *since + REBALANCE >= now,
                "{member_id} waits for the answer {waiter} since {since:?}, now {now:?}"
            );
        }
        for member_id in self.world.member_ids() {
            let (contact, session) = self.contacts[&member_id];
            let waits = self.waiting.values().any(|(waiting, _)| *waiting == member_id);
            assert!(
                waits || contact + session > now,
                "{member_id} was last heard of at {contact:?}, now {now:?}"
            );
        }
    }

    /// Every client does what the protocol wants, until `is_done` or for some time. Returns whether it is done.
    fn be_quiet(&mut self, time: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let end = self.world.now + time;
        while self.world.now < end && !is_done(self) {
            (0..CLIENTS).for_each(|i| self.act(i));
            self.world.wait(STEP);
            self.check();
        }
        is_done(self)
    }

    fn is_settled(&self) -> bool {
        let alive = || self.clients.iter().filter(|client| client.is_alive);
        let generation = |client: &Client| client.joined.as_ref().map(|joined| joined.generation);
        let has_assignment =
            |client: &Client| client.assignment.is_some() && generation(client) == Some(self.generation);
        alive().all(has_assignment) && (alive().next().is_none() || self.world.state() == "Stable")
    }

    /// Only live clients are members.
    fn assert_members(&self) {
        let alive = self.clients.iter().filter(|client| client.is_alive);
        let mut alive: Vec<String> = alive.map(|client| client.member_id.clone()).collect();
        alive.sort();
        assert_eq!(self.world.member_ids(), alive);
        assert!(self.waiting.is_empty(), "every request is answered");
    }
}

/// The first two clients speak version 3, the next two version 4. The rest is static, two of them by mistake with one instance id.
fn instance(client: usize) -> Option<&'static str> {
    match client {
        4 | 5 => Some("i"),
        6 => Some("j"),
        _ => None,
    }
}

fn assignment(generation: i32, leader: &str, key: &str) -> Bytes {
    format!("{generation}/{leader}/{key}").into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_group_keeps_its_promises_whatever_its_clients_do(events in proptest::collection::vec(event(), 1..150)) {
        let mut run = Run::new();
        for event in &events {
            run.apply(event);
        }
        prop_assert!(run.be_quiet(SETTLING, Run::is_settled), "the live members form a stable group in time");
        run.be_quiet(3 * SETTLING, |_| false);
        prop_assert!(run.is_settled(), "the group stays stable");
        run.assert_members();
    }
}
