//! Files to upload: generated ones, and hand-written rows.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ROUNDHOUSE;

/// The header line of a file.
pub const HEADER: &str = "created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,bonus_amount_bet,\
     real_amount_win,bonus_amount_win,game_name,provider";

/// Writes a file with `roundhouse generate`.
pub fn generate(path: &Path, options: &[&str]) -> PathBuf {
    let output = Command::new(ROUNDHOUSE)
        .args(["--log", "error", "generate", "-o"])
        .arg(path)
        .args(options)
        .output()
        .expect("run generate");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path.to_owned()
}

/// Writes a file, and returns its path.
pub fn write(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Returns a line for each id, all in one hour.
pub fn lines(ids: Range<u64>) -> String {
    ids.map(|id| line(id, "0.25")).collect()
}

/// Returns the line of one id, with this bet.
pub fn line(id: u64, bet: &str) -> String {
    format!("2020-02-03 04:05:06,{id},player-{},7,{bet},0,0.1,NULL,Café 日本,Play'n GO\n", id % 3)
}

/// Returns a file that can be read only up to its header: the following line exceeds the maximum length.
pub fn with_endless_line() -> String {
    format!("{HEADER}\n{}", "x".repeat(2 << 20))
}

/// Returns a file with these ids.
pub fn csv(ids: Range<u64>) -> String {
    format!("{HEADER}\n{}", lines(ids))
}
