use tokio_util::sync::CancellationToken;

use super::EmbeddedError;
use super::part::Announcer;
use crate::settings::BrokerOptions;

pub async fn run(_options: &BrokerOptions, _announcer: &Announcer, _stop: CancellationToken) -> Result<(), EmbeddedError> {
    Err(EmbeddedError::Failed { part: "broker", reason: "under construction".to_owned() })
}
