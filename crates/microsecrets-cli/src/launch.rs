//! What the three commands of 0.3.4 are: each becomes the `microsecrets` that lies beside it, which then speaks 0.3.4.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Becomes `microsecrets launcher <command> ARGUMENTS`. The program is found by this one's own path, never through PATH:
/// whoever can put a program there must not be handed secrets.
pub(crate) fn launch(command: &str) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = match std::env::current_exe() {
        Ok(own) => {
            let program = own.with_file_name("microsecrets");
            let error = Command::new(&program)
                .arg("launcher")
                .arg(command)
                .args(arguments)
                .exec();
            format!(
                "cannot run {}\n  caused by: {error}\nhint: install all four commands in one folder",
                program.display()
            )
        }
        Err(error) => format!("cannot find this program's own path\n  caused by: {error}"),
    };
    // There is nowhere to report a failing standard error to.
    writeln!(std::io::stderr(), "error: {error}").ok();
    ExitCode::from(1)
}
