//! What is read for a page: rows as many as the answer needs, not as many as the table has.

use tempfile::TempDir;

use crate::harness::aggregates::next_link;
use crate::harness::part::Part;
use crate::harness::proxy::{Proxy, Seen};
use crate::harness::server::Server;

/// Players, games, and players of an hour in the filled table.
const PLAYERS: u64 = 400;
const GAMES: u64 = 20;

/// Hours of the smaller and of the larger table: 250 rows each.
const ROWS_PER_HOUR: u64 = 250;
const HOURS: [u64; 2] = [500, 4_000];

/// Rows of a page.
const LIMIT: u64 = 50;

/// A granule, in each of the statements: what is read for the first row.
const GRANULE: u64 = 1024;

async fn fill(server: &Server, hours: u64) {
    server.clickhouse("TRUNCATE TABLE hourly_aggregates").await;
    let rows = hours * ROWS_PER_HOUR;
    server
        .clickhouse(format!(
            "INSERT INTO hourly_aggregates SELECT toDateTime('2019-01-01 00:00:00', 'UTC') + 3600 * intDiv(number, {ROWS_PER_HOUR}), \
             concat('player', toString(cityHash64(number) % {PLAYERS})), cityHash64(number, 1) % {GAMES}, 'g', 'p', 1, 1, 0, 0, 0 \
             FROM numbers({rows})"
        ))
        .await;
    server.clickhouse("OPTIMIZE TABLE hourly_aggregates FINAL").await;
}

/// Every combination of filters and order, the filters from none to several values.
fn questions() -> Vec<String> {
    let players = ["", "player_id=player7&", "player_id=player7&player_id=player8&player_id=player9&"];
    let games = ["", "game_id=3&", "game_id=3&game_id=5&"];
    let dates = ["", "date_from=2019-01-10&date_to=2019-01-10&"];
    let sorts = ["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"];
    let mut questions = Vec::new();
    for player in players {
        for game in games {
            for date in dates {
                // JSON is read in one statement, the others are written by ClickHouse in two.
                questions.extend(sorts.iter().flat_map(|sort| {
                    ["json", "ndjson"].map(|format| {
                        format!("{player}{game}{date}sort={sort}&limit={LIMIT}&format={format}")
                    })
                }));
            }
        }
    }
    questions
}

/// Asks, and returns the next page, the statements that found this one and those that read it.
async fn ask(server: &Server, proxy: &Proxy, path: &str) -> (Option<String>, Vec<Seen>) {
    proxy.take();
    let page = server.get(path).await;
    assert_eq!(page.status, 200, "{path}: {:#}", page.body);
    let ours = |seen: &Seen| seen.text().contains("-- Where a page") || seen.text().contains("-- The hourly");
    (next_link(&page), proxy.take().into_iter().filter(ours).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_read_grow_with_the_answer_and_not_with_the_table() {
    let directory = TempDir::new().unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let proxy = Proxy::start(&clickhouse.url()).await;
    let server = Server::start(&["--clickhouse-url", &proxy.url]).await;
    let mut read: Vec<Vec<u64>> = Vec::new();
    for hours in HOURS {
        fill(&server, hours).await;
        let rows = hours * ROWS_PER_HOUR;
        let mut of_table = Vec::new();
        for question in questions() {
            let (next, first) = ask(&server, &proxy, &format!("/aggregates?{question}")).await;
            let mut statements = first;
            if let Some(next) = next {
                statements.extend(ask(&server, &proxy, &next).await.1);
            }
            for statement in &statements {
                let plan = proxy.repeat(statement, "EXPLAIN indexes = 1").await;
                if statement.read_rows == 0 && plan.contains("Filter column: 0") {
                    // It is known that nothing is there.
                    continue;
                }
                assert!(plan.contains("ReadFromMergeTree"), "{question}: {plan}");
                // What reads the page knows where it begins and ends; what finds it has the filters, or an order to read along.
                let is_bounded = plan.contains("Condition: and(") || plan.contains("Condition: (");
                let is_in_order =
                    plan.contains("Read type: InOrder") || plan.contains("Read type: InReverseOrder");
                assert!(plan.contains("PrimaryKey") && is_bounded || is_in_order, "{question}: {plan}");
                if hours == HOURS[1] && question.starts_with("player_id=player7&sort=created_hour") {
                    println!("{question}: {} rows read\n{plan}", statement.read_rows);
                }
            }
            let most = statements.iter().map(|statement| statement.read_rows).max().unwrap_or_default();
            println!("{rows} rows, {question}: {most} read");
            of_table.push(most);
        }
        read.push(of_table);
    }
    let table = HOURS[1] * ROWS_PER_HOUR;
    for (question, (small, large)) in questions().iter().zip(read[0].iter().zip(&read[1])) {
        // The table grows eightfold. Where neither order has the rows together and sorted, the root of it is read.
        assert!(*large <= 3 * small + 16 * GRANULE, "{question}: {small}, then {large}");
        assert!(*large <= table / 8, "{question}: {large} of {table}");
    }
    let by_order = |question: &String| question.starts_with("sort=");
    for (question, large) in questions().iter().zip(&read[1]).filter(|(question, _)| by_order(question)) {
        assert!(*large <= 8 * GRANULE, "{question}: {large}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_earlier_release_gets_its_orders_at_the_start() {
    let directory = TempDir::new().unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let mut server = Server::start(&["--clickhouse-url", &clickhouse.url()]).await;
    for projection in ["by_player", "by_game"] {
        let sql =
            format!("ALTER TABLE hourly_aggregates DROP PROJECTION {projection} SETTINGS mutations_sync = 1");
        server.clickhouse(sql).await;
    }
    fill(&server, 10).await;
    let page = async |server: &Server, sort: &str| {
        server.get(&format!("/aggregates?sort={sort}&limit=10000")).await.ok()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    server.restart().await;
    let stored = page(&server, "created_hour").await;
    assert!(stored > 2000);
    assert_eq!((page(&server, "player_id").await, page(&server, "-game_id").await), (stored, stored));
    // A part that came without them while the server runs: nothing is left out for it.
    server
        .clickhouse("ALTER TABLE hourly_aggregates DROP PROJECTION by_player SETTINGS mutations_sync = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(page(&server, "player_id").await, stored);
}
