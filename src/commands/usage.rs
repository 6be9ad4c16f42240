//! What is wrong with a command line, in one line. A secret that was given is not in it.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use crate::settings::{Cli, without_password};

/// Stands for what is not shown.
const HIDDEN: &str = "***";

/// Returns the line. `arguments`: what was on the command line.
pub(super) fn line(mut error: clap::Error, arguments: &[String]) -> String {
    hide_secrets(&mut error, arguments);
    let text = error.to_string();
    let line: Vec<&str> = text.split("\n\n").next().unwrap_or_default().lines().map(str::trim).collect();
    let line = line.join(" ");
    format!("{} (see --help)", without_password(line.trim_start_matches("error: ")))
}

/// Takes out the value of a secret option, and what may be another value that was meant for one.
fn hide_secrets(error: &mut clap::Error, arguments: &[String]) {
    let secrets = secret_options(&Cli::command());
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let option = text(ContextKind::InvalidArg);
    let is_stray = error.kind() == ErrorKind::UnknownArgument && !option.starts_with('-');
    let is_secret = |text: &str| {
        let name = text.split([' ', '=']).next().unwrap_or_default();
        secrets.iter().any(|secret| name.strip_prefix("--") == Some(secret))
    };
    if is_secret(&option) {
        error.insert(ContextKind::InvalidValue, ContextValue::String(HIDDEN.to_owned()));
    } else if is_stray && arguments.iter().any(|argument| is_secret(argument)) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(HIDDEN.to_owned()));
    }
}

/// Returns the names of the options whose value the help does not show either.
fn secret_options(command: &Command) -> Vec<String> {
    let secrets = command.get_arguments().filter(|option| option.is_hide_env_values_set());
    let own = secrets.filter_map(|option| option.get_long().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(secret_options)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        line(Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn a_rejected_secret_is_not_shown() {
        for arguments in [
            ["roundhouse", "serve", "--api-key", "s3cret"].as_slice(),
            &["roundhouse", "serve", "--api-key=s3cret"],
            &["roundhouse", "serve", "--api-key", "a-key-that-is-long-enough,s3cret"],
            &["roundhouse", "serve", "--api-key", "a-key-that-is-long-enough", "s3cret"],
            &["roundhouse", "serve", "--clickhouse-password=a", "s3cret"],
            &["roundhouse", "aggregates", "--api-key", "a", "s3cret"],
            &["roundhouse", "serve", "--api-keys=s3cret"],
            &["roundhouse", "upload", "--server", "http://s3cret@host:x", "a.csv"],
        ] {
            let said = said(arguments);
            assert!(!said.contains("s3cret"), "{said}");
            assert!(said.ends_with("(see --help)") && said.len() > 30, "{said}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        assert!(said(&["roundhouse", "serve", "--kafka-partitions", "many"]).contains("'many'"));
        assert!(said(&["roundhouse", "serve", "elsewhere"]).contains("'elsewhere'"));
        assert!(said(&["roundhouse", "serve", "--api-key", "short"]).contains("--api-key <KEY>"));
    }
}
