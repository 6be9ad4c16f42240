//! Every file: one server, one case after the other, each with what docs/FILES.md says of it.

use std::collections::BTreeSet;
use std::io::Write;

use bytes::Bytes;
use encoding_rs::Encoding;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{documented, utf_16};
use crate::harness::files::{HEADER, line, lines};
use crate::harness::server::{Answer, Server};

/// The server's limit on a file.
const MAX_BYTES: usize = 20_000_000;

/// A long line, and how much the server's memory may grow while it is sent.
const LONG_LINE_BYTES: usize = 100_000_000;
const LONG_LINE_GROWTH_KIB: u64 = 64 << 10;

/// What is expected of a file that is taken.
struct Taken {
    case: &'static str,
    query: &'static str,
    body: Vec<u8>,
    encoding: &'static str,
    accepted: u64,
    /// Line, byte offset, column, code, value.
    rejects: Vec<(u64, usize, &'static str, &'static str, String)>,
}

fn taken(case: &'static str, body: impl Into<Vec<u8>>, encoding: &'static str, accepted: u64) -> Taken {
    Taken { case, query: "", body: body.into(), encoding, accepted, rejects: Vec::new() }
}

impl Taken {
    fn with(mut self, query: &'static str) -> Self {
        self.query = query;
        self
    }

    fn reject(
        mut self,
        line: u64,
        offset: usize,
        column: &'static str,
        code: &'static str,
        value: impl Into<String>,
    ) -> Self {
        self.rejects.push((line, offset, column, code, value.into()));
        self
    }

    async fn check(self, server: &Server) -> u64 {
        let receipt = server.upload(self.body, self.query).await.ok();
        let case = self.case;
        assert_eq!(receipt["encoding"], self.encoding, "{case}: {receipt:#}");
        let rejected = self.rejects.len() as u64;
        let counts = ["rows", "accepted", "rejected"].map(|member| receipt[member].as_u64().unwrap());
        assert_eq!(counts, [self.accepted + rejected, self.accepted, rejected], "{case}: {receipt:#}");
        for (found, (line, offset, column, code, value)) in
            receipt["rejects"].as_array().unwrap().iter().zip(self.rejects)
        {
            let members =
                ["line", "byte_offset", "column", "code", "value"].map(|member| found[member].clone());
            assert_eq!(
                members,
                [json!(line), json!(offset), json!(column), json!(code), json!(value)],
                "{case}"
            );
        }
        self.accepted
    }
}

/// Makes files, none with a round that another has.
#[derive(Default)]
struct Rounds(u64);

impl Rounds {
    /// Some rows.
    fn lines(&mut self, count: u64) -> String {
        self.0 += count;
        lines(self.0 - count..self.0)
    }

    fn csv(&mut self, count: u64) -> String {
        format!("{HEADER}\n{}", self.lines(count))
    }

    /// A row whose game has this name.
    fn named(&mut self, name: &str) -> String {
        self.lines(1).replace("Café 日本", name)
    }
}

/// The same file with its amounts last, which are whole numbers in its first row. Every row ends in a delimiter.
fn ends_in_amounts(csv: &str) -> String {
    let in_order = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        [&fields[..4], &fields[8..], &fields[4..8]].concat().join(",")
    };
    let mut lines: Vec<String> = csv.lines().map(in_order).collect();
    lines[1] = lines[1].replace("0.25", "2").replace("0.1", "1");
    lines.join(",\n").replacen(",\n", "\n", 1) + ",\n"
}

fn header() -> String {
    format!("{HEADER}\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame that asks its reader for more memory than any file needs.
fn wide_window(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_has_the_outcome_that_is_documented() {
    let server = Server::start(&["--max-upload-bytes", &MAX_BYTES.to_string()]).await;
    let mut rounds = Rounds::default();
    let mut accepted = 0;
    let cases = encodings(&mut rounds).into_iter().chain(shapes(&mut rounds)).chain(damages(&mut rounds));
    for case in cases {
        accepted += case.check(&server).await;
    }
    accepted += labels(&server, &mut rounds).await;

    let mut met = BTreeSet::new();
    refused(&server, &mut met).await;
    accepted += compressed(&server, &mut rounds, &mut met).await;
    accepted += forms(&server, &mut rounds, &mut met).await;
    long_lines(&server, &mut met).await;
    assert_eq!(met, documented("Files"), "docs/FILES.md lists the codes of files");

    // In all partitions: when these rows are loaded, all that came before them is.
    let receipt = server.upload(rounds.csv(100), "wait=visible").await.ok();
    assert_eq!(receipt["state"], "visible");
    assert_eq!(receipt["offsets"].as_object().map(serde_json::Map::len), Some(4), "{receipt:#}");
    let stored = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(stored, format!("{0}\t{0}", accepted + 100));
}

fn encodings(rounds: &mut Rounds) -> Vec<Taken> {
    let mut text = |mark: &str| format!("{mark}{}", rounds.csv(3));
    vec![
        taken("UTF-16LE", utf_16(&text(""), u16::to_le_bytes), "UTF-16LE", 3),
        taken("UTF-16BE", utf_16(&text(""), u16::to_be_bytes), "UTF-16BE", 3),
        taken("UTF-16LE, marked", utf_16(&text("\u{feff}"), u16::to_le_bytes), "UTF-16LE", 3),
        taken("UTF-16BE, marked", utf_16(&text("\u{feff}"), u16::to_be_bytes), "UTF-16BE", 3),
        taken("UTF-8", text(""), "UTF-8", 3),
        taken("UTF-8, marked", text("\u{feff}"), "UTF-8", 3),
        taken("a mark counts more than ?encoding=", text("\u{feff}"), "UTF-8", 3).with("encoding=shift_jis"),
        taken("?encoding=utf-16be", utf_16(&text(""), u16::to_be_bytes), "UTF-16BE", 3)
            .with("encoding=utf-16be"),
        taken(
            "Excel's Unicode text",
            utf_16(&text("\u{feff}").replace(',', "\t").replace('\n', "\r\n"), u16::to_le_bytes),
            "UTF-16LE",
            3,
        ),
        taken("semicolons", text("").replace(',', ";"), "UTF-8", 3),
        taken("tabs", text("").replace(',', "\t"), "UTF-8", 3),
        taken("CRLF", text("").replace('\n', "\r\n"), "UTF-8", 3),
        taken("CR", text("").replace('\n', "\r"), "UTF-8", 3),
        taken("no end of the last line", text("").trim_end(), "UTF-8", 3),
        taken("blank lines", format!("\r\n\n{}", text("").replace('\n', "\n\r\n\n")), "UTF-8", 3),
    ]
}

fn shapes(rounds: &mut Rounds) -> Vec<Taken> {
    let quoted = |text: &str| {
        let quote = |line: &str| {
            let fields: Vec<String> = line.split(',').map(|field| format!("\"{field}\"")).collect();
            fields.join(",") + "\n"
        };
        text.lines().map(quote).collect::<String>()
    };
    let reversed = |text: &str| {
        let reverse = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n";
        text.lines().map(reverse).collect::<String>()
    };
    let with_notes = format!("\"notes\nof the, \"\"shift\"\"\",{}\n\"a\r\nb;c\",{}", HEADER, rounds.lines(1));
    vec![
        taken("a header alone", header(), "UTF-8", 0),
        taken("a header without an end", HEADER, "UTF-8", 0),
        taken("everything quoted", quoted(&rounds.csv(3)), "UTF-8", 3),
        taken("another order", reversed(&rounds.csv(3)), "UTF-8", 3),
        taken("another case", rounds.csv(3).replacen(HEADER, &HEADER.to_uppercase(), 1), "UTF-8", 3),
        taken("blanks around names", rounds.csv(3).replacen(',', " ,\u{a0} ", 5), "UTF-8", 3),
        taken("a separator line", format!("sep=;\r\n{}", rounds.csv(3).replace(',', ";")), "UTF-8", 3),
        taken(
            "a separator line in UTF-16",
            utf_16(&format!("\u{feff}\"sep=|\"\r\n{}", rounds.csv(3).replace(',', "|")), u16::to_le_bytes),
            "UTF-16LE",
            3,
        ),
        taken("lines of delimiters alone", rounds.csv(3).replace('\n', "\n,,,,,,,,,\n"), "UTF-8", 3),
        taken(
            "one empty field more in every row",
            rounds.csv(3).replace('\n', ",\n").replacen(",\n", "\n", 1),
            "UTF-8",
            3,
        ),
        taken(
            "one empty field more in every row, after the amounts",
            ends_in_amounts(&rounds.csv(3)),
            "UTF-8",
            3,
        ),
        taken("a delimiter at the end of the header", rounds.csv(3).replacen('\n', ",\n", 1), "UTF-8", 3),
        taken("the end of a file of DOS", rounds.csv(3) + "\u{1a}", "UTF-8", 3),
        taken(
            "the end of a file of DOS after the last field",
            utf_16(&(rounds.csv(3).trim_end().to_owned() + "\u{1a}"), u16::to_be_bytes),
            "UTF-16BE",
            3,
        ),
        taken(
            "joined files in three encodings",
            [
                utf_16(&format!("\u{feff}{}", rounds.csv(3)), u16::to_le_bytes),
                format!("\u{feff}{}", rounds.csv(4)).into(),
                utf_16(&format!("\u{feff}{}", rounds.csv(5)), u16::to_be_bytes),
            ]
            .concat(),
            "UTF-16LE",
            12,
        ),
        taken("two byte order marks", format!("\u{feff}\u{feff}{}", rounds.csv(3)), "UTF-8", 3),
        taken("line ends in a column that is ignored", with_notes, "UTF-8", 1),
        taken(
            "delimiters and quotes in fields",
            format!("{HEADER}\n{}", rounds.named("\"a, \"\"b\"\"; c\"")),
            "UTF-8",
            1,
        ),
    ]
}

fn damages(rounds: &mut Rounds) -> Vec<Taken> {
    let nul = line(9_000_000, "0.25").replace("player-0", "play\0er");
    let in_utf_16 = |text: &str| utf_16(text, u16::to_le_bytes);
    let marked = || in_utf_16(&format!("\u{feff}{}", header()));
    let mut lone = marked();
    let lone_at = lone.len();
    let (before, after) = ("2020-02-03 04:05:06,9000001,player,7,0.25,0,0.1,NULL,", ",Play'n GO\n");
    lone.extend(in_utf_16(before));
    lone.extend([0x3d, 0xd8]);
    lone.extend(in_utf_16(after));
    lone.extend(in_utf_16(&rounds.lines(1)));
    let mut odd = marked();
    odd.extend(in_utf_16(&rounds.lines(400)));
    let odd_at = odd.len();
    odd.push(0x41);
    let latin = format!("{HEADER}\n{}", line(9_000_002, "0.25").replace("Café 日本", "Cafe"));
    let latin: Vec<u8> = latin.bytes().map(|byte| if byte == b'C' { 0xe9 } else { byte }).collect();
    let wide = line(9_000_003, "0.25").trim_end().to_owned() + ",x";
    let open = format!(
        "{}\n{}",
        line(9_000_004, "0.25").trim_end().replace("Café", "\"Café"),
        lines(9_000_005..9_000_007)
    );
    let start = header().len();
    vec![
        taken("NUL", format!("{HEADER}\n{nul}{}", rounds.lines(1)), "UTF-8", 1).reject(
            2,
            start,
            "user_id",
            "control_character",
            "play\0er",
        ),
        taken("a lone surrogate", lone, "UTF-16LE", 1).reject(
            2,
            lone_at,
            "game_name",
            "not_decodable",
            "\u{fffd}",
        ),
        taken("an odd last byte", odd, "UTF-16LE", 400).reject(402, odd_at, "", "not_decodable", "\u{fffd}"),
        taken("Windows' text as UTF-8", latin, "UTF-8", 0).reject(
            2,
            start,
            "game_name",
            "not_decodable",
            "\u{fffd}afe",
        ),
        taken("too many fields", format!("{HEADER}\n{wide}\n{}", rounds.lines(1)), "UTF-8", 1).reject(
            2,
            start,
            "",
            "wrong_number_of_fields",
            wide,
        ),
        taken("a quote that is not closed", format!("{}{open}", rounds.csv(1)), "UTF-8", 1).reject(
            3,
            start + lines(0..1).len() + digits(rounds) - 1,
            "",
            "unclosed_quote",
            open.chars().take(200).collect::<String>(),
        ),
    ]
}

/// How many digits the last id has.
fn digits(rounds: &Rounds) -> usize {
    (rounds.0 - 1).to_string().len()
}

/// Files in encodings that only their sender knows; what is stored is what they say.
async fn labels(server: &Server, rounds: &mut Rounds) -> u64 {
    let files = [
        ("windows-1252", "windows-1252", "Café € ß"),
        ("latin1", "windows-1252", "Café ÿ"),
        ("iso-8859-2", "ISO-8859-2", "Příliš"),
        ("koi8-r", "KOI8-R", "Игра"),
        ("windows-1251", "windows-1251", "Игра"),
        ("ibm866", "IBM866", "Игра"),
        ("shift_jis", "Shift_JIS", "ソ表日本"),
        ("euc-jp", "EUC-JP", "ソ表日本"),
        ("euc-kr", "EUC-KR", "한국어"),
        ("gb18030", "gb18030", "中文🎲"),
        ("big5", "Big5", "中文功"),
    ];
    for (label, encoding, name) in files {
        let text = format!("{HEADER}\n{}", rounds.named(name));
        let (bytes, _, has_failed) = Encoding::for_label(label.as_bytes()).unwrap().encode(&text);
        assert!(!has_failed, "{label}");
        let query = format!("wait=visible&encoding={label}");
        let receipt = server.upload(bytes.into_owned(), &query).await.ok();
        assert_eq!(
            (&receipt["encoding"], &receipt["accepted"]),
            (&json!(encoding), &json!(1)),
            "{receipt:#}"
        );
        let sql = format!("SELECT game_name FROM game_rounds WHERE game_instance_id = {}", rounds.0 - 1);
        assert_eq!(server.clickhouse(sql).await, name, "{label}");
    }
    files.len() as u64
}

/// What is sent, with which query; the status, the code and a part of the detail that come back.
type Refused = (&'static str, Vec<u8>, &'static str, u16, &'static str, &'static str);

/// Files of which no row is taken, to be uploaded or reconciled.
async fn refused(server: &Server, met: &mut BTreeSet<String>) {
    let one = lines(9_100_000..9_100_001);
    let csv = || format!("{HEADER}\n{one}");
    let many = format!("{HEADER},{}\n", vec!["x"; 1020].join(","));
    let utf_32: Vec<u8> =
        format!("\u{feff}{}", csv()).chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let files: Vec<Refused> = vec![
        ("nothing", vec![], "", 422, "empty_file", "created_timestamp"),
        ("a mark", "\u{feff}".into(), "", 422, "empty_file", "empty"),
        ("blank lines", "\r\n\r\n\n".into(), "", 422, "empty_file", "empty"),
        ("rows without a header", one.clone().into(), "", 400, "not_csv", "2020-02-03"),
        ("JSON", r#"{"rows": [1, 2]}"#.into(), "", 400, "not_csv", "header"),
        ("a page", "<!DOCTYPE html>\n<html></html>".into(), "", 400, "not_csv", "<!DOCTYPE html>"),
        (
            "a header with an open quote",
            csv().replacen("provider", "\"provider", 1).into(),
            "",
            400,
            "not_csv",
            "header",
        ),
        ("noise", noise(5000), "", 400, "not_decodable", "encoding"),
        ("noise, much", noise(3_000_000), "", 400, "not_decodable", "encoding"),
        (
            "UTF-16 said to be UTF-8",
            utf_16(&csv(), u16::to_le_bytes),
            "encoding=utf-8",
            400,
            "not_decodable",
            "UTF-8",
        ),
        (
            "UTF-8 said to be UTF-16",
            csv().into(),
            "encoding=utf-16le",
            400,
            "not_decodable",
            "the parameter encoding says UTF-16LE, but the bytes are UTF-8",
        ),
        (
            "UTF-8 after a byte order mark of UTF-16",
            [b"\xff\xfe".as_slice(), csv().as_bytes()].concat(),
            "",
            400,
            "not_decodable",
            "the byte order mark is that of UTF-16LE, but the bytes are UTF-8",
        ),
        (
            "UTF-16 after a byte order mark of UTF-8",
            [b"\xef\xbb\xbf".to_vec(), utf_16(&csv(), u16::to_be_bytes)].concat(),
            "",
            400,
            "not_decodable",
            "the byte order mark is that of UTF-8, but the bytes are UTF-16BE",
        ),
        (
            "UTF-16 after a byte order mark of the other order",
            [b"\xfe\xff".to_vec(), utf_16(&csv(), u16::to_le_bytes)].concat(),
            "",
            400,
            "not_decodable",
            "the byte order mark is that of UTF-16BE, but the bytes are UTF-16LE",
        ),
        (
            "another encoding in the middle, without a byte order mark",
            [utf_16(&header(), u16::to_le_bytes), csv().into_bytes()].concat(),
            "",
            400,
            "encoding_changed",
            "line 2, from byte 272 on, is UTF-8, and the file is UTF-16LE before it",
        ),
        (
            "NUL before the first name",
            format!("\0{}", csv()).into(),
            "",
            422,
            "missing_columns",
            "field 1 is created_timestamp with a NUL byte (U+0000); remove it",
        ),
        (
            "other names",
            "Time,Round,Player,Game\n2020-02-03 04:05:06,1,p,7\n".into(),
            "",
            422,
            "missing_columns",
            "expected: created_timestamp, game_instance_id, user_id, game_id, real_amount_bet, bonus_amount_bet, real_amount_win, \
             bonus_amount_win, game_name, provider; found: Time, Round, Player, Game; ",
        ),
        (
            "a name that the file does not have",
            csv().into(),
            "columns=user_id:PlayerID",
            422,
            "missing_columns",
            "the header lacks \"PlayerID\" (for user_id, as columns= says)",
        ),
        (
            "a column that there is not",
            csv().into(),
            "columns=player:PlayerID",
            400,
            "invalid_parameter",
            "there is no column \"player\"",
        ),
        (
            "a header with unknown names in the middle",
            format!(
                "{}game instance id,created timestamp,player,game,stake,bonus,win,bonus win,name,vendor\n{one}",
                header()
            )
            .into(),
            "",
            422,
            "header_changed",
            "line 2 is a second header, which cannot be used: it has words where rows have numbers",
        ),
        (
            "a missing column",
            csv().replacen("provider", "supplier", 1).into(),
            "",
            422,
            "missing_columns",
            "lacks provider",
        ),
        (
            "a column twice",
            csv().replacen("provider", "user_id", 1).into(),
            "",
            422,
            "duplicate_column",
            "the header has user_id twice: field 3 (\"user_id\") and field 10 (\"user_id\")",
        ),
        ("too many columns", many.into(), "", 422, "too_many_columns", "1024"),
        ("an xlsx", [b"PK\x03\x04\x14\0\x06\0".to_vec(), noise(5000)].concat(), "", 415, "not_text", "xlsx"),
        (
            "an xls",
            [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), noise(5000)].concat(),
            "",
            415,
            "not_text",
            "xls",
        ),
        ("gzip without its header", gzip(csv().as_bytes()), "", 415, "not_text", "Content-Encoding: gzip"),
        (
            "zstd without its header",
            zstd::encode_all(csv().as_bytes(), 0).unwrap(),
            "",
            415,
            "not_text",
            "zstd",
        ),
        ("Parquet", [b"PAR1\x15\x04".to_vec(), noise(5000)].concat(), "", 415, "not_text", "Parquet"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(), "", 415, "not_text", "PDF"),
        ("UTF-32", utf_32, "", 415, "not_text", "UTF-32"),
        ("too much", csv().repeat(MAX_BYTES / csv().len() + 1).into(), "", 413, "file_too_large", "20,000,000"),
        ("an unknown encoding", csv().into(), "encoding=utf-7", 400, "invalid_parameter", "WHATWG"),
        (
            "a header in the middle that lacks a column",
            format!("{HEADER}\n{}\n", HEADER.replace("provider", "supplier")).into(),
            "",
            422,
            "header_changed",
            "line 2 is a second header, which cannot be used: the header lacks provider",
        ),
        (
            "a decimal comma",
            csv().replace("0.25", "\"236,48\"").into(),
            "",
            422,
            "decimal_comma",
            "decimal=comma",
        ),
        (
            "a decimal comma and semicolons",
            csv().replace(',', ";").replace("0.1;", "1.234,5;").into(),
            "",
            422,
            "decimal_comma",
            "line 2, column real_amount_win: \"1.234,5\"",
        ),
        (
            "a decimal comma that cuts the amount",
            csv().replace("0.25", "236,48").replace("0.1", "0,1").into(),
            "",
            422,
            "decimal_comma",
            "the comma also separates fields",
        ),
        (
            "the first reject",
            csv().replace("0.25", "x").into(),
            "on_error=abort",
            422,
            "row_rejected",
            "line 2",
        ),
    ];
    for (case, body, query, status, code, detail) in files {
        // These are found by the job.
        if !["row_rejected", "header_changed", "decimal_comma", "encoding_changed"].contains(&code) {
            let url = server.url(&format!("/reconcile?{query}"));
            let answer = server.send(|http| http.post(url).body(body.clone())).await;
            assert_refused(answer, &format!("{case}, to be reconciled"), status, code, detail);
        }
        let answer = server.upload(body, query).await;
        assert_refused(answer, case, status, code, detail);
        met.insert(code.to_owned());
    }
}

fn assert_refused(answer: Answer, case: &str, status: u16, code: &str, detail: &str) -> Value {
    let found = (answer.status, answer.body["code"].as_str().unwrap_or_default());
    assert_eq!(found, (status, code), "{case}: {:#}", answer.body);
    let problem = answer.problem(status, code);
    let told = problem["detail"].as_str().unwrap_or_default();
    assert!(told.contains(detail), "{case}: {told}");
    problem
}

async fn send(server: &Server, coding: &str, body: Vec<u8>) -> Answer {
    let url = server.url("/uploadcsv");
    server.send(|http| http.post(url).header("Content-Encoding", coding).body(body)).await
}

/// Bodies with a `Content-Encoding`.
async fn compressed(server: &Server, rounds: &mut Rounds, met: &mut BTreeSet<String>) -> u64 {
    let members = [gzip(format!("{HEADER}\n").as_bytes()), gzip(rounds.lines(500).as_bytes())].concat();
    let frames = zstd::encode_all(rounds.csv(500).as_bytes(), 3).unwrap();
    for (coding, body) in [("gzip", members), ("zstd", frames)] {
        let receipt = send(server, coding, body).await.ok();
        assert_eq!(
            (&receipt["accepted"], &receipt["rejected"]),
            (&json!(500), &json!(0)),
            "{coding}: {receipt:#}"
        );
    }
    let csv = format!("{HEADER}\n{}", lines(9_200_000..9_210_000));
    let whole = gzip(csv.as_bytes());
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle..middle + 50].fill(0xff);
    let frame = zstd::encode_all(csv.as_bytes(), 3).unwrap();
    let bomb = gzip(&vec![b'x'; MAX_BYTES * 10]);
    let rows = gzip(format!("{HEADER}\n{}", line(9_300_000, "0.25").repeat(MAX_BYTES / 50)).as_bytes());
    assert!(rows.len() < MAX_BYTES / 20);
    for (case, coding, body, status, code) in [
        ("truncated gzip", "gzip", whole[..whole.len() / 2].to_vec(), 400, "broken_off"),
        ("broken gzip", "gzip", broken, 400, "broken_off"),
        ("no gzip at all", "gzip", csv.clone().into_bytes(), 400, "broken_off"),
        ("truncated zstd", "zstd", frame[..frame.len() / 2].to_vec(), 400, "broken_off"),
        ("zstd with a window of 128 MiB", "zstd", wide_window(csv.as_bytes()), 400, "broken_off"),
        ("no zstd at all", "zstd", csv.clone().into_bytes(), 400, "broken_off"),
        ("a bomb of one line", "gzip", bomb, 400, "line_too_long"),
        ("a bomb of rows", "gzip", rows, 413, "file_too_large"),
        ("brotli", "br", whole, 415, "unsupported_content_encoding"),
    ] {
        assert_refused(send(server, coding, body).await, case, status, code, "");
        met.insert(code.to_owned());
    }
    // What was read of those that broke off stays; it is sent again, whole.
    let receipt = server.upload(csv, "").await.ok();
    assert_eq!(receipt["accepted"], 10_000);
    let receipt = server.upload(format!("{HEADER}\n{}", line(9_300_000, "0.25")), "").await.ok();
    assert_eq!(receipt["accepted"], 1);
    1000 + 10_000 + 1
}

/// Forms of several files, in whatever encoding each of them has.
async fn forms(server: &Server, rounds: &mut Rounds, met: &mut BTreeSet<String>) -> u64 {
    let part = |bytes: Vec<u8>, name: &'static str| Part::bytes(bytes).file_name(name);
    let first = utf_16(&rounds.csv(2), u16::to_be_bytes);
    let second = rounds.csv(3).replace(',', ";").into_bytes();
    let form = Form::new().part("file", part(first, "a.csv")).part("file", part(second, "b.csv"));
    let answer = server.upload_form(form, "").await.ok();
    let uploads = answer["uploads"].as_array().unwrap();
    let told: Vec<_> = uploads.iter().map(|it| (it["encoding"].as_str(), it["accepted"].as_u64())).collect();
    assert_eq!(told, [(Some("UTF-16BE"), Some(2)), (Some("UTF-8"), Some(3))]);

    let form = Form::new()
        .part("file", part(rounds.csv(4).into_bytes(), "good.csv"))
        .part("file", part(b"PK\x03\x04".to_vec(), "bad.xlsx"));
    let problem = server.upload_form(form, "").await.problem(415, "not_text");
    assert_eq!(problem["uploads"][0]["accepted"], 4, "{problem:#}");
    // The hint is right for a form too: its parts have no Content-Encoding.
    let form = Form::new().part("file", part(gzip(rounds.csv(4).as_bytes()), "rounds.csv.gz"));
    let problem = server.upload_form(form, "").await.problem(415, "not_text");
    let hint = "and not in a form (curl --data-binary @FILE -H 'Content-Encoding: gzip')";
    assert!(problem["detail"].as_str().unwrap().contains(hint), "{problem:#}");

    server.upload_form(Form::new().text("comment", "no file"), "").await.problem(400, "no_file");
    let url = server.url("/uploadcsv");
    let broken = server
        .send(|http| {
            http.post(&url).header("Content-Type", "multipart/form-data; boundary=x").body("no form")
        })
        .await;
    let problem = broken.problem(400, "bad_form");
    assert!(problem["detail"].as_str().unwrap().contains("set Content-Type: text/csv"), "{problem:#}");
    let large = server
        .send(|http| {
            let head = http.post(&url).header("Content-Type", "multipart/form-data; boundary=x");
            head.body(format!("--x\r\nA: {}", "b".repeat(1 << 20)))
        })
        .await;
    large.problem(400, "form_too_large");
    let zipped = server
        .send(|http| {
            let head = http.post(&url).header("Content-Type", "multipart/form-data; boundary=x");
            head.header("Content-Encoding", "gzip").body(gzip(b"--x--"))
        })
        .await;
    zipped.problem(415, "compressed_form");
    met.extend(["no_file", "bad_form", "form_too_large", "compressed_form"].map(str::to_owned));
    9
}

/// Lines that do not end, for which the server needs no more memory than for others.
async fn long_lines(server: &Server, met: &mut BTreeSet<String>) {
    let before = server.high_water_kib();
    for start in [String::new(), format!("{HEADER}\n"), format!("{HEADER}\n2020-02-03 04:05:06,1,\"")] {
        let piece = Bytes::from(vec![b'x'; 1 << 16]);
        let pieces = LONG_LINE_BYTES / piece.len();
        let body = stream::iter(
            std::iter::once(Bytes::from(start.clone()))
                .chain(std::iter::repeat_n(piece, pieces))
                .map(Ok::<_, std::io::Error>),
        );
        let answer = server.upload(reqwest::Body::wrap_stream(body), "").await;
        assert_refused(answer, &start, 400, "line_too_long", "524,288");
    }
    met.insert("line_too_long".to_owned());
    // The kernel's figure is not exact: it may be a little less than before.
    let grown = server.high_water_kib().saturating_sub(before);
    assert!(grown < LONG_LINE_GROWTH_KIB, "{grown} KiB more");
}
