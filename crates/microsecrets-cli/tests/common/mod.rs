//! The real programs on a folder store: a temporary folder, a scrubbed environment, no network.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

pub mod api;
pub mod canary;
pub mod peak;
pub mod redact;
pub mod seed;
pub mod terminal;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user that tests become which need the absence of rights, when they run as root.
const NOBODY: u32 = 65534;

/// A temporary folder with a store in `store` (once something is uploaded), its identity below `config`, and whatever
/// a test writes. It is the working directory of what is run.
pub struct TestEnvironment {
    folder: TempDir,
    user: Option<u32>,
    programs: PathBuf,
}

impl TestEnvironment {
    pub fn new() -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_microsecrets")).parent().unwrap();
        Self {
            folder: tempfile::Builder::new().prefix("microsecrets-test-").tempdir().unwrap(),
            user: None,
            programs: programs.to_owned(),
        }
    }

    /// Runs everything as a user without rights, even when the tests run as root.
    pub fn unprivileged() -> Self {
        let mut environment = Self::new();
        if rustix::process::geteuid().is_root() {
            // Where the programs are built may be closed to that user.
            let program = environment.path("microsecrets");
            install(Path::new(env!("CARGO_BIN_EXE_microsecrets")), &program);
            environment.programs = environment.path("");
            environment.user = Some(NOBODY);
            chown(environment.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        environment
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// An executable script, or anything else that is to be executed.
    pub fn script(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let source = self.write(&format!("{name}.source"), content);
        install(&source, &self.path(name));
        fs::remove_file(source).unwrap();
        self.path(name)
    }

    /// `microsecrets ARGUMENTS`, with `MICROSECRETS_BUCKET` set to the store.
    pub fn microsecrets<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        let mut run = self.program(self.programs.join("microsecrets"), arguments);
        run.command
            .env("MICROSECRETS_BUCKET", format!("file:{}", self.path("store").display()));
        run
    }

    /// One of 0.3.4's commands, on the store.
    pub fn launcher(&self, name: &str, arguments: &[&str]) -> Run {
        let bucket = format!("file:{}", self.path("store").display());
        let arguments: Vec<&str> = ["-b", &bucket].iter().chain(arguments).copied().collect();
        self.program(self.programs.join(name), &arguments)
    }

    /// Any program, in the folder, with a scrubbed environment.
    pub fn program<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[S]) -> Run {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .env("LOGNAME", "ann")
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_CONFIG_HOME", self.path("config"));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let folder = self.folder.path().to_owned();
        let input = Input::Bytes(Vec::new());
        Run { command, input, folder }
    }

    /// Uploads pairs as the environment of the service `api`, and answers the checksum.
    #[track_caller]
    pub fn upload(&self, pairs: &str) -> String {
        self.upload_with(&["-s", "api"], pairs)
    }

    /// Uploads bytes as a file of the service `api`, and answers the checksum.
    #[track_caller]
    pub fn upload_file(&self, label: &str, bytes: impl AsRef<[u8]>) -> String {
        self.upload_with(&["-s", "api", "-f", label], bytes)
    }

    #[track_caller]
    pub fn upload_with(&self, arguments: &[&str], bytes: impl AsRef<[u8]>) -> String {
        let arguments: Vec<&str> = ["upload", "-q"].iter().chain(arguments).copied().collect();
        let outcome = self.microsecrets(&arguments).stdin(bytes).run();
        assert!(outcome.status.success(), "{}", outcome.stderr);
        outcome.raw_stdout().trim_end().to_owned()
    }

    /// The store's one identity.
    pub fn identity(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.path("config/microsecrets")).unwrap();
        entries.next().unwrap().unwrap().path()
    }

    /// Every file of the store with its content: what an upload that writes nothing leaves alone.
    pub fn store(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path("store"), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files);
        } else {
            files.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
}

/// Copies an executable by way of another process: a file that this one has open for writing, another test's child may
/// have inherited, and then it is "busy" and cannot be executed.
pub fn install(from: &Path, to: &Path) {
    let status = Command::new("install")
        .args(["-m", "755"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success());
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

enum Input {
    Bytes(Vec<u8>),
    Stdio(Stdio),
}

/// A program that is about to be run.
pub struct Run {
    pub command: Command,
    input: Input,
    folder: PathBuf,
}

impl Run {
    /// What it reads from standard input; nothing unless said.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = Input::Bytes(bytes.as_ref().to_owned());
        self
    }

    pub fn stdin_from(mut self, stdio: impl Into<Stdio>) -> Self {
        self.input = Input::Stdio(stdio.into());
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The same through a shell script that ends with `exec "$@"`, to change what is inherited.
    pub fn through(self, script: &str) -> Self {
        self.by_way_of("/bin/sh", &["-c", script, "sh"])
    }

    /// The same as the arguments of another program, which ends with becoming them.
    pub fn by_way_of(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(self.command.get_program())
            .args(self.command.get_args());
        command
            .env_clear()
            .envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(&self.folder);
        self.command = command;
        self
    }

    /// The same at a terminal of its own, by way of `script` (see [`has`]). What it reads is typed there; what it prints
    /// and says, and what is typed, is the standard output.
    pub fn at_a_terminal(mut self) -> Self {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = Command::new("script");
        script
            .args(["-qec", &line.join(" "), "/dev/null"])
            .env_clear()
            .env("SHELL", "/bin/sh");
        script.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.current_dir(&self.folder);
        self.command = script;
        self
    }

    /// Starts it with pipes, and leaves it to the test.
    pub fn spawn(mut self) -> Child {
        let (stdin, bytes) = match self.input {
            Input::Bytes(bytes) => (Stdio::piped(), bytes),
            Input::Stdio(stdio) => (stdio, Vec::new()),
        };
        let command = self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without having read everything.
            std::thread::spawn(move || stdin.write_all(&bytes).ok());
        }
        child
    }

    pub fn run(self) -> Outcome {
        let folder = self.folder.clone();
        let output = self.spawn().wait_with_output().unwrap();
        Outcome {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
            folder,
        }
    }

    /// The same with standard output somewhere else.
    pub fn run_into(mut self, stdout: File) -> Outcome {
        let folder = self.folder.clone();
        let Input::Bytes(bytes) = self.input else {
            panic!("only with bytes")
        };
        let command = self.command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        Outcome {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
            folder,
        }
    }
}

/// How a program ended, and what it said. Texts are compared with what differs between runs replaced: `[DIR]`, `[TIME]`,
/// `[CHECKSUM]`, `[ID]`.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    folder: PathBuf,
}

impl Outcome {
    pub fn stdout(&self) -> String {
        redact::redact(&self.raw_stdout(), &self.folder)
    }

    pub fn raw_stdout(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn stderr(&self) -> String {
        redact::redact(&self.stderr, &self.folder)
    }

    /// It succeeded, printed exactly this, and had nothing to tell people.
    #[track_caller]
    pub fn prints(&self, stdout: &str) -> &Self {
        self.prints_and_says(stdout, "")
    }

    /// It succeeded, printed exactly this, and told people exactly that.
    #[track_caller]
    pub fn prints_and_says(&self, stdout: &str, stderr: &str) -> &Self {
        assert_eq!(self.stderr(), stderr);
        assert_eq!(self.stdout(), stdout);
        assert_eq!(self.status.into_raw(), 0);
        self
    }

    /// It failed with this status, printed nothing, and told people exactly that.
    #[track_caller]
    pub fn fails(&self, status: i32, stderr: &str) -> &Self {
        assert_eq!(self.stderr(), stderr);
        self.is_well_formed();
        assert_eq!(self.stdout(), "");
        assert_eq!(self.status.code(), Some(status));
        self
    }

    /// Every failure reads alike: warnings and notes, one error, why, one hint; one line each, in lower case, without a
    /// period, and with nothing in it that would move the cursor.
    #[track_caller]
    pub fn is_well_formed(&self) {
        let said = &self.stderr;
        let is_plain = |c: char| c == '\n' || !c.is_control();
        assert!(said.ends_with('\n') && said.chars().all(is_plain), "{said:?}");
        let mut before = 0;
        for line in said.lines() {
            let kinds = [
                ("warning: ", 0),
                ("note: ", 0),
                ("error: ", 1),
                ("  caused by: ", 2),
                ("hint: ", 3),
            ];
            let kind = kinds
                .iter()
                .find_map(|(start, kind)| Some((line.strip_prefix(start)?, *kind)));
            let Some((text, kind)) = kind else {
                panic!("not a message: {line}")
            };
            let next = if kind == 1 {
                before == 0
            } else {
                kind == before || kind > before && before > 0
            };
            assert!(next && !(kind == 3 && before == 3), "in the wrong place: {said}");
            let mut last = text.chars().rev();
            let ends_well = last.next() != Some('.') || !last.next().is_some_and(char::is_alphanumeric);
            assert!(!text.is_empty() && ends_well, "{line}");
            before = kind;
        }
        assert!(before > 0, "no error: {said}");
    }

    /// It ended with this status, whatever it said.
    #[track_caller]
    pub fn ends(&self, status: i32) -> &Self {
        assert_eq!(self.status.code(), Some(status), "{}", self.stderr);
        self
    }
}

/// Waits until something is so; an hour's wait is a failure, a slow machine is none.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Skips a test, visibly.
#[allow(clippy::print_stderr)]
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Skips a part of a test, past the test runner, which would keep it to itself.
pub fn skip_aloud(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).ok();
}

/// Whether there is a strace that may trace; says plainly what is not tried where there is none.
pub fn has_strace(otherwise: &str) -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-o", "/dev/null", "true"]);
    let is_here = has("strace") && probe.status().is_ok_and(|status| status.success());
    if !is_here {
        skip_aloud(&format!("there is no strace that may trace; {otherwise}"));
    }
    is_here
}

/// Whether a program that is part of Debian's essential packages is here too.
pub fn has(program: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

/// A small generator of numbers (SplitMix64), the same on every machine for a seed.
pub struct Random(pub u64);

impl Random {
    /// Seeded by `MICROSECRETS_TEST_SEED`, else by chance; prints the seed for when the test fails.
    #[allow(clippy::print_stderr)]
    pub fn seeded() -> Self {
        let given = std::env::var("MICROSECRETS_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let chance = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let seed = given.unwrap_or(chance.as_nanos() as u64);
        eprintln!("MICROSECRETS_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .take(count)
            .collect()
    }
}
