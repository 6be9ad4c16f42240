//! Files to upload: from the generator, and a few rows by hand.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ROUNDHOUSE;

/// The columns of a file.
pub const HEADER: &str = "created_timestamp,game_instance_id,user_id,game_id,real_amount_bet,bonus_amount_bet,\
     real_amount_win,bonus_amount_win,game_name,provider";

/// Has `roundhouse generate` write a file.
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

/// Writes a line for each id, all in one hour.
pub fn lines(ids: Range<u64>) -> String {
    ids.map(|id| line(id, "0.25")).collect()
}

/// Writes the line of one id, with this bet.
pub fn line(id: u64, bet: &str) -> String {
    format!("2020-02-03 04:05:06,{id},player-{},7,{bet},0,0.1,NULL,Café 日本,Play'n GO\n", id % 3)
}

/// Writes a file that can be read as far as its header: the line behind it is longer than any may be.
pub fn with_endless_line() -> String {
    format!("{HEADER}\n{}", "x".repeat(2 << 20))
}

/// Writes a file of some ids.
pub fn csv(ids: Range<u64>) -> String {
    format!("{HEADER}\n{}", lines(ids))
}
