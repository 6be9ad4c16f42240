//! Uploads through the API: the ledger, rejected rows and their retry, limits, services that go down.

mod decimals;
mod disk;
mod errors;
mod forms;
mod joined;
mod ledger;
mod limits;
mod metrics;
mod refusals;
mod rejects;
mod schema;
mod services;

use reqwest::Body;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::process::until;
use crate::harness::server::{Answer, Server};

/// An upload whose pieces a test sends one by one.
struct Sending {
    pieces: mpsc::UnboundedSender<Vec<u8>>,
    answer: tokio::task::JoinHandle<Answer>,
}

impl Sending {
    /// Begins an upload. `finish` completes it; dropping this breaks it off.
    fn start(server: &Server, query: &str) -> Self {
        let (pieces, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
        let stream = futures_util::stream::poll_fn(move |context| {
            receiver.poll_recv(context).map(|piece| piece.map(Ok::<_, std::io::Error>))
        });
        let url = server.url(&format!("/uploadcsv?{query}"));
        let http = crate::harness::server::Http::new();
        let answer = tokio::spawn(async move {
            http.try_send(|http| http.post(url).body(Body::wrap_stream(stream))).await.expect("an answer")
        });
        Self { pieces, answer }
    }

    fn send(&self, text: &str) {
        self.pieces.send(text.as_bytes().to_vec()).expect("the upload is still under way");
    }

    async fn finish(self) -> Answer {
        drop(self.pieces);
        self.answer.await.expect("the task that sends")
    }
}

/// Waits until a member of the newest upload, such as `rows` or `acknowledged`, is more than a number.
async fn until_newest_has(server: &Server, member: &str, rows: u64) {
    until(&format!("more than {rows} {member} of the newest upload"), async || {
        let page = server.get("/uploads?limit=1").await.ok();
        (number(page["items"].get(0)?, member) > rows).then_some(())
    })
    .await;
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} of {value:#}"))
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("{member} of {value:#}"))
}

/// Asserts that a receipt adds up.
fn assert_sums(upload: &Value) {
    assert_eq!(number(upload, "rows"), number(upload, "accepted") + number(upload, "rejected"), "{upload:#}");
    if upload["state"] == "visible" {
        let counted = ["new", "duplicate", "conflict"].map(|member| number(upload, member));
        assert_eq!(counted.iter().sum::<u64>(), number(upload, "accepted"), "{upload:#}");
    }
}
