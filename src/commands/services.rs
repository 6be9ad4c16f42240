//! Decides which services a server uses: those given by an option or a common variable; the others are embedded.

use crate::settings::{Secret, ServiceOptions, ServiceUrl};
use roundhouse_clickhouse::OWN_USER;

/// The ClickHouse database, if none is given.
const DEFAULT_DATABASE: &str = "game_data";

/// ClickHouse's HTTP port, if only a host is given.
const CLICKHOUSE_PORT: &str = "8123";

/// The addresses of all services.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub api: String,
    pub kafka_brokers: String,
    pub schema_registry_url: ServiceUrl,
    pub clickhouse_url: ServiceUrl,
}

/// The services of a server.
#[derive(Clone, Debug)]
pub struct Services {
    /// None: embedded. The same for the next two.
    pub kafka_brokers: Option<String>,
    pub schema_registry_url: Option<ServiceUrl>,
    pub clickhouse_url: Option<ServiceUrl>,
    /// The topic of bets, if one is given.
    pub topic: Option<String>,
    pub clickhouse_user: Option<String>,
    pub clickhouse_password: Option<Secret>,
    pub database: String,
}

impl Services {
    /// All of them embedded, whatever the environment names.
    pub(super) fn embedded() -> Self {
        Self {
            kafka_brokers: None,
            schema_registry_url: None,
            clickhouse_url: None,
            topic: None,
            clickhouse_user: Some(OWN_USER.to_owned()),
            clickhouse_password: Some(Secret::random()),
            database: DEFAULT_DATABASE.to_owned(),
        }
    }

    /// Decides from the options, and from common variables such as `KAFKA_BROKER`, which `variable` looks up.
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
        let topic = given(&options.kafka_topic, "KAFKA_TOPIC");
        topic.as_deref().map_or(Ok(()), check_topic)?;
        let kafka_brokers = given(&options.kafka_brokers, "KAFKA_BROKER");
        if let Some(reason) = kafka_brokers.as_deref().and_then(wrong_brokers) {
            return Err(format!("--kafka-brokers {reason}; write HOST:PORT, such as kafka:9092"));
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
            // The embedded ClickHouse identifies this server by it.
            None => (Some(OWN_USER.to_owned()), Some(Secret::random())),
        };
        Ok(Self {
            kafka_brokers,
            schema_registry_url,
            clickhouse_url,
            topic,
            clickhouse_user,
            clickhouse_password,
            database: given(&options.clickhouse_database, "CLICKHOUSE_DB")
                .unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        })
    }
}

/// Says what is wrong with a bootstrap list. It is not repeated: it may have a password.
fn wrong_brokers(brokers: &str) -> Option<&'static str> {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    if brokers.contains('@') {
        Some("must not have a user or password")
    } else if brokers.contains("://") {
        Some("must not have a scheme")
    } else if brokers
        .split(',')
        .any(|broker| !broker.trim().rsplit_once(':').is_none_or(|(_, port)| is_port(port)))
    {
        Some("has a port that is not a number from 0 to 65535")
    } else {
        None
    }
}

/// Kafka's rule for names. They are short enough that `-dlq` can follow.
fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.bytes().all(legal) && (1..=240).contains(&topic.len()) && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(format!(
        "--kafka-topic {topic:?} is not a topic name; write 1 to 240 of A-Z, a-z, 0-9, '.', '_' and '-', such as staging-bets"
    ))
}

fn clickhouse_url(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<ServiceUrl>, String> {
    let Some(host) = variable("CLICKHOUSE_HOST").filter(|host| !host.is_empty()) else { return Ok(None) };
    if host.contains("://") {
        return url("CLICKHOUSE_HOST", Some(&Secret::from(host)));
    }
    let port = variable("CLICKHOUSE_PORT").unwrap_or_else(|| CLICKHOUSE_PORT.to_owned());
    if port == "9000" {
        return Err(
            "CLICKHOUSE_PORT 9000 is the port of ClickHouse's native protocol; give the port of its HTTP interface, such as 8123".to_owned()
        );
    }
    if port.parse::<u16>().is_err() {
        return Err(format!(
            "CLICKHOUSE_PORT {port:?} is not a port; write a number from 0 to 65535, such as 8123"
        ));
    }
    let text = Secret::from(format!("http://{host}:{port}"));
    url("CLICKHOUSE_HOST with CLICKHOUSE_PORT", Some(&text))
}

/// Parses the value of this option or variable. An empty text counts as not given.
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
    fn without_options_all_services_are_embedded() {
        let services = decide(&[], &[]).unwrap();
        assert!(services.kafka_brokers.is_none() && services.schema_registry_url.is_none());
        assert!(services.clickhouse_url.is_none());
        assert_eq!((services.topic, services.database.as_str()), (None, "game_data"));
    }

    #[test]
    fn options_win_over_common_variables() {
        let variables =
            [("KAFKA_BROKER", "kafka:9092"), ("CLICKHOUSE_HOST", "warehouse"), ("CLICKHOUSE_DB", "rounds")];
        let services = decide(&["--kafka-brokers", "other:1"], &variables).unwrap();
        assert_eq!(services.kafka_brokers.as_deref(), Some("other:1"));
        assert_eq!(services.clickhouse_url.unwrap().to_string(), "http://warehouse:8123");
        assert_eq!(services.database, "rounds");
    }

    #[test]
    fn an_unusable_value_is_reported_with_its_option_or_variable() {
        let native = [("CLICKHOUSE_HOST", "warehouse"), ("CLICKHOUSE_PORT", "9000")];
        assert!(decide(&[], &native).unwrap_err().contains("CLICKHOUSE_PORT"));
        let unknown = [("CLICKHOUSE_HOST", "warehouse"), ("CLICKHOUSE_PORT", "http")];
        assert!(decide(&[], &unknown).unwrap_err().contains("CLICKHOUSE_PORT \"http\""));
        assert!(decide(&["--kafka-topic", "a b"], &[]).unwrap_err().contains("--kafka-topic"));
        for brokers in ["http://kafka:9092", "kafka:http", "kafka:9092,other:99999"] {
            let error = decide(&["--kafka-brokers", brokers], &[]).unwrap_err();
            assert!(error.contains("--kafka-brokers") && error.contains("kafka:9092"), "{error}");
        }
        assert!(decide(&["--kafka-brokers", "kafka,[::1]:9092, other:1"], &[]).is_ok());
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
