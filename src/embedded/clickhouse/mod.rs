use tokio_util::sync::CancellationToken;

use crate::embedded::EmbeddedError;
use crate::embedded::part::Announcer;
use crate::settings::ClickHouseOptions;

pub async fn run(_options: &ClickHouseOptions, _announcer: &Announcer, _stop: CancellationToken) -> Result<(), EmbeddedError> {
    Err(EmbeddedError::Failed { part: "clickhouse", reason: "under construction".to_owned() })
}
