//! Files and values as operators have them: the server does what docs/FILES.md says.

mod agreement;
mod all_faults;
mod outcomes;
mod time_zones;
mod values;

use std::collections::BTreeSet;
use std::fs;

use crate::harness::repository;

/// Returns the codes in the first column of the table under this heading of docs/FILES.md.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("docs/FILES.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).expect("the section");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `"));
    cells.map(|line| line.split_once('`').unwrap().0.to_owned()).collect()
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}
