//! Commands in the code blocks of the documents.

use std::collections::BTreeSet;
use std::fs;

use clap::Parser;
use roundhouse::settings::Cli;

use super::{Document, documents};
use crate::harness::repository;

/// Returns the commands of a document, with continued lines joined and without comments.
pub(super) fn commands(document: &Document) -> Vec<String> {
    let mut commands = Vec::new();
    let mut open: Option<String> = None;
    for (language, line) in document.code() {
        let start = match language {
            "sh" => Some(line),
            "console" => line.strip_prefix("$ "),
            _ => None,
        };
        let line = match (open.take(), start) {
            (Some(begun), _) => format!("{begun} {}", line.trim()),
            (None, Some(line)) => line.to_owned(),
            (None, None) => continue,
        };
        match line.strip_suffix('\\') {
            Some(begun) => open = Some(begun.trim_end().to_owned()),
            None => commands.push(line.split(" #").next().unwrap_or_default().trim().to_owned()),
        }
    }
    commands
}

/// Returns every call of `program` in a command, as words.
fn calls<'a>(command: &'a str, program: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    command
        .split(['|', '>'])
        .map(|part| part.split_whitespace().collect::<Vec<_>>())
        .filter(move |words| words.first() == Some(&program))
}

#[test]
fn commands_of_roundhouse_in_the_documents_are_ones_that_it_accepts() {
    let mut refused = BTreeSet::new();
    let mut found = 0;
    for document in documents() {
        for command in commands(&document) {
            for words in calls(&command, "roundhouse") {
                found += 1;
                if let Err(error) = Cli::try_parse_from(&words) {
                    refused.insert(format!("{}: {}: {error}", document.name, words.join(" ")));
                }
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(found > 5, "only {found} commands were found");
}

#[test]
fn recipes_that_the_documents_name_are_in_the_makefile() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("Makefile");
    let recipes: BTreeSet<_> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    for document in documents() {
        let commands = commands(&document);
        let quoted = document.quoted().map(str::to_owned);
        for command in commands.into_iter().chain(quoted) {
            for recipe in calls(&command, "make").filter_map(|words| words.get(1).copied()) {
                assert!(recipes.contains(recipe), "{} names make {recipe}", document.name);
            }
        }
    }
}

#[test]
fn files_in_the_commands_of_the_documents_exist_or_are_made_by_an_earlier_command() {
    for document in documents() {
        let mut made = BTreeSet::new();
        for command in commands(&document) {
            for file in files(&command) {
                let exists = made.contains(&file) || repository().join(&file).exists();
                let is_made =
                    [format!("> {file}"), format!("-o {file}")].iter().any(|by| command.contains(by));
                assert!(exists || is_made, "{}: {command}: {file} does not exist", document.name);
                made.insert(file);
            }
        }
    }
}

/// Returns the words that are names of files, also those after `@`, as curl has it.
fn files(command: &str) -> Vec<String> {
    let words = command.split([' ', '\'', '"']).filter(|word| !word.contains("://"));
    let words = words.map(|word| word.rsplit('@').next().unwrap_or(word));
    let is_file = |word: &&str| {
        let has_extension =
            [".csv", ".sql", ".gz", ".zst", ".yml"].iter().any(|extension| word.ends_with(extension));
        has_extension || ["data/", "queries/", "scripts/"].iter().any(|folder| word.starts_with(folder))
    };
    words.filter(is_file).map(str::to_owned).collect()
}
