//! Compares random filters, orders and page walks with results computed here from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::aggregates::{all_items, next_link};
use crate::harness::server::Server;

/// Seconds since 1970 of the first hour, and its text.
const FIRST_HOUR: u32 = 1_571_702_400;
const DAY: &str = "2019-10-22";

/// Ids that are easily confused: case, quotes, a backslash, a percent sign, a prefix of another id, and Unicode.
const PLAYERS: [&str; 8] = ["a", "A", "a'b", "a\\", "%", "ab", "\u{e4}\u{1f3b0}", "a b&c=d"];
const GAMES: [u64; 5] = [0, 7, 25_062, u64::MAX - 1, u64::MAX];

/// A row as an insert leaves it: several rows may have the same key.
#[derive(Clone, Debug)]
struct Row {
    hour: u32,
    player: usize,
    game: usize,
    rounds: u64,
    /// Units of 10^-8.
    bet: i64,
    win: i64,
    /// The game's name. If there are several, the last one in alphabetical order is shown.
    name: u8,
}

fn any_row() -> impl Strategy<Value = Row> {
    let amount = || 0..5_000_000_000_i64;
    let key = (0..30_u32, 0..PLAYERS.len(), 0..GAMES.len());
    (key, 1..100_u64, amount(), amount(), 0..5_u8).prop_map(
        |((hour, player, game), rounds, bet, win, name)| Row { hour, player, game, rounds, bet, win, name },
    )
}

impl Row {
    /// Returns a row that subtracts this many quarters of this row, as a repair writes it: the number of rounds as its complement.
    fn taking_away(&self, quarters: u64) -> Self {
        let part =
            |amount: i64| -(amount / 4 * quarters.cast_signed() + amount % 4 * i64::from(quarters == 4));
        let rounds = self.rounds * quarters / 4;
        Self { rounds: rounds.wrapping_neg(), bet: part(self.bet), win: part(self.win), ..self.clone() }
    }
}

/// Generates rows, followed by rows that subtract some or all of them.
fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let taken = prop_oneof![3 => Just(None), 1 => (1..=4_u64).prop_map(Some)];
    proptest::collection::vec((any_row(), taken), 0..300).prop_map(|rows| {
        let taking = rows.iter().filter_map(|(row, taken)| taken.map(|quarters| row.taking_away(quarters)));
        rows.iter().map(|(row, _)| row.clone()).chain(taking).collect()
    })
}

/// A request, and how its pages are fetched.
#[derive(Clone, Debug)]
struct Question {
    players: Vec<usize>,
    games: Vec<usize>,
    /// Hours after the first hour.
    from: Option<u32>,
    before: Option<u32>,
    sort: usize,
    descending: bool,
    limit: usize,
    walk: Walk,
}

#[derive(Clone, Copy, Debug)]
enum Walk {
    Cursor,
    Skip,
    /// In a format that ClickHouse writes, following the `Link` headers.
    Links,
}

fn any_question() -> impl Strategy<Value = Question> {
    let players = proptest::collection::vec(0..PLAYERS.len(), 0..4);
    let games = proptest::collection::vec(0..GAMES.len(), 0..4);
    let hour = || proptest::option::of(0..30_u32);
    let walks = prop_oneof![Just(Walk::Cursor), Just(Walk::Skip), Just(Walk::Links)];
    let walk = (0..3_usize, any::<bool>(), 1..60_usize, walks);
    (players, games, hour(), hour(), walk).prop_map(|(players, games, from, before, walk)| {
        let (sort, descending, limit, walk) = walk;
        let before = before.filter(|before| from.is_none_or(|from| from < *before));
        Question { players, games, from, before, sort, descending, limit, walk }
    })
}

type Key = (u32, String, u64);

/// Rounds, bets, wins and the game's name.
type Sums = (u64, i64, i64, u8);

impl Question {
    fn passes(&self, row: &Row) -> bool {
        (self.players.is_empty() || self.players.contains(&row.player))
            && (self.games.is_empty() || self.games.contains(&row.game))
            && self.from.is_none_or(|from| from <= row.hour)
            && self.before.is_none_or(|before| row.hour < before)
    }

    fn sums(&self, rows: &[Row]) -> BTreeMap<Key, Sums> {
        let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
        for row in rows.iter().filter(|row| self.passes(row)) {
            let key = (row.hour, PLAYERS[row.player].to_owned(), GAMES[row.game]);
            let (rounds, bet, win, name) = sums.entry(key).or_default();
            (*rounds, *bet, *win) = (rounds.wrapping_add(row.rounds), *bet + row.bet, *win + row.win);
            *name = row.name.max(*name);
        }
        sums
    }

    /// Returns the expected items in order.
    fn items(&self, rows: &[Row]) -> Vec<Value> {
        // Hours without rounds are not shown.
        let mut sums: Vec<(Key, Sums)> =
            self.sums(rows).into_iter().filter(|(_, (rounds, ..))| *rounds > 0).collect();
        sums.sort_by_key(|((hour, player, game), _)| match self.sort {
            0 => (u64::from(*hour), player.clone(), *game, String::new()),
            1 => (0, player.clone(), u64::from(*hour), game_text(*game)),
            _ => (*game, String::new(), u64::from(*hour), player.clone()),
        });
        if self.descending {
            sums.reverse();
        }
        sums.into_iter().map(|((hour, player, game), sums)| item(hour, &player, game, sums)).collect()
    }

    fn filters(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for player in &self.players {
            query.append_pair("player_id", PLAYERS[*player]);
        }
        for game in &self.games {
            query.append_pair("game_id", &GAMES[*game].to_string());
        }
        for (name, hour) in [("date_from", self.from), ("date_to", self.before)] {
            if let Some(hour) = hour {
                query.append_pair(name, &time(hour));
            }
        }
        query.finish()
    }

    fn query(&self) -> String {
        let mut query = self.filters();
        let key = ["created_hour", "player_id", "game_id"][self.sort];
        let minus = if self.descending { "-" } else { "" };
        let _ = write!(query, "&sort={minus}{key}&limit={}", self.limit);
        query
    }
}

/// Returns a text that sorts like the number.
fn game_text(game: u64) -> String {
    format!("{game:020}")
}

fn time(hour: u32) -> String {
    format!("2019-10-{:02}T{:02}:00:00Z", 22 + hour / 24, hour % 24)
}

fn decimal(units: i64) -> String {
    let (sign, digits) = if units < 0 { ("-", -units) } else { ("", units) };
    let fraction = format!("{:08}", digits % 100_000_000);
    let text = format!("{sign}{}.{}", digits / 100_000_000, fraction);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn item(hour: u32, player: &str, game: u64, (rounds, bet, win, name): Sums) -> Value {
    json!({
        "created_hour": time(hour), "player_id": player, "game_id": game, "game_name": format!("g{name}"),
        "provider": "p", "rounds_played": rounds, "real_amount_bet": decimal(bet), "bonus_amount_bet": "0",
        "real_amount_win": "0", "bonus_amount_win": decimal(win), "net": decimal(bet - win),
    })
}

/// Stores rows in several parts, so that a key occurs in more than one part.
async fn store(server: &Server, rows: &[Row]) {
    server.clickhouse("TRUNCATE TABLE hourly_aggregates").await;
    for part in rows.chunks(rows.len().div_ceil(4).max(1)) {
        let mut sql = "INSERT INTO hourly_aggregates FORMAT JSONEachRow\n".to_owned();
        for row in part {
            let game = GAMES[row.game];
            let values = json!({
                "created_hour": FIRST_HOUR + 3600 * row.hour, "user_id": PLAYERS[row.player], "game_id": game,
                "game_name": format!("g{}", row.name), "provider": "p", "rounds_played": row.rounds,
                "real_amount_bet": decimal(row.bet), "bonus_amount_bet": 0, "real_amount_win": 0,
                "bonus_amount_win": decimal(row.win),
            });
            let _ = writeln!(sql, "{values}");
        }
        server.clickhouse(sql).await;
    }
}

async fn by_skip(server: &Server, question: &Question) -> Vec<Value> {
    let mut items = Vec::new();
    for skip in (0..).step_by(question.limit) {
        let page = server.get(&format!("/aggregates?{}&skip={skip}", question.query())).await.ok();
        assert_eq!(page["page"]["skip"], skip);
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        if page["page"]["next_cursor"].is_null() {
            break;
        }
    }
    items
}

async fn by_links(server: &Server, question: &Question) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = Some(format!("/aggregates?{}&format=ndjson", question.query()));
    while let Some(path) = next {
        let page = server.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {:#}", page.body);
        next = next_link(&page);
        match page.body {
            Value::String(lines) => {
                items.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
            line => items.push(line),
        }
    }
    items
}

/// Returns the expected summary. Players and games of an emptied hour count until its rows are deleted.
fn expected_summary(question: &Question, rows: &[Row]) -> Value {
    let sums = question.sums(rows);
    let of = |chosen: &dyn Fn(u32) -> bool| {
        let chosen: Vec<(&Key, &Sums)> = sums.iter().filter(|((hour, ..), _)| chosen(*hour)).collect();
        let players: BTreeSet<&str> = chosen.iter().map(|((_, player, _), _)| player.as_str()).collect();
        let games: BTreeSet<u64> = chosen.iter().map(|((_, _, game), _)| *game).collect();
        let bet: i64 = chosen.iter().map(|(_, (_, bet, ..))| bet).sum();
        let win: i64 = chosen.iter().map(|(_, (_, _, win, _))| win).sum();
        let rounds: u64 = chosen.iter().map(|(_, (rounds, ..))| rounds).sum();
        json!({
            "rounds_played": rounds, "players": players.len(), "games": games.len(),
            "real_amount_bet": decimal(bet), "bonus_amount_bet": "0", "real_amount_win": "0",
            "bonus_amount_win": decimal(win), "net": decimal(bet - win),
        })
    };
    let hours: BTreeSet<u32> = sums.keys().map(|(hour, ..)| *hour).collect();
    let mut summary = of(&|_| true);
    summary["hours"] = hours
        .into_iter()
        .map(|hour| {
            let mut sums = of(&|other| other == hour);
            sums["created_hour"] = json!(time(hour));
            sums
        })
        .collect();
    summary
}

#[test]
fn random_requests_return_what_the_rows_contain() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async {
        let server = Server::start(&[]).await;
        server.clickhouse("SYSTEM STOP MERGES hourly_aggregates").await;
        server
    });
    let mut runner = TestRunner::new(Config { cases: 10, failure_persistence: None, ..Config::default() });
    let questions = proptest::collection::vec(any_question(), 6);
    let cases = (any_rows(), questions);
    let outcome = runner.run(&cases, |(rows, questions)| {
        runtime.block_on(async {
            store(&server, &rows).await;
            for question in questions {
                let items = match question.walk {
                    Walk::Cursor => all_items(&server, &question.query()).await,
                    Walk::Skip => by_skip(&server, &question).await,
                    Walk::Links => by_links(&server, &question).await,
                };
                prop_assert_eq!(items, question.items(&rows), "{:?}", question);
                let summary = server.get(&format!("/aggregates/summary?{}", question.filters())).await.ok();
                prop_assert_eq!(summary, expected_summary(&question, &rows), "{:?}", question);
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_cursor_neither_repeat_nor_miss_a_row_while_data_arrives() {
    let server = Server::start(&[]).await;
    let hours = |hours: &str| {
        format!(
            "INSERT INTO hourly_aggregates SELECT toDateTime({FIRST_HOUR}, 'UTC') + 3600 * h, toString(p), 1, 'g', 'p', 1, 1, 0, 0, 0 \
             FROM (SELECT arrayJoin({hours}) AS h) AS hours, (SELECT number AS p FROM numbers(10)) AS players"
        )
    };
    // Every second hour. The others arrive while the pages are read.
    server.clickhouse(hours("range(0, 40, 2)")).await;
    let mut seen = Vec::new();
    let mut next = Some("/aggregates?limit=7".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page = server.get(&path).await.ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| {
            let text = |member: &str| item[member].as_str().unwrap().to_owned();
            (text("created_hour"), text("player_id"))
        }));
        next = page["links"]["next"].as_str().map(str::to_owned);
        pages += 1;
        if pages == 10 {
            server.clickhouse(hours("range(1, 40, 2)")).await;
        }
    }
    assert!(seen.is_sorted_by(|one, other| one < other), "a row occurs twice or out of order: {seen:?}");
    let first: Vec<_> = seen.iter().filter(|(hour, _)| hour.starts_with(DAY)).collect();
    assert!(first.len() > 120 && seen.len() > 300, "{} {}", first.len(), seen.len());
    // Every row that existed from the beginning was returned.
    let there: BTreeSet<&str> = seen.iter().map(|(hour, _)| hour.as_str()).collect();
    for hour in (0..40).step_by(2) {
        let hour = time(hour);
        assert_eq!(seen.iter().filter(|(seen, _)| *seen == hour).count(), 10, "{hour} of {there:?}");
    }
}
