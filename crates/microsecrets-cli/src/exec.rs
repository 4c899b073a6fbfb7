//! Becoming the command: `execve`, so that its process, signals, terminal and exit status are its own.
//!
//! What it finds is what it would find without us, but for two things that the Rust runtime does before `main`: it
//! ignores SIGPIPE, so that nobody knows any more what the parent had said of it, and the command gets the default; and
//! it opens standard files that were closed to `/dev/null`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{CliError, Status};
use crate::ui::shown_path;
use tokio::signal::unix::{SignalKind, signal};

/// The most bytes of one `NAME=value` with its NUL, or of one argument (Linux, `MAX_ARG_STRLEN`).
pub(crate) const MOST_ONE: usize = 131_072;
/// The most bytes of all arguments and the environment together, whatever the stack's limit (Linux: 3/4 of 8 MiB).
const MOST_ALL: u64 = 6 << 20;
/// The least that Linux grants, whatever the stack's limit.
const LEAST_ALL: u64 = 131_072;

/// The environment of a command.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// Keeps other processes of this user from reading the secrets out of this one, and the kernel from writing them into a
/// core file. `execve` ends this; limits, which the command would inherit, are left alone.
pub(crate) fn hide_memory() {
    #[cfg(target_os = "linux")]
    {
        // Failing only leaves what is the case without it.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).ok();
    }
}

/// How many files this process may have open, if that is limited.
pub(crate) fn open_files_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Lets a file that reaches `ulimit -f` fail with an error, instead of killing this process without a word. Ends with
/// `execve`; needs the runtime.
pub(crate) fn survive_full_files() {
    /// The same number on Linux (but for MIPS) and macOS.
    const SIGXFSZ: i32 = 25;
    // Failing only leaves what is the case without it.
    signal(SignalKind::from_raw(SIGXFSZ)).ok();
}

/// The environment of this process. Of a name that is there twice the first counts, as for `getenv`.
pub(crate) fn inherited() -> Environment {
    first_of_each(std::env::vars_os())
}

fn first_of_each(variables: impl Iterator<Item = (OsString, OsString)>) -> Environment {
    let mut environment = Environment::new();
    for (name, value) in variables {
        environment.entry(name).or_insert(value);
    }
    environment
}

/// A command that was found, and that the system will accept with its arguments and its environment.
pub(crate) struct Ready<'a> {
    program: PathBuf,
    command: &'a [OsString],
    environment: Environment,
}

impl<'a> Ready<'a> {
    /// Finds the command, and checks what can be checked before it is started.
    pub(crate) fn new(command: &'a [OsString], environment: Environment, search: bool) -> Result<Self, CliError> {
        let name = command.first().unwrap_or(&EMPTY);
        let program = find(name, environment.get(OsStr::new("PATH")), search)?;
        check_size(&program, command, &environment)?;
        Ok(Self {
            program,
            command,
            environment,
        })
    }

    /// Becomes the command. Returns only when that fails.
    pub(crate) fn run(self) -> CliError {
        let (name, arguments) = self.command.split_first().unwrap_or((&EMPTY, &[]));
        let error = Command::new(&self.program)
            .arg0(name)
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .exec();
        explain(&self.program, &error, self.command, &self.environment)
    }
}

static EMPTY: OsString = OsString::new();

/// Finds the program: as it is when it has a slash or must not be searched for, else in the PATH it will have itself.
fn find(name: &OsStr, path: Option<&OsString>, search: bool) -> Result<PathBuf, CliError> {
    if name.is_empty() {
        return Err(CliError::new(Status::NoSuchCommand, "the command is empty"));
    }
    if name.as_bytes().contains(&b'=') && !Path::new(name).exists() {
        // Its value may be a secret.
        return Err(
            CliError::new(Status::NoSuchCommand, "a variable stands where the command should")
                .hint("to set it for the command: -- env NAME=value COMMAND"),
        );
    }
    if name.as_bytes().contains(&b'/') {
        return runnable(PathBuf::from(name));
    }
    if !search {
        return runnable(Path::new(".").join(name));
    }
    let own = std::env::var_os("PATH");
    let path = path.or(own.as_ref()).map(OsString::as_os_str);
    search_in(path.unwrap_or_else(|| OsStr::new("/usr/bin:/bin")), name)
}

/// Checks what the system would say only after the files were placed.
fn runnable(program: PathBuf) -> Result<PathBuf, CliError> {
    let cannot_run = |why: &str| CliError::new(Status::CannotRun, format!("{} {why}", shown_path(&program)));
    match program.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(cannot_run("is a folder")),
        Ok(_) if rustix::fs::access(&program, rustix::fs::Access::EXEC_OK).is_err() => {
            Err(cannot_run("is not executable"))
        }
        Ok(_) => Ok(program),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_command(&shown_path(&program))),
        Err(error) => Err(cannot_run("cannot be run").caused_by(&error)),
    }
}

fn search_in(path: &OsStr, name: &OsStr) -> Result<PathBuf, CliError> {
    let mut denied = None;
    for folder in std::env::split_paths(path) {
        // An empty entry is the working directory, as everywhere.
        let folder = if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder
        };
        let candidate = folder.join(name);
        if !candidate.is_file() {
            continue;
        }
        match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
            Ok(()) => return Ok(candidate),
            Err(_) => denied = Some(candidate),
        }
    }
    Err(match denied {
        Some(candidate) => CliError::new(
            Status::CannotRun,
            format!("{} is not executable", shown_path(&candidate)),
        ),
        None => no_command(&microsecrets::text::shown(&name.to_string_lossy()))
            .hint("it was looked for in PATH; say its path to run it from elsewhere"),
    })
}

fn no_command(shown: &str) -> CliError {
    CliError::new(Status::NoSuchCommand, format!("there is no command {shown}"))
}

/// Says which limit of the system is broken, and by what, before the system says only "argument list too long".
fn check_size(program: &Path, command: &[OsString], environment: &Environment) -> Result<(), CliError> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let size_of = |name: &OsStr, value: &OsStr| name.len() + value.len() + 2;
    if let Some((name, value)) = environment.iter().find(|(name, value)| size_of(name, value) > MOST_ONE) {
        let message = format!(
            "{} has {} bytes with its name, more than the {MOST_ONE} that the system allows",
            crate::ui::variable(&name.to_string_lossy()),
            size_of(name, value)
        );
        return Err(CliError::new(Status::Failure, message).hint("keep large values in a file: upload it with -f"));
    }
    let total = total_size(program, command, environment);
    if total <= most_all() {
        Ok(())
    } else {
        Err(too_long(total, environment))
    }
}

/// What the system counts: the program's path, arguments, variables, and a pointer to each of these.
fn total_size(program: &Path, command: &[OsString], environment: &Environment) -> u64 {
    let variables = environment.iter().map(|(name, value)| name.len() + value.len() + 2);
    let arguments = command.iter().map(|argument| argument.len() + 1);
    let pointers = (environment.len() + command.len()) * 8;
    (variables.chain(arguments).sum::<usize>() + pointers + program.as_os_str().len() + 1) as u64
}

fn too_long(total: u64, environment: &Environment) -> CliError {
    let largest = environment.iter().max_by_key(|(_, value)| value.len());
    let largest = largest.map_or_else(String::new, |(name, value)| {
        let name = crate::ui::variable(&name.to_string_lossy());
        format!("; the largest is {name} with {} bytes", value.len())
    });
    let most = most_all();
    let message = format!("environment and arguments have {total} bytes, and the system allows {most} here{largest}");
    CliError::new(Status::Failure, message).hint(
        "keep large values in a file: upload it with -f; or raise the limit of the stack (`ulimit -s`), of which a \
         quarter is allowed",
    )
}

/// A quarter of the stack's limit, within what Linux grants at least and at most.
fn most_all() -> u64 {
    let stack = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    stack.map_or(MOST_ALL, |stack| (stack / 4).clamp(LEAST_ALL, MOST_ALL))
}

fn explain(program: &Path, error: &io::Error, command: &[OsString], environment: &Environment) -> CliError {
    let shown = shown_path(program);
    match error.kind() {
        io::ErrorKind::NotFound if !program.exists() => {
            CliError::new(Status::NoSuchCommand, format!("there is no command {shown}"))
        }
        io::ErrorKind::NotFound => CliError::new(Status::CannotRun, format!("cannot run {shown}"))
            .caused_by(error)
            .hint("the interpreter or the loader that it names is missing"),
        // A script's interpreter and path count as well.
        io::ErrorKind::ArgumentListTooLong => {
            too_long(total_size(program, command, environment), environment).caused_by(error)
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            CliError::new(Status::CannotRun, format!("cannot run {shown}"))
                .caused_by(error)
                .hint("a script needs a first line like #!/bin/sh")
        }
        _ => CliError::new(Status::CannotRun, format!("cannot run {shown}")).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_variable_that_is_inherited_twice_the_first_counts() {
        let pairs = [("A", "1"), ("B", "2"), ("A", "3")].map(|(name, value)| (name.into(), value.into()));
        let environment = first_of_each(pairs.into_iter());
        let expected = [("A", "1"), ("B", "2")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(environment, Environment::from(expected));
    }
}
