//! Every command that talks to the store.

/// A call of a command.
pub(crate) struct Command {
    pub(crate) arguments: &'static [&'static str],
    pub(crate) input: &'static str,
    pub(crate) kind: Kind,
}

/// What a command leaves behind when it has done its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It prints.
    Prints,
    /// It starts a program.
    Starts,
    /// It writes `placed/file`, so many bytes.
    Places(usize),
    /// It changes what is in the bucket.
    Writes,
    /// It tells what it has found, also that it couldn't look.
    Examines,
}

const SIGNING: &str = "alias/microsecrets-signing/signed";
const READER: &str = "arn:aws:iam::111122223333:role/api";

/// What `with-env` starts: it shows that it was started, and that everything is there.
const COMPLETE: &str = "test ${#A}$B = 10002 && touch started";
const COMPLETE_FILE: &str = "test ${#A}$B = 10002 && test $(wc -c < placed/file) = 1048577 && touch started";

pub(crate) fn commands() -> Vec<Command> {
    let of = |kind| move |arguments: &'static [&'static str], input| Command { arguments, input, kind };
    let (prints, starts, writes) = (of(Kind::Prints), of(Kind::Starts), of(Kind::Writes));
    vec![
        starts(&["with-env", "-a", "--", "sh", "-c", COMPLETE], ""),
        starts(
            &[
                "with-env",
                "-a",
                "-f",
                "large:placed/file",
                "--",
                "sh",
                "-c",
                COMPLETE_FILE,
            ],
            "",
        ),
        prints(&["download"], ""),
        of(Kind::Places(2_000))(&["download", "-f", "small:placed/file"], ""),
        of(Kind::Places((1 << 20) + 1))(&["download", "-f", "large:placed/file"], ""),
        prints(&["get", "A"], ""),
        prints(&["list"], ""),
        of(Kind::Examines)(&["list", "api"], ""),
        prints(&["history", "--all"], ""),
        prints(&["show", "--values", "--at", "1"], ""),
        prints(&["diff", "1", "2", "--values"], ""),
        of(Kind::Examines)(&["whoami"], ""),
        of(Kind::Examines)(&["verify", "--all", "-s", "signed", "--verify-key", "key.pem"], ""),
        of(Kind::Examines)(&["doctor", "--role", "writer"], ""),
        writes(&["set", "-q", "A"], "new\n"),
        writes(&["unset", "-q", "B"], ""),
        writes(&["upload", "-q", "--force"], "A=new\nC=3\n"),
        writes(
            &["upload", "-q", "-s", "fresh", "--kms-key", "alias/microsecrets-api"],
            "A=new\n",
        ),
        writes(&["upload", "-q", "-f", "small", "key.pem"], ""),
        writes(&["upload", "-q", "-f", "large", "larger"], ""),
        writes(&["rollback", "-q", "1", "--yes"], ""),
        writes(&["promote", "-q", "--to", "web", "--yes"], ""),
        writes(&["delete", "-q", "--yes"], ""),
        writes(&["prune", "--keep", "1", "--yes"], ""),
        writes(&["migrate", "-s", "old", "--apply"], ""),
        writes(
            &[
                "re-sign",
                "--sign-with",
                SIGNING,
                "--verify-key",
                "key.pem",
                "--adopt",
                "--yes",
            ],
            "",
        ),
        writes(
            &[
                "setup",
                "-b",
                "NEW-BUCKET",
                "-s",
                "NEW-SERVICE",
                "--reader",
                READER,
                "--yes",
            ],
            "",
        ),
    ]
}
