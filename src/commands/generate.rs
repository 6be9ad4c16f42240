use super::CommandError;
use crate::settings::GenerateOptions;

pub(super) fn run(_options: &GenerateOptions) -> Result<(), CommandError> {
    Err(CommandError::failed("under construction"))
}
