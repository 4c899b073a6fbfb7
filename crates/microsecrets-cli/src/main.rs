//! The `microsecrets` command: a terminal around the library.
//!
//! `args` is what can be typed, `config` what it means, `commands` what is then done; `error` and `ui` are what people
//! see, `exec` and `place` what programs get.

mod advice;
mod args;
mod commands;
mod config;
mod error;
mod exec;
mod launcher;
mod place;
mod progress;
mod python2;
mod trace;
mod ui;
mod usage;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
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
    block_on(async {
        match cli.command {
            Command::Upload(args) => commands::upload::run(args).await,
            Command::WithEnv(args) => commands::with_env::run(&args).await,
            Command::Download(args) => commands::download::run(&args).await,
            Command::List(args) => commands::list::run(&args).await,
            Command::Migrate(args) => commands::migrate::run(&args).await,
        }
    })
}

fn block_on(task: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
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
