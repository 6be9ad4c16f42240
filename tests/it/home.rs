//! `GET /`: a page for a browser, JSON for other clients.

use reqwest::header::ACCEPT;
use serde_json::json;

use crate::harness::browser::shown;
use crate::harness::process::until;
use crate::harness::server::{Answer, Server};

const KEY: &str = "a-key-for-the-tests-only";

/// What Chromium and Firefox send.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

async fn home(server: &Server, accept: Option<&str>) -> Answer {
    let request = |http: &reqwest::Client| http.get(server.url("/"));
    server
        .send(|http| match accept {
            Some(accept) => request(http).header(ACCEPT, accept),
            None => request(http),
        })
        .await
}

/// The addresses of the services, without the API.
fn services(server: &Server) -> [&str; 3] {
    let addresses = &server.addresses;
    [&addresses.kafka_brokers, &addresses.schema_registry_url, &addresses.clickhouse_url]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_and_other_clients_get_json() {
    let server = Server::start(&[]).await;
    for accept in [None, Some("*/*"), Some("application/json"), Some("application/json, text/html;q=0.5")] {
        let home = home(&server, accept).await;
        assert_eq!(home.headers["content-type"], "application/json", "{accept:?}");
        let body = home.ok();
        let [brokers, registry, clickhouse] = services(&server);
        for (member, value) in [
            ("api", server.addresses.api.as_str()),
            ("kafka_brokers", brokers),
            ("schema_registry_url", registry),
            ("clickhouse_url", clickhouse),
        ] {
            assert_eq!(body[member], value, "{member}");
        }
        for path in body["links"].as_object().expect("links").values() {
            assert_eq!(server.get(path.as_str().expect("a path")).await.status, 200, "{path}");
        }
    }
    let page = home(&server, Some(BROWSER)).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        page.headers["vary"].to_str().map(|vary| vary.to_lowercase().contains("accept")).ok(),
        Some(true)
    );
    let policy = page.headers["content-security-policy"].to_str().expect("text");
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    let text = page.body.as_str().expect("HTML");
    assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    let named = ["src=\"", "href=\""]
        .iter()
        .flat_map(|attribute| text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()));
    for path in named {
        assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    server.get("/?x=1").await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_the_addresses_and_a_link_to_the_documentation() {
    let server = Server::start(&[]).await;
    let shown = shown(&server.url("/")).await;
    for text in services(&server).into_iter().chain([server.addresses.api.as_str(), "href=\"/docs\""]) {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_keys_does_not_show_the_addresses_of_its_services() {
    let server = Server::start(&["--api-key", KEY]).await;
    for accept in ["*/*", BROWSER] {
        let home = home(&server, Some(accept)).await;
        assert_eq!(home.status, 200);
        let text = home.body.to_string();
        for address in services(&server) {
            assert!(!text.contains(address), "{address}: {text}");
        }
        assert!(text.contains("/docs"), "{text}");
    }
    let body = home(&server, None).await.ok();
    assert_eq!((&body["api"], &body["clickhouse_url"]), (&json!(server.addresses.api), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_start_of_the_server_show_the_same_commands() {
    for (options, key) in [(&[][..], false), (&["--api-key", KEY][..], true)] {
        let server = Server::start(options).await;
        let page = home(&server, Some(BROWSER)).await;
        let page = page.body.as_str().expect("HTML").replace("&#39;", "'").replace("&quot;", "\"");
        let printed = until("the addresses are printed", async || {
            server.output().split_once("\nTry\n").map(|(_, printed)| printed.to_owned())
        })
        .await;
        let commands: Vec<&str> = printed.lines().map_while(|line| line.strip_prefix("  ")).collect();
        assert_eq!(commands.len(), 4, "{printed}");
        for command in &commands {
            assert!(page.contains(command), "{command}: {page}");
            assert_eq!(command.contains("-H 'X-API-Key: "), key && command.starts_with("curl"), "{command}");
        }
    }
}
