use super::CommandError;
use crate::settings::ServeOptions;

pub(super) async fn run(_options: ServeOptions) -> Result<(), CommandError> {
    Err(CommandError::failed("under construction"))
}
