//! `roundhouse datasets`: datasets are listed, checked, and guessed from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::{Said, run};
use crate::harness::server::Server;
use crate::harness::{ROUNDHOUSE, repository};

/// Runs `roundhouse datasets` in a directory.
async fn datasets(directory: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(ROUNDHOUSE);
    command.arg("datasets").args(arguments).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDHOUSE_") {
            command.env_remove(name);
        }
    }
    run(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_datasets_of_the_program_and_those_of_directories() {
    let own = repository().join("tests/datasets");
    let own = own.to_str().unwrap();
    let said = datasets(&repository(), &["list", "--datasets", own, "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let list: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let items = list["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bets", "prices", "steps", "payments"]);
    assert_eq!((&items[0]["key"][0], &items[0]["directory"]), (&"game_instance_id".into(), &Value::Null));
    assert_eq!(items[3]["directory"], own);
    assert!(items[1]["endpoints"].as_array().unwrap().contains(&"ohlc".into()), "{list:#}");
    let said = datasets(&repository(), &["list"]).await;
    assert!(said.stdout.contains("│ prices  ┆ Price events   ┆ price-events ┆ prices "), "{said:?}");
    let said = datasets(&repository(), &["list", "--datasets", "no-such-directory"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("no-such-directory"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_datasets_of_the_program_have_no_faults_and_their_samples_are_accepted() {
    let said = datasets(&std::env::temp_dir(), &["check"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    for line in [
        "bets: 2 tables, 1 view, ",
        "  data/gamerounds.csv: 10,000 rows accepted, 0 rejected\n",
        "  data/prices.ndjson: 200 rows accepted, 0 rejected\n",
        "passed   known_answers: ",
        "3 datasets, no faults\n",
    ] {
        assert!(said.stdout.contains(line), "{line}: {said:?}");
    }
}

/// Copies the files below a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            assert!(fs::copy(entry.path(), to).is_ok());
        }
    }
}

/// A directory with the dataset of payments, some of whose files are others.
fn payments(changes: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    copy(&repository().join("tests/datasets"), directory.path());
    for (path, text) in changes {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_printed_with_its_file_and_line() {
    // Faults that files show by themselves.
    let directory = payments(&[
        ("queries/payments/endpoints/one.sql", "-- A\n-- cash: 1s\nSELECT 1"),
        ("queries/payments/endpoints/two.sql", "SELECT 1"),
        ("queries/payments/checks/three.sql", "-- A\n-- expect: nothing\nSELECT 1"),
        ("schemas/other.avsc", "{"),
        ("queries/other/dataset.toml", "title = \"x\"\ntopic = \"x\"\n"),
    ]);
    let said = datasets(directory.path(), &["check", "."]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for text in [
        "./schemas/other.avsc:1: not an Avro schema",
        "./queries/payments/endpoints/one.sql:2: unknown directive cash",
        "./queries/payments/endpoints/two.sql:1: the file does not say what it returns",
        "./queries/payments/checks/three.sql:2: expect is no rows, or rows",
    ] {
        assert!(said.stderr.contains(text), "{text}: {said:?}");
    }
    assert_eq!(said.stderr.lines().count(), 4, "{said:?}");

    // Faults that only ClickHouse finds.
    let directory = payments(&[
        ("queries/payments/endpoints/one.sql", "-- A\nSELECT no_such\nFROM payments"),
        ("queries/payments/checks/three.sql", "-- A\n\nSELECT count()\nFROM no_such_table"),
        (
            "queries/payments/tables/2_sums.sql",
            "CREATE TABLE IF NOT EXISTS sums\n(\n    payer String,\n    amount Decimal(38, 4)\n)\nENGINE = MergeTree\nORDER BY payer\nSETTINGS non_replicated_deduplication_window = 1000\n",
        ),
        (
            "queries/payments/tables/3_sums_view.sql",
            "CREATE MATERIALIZED VIEW IF NOT EXISTS sums_view TO sums AS\nSELECT payer, sum(amount) AS amount\nFROM payments\nGROUP BY payer\n",
        ),
    ]);
    let said = datasets(directory.path(), &["check", "."]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    for text in [
        "./queries/payments/endpoints/one.sql:2: ClickHouse refuses the statement",
        "./queries/payments/checks/three.sql:3: ClickHouse refuses the statement",
        "./queries/payments/tables/2_sums.sql:6: the table sums of the view sums_view has the engine MergeTree",
    ] {
        assert!(said.stderr.contains(text), "{text}: {said:?}");
    }

    // Faults that only rows show.
    let directory = payments(&[
        (
            "data/payments.csv",
            "merchant,payment_id,paid_at,due_on,method,payer,amount,refunded\nm,1,2026-01-01 00:00:00,2026-01-01,card,a,1.5,\nm,2,x,2026-01-01,card,a,1,\n",
        ),
        (
            "queries/payments/checks/none.sql",
            "-- No payments\n-- expect: no rows\nSELECT payment_id FROM payments",
        ),
    ]);
    let said = datasets(directory.path(), &["check", "."]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("payments.csv: 1 row accepted, 1 rejected\n"), "{said:?}");
    assert!(
        said.stdout.contains("failed   none: No payments; expected: no rows, found: 1 row\n"),
        "{said:?}"
    );
    assert!(said.stderr.contains("./data/payments.csv:3: paid_at: not a time"), "{said:?}");
    assert!(said.stderr.contains("1 check of payments failed with its sample"), "{said:?}");
}

/// A file from which a dataset is guessed.
struct File {
    dataset: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    rows: u64,
    /// A column and its type, as `GET /datasets/NAME` shows them.
    columns: &'static [(&'static str, &'static str)],
    key: &'static [&'static str],
}

fn repeated(header: &str, rows: u64, row: impl Fn(u64) -> String) -> Vec<u8> {
    (0..rows).fold(format!("{header}\n"), |file, at| file + &row(at) + "\n").into_bytes()
}

/// UTF-16 with a byte order mark.
fn utf_16(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap();
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// Files of different shapes.
fn files() -> Vec<File> {
    let semicolons = repeated("payment_id;betrag;bezahlt_am;art", 40, |at| {
        format!(
            "{at};1.{:03},{:02};2024-01-0{} 08:00:00;{}",
            at,
            at % 100,
            1 + at % 9,
            ["card", "cash"][at as usize % 2]
        )
    });
    let tabs = repeated("id\tname\tscore", 30, |at| format!("{at}\tñandú {at}\t{}", at as f64 * 0.5));
    let quotes = repeated("note_id,note,author", 20, |at| {
        format!("{at},\"He said \"\"{at}\"\",\nthen\tleft\",O'Hara; \"x\"")
    });
    let nested = (0..30).fold(String::new(), |file, at| {
        let empty = if at % 3 == 0 { "" } else { r#", "note": "a\nb" "# };
        file + &format!(
            r#"{{"id": {at}, "sentAt": {}, "data": {{"price": {at}.25, "Side": "buy", "deep": {{"a/b": null}}}}{empty}}}"#,
            1_572_000_000_000_u64 + at
        ) + "\n"
    });
    let array = serde_json::to_vec_pretty(
        &(0..10).map(|at| serde_json::json!({ "order_no": at, "total": "12.50", "paid": at % 2 == 0, "tags": [1] })).collect::<Vec<_>>(),
    )
    .unwrap();
    let odd =
        repeated("From,select,Größe (m²),Groesse,line,upload_id,\"a, b\",Limit,hour,rows", 20, |at| {
            format!("2024-01-01,x{at},{at},{at}.5,{at},u,1,2,3,{at}.25")
        });
    let zones = repeated("event_id,at,day,fine", 20, |at| {
        format!(
            "{at},2024-03-0{}T08:00:00.5+02:00,2024/03/01,2024-03-01 00:00:00.00000{}Z",
            1 + at % 9,
            at % 10
        )
    });
    let one = repeated("word", 20, |at| format!("w{at}"));
    let huge = repeated("a_id,big,negative,exact,ratio,zip", 20, |at| {
        format!("{at},{}{at},-{at},123456789012345678901234567.{at},{at}e300,00{at}", "9".repeat(30))
    });
    let nulls = repeated("k,nothing,maybe,flag,guid", 20, |at| {
        let maybe = if at % 2 == 0 { String::new() } else { at.to_string() };
        format!("k{at},,{maybe},{},8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21", at % 2 == 0)
    });
    let file = |dataset, name, bytes, rows, columns, key| File { dataset, name, bytes, rows, columns, key };
    vec![
        file(
            "semicolons",
            "Zahlungen 1.csv",
            semicolons,
            40,
            &[
                ("betrag", "Decimal(18, 2)"),
                ("bezahlt_am", "DateTime64(3, 'UTC')"),
                ("art", "LowCardinality(String)"),
            ],
            &["payment_id"],
        ),
        file(
            "tabs",
            "tabs.txt",
            utf_16(&tabs),
            30,
            &[("id", "UInt64"), ("name", "String"), ("score", "Decimal(18, 1)")],
            &["id"],
        ),
        file("quotes", "quotes.csv", quotes, 20, &[("note", "String"), ("author", "String")], &["note_id"]),
        file(
            "nested",
            "nested.ndjson",
            nested.into_bytes(),
            30,
            &[
                ("sent_at", "DateTime64(3, 'UTC')"),
                ("data_price", "Decimal(18, 2)"),
                ("data_deep_a_b", "Nullable(String)"),
                ("note", "Nullable(String)"),
            ],
            &["id"],
        ),
        file(
            "arrays",
            "array.json",
            array,
            10,
            &[("total", "Decimal(18, 2)"), ("paid", "Bool")],
            &["order_no"],
        ),
        file(
            "odd",
            "odd.csv",
            odd,
            20,
            &[
                ("from", "Date32"),
                ("select", "String"),
                ("groesse_m", "UInt64"),
                ("line", "UInt64"),
                ("a_b", "UInt64"),
                ("rows", "Decimal(18, 2)"),
            ],
            &[],
        ),
        file(
            "zones",
            "zones.csv",
            zones,
            20,
            &[("at", "DateTime64(3, 'UTC')"), ("day", "Date32"), ("fine", "DateTime64(6, 'UTC')")],
            &["event_id"],
        ),
        file("one_column", "one.csv", one, 20, &[("word", "String")], &[]),
        file(
            "huge",
            "huge.csv",
            huge,
            20,
            &[
                ("big", "Decimal(38, 0)"),
                ("negative", "Int64"),
                ("exact", "Decimal(38, 2)"),
                ("ratio", "Float64"),
                ("zip", "String"),
            ],
            &["a_id"],
        ),
        file(
            "nulls",
            "nulls.csv",
            nulls,
            20,
            &[
                ("nothing", "Nullable(String)"),
                ("maybe", "Nullable(UInt64)"),
                ("flag", "Bool"),
                ("guid", "UUID"),
            ],
            &[],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_was_guessed_from_a_file_accepts_all_its_rows_and_answers() {
    let directory = TempDir::new().unwrap();
    let files = files();
    for file in &files {
        fs::write(directory.path().join(file.name), &file.bytes).unwrap();
        let said =
            datasets(directory.path(), &["new", file.dataset, "--from", file.name, "--into", "mine"]).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
        assert!(!said.stdout.contains("would be rejected"), "{said:?}");
        let serve = format!("  roundhouse serve --datasets mine --dataset {}\n", file.dataset);
        assert!(said.stdout.contains(&serve), "{said:?}");
    }
    let said = datasets(directory.path(), &["check", "mine"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.stdout.ends_with("10 datasets, no faults\n"), "{said:?}");
    assert!(!said.stdout.contains(" 0 rows accepted"), "{said:?}");

    let mine = directory.path().join("mine").display().to_string();
    let options = files.iter().flat_map(|file| ["--dataset", file.dataset]);
    let server = Server::start(&options.chain(["--datasets", &mine]).collect::<Vec<_>>()).await;
    for file in files {
        let mark = if file.dataset == "semicolons" { "&decimal=comma" } else { "" };
        let path = format!("/datasets/{}/rows?wait=visible{mark}", file.dataset);
        let receipt = server.send(|http| http.post(server.url(&path)).body(file.bytes)).await.ok();
        assert_eq!(
            (receipt["accepted"].as_u64(), receipt["rejected"].as_u64()),
            (Some(file.rows), Some(0)),
            "{}: {receipt:#}",
            file.dataset
        );
        let shown = server.get(&format!("/datasets/{}", file.dataset)).await.ok();
        let kind = |name: &str| {
            let mut columns = shown["columns"].as_array().unwrap().iter();
            columns.find(|column| column["name"] == name).map(|column| column["type"].clone())
        };
        for (name, expected) in file.columns {
            assert_eq!(
                kind(name),
                Some(Value::from(*expected)),
                "{} {name}: {:#}",
                file.dataset,
                shown["columns"]
            );
        }
        assert_eq!(shown["key"], Value::from(file.key.to_vec()), "{}", file.dataset);
        let listed = server.get(&format!("/datasets/{}/list?limit=1000", file.dataset)).await.ok();
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(file.rows as usize), "{}", file.dataset);
        for (endpoint, titles) in
            shown["endpoints"].as_array().unwrap().iter().map(|one| (&one["name"], &one["title"]))
        {
            let name = endpoint.as_str().unwrap();
            assert!(titles.is_string());
            let rows = server.get(&format!("/datasets/{}/{name}", file.dataset)).await.ok();
            let first = rows["items"][0].clone();
            assert!(first.is_object(), "{} {name}: {rows:#}", file.dataset);
            if name.starts_with("by_") {
                let counted: u64 = rows["items"].as_array().unwrap().iter().map(count).sum();
                assert_eq!(counted, file.rows, "{} {name}: {rows:#}", file.dataset);
            }
        }
        for check in shown["checks"].as_array().unwrap() {
            let answer = server.get(check["path"].as_str().unwrap()).await.ok();
            assert_ne!(answer["check"]["passed"], false, "{answer:#}");
        }
    }
    let amount = server.get("/datasets/semicolons/list?payment_id=7").await.ok();
    assert_eq!(amount["items"][0]["betrag"], "1007.07", "{amount:#}");
    let note = server.get("/datasets/quotes/list?note_id=3").await.ok();
    assert_eq!(note["items"][0]["note"], "He said \"3\",\nthen\tleft", "{note:#}");
}

/// The number of rows that an aggregate counts.
fn count(item: &Value) -> u64 {
    // A column of the file may have the name.
    let name = if item.get("rows_2").is_some() { "rows_2" } else { "rows" };
    item[name].as_u64().unwrap_or_else(|| panic!("{item:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_guessed_from_an_empty_file_and_no_file_is_overwritten() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("empty.csv", "");
    write("some.csv", "id,name\n1,a\n2,b\n");
    let new = async |arguments: &[&str]| datasets(directory.path(), &[&["new"], arguments].concat()).await;
    for (arguments, code, message) in [
        (
            &["things", "--from", "empty.csv"][..],
            1,
            "empty.csv: the file is empty; give a file with some rows",
        ),
        (&["things", "--from", "no.csv"], 1, "cannot read no.csv"),
        (&["prices", "--from", "some.csv"], 2, "the name prices belongs to the program"),
        (&["Things", "--from", "some.csv"], 2, "the name \"Things\" of a dataset must have"),
    ] {
        let said = new(arguments).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{said:?}");
        assert!(said.stderr.contains(message) && said.stderr.lines().count() == 1, "{said:?}");
    }
    let into: PathBuf = directory.path().join("datasets");
    assert!(!into.exists());
    assert_eq!(new(&["things", "--from", "some.csv"]).await.code, Some(0));
    fs::write(into.join("schemas/things.avsc"), "mine").unwrap();
    let said = new(&["things", "--from", "some.csv"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("exists already, and is not overwritten; choose another name"), "{said:?}");
    assert_eq!(fs::read_to_string(into.join("schemas/things.avsc")).unwrap(), "mine");
}
