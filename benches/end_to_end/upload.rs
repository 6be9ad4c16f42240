//! Sends a file through the API, like curl.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::io::ReaderStream;

use super::machine::{Stopwatch, Usage};
use crate::harness::server::Server;

/// The cost of one upload.
#[derive(Clone, Copy, Debug)]
pub struct Uploaded {
    pub bytes: u64,
    pub acknowledged: Usage,
    /// Until every round is in the aggregates.
    pub visible: Usage,
}

/// Returns a file as a request body that is read while it is sent.
pub fn body(path: &Path) -> reqwest::Body {
    let file = tokio::fs::File::from_std(std::fs::File::open(path).expect("the file"));
    reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 18).boxed())
}

/// Sends a file. Returns its size in bytes and the number of accepted rows, which must be all of them.
pub async fn send(server: &Server, path: &Path) -> (u64, u64) {
    let bytes = std::fs::metadata(path).expect("the file").len();
    let receipt = server.upload(body(path), "name=bench.csv").await.ok();
    assert_eq!(receipt["rejected"], 0, "{receipt:#}");
    (bytes, receipt["accepted"].as_u64().expect("accepted"))
}

/// Sends a file and waits until it is visible.
pub async fn upload(server: &Server, path: &Path) -> Uploaded {
    let before = rounds(server).await;
    let stopwatch = Stopwatch::start(server);
    let (bytes, accepted) = send(server, path).await;
    let acknowledged = stopwatch.read(server);
    while rounds(server).await < before + accepted {
        // ClickHouse shares the processors, so ask seldom.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let visible = stopwatch.read(server);
    assert_eq!(rounds(server).await, before + accepted, "a round counts once");
    Uploaded { bytes, acknowledged, visible }
}

/// Returns the number of rounds in the aggregates.
pub async fn rounds(server: &Server) -> u64 {
    server.clickhouse("SELECT sum(rounds_played) FROM hourly_aggregates").await.parse().expect("a number")
}
