use super::CommandError;
use crate::settings::DemoOptions;

pub(super) async fn run(_options: DemoOptions) -> Result<(), CommandError> {
    Err(CommandError::failed("under construction"))
}
