//! Each value is stored exactly, or rejected with its line, column, code and text.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{documented, utf_16};
use crate::harness::dead_letters;
use crate::harness::files::HEADER;
use crate::harness::process::until;
use crate::harness::server::Server;

/// A valid row; each case changes one of its fields.
const ROW: [&str; 10] =
    ["2019-10-22 08:20:41", "ID", "player", "7", "0.25", "0", "0.1", "NULL", "Book of Ra", "Novomatic"];

/// Indexes of columns in [`ROW`].
const TIME: usize = 0;
const ID: usize = 1;
const PLAYER: usize = 2;
const GAME: usize = 3;
const BET: usize = 4;
const NAME: usize = 8;

/// A column, the text of its field, and the stored value as ClickHouse shows it.
const STORED: &[(usize, &str, &str)] = &[
    (BET, "0.1", "0.1"),
    (BET, "0", "0"),
    (BET, "-0", "0"),
    (BET, "-0.05", "-0.05"),
    (BET, "+3", "3"),
    (BET, ".5", "0.5"),
    (BET, "5.", "5"),
    (BET, "1E-05", "0.00001"),
    (BET, "1e2", "100"),
    (BET, "-2.5E+3", "-2500"),
    (BET, "0.00000001", "0.00000001"),
    (BET, "1E-8", "0.00000001"),
    (BET, "0.100000000000000000000000000000", "0.1"),
    (BET, "99999999999999999999.99999999", "99999999999999999999.99999999"),
    (BET, "-99999999999999999999.99999999", "-99999999999999999999.99999999"),
    (BET, " 12.5 ", "12.5"),
    (BET, "", "\\N"),
    (BET, "NaN", "\\N"),
    (BET, "nan", "\\N"),
    (BET, "NULL", "\\N"),
    (BET, "null", "\\N"),
    (TIME, "2019-10-22 08:20:41", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22T08:20:41", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22T08:20:41Z", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22T10:20:41+02:00", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22 03:50:41-0430", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22 08:20", "2019-10-22 08:20:00.000"),
    (TIME, "2019-10-22 10:20:41.1234567 +02:00", "2019-10-22 08:20:41.123"),
    (TIME, "2019-10-22 08:20:41 UTC", "2019-10-22 08:20:41.000"),
    (TIME, "2019-10-22 08:20:41 +0000 UTC", "2019-10-22 08:20:41.000"),
    (TIME, "\"2019-10-22t08:20:41,5z\"", "2019-10-22 08:20:41.500"),
    (TIME, "2019/10/22 8:20", "2019-10-22 08:20:00.000"),
    (TIME, "2019-10-22 08:20:41.5", "2019-10-22 08:20:41.500"),
    (TIME, "2019-10-22T08:20:41.123999Z", "2019-10-22 08:20:41.123"),
    (TIME, "2020-02-29 23:59:59.999", "2020-02-29 23:59:59.999"),
    (TIME, "1970-01-01 00:00:00", "1970-01-01 00:00:00.000"),
    (TIME, "2105-12-31 23:59:59", "2105-12-31 23:59:59.000"),
    (GAME, "0", "0"),
    (GAME, "+7", "7"),
    (GAME, " 7 ", "7"),
    (GAME, "007", "7"),
    (GAME, "9223372036854775807", "9223372036854775807"),
    (PLAYER, " p ", " p "),
    (PLAYER, "日本🎲", "日本🎲"),
    (NAME, "", ""),
    (NAME, "\"a,b \"\"c\"\"\"", "a,b \"c\""),
];

/// A column, the text of its field in the file, the code, and the value in the reject.
const REJECTED: &[(usize, &str, &str, &str)] = &[
    (BET, "0.000000001", "too_many_digits", "0.000000001"),
    (BET, "1E-9", "too_many_digits", "1E-9"),
    (BET, "0.30000000000000004", "too_many_digits", "0.30000000000000004"),
    (BET, "100000000000000000000", "decimal_out_of_range", "100000000000000000000"),
    (BET, "-1e20", "decimal_out_of_range", "-1e20"),
    (BET, "1e99999", "decimal_out_of_range", "1e99999"),
    (BET, "\"1,000\"", "not_a_decimal", "1,000"),
    (BET, "1 000", "not_a_decimal", "1 000"),
    (BET, "0x10", "not_a_decimal", "0x10"),
    (BET, "Infinity", "not_a_decimal", "Infinity"),
    (BET, "-NaN", "not_a_decimal", "-NaN"),
    (BET, "1\u{a0}", "not_a_decimal", "1\u{a0}"),
    (BET, "€5", "not_a_decimal", "€5"),
    (TIME, "2023-02-29 00:00:00", "not_a_timestamp", "2023-02-29 00:00:00"),
    (TIME, "2019-10-22 24:00:00", "not_a_timestamp", "2019-10-22 24:00:00"),
    (TIME, "2019-10-22 08:20:60", "not_a_timestamp", "2019-10-22 08:20:60"),
    (TIME, "2019-10-22", "not_a_timestamp", "2019-10-22"),
    (TIME, "22.10.2019 08:20:41", "not_a_timestamp", "22.10.2019 08:20:41"),
    (TIME, "2019-10-22 08:20:41 CET", "not_a_timestamp", "2019-10-22 08:20:41 CET"),
    (TIME, "10/11/2019 08:20:41", "not_a_timestamp", "10/11/2019 08:20:41"),
    (TIME, "2019-10-22 8:20 PM", "not_a_timestamp", "2019-10-22 8:20 PM"),
    (TIME, "1571732441", "not_a_timestamp", "1571732441"),
    (TIME, "", "missing_value", ""),
    (TIME, "1969-12-31 23:59:59", "timestamp_out_of_range", "1969-12-31 23:59:59"),
    (TIME, "2106-01-01 00:00:00", "timestamp_out_of_range", "2106-01-01 00:00:00"),
    (ID, "-1", "integer_out_of_range", "-1"),
    (ID, "9223372036854775808", "integer_out_of_range", "9223372036854775808"),
    (ID, "1.0", "not_an_integer", "1.0"),
    (ID, "1e3", "digits_lost", "1e3"),
    (ID, "1.23457E+18", "digits_lost", "1.23457E+18"),
    (GAME, "\"1,23457E+18\"", "digits_lost", "1,23457E+18"),
    (ID, "1e-3", "not_an_integer", "1e-3"),
    (ID, "1\0", "not_an_integer", "1\0"),
    (ID, "NULL", "not_an_integer", "NULL"),
    (ID, "", "missing_value", ""),
    (PLAYER, "", "missing_value", ""),
    (PLAYER, "pla\0yer", "control_character", "pla\0yer"),
    (PLAYER, "\"two\r\nlines\"", "control_character", "two\r\nlines"),
    (NAME, "a\tb", "control_character", "a\tb"),
    (NAME, "\u{7f}", "control_character", "\u{7f}"),
    (NAME, "a\u{fffd}", "not_decodable", "a\u{fffd}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_stored_exactly_or_rejected_with_its_line_and_column() {
    let server = Server::start(&[]).await;
    let mut file = String::new();
    let mut file_bytes = utf_16("\u{feff}", u16::to_le_bytes);
    let mut line = 1;
    let mut push = |text: &str| {
        let place = (line, file_bytes.len());
        file_bytes.extend(utf_16(text, u16::to_le_bytes));
        file_bytes.extend(utf_16("\r\n", u16::to_le_bytes));
        file.push_str(text);
        line += 1 + text.matches("\r\n").count();
        place
    };
    push(HEADER);
    let mut expected: Vec<(usize, usize, String, &str, String, String)> = Vec::new();
    let mut reject =
        |push: &mut dyn FnMut(&str) -> (usize, usize), column: &str, text: String, code, value: &str| {
            let (line, offset) = push(&text);
            expected.push((line, offset, column.to_owned(), code, value.to_owned(), text));
        };
    let names: Vec<&str> = HEADER.split(',').map(str::trim).collect();
    for (id, (column, text, _)) in STORED.iter().enumerate() {
        push(&row(id, *column, text));
        // Rejects are between valid rows.
        if let Some((column, text, code, value)) = REJECTED.get(id) {
            reject(&mut push, names[*column], row(1000 + id, *column, text), *code, value);
        }
    }
    assert!(REJECTED.len() <= STORED.len(), "each reject follows a valid row");
    let (long_player, long_name) = ("p".repeat(129), "日".repeat(257));
    push(&row(900, PLAYER, &"p".repeat(128)));
    push(&row(901, NAME, &"日".repeat(256)));
    reject(&mut push, "user_id", row(1901, PLAYER, &long_player), "text_too_long", &long_player);
    let shown: String = long_name.chars().take(200).collect();
    reject(&mut push, "game_name", row(1902, NAME, &long_name), "text_too_long", &shown);
    for text in ["1,2,3".to_owned(), format!("{},", row(1903, NAME, "x")), " ".to_owned()] {
        reject(&mut push, "", text.clone(), "wrong_number_of_fields", &text);
    }
    // The last row, since everything after it would be part of it, also its line end.
    let unclosed = row(1904, NAME, "\"x");
    reject(&mut push, "", unclosed.clone(), "unclosed_quote", &format!("{unclosed}\r\n"));
    expected.last_mut().unwrap().5.push_str("\r\n");

    let receipt = server.upload(file_bytes, "wait=visible").await.ok();
    let counts = ["accepted", "rejected"].map(|member| receipt[member].as_u64().unwrap() as usize);
    assert_eq!(counts, [STORED.len() + 2, expected.len()], "{receipt:#}");
    for (shown, (line, offset, column, code, value, _)) in
        receipt["rejects"].as_array().unwrap().iter().zip(&expected)
    {
        let fault = json!({ "column": column, "code": code, "value": value, "reason": shown["reason"] });
        let mut place = fault.clone();
        (place["line"], place["byte_offset"], place["faults"]) = (json!(line), json!(offset), json!([fault]));
        assert_eq!(shown, &place);
    }

    let letters = dead_letters::read(&server, expected.len()).await;
    for (line, offset, column, code, _, raw) in &expected {
        let letter = &letters[&(*line as u64)];
        assert_eq!(&letter.raw, raw, "line {line}");
        let headers =
            ["byte_offset", "column", "code", "upload_id"].map(|name| letter.headers[name].as_str());
        let offset = offset.to_string();
        assert_eq!(
            headers,
            [offset.as_str(), column, code, receipt["upload_id"].as_str().unwrap()],
            "line {line}"
        );
        assert!(!letter.headers["reason"].is_empty());
    }
    assert_rejects_table(&server, &receipt, &expected).await;
    assert_stored(&server).await;

    let met: BTreeSet<String> = expected.iter().map(|reject| reject.3.to_owned()).collect();
    let mut documented = documented("Rows");
    assert!(documented.remove("text_too_short"), "no column of schemas/bets.avsc can have it");
    for code in ["ambiguous_time", "nonexistent_time"] {
        assert!(documented.remove(code), "a case is in time_zones.rs");
    }
    assert_eq!(met, documented, "docs/FILES.md lists the codes of rejected rows");
}

/// Returns a row with one other field.
fn row(id: usize, column: usize, text: &str) -> String {
    let id = id.to_string();
    let field = |(at, field): (usize, &&str)| match at {
        at if at == column => text.to_owned(),
        ID => id.clone(),
        _ => (*field).to_owned(),
    };
    ROW.iter().enumerate().map(field).collect::<Vec<_>>().join(",")
}

async fn assert_rejects_table(
    server: &Server,
    receipt: &Value,
    expected: &[(usize, usize, String, &str, String, String)],
) {
    let sql = format!(
        "SELECT line, byte_offset, column, code, raw FROM rejects WHERE upload_id = '{}' ORDER BY line FORMAT JSONCompactEachRow
         SETTINGS output_format_json_quote_64bit_integers = 0",
        receipt["upload_id"].as_str().unwrap()
    );
    let rows = until("the rejects are in their table", async || {
        let rows = server.clickhouse(sql.as_str()).await;
        (rows.lines().count() == expected.len()).then_some(rows)
    })
    .await;
    for (found, (line, offset, column, code, _, raw)) in rows.lines().zip(expected) {
        let found: Value = serde_json::from_str(found).unwrap();
        assert_eq!(found, json!([line, offset, column, code, raw]));
    }
}

async fn assert_stored(server: &Server) {
    let sql = "SELECT game_instance_id, toString(created_timestamp), user_id, toString(game_id), toString(real_amount_bet), game_name
               FROM game_rounds WHERE game_instance_id < 900 ORDER BY game_instance_id FORMAT JSONCompactEachRow
               SETTINGS output_format_json_quote_64bit_integers = 0";
    let rows = server.clickhouse(sql).await;
    assert_eq!(rows.lines().count(), STORED.len());
    for (found, (id, (column, text, expected))) in rows.lines().zip(STORED.iter().enumerate()) {
        let found: Value = serde_json::from_str(found).unwrap();
        let place = [TIME, PLAYER, GAME, BET, NAME].iter().position(|known| known == column).unwrap();
        let expected = if *expected == "\\N" { Value::Null } else { json!(expected) };
        assert_eq!((&found[0], &found[place + 1]), (&json!(id), &expected), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sent_again_with_its_right_encoding_is_read_anew() {
    let server = Server::start(&[]).await;
    let name = |game: &[u8]| {
        [format!("{HEADER}\n2019-10-22 08:20:41,1,player,7,0.25,0,0.1,0,").as_bytes(), game, b",Novomatic\n"]
            .concat()
    };
    let windows = name(b"Se\xf1or Chili");
    let utf_8 = server.upload(windows.clone(), "wait=visible").await.ok();
    assert_eq!(
        (&utf_8["rejected"], &utf_8["rejects"][0]["code"]),
        (&json!(1), &json!("not_decodable")),
        "{utf_8:#}"
    );
    let reason = utf_8["rejects"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("encoding=windows-1252"), "{reason}");
    // `latin1` is a label of windows-1252.
    let right = server.upload(windows.clone(), "wait=visible&encoding=latin1").await.ok();
    assert_eq!((&right["accepted"], &right["encoding"]), (&json!(1), &json!("windows-1252")), "{right:#}");
    assert_eq!(server.clickhouse("SELECT game_name FROM game_rounds").await, "Señor Chili");
    // The same bytes in the same encoding are known, also where a byte order mark decides.
    for (query, first) in [("", &utf_8), ("encoding=utf-8", &utf_8), ("encoding=windows-1252", &right)] {
        let again = server.upload(windows.clone(), query).await.ok();
        let seen = (&again["state"], &again["upload_id"]);
        assert_eq!(seen, (&json!("duplicate"), &first["upload_id"]), "{query}: {again:#}");
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), &name("Señor".as_bytes())].concat();
    let first = server.upload(marked.clone(), "wait=visible").await.ok();
    let again = server.upload(marked, "encoding=windows-1252").await.ok();
    assert_eq!(
        (&again["state"], &again["upload_id"]),
        (&json!("duplicate"), &first["upload_id"]),
        "{again:#}"
    );
}
