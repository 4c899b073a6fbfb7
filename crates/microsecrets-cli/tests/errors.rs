//! What people see when something is wrong with the store, the identity, or a name.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use common::{TestEnvironment, set_mode};

/// A service with an environment, a file and a history.
fn service() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload("A=2\n");
    environment.upload_file("tls.pem", "t".repeat(100));
    environment
}

/// Every command that reads fails with this status and these words; `with-env` with its own status, and starts nothing.
#[track_caller]
fn reading_fails(environment: &TestEnvironment, status: i32, status_with_env: i32, said: &str) {
    environment
        .microsecrets(&["download", "-s", "api"])
        .run()
        .fails(status, said);
    let arguments = ["with-env", "-s", "api", "-a", "--", "touch", "started"];
    environment.microsecrets(&arguments).run().fails(status_with_env, said);
    assert!(!environment.exists("started"));
}

mod identity {
    use super::*;

    #[test]
    fn is_missing() {
        let environment = service();
        fs::remove_file(environment.identity()).unwrap();
        let said = "error: open file:[DIR]/store: the store's identity cannot be used\n\
                    \x20 caused by: there is no [DIR]/config/microsecrets/folder-[ID].age-identity: copy it from the \
                    machine that made the store\n\
                    hint: nothing else opens this store; if the identity is lost, upload again into another folder\n";
        reading_fails(&environment, 1, 125, said);
        environment
            .microsecrets(&["upload", "-s", "api"])
            .stdin("A=1\n")
            .run()
            .fails(1, said);
        environment.microsecrets(&["list"]).run().fails(1, said);
    }

    #[test]
    fn is_another_ones() {
        let environment = service();
        let other = service();
        fs::copy(other.identity(), environment.identity()).unwrap();
        let said = "error: open file:[DIR]/store: the store's identity cannot be used\n\
                    \x20 caused by: [DIR]/config/microsecrets/folder-[ID].age-identity holds another identity, or none: copy \
                    it from the machine that made the store\n\
                    hint: nothing else opens this store; if the identity is lost, upload again into another folder\n";
        reading_fails(&environment, 1, 125, said);
    }

    #[test]
    fn is_open_to_others() {
        let environment = service();
        for mode in [0o644, 0o640, 0o604] {
            set_mode(&environment.identity(), mode);
            let said = format!(
                "error: open file:[DIR]/store: the store's identity cannot be used\n\
                 \x20 caused by: [DIR]/config/microsecrets/folder-[ID].age-identity is open to others (mode {mode:o}): \
                 make it 600, and think whether it was read\n\
                 hint: `chmod 600` it; if others may have read it, upload again into another folder, with other secrets\n"
            );
            reading_fails(&environment, 1, 125, &said);
        }
        set_mode(&environment.identity(), 0o600);
        environment.microsecrets(&["download", "-s", "api"]).run().ends(0);
    }

    #[test]
    fn would_lie_in_the_store() {
        let environment = TestEnvironment::new();
        let upload = environment
            .microsecrets(&["upload", "-s", "api"])
            .env("XDG_CONFIG_HOME", environment.path("store/x"));
        upload.stdin("A=1\n").run().fails(
            1,
            "error: open file:[DIR]/store: the store's identity cannot be used\n\
             \x20 caused by: [DIR]/store/x/microsecrets lies in the folder itself: the identity must be kept apart from \
             what it opens\n\
             hint: set XDG_CONFIG_HOME to a folder outside of the store\n",
        );
    }

    #[test]
    fn has_no_place() {
        let environment = service();
        let said = "error: there is no folder for the store's identity\n\
                    hint: set HOME, or XDG_CONFIG_HOME to an absolute path\n";
        for relative in [None, Some(""), Some("relative")] {
            let mut run = environment.microsecrets(&["download", "-s", "api"]).without_env("HOME");
            run = match relative {
                Some(relative) => run.env("XDG_CONFIG_HOME", relative),
                None => run.without_env("XDG_CONFIG_HOME"),
            };
            run.run().fails(1, said);
        }
    }

    #[test]
    fn lies_in_the_home_folder_without_another_word() {
        let environment = TestEnvironment::new();
        let upload = environment
            .microsecrets(&["upload", "-q", "-s", "api"])
            .without_env("XDG_CONFIG_HOME");
        upload.stdin("A=1\n").run().ends(0);
        assert_eq!(
            fs::read_dir(environment.path("home/.config/microsecrets"))
                .unwrap()
                .count(),
            1
        );
    }
}

mod folder {
    use super::*;

    const HINT: &str =
        "hint: check the folder's path; the first upload makes a store of a folder that is empty or not there\n";

    #[test]
    fn is_not_there() {
        let environment = TestEnvironment::new();
        let said = format!(
            "error: open file:[DIR]/store: no such folder, or no store in it\n\
             \x20 caused by: there is no folder [DIR]/store\n{HINT}"
        );
        reading_fails(&environment, 3, 123, &said);
        environment.microsecrets(&["list"]).run().fails(3, &said);
        assert!(
            !environment.exists("store") && !environment.exists("config"),
            "a read makes nothing"
        );
    }

    #[test]
    fn is_empty() {
        let environment = TestEnvironment::new();
        fs::create_dir(environment.path("store")).unwrap();
        let said = "error: there is no environment of api in file:[DIR]/store\n\
                    hint: check bucket and service, or publish it first with `microsecrets upload`\n";
        reading_fails(&environment, 3, 123, said);
        environment.microsecrets(&["list"]).run().prints("");
        assert_eq!(
            fs::read_dir(environment.path("store")).unwrap().count(),
            0,
            "a read makes nothing"
        );
    }

    #[test]
    fn holds_other_files() {
        let environment = TestEnvironment::new();
        fs::create_dir(environment.path("store")).unwrap();
        environment.write("store/thesis.txt", "");
        let said = format!(
            "error: open file:[DIR]/store: no such folder, or no store in it\n\
             \x20 caused by: [DIR]/store is not empty, and no store is in it\n{HINT}"
        );
        reading_fails(&environment, 3, 123, &said);
        environment
            .microsecrets(&["upload", "-s", "api"])
            .stdin("A=1\n")
            .run()
            .fails(3, &said);
        assert_eq!(fs::read_dir(environment.path("store")).unwrap().count(), 1);
    }

    #[test]
    fn is_a_file() {
        let environment = TestEnvironment::new();
        environment.write("store", "");
        let said = "error: open file:[DIR]/store: input/output error\n\
                    \x20 caused by: cannot open [DIR]/store\n\
                    \x20 caused by: Not a directory (os error 20)\n";
        reading_fails(&environment, 1, 125, said);
        environment
            .microsecrets(&["upload", "-s", "api"])
            .stdin("A=1\n")
            .run()
            .fails(1, said);
    }

    #[test]
    fn cannot_be_made() {
        let environment = TestEnvironment::new();
        // As in every folder of /proc, nothing can be made there, and it says "not found" for it.
        let upload = environment
            .microsecrets(&["upload", "-s", "api", "-b", "file:/proc/1/store"])
            .stdin("A=1\n")
            .run();
        upload.ends(1);
        assert!(
            upload
                .stderr()
                .starts_with("error: open file:/proc/1/store: input/output error\n"),
            "{}",
            upload.stderr()
        );
        upload.is_well_formed();
    }

    #[test]
    fn is_of_a_newer_format() {
        let environment = service();
        let description = environment.path("store/.microsecrets/store");
        let text = fs::read_to_string(&description).unwrap();
        fs::write(&description, text.replace("\"format\":1", "\"format\":2")).unwrap();
        let said = "error: open file:[DIR]/store: written by a newer version of this program\n\
                    \x20 caused by: [DIR]/store/.microsecrets/store is of a newer format (2): upgrade\n\
                    hint: upgrade microsecrets\n";
        reading_fails(&environment, 1, 125, said);
        environment
            .microsecrets(&["upload", "-s", "api"])
            .stdin("A=1\n")
            .run()
            .fails(1, said);
    }

    #[test]
    fn is_damaged() {
        let environment = service();
        let description = environment.path("store/.microsecrets/store");
        for damage in ["", "{}", "{\"format\":1}", "\u{1b}[31m"] {
            fs::write(&description, damage).unwrap();
            let said = "error: open file:[DIR]/store: the store's description is damaged\n\
                        \x20 caused by: [DIR]/store/.microsecrets/store is damaged\n\
                        hint: restore it from a backup of the folder\n";
            reading_fails(&environment, 6, 122, said);
        }
    }

    #[test]
    fn is_closed_to_this_user() {
        let environment = TestEnvironment::unprivileged();
        environment.upload("A=1\n");
        set_mode(&environment.path("store/services/api/head/environment"), 0);
        let hint = "hint: check who owns it, and the rights of this user\n";
        reading_fails(
            &environment,
            5,
            123,
            &format!(
                "error: cannot read the environment of api\n\
                 \x20 caused by: get services/api/head/environment: access denied\n\
                 \x20 caused by: cannot open [DIR]/store/services/api/head/environment\n\
                 \x20 caused by: Permission denied (os error 13)\n{hint}"
            ),
        );
        set_mode(&environment.path("store"), 0);
        reading_fails(
            &environment,
            5,
            123,
            &format!(
                "error: open file:[DIR]/store: access denied\n\
                 \x20 caused by: cannot open [DIR]/store\n\
                 \x20 caused by: Permission denied (os error 13)\n{hint}"
            ),
        );
        set_mode(&environment.path("store"), 0o700);
    }

    /// What the system certainly refused is no "may or may not be committed".
    #[test]
    fn of_the_heads_is_read_only() {
        let environment = TestEnvironment::unprivileged();
        environment.upload("A=1\n");
        let heads = environment.path("store/services/api/head");
        set_mode(&heads, 0o500);
        let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin("A=2\n").run();
        upload.ends(5);
        assert!(upload.stderr().contains("access denied\n"), "{}", upload.stderr());
        set_mode(&heads, 0o700);
        let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin("A=2\n").run();
        assert!(upload.stdout().ends_with("  version: 2\n"), "{}", upload.stdout());
    }

    #[test]
    fn is_made_for_its_owner_whatever_the_umask() {
        for umask in ["umask 777", "umask 277"] {
            let environment = TestEnvironment::unprivileged();
            for value in ["A=1\n", "A=2\n"] {
                let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin(value);
                upload.through(&format!("{umask}; exec \"$@\"")).run().ends(0);
            }
        }
    }

    /// A pipe in the place of the identity would be waited for.
    #[test]
    fn has_a_pipe_for_an_identity() {
        let environment = service();
        let identity = environment.identity();
        fs::remove_file(&identity).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&identity).status().unwrap();
        assert!(made.success());
        let run = environment.microsecrets(&["download", "-s", "api"]).run();
        run.is_well_formed();
        run.ends(1);
    }

    #[test]
    fn is_full_by_the_limit_of_a_shell() {
        let environment = service();
        environment.write("large", vec![1; 3 << 20]);
        let upload = environment.microsecrets(&["upload", "-s", "api", "-f", "large", "large"]);
        let run = upload.through("ulimit -f 1; exec \"$@\"").run();
        run.is_well_formed();
        run.ends(1);
        let upload = environment.microsecrets(&["upload", "-s", "api", "-f", "large", "large"]);
        upload.run().ends(0);
    }

    #[test]
    fn cannot_be_opened_when_too_few_files_may_be_open() {
        let environment = service();
        let run = environment
            .microsecrets(&["download", "-s", "api"])
            .through("ulimit -n 7; exec \"$@\"");
        run.run().fails(
            1,
            "error: cannot start: only 7 files may be open\n\
             hint: raise the limit to 16 or more: ulimit -n\n",
        );
    }

    #[test]
    fn is_read_only() {
        let environment = TestEnvironment::unprivileged();
        environment.upload("A=1\n");
        for folder in [
            "store",
            "store/services/api/head",
            "store/.microsecrets",
            "store/.microsecrets/tmp",
        ] {
            set_mode(&environment.path(folder), 0o500);
        }
        environment
            .microsecrets(&["download", "-s", "api"])
            .run()
            .prints("{\n  \"A\": \"1\"\n}\n");
        let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin("A=2\n").run();
        upload.fails(
            5,
            "error: cannot upload the environment of api\n\
             \x20 caused by: put services/api/head/environment: access denied\n\
             \x20 caused by: cannot create [DIR]/store/.microsecrets/tmp/[ID]\n\
             \x20 caused by: Permission denied (os error 13)\n\
             hint: check who owns it, and the rights of this user\n",
        );
        for folder in [
            "store",
            "store/services/api/head",
            "store/.microsecrets",
            "store/.microsecrets/tmp",
        ] {
            set_mode(&environment.path(folder), 0o700);
        }
    }
}

mod object {
    use super::*;

    const HEAD: &str = "store/services/api/head/environment";

    #[test]
    fn was_tampered_with() {
        let environment = service();
        let whole = environment.read(HEAD);
        let damaged = "the file is cut off, damaged or tampered with\n  caused by: decryption error";
        let head = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        for (bytes, why) in [
            (head(whole.len() - 1), damaged),
            ([&whole[..], b"x"].concat(), damaged),
            (whole[..whole.len() - 1].to_vec(), damaged),
            (Vec::new(), "the file is not encrypted with age"),
            (b"secret in the clear".to_vec(), "the file is not encrypted with age"),
        ] {
            environment.write(HEAD, bytes);
            let said = format!(
                "error: cannot read the environment of api\n\
                 \x20 caused by: get services/api/head/environment: {why}\n\
                 hint: it was changed by other means: restore it from a backup, or remove it and upload again\n"
            );
            reading_fails(&environment, 6, 122, &said);
        }
    }

    #[test]
    fn was_moved_to_another_service() {
        let environment = service();
        fs::create_dir_all(environment.path("store/services/web/head")).unwrap();
        fs::copy(
            environment.path(HEAD),
            environment.path("store/services/web/head/environment"),
        )
        .unwrap();
        environment.microsecrets(&["download", "-s", "web"]).run().fails(
            6,
            "error: cannot read the environment of web\n\
             \x20 caused by: get services/web/head/environment: the file is the object of another key: it was moved, copied or \
             renamed\n\
             hint: it was changed by other means: restore it from a backup, or remove it and upload again\n",
        );
    }

    #[test]
    fn is_a_link() {
        let environment = service();
        fs::remove_file(environment.path(HEAD)).unwrap();
        symlink("/etc/passwd", environment.path(HEAD)).unwrap();
        let said = "error: cannot read the environment of api\n\
                    \x20 caused by: get services/api/head/environment: input/output error\n\
                    \x20 caused by: [DIR]/store/services/api/head/environment is a symbolic link: this store does not follow or \
                    replace it\n\
                    hint: remove it, or restore the folder from a backup\n";
        reading_fails(&environment, 1, 125, said);
    }

    #[test]
    fn is_missing_and_its_versions_are_there() {
        let environment = service();
        fs::remove_file(environment.path(HEAD)).unwrap();
        let said = "error: the head of the environment of api is missing, though \
                    services/api/environment/[TIME].[CHECKSUM].json was written by this tool\n\
                    hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n";
        reading_fails(&environment, 6, 122, said);
    }

    #[test]
    fn of_an_old_version_was_removed() {
        let environment = service();
        fs::remove_dir_all(environment.path("store/services/api/environment")).unwrap();
        environment
            .microsecrets(&["download", "-s", "api", "--at", "1"])
            .run()
            .fails(
                3,
                "error: version 1 of the environment of api was pruned\n\
                 hint: `microsecrets history` shows which versions have bytes\n",
            );
        environment.microsecrets(&["download", "-s", "api"]).run().ends(0);
    }
}

mod hostile_names {
    use super::*;

    const HOSTILE: [&str; 6] = [
        "\u{1b}]8;;http://x\u{7}",
        "a\rb",
        "a\nerror: fake",
        "\u{9b}31m",
        "\u{202e}gpj",
        "\u{2066}\u{200b}",
    ];

    #[test]
    fn in_arguments_are_escaped() {
        let environment = service();
        for name in HOSTILE {
            let path = format!("{name}/file");
            for arguments in [
                &["download", "-s", name][..],
                &["download", "-s", "api", "-f", name],
                &["download", "-s", "api", "-c", name],
                &["download", "-s", "api", "--at", name],
                &["download", "-s", "api", "-b", name],
                &["download", "-s", "api", "-b", &format!("file:{name}")],
                &["download", "-s", "api", "-f", &format!("tls.pem:{path}")],
                &["download", "-s", "api", &format!("--{name}")],
                &["download", "-s", "api", name],
                &["upload", "-s", "api", &path],
                &["upload", "-s", "api", "--format", name],
                &["list", name],
                &["with-env", "-s", "api", "-a", "--", name],
                &["with-env", "-s", "api", "-a", "--", &path],
                &["with-env", "-s", "api", "-w", &format!("[{name}"), "--", "true"],
                &[name],
            ] {
                let run = environment.microsecrets(arguments).run();
                assert!(!run.status.success() && run.stdout.is_empty(), "{arguments:?}");
                run.is_well_formed();
                let bidirectional = ['\u{202e}', '\u{2066}', '\u{200b}'];
                assert!(!run.stderr.contains(bidirectional), "{arguments:?} {}", run.stderr);
            }
        }
    }

    #[test]
    fn in_the_store_are_not_shown() {
        let environment = service();
        for name in HOSTILE {
            fs::create_dir_all(environment.path("store/services").join(name).join("head")).unwrap();
            fs::write(
                environment.path("store/services").join(name).join("head/environment"),
                "",
            )
            .unwrap();
            fs::write(environment.path("store/services/api/head/file").join(name), "").ok();
        }
        environment.microsecrets(&["list"]).run().prints("api\n");
        let list = environment.microsecrets(&["list", "api"]).run();
        assert_eq!(list.raw_stdout().lines().count(), 3, "{}", list.raw_stdout());
    }

    #[test]
    fn are_cut_at_200_characters() {
        let environment = service();
        let name = "x".repeat(300);
        environment.microsecrets(&["download", "-s", &name]).run().fails(
            2,
            &format!(
                "error: --service cannot be '{}…': a service's name has at most 63 characters\n\
                 hint: `microsecrets download --help` shows what can be said\n",
                "x".repeat(200)
            ),
        );
    }

    #[test]
    fn that_are_no_text_are_refused() {
        let environment = service();
        let bytes = std::ffi::OsStr::from_bytes(b"\xff\x1b[31m");
        let run = environment
            .microsecrets(&["download".as_ref(), "-s".as_ref(), bytes])
            .run();
        run.fails(
            2,
            "error: an argument is not UTF-8\nhint: `microsecrets download --help` shows what can be said\n",
        );
        let run = environment
            .microsecrets(&["upload".as_ref(), "-s".as_ref(), "api".as_ref(), bytes])
            .run();
        run.fails(
            1,
            "error: cannot read \u{fffd}\\u{1b}[31m\n\
             \x20 caused by: No such file or directory (os error 2)\nhint: check its path\n",
        );
        let run = environment.microsecrets(&[bytes]).run();
        run.is_well_formed();
    }
}
