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
        if let Value::Decimal(units) = row.values[4] {
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
