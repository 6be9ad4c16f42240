//! A file through the API, as curl would send it.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::io::ReaderStream;

use super::machine::{Stopwatch, Usage};
use crate::harness::server::Server;

/// What one upload took.
#[derive(Clone, Copy, Debug)]
pub struct Uploaded {
    pub bytes: u64,
    pub acknowledged: Usage,
    /// Until every round is in the aggregates.
    pub visible: Usage,
}

pub async fn upload(server: &Server, path: &Path) -> Uploaded {
    let before = rounds(server).await;
    let file = tokio::fs::File::open(path).await.expect("the file");
    let bytes = file.metadata().await.expect("the file").len();
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 18).boxed());
    let stopwatch = Stopwatch::start(server);
    let receipt = server.upload(body, "name=bench.csv").await.ok();
    let acknowledged = stopwatch.read(server);
    let accepted = receipt["accepted"].as_u64().expect("accepted");
    assert_eq!(receipt["rejected"], 0, "{receipt:#}");
    while rounds(server).await < before + accepted {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let visible = stopwatch.read(server);
    assert_eq!(rounds(server).await, before + accepted, "a round counts once");
    Uploaded { bytes, acknowledged, visible }
}

async fn rounds(server: &Server) -> u64 {
    server.clickhouse("SELECT sum(rounds_played) FROM hourly_aggregates").await.parse().expect("a number")
}
