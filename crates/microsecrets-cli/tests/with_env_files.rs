//! `microsecrets with-env -f NAME:PATH[:HASH]`: files placed for the command.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Outcome, TestEnvironment, mode_of, set_mode};

const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A service with an environment and the file `tls.pem`.
fn service() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload_file("tls.pem", content());
    environment
}

fn content() -> String {
    "certificate\n".repeat(10)
}

/// Runs `with-env -s api -a OPTIONS -- sh -c SCRIPT`.
fn with_env(environment: &TestEnvironment, options: &[&str], script: &str) -> Outcome {
    let arguments = [&["with-env", "-s", "api", "-a"], options, &["--", "sh", "-c", script]].concat();
    environment.microsecrets(&arguments).run()
}

/// A refusal: the exact message, no command, and no new file.
#[track_caller]
fn refuses(environment: &TestEnvironment, options: &[&str], status: i32, said: &str) {
    let before = names(environment);
    with_env(environment, options, "touch started").fails(status, said);
    assert_eq!(names(environment), before);
}

/// What is in the folder.
fn names(environment: &TestEnvironment) -> Vec<String> {
    let entries = fs::read_dir(environment.path("")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_placed_for_its_owner_only_and_stays() {
    let environment = service();
    let run = with_env(&environment, &["-f", "tls.pem:here"], "stat -c %a here; cat here");
    run.prints(&format!("600\n{}", content()));
    assert_eq!(environment.read("here"), content().as_bytes());
}

#[test]
fn its_mode_is_no_business_of_the_umask() {
    let environment = service();
    let arguments = [
        "with-env",
        "-s",
        "api",
        "-a",
        "-f",
        "tls.pem:here",
        "--",
        "sh",
        "-c",
        "stat -c %a here; umask",
    ];
    environment
        .microsecrets(&arguments)
        .through("umask 0; exec \"$@\"")
        .run()
        .prints("600\n0000\n");
}

#[test]
fn several_files_are_placed_and_one_of_them_twice() {
    let environment = service();
    environment.upload_file("key", "k".repeat(2 << 20));
    let options = ["-f", "tls.pem:a", "-f", "key:b", "-f", "tls.pem:c"];
    with_env(&environment, &options, "wc -c < a; wc -c < b; wc -c < c").prints("120\n2097152\n120\n");
}

#[test]
fn a_file_can_be_pinned() {
    let environment = service();
    let first = environment.upload_file("tls.pem", "first ".repeat(20));
    environment.upload_file("tls.pem", content());
    let spec = format!("tls.pem:old:{first}");
    with_env(&environment, &["-f", &spec], "head -c 5 old").prints_and_says(
        "first",
        "warning: the pinned version is not the current one, which is 3, [TIME].[CHECKSUM]\n",
    );
    for function in ["sha256sum", "sha384sum", "sha512sum"] {
        environment.write("content", content());
        let sum = environment.program(function, &["content"]).run().raw_stdout();
        let spec = format!("tls.pem:{function}:{}", sum.split(' ').next().unwrap());
        with_env(&environment, &["-f", &spec], &format!("wc -c < {function}")).prints("120\n");
    }
    refuses(
        &environment,
        &["-f", &format!("tls.pem:new:{HASH}")],
        123,
        "error: the file tls.pem of api has no version with checksum [CHECKSUM]\n\
         hint: `microsecrets history` shows what there is\n",
    );
    refuses(
        &environment,
        &["-f", &format!("tls.pem:new:{}", &HASH[..40])],
        122,
        "error: the file tls.pem of api's current version does not have the pinned checksum\n\
         hint: pin the checksum that upload printed; only SHA-256 pins are also looked up among older versions\n",
    );
}

#[test]
fn what_is_there_already_is_not_replaced_unless_forced() {
    let environment = service();
    let taken = environment.write("taken", "mine");
    set_mode(&taken, 0o644);
    let said = "error: taken is there already\nhint: remove it first, or let `microsecrets` replace it with --force\n";
    refuses(&environment, &["-f", "tls.pem:taken"], 125, said);
    assert_eq!(environment.read("taken"), b"mine");

    with_env(&environment, &["-f", "tls.pem:taken", "--force"], "wc -c < taken").prints("120\n");
    assert_eq!(mode_of(&taken), 0o600);
}

#[test]
fn links_are_not_followed() {
    let environment = service();
    environment.write("target", "mine");
    symlink("target", environment.path("link")).unwrap();
    symlink("nowhere", environment.path("dangling")).unwrap();
    for link in ["link", "dangling"] {
        let spec = format!("tls.pem:{link}");
        let said = format!(
            "error: {link} is there already\nhint: remove it first, or let `microsecrets` replace it with --force\n"
        );
        refuses(&environment, &["-f", &spec], 125, &said);
        // Forced, the link itself is replaced.
        with_env(&environment, &["-f", &spec, "--force"], "true").prints("");
        assert!(fs::symlink_metadata(environment.path(link)).unwrap().is_file());
    }
    assert_eq!(environment.read("target"), b"mine");
    assert!(!environment.exists("nowhere"));
}

#[test]
fn a_path_that_cannot_be_is_refused() {
    let environment = service();
    fs::create_dir(environment.path("folder")).unwrap();
    environment.write("file", "");
    for force in [&[][..], &["--force"]] {
        let refuses = |spec: &str, said: &str| {
            let options = [&["-f", spec], force].concat();
            refuses(&environment, &options, 125, said);
        };
        refuses("tls.pem:folder", "error: folder is a folder\n");
        refuses("tls.pem:.", "error: . is a folder\n");
        refuses("tls.pem:..", "error: .. is a folder\n");
        refuses(
            "tls.pem:nosuch/here",
            "error: cannot write nosuch/here\n\
             \x20 caused by: No such file or directory (os error 2)\n\
             hint: make its folder first\n",
        );
        refuses(
            "tls.pem:file/here",
            "error: cannot write file/here\n\
             \x20 caused by: Not a directory (os error 20)\n",
        );
        refuses(
            "tls.pem:/dev/full/x",
            "error: cannot write /dev/full/x\n  caused by: Not a directory (os error 20)\n",
        );
        refuses(
            "tls.pem:new/",
            "error: cannot write new/\n  caused by: No such file or directory (os error 2)\nhint: make its folder first\n",
        );
    }
}

#[test]
fn a_path_into_a_folder_that_is_closed_is_refused() {
    let environment = TestEnvironment::unprivileged();
    environment.upload("A=1\n");
    environment.upload_file("tls.pem", content());
    fs::create_dir(environment.path("closed")).unwrap();
    set_mode(&environment.path("closed"), 0o555);
    refuses(
        &environment,
        &["-f", "tls.pem:closed/here"],
        125,
        "error: cannot write closed/here\n\
         \x20 caused by: Permission denied (os error 13)\nhint: check who owns it, and the rights of this user\n",
    );
}

#[test]
fn an_argument_that_is_no_file_is_refused() {
    let environment = service();
    let help = "hint: `microsecrets with-env --help` shows what can be said\n";
    let grammar = "a label may hold A-Z, a-z, 0-9 and . _ @ + -";
    for (spec, said) in [
        (
            "tls.pem",
            "the file tls.pem needs a path\nhint: say -f tls.pem:PATH\n".to_owned(),
        ),
        (
            "tls.pem:",
            format!("--file cannot be 'tls.pem:': the path is empty\n{help}"),
        ),
        (
            "a:b:c:d",
            format!("--file cannot be 'a:b:c:d': NAME:PATH:HASH has at most two colons\n{help}"),
        ),
        ("../etc:x", format!("--file cannot be '../etc:x': {grammar}\n{help}")),
        (
            ":x",
            format!("--file cannot be ':x': a label must not be empty\n{help}"),
        ),
        (
            "a:x:abc",
            format!(
                "--file cannot be 'a:x:abc': not a checksum: 40, 64, 96 or 128 hex digits are needed (SHA-1, SHA-256, \
                 SHA-384, SHA-512)\n{help}"
            ),
        ),
    ] {
        refuses(&environment, &["-f", spec], 125, &format!("error: {said}"));
    }
    refuses(
        &environment,
        &["-f", "tls.pem:x", "-f", "tls.pem:x"],
        125,
        "error: two files have the path x\n",
    );
}

#[test]
fn all_are_verified_before_the_first_is_placed() {
    let environment = service();
    environment.upload_file("big", "b".repeat(2 << 20));
    let said = "error: there is no file nosuch of api in file:[DIR]/store\n\
                hint: check bucket and service, or publish it first with `microsecrets upload`\n";
    refuses(&environment, &["-f", "tls.pem:a", "-f", "nosuch:b"], 123, said);
    // Large ones are verified while they are written, to a file without a name.
    let spec = format!("big:b:{}", &HASH.repeat(2));
    refuses(
        &environment,
        &["-f", "tls.pem:a", "-f", &spec],
        122,
        "error: the file big of api's current version does not have the pinned checksum\n\
         hint: pin the checksum that upload printed; only SHA-256 pins are also looked up among older versions\n",
    );
    environment.write("taken", "");
    let said = "error: taken is there already\nhint: remove it first, or let `microsecrets` replace it with --force\n";
    refuses(&environment, &["-f", "tls.pem:a", "-f", "big:taken"], 125, said);
}

#[test]
fn damaged_bytes_are_never_placed() {
    let environment = service();
    environment.upload_file("big", "b".repeat(2 << 20));
    let files = fs::read_dir(environment.path("store/services/api/files/big")).unwrap();
    let path = files.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let run = with_env(&environment, &["-f", "tls.pem:a", "-f", "big:b"], "touch started");
    run.ends(122);
    assert!(
        run.stdout.is_empty() && !environment.exists("a") && !environment.exists("b"),
        "{}",
        run.stderr
    );
    assert!(!environment.exists("started"));
}

#[test]
fn nothing_is_placed_for_a_command_that_cannot_be_run() {
    let environment = service();
    for (options, command) in [(&["-w", "B"][..], "true"), (&["-a"], "nosuch"), (&["-a"], "./store")] {
        let before = names(&environment);
        let arguments = [&["with-env", "-s", "api"], options, &["-f", "tls.pem:a", "--", command]].concat();
        let run = environment.microsecrets(&arguments).run();
        assert!(!run.status.success());
        assert_eq!(names(&environment), before, "{command}");
    }
}
