//! The files of the datasets `steps` and `prices`: their tables and endpoints on the embedded ClickHouse, compared with what the tests compute.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use roundhouse::dataset::Dataset;
use roundhouse::dataset::endpoint::Endpoint;
use tempfile::TempDir;

use crate::harness::ROUNDHOUSE;
use crate::harness::part::Part;

#[test]
fn the_endpoints_of_steps_and_prices_can_be_read() {
    for (dataset, aliases) in [
        ("steps", ["/highest_value", "/longest_step_chain", "/part/{value}", "/plot/{number}"].as_slice()),
        ("prices", &["/prices/latest", "/prices/ohlc", "/prices/pairs", "/prices/recent"]),
    ] {
        let dataset = Dataset::read(dataset, &[]).unwrap();
        let endpoints = dataset.endpoints.iter().map(|file| Endpoint::parse(file).unwrap());
        let mut paths: Vec<String> =
            endpoints.flat_map(|endpoint| endpoint.aliases).map(|alias| alias.path()).collect();
        paths.sort_unstable();
        assert_eq!(paths, aliases);
    }
}

/// The tables of a dataset in an embedded ClickHouse.
struct Tables {
    dataset: Dataset,
    part: Part,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Tables {
    async fn create(name: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let part = Part::start("clickhouse", directory.path(), &[]);
        let dataset = Dataset::read(name, &[]).unwrap();
        let tables = Self { dataset, part, http: reqwest::Client::new(), _directory: directory };
        for statement in &tables.dataset.tables {
            tables.sql(&statement.file.text, &[]).await;
        }
        tables
    }

    async fn sql(&self, text: &str, parameters: &[(&str, &str)]) -> String {
        let url = format!("{}/", self.part.url());
        let answer = self.http.post(url).query(parameters).body(text.to_owned()).send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{text}: {body}");
        body
    }

    /// Inserts CSV with a header, even if a block comes again.
    async fn insert(&self, csv: &str) {
        let table = &self.dataset.table;
        let statement = format!(
            "INSERT INTO {table} SETTINGS insert_deduplicate = 0, date_time_input_format = 'best_effort' FORMAT CSVWithNames\n{csv}"
        );
        self.sql(&statement, &[]).await;
    }

    /// Runs an endpoint. Returns its rows.
    async fn ask(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Vec<Vec<String>> {
        let file = self.dataset.endpoints.iter().find(|file| file.name == endpoint).expect("the endpoint");
        let named: Vec<(String, &str)> =
            parameters.iter().map(|(name, value)| (format!("param_{name}"), *value)).collect();
        let named: Vec<(&str, &str)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let text = self.sql(&format!("{}\nFORMAT TSV", file.text), &named).await;
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// Runs the checks that must return nothing.
    async fn assert_checks(&self, names: &[&str]) {
        for name in names {
            let check = self.dataset.checks.iter().find(|check| check.name == *name).expect("the check");
            assert_eq!(self.sql(&check.text, &[]).await, "", "{name}");
        }
    }
}

fn generate(arguments: &[&str]) -> String {
    let output = Command::new(ROUNDHOUSE).arg("generate").args(arguments).args(["-o", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the chain of a number.
fn chain(number: u128) -> Vec<u128> {
    let mut chain = vec![number];
    while let Some(value) = chain.last().copied().filter(|value| *value != 1) {
        chain.push(if value % 2 == 0 { value / 2 } else { 3 * value + 1 });
    }
    chain
}

fn chains(from: &str, to: &str) -> String {
    generate(&["steps", "--from", from, "--to", to])
}

#[tokio::test]
async fn steps_have_the_known_answers_however_often_a_chain_is_sent() {
    let tables = Tables::create("steps").await;
    let small = chains("1", "1000");
    for csv in [&small, &chains("837799", "837799"), &chains("704511", "704511")] {
        tables.insert(csv).await;
    }
    // Again, as blocks that cut chains.
    let lines: Vec<&str> = small.lines().collect();
    for block in lines[1..].chunks(7_001) {
        tables.insert(&format!("{}\n{}\n", lines[0], block.join("\n"))).await;
    }
    assert_eq!(tables.ask("longest_step_chain", &[]).await, [["837799", "524"]]);
    let [highest] = &tables.ask("highest_value", &[]).await[..] else { panic!("one row") };
    assert_eq!(highest[..2], ["704511", "56991483520"]);
    tables.insert(&chains("12327829503", "12327829503")).await;
    assert_eq!(tables.ask("highest_value", &[]).await, [["12327829503", "20722398914405051728", "202"]]);

    let numbers = (1..=1000).chain([704_511, 837_799, 12_327_829_503]);
    let known: BTreeMap<u128, Vec<u128>> = numbers.map(|number| (number, chain(number))).collect();
    for value in [1, 27, 9232, 56_991_483_520, 20_722_398_914_405_051_728] {
        let containing = known.iter().filter(|(number, chain)| **number != value && chain.contains(&value));
        let expected: BTreeSet<u128> = containing.map(|(number, _)| *number).collect();
        let found = tables.ask("part", &[("value", &value.to_string())]).await;
        assert_eq!(found.len(), expected.len(), "{value}");
        assert_eq!(found.iter().map(|row| row[0].parse().unwrap()).collect::<BTreeSet<u128>>(), expected);
    }
    for number in [1, 27, 837_799, 12_327_829_503] {
        let expected: Vec<Vec<String>> = (0..)
            .zip(&known[&number])
            .map(|(step, value): (u32, _)| vec![step.to_string(), value.to_string()])
            .collect();
        assert_eq!(tables.ask("plot", &[("number", &number.to_string())]).await, expected);
    }
    let lengths = tables.ask("distribution", &[]).await;
    assert_eq!(lengths.iter().map(|row| row[1].parse::<usize>().unwrap()).sum::<usize>(), known.len());
    let mut longest = None;
    let records = known.iter().filter(|(_, chain)| {
        let is_record = Some(chain.len()) > longest;
        longest = longest.max(Some(chain.len()));
        is_record
    });
    let expected: Vec<Vec<String>> =
        records.map(|(number, chain)| vec![number.to_string(), (chain.len() - 1).to_string()]).collect();
    assert_eq!(tables.ask("records", &[]).await, expected);
    tables
        .assert_checks(&["chains_against_steps", "incomplete_chains", "known_answers", "wrong_steps"])
        .await;
    tables.insert("number,step,value,produced_at\n2,1,3,2026-11-28 08:00:00\n").await;
    let wrong = tables.dataset.checks.iter().find(|check| check.name == "wrong_steps").unwrap();
    assert_eq!(tables.sql(&wrong.text, &[]).await.lines().count(), 1);
}

/// An event as its line has it. The offset is its position among all events.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    pair: [String; 3],
    /// In units of 10^-12.
    price: u128,
    values: [String; 3],
    time: DateTime<Utc>,
    offset: usize,
}

impl Event {
    fn read(line: &str, offset: usize) -> Self {
        let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        let (whole, fraction) = fields[3].split_once('.').unwrap_or((&fields[3], ""));
        Self {
            pair: [fields[0].clone(), fields[1].clone(), fields[2].clone()],
            price: format!("{whole}{fraction:0<12}").parse().unwrap(),
            values: [fields[3].clone(), fields[4].clone(), fields[5].clone()],
            time: fields[6].parse().unwrap(),
            offset,
        }
    }

    fn position(&self) -> (DateTime<Utc>, usize) {
        (self.time, self.offset)
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the rows of `ohlc`, computed from all events of a pair.
fn candles(events: &[&Event], seconds: i64) -> Vec<Vec<String>> {
    let mut intervals: BTreeMap<i64, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let start = event.time.timestamp() / seconds * seconds;
        intervals.entry(start).or_default().push(event);
    }
    let candle = |(start, events): (i64, Vec<&Event>)| {
        let open = events.iter().min_by_key(|event| event.position()).unwrap();
        let close = events.iter().max_by_key(|event| event.position()).unwrap();
        let high = events.iter().max_by_key(|event| event.price).unwrap();
        let low = events.iter().min_by_key(|event| event.price).unwrap();
        let different: BTreeSet<_> = events.iter().map(|event| (event.time, &event.values)).collect();
        let prices = [open, high, low, close].map(|event| event.values[0].clone());
        let start = shown(DateTime::from_timestamp(start, 0).unwrap());
        [start].into_iter().chain(prices).chain([different.len().to_string()]).collect()
    };
    intervals.into_iter().map(candle).collect()
}

#[tokio::test]
async fn candles_and_latest_prices_are_exact_with_ties_late_and_repeated_events_and_after_they_were_combined()
{
    let tables = Tables::create("prices").await;
    let mut events: Vec<Event> = Vec::new();
    let midnight = DateTime::from_timestamp(Utc::now().timestamp() / 86_400 * 86_400, 0).unwrap();
    // Minutes are kept for 90 days, hours for five years.
    let ages = [(2_300, ["1d", "auto"], 86_400), (100, ["1h", "auto"], 3_600), (1, ["1m", "auto"], 60)];
    for (days, _, _) in ages {
        let start = (midnight - Duration::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
        let csv = generate(&[
            "prices",
            "--pairs",
            "12",
            "--events",
            "9000",
            "--start",
            &start,
            "--seconds",
            "7200",
            "--format",
            "csv",
            "--late-percent",
            "10",
            "--tie-percent",
            "10",
            "--repeat-percent",
            "10",
            "--seed",
            &days.to_string(),
        ]);
        let first = events.len();
        events.extend(csv.lines().skip(1).zip(first..).map(|(line, offset)| Event::read(line, offset)));
        let mut lines: Vec<String> =
            csv.lines().skip(1).zip(first..).map(|(line, offset)| format!("{line},1,0,{offset}")).collect();
        // A block that comes again, and blocks in another order than their events.
        lines.extend_from_within(2_000..3_500);
        lines.rotate_left(4_321);
        for block in lines.chunks(1_717) {
            let header = "base,quote,exchange,price,base_volume_24h,quote_volume_24h,timestamp,kafka_epoch,kafka_partition,kafka_offset";
            tables.insert(&format!("{header}\n{}\n", block.join("\n"))).await;
        }
        tables.assert_checks(&["candles_against_events", "latest_against_events"]).await;
    }
    let mut pairs: BTreeMap<[String; 3], Vec<&Event>> = BTreeMap::new();
    for event in &events {
        pairs.entry(event.pair.clone()).or_default().push(event);
    }
    for is_combined in [false, true] {
        if is_combined {
            tables.sql("OPTIMIZE TABLE candles FINAL", &[]).await;
            let old = "SELECT countIf(start != toStartOfHour(start)), countIf(start < now() - INTERVAL 5 YEAR AND start != toStartOfDay(start)) \
                       FROM candles WHERE start < now() - INTERVAL 91 DAY";
            assert_eq!(tables.sql(old, &[]).await, "0\t0\n");
        }
        for (pair, events) in &pairs {
            for (days, intervals, seconds) in ages {
                let from = midnight - Duration::days(days);
                let to = from + Duration::days(1);
                let those: Vec<&Event> =
                    events.iter().copied().filter(|event| (from..to).contains(&event.time)).collect();
                let expected = candles(&those, seconds);
                for interval in intervals {
                    let found = tables.ask("ohlc", &of_pair(pair, &shown(from), &shown(to), interval)).await;
                    assert_eq!(
                        found, expected,
                        "{pair:?}, {days} days ago, {interval}, combined: {is_combined}"
                    );
                }
            }
        }
    }
    let all = [("base", "\\N"), ("quote", "\\N"), ("exchange", "\\N"), ("pairs", "[]")];
    let mut latest = tables.ask("latest", &all).await;
    latest.sort_unstable();
    let expected: Vec<Vec<String>> = pairs
        .iter()
        .map(|(pair, events)| {
            let last = events.iter().max_by_key(|event| event.position()).unwrap();
            let [price, base_volume, quote_volume] = last.values.clone();
            let time = last.time.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
            pair.iter().cloned().chain([price, time, base_volume, quote_volume]).collect()
        })
        .collect();
    assert_eq!(latest, expected);
}

fn of_pair<'a>(
    pair: &'a [String; 3],
    from: &'a str,
    to: &'a str,
    interval: &'a str,
) -> [(&'static str, &'a str); 6] {
    [
        ("base", &pair[0]),
        ("quote", &pair[1]),
        ("exchange", &pair[2]),
        ("from", from),
        ("to", to),
        ("interval", interval),
    ]
}
