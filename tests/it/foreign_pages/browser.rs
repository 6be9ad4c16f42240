//! What a page can do in Chromium.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::browser::{Site, shown};
use crate::harness::files::{HEADER, csv, line};
use crate::harness::server::Server;

const PAGE: &str = include_str!("page.html");

/// The four kinds of forms that a page can use to send a file.
const FORMS: [&str; 4] = ["multipart", "plain", "urlencoded", "blob"];

/// What pages could have changed.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    files: BTreeSet<String>,
    jobs: usize,
    repair: Value,
    tables: String,
    rounds: String,
    subjects: Value,
}

struct Bench {
    server: Server,
    site: Site,
    /// A reconciliation with differences.
    job: String,
}

impl Bench {
    async fn new() -> Self {
        let site = Site::start(PAGE).await;
        let origin = format!("http://tabix.example:{}", site.port);
        let server = Server::start(&["--clickhouse-cors-origins", &origin]).await;
        site.forward_to(&server.addresses.api);
        server.upload(csv(0..20), "name=before&wait=visible").await.ok();
        let report = server.reconcile_body(format!("{HEADER}\n{}", line(3, "77")), "").await;
        assert_eq!(report["different"], 1, "{report:#}");
        let job = report["id"].as_str().unwrap().to_owned();
        Self { server, site, job }
    }

    async fn stored(&self) -> Stored {
        let uploads = self.server.get("/uploads").await.ok();
        let names =
            uploads["items"].as_array().unwrap().iter().map(|upload| upload["file_name"].as_str().unwrap());
        // The names of tables that a page creates begin with its tag.
        let tables = "SELECT arrayStringConcat(arraySort(groupArray(name)), ',') FROM system.tables \
                      WHERE match(name, '^(evil|port|tabix|own)_')";
        let rounds = "SELECT count(), toString(sum(real_amount_bet)) FROM game_rounds";
        let subjects = format!("{}/subjects", self.server.addresses.schema_registry_url);
        Stored {
            files: names.map(str::to_owned).collect(),
            jobs: self.server.get("/reconcile").await.ok()["items"].as_array().unwrap().len(),
            repair: self.server.get(&format!("/reconcile/{}", self.job)).await.ok()["repair"].clone(),
            tables: self.server.clickhouse(tables).await,
            rounds: self.server.clickhouse(rounds).await,
            subjects: self.server.send(|http| http.get(subjects)).await.ok(),
        }
    }

    /// Opens the page under a host name. It tries every request against the API at this address.
    async fn visit(&self, name: &str, tag: &str, api: &str, first: &str) -> Value {
        let addresses = &self.server.addresses;
        let query = [
            ("api", api),
            ("clickhouse", addresses.clickhouse_url.as_str()),
            ("registry", &addresses.schema_registry_url),
            ("tag", tag),
            ("first", first),
            ("job", &self.job),
        ];
        let seen = self.site.visit(name, &query).await;
        for step in FORMS.into_iter().chain(["reconcile", "repair", "image", "image_readonly"]) {
            assert_eq!(seen[step], "answered", "{step}: {seen:#}");
        }
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chromium_only_a_page_of_the_server_can_change_anything() {
    let bench = Bench::new().await;
    let before = bench.stored().await;
    let api = bench.server.addresses.api.as_str();

    // Another name, and another port of the same name.
    for (name, tag, first) in [("evil.example", "evil", "1000"), ("127.0.0.1", "port", "2000")] {
        let seen = bench.visit(name, tag, api, first).await;
        for reading in ["uploads", "delete", "rows", "cors", "subjects"] {
            assert_eq!(seen[reading], "hidden", "{name} {reading}: {seen:#}");
        }
        assert_eq!(bench.stored().await, before, "{name}");
    }

    // A page of an allowed origin can read from ClickHouse, but cannot change anything either.
    let seen = bench.visit("tabix.example", "tabix", api, "3000").await;
    assert_eq!(seen["rows"], "200 42\n", "{seen:#}");
    assert!(seen["cors"].as_str().unwrap().contains("READONLY"), "{seen:#}");
    assert_eq!(seen["uploads"], "hidden", "{seen:#}");
    assert_eq!(bench.stored().await, before, "tabix.example");

    // The same page, with the server behind its own origin. All its requests succeed, so none of the failures above has another cause.
    let own = format!("http://localhost:{}", bench.site.port);
    let seen = bench.visit("localhost", "own", &own, "4000").await;
    assert!(seen["uploads"].as_str().unwrap().starts_with("200 "), "{seen:#}");
    let after = bench.stored().await;
    let own: BTreeSet<String> = FORMS.iter().map(|form| format!("own-{form}")).collect();
    assert_eq!(after.files.difference(&before.files).cloned().collect::<BTreeSet<_>>(), own);
    assert_eq!(after.jobs, before.jobs + 1);
    assert!(before.repair.is_null() && after.repair.is_object(), "{after:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chromium_a_foreign_name_that_resolves_to_this_server_shows_nothing() {
    let server = Server::start(&[]).await;
    server.upload(csv(0..5), "name=known-to-us-only&wait=visible").await.ok();
    let addresses = &server.addresses;
    for (url, path, data) in [
        (&addresses.api, "/uploads", "known-to-us-only"),
        (&addresses.schema_registry_url, "/subjects", "staging-bets-value"),
        (&addresses.clickhouse_url, "/?default_format=JSON&query=SHOW+DATABASES", "game_data"),
    ] {
        let port = url.rsplit_once(':').unwrap().1;
        let shown_here = shown(&format!("http://localhost:{port}{path}")).await;
        assert!(shown_here.contains(data), "{shown_here}");
        let rebound = shown(&format!("http://evil.example:{port}{path}")).await;
        assert!(!rebound.contains(data) && rebound.contains("--allowed-host"), "{rebound}");
    }
}
