//! `microsecrets upload -f LABEL`: files, any bytes of any size.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};

use common::{Random, TestEnvironment, has, mode_of, skip};

const UPLOADED: &str = "\
Successfully uploaded data:
  bucket: file:[DIR]/store
  path: services/api/files/tls.pem/[TIME].[CHECKSUM]
  checksum: [CHECKSUM]
  version: 1
";

const MIB: usize = 1 << 20;

#[test]
fn a_file_is_uploaded_under_its_label() {
    let environment = TestEnvironment::new();
    let content = "-----BEGIN X-----\n".repeat(10);
    environment.write("cert.pem", &content);
    environment
        .microsecrets(&["upload", "-s", "api", "-f", "tls.pem", "cert.pem"])
        .run()
        .prints(UPLOADED);
    environment
        .microsecrets(&["download", "-s", "api", "-f", "tls.pem"])
        .run()
        .prints(&content);
}

#[test]
fn bytes_come_back_as_they_were_whatever_their_number_and_their_way() {
    let environment = TestEnvironment::new();
    let mut random = Random::seeded();
    for size in [64, MIB, MIB + 1, 9 * MIB] {
        let bytes = random.bytes(size);
        environment.write("input", &bytes);
        fs::remove_file(environment.path("fifo")).ok();
        make_fifo(&environment, "fifo");
        let writer = std::thread::spawn({
            let (path, bytes) = (environment.path("fifo"), bytes.clone());
            move || fs::write(path, bytes).unwrap()
        });
        let upload = |label, path: &str| environment.microsecrets(&["upload", "-q", "-s", "api", "-f", label, path]);
        upload("from-file", "input").run().ends(0);
        upload("from-fifo", "fifo").run().ends(0);
        upload("from-file-as-stdin", "/dev/stdin")
            .stdin_from(File::open(environment.path("input")).unwrap())
            .run()
            .ends(0);
        environment.upload_file("from-pipe", &bytes);
        writer.join().unwrap();
        for label in ["from-file", "from-fifo", "from-file-as-stdin", "from-pipe"] {
            let spec = format!("{label}:{label}-{size}");
            environment
                .microsecrets(&["download", "-s", "api", "-f", &spec])
                .run()
                .prints("");
            assert!(
                environment.read(&format!("{label}-{size}")) == bytes,
                "{label}, {size} bytes"
            );
        }
    }
}

fn make_fifo(environment: &TestEnvironment, name: &str) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, environment.path(name), kind, mode, 0).unwrap();
}

#[test]
fn a_short_file_is_warned_of_because_its_checksum_can_be_guessed() {
    let environment = TestEnvironment::new();
    for (version, size) in [(1, 0), (2, 63)] {
        let upload = environment
            .microsecrets(&["upload", "-s", "api", "-f", "tls.pem"])
            .stdin("x".repeat(size))
            .run();
        upload.prints_and_says(
            &UPLOADED.replace("version: 1", &format!("version: {version}")),
            &format!(
                "warning: a file of {size} bytes can be guessed by its checksum, which whoever lists the bucket can \
                 see; put short secrets into the environment\n"
            ),
        );
    }
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "-f", "tls.pem"])
        .stdin("x".repeat(64))
        .run();
    upload.prints(&UPLOADED.replace("version: 1", "version: 3"));
}

#[test]
fn an_empty_file_is_a_file() {
    let environment = TestEnvironment::new();
    environment.upload_file("empty", "");
    environment
        .microsecrets(&["download", "-s", "api", "-f", "empty:here"])
        .run()
        .prints("");
    assert_eq!(environment.read("here"), b"");
}

#[test]
fn equal_bytes_are_not_uploaded_again() {
    let environment = TestEnvironment::new();
    for size in [100, MIB + 1] {
        let bytes = vec![b'x'; size];
        let label = format!("of-{size}");
        let first = environment.upload_file(&label, &bytes);
        let before = environment.store();
        let upload = |options: &[&str]| {
            let arguments = [&["upload", "-s", "api", "-f", &label], options].concat();
            environment.microsecrets(&arguments).stdin(&bytes).run()
        };
        let expected = UPLOADED.replace("tls.pem", &label);
        let again = upload(&[]);
        again.prints(&expected.replace(
            "Successfully uploaded data",
            "Nothing uploaded, this is the current version already",
        ));
        assert!(environment.store() == before);
        let forced = upload(&["--force"]);
        forced.prints(&expected.replace("version: 1", "version: 2"));
        assert!(forced.raw_stdout().contains(&first), "files have no salt");
    }
}

#[test]
fn a_label_is_no_path() {
    let environment = TestEnvironment::new();
    let grammar = "a label may hold A-Z, a-z, 0-9 and . _ @ + -";
    for (label, why) in [
        ("a/b", grammar),
        ("a:b", grammar),
        ("a b", grammar),
        ("..", "a label must not be . or .."),
        (".", "a label must not be . or .."),
    ] {
        environment.microsecrets(&["upload", "-s", "api", "-f", label]).stdin("x").run().fails(
            2,
            &format!("error: --file cannot be '{label}': {why}\nhint: `microsecrets upload --help` shows what can be said\n"),
        );
    }
    environment
        .microsecrets(&["upload", "-s", "api", "-f", ""])
        .stdin("x")
        .run()
        .fails(
            2,
            "error: --file: a label must not be empty\nhint: `microsecrets upload --help` shows what can be said\n",
        );
}

#[test]
fn an_environment_and_a_file_exclude_each_other() {
    let environment = TestEnvironment::new();
    for option in ["--json", "--dotenv", "--any-name"] {
        let upload = environment
            .microsecrets(&["upload", "-s", "api", option, "-f", "tls.pem"])
            .stdin("{}")
            .run();
        upload.fails(
            2,
            &format!("error: {option} and --file exclude each other\nhint: leave one of them out\n"),
        );
    }
}

#[test]
fn nothing_is_left_beside_the_store() {
    let environment = TestEnvironment::new();
    let scratch = environment.path("scratch");
    fs::create_dir(&scratch).unwrap();
    // More than fits into memory goes to a temporary file without a name.
    let upload = environment.microsecrets(&["upload", "-q", "-s", "api", "-f", "big"]);
    upload.env("TMPDIR", &scratch).stdin(vec![7; 9 * MIB]).run().ends(0);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    let mut entries: Vec<_> = fs::read_dir(environment.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    entries.sort();
    assert_eq!(entries, ["config", "scratch", "store"]);
}

#[test]
fn what_is_in_the_store_is_for_its_owner_only() {
    let environment = TestEnvironment::new();
    environment.upload("A=canary\n");
    environment.upload_file("blob", "canary".repeat(20));
    environment.upload_file("big", "canary".repeat(MIB));
    for (path, bytes) in environment.store() {
        assert_eq!(mode_of(&path) & 0o077, 0, "{}", path.display());
        let found = bytes.windows(6).any(|window| window == b"canary");
        assert!(!found, "{} is not encrypted", path.display());
    }
    assert_eq!(mode_of(&environment.identity()), 0o600);
}

#[test]
fn no_room_for_a_large_standard_input_is_said() {
    let environment = TestEnvironment::new();
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "-f", "big"])
        .env("TMPDIR", environment.path("nosuch"));
    upload.stdin(vec![7; 9 * MIB]).run().fails(
        1,
        "error: cannot read standard input\n\
         \x20 caused by: No such file or directory (os error 2)\nhint: what is too large for memory is kept, encrypted, in a temporary file: check TMPDIR\n",
    );
}

#[test]
fn a_large_file_shows_a_bar_to_people_only() {
    if !has("script") {
        return skip("there is no script(1)");
    }
    let environment = TestEnvironment::new();
    environment.write("big", vec![7; 20 * MIB]);
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "-f", "big", "big"])
        .at_a_terminal();
    let seen = upload.env("TERM", "xterm").env("COLUMNS", "100").run().raw_stdout();
    assert!(seen.contains("/20.00 MiB"), "{seen:?}");
    let last = "\n  version: 1\r\n";
    assert!(
        seen.contains("Successfully uploaded data:\r\n") && seen.ends_with(last),
        "{seen:?}"
    );

    let upload = environment
        .microsecrets(&["upload", "-q", "--force", "-s", "api", "-f", "big", "big"])
        .run();
    upload.prints("[CHECKSUM]\n");
}
