//! Which services a server uses: those given by option or by a variable that people have set anyway, the others embedded.

use crate::embedded::clickhouse::OWN_USER;
use crate::settings::{Secret, ServiceOptions, ServiceUrl};

/// The topic of the accepted rounds, unless told otherwise.
const DEFAULT_TOPIC: &str = "staging-bets";

/// The ClickHouse database, unless told otherwise.
const DEFAULT_DATABASE: &str = "game_data";

/// ClickHouse's HTTP port, where only a host is named.
const CLICKHOUSE_PORT: &str = "8123";

/// What was decided about the services.
#[derive(Clone, Debug)]
pub struct Services {
    /// None: embedded. So for the other two.
    pub kafka_brokers: Option<String>,
    pub schema_registry_url: Option<ServiceUrl>,
    pub clickhouse_url: Option<ServiceUrl>,
    pub topic: String,
    pub dead_letter_topic: String,
    pub clickhouse_user: Option<String>,
    pub clickhouse_password: Option<Secret>,
    pub database: String,
}

impl Services {
    /// Decides from the options, and from the variables of others that `variable` looks up.
    ///
    /// # Errors
    /// A value cannot be used: one line that names the option or variable.
    pub fn decide(
        options: &ServiceOptions,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let given = |option: &Option<String>, name: &str| {
            option.clone().or_else(|| variable(name)).filter(|value| !value.is_empty())
        };
        let topic = given(&options.kafka_topic, "KAFKA_TOPIC").unwrap_or_else(|| DEFAULT_TOPIC.to_owned());
        check_topic(&topic)?;
        let kafka_brokers = given(&options.kafka_brokers, "KAFKA_BROKER");
        if kafka_brokers.as_ref().is_some_and(|brokers| brokers.contains('@')) {
            return Err(
                "--kafka-brokers has an '@' in it; give HOST:PORT,… without user and password".to_owned()
            );
        }
        let schema_registry_url = match url("--schema-registry-url", options.schema_registry_url.as_ref())? {
            Some(url) => Some(url),
            None => url("SCHEMA_REGISTRY_URL", variable("SCHEMA_REGISTRY_URL").map(Secret::from).as_ref())?,
        };
        let clickhouse_url = match url("--clickhouse-url", options.clickhouse_url.as_ref())? {
            Some(url) => Some(url),
            None => clickhouse_url(&variable)?,
        };
        let of_url = clickhouse_url.as_ref();
        let user = options.clickhouse_user.clone().filter(|user| !user.is_empty());
        let user = user.or_else(|| of_url?.user().map(str::to_owned));
        let password = options.clickhouse_password.clone().or_else(|| of_url?.password().cloned());
        let is_text = |text: &String| !text.is_empty();
        let user = user.or_else(|| variable("CLICKHOUSE_USER").filter(is_text));
        let password = password.or_else(|| variable("CLICKHOUSE_PASSWORD").filter(is_text).map(Secret::from));
        let (clickhouse_user, clickhouse_password) = match &clickhouse_url {
            Some(_) => (user, password),
            // The embedded one knows us by it.
            None => (Some(OWN_USER.to_owned()), Some(Secret::random())),
        };
        Ok(Self {
            kafka_brokers,
            schema_registry_url,
            clickhouse_url,
            dead_letter_topic: format!("{topic}-dlq"),
            topic,
            clickhouse_user,
            clickhouse_password,
            database: given(&options.clickhouse_database, "CLICKHOUSE_DB")
                .unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        })
    }
}

/// Kafka's rule for names, short enough for `-dlq` behind it.
fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.bytes().all(legal) && (1..=240).contains(&topic.len()) && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(format!("--kafka-topic {topic:?} is not a topic name: 1 to 240 letters, digits, '.', '_' and '-'"))
}

fn clickhouse_url(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<ServiceUrl>, String> {
    let Some(host) = variable("CLICKHOUSE_HOST").filter(|host| !host.is_empty()) else { return Ok(None) };
    if host.contains("://") {
        return url("CLICKHOUSE_HOST", Some(&Secret::from(host)));
    }
    let port = variable("CLICKHOUSE_PORT").unwrap_or_else(|| CLICKHOUSE_PORT.to_owned());
    if port == "9000" {
        return Err(
            "CLICKHOUSE_PORT 9000 is ClickHouse's native protocol: give its HTTP port (8123)".to_owned()
        );
    }
    let text = Secret::from(format!("http://{host}:{port}"));
    url("CLICKHOUSE_HOST with CLICKHOUSE_PORT", Some(&text))
}

/// Parses what was given by this option or variable; text that is empty counts as not given.
fn url(name: &str, text: Option<&Secret>) -> Result<Option<ServiceUrl>, String> {
    let text = text.map(Secret::expose).filter(|text| !text.is_empty());
    text.map(ServiceUrl::parse).transpose().map_err(|reason| format!("{name} cannot be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::settings::{Cli, Command};

    fn decide(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Services, String> {
        let cli = Cli::try_parse_from([&["roundhouse", "serve"], arguments].concat()).unwrap();
        let Command::Serve(options) = cli.command else { panic!("not serve") };
        Services::decide(&options.services, |name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_given_means_all_embedded() {
        let services = decide(&[], &[]).unwrap();
        assert!(services.kafka_brokers.is_none() && services.schema_registry_url.is_none());
        assert!(services.clickhouse_url.is_none());
        assert_eq!((services.topic.as_str(), services.database.as_str()), ("staging-bets", "game_data"));
        assert_eq!(services.dead_letter_topic, "staging-bets-dlq");
    }

    #[test]
    fn the_variables_people_have_set_count_behind_the_options() {
        let variables =
            [("KAFKA_BROKER", "kafka:9092"), ("CLICKHOUSE_HOST", "warehouse"), ("CLICKHOUSE_DB", "rounds")];
        let services = decide(&["--kafka-brokers", "other:1"], &variables).unwrap();
        assert_eq!(services.kafka_brokers.as_deref(), Some("other:1"));
        assert_eq!(services.clickhouse_url.unwrap().to_string(), "http://warehouse:8123");
        assert_eq!(services.database, "rounds");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        let native = [("CLICKHOUSE_HOST", "warehouse"), ("CLICKHOUSE_PORT", "9000")];
        assert!(decide(&[], &native).unwrap_err().contains("CLICKHOUSE_PORT"));
        assert!(decide(&["--kafka-topic", "a b"], &[]).unwrap_err().contains("--kafka-topic"));
        assert!(decide(&["--clickhouse-url", "tcp://x:9000"], &[]).unwrap_err().contains("--clickhouse-url"));
    }

    #[test]
    fn a_url_may_have_user_and_password_and_no_error_repeats_them() {
        let url = ["--clickhouse-url", "http://ann:secret@warehouse:8123"];
        let services = decide(&url, &[("CLICKHOUSE_USER", "bob"), ("CLICKHOUSE_PASSWORD", "other")]).unwrap();
        assert_eq!(services.clickhouse_user.as_deref(), Some("ann"));
        assert_eq!(services.clickhouse_password.as_ref().map(Secret::expose), Some("secret"));
        let services = decide(&[&url[..], &["--clickhouse-user", "eve"]].concat(), &[]).unwrap();
        assert_eq!(services.clickhouse_user.as_deref(), Some("eve"));
        for arguments in [
            ["--clickhouse-url", "tcp://ann:secret@warehouse:9000"],
            ["--schema-registry-url", "http://ann:secret@a b"],
            ["--kafka-brokers", "ann:secret@kafka:9092"],
        ] {
            let error = decide(&arguments, &[]).unwrap_err();
            assert!(error.contains(arguments[0]) && !error.contains("secret"), "{error}");
        }
    }
}
