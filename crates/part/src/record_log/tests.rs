use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Number {
    number: u32,
}

const KIND: LogFile = LogFile {
    part: "part",
    name: "numbers.jsonl",
    mark: "numbers.durable",
    format: 3,
    max_bytes: 1 << 20,
    without_backup: "count again",
};

fn open(directory: &Path) -> RecordLog<Number> {
    RecordLog::open(directory, KIND, |_| Ok(())).expect("open")
}

fn numbers(directory: &Path) -> Result<Vec<u32>, EmbeddedError> {
    let mut numbers = Vec::new();
    RecordLog::<Number>::open(directory, KIND, |record| {
        numbers.push(record.number);
        Ok(())
    })?;
    Ok(numbers)
}

fn records(numbers: impl IntoIterator<Item = u32>) -> Vec<Number> {
    numbers.into_iter().map(|number| Number { number }).collect()
}

/// Returns a directory with a log of the numbers from 1 to `count`, and the path of its file.
fn written(count: u32) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut log = open(directory.path());
    records(1..=count).iter().for_each(|record| log.append(record).expect("append"));
    let path = directory.path().join(KIND.name);
    (directory, path)
}

/// Opens a log with other bytes. None if that fails.
fn numbers_after(directory: &Path, path: &Path, bytes: &[u8]) -> Option<Vec<u32>> {
    fs::write(path, bytes).expect("write");
    numbers(directory).ok()
}

#[test]
fn appended_records_are_read_back() {
    let (directory, path) = written(2);
    assert_eq!(numbers(directory.path()).expect("open"), [1, 2]);
    let mut log = open(directory.path());
    log.append_all(&records([3, 4])).expect("append");
    assert_eq!(log.bytes(), fs::metadata(path).expect("metadata").len());
    assert_eq!(numbers(directory.path()).expect("open"), [1, 2, 3, 4]);
}

#[test]
fn an_incomplete_last_line_is_cut_off_and_writing_continues() {
    let (directory, path) = written(1);
    let whole = fs::read(&path).expect("read");
    let mark = fs::read(directory.path().join(KIND.mark)).expect("read");
    let line = to_line(&Number { number: 2 }).expect("a line");
    for length in 0..line.len() {
        for zeros in [0, 5000] {
            let torn = [&whole, &line.as_bytes()[..length], &vec![0; zeros]].concat();
            fs::write(&path, torn).expect("write");
            fs::write(directory.path().join(KIND.mark), &mark).expect("write");
            open(directory.path()).append(&Number { number: 3 }).expect("append");
            assert_eq!(numbers(directory.path()).expect("open"), [1, 3]);
        }
    }
}

#[test]
fn opening_fails_and_keeps_the_file_unchanged_if_acknowledged_lines_are_missing() {
    let (directory, path) = written(2);
    let whole = fs::read(&path).expect("read");
    for length in 0..whole.len() {
        assert_eq!(numbers_after(directory.path(), &path, &whole[..length]), None, "{length} bytes left");
        assert_eq!(fs::read(&path).expect("read"), &whole[..length]);
        let zeroed = [&whole[..length], &vec![0; whole.len() - length]].concat();
        assert_eq!(numbers_after(directory.path(), &path, &zeroed), None, "zeros from {length}");
        assert_eq!(fs::read(&path).expect("read"), zeroed);
    }
    fs::remove_file(&path).expect("removed");
    let refused = numbers(directory.path()).expect_err("a refusal").to_string();
    assert!(refused.contains("numbers.jsonl is damaged (it is missing)"), "{refused}");
    assert!(refused.contains("restore it") && refused.contains("count again"), "{refused}");
}

#[test]
fn opening_fails_if_any_byte_was_changed() {
    let (directory, path) = written(2);
    let whole = fs::read(&path).expect("read");
    for position in 0..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        assert_eq!(numbers_after(directory.path(), &path, &changed), None, "byte {position}");
    }
}

#[test]
fn without_its_mark_a_complete_file_is_used_but_an_incomplete_one_is_not() {
    for damage in ["missing", "zeroed", "of another log"] {
        let (directory, path) = written(2);
        let mark = directory.path().join(KIND.mark);
        let damage_mark = || match damage {
            "missing" => drop(fs::remove_file(&mark)),
            "zeroed" => fs::write(&mark, [0; 600]).expect("write"),
            _ => drop(Known::Nothing.reaching(&mark, Uuid::from_u128(7), 10).expect("a mark")),
        };
        let whole = fs::read(&path).expect("read");
        damage_mark();
        assert_eq!(numbers_after(directory.path(), &path, &whole[..whole.len() - 3]), None, "{damage}");
        damage_mark();
        let found = numbers_after(directory.path(), &path, &whole);
        assert_eq!(found, (damage != "of another log").then(|| vec![1, 2]), "{damage}");
    }
}

#[test]
fn another_format_and_records_of_another_kind_are_refused() {
    let path = |directory: &tempfile::TempDir| directory.path().join(KIND.name);
    let newer = tempfile::tempdir().expect("temporary directory");
    fs::write(path(&newer), to_line(&Header::new(KIND.format + 1)).expect("line")).expect("write");
    let refused = numbers(newer.path()).expect_err("a refusal").to_string();
    assert!(refused.contains("line 1: it was written by another version of roundhouse"), "{refused}");

    let other = tempfile::tempdir().expect("temporary directory");
    let mut log = RecordLog::<String>::open(other.path(), KIND, |_| Ok(())).expect("open");
    log.append(&"text".to_owned()).expect("append");
    let refused = numbers(other.path()).expect_err("a refusal").to_string();
    assert!(refused.contains("line 2: it is not a record of this log"), "{refused}");
}

#[test]
fn a_record_that_does_not_fit_is_refused_and_later_ones_are_written() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut log = RecordLog::<String>::open(directory.path(), KIND, |_| Ok(())).expect("open");
    let large = "x".repeat(1 << 20);
    assert!(matches!(log.append(&large), Err(WriteError::Full { .. })));
    assert!(matches!(log.replace_all([&large]), Err(WriteError::Full { .. })));
    log.append(&"fits".to_owned()).expect("append");
}

#[test]
fn a_replaced_log_has_the_new_records_and_is_continued() {
    let (directory, _) = written(9);
    let mut log = open(directory.path());
    let before = log.bytes();
    log.replace_all(&records([7])).expect("replace");
    assert!(log.bytes() < before);
    log.append(&Number { number: 8 }).expect("append");
    assert_eq!(numbers(directory.path()).expect("open"), [7, 8]);
    let mut log = open(directory.path());
    log.replace_all(&[]).expect("replace");
    log.append(&Number { number: 9 }).expect("append");
    assert_eq!(numbers(directory.path()).expect("open"), [9]);
}

#[test]
fn a_crash_while_a_log_is_replaced_leaves_the_old_records_or_the_new_ones() {
    let (directory, path) = written(3);
    let mark = directory.path().join(KIND.mark);
    let (old_log, old_mark) = (fs::read(&path).expect("read"), fs::read(&mark).expect("read"));
    open(directory.path()).replace_all(&records([7, 8])).expect("replace");
    let new_log = fs::read(&path).expect("read");

    // Before the new file has its name: a part of the draft may be there.
    fs::write(draft_of(&path), &new_log[..new_log.len() / 2]).expect("write");
    fs::write(&path, &old_log).expect("write");
    fs::write(&mark, &old_mark).expect("write");
    assert_eq!(numbers(directory.path()).expect("open"), [1, 2, 3]);

    // Afterwards, before the mark of the new file.
    for length in 0..new_log.len() {
        fs::write(&mark, &old_mark).expect("write");
        assert_eq!(numbers_after(directory.path(), &path, &new_log[..length]), None, "{length} bytes left");
    }
    fs::write(&mark, &old_mark).expect("write");
    assert_eq!(numbers_after(directory.path(), &path, &new_log), Some(vec![7, 8]));
    assert_eq!(numbers(directory.path()).expect("the mark is the new file's now"), [7, 8]);
    assert_eq!(numbers_after(directory.path(), &path, &old_log), None, "the old file came back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_to_one_of_the_files_loses_a_record_unnoticed(
        replaced in any::<bool>(),
        of_mark in any::<bool>(),
        place in any::<prop::sample::Index>(),
        change in prop_oneof![Just(None), (1_u8..).prop_map(Some)],
    ) {
        let (directory, path) = written(3);
        if replaced {
            open(directory.path()).replace_all(&records([1, 2, 3])).expect("replace");
        }
        let damaged = if of_mark { directory.path().join(KIND.mark) } else { path };
        let mut bytes = fs::read(&damaged).expect("read");
        let place = place.index(bytes.len());
        match change {
            Some(flip) => bytes[place] ^= flip,
            None => bytes.truncate(place),
        }
        fs::write(&damaged, bytes).expect("write");
        if let Ok(numbers) = numbers(directory.path()) {
            prop_assert_eq!(numbers, [1, 2, 3]);
        }
    }
}
