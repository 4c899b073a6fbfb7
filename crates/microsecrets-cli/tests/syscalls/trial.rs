//! A command that is run again and again in copies of one world, each time with another system call gone wrong.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cases::Case;
use crate::common::redact::redact;
use crate::common::{Outcome, Random, Run, TestEnvironment, mode_of};
use crate::strace::{self, Kind, Point};

/// Runs all that can be run when it is set, instead of what a test may take of a minute.
const ALL: &str = "MICROSECRETS_EVERY_SYSCALL";
/// Of the calls after which the disk is as before, one of so many is tried.
const STRIDE: u64 = 16;
/// How lines begin that show what is about to change.
const CHANGES: [&str; 3] = ["+ ", "- ", "~ "];

/// A command and its world, and how both are when nothing goes wrong.
pub(crate) struct Trial {
    case: Case,
    before: TestEnvironment,
    logs: TempDir,
    old: Vec<String>,
    new: Vec<String>,
    /// How the command ends, and how when it is run once more.
    first: Option<Outcome>,
    second: Option<i32>,
    /// What the command of `with-env` got; nothing where there is none.
    started: Vec<u8>,
    /// What there is in the end.
    shape: Vec<String>,
    /// A folder in memory for private files, if there is memory for it.
    private: TempDir,
}

impl Trial {
    /// Runs the command undisturbed.
    pub(crate) fn new(case: Case) -> Self {
        let before = TestEnvironment::new();
        fs::create_dir(before.path("tmp")).unwrap();
        (case.before)(&before);
        let mut trial = Self {
            old: (case.now)(&before),
            new: Vec::new(),
            first: None,
            second: None,
            started: Vec::new(),
            shape: Vec::new(),
            logs: tempfile::tempdir().unwrap(),
            private: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            case,
            before,
        };
        let (world, run) = trial.world();
        trial.first = Some(run.run());
        trial.stderr();
        trial.started = fs::read(world.path("started")).unwrap_or_default();
        trial.new = (trial.case.now)(&world);
        assert!(trial.old != trial.new && trial.started.is_empty() != (trial.case.arguments[0] == "with-env"));
        trial.then(&world);
        trial.shape = shape_of(&world);
        let (world, run) = trial.world();
        run.run().ends(0);
        trial.second = trial.command(&world).run().status.code();
        trial
    }

    /// A world like the one before, and the command in it.
    pub(crate) fn world(&self) -> (TestEnvironment, Run) {
        let world = copy_of(&self.before);
        let run = self.command(&world);
        (world, run)
    }

    /// The command in a world.
    fn command(&self, world: &TestEnvironment) -> Run {
        let folder = folder_of(world);
        let word = |word: &&str| word.replace("[DIR]", folder.to_str().unwrap());
        let words: Vec<String> = self.case.arguments.iter().map(word).collect();
        world
            .api(&words.iter().map(String::as_str).collect::<Vec<_>>())
            .stdin(&self.case.input)
            .env("TMPDIR", world.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.private.path())
            .env("EDITOR", "sed -i s/1/2/")
    }

    /// The same, watched by strace.
    fn by_strace(run: Run, words: &[String]) -> Outcome {
        run.by_way_of("strace", &words.iter().map(String::as_str).collect::<Vec<_>>())
            .run()
    }

    /// The next write.
    fn then(&self, world: &TestEnvironment) {
        if let Some((arguments, input)) = self.case.then {
            world.api(arguments).stdin(input).run().ends(0);
        }
    }

    /// The calls of an undisturbed run.
    pub(crate) fn points(&self) -> Vec<Point> {
        let (world, run) = self.world();
        let log = self.logs.path().join("told");
        Self::by_strace(run, &strace::telling(&log)).ends(0);
        let folders = [&folder_of(&world), self.private.path()];
        let points = strace::points(&fs::read_to_string(log).unwrap(), &folders);
        assert!(points.iter().any(|point| point.kind == Kind::Changes), "nothing seen");
        points
    }

    /// Kills it at every call.
    #[allow(clippy::print_stderr)]
    pub(crate) fn is_killed_at_each(&self) {
        let points = self.points();
        // At a call that settles something, a kill leaves what one at the next change does.
        let same = [Kind::Looks, Kind::Settles];
        let chosen = some(&points, &same, &mut Random::seeded());
        for point in &chosen {
            self.is_killed(point);
        }
        eprintln!(
            "{}: killed at {} of {} calls",
            self.case.name,
            chosen.len(),
            points.len()
        );
    }

    /// Has every call fail.
    #[allow(clippy::print_stderr)]
    pub(crate) fn fails_at_each(&self) {
        let points = self.points();
        let mut random = Random::seeded();
        let (mut runs, mut calls) = (0, 0);
        for point in some(&points, &[Kind::Looks], &mut random) {
            let errors = point.errors();
            calls += usize::from(!errors.is_empty());
            // All of them, or one by chance and the one that asks for another attempt.
            let chance = errors.get(random.below(errors.len().max(1) as u64) as usize);
            for error in errors {
                if all() || Some(error) == chance || point.is_made_again(error) {
                    self.fails(point, error);
                    runs += 1;
                }
            }
        }
        eprintln!("{}: {runs} errors at {calls} of {} calls", self.case.name, points.len());
    }

    fn is_killed(&self, point: &Point) {
        let (world, run) = self.world();
        let outcome = Self::by_strace(run, &strace::killing(point));
        let what = format!("{}: killed at {}", self.case.name, point.told);
        assert_eq!(outcome.status.signal(), Some(9), "not {what}: {}", outcome.stderr);
        assert!(!world.exists("started"), "the command was started; {what}");
        // The private file of `edit` is what nobody removes then.
        self.forget_private();
        let now = self.look(&world, &what);
        self.goes_on(&world, &now, &what);
    }

    fn fails(&self, point: &Point, error: &str) {
        let (world, run) = self.world();
        let log = self.logs.path().join("failed");
        let mut outcome = Self::by_strace(run, &strace::failing(point, error, &log));
        let what = format!("{}: {error} of {}", self.case.name, point.told);
        let told = fs::read_to_string(&log).unwrap();
        assert!(told.contains("(INJECTED)"), "not {what}: {told}");
        let may_be_done = point.kind == Kind::Prints;
        self.judge(&world, &mut outcome, may_be_done, &what);
        if point.is_made_again(error) {
            assert_eq!(outcome.status.code(), Some(0), "{what}: {}", outcome.stderr);
            assert_eq!(outcome.stderr(), self.stderr(), "{what}");
        }
    }

    /// It has done all, or says what failed and has done nothing; and the next one works.
    pub(crate) fn judge(&self, world: &TestEnvironment, outcome: &mut Outcome, may_be_done: bool, what: &str) {
        let what = &format!("{what}\n{:?}\n{}", outcome.status, outcome.stderr);
        let is_warned = outcome.stderr.contains("could not be removed, and holds secrets");
        assert!(
            self.forget_private() == 0 || is_warned,
            "a private file is left; {what}"
        );
        let now = self.look(world, what);
        let started = fs::read(world.path("started")).unwrap_or_default();
        match outcome.status.code() {
            Some(0) => {
                assert!(now == self.new, "it says it did it; {what}\n{now:#?}");
                assert!(started == self.started, "the command got something else; {what}");
            }
            Some(status) => {
                let is_message = |line: &&str| !CHANGES.iter().any(|start| line.starts_with(start));
                outcome.stderr = outcome.stderr.split_inclusive('\n').filter(is_message).collect();
                outcome.is_well_formed();
                assert!(started.is_empty(), "the command was started; {what}");
                let is_unknown = status == 7 || may_be_done || self.case.may_be_ahead || self.case.piecewise;
                assert!(now == self.old || is_unknown, "it says it failed; {what}\n{now:#?}");
            }
            None => panic!("{what}"),
        }
        self.goes_on(world, &now, what);
    }

    /// What the command tells people, undisturbed.
    pub(crate) fn stderr(&self) -> String {
        self.first.as_ref().unwrap().ends(0).stderr()
    }

    /// Removes private files; answers how many there were.
    fn forget_private(&self) -> usize {
        let left = fs::read_dir(self.private.path()).unwrap().map(Result::unwrap);
        left.map(|entry| fs::remove_dir_all(entry.path()).unwrap()).count()
    }

    /// The folder of what the command writes.
    pub(crate) fn disk(&self) -> &str {
        self.case.disk
    }

    /// Whether it writes anything, rather than only removing.
    pub(crate) fn needs_room(&self) -> bool {
        self.case.needs_room
    }

    /// What is seen: each thing old or new, and together too unless they change one by one.
    fn look(&self, world: &TestEnvironment, what: &str) -> Vec<String> {
        let now = (self.case.now)(world);
        let mut each = now.iter().zip(self.old.iter().zip(&self.new));
        let is_each = each.all(|(now, (old, new))| now == old || now == new);
        let is_whole = self.case.piecewise || now == self.old || now == self.new;
        assert!(
            is_each && is_whole && now.len() == self.old.len(),
            "neither old nor new; {what}\n{now:#?}"
        );
        now
    }

    /// The next run does what this one did not, and in the end all is as if nothing had happened.
    fn goes_on(&self, world: &TestEnvironment, now: &[String], what: &str) {
        let again = self.command(world).run();
        let status = again.status.code();
        assert!(
            status == Some(0) || now == self.new && status == self.second,
            "the next one ended with {status:?}; {what}\n{}",
            again.stderr
        );
        assert!((self.case.now)(world) == self.new, "the next one did not do it; {what}");
        self.then(world);
        let mut more = self.difference(world, what);
        if self.case.doctor && !more.is_empty() {
            self.is_mended(world, what);
            more = self.difference(world, what);
        }
        more.retain(|path| !(self.case.may_stay)(path));
        assert!(more.is_empty(), "left behind; {what}\n{more:#?}");
    }

    /// What there is more than there should be. Nothing may be missing.
    fn difference(&self, world: &TestEnvironment, what: &str) -> Vec<String> {
        let mut more = shape_of(world);
        for path in &self.shape {
            match more.iter().position(|other| other == path) {
                Some(at) => drop(more.remove(at)),
                None => panic!("missing: {path}; {what}\n{more:#?}"),
            }
        }
        more
    }

    /// `doctor` removes the bytes of an upload that came to nothing, once they are older than the head.
    fn is_mended(&self, world: &TestEnvironment, what: &str) {
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
        for (path, _) in world.store() {
            if path.to_str().unwrap().contains("/services/api/files/") {
                let file = fs::File::options().append(true).open(path).unwrap();
                file.set_modified(long_ago).unwrap();
            }
        }
        let run = world.api(&["doctor", "-f", "blob", "--fix", "--yes"]).run();
        assert!(run.status.success(), "{what}\n{}{}", run.raw_stdout(), run.stderr);
    }
}

/// Whether all is to be run.
fn all() -> bool {
    std::env::var_os(ALL).is_some()
}

/// The calls of a run, of some kinds only a part by chance.
fn some<'a>(points: &'a [Point], rarely: &[Kind], random: &mut Random) -> Vec<&'a Point> {
    let mut chosen = |point: &&Point| !rarely.contains(&point.kind) || all() || random.below(STRIDE) == 0;
    points.iter().filter(&mut chosen).collect()
}

/// The world's folder, without a slash at the end.
fn folder_of(world: &TestEnvironment) -> PathBuf {
    world.path("any").parent().unwrap().to_owned()
}

fn copy_of(world: &TestEnvironment) -> TestEnvironment {
    let copy = TestEnvironment::new();
    copy_folder(&world.path(""), &copy.path(""));
    copy
}

/// Copies files and folders with their modes.
fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file and folder with its mode, without what differs between runs.
fn shape_of(world: &TestEnvironment) -> Vec<String> {
    let mut paths = Vec::new();
    collect(&world.path(""), &mut paths);
    let line = |path: &PathBuf| {
        let name = path.strip_prefix(world.path("")).unwrap().to_str().unwrap();
        redact(&format!("{:o} {name}", mode_of(path)), path)
    };
    let mut shape: Vec<String> = paths
        .iter()
        .filter(|path| !path.ends_with("started"))
        .map(line)
        .collect();
    shape.sort();
    shape
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        paths.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), paths);
        }
    }
}
