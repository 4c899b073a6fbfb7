//! A machine that programs run on, as far as a program can tell: a home, a working directory, an environment.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::moto::Moto;

/// A home with nothing in it, and an environment with nothing in it but what is set.
pub struct Machine {
    home: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// A machine with credentials for a moto server.
    pub fn with(moto: &Moto) -> Self {
        let home = tempfile::tempdir().expect("a folder can be made");
        let mut machine = Self {
            home,
            variables: Vec::new(),
        };
        machine.set("MICROSECRETS_ENDPOINT", moto.endpoint());
        machine.set("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE");
        machine.set("AWS_SECRET_ACCESS_KEY", "example");
        machine.set("AWS_EC2_METADATA_DISABLED", "true");
        machine.set("PATH", &std::env::var("PATH").expect("a test has a PATH"));
        machine.set("USER", "tester");
        machine
    }

    /// Sets a variable for every program.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A path in the home, which is also the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file into the home.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file can be written");
    }

    /// Reads a file of the home.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A program here, not yet started.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path());
        command
    }

    /// Runs a program and waits for it.
    pub fn run<S: AsRef<OsStr>>(&self, program: &Path, arguments: &[S], stdin: &[u8]) -> Ran {
        finish(start(self.command(program).args(arguments), stdin))
    }
}

/// Starts a program, and has its standard input fed.
pub fn start(command: &mut Command, stdin: &[u8]) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (mut pipe, stdin) = (child.stdin.take().expect("its input is piped"), stdin.to_vec());
    // A program that has seen enough may close it.
    std::thread::spawn(move || pipe.write_all(&stdin).ok());
    child
}

/// Waits for a program.
pub fn finish(child: Child) -> Ran {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it can be waited for");
    Ran {
        status: status.code().unwrap_or_else(|| panic!("it was killed: {status}")),
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// What came of a program.
#[derive(Debug)]
pub struct Ran {
    /// What it ended with.
    pub status: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it told people.
    pub stderr: String,
}

impl Ran {
    /// Success; what it printed.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self.stdout
    }

    /// Success; the text that it printed.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.ok()).expect("it printed text")
    }

    /// Failure with a status; what it told people. Nothing was printed.
    #[track_caller]
    pub fn fails(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}", self.stderr);
        assert_eq!(String::from_utf8_lossy(&self.stdout), "");
        self.stderr
    }
}

/// The variables that `env -0` printed.
pub fn variables(printed: &[u8]) -> std::collections::BTreeMap<String, String> {
    let lines = printed.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let text = String::from_utf8_lossy(line);
            let (name, value) = text.split_once('=').expect("NAME=value");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
