//! `roundhouse generate`: the same bytes for the same options, and rows like those of real files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use roundhouse::domain::columns::Columns;
use roundhouse::domain::value::Value;
use roundhouse::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink};
use tempfile::TempDir;

use crate::harness::expected::{self, Expected};
use crate::harness::{ROUNDHOUSE, repository};

fn run(arguments: &[&str]) -> Output {
    Command::new(ROUNDHOUSE)
        .args(["--log", "error", "generate"])
        .args(arguments)
        .output()
        .expect("run generate")
}

fn generated(directory: &TempDir, name: &str, arguments: &[&str]) -> PathBuf {
    let path = directory.path().join(name);
    let mut arguments = arguments.to_vec();
    arguments.extend(["-o", path.to_str().expect("a path in UTF-8")]);
    let output = run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

fn records(path: &Path) -> Vec<csv::StringRecord> {
    let text = expected::text(path);
    csv::Reader::from_reader(text.as_bytes()).records().map(|record| record.expect("a row")).collect()
}

/// Asserts that a run failed with this exit code, and with one line that contains `text`.
fn assert_refused(output: &Output, code: i32, text: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(text), "{stderr}");
}

#[test]
fn the_samples_of_steps_and_prices_are_generated() {
    for (sample, arguments) in [
        ("data/steps.csv", ["steps", "--to", "30", "--produced-at", AT].as_slice()),
        ("data/prices.ndjson", &["prices", "--pairs", "40", "--events", "200", "--start", AT]),
    ] {
        let made = text_of(&[arguments, &["-o", "-"]].concat());
        let stored = std::fs::read_to_string(repository().join(sample)).unwrap();
        assert!(made == stored, "{sample} differs from the output of `roundhouse generate`; run make sample");
    }
}

#[test]
fn the_defaults_make_the_sample_file() {
    let directory = TempDir::new().unwrap();
    let made = generated(&directory, "made.csv", &[]);
    let sample = repository().join("data/gamerounds.csv");
    let (made, sample) = (std::fs::read(made).unwrap(), std::fs::read(sample).unwrap());
    assert!(
        made == sample,
        "data/gamerounds.csv differs from the output of `roundhouse generate`; run make sample"
    );
    assert!(sample.starts_with(b"\xff\xfe"), "no byte order mark of UTF-16LE");
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_does_not() {
    let bytes = |seed| run(&["--rows", "500", "--seed", seed, "-o", "-"]).stdout;
    assert_eq!(bytes("7"), bytes("7"));
    assert_ne!(bytes("7"), bytes("8"));
}

#[test]
fn all_encodings_hold_the_same_text() {
    let directory = TempDir::new().unwrap();
    // Enough rows that buffers end in the middle of a character.
    let text = |encoding, mark: &[u8]| {
        let path = generated(&directory, encoding, &["--rows", "20000", "--encoding", encoding]);
        assert!(std::fs::read(&path).unwrap().starts_with(mark), "{encoding}");
        expected::text(&path)
    };
    let little = text("utf-16le", b"\xff\xfe");
    assert!(little == text("utf-16be", b"\xfe\xff"));
    assert!(little == text("utf-8", b"\xef\xbb\xbf"));
}

#[test]
fn some_players_play_much_more_than_others() {
    let directory = TempDir::new().unwrap();
    let path = generated(&directory, "skewed.csv", &["--rows", "50000", "--players", "200"]);
    let mut rounds: HashMap<String, u32> = HashMap::new();
    for record in records(&path) {
        *rounds.entry(record[2].to_owned()).or_default() += 1;
    }
    let mut rounds: Vec<u32> = rounds.into_values().collect();
    rounds.sort_unstable();
    let (most, median) = (rounds[rounds.len() - 1], rounds[rounds.len() / 2]);
    assert!(rounds.len() > 100, "only {} players", rounds.len());
    assert!(most > 5 * median, "most {most}, median {median}");
}

#[test]
fn rounds_come_in_bursts_on_every_day() {
    let directory = TempDir::new().unwrap();
    let path = generated(&directory, "bursts.csv", &["--rows", "50000", "--days", "5"]);
    let mut slots: BTreeMap<String, u32> = BTreeMap::new();
    for record in records(&path) {
        *slots.entry(record[0][.."2019-10-22 08:2".len()].to_owned()).or_default() += 1;
    }
    let days: HashSet<&str> = slots.keys().map(|slot| &slot[.."2019-10-22".len()]).collect();
    assert_eq!(days.len(), 5);
    let busiest = slots.values().max().copied().unwrap();
    let average = 50_000 / (5 * 24 * 6);
    assert!(busiest > 5 * average, "busiest {busiest}, average {average}");
}

#[test]
fn ids_count_up_and_amounts_have_every_spelling() {
    let records = records(&repository().join("data/gamerounds.csv"));
    let ids: Vec<u64> = records.iter().map(|record| record[1].parse().unwrap()).collect();
    assert_eq!(ids, (20_000..30_000).collect::<Vec<u64>>());
    let amounts: HashSet<&str> =
        records.iter().flat_map(|record| (4..8).map(|column| &record[column])).collect();
    for spelling in ["NaN", "NULL", "", "0", "0.1", "0.05", "1E-05"] {
        assert!(amounts.contains(spelling), "no {spelling:?}");
    }
}

#[test]
fn names_have_special_characters_and_belong_to_one_game() {
    let records = records(&repository().join("data/gamerounds.csv"));
    let games: HashSet<(&str, &str, &str)> =
        records.iter().map(|record| (&record[3], &record[8], &record[9])).collect();
    let ids: HashSet<&str> = games.iter().map(|game| game.0).collect();
    assert_eq!(games.len(), ids.len(), "a game has two names or two providers");
    let names: String = games.iter().map(|game| game.1).collect();
    for character in [',', '"', ';', '\'', 'ä', 'é', '桜', '🍀'] {
        assert!(names.contains(character), "no {character} in a name");
    }
    assert!(games.iter().any(|game| game.2 == "Play'n GO"));
}

#[test]
fn amounts_are_left_empty_as_often_as_the_option_says() {
    let nulls = |percent| {
        let directory = TempDir::new().unwrap();
        let path = generated(&directory, "nulls.csv", &["--rows", "5000", "--null-percent", percent]);
        let amounts = |record: &csv::StringRecord| (4..8).map(|i| record[i].to_owned()).collect::<Vec<_>>();
        let missing = |amount: &String| ["", "NaN", "NULL"].contains(&amount.as_str());
        records(&path).iter().flat_map(amounts).filter(missing).count()
    };
    assert_eq!(nulls("0"), 0);
    assert_eq!(nulls("100"), 20_000);
    assert!((4_000..6_000).contains(&nulls("25")), "{}", nulls("25"));
}

#[test]
fn python_reads_the_same_rows_and_the_same_totals() {
    let script = "
import csv, sys
from decimal import Decimal
rows, bets = 0, Decimal(0)
for row in csv.DictReader(open(sys.argv[1], encoding='utf-16', newline='')):
    assert None not in row and None not in row.values(), row
    rows += 1
    bet = row['real_amount_bet']
    bets += Decimal(0) if bet in ('', 'NaN', 'NULL') else Decimal(bet)
print(rows, int(bets * 10**8), len(row))
";
    let sample = repository().join("data/gamerounds.csv");
    let output =
        Command::new("python3").args(["-c", script]).arg(&sample).output().expect("python3 is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = Expected::of(&[&sample]);
    let ours = format!("{} {} 10", expected.rows, expected.totals().real_bet);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), ours);
    assert_eq!((expected.rows, expected.rounds), (10_000, 10_000));
}

/// Counts rows and adds up real bets as the server reads them.
#[derive(Default)]
struct Accepted {
    rows: u64,
    real_bets: i128,
}

impl RowSink for Accepted {
    type Error = Reject;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Reject> {
        self.rows += 1;
        if let Some(Value::Decimal(units)) = row.values.get(4) {
            self.real_bets += units;
        }
        Ok(())
    }

    fn reject(&mut self, reject: Reject, _raw: &str) -> Result<(), Reject> {
        Err(reject)
    }
}

#[test]
fn the_server_accepts_every_row_and_reads_the_same_money() {
    let directory = TempDir::new().unwrap();
    let path = generated(&directory, "all.csv", &["--rows", "100000", "--seed", "3", "--null-percent", "20"]);
    let schema = std::fs::read_to_string(repository().join("schemas/bets.avsc")).unwrap();
    let columns = std::sync::Arc::new(Columns::parse(&schema).unwrap());
    let mut accepted = Accepted::default();
    let mut reader = RowReader::new(columns, ReadOptions::default(), 1 << 20);
    reader.push(&std::fs::read(&path).unwrap(), true, &mut accepted).unwrap();
    let expected = Expected::of(&[&path]);
    assert_eq!((accepted.rows, accepted.real_bets), (expected.rows, expected.totals().real_bet));
}

#[test]
fn ids_beyond_the_largest_are_refused_before_a_file_is_created() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("none.csv");
    let first = i64::MAX.to_string();
    let output = run(&["--rows", "2", "--first-id", &first, "-o", path.to_str().unwrap()]);
    assert_refused(&output, 2, "--first-id");
    assert!(!path.exists());
    assert!(run(&["--rows", "1", "--first-id", &first, "-o", "-"]).status.success());
}

#[test]
fn a_full_disk_and_a_missing_directory_are_one_line_each() {
    assert_refused(&run(&["-o", "/dev/full"]), 1, "cannot write /dev/full: No space left on device");
    assert_refused(&run(&["-o", "/nowhere/rounds.csv"]), 1, "cannot write /nowhere/rounds.csv: No such file");
}

#[test]
fn a_closed_pipe_ends_it_quietly_with_exit_code_141() {
    let mut child = Command::new(ROUNDHOUSE)
        .args(["--log", "error", "generate", "--rows", "1000000", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]), "{output:?}");
}

#[test]
fn a_file_without_rows_has_only_a_header() {
    let directory = TempDir::new().unwrap();
    let path = generated(&directory, "empty.csv", &["--rows", "0", "--encoding", "utf-8"]);
    let text = expected::text(&path);
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,"));
}

fn text_of(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The time of rows that must be the same in each run.
const AT: &str = "2026-11-28T08:00:00Z";

#[test]
fn without_a_dataset_the_rows_are_game_rounds() {
    assert_eq!(text_of(&["--rows", "9", "--encoding", "utf-8", "-o", "-"]), {
        text_of(&["bets", "--rows", "9", "--encoding", "utf-8", "-o", "-"])
    });
    assert_refused(&run(&[]), 2, "--output");
    assert_refused(&run(&["loans", "-o", "-"]), 2, "loans");
}

#[test]
fn a_chain_is_written_from_its_number_to_1() {
    let csv = text_of(&["steps", "--from", "3", "--to", "3", "--produced-at", AT, "-o", "-"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "number,step,value,produced_at");
    let values = [3, 10, 5, 16, 8, 4, 2, 1];
    let expected: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(step, value)| format!("3,{step},{value},2026-11-28T08:00:00.000Z"))
        .collect();
    assert_eq!(lines[1..], expected);
    let json = text_of(&["steps", "--to", "1", "--produced-at", AT, "--format", "ndjson", "-o", "-"]);
    assert_eq!(
        json,
        "{\"number\":1,\"step\":0,\"value\":\"1\",\"produced_at\":\"2026-11-28T08:00:00.000Z\"}\n"
    );
}

#[test]
fn values_beyond_64_bits_are_exact() {
    let number = "12327829503";
    let csv = text_of(&["steps", "--from", number, "--to", number, "--produced-at", AT, "-o", "-"]);
    assert!(csv.contains(&format!("\n{number},202,20722398914405051728,")), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 544);
}

#[test]
fn random_numbers_are_below_the_limit_and_differ_from_run_to_run_without_a_seed() {
    let rows = |more: &[&str]| {
        let arguments = ["steps", "--random", "200", "--below", "1000", "--produced-at", AT, "-o", "-"];
        text_of(&[&arguments, more].concat())
    };
    assert_eq!(rows(&["--seed", "5"]), rows(&["--seed", "5"]));
    assert_ne!(rows(&[]), rows(&[]));
    let text = rows(&[]);
    let numbers: HashSet<u32> =
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.len() > 100 && numbers.iter().all(|number| (1..1000).contains(number)), "{numbers:?}");
}

#[test]
fn contradictory_options_are_refused() {
    assert_refused(&run(&["steps", "--from", "9", "--to", "8", "-o", "-"]), 2, "--from 9 is above --to 8");
    assert_refused(&run(&["steps", "-o", "-"]), 2, "--to");
    assert_refused(&run(&["steps", "--random", "1", "--to", "8", "-o", "-"]), 2, "--to");
    assert_refused(
        &run(&["steps", "--from", "0", "--to", "8", "-o", "-"]),
        2,
        "from 1 to 9223372036854775807",
    );
    assert_refused(
        &run(&["prices", "--late-percent", "60", "--tie-percent", "50", "-o", "-"]),
        2,
        "more than 100 together",
    );
    assert_refused(&run(&["prices", "--start", "yesterday", "-o", "-"]), 2, "2026-11-28T08:00:00Z");
}

/// Asserts that the server accepts every row of a CSV file.
fn assert_accepted(path: &Path, schema: &str, rows: u64) {
    let schema = std::fs::read_to_string(repository().join(schema)).unwrap();
    let columns = std::sync::Arc::new(Columns::parse(&schema).unwrap());
    let mut accepted = Accepted::default();
    let mut reader = RowReader::new(columns, ReadOptions::default(), 1 << 20);
    reader.push(&std::fs::read(path).unwrap(), true, &mut accepted).unwrap();
    assert_eq!(accepted.rows, rows);
}

#[test]
fn the_server_accepts_every_row_of_steps_and_prices() {
    let directory = TempDir::new().unwrap();
    let steps = generated(&directory, "steps.csv", &["steps", "--random", "100", "--seed", "3"]);
    let rows = std::fs::read_to_string(&steps).unwrap().lines().count() as u64 - 1;
    assert_accepted(&steps, "schemas/steps.avsc", rows);
    let arguments = ["prices", "--pairs", "3000", "--events", "20000", "--format", "csv"];
    assert_accepted(&generated(&directory, "prices.csv", &arguments), "schemas/prices.avsc", 20_000);
}

#[test]
fn price_events_are_late_tied_and_repeated_as_often_as_the_options_say() {
    let arguments = ["prices", "--pairs", "50", "--events", "20000", "--start", AT, "-o", "-"];
    let text = |percent: &'static str| {
        let options = ["--late-percent", percent, "--tie-percent", percent, "--repeat-percent", percent];
        text_of(&[arguments.as_slice(), options.as_slice()].concat())
    };
    let counts = |text: &str| {
        let (mut late, mut tied, mut repeated) = (0, 0, 0);
        let mut newest = 0;
        let mut last: HashMap<String, (i64, String)> = HashMap::new();
        for line in text.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let time = event["timestampInMs"].as_i64().expect("milliseconds");
            let pair =
                ["baseCurrency", "quoteCurrency", "exchange"].map(|name| event[name].to_string()).concat();
            match last.insert(pair, (time, line.to_owned())) {
                Some((_, before)) if before == line => repeated += 1,
                Some((before, _)) if before == time => tied += 1,
                _ => late += i32::from(time < newest),
            }
            newest = newest.max(time);
        }
        (late, tied, repeated)
    };
    assert_eq!(counts(&text("0")), (0, 0, 0));
    let (late, tied, repeated) = counts(&text("10"));
    for count in [late, tied, repeated] {
        assert!((1_500..2_500).contains(&count), "{late} late, {tied} tied, {repeated} repeated");
    }
    assert_eq!(text("1"), text("1"));
}

#[test]
fn rows_are_written_at_the_rate_and_with_the_present_time() {
    let start = std::time::Instant::now();
    let text = text_of(&["prices", "--events", "401", "--rate", "800", "-o", "-"]);
    assert!(start.elapsed() >= std::time::Duration::from_millis(500), "{:?}", start.elapsed());
    let times: Vec<i64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["timestampInMs"].as_i64().unwrap()
        })
        .collect();
    let newest = times.iter().max().unwrap();
    assert_eq!(times.len(), 401);
    assert!(newest - times[0] >= 400, "{} ms", newest - times[0]);
}
