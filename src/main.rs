//! The `roundhouse` binary: see [`roundhouse::commands`].

use std::process::ExitCode;

fn main() -> ExitCode {
    roundhouse::memory::set_up();
    roundhouse::commands::main()
}
