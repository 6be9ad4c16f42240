use tokio_util::sync::CancellationToken;

use super::EmbeddedError;
use super::part::Announcer;
use crate::settings::RegistryOptions;

pub async fn run(
    _options: &RegistryOptions,
    _announcer: &Announcer,
    _stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    Err(EmbeddedError::Failed { part: "registry", reason: "under construction".to_owned() })
}
