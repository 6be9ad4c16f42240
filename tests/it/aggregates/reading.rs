//! How many rows are read for a page: as many as the answer needs, not as many as the table has.

use tempfile::TempDir;

use crate::harness::aggregates::next_link;
use crate::harness::part::Part;
use crate::harness::proxy::{Proxy, Seen};
use crate::harness::server::Server;

/// Players, games, and players per hour in the filled table.
const PLAYERS: u64 = 400;
const GAMES: u64 = 20;

/// Hours of the smaller and of the larger table, with 250 rows each.
const ROWS_PER_HOUR: u64 = 250;
const HOURS: [u64; 2] = [500, 4_000];

/// Rows of a page.
const LIMIT: u64 = 50;

/// Size of a granule, which each statement reads for its first row.
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

/// Returns every combination of filters and order, with no, one or several values per filter.
fn questions() -> Vec<String> {
    let players = ["", "player_id=player7&", "player_id=player7&player_id=player8&player_id=player9&"];
    let games = ["", "game_id=3&", "game_id=3&game_id=5&"];
    let dates = ["", "date_from=2019-01-10&date_to=2019-01-10&"];
    let sorts = ["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"];
    let mut questions = Vec::new();
    for player in players {
        for game in games {
            for date in dates {
                // JSON is read with one statement; ClickHouse writes the other formats with two.
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

/// Sends a request. Returns the link to the next page, and the statements that found and read this one.
async fn ask(server: &Server, proxy: &Proxy, path: &str) -> (Option<String>, Vec<Seen>) {
    proxy.take();
    let page = server.get(path).await;
    assert_eq!(page.status, 200, "{path}: {:#}", page.body);
    let ours = |seen: &Seen| seen.text().contains("-- Where a page") || seen.text().contains("-- The hourly");
    (next_link(&page), proxy.take().into_iter().filter(ours).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_rows_read_grows_with_the_answer_and_not_with_the_table() {
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
                    // The filters exclude all rows.
                    continue;
                }
                assert!(plan.contains("ReadFromMergeTree"), "{question}: {plan}");
                // The statement that reads the page has its start and end. The one that finds it has the filters, or an order to read along.
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
        // The table grows eightfold. If no order has the rows both together and sorted, the square root of it is read.
        assert!(*large <= 3 * small + 16 * GRANULE, "{question}: {small}, then {large}");
        assert!(*large <= table / 8, "{question}: {large} of {table}");
    }
    let by_order = |question: &String| question.starts_with("sort=");
    for (question, large) in questions().iter().zip(&read[1]).filter(|(question, _)| by_order(question)) {
        assert!(*large <= 8 * GRANULE, "{question}: {large}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_left_out_if_the_table_loses_a_projection_while_the_server_runs() {
    let directory = TempDir::new().unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let server = Server::start(&["--clickhouse-url", &clickhouse.url()]).await;
    fill(&server, 10).await;
    let page = async |server: &Server, sort: &str| {
        server.get(&format!("/aggregates?sort={sort}&limit=10000")).await.ok()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    let stored = page(&server, "created_hour").await;
    assert!(stored > 2000);
    assert_eq!((page(&server, "player_id").await, page(&server, "-game_id").await), (stored, stored));
    server
        .clickhouse("ALTER TABLE hourly_aggregates DROP PROJECTION by_player SETTINGS mutations_sync = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(page(&server, "player_id").await, stored);
}
