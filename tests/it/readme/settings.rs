//! docs/SETTINGS.md lists every option as `--help` has it. `make settings` writes it.

use std::fmt::Write;
use std::fs;

use clap::{Arg, Command};

use super::command_line;
use crate::harness::repository;

const START: &str = "<!-- Written by `make settings` from the options in src/settings. Do not edit. -->\n";

/// Set by `make settings`: the tables are written instead of compared.
pub const UPDATE: &str = "ROUNDHOUSE_UPDATE_README";

#[test]
fn the_settings_page_lists_every_option_with_its_variable_and_default() {
    let path = repository().join("docs/SETTINGS.md");
    let page = fs::read_to_string(&path).expect("docs/SETTINGS.md");
    let (introduction, listed) = page.split_once(START).expect("the start of the tables in docs/SETTINGS.md");
    let tables = tables();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{introduction}{START}{tables}")).expect("write docs/SETTINGS.md");
    } else {
        assert!(
            listed == tables,
            "docs/SETTINGS.md differs from the options of the program; run make settings"
        );
    }
}

/// Returns a table for each command.
fn tables() -> String {
    let root = command_line();
    let mut text = String::from("\n## Every command\n\n");
    table(&mut text, &root, Arg::is_global_set);
    for command in subcommands(&root) {
        section(&mut text, "roundhouse", command);
    }
    text
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help")
}

fn section(text: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    if command.has_subcommands() {
        return subcommands(command).for_each(|command| section(text, &name, command));
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n## {name}\n\n{}\n\n", escaped(&about));
    table(text, command, |arg| !arg.is_global_set());
}

fn table(text: &mut String, command: &Command, of_interest: impl Fn(&Arg) -> bool) {
    text.push_str("| option | variable | default | |\n|---|---|---|---|\n");
    let builtin = |arg: &Arg| ["help", "version"].contains(&arg.get_id().as_str());
    for arg in command.get_arguments().filter(|arg| of_interest(arg) && !builtin(arg) && !arg.is_hide_set()) {
        let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            code(&flag(arg)),
            variable.as_deref().map(code).unwrap_or_default(),
            Some(defaults.join(",")).filter(|text| !text.is_empty()).as_deref().map(code).unwrap_or_default(),
            help(arg),
        );
    }
}

fn flag(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        _ => arg.get_id().as_str().to_uppercase(),
    }
}

fn help(arg: &Arg) -> String {
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| code(value.get_name())).collect();
    if !values.is_empty() {
        let _ = write!(help, " ({})", values.join(", "));
    }
    escaped(&help)
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}
