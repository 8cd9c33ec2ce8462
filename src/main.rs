//! The start.

use std::process::ExitCode;

fn main() -> ExitCode {
    callthrough::command::main()
}
