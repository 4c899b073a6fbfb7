//! `microsecrets with-env` becomes its command: what the command finds is what a plain start of it would have found.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use common::{Outcome, Run, TestEnvironment, has, set_mode, skip, wait_until};

/// A service with the variable `A`.
fn service() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment
}

/// Runs `with-env -s api -a -- COMMAND`.
fn with_env(environment: &TestEnvironment, command: &[&str]) -> Outcome {
    let arguments = [&["with-env", "-s", "api", "-a", "--"], command].concat();
    environment.microsecrets(&arguments).run()
}

/// Runs a script plainly and under `with-env`, both by way of `prelude`, and wants the same output.
#[track_caller]
fn finds_the_same(environment: &TestEnvironment, prelude: &str, script: &str) {
    let plain = environment.program("/bin/sh", &["-c", script]).through(prelude).run();
    let arguments = ["with-env", "-s", "api", "-a", "--", "/bin/sh", "-c", script];
    let under = environment.microsecrets(&arguments).through(prelude).run();
    assert!(!plain.stdout.is_empty(), "{}", plain.stderr);
    assert_eq!(under.raw_stdout(), plain.raw_stdout());
    assert_eq!(under.stderr, plain.stderr);
    assert_eq!(under.status, plain.status);
}

mod status {
    use super::*;

    #[test]
    fn is_the_commands_own() {
        let environment = service();
        for status in [
            0, 1, 2, 3, 6, 42, 77, 121, 122, 123, 124, 125, 126, 127, 128, 137, 200, 255,
        ] {
            with_env(&environment, &["sh", "-c", &format!("exit {status}")]).ends(status);
        }
    }

    #[test]
    fn tells_the_signal_that_killed_it() {
        let environment = service();
        for signal in [1, 2, 3, 6, 9, 11, 13, 15] {
            let script = format!("ulimit -c 0; kill -{signal} $$");
            let run = with_env(&environment, &["sh", "-c", &script]);
            // Whoever started these tests may have them ignore some, as nohup does SIGHUP, and a shell SIGINT and SIGQUIT
            // in its background.
            let plain = environment.program("/bin/sh", &["-c", &script]).run();
            assert_eq!(run.status, plain.status);
            assert!([1, 2, 3].contains(&signal) || run.status.signal() == Some(signal));
        }
    }
}

#[test]
fn it_is_the_same_process() {
    let environment = service();
    let arguments = ["with-env", "-s", "api", "-a", "--", "sh", "-c", "echo $$"];
    let child = environment.microsecrets(&arguments).spawn();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"));
}

#[test]
fn a_signal_reaches_the_command() {
    let environment = service();
    let script = "trap 'echo got it; exit 5' TERM; touch ready; while :; do sleep 0.01; done";
    let child = environment
        .microsecrets(&["with-env", "-s", "api", "-a", "--", "sh", "-c", script])
        .spawn();
    wait_until("the command runs", || environment.exists("ready"));
    let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"got it\n"[..]));
}

mod inherited {
    use super::*;

    const PLAIN: &str = r#"exec "$@""#;

    #[test]
    fn no_other_file_is_open() {
        finds_the_same(&service(), PLAIN, "ls /proc/self/fd");
    }

    #[test]
    fn a_file_that_was_handed_down_stays_open() {
        finds_the_same(
            &service(),
            r#"exec 7< /dev/null; exec "$@""#,
            "ls /proc/self/fd; ls -l /proc/self/fd/7 | tail -c 10",
        );
    }

    #[test]
    fn limits_umask_and_folder_are_the_same() {
        let environment = service();
        fs::create_dir(environment.path("elsewhere")).unwrap();
        finds_the_same(&environment, PLAIN, "cat /proc/self/limits; umask; pwd");
        let prelude = r#"ulimit -c 1000; ulimit -n 64; ulimit -s 4096; umask 027; cd elsewhere; exec "$@""#;
        finds_the_same(&environment, prelude, "cat /proc/self/limits; umask; pwd");
    }

    #[test]
    fn signals_groups_capabilities_and_privileges_are_the_same() {
        let lines = "Sig(Blk|Ign|Cgt|Pnd)|Shd|Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid|Umask";
        let script = format!(
            "grep -E '^({lines})' /proc/self/status; cat /proc/self/oom_score_adj; nice; cut -d\" \" -f6 /proc/$$/stat"
        );
        finds_the_same(&service(), PLAIN, &script);
        finds_the_same(&service(), r#"trap '' HUP INT USR1; exec "$@""#, &script);
        if has("env") && env_can_block_signals() {
            finds_the_same(
                &service(),
                r#"exec env --block-signal=USR2,TERM --ignore-signal=QUIT "$@""#,
                &script,
            );
        }
    }

    fn env_can_block_signals() -> bool {
        let output = Command::new("env")
            .args(["--block-signal=USR2", "true"])
            .output()
            .unwrap();
        output.status.success()
    }

    #[test]
    fn a_broken_pipe_ends_the_command_as_it_would_without_us() {
        finds_the_same(
            &service(),
            PLAIN,
            "grep -E '^Sig(Ign|Cgt|Blk)' /proc/self/status; yes | head -n 1",
        );
    }

    /// The one difference. The runtime that every Rust program begins with ignores SIGPIPE, so what the parent had said
    /// of it is not known any more, and before the command it is set to its default.
    #[test]
    fn an_ignored_broken_pipe_is_set_to_its_default() {
        let arguments = [
            "with-env",
            "-s",
            "api",
            "-a",
            "--",
            "grep",
            "SigIgn",
            "/proc/self/status",
        ];
        let run = service()
            .microsecrets(&arguments)
            .through(r#"trap '' PIPE HUP; exec "$@""#)
            .run();
        let ignored = u64::from_str_radix(run.raw_stdout().trim_start_matches("SigIgn:").trim(), 16).unwrap();
        let is_ignored = |signal: u32| ignored & 1 << (signal - 1) != 0;
        assert!(is_ignored(1), "the hang-up stays ignored");
        assert!(!is_ignored(13), "the broken pipe does not");
    }

    /// Closed standard files are opened to `/dev/null` by the runtime, lest a secret file becomes one of them.
    #[test]
    fn a_standard_file_that_was_closed_is_the_null_device() {
        let arguments = [
            "with-env",
            "-s",
            "api",
            "-a",
            "--",
            "sh",
            "-c",
            "readlink /proc/self/fd/0",
        ];
        let run = service().microsecrets(&arguments).through(r#"exec "$@" <&-"#).run();
        run.prints("/dev/null\n");
    }
}

mod memory {
    use super::*;

    /// Whom /proc says the process's environment belongs to: root, when it is not dumpable.
    fn owner(id: u32) -> u32 {
        fs::metadata(format!("/proc/{id}/environ")).map_or(u32::MAX, |metadata| metadata.uid())
    }

    #[test]
    fn nobody_can_look_into_it_before_the_command_is_there() {
        let environment = TestEnvironment::unprivileged();
        let user = fs::metadata(environment.path("")).unwrap().uid();
        assert_ne!(user, 0, "nothing can be seen as root");
        // It waits here for a store that never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        for arguments in [
            &["with-env", "-s", "api", "-a", "--", "true"][..],
            &["download", "-s", "api"],
            &["list", "api"],
            &["migrate", "-s", "api"],
        ] {
            let mut run = environment.microsecrets(arguments);
            for (name, value) in [
                ("MICROSECRETS_BUCKET", "bucket"),
                ("MICROSECRETS_ENDPOINT", endpoint.as_str()),
                ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "example"),
                ("AWS_REGION", "us-east-1"),
            ] {
                run = run.env(name, value);
            }
            let mut child = run.spawn();
            wait_until("it is not dumpable", || owner(child.id()) == 0);
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn nobody_can_look_into_an_upload() {
        let environment = TestEnvironment::unprivileged();
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut child = environment
            .microsecrets(&["upload", "-s", "api"])
            .stdin_from(reader)
            .spawn();
        wait_until("it is not dumpable", || owner(child.id()) == 0);
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_command_is_as_open_as_any_other() {
        let environment = TestEnvironment::unprivileged();
        environment.upload("A=1\n");
        let user = fs::metadata(environment.path("store")).unwrap().uid();
        with_env(&environment, &["stat", "-c", "%u", "/proc/self/environ"]).prints(&format!("{user}\n"));
    }
}

#[test]
fn it_works_for_a_user_without_rights_and_without_a_home() {
    let environment = TestEnvironment::unprivileged();
    environment.upload("A=1\n");
    environment.upload_file("blob", "b".repeat(2 << 20));
    let arguments = [
        "with-env",
        "-s",
        "api",
        "-a",
        "-f",
        "blob:here",
        "--",
        "sh",
        "-c",
        "echo $A; wc -c < here",
    ];
    environment
        .microsecrets(&arguments)
        .without_env("HOME")
        .without_env("LOGNAME")
        .run()
        .prints("1\n2097152\n");
}

mod finding {
    use super::*;

    #[test]
    fn a_command_is_searched_for_in_the_path_that_it_will_have() {
        let environment = TestEnvironment::new();
        for folder in ["mine", "theirs"] {
            fs::create_dir(environment.path(folder)).unwrap();
            environment.script(&format!("{folder}/tool"), format!("#!/bin/sh\necho {folder}\n"));
        }
        let path = |folder: &str| format!("{}:/usr/bin:/bin", environment.path(folder).display());
        environment.upload(&format!("PATH={}\n", path("theirs")));
        let run = |options: &[&str]| {
            let arguments = [&["with-env", "-s", "api"], options, &["--", "tool"]].concat();
            environment.microsecrets(&arguments).env("PATH", path("mine")).run()
        };
        run(&["-w", "PATH"]).prints("theirs\n");
        run(&["-w", "", "-i"]).prints("mine\n");
        // Where it will have none, this program's own is used.
        run(&["-w", "", "-i", "--pristine"]).prints("mine\n");
        run(&["-w", "PATH", "-D", "PATH"]).prints("mine\n");
    }

    #[test]
    fn what_cannot_be_executed_is_passed_over() {
        let environment = service();
        for folder in ["first", "second", "third"] {
            fs::create_dir_all(environment.path(folder)).unwrap();
        }
        fs::create_dir(environment.path("first/tool")).unwrap();
        environment.write("second/tool", "#!/bin/sh\necho second\n");
        environment.script("third/tool", "#!/bin/sh\necho third\n");
        let arguments = ["with-env", "-s", "api", "-a", "--", "tool"];
        environment
            .microsecrets(&arguments)
            .env("PATH", "nosuch:first:second:third")
            .run()
            .prints("third\n");
        environment
            .microsecrets(&arguments)
            .env("PATH", "first:second")
            .run()
            .fails(126, "error: second/tool is not executable\n");
        environment.microsecrets(&arguments).env("PATH", "first").run().fails(
            127,
            "error: there is no command tool\nhint: it was looked for in PATH; say its path to run it from elsewhere\n",
        );
    }

    #[test]
    fn the_working_directory_is_searched_only_where_path_says_so() {
        let environment = service();
        environment.script("tool", "#!/bin/sh\necho here\n");
        let arguments = ["with-env", "-s", "api", "-a", "--", "tool"];
        environment.microsecrets(&arguments).run().ends(127);
        environment
            .microsecrets(&arguments)
            .env("PATH", "/nosuch::/bin")
            .run()
            .prints("here\n");
    }

    #[test]
    fn a_command_with_a_slash_is_not_searched_for() {
        let environment = service();
        fs::create_dir(environment.path("bin")).unwrap();
        environment.script("bin/tool", "#!/bin/sh\necho $0\n");
        with_env(&environment, &["bin/tool"]).prints("bin/tool\n");
        with_env(&environment, &["./bin/tool"]).prints("./bin/tool\n");
        with_env(&environment, &["bin/nosuch"]).fails(127, "error: there is no command bin/nosuch\n");
    }

    #[test]
    fn without_a_search_it_is_in_the_working_directory() {
        let environment = service();
        environment.script("tool", "#!/bin/sh\necho here\n");
        let run = |command| {
            environment
                .microsecrets(&["with-env", "-s", "api", "-a", "-P", "--", command])
                .run()
        };
        run("tool").prints("here\n");
        run("/bin/echo").prints("\n");
        run("sh").fails(127, "error: there is no command ./sh\n");
    }

    #[test]
    fn the_command_sees_its_own_name() {
        let environment = service();
        symlink("/bin/sh", environment.path("link")).unwrap();
        with_env(&environment, &["sh", "-c", "echo $0"]).prints("sh\n");
        with_env(&environment, &["./link", "-c", "echo $0"]).prints("./link\n");
    }
}

mod refusals {
    use super::*;

    #[test]
    fn what_is_no_command_is_told() {
        let environment = service();
        environment.write("text", "hello\n");
        let hint = "hint: it was looked for in PATH; say its path to run it from elsewhere\n";
        with_env(&environment, &["nosuch"]).fails(127, &format!("error: there is no command nosuch\n{hint}"));
        with_env(&environment, &[""]).fails(127, "error: the command is empty\n");
        with_env(&environment, &["./text"]).fails(126, "error: ./text is not executable\n");
        with_env(&environment, &["."]).ends(127);
        with_env(&environment, &["./"]).fails(126, "error: ./ is a folder\n");
        with_env(&environment, &["./text/x"]).fails(
            126,
            "error: ./text/x cannot be run\n  caused by: Not a directory (os error 20)\n",
        );
        symlink("loop", environment.path("loop")).unwrap();
        with_env(&environment, &["./loop"]).fails(
            126,
            "error: ./loop cannot be run\n  caused by: Too many levels of symbolic links (os error 40)\n",
        );
        with_env(&environment, &["a\u{1b}[31m"])
            .fails(127, &format!("error: there is no command a\\u{{1b}}[31m\n{hint}"));
    }

    #[test]
    fn a_variable_in_the_place_of_the_command_is_explained_without_its_value() {
        with_env(&service(), &["PASSWORD=canary", "./server"]).fails(
            127,
            "error: a variable stands where the command should\n\
             hint: to set it for the command: -- env NAME=value COMMAND\n",
        );
    }

    #[test]
    fn a_missing_interpreter_is_told() {
        let environment = service();
        environment.script("script", "#!/nosuch/interpreter\n");
        with_env(&environment, &["./script"]).fails(
            126,
            "error: cannot run ./script\n\
             \x20 caused by: No such file or directory (os error 2)\n\
             hint: the interpreter or the loader that it names is missing\n",
        );
    }

    #[test]
    fn a_script_that_names_no_interpreter_runs_as_under_env() {
        let environment = service();
        environment.script("script", "echo $0 $1\n");
        let plain = environment.program("env", &["./script", "x"]).run();
        let under = with_env(&environment, &["./script", "x"]);
        // Where the C library hands it to a shell, it runs, else it is refused.
        if plain.status.success() {
            under.prints("./script x\n");
        } else {
            under.ends(126);
        }
    }

    #[test]
    fn a_file_that_is_closed_to_this_user_is_told() {
        let environment = TestEnvironment::unprivileged();
        environment.upload("A=1\n");
        let script = environment.script("script", "#!/bin/sh\n");
        set_mode(&script, 0o644);
        with_env(&environment, &["./script"]).fails(126, "error: ./script is not executable\n");
        fs::create_dir(environment.path("closed")).unwrap();
        set_mode(&environment.path("closed"), 0);
        rustix::fs::chown(environment.path("closed"), Some(rustix::fs::Uid::ROOT), None).ok();
        with_env(&environment, &["closed/tool"]).fails(
            126,
            "error: closed/tool cannot be run\n  caused by: Permission denied (os error 13)\nhint: check who owns it, and the rights of this user\n",
        );
    }
}

/// Linux: one `NAME=value` with its NUL at most 131,072 bytes, all of them and the arguments a quarter of the stack.
#[cfg(target_os = "linux")]
mod size {
    use super::*;

    fn uploaded(environment: &TestEnvironment, variables: &[(&str, usize)]) {
        let json: serde_json::Map<_, _> = variables
            .iter()
            .map(|(name, size)| ((*name).to_owned(), "x".repeat(*size).into()))
            .collect();
        environment.upload_with(&["-s", "api", "--json"], serde_json::to_vec(&json).unwrap());
    }

    #[test]
    fn a_variable_that_is_too_large_is_named_with_the_limit() {
        let environment = TestEnvironment::new();
        uploaded(&environment, &[("BIG", 131_072 - 5), ("SMALL", 1)]);
        with_env(&environment, &["sh", "-c", "echo ${#BIG}"]).prints("131067\n");
        uploaded(&environment, &[("BIG", 131_072 - 4), ("SMALL", 1)]);
        with_env(&environment, &["touch", "started"]).fails(
            125,
            "error: BIG has 131073 bytes with its name, more than the 131072 that the system allows\n\
             hint: keep large values in a file: upload it with -f\n",
        );
        assert!(!environment.exists("started"));
    }

    #[test]
    fn too_many_variables_are_told_with_the_largest_and_the_limit() {
        let environment = TestEnvironment::new();
        uploaded(&environment, &[("ONE", 100_000), ("TWO", 120_000), ("THREE", 100_000)]);
        let arguments = ["with-env", "-s", "api", "-a", "--", "touch", "started"];
        let run = environment
            .microsecrets(&arguments)
            .through("ulimit -s 1024; exec \"$@\"")
            .run();
        let said = run.stderr();
        let (first, rest) = said.split_once(" bytes, and ").unwrap();
        assert!(first.starts_with("error: environment and arguments have 32"), "{said}");
        assert_eq!(
            rest,
            "the system allows 262144 here; the largest is TWO with 120000 bytes\n\
             hint: keep large values in a file: upload it with -f; or raise the limit of the stack (`ulimit -s`), of \
             which a quarter is allowed\n"
        );
        run.ends(125);
        assert!(!environment.exists("started"));
        environment
            .microsecrets(&arguments)
            .through("ulimit -s 2048; exec \"$@\"")
            .run()
            .prints("");
    }

    /// Up to the last byte that the system accepts, nothing is refused; from the first that it does not, it is us who
    /// say why.
    #[test]
    fn the_limit_is_the_systems_own() {
        if !has("prlimit") {
            return skip("there is no prlimit(1)");
        }
        let environment = TestEnvironment::new();
        uploaded(&environment, &[("BIG", 131_072 - 5), ("SMALL", 50_000)]);
        let limited = |run: Run| run.by_way_of("prlimit", &["--stack=1048576:"]);
        let with_env = |size: usize, command: &str| {
            let arguments = ["with-env", "-s", "api", "-a", "--", command];
            limited(environment.microsecrets(&arguments).env("PADDING", "x".repeat(size))).run()
        };
        let (mut accepted, mut refused) = (0, 100_000);
        while refused - accepted > 1 {
            let middle = (accepted + refused) / 2;
            match with_env(middle, "/bin/true").status.code() {
                Some(0) => accepted = middle,
                _ => refused = middle,
            }
        }
        let said = with_env(refused, "/bin/true").stderr;
        let expected = "error: environment and arguments have 262145 bytes, and the system allows 262144 here; ";
        assert!(said.starts_with(expected), "{said}");

        // What the system says to the same environment without us.
        let variables = with_env(0, "/usr/bin/env").raw_stdout();
        let plain = |size: usize| {
            let mut run = environment.program("/bin/true", &[] as &[&str]);
            run.command
                .env_clear()
                .envs(variables.lines().map(|line| line.split_once('=').unwrap()));
            limited(run.env("PADDING", "x".repeat(size))).run()
        };
        plain(accepted).ends(0);
        let refusal = plain(refused);
        assert!(refusal.stderr.contains("Argument list too long"), "{}", refusal.stderr);
    }
}

#[test]
fn a_terminal_stays_the_commands_own() {
    if !has("script") {
        return skip("there is no script(1)");
    }
    let environment = service();
    // The process group, and the terminal's one in the foreground.
    let script = "test -t 0 && test -t 1 && cut -d\" \" -f5,8 /proc/$$/stat";
    let run = environment
        .microsecrets(&["with-env", "-s", "api", "-a", "--", "sh", "-c", script])
        .at_a_terminal()
        .run();
    let text = run.raw_stdout();
    let groups: Vec<&str> = text.split_whitespace().collect();
    // It is in the terminal's foreground.
    assert!(groups.len() == 2 && groups[0] == groups[1], "{text} {}", run.stderr);
}
