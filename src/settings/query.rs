//! Options of `roundhouse query`. The parameters of the endpoint are options too, but only the server knows which there are.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Args, Command, CommandFactory, ValueEnum};

use super::{Cli, ServerOptions};

/// The name of the command.
const QUERY: &str = "query";

#[derive(Debug, Args)]
pub struct QueryOptions {
    /// Dataset, such as prices
    pub dataset: String,
    /// Endpoint of the dataset, such as ohlc
    pub endpoint: String,
    /// Parameters of the endpoint, such as --base BTC; repeatable for lists. After two hyphens alone, every option is a parameter
    #[arg(value_name = "--NAME VALUE", trailing_var_arg = true, allow_hyphen_values = true)]
    pub parameters: Vec<String>,
    /// Every row, page by page
    #[arg(long)]
    pub all: bool,
    /// Output format; `json` prints the server's answers unchanged, one per page
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub format: QueryFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    Table,
    Json,
    Csv,
    Ndjson,
    /// The Arrow stream format, in binary
    Arrow,
    /// In binary
    Parquet,
}

impl QueryFormat {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Table | Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

impl QueryOptions {
    /// Returns the names and values of the endpoint's parameters.
    ///
    /// # Errors
    /// An argument is no option, or has no value.
    pub fn pairs(&self) -> Result<Vec<(String, String)>, String> {
        let mut pairs = Vec::new();
        let mut arguments = self.parameters.iter().filter(|argument| *argument != "--");
        while let Some(argument) = arguments.next() {
            let Some(option) = argument.strip_prefix("--") else {
                return Err(format!("unexpected argument {argument}; write parameters as --NAME VALUE"));
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match arguments.next() {
                    Some(value) => (option, value.clone()),
                    None => return Err(format!("--{option} has no value; write --{option} VALUE")),
                },
            };
            pairs.push((name.replace('-', "_"), value));
        }
        Ok(pairs)
    }
}

/// Puts the options of `query` before its other arguments, so that both may come in any order: everything after the endpoint that is not
/// one of them is a parameter. Arguments of other commands stay as they are.
pub fn query_arguments(arguments: Vec<OsString>) -> Vec<OsString> {
    let root = Cli::command();
    let Some(at) = position(&root, &arguments) else { return arguments };
    let Some(query) = root.find_subcommand(QUERY) else { return arguments };
    let (before, rest) = arguments.split_at(at + 1);
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            others.push(argument.clone());
            others.extend(rest.by_ref().cloned());
        } else if let Some(has_value) = option(&[&root, query], argument) {
            own.push(argument.clone());
            if has_value {
                own.extend(rest.next().cloned());
            }
        } else {
            others.push(argument.clone());
            // The value of a parameter may look like an option.
            let is_parameter = text(argument).starts_with("--") && !text(argument).contains('=');
            if is_parameter {
                others.extend(rest.next().cloned());
            }
        }
    }
    [before, &own, &others].concat()
}

/// Returns where the command is, if it is `query`.
fn position(root: &Command, arguments: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        let argument = arguments.get(at)?;
        if argument == QUERY {
            return Some(at);
        }
        at += if option(&[root], argument)? { 2 } else { 1 };
    }
}

/// Whether an option of these commands needs the next argument as its value. None if it is no such option.
fn option(commands: &[&Command], argument: &OsStr) -> Option<bool> {
    let argument = text(argument);
    let (name, has_value) = match argument.split_once('=') {
        Some((name, _)) => (name, true),
        None => (argument, false),
    };
    if matches!(name, "-h" | "--help") {
        return Some(false);
    }
    let name = name.strip_prefix("--")?;
    let mut known = commands.iter().flat_map(|command| command.get_arguments());
    let found = known.find(|option| option.get_long() == Some(name))?;
    let takes_value = matches!(found.get_action(), ArgAction::Set | ArgAction::Append);
    Some(takes_value && !has_value)
}

/// An argument that is not UTF-8 is no option.
fn text(argument: &OsStr) -> &str {
    argument.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Command as Parsed;
    use super::*;

    fn parsed(line: &str) -> QueryOptions {
        let arguments = query_arguments(line.split(' ').map(OsString::from).collect());
        match Cli::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}")).command {
            Parsed::Query(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_and_parameters_come_in_any_order() {
        for line in [
            "roundhouse query prices ohlc --base BTC --limit=5 --json --all --server http://a:1",
            "roundhouse --log info query --json --server=http://a:1 prices ohlc --base BTC --all --limit 5",
            "roundhouse --log=info query --all prices --server http://a:1 ohlc --json --base=BTC --limit 5",
        ] {
            let options = parsed(line);
            assert_eq!((options.dataset.as_str(), options.endpoint.as_str()), ("prices", "ohlc"));
            let pairs =
                [("base", "BTC"), ("limit", "5")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(options.pairs().unwrap(), pairs);
            assert!(options.json && options.all && options.server.server.as_str() == "http://a:1/");
        }
        let hyphens = parsed("roundhouse query a b --date-from --json --n -5 -- --all 1");
        let pairs = hyphens.pairs().unwrap();
        assert_eq!(pairs[0], ("date_from".to_owned(), "--json".to_owned()));
        assert_eq!(
            pairs[1..],
            [("n", "-5"), ("all", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(!hyphens.json && !hyphens.all);
    }

    #[test]
    fn a_parameter_without_name_or_value_is_an_error() {
        assert!(
            parsed("roundhouse query a b c").pairs().unwrap_err().contains("unexpected argument c; write")
        );
        assert!(parsed("roundhouse query a b --base").pairs().unwrap_err().contains("--base has no value"));
    }

    #[test]
    fn arguments_of_other_commands_stay_as_they_are() {
        for line in
            ["roundhouse", "roundhouse upload --json query", "roundhouse --log query upload", "x --help"]
        {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(query_arguments(arguments.clone()), arguments);
        }
    }
}
