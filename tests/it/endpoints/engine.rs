//! Endpoints on the engine, without a server: values arrive as they were sent, and pages are complete.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse::dataset::endpoint::Endpoint;
use roundhouse::dataset::files::SqlFile;
use roundhouse::endpoints::arguments::{Arguments, Given};
use roundhouse::endpoints::{EndpointError, Prepared, cursor, prepare, rows, table};
use roundhouse::warehouse::client::Warehouse;
use roundhouse::warehouse::format::TableFormat;
use roundhouse::warehouse::limited::QueryLimits;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::harness::part::Part;

const LIMITS: QueryLimits = QueryLimits { timeout: Duration::from_secs(60), rows: 10_000_000 };

/// A running embedded ClickHouse.
struct Engine {
    warehouse: Warehouse,
    _part: Part,
    _directory: TempDir,
}

impl Engine {
    fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let part = Part::start("clickhouse", directory.path(), &[]);
        let url = part.url().parse().expect("a URL");
        let warehouse =
            Warehouse::new(&url, None, None, "default", Duration::from_secs(60)).expect("a client");
        Self { warehouse, _part: part, _directory: directory }
    }

    async fn run(&self, sql: &str) {
        self.warehouse.query(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn prepare(&self, text: &str) -> Result<Prepared, String> {
        let file = SqlFile { path: "rows.sql".to_owned(), name: "them".to_owned(), text: text.to_owned() };
        let endpoint = Endpoint::parse(&file).map_err(|fault| fault.to_string())?;
        prepare(&self.warehouse, "things", None, endpoint, LIMITS).await.map_err(|error| error.to_string())
    }

    async fn prepared(&self, text: &str) -> Prepared {
        self.prepare(text).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn items(&self, prepared: &Prepared, given: Value) -> Vec<Value> {
        let arguments = arguments(prepared, given);
        let found = rows(&self.warehouse, prepared, &arguments, None, LIMITS).await.expect("rows");
        found.items.iter().map(|item| serde_json::from_str(item).expect(item)).collect()
    }

    /// Reads page after page, as JSON or as CSV.
    async fn pages(&self, prepared: &Prepared, limit: u64, is_csv: bool) -> Vec<Vec<String>> {
        let arguments = arguments(prepared, json!({ "limit": limit }));
        let (mut pages, mut cursor): (Vec<Vec<String>>, Option<String>) = (Vec::new(), None);
        loop {
            let after = cursor.as_ref().map(|cursor| {
                cursor::decode(cursor, prepared, &arguments).expect("the cursor of the page before")
            });
            let (lines, next) = if is_csv {
                let format = (TableFormat::Csv, "");
                let found =
                    table(&self.warehouse, prepared, &arguments, after.as_ref(), format, LIMITS).await;
                let mut found = found.expect("a page");
                let mut text = Vec::new();
                while let Some(piece) = found.rows.next().await.expect("a piece") {
                    text.extend_from_slice(&piece);
                }
                let text = String::from_utf8(text).expect("text");
                (text.lines().skip(1).map(str::to_owned).collect(), found.next)
            } else {
                let found = rows(&self.warehouse, prepared, &arguments, after.as_ref(), LIMITS).await;
                let found = found.expect("a page");
                (found.items, found.next)
            };
            pages.push(lines);
            match next {
                Some(key) => cursor = Some(cursor::encode(&key, prepared, &arguments)),
                None => return pages,
            }
        }
    }
}

fn arguments(prepared: &Prepared, given: Value) -> Arguments {
    let given = given.as_object().expect("an object").clone();
    let given: BTreeMap<String, Given> =
        given.into_iter().map(|(name, value)| (name, Given::Json(value))).collect();
    Arguments::read(prepared, given, &[]).unwrap_or_else(|error| panic!("{error}"))
}

const ECHO: &str = "-- What was given
-- param s required A text
-- param l A list
-- param t Tuples
-- param n A number or nothing
-- param f required A short text
SELECT {s:String} AS s, {l:Array(String)} AS l, {t:Array(Tuple(a LowCardinality(String), b Nullable(Int64)))} AS t,
    {n:Nullable(Decimal(38, 8))} AS n, {f:FixedString(12)} AS f, length({s:String}) AS bytes, ? AS nothing
";

#[tokio::test(flavor = "multi_thread")]
async fn any_text_reaches_clickhouse_unchanged_wherever_it_is_in_a_value() {
    let engine = Engine::start();
    let echo = engine.prepared(&ECHO.replace(", ? AS nothing", ", 1 ? 'a?b' : 'c' AS question")).await;
    let text = prop_oneof![
        any::<String>(),
        prop::collection::vec(
            prop::sample::select(vec![
                "'",
                "\\",
                "\t",
                "\n",
                "\r",
                "\0",
                "\\N",
                "''",
                "{s:String}",
                "]",
                ")",
                "--",
                "\u{8}",
                "é",
                "?",
                "%27",
                "\\x41",
                "a"
            ]),
            0..8
        )
        .prop_map(|parts| parts.concat()),
    ];
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let handle = Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&(text.clone(), prop::collection::vec(text, 0..4), any::<Option<i64>>()), |(s, l, b)| {
            let short: String = s.chars().take_while({
                let mut bytes = 0;
                move |letter| {
                    bytes += letter.len_utf8();
                    bytes <= 12 && *letter != '\0'
                }
            }).collect();
            let given = json!({ "s": s, "l": l, "t": [[s, b], { "a": short, "b": null }], "n": "-0.1", "f": short });
            let items = handle.block_on(engine.items(&echo, given));
            let padded = format!("{short}{}", "\0".repeat(12 - short.len()));
            prop_assert_eq!(&items[0], &json!({
                "s": s, "l": l, "t": [{ "a": s, "b": b }, { "a": short, "b": null }], "n": "-0.1", "f": padded,
                "bytes": s.len(), "question": "a?b",
            }));
            Ok(())
        })
    });
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_overlap_nor_skip_and_keep_rows_with_equal_keys_together() {
    let engine = Engine::start();
    engine
        .run(
            "CREATE TABLE things ENGINE = MergeTree ORDER BY (name, at) AS
             SELECT unhex(hex(concat(toString(number % 7), if(number % 11 = 0, '\\'\\\\\\t', 'é')))) || if(number % 13 = 0, unhex('FF'), '') AS name,
                 toDateTime64('2026-10-25 00:00:00', 3, 'UTC') + toIntervalMillisecond(number * 300500 % 7200000) AS at,
                 toTimeZone(at, 'Europe/Malta') AS local, number AS id, toUInt128(number) * toUInt128('1000000000000000000000') AS big,
                 toDecimal128(number, 2) / 4 AS amount, toUUID(toString(generateUUIDv4())) AS uuid, toDate(at) + number % 3 AS day
             FROM numbers(500)",
        )
        .await;
    for order in [
        "id",
        "id desc",
        "name, id",
        "name desc, at, id desc",
        "local desc, id",
        "big desc",
        "amount, id",
        "uuid",
        "day, name desc, local, id",
        // These do not identify a row.
        "name",
        "day desc",
    ] {
        let endpoint = engine
            .prepared(&format!("-- Things\n-- page: {order}\nSELECT * FROM things WHERE id != 3"))
            .await;
        for (limit, is_csv) in [(7, false), (100, true), (499, false), (1000, true)] {
            let pages = engine.pages(&endpoint, limit, is_csv).await;
            let all: Vec<&String> = pages.iter().flatten().collect();
            let different: std::collections::BTreeSet<&&String> = all.iter().collect();
            assert_eq!((all.len(), different.len()), (499, 499), "{order} {limit}");
            let is_unique = order.contains("id") || order.starts_with("big");
            if is_unique {
                assert!(pages.iter().all(|page| page.len() as u64 <= limit), "{order} {limit}");
            }
        }
        let (json, whole) =
            (engine.pages(&endpoint, 7, false).await, engine.pages(&endpoint, 1000, false).await);
        if order.contains("id") || order.starts_with("big") {
            assert_eq!(json.concat(), whole.concat(), "{order}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_belongs_to_its_endpoint_and_its_parameters() {
    let engine = Engine::start();
    let text = "-- Numbers\n-- page: n\n-- param least default=0 The first one\n\
                SELECT number AS n FROM numbers(100) WHERE number >= {least:UInt64}";
    let prepared = engine.prepared(text).await;
    let asked = arguments(&prepared, json!({ "limit": 10 }));
    let found = rows(&engine.warehouse, &prepared, &asked, None, LIMITS).await.expect("rows");
    let cursor = cursor::encode(&found.next.expect("another page"), &prepared, &asked);
    let decode = |given: Value, cursor: &str| {
        cursor::decode(cursor, &prepared, &arguments(&prepared, given)).map_err(|error| error.to_string())
    };
    assert_eq!(decode(json!({ "limit": 5 }), &cursor), Ok(vec!["9".to_owned()]));
    assert!(decode(json!({ "least": 1 }), &cursor).unwrap_err().contains("belongs to other parameters"));
    for wrong in ["", "x", "AAAA", &cursor[..cursor.len() - 4], &format!("{cursor}AAAA")] {
        assert!(decode(json!({}), wrong).unwrap_err().starts_with("parameter cursor: "), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_exact_and_in_the_order_of_the_statement() {
    let engine = Engine::start();
    engine
        .run("CREATE TABLE parts (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS index_granularity = 64")
        .await;
    for part in 0..8 {
        engine.run(&format!("INSERT INTO parts SELECT number * 8 + {part} FROM numbers(20000)")).await;
    }
    let ordered = engine
        .prepared("-- Them\nSELECT n, toString(cityHash64(n)) AS hash FROM parts WHERE n < 40000 ORDER BY cityHash64(n) DESC")
        .await;
    let items = engine.items(&ordered, json!({})).await;
    let hashes: Vec<u64> = items.iter().map(|item| item["hash"].as_str().unwrap().parse().unwrap()).collect();
    assert!(hashes.len() == 40_000 && hashes.is_sorted_by(|one, other| one > other));

    let types = engine
        .prepared(
            "-- Types\nSELECT toUInt64(18446744073709551615) AS u, toUInt128('20722398914405051728') AS v, toDecimal128('0.10', 8) AS d,
                [toInt256(-1)] AS i, toDateTime64('2026-11-28 08:00:00.5', 3, 'Europe/Malta') AS t, CAST('a', 'Enum8(\\'a\\' = 1)') AS e,
                toUUID('01890a5d-ac96-774b-bcce-b302099a8057') AS id, unhex('61FF') AS bytes, nan AS f, true AS b, NULL AS none,
                tuple(1, 'x')::Tuple(n UInt8, s String) AS named, map('k', 'a/b') AS m, toDate('2026-11-28') AS day",
        )
        .await;
    let expected = json!({
        "u": u64::MAX, "v": "20722398914405051728", "d": "0.1", "i": ["-1"], "t": "2026-11-28T07:00:00.500Z", "e": "a",
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "bytes": "a\u{fffd}", "f": null, "b": true, "none": null,
        "named": { "n": 1, "s": "x" }, "m": { "k": "a/b" }, "day": "2026-11-28",
    });
    assert_eq!(engine.items(&types, json!({})).await, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clickhouse_refuses_is_a_fault_of_the_file() {
    let engine = Engine::start();
    for (text, message) in [
        ("-- A\n\nSELECT missing FROM numbers(1)", "rows.sql:3: ClickHouse refuses the statement: "),
        ("-- A\nSELECT a FROM no_such_table", "rows.sql:2: ClickHouse refuses the statement: "),
        ("-- A\nSELECT a b c", "rows.sql:2: ClickHouse refuses the statement: Syntax error"),
        (
            "-- A\n-- page: n\nSELECT * FROM numbers(1)",
            "rows.sql:2: the SELECT has no column n; use one of number",
        ),
        (
            "-- A\n-- page: n\nSELECT toNullable(number) AS n FROM numbers(1)",
            "the column n of page is Nullable",
        ),
        (
            "-- A\n-- plot: line x=number y=m\nSELECT * FROM numbers(1)",
            "rows.sql:2: the SELECT has no column m",
        ),
        ("-- A\nSELECT sumState(number) AS s FROM numbers(1)", "the column s has the type AggregateFunction"),
        ("-- A\n-- param x required X\nSELECT {x:String} + 1 AS s", "refuses the statement"),
    ] {
        let error = engine.prepare(text).await.unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
        assert!(!error.contains("__rows") && !error.contains('\n'), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_refused_and_one_that_writes_is_not_run() {
    let engine = Engine::start();
    let large = engine.prepared("-- A\nSELECT repeat('x', 1000) AS x FROM numbers(20000)").await;
    let asked = arguments(&large, json!({}));
    let error = rows(&engine.warehouse, &large, &asked, None, LIMITS).await.unwrap_err();
    assert!(matches!(error, EndpointError::TooLarge), "{error:?}");
    let few = QueryLimits { rows: 100, ..LIMITS };
    let error = rows(&engine.warehouse, &large, &asked, None, few).await.unwrap_err();
    assert!(error.to_string().contains("more than 100 rows"), "{error}");
}
