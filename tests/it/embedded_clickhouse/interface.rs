//! Queries and their answers.

use std::io::{Read, Write};

use reqwest::{Method, StatusCode};

use super::{ClickHouse, read};

#[tokio::test]
async fn paths_and_methods_answer_as_a_server_does() {
    let clickhouse = ClickHouse::start();
    for path in ["ping", "replicas_status", ""] {
        let url = format!("{}/{path}", clickhouse.part.url());
        let reply = read(clickhouse.http.get(url)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "Ok.\n"), "/{path}");
    }
    let reply = read(clickhouse.http.get(format!("{}/nowhere", clickhouse.part.url()))).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(reply.text().starts_with("There is no handle"));

    let reply = clickhouse.get(&[("query", "SELECT 1 AS x, 'ü' AS y"), ("query_id", "mine")]).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "1\tü\n"));
    assert_eq!(reply.header("content-type"), "text/tab-separated-values; charset=UTF-8");
    assert_eq!(reply.header("x-clickhouse-query-id"), "mine");
    assert_eq!(reply.header("x-clickhouse-format"), "TabSeparated");
    assert!(!reply.header("x-clickhouse-timezone").is_empty());
    assert!(!reply.header("x-clickhouse-server-display-name").is_empty());
    let summary: serde_json::Value = serde_json::from_str(reply.header("x-clickhouse-summary")).unwrap();
    assert_eq!((&summary["read_rows"], &summary["result_rows"]), (&"1".into(), &"1".into()));
    let tag = reply.header("x-clickhouse-exception-tag");
    assert!(tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_lowercase()), "{tag}");

    let reply = read(clickhouse.request(Method::HEAD, &[("query", "SELECT 1")])).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, ""));
    assert_eq!(clickhouse.sql("-- a comment\n SELECT version() LIKE '26.7.%';\n").await, "1");
}

#[tokio::test]
async fn the_format_comes_from_the_query_or_otherwise_from_the_request() {
    let clickhouse = ClickHouse::start();
    let reply = clickhouse.post(&[("default_format", "JSONEachRow")], "SELECT 1 AS a").await;
    assert_eq!((reply.text(), reply.header("x-clickhouse-format")), ("{\"a\":1}\n", "JSONEachRow"));
    assert_eq!(reply.header("content-type"), "application/x-ndjson; charset=UTF-8");

    let request =
        clickhouse.request(Method::POST, &[]).header("X-ClickHouse-Format", "CSV").body("SELECT 1, 'a'");
    assert_eq!(read(request).await.text(), "1,\"a\"\n");

    let reply = clickhouse.post(&[("default_format", "CSV")], "SELECT 1 AS a FORMAT JSONCompact").await;
    assert_eq!(reply.header("content-type"), "application/json; charset=UTF-8");
    let json: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
    assert_eq!(json["data"], serde_json::json!([[1]]));

    let reply = clickhouse.post(&[("default_format", "CSVWithNames")], "SHOW DATABASES LIKE 'defau%'").await;
    assert_eq!(reply.text(), "\"name\"\n\"default\"\n");
}

#[tokio::test]
async fn errors_have_the_server_s_code_status_and_text() {
    let clickhouse = ClickHouse::start();
    type Case = (&'static [(&'static str, &'static str)], &'static str, u32, u16, &'static str);
    let cases: [Case; 13] = [
        (&[], "SELECT * FROM nowhere", 60, 404, "(UNKNOWN_TABLE)"),
        (&[], "selec 1", 62, 400, "(SYNTAX_ERROR)"),
        (&[], "SELECT 1; SELECT 2", 62, 400, "Multi-statements are not allowed"),
        (&[], "", 62, 400, "Empty query"),
        (&[], "exit", 62, 400, "(SYNTAX_ERROR)"),
        (&[], "SELECT * FROM nowhere -- { serverError UNKNOWN_TABLE }", 60, 404, "(UNKNOWN_TABLE)"),
        (&[("no_such_setting", "1")], "SELECT 1", 115, 404, "no_such_setting"),
        (&[("bad'; name", "1")], "SELECT 1", 115, 404, "(UNKNOWN_SETTING)"),
        (&[("max_threads", "many")], "SELECT 1", 27, 400, "many"),
        (&[("database", "no`such")], "SELECT 1", 81, 404, "no\\`such"),
        (&[("user", "somebody")], "SELECT 1", 516, 403, "somebody"),
        (&[("password", "secret")], "SELECT 1", 516, 403, "AUTHENTICATION_FAILED"),
        (&[("compress", "perhaps")], "SELECT 1", 6, 400, "compress"),
    ];
    for (parameters, body, code, status, part) in cases {
        let reply = clickhouse.post(parameters, body).await;
        let text = reply.exception(code, status);
        assert!(text.contains(part) && text.contains("(version 26.7."), "{body}: {text}");
    }
    let request = clickhouse.request(Method::POST, &[]).header("Content-Encoding", "br").body("x");
    read(request).await.exception(48, 501);
    let request = clickhouse.request(Method::POST, &[]).basic_auth("default", Some("wrong")).body("SELECT 1");
    read(request).await.exception(516, 403);
    let request = clickhouse.request(Method::POST, &[]).basic_auth("default", Some("")).body("SELECT 1");
    assert_eq!(read(request).await.text(), "1\n");
}

#[tokio::test]
async fn a_get_cannot_change_anything() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a").await;
    for query in [
        "DROP TABLE t",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t VALUES (1)",
        "SET readonly = 0",
        "SYSTEM STOP MERGES t",
        "/* one */ system stop merges",
        "KILL QUERY WHERE 1",
    ] {
        clickhouse.get(&[("query", query)]).await.exception(164, 500);
        clickhouse.get(&[("query", query), ("session_id", "s"), ("readonly", "0")]).await.exception(164, 500);
    }
    let count = ("query", "SELECT count() FROM t");
    assert_eq!(clickhouse.get(&[count, ("max_threads", "1")]).await.text(), "0\n");
    // These methods have the level 2, as on a server. No request can change it.
    assert_eq!(clickhouse.get(&[count, ("readonly", "2")]).await.text(), "0\n");
    for level in ["0", "1", "", "3", "-1", "false"] {
        for method in [Method::GET, Method::HEAD] {
            let lifted = [("query", "DROP TABLE t"), ("readonly", "2"), ("readonly", level)];
            let reply = read(clickhouse.request(method, &lifted)).await;
            assert_eq!(reply.header("x-clickhouse-exception-code"), "164", "readonly={level}");
            assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "readonly={level}");
        }
    }
    let set_in_text = "SELECT count() FROM t SETTINGS readonly = 0";
    clickhouse.get(&[("query", set_in_text)]).await.exception(164, 500);
    clickhouse.post(&[("readonly", "1")], "DROP TABLE t").await.exception(164, 500);
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
}

#[tokio::test]
async fn the_data_of_an_insert_comes_from_the_query_the_body_or_both() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64, b String DEFAULT 'none') ENGINE = MergeTree ORDER BY a").await;
    clickhouse.sql("INSERT INTO t VALUES (1, 'one'), (2, 'it''s')").await;
    clickhouse.post(&[("query", "INSERT INTO t (a) FORMAT CSV")], "3\n4\n").await;
    clickhouse.post(&[("query", "INSERT INTO t VALUES")], "(5, 'five')").await;
    clickhouse
        .post(&[], "INSERT INTO t FORMAT JSONEachRow {\"a\": 6} {\"a\": 7, \"b\": \"; DROP TABLE t\"}")
        .await;
    clickhouse.post(&[("query", "INSERT INTO t")], "SETTINGS max_threads = 1 FORMAT TSV\n8\teight\n").await;
    clickhouse.sql("INSERT INTO t SELECT 9, 'nine'").await;
    clickhouse.sql("INSERT INTO t WITH 10 AS n SELECT n, 'ten'").await;
    let body = [8_u64.to_le_bytes().as_slice(), b"\x01\n", &11_u64.to_le_bytes(), b"\x00"].concat();
    let reply = clickhouse.post(&[("query", "INSERT INTO t FORMAT RowBinary")], body).await;
    let summary: serde_json::Value = serde_json::from_str(reply.header("x-clickhouse-summary")).unwrap();
    assert_eq!((reply.status, &summary["written_rows"]), (StatusCode::OK, &"2".into()));
    assert_eq!(
        clickhouse.sql("SELECT a, b FROM t ORDER BY a, b DESC").await,
        "1\tone\n2\tit\\'s\n3\tnone\n4\tnone\n5\tfive\n6\tnone\n7\t; DROP TABLE t\n8\teight\n8\t\\n\n9\tnine\n10\tten\n11\t"
    );
    let reply = clickhouse.post(&[("query", "INSERT INTO t FORMAT CSV")], "12,ok\nnot a number,x\n").await;
    assert!(reply.exception(27, 400).contains("at row 2"), "{}", reply.text());
    clickhouse
        .post(&[], "INSERT INTO t SELECT a, 'x' FROM input('a UInt64') FORMAT CSV\n12\n")
        .await
        .exception(48, 501);
    clickhouse.post(&[], "INSERT INTO nowhere FORMAT CSV\n1").await.exception(60, 404);
    assert_eq!(clickhouse.sql("SELECT count() FROM t WHERE a = 12").await, "0");

    let parameters = [("param_a", "13"), ("param_table", "t")];
    let reply = clickhouse.post(
        &parameters,
        "INSERT INTO {table:Identifier} VALUES (1 + 12, concat('a', 'b')), ({a:UInt64}, 'p')",
    );
    assert_eq!(reply.await.status, StatusCode::OK);
    assert_eq!(clickhouse.sql("SELECT b FROM t WHERE a = 13 ORDER BY b").await, "ab\np");
}

#[tokio::test]
async fn parameters_are_read_from_the_url_or_a_form() {
    let clickhouse = ClickHouse::start();
    let query = "SELECT {text:String}, {n:UInt64} + 1, {list:Array(String)}, {none:Nullable(String)}";
    let parameters =
        [("param_text", "it's \\t"), ("param_n", "41"), ("param_list", "['a','b']"), ("param_none", "\\N")];
    let expected = "it\\'s \\t\t42\t['a','b']\t\\N\n";
    assert_eq!(clickhouse.post(&parameters, query).await.text(), expected);

    let mut form = reqwest::multipart::Form::new().text("query", query);
    for (name, value) in parameters {
        form = form.text(name, value);
    }
    assert_eq!(read(clickhouse.request(Method::POST, &[]).multipart(form)).await.text(), expected);

    clickhouse.post(&[], "SELECT {missing:String}").await.exception(456, 500);
    for name in ["a$$b", "$a", "_$$", "a$$"] {
        let parameter = format!("param_{name}");
        for query in
            ["SELECT {NAME:String} FORMAT CSV", "SELECT {NAME:String}, $$x$$, {NAME:String} FORMAT CSV"]
        {
            let reply = clickhouse.post(&[(&parameter, "v")], query.replace("NAME", name)).await;
            assert!(
                reply.text().starts_with("\"v\"") && reply.text().ends_with("\"v\"\n"),
                "{name}: {}",
                reply.text()
            );
        }
    }
    clickhouse.sql("CREATE TABLE t (a String) ENGINE = Memory").await;
    let table = [("param_t$$", "t"), ("param_a$$b", "$$v$$")];
    clickhouse.post(&table, "INSERT INTO {t$$:Identifier} FORMAT CSV\n$$x$$\n").await;
    clickhouse.post(&table, "INSERT INTO t VALUES ($$it's; FORMAT CSV$$), ({a$$b:String})").await;
    let query = "SELECT a AS a$$ FROM {t$$:Identifier} WHERE a$$ != $f$ FORMAT CSV; $$ $f$ ORDER BY a FORMAT JSONEachRow";
    let expected = "{\"a$$\":\"$$v$$\"}\n{\"a$$\":\"$$x$$\"}\n{\"a$$\":\"it's; FORMAT CSV\"}\n";
    assert_eq!(clickhouse.post(&table, query).await.text(), expected);
    assert_eq!(clickhouse.get(&[&table[..], &[("query", query)]].concat()).await.text(), expected);
    // The position in an error counts from the beginning of the client's text.
    let reply = clickhouse.post(&[("param_$$a", "v")], "SELECT {$$a:String} FORMAT CSV").await;
    assert!(reply.exception(62, 400).contains("failed at position 9 ($)"), "{}", reply.text());
}

#[tokio::test]
async fn files_of_a_form_are_tables_of_its_statement() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE names (id UInt64, name String) ENGINE = Memory").await;
    clickhouse.sql("INSERT INTO names VALUES (1, 'one'), (2, 'two')").await;
    let file = |data: &'static str| reqwest::multipart::Part::text(data).file_name("t.csv");
    let join = "SELECT name, amount FROM names JOIN bets USING id ORDER BY id FORMAT CSV";
    for session in ["", "tables"] {
        let form = reqwest::multipart::Form::new()
            .text("query", join)
            .text("bets_format", "CSV")
            .text("bets_structure", "id UInt64, amount Decimal(18, 2)")
            .part("bets", file("2,0.50\n1,12.25\n"));
        let reply = read(clickhouse.request(Method::POST, &[("session_id", session)]).multipart(form)).await;
        assert_eq!(reply.text(), "\"one\",12.25\n\"two\",0.5\n");
        clickhouse.post(&[("session_id", session)], "SELECT * FROM bets").await.exception(60, 404);
    }
    // Two files, described in the URL by types only, at a level that forbids changes.
    let parameters = [
        ("query", "SELECT sum(_1), any(a._2), any(b._1) FROM a, b"),
        ("a_types", "UInt8,Tuple(UInt8, String)"),
        ("b_types", "String"),
        ("readonly", "2"),
        ("max_threads", "1"),
    ];
    let form = reqwest::multipart::Form::new().part("a", file("1\t(1,'x')\n")).part("b", file("b\n"));
    let reply = read(clickhouse.request(Method::POST, &parameters).multipart(form)).await;
    assert_eq!(reply.text(), "1\t(1,'x')\tb\n");

    let cases = [
        ("", "", 36, "b_structure or b_types"),
        ("b_types", "UInt8) ENGINE = Memory; DROP TABLE names; --", 62, "structure"),
        ("b_structure", "a UInt8) AS SELECT count() AS a FROM names --", 62, "structure"),
        ("b_structure", "a UInt8 DEFAULT (SELECT count() FROM names)", 62, "structure"),
        ("b_types", "UInt8, INDEX i _1 TYPE minmax", 62, "structure"),
        ("b_types", "UInt8", 117, "CSV"),
        ("b_structure", "a Nonsense", 50, "Nonsense"),
    ];
    for (name, value, code, part) in cases {
        let form = reqwest::multipart::Form::new().text("b_format", "CSV").part("b", file("x\n"));
        let form = if name.is_empty() { form } else { form.text(name, value) };
        let reply = read(clickhouse.request(Method::POST, &[("query", "SELECT 1")]).multipart(form)).await;
        assert_eq!(reply.header("x-clickhouse-exception-code"), code.to_string(), "{}", reply.text());
        assert!(reply.text().contains(part), "{}", reply.text());
    }
    assert_eq!(clickhouse.sql("SELECT count() FROM names").await, "2");

    // A session keeps a temporary table of its own that has the name of a file.
    let session = [("session_id", "own")];
    clickhouse.post(&session, "CREATE TEMPORARY TABLE own AS SELECT 7 AS a").await;
    let form = reqwest::multipart::Form::new().text("own_types", "UInt8").part("own", file("1\n"));
    let of_own = [("session_id", "own"), ("query", "SELECT * FROM own")];
    read(clickhouse.request(Method::POST, &of_own).multipart(form)).await.exception(57, 500);
    assert_eq!(clickhouse.post(&session, "SELECT a FROM own").await.text(), "7\n");
}

#[tokio::test]
async fn a_statement_without_a_result_has_no_format() {
    let clickhouse = ClickHouse::start();
    for statement in [
        "SET max_threads = 1",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ADD COLUMN b UInt8",
        "USE default",
        "DROP TABLE t",
    ] {
        let reply = clickhouse.post(&[("default_format", "JSON")], statement).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, ""), "{statement}");
        assert_eq!(reply.header("x-clickhouse-format"), "", "{statement}");
        assert_eq!(reply.header("content-type"), "text/plain; charset=UTF-8", "{statement}");
    }
    for statement in ["SHOW TABLES", "KILL QUERY WHERE 0", "EXISTS TABLE t", "DESCRIBE system.one"] {
        let reply = clickhouse.post(&[("default_format", "CSV")], statement).await;
        assert_eq!(reply.header("x-clickhouse-format"), "CSV", "{statement}");
    }
}

/// Decompresses ClickHouse's blocks.
fn unblock(mut blocks: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some((head, rest)) = blocks.split_at_checked(25) {
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (compressed, next) = rest.split_at(number(17) - 9);
        data.extend(lz4_flex::block::decompress(compressed, number(21)).unwrap());
        blocks = next;
    }
    data
}

#[tokio::test]
async fn an_error_is_compressed_as_the_answer_would_be() {
    let clickhouse = ClickHouse::start();
    for query in ["SELECT * FROM nowhere", "SELECT throwIf(number = 5) FROM numbers(10)", "nonsense"] {
        let reply = clickhouse.post(&[("compress", "1")], query).await;
        let text = String::from_utf8(unblock(&reply.body)).unwrap();
        let code = reply.header("x-clickhouse-exception-code");
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")) && text.ends_with(")\n"),
            "{text}"
        );
    }
    let request = clickhouse
        .request(Method::POST, &[("enable_http_compression", "1")])
        .header("Accept-Encoding", "gzip")
        .body("SELECT * FROM nowhere");
    let reply = read(request).await;
    assert_eq!((reply.status, reply.header("content-encoding")), (StatusCode::NOT_FOUND, "gzip"));
    assert!(decode("gzip", &reply.body).starts_with(b"Code: 60. DB::Exception: "));
    // The error of a request that is refused is not compressed.
    clickhouse.post(&[("compress", "1"), ("user", "somebody")], "SELECT 1").await.exception(516, 403);
}

#[tokio::test]
async fn the_definition_of_a_system_table_is_shown() {
    let clickhouse = ClickHouse::start();
    for statement in ["SHOW CREATE TABLE system.one", "SHOW CREATE `system`.one"] {
        let definition = clickhouse.sql(&format!("{statement} FORMAT TSVRaw")).await;
        assert!(
            definition.starts_with("CREATE TABLE system.one\n(\n    `dummy` UInt8")
                && definition.contains("\n)\nENGINE = SystemOne"),
            "{definition}"
        );
    }
    let reply =
        clickhouse.get(&[("query", "SHOW CREATE TABLE system.processes"), ("default_format", "JSON")]).await;
    let json: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
    assert!(json["data"][0]["statement"].as_str().unwrap().contains("`query_id` String"));
    clickhouse.post(&[], "SHOW CREATE TABLE system.nowhere").await.exception(60, 404);
}

fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(data, 1).unwrap(),
        "lz4" => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

fn decode(coding: &str, data: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(data).read_to_end(&mut decoded).unwrap(),
        "zstd" => zstd::Decoder::new(data).unwrap().read_to_end(&mut decoded).unwrap(),
        "lz4" => lz4_flex::frame::FrameDecoder::new(data).read_to_end(&mut decoded).unwrap(),
        other => panic!("{other}"),
    };
    decoded
}

#[tokio::test]
async fn every_content_coding_works_for_requests_and_answers() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let data: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    for coding in ["gzip", "zstd", "lz4"] {
        clickhouse.sql("TRUNCATE TABLE t").await;
        let request = clickhouse
            .request(Method::POST, &[("query", "INSERT INTO t FORMAT TSV")])
            .header("Content-Encoding", coding)
            .body(encode(coding, data.as_bytes()));
        assert_eq!(read(request).await.status, StatusCode::OK);

        for (enabled, expected) in [("1", coding), ("0", "")] {
            let request = clickhouse
                .request(Method::POST, &[("enable_http_compression", enabled)])
                .header("Accept-Encoding", coding)
                .body("SELECT a FROM t ORDER BY a");
            let reply = read(request).await;
            assert_eq!(reply.header("content-encoding"), expected);
            let body = if expected.is_empty() { reply.body } else { decode(coding, &reply.body) };
            assert!(body == data.as_bytes(), "{coding}, enabled: {enabled}");
        }

        let cut = encode(coding, data.as_bytes());
        let request = clickhouse
            .request(Method::POST, &[("query", "INSERT INTO t FORMAT TSV")])
            .header("Content-Encoding", coding)
            .body(cut[..cut.len() / 2].to_vec());
        assert!(!read(request).await.status.is_success(), "half of a {coding} body");
        assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "100000");
    }
}

#[tokio::test]
async fn large_results_are_complete_and_a_late_error_ends_them() {
    let clickhouse = ClickHouse::start();
    let reply = clickhouse.post(&[], "SELECT number FROM numbers(3000000) FORMAT RowBinary").await;
    assert!(!reply.broken);
    assert_eq!(reply.body.len(), 24_000_000);
    assert_eq!(reply.body[reply.body.len() - 8..], 2_999_999_u64.to_le_bytes());

    let late = "SELECT number, throwIf(number = 2000000, 'too late') FROM numbers(3000000)";
    let reply = clickhouse.post(&[], late).await;
    assert_eq!((reply.status, reply.broken), (StatusCode::OK, true));
    let tag = reply.header("x-clickhouse-exception-tag");
    let (data, exception) =
        reply.text().split_once(&format!("\r\n__exception__\r\n{tag}\r\n")).expect("the mark");
    assert!(data.ends_with('\n'));
    let end = format!(" {tag}\r\n__exception__\r\n");
    let (message, length) =
        exception.strip_suffix(&end).and_then(|text| text.rsplit_once('\n')).expect("the end");
    assert!(message.starts_with("Code: 395. DB::Exception: too late"), "{message}");
    assert_eq!(length.parse(), Ok(message.len() + 1));

    let reply = clickhouse.post(&[("wait_end_of_query", "1")], late).await;
    assert!(reply.exception(395, 500).contains("too late"));
    let reply = clickhouse
        .post(&[("wait_end_of_query", "1")], "SELECT number FROM numbers(3000000) FORMAT RowBinary")
        .await;
    assert_eq!((reply.status, reply.body.len(), reply.broken), (StatusCode::OK, 24_000_000, false));
}

#[tokio::test]
async fn statements_cannot_read_files_of_the_machine() {
    let clickhouse = ClickHouse::start();
    let secret = clickhouse.path().join("secret.csv");
    std::fs::write(&secret, "secret\n").unwrap();
    let path = secret.display().to_string();
    for query in [
        format!("SELECT * FROM file('{path}', 'LineAsString')"),
        format!("SELECT * FROM url('file://{path}', 'LineAsString')"),
        format!("SELECT * FROM `{path}`"),
        format!("INSERT INTO FUNCTION file('{path}.new') SELECT 1"),
        format!("SELECT 1 INTO OUTFILE '{path}.new'"),
        format!("CREATE TABLE f (a String) ENGINE = File(CSV, '{path}')"),
        format!("SELECT * FROM sqlite('{path}', 't')"),
        "CREATE TABLE i (a String) ENGINE = Memory".to_owned(),
        format!("INSERT INTO i FROM INFILE '{path}' FORMAT CSV"),
        format!("BACKUP TABLE i TO File('{path}.new')"),
    ] {
        let reply = clickhouse.post(&[], query.clone()).await;
        assert_eq!(
            reply.status == StatusCode::OK,
            query.starts_with("CREATE TABLE i"),
            "{query}: {}",
            reply.text()
        );
        assert!(!reply.text().contains("secret\n"), "{query}");
    }
    assert!(!clickhouse.path().join("secret.csv.new").exists());
}
