//! Starts the log, always on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// Starts logging.
///
/// # Errors
/// The directives cannot be parsed.
pub fn start(format: LogFormat, directives: &str) -> Result<(), String> {
    // The crates of the embedded broker log much; their warnings are enough. The Avro parser warns about schemas that a registry
    // refuses, with the whole schema.
    let given = directives;
    let directives = format!("apache_avro=error,{directives}");
    let filter = EnvFilter::try_new(&directives).map_err(|_| {
        format!("invalid value {given:?} for --log; write a level such as info, or directives such as info,roundhouse::loader=debug")
    })?;
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, changes nothing.
    let _ = if human {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    Ok(())
}
