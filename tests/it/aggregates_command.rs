//! `roundhouse aggregates`, run as a user and as a script runs it.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::harness::command::{Said, client, run};
use crate::harness::files::HEADER;
use crate::harness::server::Server;

const KEY: &str = "a-key-for-the-tests-only";

/// Players, each with one round: more than fit into one page.
const PLAYERS: usize = 10_500;

async fn aggregates(server: &str, key: &str, arguments: &[&str]) -> Said {
    run(client("aggregates", server, key, arguments)).await
}

fn file() -> String {
    let mut text = format!("{HEADER}\n");
    for id in 0..PLAYERS {
        let game = if id == 7 { 8 } else { 7 };
        let _ =
            writeln!(text, "2020-02-03 04:05:06,{id},player-{id:05},{game},0.25,3,0.1,1,Café 日本,Play'n GO");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_shown_page_by_page_in_every_format() {
    let server = Server::start(&["--api-key", KEY]).await;
    let receipt = server
        .send(|http| http.post(server.url("/uploadcsv?wait=visible")).bearer_auth(KEY).body(file()))
        .await
        .ok();
    assert_eq!(receipt["state"], "visible");
    let api = server.addresses.api.clone();

    let said = aggregates(&api, KEY, &["--limit", "2", "--sort", "-player_id"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    for text in ["hour", "2020-02-03T04:00:00Z", "player-10499", "player-10498", "Café 日本", "2.15", "--all"]
    {
        assert!(said.stdout.contains(text), "{text}: {said:?}");
    }
    assert!(!said.stdout.contains("player-10497"), "{said:?}");
    // What is shown adds up: net = bets - wins.
    let row = said.stdout.lines().find(|line| line.contains("player-10499")).unwrap();
    let cells: Vec<&str> = row.split('┆').map(|cell| cell.trim_matches([' ', '│'])).collect();
    assert_eq!(cells[4..], ["0.25", "3", "0.1", "1", "2.15"], "{said:?}");

    // --server may have a path, as behind a reverse proxy. Requests go below it, where this server has nothing.
    let said = aggregates(&format!("{api}/some/"), KEY, &[]).await;
    assert!(said.stderr.contains("404 no_such_path"), "{said:?}");

    let filters = [
        "--player",
        "player-00007",
        "--player",
        "player-00008",
        "--game",
        "8",
        "--from",
        "2020-02-03",
        "--to",
        "2020-02-03",
    ];
    let said = aggregates(&format!("{api}/"), KEY, &[&filters[..], &["--json"]].concat()).await;
    let path = "/aggregates?player_id=player-00007&player_id=player-00008&game_id=8&date_from=2020-02-03&date_to=2020-02-03&limit=100";
    let answered = server.send(|http| http.get(server.url(path)).bearer_auth(KEY)).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap(), answered, "{said:?}");
    assert_eq!(answered["items"].as_array().map(Vec::len), Some(1), "{answered}");

    let said = aggregates(&api, KEY, &["--all", "--format", "csv"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stderr);
    assert!(said.stdout.starts_with("\"created_hour\",\"player_id\""), "{}", &said.stdout[..200]);
    let lines: BTreeSet<&str> = said.stdout.lines().collect();
    assert_eq!(
        (lines.len(), said.stdout.lines().count()),
        (PLAYERS + 1, PLAYERS + 1),
        "each row once, and one header"
    );
    let said = aggregates(&api, KEY, &["--limit", "10200", "--format", "ndjson"]).await;
    let rows: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[10_199]["player_id"]), (10_200, &Value::from("player-10199")));
    let said = aggregates(&api, KEY, &["--all", "--format", "json"]).await;
    let pages = serde_json::Deserializer::from_str(&said.stdout).into_iter::<Value>();
    let pages: Vec<Value> = pages.map(Result::unwrap).collect();
    let counts: Vec<_> = pages.iter().map(|page| page["items"].as_array().map(Vec::len)).collect();
    assert_eq!(counts, [Some(10_000), Some(500)]);
    let said = aggregates(&api, KEY, &["--all"]).await;
    assert!(
        said.stdout.contains("player-10499") && !said.stdout.contains("More rows exist"),
        "{}",
        said.code.unwrap_or(-1)
    );

    let said = aggregates(&api, KEY, &["--summary", "--game", "8"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("2020-02-03T04:00:00Z") && said.stdout.contains("all"), "{said:?}");
    let said = aggregates(&api, KEY, &["--summary", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["rounds_played"], PLAYERS, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_one_line_and_exit_code_2() {
    let server = Server::start(&["--api-key", KEY]).await;
    let api = server.addresses.api.clone();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("http://127.0.0.1:{port}");
    for (address, key, arguments, text) in [
        (&api, "", &[][..], "401 unauthorized"),
        (&api, "", &[], "--api-key"),
        (&api, KEY, &["--from", "yesterday"], "--from: it must be a date"),
        (&api, KEY, &["--player", ""], "--player: it must be 1 to"),
        (&api, KEY, &["--sort", "net"], "--sort"),
        (&api, KEY, &["--game", "x"], "--game"),
        (&api, KEY, &["--limit", "0"], "--limit"),
        (&api, KEY, &["--limit", "5", "--all"], "--all"),
        (&api, KEY, &["--summary", "--format", "csv"], "--summary"),
        (
            &api,
            KEY,
            &["--summary", "--limit", "5"],
            "leave out --limit, and select fewer hours with --from and --to",
        ),
        (&api, KEY, &["--summary", "--sort", "game_id"], "leave out --sort, "),
        (&api, KEY, &["--summary", "--all"], "leave out --all, "),
        (&away, KEY, &[], "roundhouse serve"),
        (&"ftp://127.0.0.1".to_owned(), KEY, &[], "http://"),
    ] {
        let said = aggregates(address, key, arguments).await;
        assert_eq!((said.code, said.stderr.lines().count()), (Some(2), 1), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(text) && said.stdout.is_empty(), "{arguments:?}: {said:?}");
    }
    let said = aggregates(&api, "", &["--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap()["code"], "unauthorized", "{said:?}");
}
