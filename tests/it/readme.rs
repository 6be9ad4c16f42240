//! The documents say what is so: the settings are those of `--help`, and the files that are named are there.

use std::fmt::Write;
use std::fs;

use clap::{Arg, Command, CommandFactory};
use roundhouse::settings::Cli;

use crate::harness::repository;

const START: &str = "<!-- Settings: written by `make readme` from the options of src/settings -->\n";
const END: &str = "<!-- End of settings -->\n";

/// Set by `make readme`: the tables are written instead of compared.
const UPDATE: &str = "ROUNDHOUSE_UPDATE_README";

#[test]
fn the_readme_lists_every_option_with_its_variable_and_default() {
    let path = repository().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once(START).expect("the start of the settings in README.md");
    let (listed, after) = rest.split_once(END).expect("the end of the settings in README.md");
    let settings = settings();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{before}{START}{settings}{END}{after}")).expect("write README.md");
    } else {
        assert!(listed == settings, "README.md does not list the options as they are: make readme");
    }
}

/// Returns a table per subcommand, `serve` first and open, the others folded away.
fn settings() -> String {
    let mut root = Cli::command();
    root.build();
    let global = |arg: &Arg| arg.is_global_set();
    let mut text = String::from("\nEvery command:\n\n");
    table(&mut text, &root, global);
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        section(&mut text, "", command);
    }
    text.push('\n');
    text
}

fn section(text: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent}{}", command.get_name());
    if command.has_subcommands() {
        let subcommands = command.get_subcommands().filter(|command| command.get_name() != "help");
        return subcommands.for_each(|command| section(text, &format!("{name} "), command));
    }
    let open = if name == "serve" { " open" } else { "" };
    let _ = write!(text, "\n<details{open}><summary><code>roundhouse {name}</code></summary>\n\n");
    table(text, command, |arg| !arg.is_global_set());
    text.push_str("\n</details>\n");
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
    help.replace('|', "\\|").replace('<', "&lt;")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[test]
fn files_that_the_documents_name_are_there() {
    for document in ["README.md", "docs/ARCHITECTURE.md", "docs/FILES.md"] {
        let text = fs::read_to_string(repository().join(document)).expect(document);
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|path| {
            ["src/", "queries/", "schemas/", "tests/", "data/"].iter().any(|at| path.starts_with(at))
        }) {
            assert!(repository().join(path).exists(), "{document} names {path}");
        }
    }
}
