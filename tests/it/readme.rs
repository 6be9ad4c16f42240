//! README.md and docs/ are true: paths, links, commands, options and variables that they name exist.

mod api;
mod commands;
mod exit_codes;
mod links;
mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use roundhouse::settings::Cli;

use crate::harness::repository;

/// One Markdown file.
struct Document {
    /// Relative to the repository.
    name: String,
    path: PathBuf,
    text: String,
}

impl Document {
    fn read(path: PathBuf) -> Self {
        let name = path.strip_prefix(repository()).expect("a file of the repository").display().to_string();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, path, text }
    }

    /// Returns the lines of the code blocks, each with the language of its block.
    fn code(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split("```").skip(1).step_by(2).flat_map(|block| {
            let (language, code) = block.split_once('\n').unwrap_or((block, ""));
            code.lines().map(move |line| (language.trim(), line))
        })
    }

    /// Returns what stands between backticks in the text, without the code blocks.
    fn quoted(&self) -> impl Iterator<Item = &str> {
        self.text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2))
    }
}

/// Returns README.md and everything in docs/.
fn documents() -> Vec<Document> {
    let docs = fs::read_dir(repository().join("docs")).expect("docs");
    let docs = docs.map(|entry| entry.expect("an entry of docs").path());
    let markdown = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut paths: Vec<_> = markdown.chain([repository().join("README.md")]).collect();
    paths.sort();
    paths.into_iter().map(Document::read).collect()
}

/// Returns the command line interface with everything that clap adds to it.
fn command_line() -> Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// Returns every command, with its subcommands.
fn all_commands(root: &Command) -> Vec<&Command> {
    std::iter::once(root).chain(root.get_subcommands().flat_map(all_commands)).collect()
}

#[test]
fn paths_that_the_documents_quote_exist() {
    let folders =
        ["src/", "queries/", "schemas/", "tests/", "data/", "docs/", "deploy/", "scripts/", "engine/"];
    let mut missing = BTreeSet::new();
    for document in documents() {
        let paths =
            document.quoted().filter(|quoted| folders.iter().any(|folder| quoted.starts_with(folder)));
        let absent = paths.filter(|path| !repository().join(path).exists());
        missing.extend(absent.map(|path| format!("{} names {path}", document.name)));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn options_and_variables_that_the_documents_quote_exist() {
    let root = command_line();
    let commands = all_commands(&root);
    let arguments = || commands.iter().flat_map(|command| command.get_arguments());
    let options: BTreeSet<String> =
        arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
    let variables: BTreeSet<&str> = arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let mut unknown = BTreeSet::new();
    for document in documents() {
        for word in document.quoted().filter_map(|quoted| quoted.split([' ', '=']).next()) {
            let is_wrong = match word {
                // Of zstd, curl and npm; and the pattern of a name.
                "--long" | "--prefix" => false,
                word if word.contains('…') => false,
                word if word.starts_with("--") => !options.contains(word),
                word if word.starts_with("ROUNDHOUSE_") => !variables.contains(word),
                _ => false,
            };
            if is_wrong {
                unknown.insert(format!("{} names {word}", document.name));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
