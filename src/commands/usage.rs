//! What is wrong with a command line, in one line. A secret that was given is not shown in it.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory};

use crate::settings::{Cli, without_password};

/// Stands for what is not shown.
const HIDDEN: &str = "***";

/// Returns the line. `arguments`: what was on the command line.
pub(super) fn line(mut error: clap::Error, arguments: &[String]) -> String {
    let command = Cli::command();
    hide_secrets(&command, &mut error, arguments);
    let text = error.to_string();
    let line: Vec<&str> = text.split("\n\n").next().unwrap_or_default().lines().map(str::trim).collect();
    let line = line.join(" ");
    let option = format!("'{}'", self::text(&error, ContextKind::InvalidArg));
    let line = match variable(&command, &error, arguments) {
        Some(variable) => line.replacen(&option, &format!("{option} (from {variable})"), 1),
        None => line,
    };
    let line = without_password(line.trim_start_matches("error: "));
    format!("{line}{} (see --help)", suggestion(&error))
}

/// Returns the environment variable that the value of an option comes from. None if the option is on the command line.
fn variable(command: &Command, error: &clap::Error, arguments: &[String]) -> Option<String> {
    let option = text(error, ContextKind::InvalidArg);
    let long = option.strip_prefix("--")?.split([' ', '=']).next()?;
    let is_given = |argument: &String| {
        argument.strip_prefix("--").is_some_and(|argument| argument.split('=').next() == Some(long))
    };
    if arguments.iter().any(is_given) {
        return None;
    }
    let is_of_variable =
        |option: &&Arg| option.get_long() == Some(long) && option.get_env().is_some_and(is_set);
    let option = all_options(command).into_iter().find(is_of_variable)?;
    Some(option.get_env()?.to_string_lossy().into_owned())
}

fn is_set(variable: &std::ffi::OsStr) -> bool {
    std::env::var_os(variable).is_some()
}

/// Returns the names that are probably meant. clap puts the most similar one last.
fn suggestion(error: &clap::Error) -> String {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let suggested: Vec<String> = kinds
        .into_iter()
        .filter_map(|kind| error.get(kind))
        .flat_map(|value| match value {
            ContextValue::String(one) => vec![one.clone()],
            ContextValue::Strings(several) => several.iter().rev().cloned().collect(),
            _ => Vec::new(),
        })
        .map(|suggested| format!("'{suggested}'"))
        .collect();
    match suggested.is_empty() {
        true => String::new(),
        false => format!("; did you mean {}?", suggested.join(" or ")),
    }
}

/// Removes the value of a secret option, a value that may have been meant for one, and what stands before an `@`, as a password does.
fn hide_secrets(command: &Command, error: &mut clap::Error, arguments: &[String]) {
    let secrets = secret_options(command);
    let option = text(error, ContextKind::InvalidArg);
    let is_stray = error.kind() == ErrorKind::UnknownArgument && !option.starts_with('-');
    let is_secret = |text: &str| {
        let name = text.split([' ', '=']).next().unwrap_or_default();
        secrets.iter().any(|secret| name.strip_prefix("--") == Some(secret))
    };
    let value = text(error, ContextKind::InvalidValue);
    let (kind, shown) = if is_secret(&option) {
        (ContextKind::InvalidValue, HIDDEN.to_owned())
    } else if is_stray && arguments.iter().any(|argument| is_secret(argument)) {
        (ContextKind::InvalidArg, HIDDEN.to_owned())
    } else if let Some((_, host)) = value.rsplit_once('@') {
        (ContextKind::InvalidValue, format!("{HIDDEN}@{host}"))
    } else {
        return;
    };
    error.insert(kind, ContextValue::String(shown));
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Returns the names of the options whose value the help does not show either.
fn secret_options(command: &Command) -> Vec<String> {
    let secrets = all_options(command).into_iter().filter(|option| option.is_hide_env_values_set());
    secrets.filter_map(|option| option.get_long().map(str::to_owned)).collect()
}

fn all_options(command: &Command) -> Vec<&Arg> {
    command.get_arguments().chain(command.get_subcommands().flat_map(all_options)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(arguments: &[&str]) -> String {
        let arguments: Vec<String> =
            ["roundhouse"].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
        line(Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn a_rejected_secret_is_not_shown() {
        for arguments in [
            ["serve", "--api-key", "s3cret"].as_slice(),
            &["serve", "--api-key=s3cret"],
            &["serve", "--api-key", "a-key-that-is-long-enough,s3cret"],
            &["serve", "--api-key", "a-key-that-is-long-enough", "s3cret"],
            &["serve", "--clickhouse-password=a", "s3cret"],
            &["aggregates", "--api-key", "a", "s3cret"],
            &["serve", "--api-keys=s3cret"],
            &["upload", "--server", "http://s3cret@host:x", "a.csv"],
            &["upload", "--server", "ann:s3cret@host:x", "a.csv"],
            &["upload", "--server", "http://ann:s3/cret@host:x", "a.csv"],
            &["serve", "--listen", "ann:s3cret@127.0.0.1:8000"],
        ] {
            let said = said(arguments);
            assert!(!said.contains("s3cret") && !said.contains("s3/cret"), "{said}");
            assert!(said.ends_with("(see --help)") && said.len() > 30, "{said}");
        }
    }

    #[test]
    fn a_value_that_is_not_secret_is_shown() {
        assert!(said(&["serve", "--kafka-partitions", "many"]).contains("'many'"));
        assert!(said(&["serve", "elsewhere"]).contains("'elsewhere'"));
        assert!(said(&["serve", "--api-key", "short"]).contains("--api-key <KEY>"));
    }

    #[test]
    fn a_similar_name_is_suggested() {
        for (arguments, text) in [
            (["uplaod", "a.csv"].as_slice(), "unrecognized subcommand 'uplaod'; did you mean 'upload' or "),
            (&["upload", "--vallidate-only", "a.csv"], "did you mean '--validate-only'?"),
            (&["upload", "--wait", "visibel", "a.csv"], "did you mean 'visible'?"),
        ] {
            let said = said(arguments);
            assert!(said.contains(text), "{said}");
        }
    }

    /// Words of Rust's own errors.
    const RUST: [&str; 5] = ["invalid digit", "syntax", "relative URL", "is not in", "invalid character"];

    #[test]
    fn a_value_that_cannot_be_used_is_named_with_its_option_and_an_example() {
        for (arguments, option, example) in [
            (["serve", "--listen", "here:8000"].as_slice(), "--listen", "127.0.0.1:8000"),
            (&["serve", "--embedded-kafka-listen", ":9092"], "--embedded-kafka-listen", "127.0.0.1:9092"),
            (&["serve", "--max-upload-bytes", "8 gigs"], "--max-upload-bytes", "512MiB or 8GB"),
            (&["serve", "--disk-reserve-bytes", "1KiB"], "--disk-reserve-bytes", "16777216"),
            (&["serve", "--query-timeout-seconds", "10s"], "--query-timeout-seconds", "from 1 to 600"),
            (&["serve", "--kafka-partitions", "1000"], "--kafka-partitions", "from 1 to 256"),
            (&["serve", "--max-concurrent-uploads", "many"], "--max-concurrent-uploads", "whole number"),
            (&["aggregates", "--server", "http//host"], "--server", "http://127.0.0.1:8000"),
            (&["aggregates", "--game", "x"], "--game", "whole number"),
            (&["aggregates", "--limit", "0"], "--limit", "at least 1"),
            (&["generate", "-o", "-", "--rows", "1e6"], "--rows", "whole number"),
            (&["upload", "--max-rejects", "some", "a"], "--max-rejects", "100 or 5%"),
            (&["upload", "--encoding", "utf-7", "a"], "--encoding", "utf-16le"),
            (&["reconcile", "--upload-id", "x", "a"], "--upload-id", "roundhouse uploads"),
            (&["dlq", "replay", "--upload", "x"], "--upload", "roundhouse uploads"),
        ] {
            let said = said(arguments);
            let value = arguments.iter().skip_while(|argument| **argument != option).nth(1).unwrap();
            for text in [option, &format!("'{value}'"), example] {
                assert!(said.contains(text), "{text}: {said}");
            }
            assert!(!RUST.iter().any(|words| said.contains(words)), "{said}");
        }
    }

    /// Every option that takes a value is tried with one that is never valid: nothing of Rust may come through.
    #[test]
    fn no_message_of_rust_reaches_the_user() {
        let root = Cli::command();
        let mut tried = 0;
        for (path, command) in leaves(&root) {
            for option in command.get_arguments().filter(|option| option.get_action().takes_values()) {
                let Some(long) = option.get_long() else { continue };
                let arguments = [&path[..], &[format!("--{long}=?;\u{7f}")]].concat();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let whole = ["roundhouse"].iter().chain(&arguments);
                if let Err(error) = Cli::try_parse_from(whole)
                    && error.kind() == ErrorKind::ValueValidation
                {
                    let said = said(&arguments);
                    assert!(!RUST.iter().any(|words| said.contains(words)), "{said}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 30, "{tried}");
    }

    fn leaves(command: &Command) -> Vec<(Vec<String>, &Command)> {
        let below = command.get_subcommands().flat_map(|sub| {
            let name = sub.get_name().to_owned();
            leaves(sub).into_iter().map(move |(path, leaf)| ([vec![name.clone()], path].concat(), leaf))
        });
        let below: Vec<_> = below.collect();
        if below.is_empty() { vec![(Vec::new(), command)] } else { below }
    }
}
