//! Compilers, emulators and the like, for tests that link objects.

use std::path::Path;
use std::process::{Command, Output};

/// Whether a program can be started. Where it cannot, says so: the test is then passed over.
pub fn there_is(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: there is no `{program}` on this machine");
    }
    there
}

/// Runs a program, which must succeed.
#[track_caller]
pub fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Flags with which everything that is written must compile silently.
pub const STRICT: [&str; 5] = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// Compiles and links C in a folder; warnings are errors.
pub fn compile(compiler: &str, folder: &Path, arguments: &[&str]) {
    succeeds(Command::new(compiler).args(arguments).current_dir(folder));
}
