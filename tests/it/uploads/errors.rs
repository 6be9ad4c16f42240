//! docs/ERRORS.md lists exactly the codes of the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::repository;

/// The source of the errors that clients see.
const SOURCES: [&str; 4] =
    ["src/http", "src/ingest/upload/error.rs", "src/ingest/mod.rs", "src/warehouse/client.rs"];

/// Calls with a code among the next 120 characters.
const MAKERS: [&str; 4] = ["Problem::new(", "Self::new(", "Self::caused(", "unavailable("];

#[test]
fn every_code_is_documented_and_every_documented_code_exists() {
    let mut in_source = BTreeSet::new();
    for source in SOURCES {
        collect(&repository().join(source), &mut in_source);
    }
    assert!(in_source.len() > 25, "{in_source:?}");
    let table = fs::read_to_string(repository().join("docs/ERRORS.md")).unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(code, _)| code.to_owned()))
        .collect();
    let difference: Vec<&String> = in_source.symmetric_difference(&documented).collect();
    assert!(difference.is_empty(), "only in the source or only in docs/ERRORS.md: {difference:?}");
}

fn collect(path: &Path, codes: &mut BTreeSet<String>) {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), codes));
    }
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    for maker in MAKERS {
        for (at, _) in text.match_indices(maker) {
            let call: String = text[at + maker.len()..].chars().take(120).collect();
            // Texts after the call are not codes: `.with("limit_rows", …)`.
            codes.extend(call.split(").").next().and_then(first_code));
        }
    }
    if !path.starts_with(repository().join("src/http")) {
        for (at, _) in text.match_indices("=> \"") {
            codes.extend(first_code(&text[at + 3..]));
        }
    }
}

/// The first text in quotes, if it looks like a code.
fn first_code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('"')?;
    let (code, _) = rest.split_once('"')?;
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_code.then(|| code.to_owned())
}
