//! docs/COMMANDS.md has the exit codes of every command as `--help` has them. `make settings` writes the table.

use std::fmt::Write;
use std::fs;

use clap::Command;

use super::command_line;
use super::settings::UPDATE;
use crate::harness::repository;

const START: &str = "<!-- Written by `make settings` from the help of the commands. Do not edit. -->\n";

#[test]
fn the_page_of_commands_lists_the_exit_codes_of_every_command() {
    let path = repository().join("docs/COMMANDS.md");
    let page = fs::read_to_string(&path).expect("docs/COMMANDS.md");
    let (introduction, listed) = page.split_once(START).expect("the start of the table in docs/COMMANDS.md");
    let mut table = String::from("\n| command | exit code | meaning |\n|---|---|---|\n");
    rows(&mut table, "", &command_line());
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{introduction}{START}{table}")).expect("write docs/COMMANDS.md");
    } else {
        assert!(listed == table, "docs/COMMANDS.md differs from the help of the commands; run make settings");
    }
}

/// Adds the exit codes of a command, or of its subcommands.
fn rows(table: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let subcommands = command.get_subcommands().filter(|command| command.get_name() != "help");
    let subcommands: Vec<&Command> = subcommands.collect();
    if !subcommands.is_empty() {
        return subcommands.into_iter().for_each(|command| rows(table, &name, command));
    }
    let codes = exit_codes(command);
    assert!(codes.len() >= 2, "the help of{name} lists no exit codes");
    for (code, meaning) in codes {
        let _ = writeln!(table, "| `{}` | {code} | {meaning} |", name.trim());
    }
}

/// Reads the exit codes from the end of a command's help.
fn exit_codes(command: &Command) -> Vec<(String, String)> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let list = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let lines = list.take_while(|line| line.starts_with("  ")).filter_map(|line| line.trim().split_once(' '));
    lines.map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned())).collect()
}
