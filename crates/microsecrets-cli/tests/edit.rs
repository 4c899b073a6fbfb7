//! `microsecrets edit`, with shell scripts as editors.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Child;

use common::{Outcome, Run, TestEnvironment, terminal, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// Each editor tells where the file is.
const TELL: &str = "#!/bin/sh\necho \"$1\" > where\n";

/// A service with `A=1` and `B=2`.
fn with_environment() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=2\n");
    environment
}

/// `edit` with a script as the editor: `$1` is the file. `$MS` is this program, for what somebody else does meanwhile.
fn edit_with(environment: &TestEnvironment, arguments: &[&str], script: &str) -> Run {
    environment.script("editor", format!("{TELL}{script}\n"));
    environment
        .api(&[&["edit"], arguments].concat())
        .env("EDITOR", "./editor")
        .env("MS", env!("CARGO_BIN_EXE_microsecrets"))
}

fn edit(environment: &TestEnvironment, script: &str) -> Outcome {
    edit_with(environment, &[], script).run()
}

/// The file that the editor had.
fn scratch(environment: &TestEnvironment) -> PathBuf {
    String::from_utf8(environment.read("where")).unwrap().trim_end().into()
}

#[track_caller]
fn is_gone(environment: &TestEnvironment) {
    let folder = scratch(environment).parent().unwrap().to_owned();
    assert!(
        folder
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("microsecrets-"),
        "{folder:?}"
    );
    assert!(fs::symlink_metadata(&folder).is_err(), "{folder:?} is still there");
}

/// It fails with this status and words, writes nothing and leaves nothing behind.
#[track_caller]
fn refuses(environment: &TestEnvironment, script: &str, status: i32, said: &str) {
    let before = environment.store();
    edit(environment, script).fails(status, said);
    assert!(environment.store() == before, "something was written");
    is_gone(environment);
}

const CHANGED: &str = "Successfully changed:\n\
    \x20 bucket: file:[DIR]/store\n\
    \x20 path: services/api/environment/[TIME].[CHECKSUM].json\n\
    \x20 checksum: [CHECKSUM]\n\
    \x20 version: 2\n";

#[test]
fn what_the_editor_leaves_is_published() {
    let environment = with_environment();
    edit(&environment, "cp \"$1\" before; printf 'A=one\\nC=3\\n' > \"$1\"").prints(CHANGED);
    assert_eq!(environment.read("before"), b"A=1\nB=2\n");
    assert_eq!(environment.variables(), "A=one\nC=3\n");
    assert_eq!(environment.history(&[])[0]["kind"], "edit");
    is_gone(&environment);
}

#[test]
fn unchanged_writes_nothing() {
    let environment = with_environment();
    let before = environment.store();
    // Neither does another spelling of the same.
    for script in ["true", "touch \"$1\"", "printf '# a note\\n\\nB=2\\n  A=1\\n' > \"$1\""] {
        edit(&environment, script).prints_and_says("", "note: unchanged: nothing was written\n");
        is_gone(&environment);
    }
    assert!(environment.store() == before);
}

#[test]
fn the_file_is_private() {
    let environment = with_environment();
    let look = "stat -c '%a %F' \"$1\" \"$(dirname \"$1\")\" > seen; ls -A \"$(dirname \"$1\")\" >> seen";
    edit(&environment, look).ends(0);
    assert_eq!(
        String::from_utf8(environment.read("seen")).unwrap(),
        "600 regular file\n700 directory\napi.env\n"
    );
}

#[test]
fn it_is_in_memory_where_a_folder_is() {
    let environment = with_environment();
    edit(&environment, "stat -f -c %T \"$1\" > seen").ends(0);
    if common::has("findmnt") || PathBuf::from("/dev/shm").is_dir() {
        let kind = String::from_utf8(environment.read("seen")).unwrap();
        let said = "warning: there is no folder in memory";
        let run = edit(&environment, "true");
        assert!(
            kind == "tmpfs\n" || run.stderr.starts_with(said),
            "{kind} {}",
            run.stderr
        );
    }
}

#[test]
fn copies_that_the_editor_makes_are_removed_as_well() {
    let environment = with_environment();
    edit(
        &environment,
        "cp \"$1\" \"$1~\"; mkdir \"$1.d\"; cp \"$1\" \"$1.d/.swp\"; echo C=3 >> \"$1\"",
    )
    .ends(0);
    is_gone(&environment);
    // Many editors write another file and rename it.
    edit(
        &environment,
        "cp \"$1\" \"$1.new\"; echo D=4 >> \"$1.new\"; mv \"$1.new\" \"$1\"",
    )
    .ends(0);
    is_gone(&environment);
    assert_eq!(environment.value("D"), "4");
}

#[test]
fn visual_comes_before_editor_and_either_may_have_options() {
    let environment = with_environment();
    let visual = "#!/bin/sh\necho \"$1 $2\" > options; echo V=1 >> \"$3\"\n";
    environment.script("my visual", visual);
    edit_with(&environment, &[], "exit 1")
        .env("VISUAL", "'./my visual' --wait 'a b'")
        .run()
        .ends(0);
    assert_eq!(environment.read("options"), b"--wait a b\n");
    assert_eq!(environment.value("V"), "1");
    edit_with(&environment, &[], "echo E=1 >> \"$1\"")
        .env("VISUAL", "")
        .run()
        .ends(0);
    assert_eq!(environment.value("E"), "1");
}

#[test]
fn a_message_and_an_expected_version_are_taken() {
    let environment = with_environment();
    edit_with(
        &environment,
        &["-q", "-m", "why", "--if-version", "1"],
        "echo C=3 >> \"$1\"",
    )
    .run()
    .prints("[CHECKSUM]\n");
    assert_eq!(environment.history(&[])[0]["message"], "why");
    let run = edit_with(&environment, &["--if-version", "1"], "echo D=4 >> \"$1\"").run();
    run.fails(
        4,
        "error: the environment of api is expected at version 1, but version 2 is current\n\
         hint: look with `microsecrets history` and `microsecrets diff`, then decide again\n",
    );
    assert_eq!(environment.number(), 2);
}

mod begins_empty {
    use super::*;

    #[test]
    fn when_there_is_no_environment() {
        let environment = TestEnvironment::new();
        let run = edit(&environment, "cp \"$1\" before; echo A=1 > \"$1\"");
        assert!(run.ends(0).raw_stdout().ends_with("  version: 1\n"));
        assert_eq!(environment.read("before"), b"");
        assert_eq!(environment.variables(), "A=1\n");
    }

    #[test]
    fn when_it_was_deleted() {
        let environment = with_environment();
        environment.did(&["delete", "--yes"]);
        let run = edit(&environment, "cp \"$1\" before; echo C=3 > \"$1\"");
        assert_eq!(
            run.stderr,
            "note: the environment of api was deleted by version 2; this begins a new one\n"
        );
        assert_eq!(environment.read("before"), b"");
        assert_eq!(environment.variables(), "C=3\n");
    }
}

mod as_json {
    use super::*;

    #[test]
    fn when_it_is_asked_for() {
        let environment = with_environment();
        let script = "cp \"$1\" before; printf '{\"A\": \"1\", \"B\": \"two\\\\nlines\"}' > \"$1\"";
        edit_with(&environment, &["--json"], script).run().prints(CHANGED);
        assert_eq!(environment.read("before"), b"{\n  \"A\": \"1\",\n  \"B\": \"2\"\n}\n");
        assert!(scratch(&environment).to_str().unwrap().ends_with("/api.json"));
        assert_eq!(environment.value("B"), "two\nlines");
    }

    #[test]
    fn when_a_value_cannot_be_written_as_a_pair() {
        for value in ["two\nlines", "blank ", "\r"] {
            let environment = with_environment();
            environment
                .api(&["set", "-q", "--exact", "B"])
                .stdin(value)
                .run()
                .ends(0);
            let run = edit(
                &environment,
                "cp \"$1\" before; sed -i 's/\"A\": \"1\"/\"A\": \"one\"/' \"$1\"",
            );
            assert_eq!(
                run.stderr, "note: a value cannot be written as a pair, so this is JSON\n",
                "{value:?}"
            );
            run.ends(0);
            let before: serde_json::Value = serde_json::from_slice(&environment.read("before")).unwrap();
            assert_eq!(before["B"], value);
            assert_eq!(
                (environment.value("A").as_str(), environment.value("B").as_str()),
                ("one", value)
            );
        }
    }

    #[test]
    fn with_a_mistake_is_refused() {
        let environment = with_environment();
        let before = environment.store();
        for (json, said) in [
            ("{", "error: the edited file: "),
            (r#"{"A": 1}"#, "error: the edited file: "),
            (r#"{"A": "hunter2", "A": "x"}"#, "error: the edited file: "),
            (
                r#"{"hunter2/x": "1"}"#,
                "error: variable 1 has a name that no shell can export\n",
            ),
        ] {
            environment.write("json", json);
            let run = edit_with(&environment, &["--json"], "cp json \"$1\"").run();
            run.ends(2);
            run.is_well_formed();
            assert!(
                run.stderr.starts_with(said) && !run.stderr.contains("hunter2"),
                "{}",
                run.stderr
            );
            assert!(environment.store() == before);
            is_gone(&environment);
        }
    }
}

mod fails {
    use super::*;

    #[test]
    fn without_a_terminal_when_there_is_a_mistake() {
        let environment = with_environment();
        refuses(
            &environment,
            "printf 'A=1\\nhunter2\\n' > \"$1\"",
            2,
            "error: the edited file: line 2: no `=`\n\
             hint: a line is NAME=value; what follows the first = is the value\n",
        );
        refuses(
            &environment,
            "printf 'A=1\\nA=hunter2\\n' > \"$1\"",
            2,
            "error: the edited file: lines 1 and 2 give the same name: A\nhint: keep one of the two lines\n",
        );
    }

    #[test]
    fn when_the_editor_fails_and_whatever_it_wrote_is_not_published() {
        let environment = with_environment();
        let hint = "hint: set VISUAL or EDITOR to your editor\n";
        refuses(
            &environment,
            "echo C=3 >> \"$1\"; exit 3",
            1,
            &format!("error: the editor failed (exit status: 3); nothing was changed\n{hint}"),
        );
        let before = environment.store();
        let run = edit(&environment, "echo C=3 >> \"$1\"; kill -9 $$");
        run.ends(1);
        assert!(
            run.stderr.contains("error: the editor failed (") && run.stderr.ends_with(hint),
            "{}",
            run.stderr
        );
        let run = edit_with(&environment, &[], "").env("EDITOR", "no-such-editor").run();
        run.ends(1);
        let said = format!("error: the editor failed (exit status: 127); nothing was changed\n{hint}");
        assert!(run.stderr.ends_with(&said), "{}", run.stderr);
        assert!(environment.store() == before);
    }

    #[test]
    fn when_the_editor_removes_the_file() {
        let environment = with_environment();
        let before = environment.store();
        let run = edit(&environment, "rm \"$1\"");
        run.is_well_formed();
        let said = "error: cannot read the edited file\n  caused by: No such file or directory (os error 2)\n";
        assert!(run.ends(1).stderr.starts_with(said), "{}", run.stderr);
        assert!(environment.store() == before);
        is_gone(&environment);
    }

    #[test]
    fn when_the_file_became_too_big() {
        let environment = with_environment();
        refuses(
            &environment,
            "head -c 4194305 /dev/zero > \"$1\"",
            2,
            "error: the edited file has more than 4 MiB\n",
        );
    }
}

mod a_rival {
    use super::*;

    #[test]
    fn that_changes_another_variable_loses_nothing() {
        let environment = with_environment();
        let script = "printf theirs | \"$MS\" set -q B > out && \"$MS\" set -q --insecure-argv D=4 > out; sed -i s/A=1/A=mine/ \"$1\"";
        let run = edit(&environment, script);
        assert_eq!(run.stderr, "");
        assert!(
            run.ends(0).raw_stdout().ends_with("  version: 4\n"),
            "{}",
            run.raw_stdout()
        );
        assert_eq!(environment.variables(), "A=mine\nB=theirs\nD=4\n");
    }

    #[test]
    fn that_changes_the_same_variable_is_a_clash() {
        let environment = with_environment();
        edit(
            &environment,
            "printf hunter2 | \"$MS\" set -q A > out; sed -i s/A=1/A=hunter3/ \"$1\"",
        )
        .fails(
            4,
            "error: A of the environment of api was changed by this command and, to another value, by somebody else; \
             the last change is version 2 by ann@[HOST] at [TIME] (set)\n\
             hint: look with `microsecrets history` and `microsecrets diff`, then decide again\n",
        );
        assert_eq!((environment.value("A").as_str(), environment.number()), ("hunter2", 2));
        is_gone(&environment);
    }

    #[test]
    fn that_removes_the_variable_is_a_clash() {
        let environment = with_environment();
        let run = edit(&environment, "\"$MS\" unset -q A > out; sed -i s/A=1/A=mine/ \"$1\"");
        assert!(run.ends(4).stderr.ends_with(" at [TIME] (unset)\n") || run.stderr.contains(" (unset)\n"));
        assert_eq!(environment.variables(), "B=2\n");
        // So is the other way round.
        let environment = with_environment();
        edit(&environment, "printf x | \"$MS\" set -q A > out; sed -i /A=1/d \"$1\"").ends(4);
        assert_eq!(environment.variables(), "A=x\nB=2\n");
    }

    #[test]
    fn that_wants_the_same_is_none() {
        let environment = with_environment();
        let run = edit(
            &environment,
            "printf same | \"$MS\" set -q A > out; sed -i s/A=1/A=same/ \"$1\"",
        );
        assert!(
            run.ends(0)
                .raw_stdout()
                .starts_with("Nothing changed, this is the current version already:\n")
        );
        assert_eq!(environment.number(), 2);
    }

    #[test]
    fn that_deletes_the_environment_is_a_conflict() {
        let environment = with_environment();
        let run = edit(
            &environment,
            "\"$MS\" delete -q --yes > out; sed -i s/A=1/A=mine/ \"$1\"",
        );
        run.ends(4);
        assert!(run.stderr.contains("was changed by somebody else: version 2 ") && run.stderr.contains(" (delete)"));
        environment.api(&["get", "A"]).run().ends(3);
        is_gone(&environment);
    }
}

mod at_a_terminal {
    use super::*;

    const AGAIN: &str = "Open the editor again? What you wrote is still there. [y/N] ";

    /// Makes a mistake at first, and corrects it when it sees it again.
    const CORRECTS: &str =
        "if test -e seen; then cp \"$1\" seen; echo C=3 > \"$1\"; else touch seen; echo mistake > \"$1\"; fi";

    #[test]
    fn a_mistake_offers_the_editor_again_with_what_was_written() {
        if !terminal::is_there() {
            return;
        }
        let environment = with_environment();
        let run = edit_with(&environment, &[], CORRECTS).typed(&[(AGAIN, "y\n")]);
        let shown = run.shown();
        assert!(shown.starts_with("error: the edited file: line 1: no `=`\n"), "{shown}");
        assert!(shown.contains(AGAIN) && shown.ends_with(CHANGED), "{shown}");
        run.ends(0);
        assert_eq!(environment.read("seen"), b"mistake\n");
        assert_eq!(environment.variables(), "C=3\n");
        is_gone(&environment);
    }

    #[test]
    fn who_gives_up_changes_nothing() {
        if !terminal::is_there() {
            return;
        }
        let environment = with_environment();
        for no in ["n\n", "\n", "\u{4}"] {
            let before = environment.store();
            let run = edit_with(&environment, &[], "echo mistake > \"$1\"").typed(&[(AGAIN, no)]);
            assert!(run.shown().ends_with("error: nothing was changed\n"), "{}", run.shown());
            run.ends(1);
            assert!(environment.store() == before);
            is_gone(&environment);
        }
    }

    #[test]
    fn a_clash_may_be_decided() {
        if !terminal::is_there() {
            return;
        }
        let overwrite = "Overwrite it with yours? [y/N] ";
        let script = "printf theirs | \"$MS\" set -q A > out; echo A=mine > \"$1\"";
        let environment = with_environment();
        let run = edit_with(&environment, &[], script).typed(&[(overwrite, "y\n")]);
        assert!(
            run.shown()
                .starts_with("A of the environment of api was changed by this command and"),
            "{}",
            run.shown()
        );
        run.ends(0);
        assert_eq!(environment.variables(), "A=mine\n");

        let environment = with_environment();
        let run = edit_with(&environment, &[], script).typed(&[(overwrite, "n\n"), (AGAIN, "n\n")]);
        assert!(run.shown().ends_with("error: nothing was changed\n"), "{}", run.shown());
        assert_eq!(environment.variables(), "A=theirs\nB=2\n");
        is_gone(&environment);
    }
}

mod a_signal {
    use super::*;

    /// An editor that is being used until the file `go` is there.
    const BUSY: &str = "echo C=3 >> \"$1\"; touch busy; until test -e go; do sleep 0.01; done";

    fn send(child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn said(child: &mut Child) -> String {
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn to_end_removes_the_file_and_changes_nothing() {
        for signal in [Signal::TERM, Signal::HUP] {
            let environment = with_environment();
            let before = environment.store();
            let mut child = edit_with(&environment, &[], BUSY).spawn();
            wait_until("the editor is in use", || environment.exists("busy"));
            assert!(scratch(&environment).exists());
            send(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(1), "{signal:?}");
            is_gone(&environment);
            environment.write("go", "");
            assert_eq!(said(&mut child), "error: ended by a signal; nothing was changed\n");
            assert!(environment.store() == before);
        }
    }

    /// The terminal sends it to the editor too, where it means something else.
    #[test]
    fn of_the_keyboard_is_the_editors() {
        for signal in [Signal::INT, Signal::QUIT] {
            let environment = with_environment();
            let mut child = edit_with(&environment, &[], BUSY).spawn();
            wait_until("the editor is in use", || environment.exists("busy"));
            send(&child, signal);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(child.try_wait().unwrap().is_none() && scratch(&environment).exists());
            environment.write("go", "");
            assert_eq!((said(&mut child).as_str(), child.wait().unwrap().code()), ("", Some(0)));
            assert_eq!(environment.value("C"), "3");
            is_gone(&environment);
        }
    }

    /// Somebody else keeps the store locked, so that the write is under way when the signal comes.
    #[test]
    fn while_it_is_published_removes_the_file_as_well() {
        for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
            let environment = with_environment();
            let lock = File::open(environment.path("store/.microsecrets/lock")).unwrap();
            lock.lock().unwrap();
            let mut child = edit_with(&environment, &["-v"], "echo C=3 >> \"$1\"").spawn();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
            assert!(lines.any(|line| line.starts_with("list services/api/log/environment/")));
            assert!(scratch(&environment).exists());
            send(&child, signal);
            wait_until("the file is gone", || !scratch(&environment).exists());
            lock.unlock().unwrap();
            let said: Vec<String> = lines.collect();
            assert_eq!(child.wait().unwrap().code(), Some(1), "{said:?}");
            let last = &said[said.len() - 2..];
            assert_eq!(
                last,
                [
                    "error: ended by a signal; whether it was changed is not known",
                    "hint: look with `microsecrets history`"
                ]
            );
            is_gone(&environment);
            environment.set("D", "4");
        }
    }
}
