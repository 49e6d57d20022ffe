//! The command line program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(netwright::cli::main(std::env::args_os()))
}
