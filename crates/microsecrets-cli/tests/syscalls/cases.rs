//! The commands, each in a world of its own.

use microsecrets::checksum::Checksum;

use crate::common::{Outcome, TestEnvironment, mode_of};

/// A command, the world that it finds, and what can be seen of it afterwards.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes the world that it finds.
    pub(crate) before: fn(&TestEnvironment),
    /// Its command line; `[DIR]` is the world's folder.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) input: Vec<u8>,
    /// Things to look at; each of them is as it was or as it shall be, whatever happens.
    pub(crate) now: fn(&TestEnvironment) -> Vec<String>,
    /// Whether one may be as it was and another as it shall be.
    pub(crate) piecewise: bool,
    /// Whether it may fail when it is done: what is remembered is then ahead of what was used.
    pub(crate) may_be_ahead: bool,
    /// The folder that it writes into.
    pub(crate) disk: &'static str,
    /// Whether it writes anything, rather than only removing.
    pub(crate) needs_room: bool,
    /// A later write of the same item, with what it reads: it completes what was left out.
    pub(crate) then: Option<(&'static [&'static str], &'static [u8])>,
    /// Whether a path, of which a kill left more than there should be, may stay.
    pub(crate) may_stay: fn(&str) -> bool,
    /// Whether `doctor` removes what may be left of an upload that came to nothing.
    pub(crate) doctor: bool,
}

/// The command that `with-env` becomes: it leaves a trace of what it got.
const COMMAND: &str = "cat [DIR]/out/* >[DIR]/started; echo $N >>[DIR]/started";
const LARGE: usize = (1 << 20) + 1;

const THEN_ENVIRONMENT: (&[&str], &[u8]) = (&["upload", "-q"], b"Z=9\n");
const THEN_FILE: (&[&str], &[u8]) = (&["upload", "-q", "-f", "blob"], b"another");

impl Case {
    fn new(name: &'static str, before: fn(&TestEnvironment), arguments: &'static [&'static str], input: &[u8]) -> Self {
        Self {
            name,
            before,
            arguments,
            input: input.to_owned(),
            now: |world| vec![environment(world, &[])],
            piecewise: false,
            may_be_ahead: false,
            disk: "store",
            needs_room: true,
            then: Some(THEN_ENVIRONMENT),
            may_stay: |_| false,
            doctor: false,
        }
    }

    /// One that writes the file `blob` of the service.
    fn of_file(mut self) -> Self {
        self.now = |world| vec![blob(world)];
        self.then = Some(THEN_FILE);
        self
    }

    /// One that places files, and leaves the store alone.
    fn placing(mut self) -> Self {
        self.now = |world| vec![placed(world, "out/blob")];
        self.then = None;
        self.disk = "out";
        self
    }
}

pub(crate) fn first_upload() -> Case {
    Case {
        // The identity is written before the store that it opens: nobody can tell that it opens none.
        may_stay: |path| path == "600 config/microsecrets/folder-[ID].age-identity",
        ..Case::new("the first upload", |_| {}, &["upload", "-q"], b"N=1\n")
    }
}

pub(crate) fn second_upload() -> Case {
    Case::new("the second upload", one_version, &["upload", "-q"], b"N=2\n")
}

pub(crate) fn set() -> Case {
    Case::new("set", one_version, &["set", "-q", "N"], b"2")
}

pub(crate) fn upload_file() -> Case {
    let arguments = &["upload", "-q", "-f", "blob"];
    Case::new("upload -f", one_file, arguments, &vec![b'2'; 3000]).of_file()
}

pub(crate) fn upload_large_file() -> Case {
    let arguments = &["upload", "-q", "-f", "blob"];
    Case {
        doctor: true,
        ..Case::new("upload -f, large", one_file, arguments, &vec![b'2'; LARGE]).of_file()
    }
}

pub(crate) fn delete() -> Case {
    Case::new("delete", one_version, &["delete", "-q", "--yes"], b"")
}

pub(crate) fn rollback() -> Case {
    let arguments = &["rollback", "-q", "1", "--if-version", "2", "--yes"];
    Case::new("rollback", two_versions, arguments, b"")
}

pub(crate) fn prune() -> Case {
    let before = |world: &TestEnvironment| {
        two_versions(world);
        world.upload("N=3\n");
    };
    let now = |world: &TestEnvironment| {
        let at = |number| environment(world, &["--at", number]);
        vec![environment(world, &[]), at("1"), at("2")]
    };
    Case {
        now,
        piecewise: true,
        needs_room: false,
        ..Case::new("prune", before, &["prune", "--keep", "1", "--yes"], b"")
    }
}

pub(crate) fn signing_key() -> Case {
    let now = |world: &TestEnvironment| {
        let export = world.api(&["signing-key", "export"]).run();
        let is_key = export.stdout.starts_with(b"-----BEGIN PUBLIC KEY-----\n");
        vec![if is_key { "a key".to_owned() } else { export.stderr() }]
    };
    Case {
        now,
        disk: "config",
        then: None,
        ..Case::new("signing-key create", one_version, &["signing-key", "create"], b"")
    }
}

pub(crate) fn re_sign() -> Case {
    let before = |world: &TestEnvironment| {
        one_version(world);
        world.did(&["signing-key", "create"]);
        let exported = world.did(&["signing-key", "export"]);
        world.write("key.pem", exported);
    };
    let now = |world: &TestEnvironment| {
        let signed = environment(world, &["--verify-key", "key.pem"]);
        vec![environment(world, &[]), signed]
    };
    let arguments = &["re-sign", "--sign", "--verify-key", "[DIR]/key.pem", "--adopt", "--yes"];
    Case {
        now,
        ..Case::new("re-sign --sign", before, arguments, b"")
    }
}

pub(crate) fn migrate() -> Case {
    let before = |world: &TestEnvironment| {
        world.put_by_0_3_4("api", "2016-05-04.03-02-01", ("N", "1"));
        world.put_by_0_3_4("api", "2017-05-04.03-02-01", ("N", "2"));
    };
    let now = |world: &TestEnvironment| vec![environment(world, &[]), world.did(&["migrate"])];
    Case {
        now,
        // What 0.3.4 wrote is taken over by a commit of its own, before anything else is done.
        piecewise: true,
        ..Case::new("migrate --apply", before, &["migrate", "--apply", "--yes"], b"")
    }
}

pub(crate) fn download() -> Case {
    let arguments = &["download", "-f", "blob:[DIR]/out/blob"];
    Case::new("download -f", to_place, arguments, b"").placing()
}

pub(crate) fn download_over() -> Case {
    let before = |world: &TestEnvironment| {
        world.upload_file("blob", vec![b'2'; LARGE]);
        std::fs::create_dir(world.path("out")).unwrap();
        world.write("out/blob", "old");
    };
    let arguments = &["download", "--force", "-f", "blob:[DIR]/out/blob"];
    Case::new("download --force -f, large", before, arguments, b"").placing()
}

pub(crate) fn with_env() -> Case {
    let arguments = &[
        "with-env",
        "-a",
        "-f",
        "blob:[DIR]/out/blob",
        "--",
        "/bin/sh",
        "-c",
        COMMAND,
    ];
    Case::new("with-env -f", to_place, arguments, b"").placing()
}

pub(crate) fn with_env_over() -> Case {
    let before = |world: &TestEnvironment| {
        to_place(world);
        world.upload_file("other", "the other one");
        world.write("out/blob", "old");
        world.write("out/other", "another old one");
    };
    let now = |world: &TestEnvironment| vec![placed(world, "out/blob"), placed(world, "out/other")];
    let arguments = &[
        "with-env",
        "-a",
        "--force",
        "-f",
        "blob:[DIR]/out/blob",
        "-f",
        "other:[DIR]/out/other",
        "--",
        "/bin/sh",
        "-c",
        COMMAND,
    ];
    Case {
        now,
        // No system renames two files at once. All are verified first.
        piecewise: true,
        ..Case::new("with-env --force -f", before, arguments, b"").placing()
    }
}

pub(crate) fn with_env_state() -> Case {
    let before = |world: &TestEnvironment| {
        to_place(world);
        world.did(&["download", "--state", "out/seen"]);
        world.upload("N=2\n");
        world.write("out/blob", "there already");
    };
    let now = |world: &TestEnvironment| vec![String::from_utf8(world.read("out/seen")).unwrap()];
    let arguments = &[
        "with-env",
        "-a",
        "--state",
        "[DIR]/out/seen",
        "--",
        "/bin/sh",
        "-c",
        COMMAND,
    ];
    Case {
        now,
        may_be_ahead: true,
        ..Case::new("with-env --state", before, arguments, b"").placing()
    }
}

pub(crate) fn edit() -> Case {
    Case::new("edit", one_version, &["edit", "-q"], b"")
}

fn one_version(world: &TestEnvironment) {
    world.upload("N=1\n");
}

fn two_versions(world: &TestEnvironment) {
    one_version(world);
    world.upload("N=2\n");
}

fn one_file(world: &TestEnvironment) {
    world.upload_file("blob", vec![b'1'; 3000]);
}

/// An environment, a file, and a folder for it.
fn to_place(world: &TestEnvironment) {
    one_version(world);
    one_file(world);
    std::fs::create_dir(world.path("out")).unwrap();
}

/// What readers get for the environment.
fn environment(world: &TestEnvironment, options: &[&str]) -> String {
    seen(&world.api(&[&["download"], options].concat()).run())
}

/// What readers get for the file `blob`.
fn blob(world: &TestEnvironment) -> String {
    seen(&world.api(&["download", "-f", "blob"]).run())
}

fn seen(run: &Outcome) -> String {
    let nothing = run.status.code() == Some(3) || run.stderr.contains("no such folder, or no store in it");
    match run.status.code() {
        Some(0) => format!("{} bytes, {}", run.stdout.len(), Checksum::of(&run.stdout)),
        _ if nothing => "nothing".to_owned(),
        status => format!("{status:?}: {}", run.stderr()),
    }
}

/// A file that is placed: it is its owner's alone from its first moment.
fn placed(world: &TestEnvironment, path: &str) -> String {
    match std::fs::read(world.path(path)) {
        Ok(bytes) => format!(
            "{} bytes, {}, mode {:o}",
            bytes.len(),
            Checksum::of(&bytes),
            mode_of(&world.path(path))
        ),
        Err(error) => error.to_string(),
    }
}
