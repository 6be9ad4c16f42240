//! The `roundhouse` binary: see [`roundhouse::commands`].

use std::process::ExitCode;

fn main() -> ExitCode {
    roundhouse::commands::main()
}
