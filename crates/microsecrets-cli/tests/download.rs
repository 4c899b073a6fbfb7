//! `microsecrets download`: the environment as JSON, and files.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::io::Read as _;

use common::{Random, TestEnvironment, has, mode_of, skip};

const MIB: usize = 1 << 20;
const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const NO_SUCH_VERSION: &str = "hint: `microsecrets history` shows what there is\n";

mod environment {
    use super::*;

    #[test]
    fn is_json_in_the_order_in_which_it_was_uploaded() {
        let environment = TestEnvironment::new();
        environment.upload("ZULU=1\nALPHA=a \"quoted\" \\ value\nGREETING=grüß 🔑\nEMPTY=\n");
        environment.microsecrets(&["download", "-s", "api"]).run().prints(
            "{\n  \"ZULU\": \"1\",\n  \"ALPHA\": \"a \\\"quoted\\\" \\\\ value\",\n  \"GREETING\": \"grüß 🔑\",\n  \
             \"EMPTY\": \"\"\n}\n",
        );
    }

    #[test]
    fn can_be_uploaded_again_as_it_is_printed() {
        let environment = TestEnvironment::new();
        environment.upload_with(
            &["-s", "api", "--json"],
            r#"{"A": "1\n2\t\u0001\u007f \ud83d\udd11", "B": ""}"#,
        );
        let json = environment.microsecrets(&["download", "-s", "api"]).run().stdout;
        let again = environment
            .microsecrets(&["upload", "-s", "api", "--json"])
            .stdin(json)
            .run();
        assert!(
            again.raw_stdout().starts_with("Nothing uploaded"),
            "{}",
            again.raw_stdout()
        );
    }

    #[test]
    fn can_be_pinned_or_said_by_its_number() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload("A=1\n");
        environment
            .microsecrets(&["download", "-s", "api", "-c", &checksum])
            .run()
            .prints("{\n  \"A\": \"1\"\n}\n");
        environment.upload("A=2\n");
        let old = environment
            .microsecrets(&["download", "-s", "api", "-c", &checksum])
            .run();
        old.prints_and_says(
            "{\n  \"A\": \"1\"\n}\n",
            "warning: the pinned version is not the current one, which is 2, [TIME].[CHECKSUM]\n",
        );
        environment
            .microsecrets(&["download", "-s", "api", "--at", "1"])
            .run()
            .prints("{\n  \"A\": \"1\"\n}\n");
        environment
            .microsecrets(&["download", "-s", "api", "-c", HASH])
            .run()
            .fails(
                3,
                &format!("error: the environment of api has no version with checksum [CHECKSUM]\n{NO_SUCH_VERSION}"),
            );
        environment
            .microsecrets(&["download", "-s", "api", "--at", "3"])
            .run()
            .fails(
                3,
                "error: the environment of api has no version 3\n\
                 hint: there is 2 (sha:[SHORT], [TIME]), 1 (sha:[SHORT], [TIME])\n",
            );
    }

    #[test]
    fn that_is_not_there_is_said() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment.microsecrets(&["download", "-s", "nosuch"]).run().fails(
            3,
            "error: there is no environment of nosuch in file:[DIR]/store\n\
             hint: check bucket and service, or publish it first with `microsecrets upload`\n",
        );
        environment.microsecrets(&["download"]).run().fails(
            2,
            "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
        );
    }

    #[test]
    fn that_cannot_be_printed_is_a_failure() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let full = File::options().write(true).open("/dev/full").unwrap();
        environment
            .microsecrets(&["download", "-s", "api"])
            .run_into(full)
            .fails(
                1,
                "error: cannot write to standard output\n\
             \x20 caused by: No space left on device (os error 28)\nhint: make room, or raise the limit (`ulimit -f`, quota)\n",
            );
    }
}

mod listing {
    use super::*;

    #[test]
    fn shows_the_keys_of_the_current_versions() {
        let environment = TestEnvironment::new();
        environment.upload_file("tls.pem", "t".repeat(100));
        environment.upload_file("blob", "b".repeat(2 * MIB));
        environment.upload("A=1\n");
        environment.upload("A=2\n");
        environment
            .microsecrets(&["download", "-s", "api", "--list"])
            .run()
            .prints(
                "services/api/environment/[TIME].[CHECKSUM].json\n\
             services/api/files/blob/[TIME].[CHECKSUM]\n\
             services/api/files/tls.pem/[TIME].[CHECKSUM]\n",
            );
    }

    #[test]
    fn of_nothing_is_empty_as_in_0_3_4() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment
            .microsecrets(&["download", "-s", "nosuch", "-l"])
            .run()
            .prints("");
    }

    #[test]
    fn and_everything_else_exclude_each_other() {
        let environment = TestEnvironment::new();
        for option in [["-c", HASH], ["-f", "tls.pem"], ["--at", "1"]] {
            let run = environment
                .microsecrets(&["download", "-s", "api", "--list", option[0], option[1]])
                .run();
            assert!(
                run.stderr
                    .ends_with(" exclude each other\nhint: leave one of them out\n"),
                "{}",
                run.stderr
            );
            run.ends(2);
        }
    }
}

mod printing_a_file {
    use super::*;

    #[test]
    fn gives_its_bytes_and_nothing_else() {
        let environment = TestEnvironment::new();
        let mut random = Random::seeded();
        for size in [100, MIB, MIB + 1, 8 * MIB] {
            let bytes = random.bytes(size);
            environment.upload_file("blob", &bytes);
            let run = environment.microsecrets(&["download", "-s", "api", "-f", "blob"]).run();
            assert_eq!(run.stderr, "");
            assert!(run.status.success() && run.stdout == bytes, "{size}");
        }
    }

    #[test]
    fn of_more_than_8_mib_needs_a_path_or_the_consent_to_print_before_it_is_checked() {
        let environment = TestEnvironment::new();
        let bytes = Random::seeded().bytes(8 * MIB + 1);
        environment.upload_file("blob", &bytes);
        environment
            .microsecrets(&["download", "-s", "api", "-f", "blob"])
            .run()
            .fails(
                1,
                "error: the file blob has more than 8 MiB, too many to check before printing\n\
             hint: place it: -f blob:PATH, or accept unchecked bytes with --stream\n",
            );
        let run = environment
            .microsecrets(&["download", "-s", "api", "-f", "blob", "--stream"])
            .run();
        assert!(run.status.success() && run.stdout == bytes, "{}", run.stderr);
    }

    #[test]
    fn that_is_damaged_prints_nothing_or_fails_at_the_end() {
        let environment = TestEnvironment::new();
        for (size, options) in [(2 * MIB, &[][..]), (9 * MIB, &["--stream"])] {
            environment.upload_file("blob", vec![b'x'; size]);
            let mut files: Vec<_> = environment.store();
            files.retain(|(path, bytes)| path.to_string_lossy().contains("/files/blob/") && bytes.len() > size);
            let (path, mut bytes) = files.pop().unwrap();
            bytes.pop();
            fs::write(path, bytes).unwrap();
            let arguments = [&["download", "-s", "api", "-f", "blob"], options].concat();
            let run = environment.microsecrets(&arguments).run();
            run.ends(6);
            assert!(run.stdout.len() < size && (options.len() == 1 || run.stdout.is_empty()));
        }
    }

    #[test]
    fn to_a_reader_that_has_gone_is_no_success() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", vec![b'x'; 9 * MIB]);
        let run = environment.microsecrets(&["download", "-s", "api", "-f", "blob", "--stream"]);
        let mut child = run.spawn();
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut [0; 10]).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    }

    #[test]
    fn on_a_terminal_is_refused() {
        if !has("script") {
            return skip("there is no script(1)");
        }
        let environment = TestEnvironment::new();
        environment.upload_file("blob", "b".repeat(100));
        let run = environment
            .microsecrets(&["download", "-s", "api", "-f", "blob"])
            .at_a_terminal()
            .run();
        assert_eq!(
            run.raw_stdout().replace('\r', ""),
            "error: the file blob is not printed on a terminal\n\
             hint: place it: -f blob:PATH, or pipe it to a program\n"
        );
        run.ends(2);
    }
}

mod placing_a_file {
    use super::*;

    #[test]
    fn makes_a_new_one_for_its_owner_only() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", "b".repeat(100));
        let place = || {
            environment
                .microsecrets(&["download", "-s", "api", "-f", "blob:here"])
                .run()
        };
        place().prints("");
        assert_eq!(mode_of(&environment.path("here")), 0o600);
        assert_eq!(environment.read("here"), "b".repeat(100).as_bytes());
        place().fails(
            1,
            "error: here is there already\nhint: remove it first, or let `microsecrets` replace it with --force\n",
        );
        environment
            .microsecrets(&["download", "-s", "api", "-f", "blob:here", "--force"])
            .run()
            .prints("");
    }

    #[test]
    fn and_printing_another_can_be_done_at_once() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", "b".repeat(100));
        environment.upload_file("text", "t".repeat(100));
        let arguments = ["download", "-s", "api", "-f", "blob:here", "-f", "text"];
        environment.microsecrets(&arguments).run().prints(&"t".repeat(100));
        assert_eq!(environment.read("here"), "b".repeat(100).as_bytes());
    }

    #[test]
    fn can_demand_its_checksum() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload_file("blob", "b".repeat(100));
        let spec = format!("blob:here:{checksum}");
        environment
            .microsecrets(&["download", "-s", "api", "-f", &spec])
            .run()
            .prints("");
        let spec = format!("blob:there:{HASH}");
        environment
            .microsecrets(&["download", "-s", "api", "-f", &spec])
            .run()
            .fails(
                3,
                &format!("error: the file blob of api has no version with checksum [CHECKSUM]\n{NO_SUCH_VERSION}"),
            );
        assert!(!environment.exists("there"));
        environment
            .microsecrets(&["download", "-s", "api", "-f", &spec, "-c", HASH])
            .run()
            .fails(
                2,
                "error: --file and --checksum exclude each other\nhint: leave one of them out\n",
            );
    }

    #[test]
    fn that_is_not_there_or_twice_is_refused() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment
            .microsecrets(&["download", "-s", "api", "-f", "nosuch:here"])
            .run()
            .fails(
                3,
                "error: there is no file nosuch of api in file:[DIR]/store\n\
             hint: check bucket and service, or publish it first with `microsecrets upload`\n",
            );
        environment
            .microsecrets(&["download", "-s", "api", "-f", "a:x", "-f", "b:x"])
            .run()
            .fails(2, "error: two files have the path x\n");
        let hint = "hint: `microsecrets download --help` shows what can be said\n";
        for option in ["--force", "--stream"] {
            let run = environment.microsecrets(&["download", "-s", "api", option]).run();
            run.fails(2, &format!("error: this also needs --file\n{hint}"));
        }
    }

    #[test]
    fn that_was_killed_leaves_nothing() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", vec![b'x'; 20 * MIB]);
        fs::create_dir(environment.path("target")).unwrap();
        let mut random = Random::seeded();
        let mut outcomes = [0; 2];
        for _ in 0..30 {
            let mut child = environment
                .microsecrets(&["download", "-s", "api", "-f", "blob:target/here"])
                .spawn();
            std::thread::sleep(std::time::Duration::from_millis(random.below(120)));
            child.kill().unwrap();
            child.wait().unwrap();
            let complete = match fs::metadata(environment.path("target/here")) {
                Ok(metadata) => {
                    assert_eq!(metadata.len(), 20 * MIB as u64);
                    fs::remove_file(environment.path("target/here")).unwrap();
                    1
                }
                Err(_) => 0,
            };
            outcomes[complete] += 1;
            assert_eq!(
                fs::read_dir(environment.path("target")).unwrap().count(),
                0,
                "after {outcomes:?}"
            );
        }
        environment
            .microsecrets(&["download", "-s", "api", "-f", "blob:target/here"])
            .run()
            .prints("");
    }

    #[test]
    fn waits_for_nobody_to_read_a_pipe_that_lies_there() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", "b".repeat(100));
        let (mode, kind) = (
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            rustix::fs::FileType::Fifo,
        );
        rustix::fs::mknodat(rustix::fs::CWD, environment.path("pipe"), kind, mode, 0).unwrap();
        let run = environment
            .microsecrets(&["download", "-s", "api", "-f", "blob:pipe"])
            .run();
        run.fails(
            1,
            "error: pipe is there already\nhint: remove it first, or let `microsecrets` replace it with --force\n",
        );
        let run = environment
            .microsecrets(&["download", "-s", "api", "-f", "blob:pipe", "--force"])
            .run();
        run.fails(1, "error: pipe is neither a file nor a link\n");
        assert!(!fs::metadata(environment.path("pipe")).unwrap().is_file());
    }

    #[test]
    fn where_there_is_no_room_leaves_nothing() {
        let environment = TestEnvironment::new();
        environment.upload_file("blob", vec![b'x'; 3 * MIB]);
        fs::create_dir(environment.path("small")).unwrap();
        let mount = "mount -t tmpfs -o size=1m tmpfs small 2>/dev/null || exit 99; \"$@\"; status=$?; ls -A small; exit $status";
        let shell = environment.program("unshare", &["-m", "true"]).run();
        if !shell.status.success() {
            return skip("no file system can be mounted here");
        }
        let run = environment
            .microsecrets(&["download", "-s", "api", "-f", "blob:small/here"])
            .through(mount);
        let arguments: Vec<_> = run.command.get_args().map(ToOwned::to_owned).collect();
        let mut unshared = environment.program("unshare", &["-m", "/bin/sh"]);
        unshared.command.args(arguments);
        let bucket = format!("file:{}", environment.path("store").display());
        let outcome = unshared.env("MICROSECRETS_BUCKET", bucket).run();
        if outcome.status.code() == Some(99) {
            return skip("no file system can be mounted here");
        }
        outcome.fails(
            1,
            "error: cannot write small/here\n\
             \x20 caused by: No space left on device (os error 28)\nhint: make room, or raise the limit (`ulimit -f`, quota)\n",
        );
    }
}
