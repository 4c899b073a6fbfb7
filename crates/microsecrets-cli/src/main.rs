//! The `microsecrets` command: a terminal around the library.
//!
//! `cli` and `args` are what can be typed, `contract`, `config` and `versions` what it means, `commands` what is then done (`publish`
//! has what those that write share, `doctor` what it looks at); `error` and `ui` are what people see, `exec` and `place` what programs get.

mod advice;
mod args;
mod cli;
mod commands;
mod config;
mod contract;
mod doctor;
mod error;
mod exec;
mod fresh;
mod input;
mod launcher;
mod place;
mod progress;
mod publish;
mod python2;
mod scratch;
mod signing;
mod trace;
mod ui;
mod usage;
mod user;
mod versions;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;
use crate::error::{CliError, Speaking, Status};

fn main() -> ExitCode {
    exec::hide_memory();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = arguments.get(1).and_then(|argument| argument.to_str());
    let (speaking, result) = match command {
        Some("launcher") => (Speaking::Launcher, block_on(launcher::run(&arguments[2..]))),
        Some("with-env" | "run") => (Speaking::WithEnv, run(&arguments, command)),
        _ => (Speaking::Plain, run(&arguments, command)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(speaking),
    }
}

fn run(arguments: &[OsString], command: Option<&str>) -> Result<(), CliError> {
    let cli = Cli::try_parse_from(arguments).map_err(|error| usage::explain(&error, &program(command)))?;
    block_on(cli.command.run())
}

/// The files that a command needs open at once, with some to spare; with fewer the libraries beneath panic.
const MIN_OPEN_FILES: u64 = 16;

fn block_on(task: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    if let Some(limit) = exec::open_files_limit().filter(|limit| *limit < MIN_OPEN_FILES) {
        return Err(
            CliError::new(Status::Failure, format!("cannot start: only {limit} files may be open"))
                .hint(format!("raise the limit to {MIN_OPEN_FILES} or more: ulimit -n")),
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Status::Failure, "cannot start").caused_by(&error))?;
    runtime.block_on(task)
}

/// What the command's help is asked of: `microsecrets upload`, or `microsecrets` when no command was said.
fn program(command: Option<&str>) -> String {
    match command {
        Some(command) if Cli::command().find_subcommand(command).is_some() => format!("microsecrets {command}"),
        _ => "microsecrets".to_owned(),
    }
}
