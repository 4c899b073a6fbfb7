//! `microsecrets.toml`: where it is looked for, what it adds to the command line, and who may have written it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/contract.rs"]
mod contract;
#[path = "common/trust.rs"]
mod trust;

use std::fs;
use std::os::unix::fs::{chown, symlink};

use common::{Run, TestEnvironment, set_mode, skip};
use contract::{FILE, refuses, with};
use trust::Trust;

mod the_file {
    use super::*;

    /// `get A -v` without bucket and service, which only a contract can name here.
    fn get(machine: &TestEnvironment, options: &[&str]) -> Run {
        let arguments = [&["get", "A"], options].concat();
        machine.microsecrets(&arguments).without_env("MICROSECRETS_BUCKET")
    }

    #[test]
    fn is_the_one_that_is_named_or_the_one_in_this_folder() {
        let trust = with(&["A"], "bucket = 'file:store'\nservice = 'api'\n");
        fs::create_dir(trust.machine.path("etc")).unwrap();
        trust
            .machine
            .write("etc/api.toml", "bucket = 'file:../store'\nservice = 'api'\n");
        let named = ["--config", "etc/api.toml"];
        get(&trust.machine, &[]).run().prints(&trust.canary.text);
        get(&trust.machine, &named).run().prints(&trust.canary.text);
        // Only what is named is looked at, so a broken one in this folder is in nobody's way.
        trust.machine.write(FILE, &trust.canary.text);
        get(&trust.machine, &named).run().prints(&trust.canary.text);
        let by_variable = |path: &str| get(&trust.machine, &["-v"]).env("MICROSECRETS_CONFIG", path).run();
        let outcome = by_variable("etc/api.toml");
        let said = "note: the contract is etc/api.toml\nget services/api/head/environment in file:[DIR]/";
        assert!(
            outcome.stderr().starts_with(&said.replace("[DIR]/", "")),
            "{}",
            outcome.stderr()
        );
        outcome.ends(0);
        for path in ["nosuch.toml", "etc"] {
            assert_eq!(by_variable(path).status.code(), Some(2));
        }
        fs::remove_file(trust.machine.path(FILE)).unwrap();
        trust.fails(
            get(&trust.machine, &[]),
            2,
            "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
        );
        // Without one there is nothing to tell.
        let outcome = trust.does(&["get", "A", "-v"], &[], "");
        assert!(!outcome.stderr.contains("contract"), "{}", outcome.stderr);
    }

    /// Keys and folders are beside it, wherever a command is started.
    #[test]
    fn is_where_its_paths_begin() {
        let trust = Trust::signed();
        let etc = trust.machine.path("etc");
        fs::create_dir(&etc).unwrap();
        fs::copy(trust.machine.path("key.pem"), etc.join("pub.pem")).unwrap();
        let contract = "bucket = 'file:../store'\nservice = 'api'\nverify-keys = ['pub.pem']\n";
        trust.machine.write("etc/microsecrets.toml", contract);
        let absolute = etc.join(FILE);
        for path in ["etc/microsecrets.toml", absolute.to_str().unwrap()] {
            get(&trust.machine, &["--config", path])
                .run()
                .prints(&trust.canary.text);
        }
        let mut run = get(&trust.machine, &[]);
        run.command.current_dir(&etc);
        run.run().prints(&trust.canary.text);
    }

    #[test]
    fn gives_way_to_the_command_line() {
        let trust = with(&["A"], "bucket = 'file:nosuch'\nservice = 'nosuch'\nmin-version = 1\n");
        trust.run(&["get", "A"], &[]).run().prints(&trust.canary.text);
        let store = format!("file:{}", trust.machine.path("store").display());
        get(&trust.machine, &["-b", &store, "-s", "api"])
            .run()
            .prints(&trust.canary.text);
        // Of two least numbers the greater one counts, whoever says it.
        for (said, contract, status) in [("1", 2, 6), ("2", 1, 6), ("1", 1, 0)] {
            trust.machine.write(FILE, format!("min-version = {contract}\n"));
            trust.run(&["get", "A", "--min-version", said], &[]).run().ends(status);
        }
        trust.machine.write(FILE, "min-version = 2\n");
        trust.is_not_used(
            &["--min-version", "1"],
            "error: services/api/head/environment is not trusted\n\
             \x20 caused by: it is version 1, but 2 is the least that is accepted\n\
             hint: an older version may have been put back: look with `microsecrets history`; one that is meant comes \
             back with `microsecrets rollback`\n",
        );
    }

    #[test]
    fn is_for_its_service_only() {
        let trust = with(&["A"], "");
        trust.make_key("key.pem");
        let contract = "service = 'web'\nmin-version = 9\nverify-keys = ['key.pem']\nrequire = ['B']\n";
        trust.machine.write(FILE, contract);
        let outcome = trust.does(&["get", "A", "-v"], &[], "");
        let note = "note: the contract microsecrets.toml is for another service than api, and not used\n";
        assert!(outcome.stderr.starts_with(note), "{}", outcome.stderr);
        trust.does(&["set", "-q", "C"], &[], &trust.canary.text);
        let said = "error: nothing says why the environment may be believed\n";
        let outcome = trust.with_env(&[]).run();
        assert!(outcome.stderr.starts_with(said), "{}", outcome.stderr);
        outcome.ends(125);
        trust.does(&["with-env", "-a", "--", "true"], &[], "");
    }

    /// What is demanded of one service is demanded of no other; where it is, is where the other one is.
    #[test]
    fn is_not_the_other_services_of_a_command() {
        let trust = Trust::signed();
        trust.does(&["promote", "-q", "--to", "web"], &[], "");
        trust.machine.write(
            FILE,
            "bucket = 'file:store'\nservice = 'api'\nmin-version = 1\nverify-keys = ['key.pem']\n",
        );
        let here = |arguments: &[&str]| {
            let run = trust
                .machine
                .microsecrets(arguments)
                .without_env("MICROSECRETS_BUCKET")
                .run();
            trust.canary.is_not_in(&run);
            run
        };
        // Neither number nor signature is asked of web's environment.
        here(&["diff", "--with", "web"]).prints("");
        here(&["promote", "-q", "--to", "web"]).prints("[CHECKSUM]\n");
        here(&["list"]).prints("api\nweb\n");
        let outcome = here(&["promote", "--to", "web", "-v", "-q"]);
        let notes: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("note")).collect();
        assert_eq!(
            notes,
            [
                "note: the contract microsecrets.toml is for another service than web, and not used",
                "note: the contract is microsecrets.toml"
            ]
        );
        // The other way round it is the target's.
        let outcome = here(&["promote", "-s", "web", "--to", "api", "-b", "file:store"]);
        outcome.fails(
            2,
            "error: the new version of the environment of api would not be signed, but a signature is required\n\
             hint: sign it: --sign, or --sign-with KEY\n",
        );
    }

    /// A list of services is nobody's: of a contract only the places count.
    #[test]
    fn tells_a_list_of_services_where_they_are() {
        for service in ["api", "web"] {
            let trust = Trust::with_key();
            trust.upload(&[]);
            let contract =
                format!("bucket = 'file:store'\nservice = '{service}'\nverify-keys = ['key.pem']\nmin-version = 9\n");
            trust.machine.write(FILE, contract);
            let list = trust.machine.microsecrets(&["list"]).without_env("MICROSECRETS_BUCKET");
            list.run().prints("api\n");
        }
    }

    #[test]
    fn pins_and_signs_where_the_command_line_says_nothing() {
        let trust = Trust::signed();
        trust
            .machine
            .write(FILE, "verify-keys = ['key.pem']\nsign-with = 'alias/any'\n");
        trust.does(&["set", "-q", "B"], &[], &trust.canary.text);
        trust.does(&["verify", "--all"], &[], "");
        trust
            .run(&["with-env", "--", "printenv", "A"], &[])
            .run()
            .prints(&format!("{}\n", trust.canary.text));
        trust.change_key("old.key", "new.pem");
        refuses(
            &trust,
            trust.run(&["set", "C"], &[]).stdin(&trust.canary.text),
            2,
            "error: what the folder's signing key signs would not be believed: its public key is not pinned\n\
             hint: pin its public key with --verify-key; `microsecrets signing-key export` prints it\n",
        );
        // Another pin is said instead of the contract's, not besides.
        let run = trust.run(&["get", "A", "--verify-key", "new.pem"], &[]);
        refuses(&trust, run, 6, "pin that public key too, with --verify-key\n");
    }
}

mod what_cannot_be_used {
    use super::*;

    /// Every command ends, whatever it would have done.
    #[track_caller]
    fn ends_it(trust: &Trust, why: &str, hint: &str) {
        let said = format!("error: the contract microsecrets.toml cannot be used\n{why}hint: {hint}\n");
        for arguments in [&["get", "A"][..], &["list"], &["set", "B"], &["check"], &["history"]] {
            trust.fails(trust.run(arguments, &[]).stdin(&trust.canary.text), 2, &said);
        }
        trust.fails(trust.with_env(&["-a"]), 125, &said);
    }

    #[test]
    fn is_told_with_what_was_meant() {
        let trust = with(&["A"], "");
        let page = "docs/SEMANTICS.md, \"The contract\", says what it can hold";
        let key = "give the public key that `microsecrets signing-key export` prints, as a file or as base64";
        let secret = trust.canary.text.clone();
        trust.machine.write("secret", &secret);
        for (text, why, hint) in [
            (format!("service = 'api'\n{secret}\n"), "line 2 is not TOML", page),
            (
                format!("service = 'api'\nservice = '{secret}'\n"),
                "line 2 is not TOML",
                page,
            ),
            (
                "requires = []".to_owned(),
                "it has no key requires; is it require?",
                page,
            ),
            (
                "kms_key = 'x'".to_owned(),
                "it has no key kms_key; is it kms-key?",
                page,
            ),
            (
                "insecure-endpoint = true".to_owned(),
                "it has no key insecure-endpoint",
                page,
            ),
            (
                "min-version = 0".to_owned(),
                "min-version must be a version's number",
                page,
            ),
            (
                format!("service = '{secret}/'"),
                "service must be a service's name",
                page,
            ),
            (
                format!("require = ['{secret} X']"),
                "require must be a list of variables' names",
                page,
            ),
            (
                "optional = ['A[']".to_owned(),
                "glob A[: the `[` is never closed",
                "close it; [[] matches a [",
            ),
            (
                "verify-keys = ['nosuch.pem']".to_owned(),
                "./nosuch.pem cannot be used as a key to verify with\n  caused by: No such file or directory (os error 2)",
                key,
            ),
            (
                "verify-keys = ['secret']".to_owned(),
                "./secret holds no key to verify with\n  caused by: it is no public key on NIST P-256",
                key,
            ),
            // A key that is none is not shown as if it were a path.
            (
                format!("verify-keys = ['{secret}{secret}']"),
                "the key to verify with cannot be used\n  caused by: it is no public key on NIST P-256",
                key,
            ),
        ] {
            trust.machine.write(FILE, &text);
            ends_it(&trust, &format!("  caused by: {why}\n"), hint);
        }
        trust.machine.write(FILE, b"service = '\xff'\n");
        ends_it(&trust, "  caused by: it is not UTF-8\n", page);
        trust.machine.write(FILE, "#".repeat(300_000));
        ends_it(&trust, "  caused by: it has more than 262144 bytes\n", page);
        trust.machine.write(FILE, "bucket = 'x'\n");
        trust.fails(
            trust.run(&["get", "A"], &[]),
            2,
            "error: the contract microsecrets.toml names a bucket that cannot be: a bucket's name has 3 to 255 letters, \
             digits, dots and hyphens; a folder is file:DIR\n",
        );
    }

    #[test]
    fn is_what_others_can_write() {
        let trust = with(&["A"], "require = ['A']\n");
        for mode in [0o664, 0o646, 0o666] {
            set_mode(&trust.machine.path(FILE), mode);
            ends_it(
                &trust,
                &format!("  caused by: it is open to others (mode {mode:o})\n"),
                "nobody but you and root may be able to write it: chmod go-w",
            );
        }
        set_mode(&trust.machine.path(FILE), 0o444);
        trust.does(&["with-env", "--", "true"], &[], "");
    }

    #[test]
    fn is_what_another_user_owns() {
        if !rustix::process::geteuid().is_root() {
            return skip("only root can give a file away");
        }
        let trust = with(&["A"], "require = ['A']\n");
        chown(trust.machine.path(FILE), Some(1234), None).unwrap();
        ends_it(
            &trust,
            "  caused by: it belongs to the user with the number 1234\n",
            "whoever owns it could change what is demanded: use one that is yours or root's, with --config",
        );
        // Root's own is everybody's.
        let machine = TestEnvironment::unprivileged();
        machine.upload("A=1\n");
        machine.write(FILE, "require = ['A']\n");
        machine.api(&["with-env", "--", "printenv", "A"]).run().prints("1\n");
    }

    /// Whatever lies there by that name is no reason to go on without it.
    #[test]
    fn is_no_file_or_leads_nowhere() {
        let trust = with(&["A"], "");
        let path = trust.machine.path(FILE);
        fs::remove_file(&path).unwrap();
        symlink("nosuch", &path).unwrap();
        ends_it(
            &trust,
            "  caused by: No such file or directory (os error 2)\n",
            "check its path",
        );
        fs::remove_file(&path).unwrap();
        let not_regular = "put a file in its place, or name another with --config";
        fs::create_dir(&path).unwrap();
        ends_it(&trust, "  caused by: it is no regular file\n", not_regular);
        fs::remove_dir(&path).unwrap();
        trust.machine.program("mkfifo", &[FILE]).run().ends(0);
        ends_it(&trust, "  caused by: it is no regular file\n", not_regular);
        // A link to a good one is good.
        fs::remove_file(&path).unwrap();
        symlink("real.toml", &path).unwrap();
        trust.machine.write("real.toml", "require = ['A']\n");
        trust.does(&["with-env", "--", "true"], &[], "");
        set_mode(&trust.machine.path("real.toml"), 0o666);
        let open = "nobody but you and root may be able to write it: chmod go-w";
        ends_it(&trust, "  caused by: it is open to others (mode 666)\n", open);
    }
}
