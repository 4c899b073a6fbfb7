//! What strace tells of a run, and what it does to one.

use std::collections::HashMap;
use std::path::Path;

/// A system call of a run that has to do with the store, the destination or the output.
pub(crate) struct Point {
    /// Its name.
    pub(crate) call: String,
    /// Which of that name it is, from 1.
    pub(crate) nth: usize,
    pub(crate) kind: Kind,
    /// As strace tells it.
    pub(crate) told: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// After it the disk is another than before.
    Changes,
    /// It syncs or locks: what others can see is as before.
    Settles,
    /// After it the disk is as before: a kill here is the same as one at the next call that changes something.
    Looks,
    /// It writes to standard output or standard error, when all is decided.
    Prints,
    /// The program becomes the command of `with-env`.
    Becomes,
}

// What the program starts is left alone, so there is no -f. With --seccomp-bpf, strace 6.1 does not deliver signals.

/// What strace is told, to write down the calls that have to do with files. The program hides its memory from other
/// processes of its user (`prctl`), strace's too, which then cannot say what a call is about: not this time.
pub(crate) fn telling(log: &Path) -> Vec<String> {
    let log = log.to_str().unwrap();
    let traced = ["-e", "trace=%file,%desc,prctl", "-e", "inject=prctl:retval=0"];
    ["-y", "-o", log]
        .iter()
        .chain(&traced)
        .map(|word| (*word).to_owned())
        .collect()
}

/// What strace is told, to kill the program instead of its making a call.
pub(crate) fn killing(point: &Point) -> Vec<String> {
    let Point { call, nth, .. } = point;
    let words = ["-o", "/dev/null", "-e", &format!("trace={call}"), "-e"].map(str::to_owned);
    [&words[..], &[format!("inject={call}:signal=KILL:when={nth}")]].concat()
}

/// What strace is told, to have a call fail that is not made then.
pub(crate) fn failing(point: &Point, error: &str, log: &Path) -> Vec<String> {
    let Point { call, nth, .. } = point;
    let log = log.to_str().unwrap();
    let words = ["-o", log, "-e", &format!("trace={call}"), "-e"].map(str::to_owned);
    [&words[..], &[format!("inject={call}:error={error}:when={nth}")]].concat()
}

/// The calls in a log that have to do with what lies in these folders, or with the output.
pub(crate) fn points(log: &str, folders: &[&Path]) -> Vec<Point> {
    let inside: Vec<String> = folders.iter().map(|folder| format!("{}/", folder.display())).collect();
    let mut counts = HashMap::new();
    let mut is_start = true;
    let mut points = Vec::new();
    for line in log.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let nth = counts.entry(call.to_owned()).or_insert(0);
        *nth += 1;
        let kind = kind_of(call, rest);
        let is_inside = inside.iter().any(|folder| rest.contains(folder));
        if kind == Kind::Becomes && is_start {
            // By which strace starts it: that one is not counted when it is to be made to fail.
            (*nth, is_start) = (0, false);
            continue;
        }
        if is_inside || matches!(kind, Kind::Prints | Kind::Becomes) {
            points.push(Point {
                call: call.to_owned(),
                nth: *nth,
                kind,
                told: line.replace(&inside[0], ""),
            });
        }
        if kind == Kind::Becomes {
            break; // what follows is the command's
        }
    }
    points
}

fn kind_of(call: &str, rest: &str) -> Kind {
    match call {
        "execve" => Kind::Becomes,
        "write" if rest.starts_with("1<") || rest.starts_with("2<") => Kind::Prints,
        "open" | "openat"
            if ["O_CREAT", "O_TRUNC", "O_TMPFILE"]
                .iter()
                .any(|flag| rest.contains(flag)) =>
        {
            Kind::Changes
        }
        "write" | "pwrite64" | "writev" | "copy_file_range" | "sendfile" | "fallocate" | "ftruncate" => Kind::Changes,
        "fsync" | "fdatasync" | "flock" => Kind::Settles,
        _ if [
            "mkdir", "rename", "link", "unlink", "rmdir", "symlink", "chmod", "fchmod", "chown", "fchown",
        ]
        .iter()
        .any(|name| call.starts_with(name)) =>
        {
            Kind::Changes
        }
        _ => Kind::Looks,
    }
}

impl Point {
    /// How the call may fail.
    pub(crate) fn errors(&self) -> &'static [&'static str] {
        match &*self.call {
            // Linux closes a file whatever it answers; strace would leave it open, and locked. Before that, what is built
            // to find bugs asks with `fcntl` whether it is open.
            "close" | "execve" | "fcntl" => &[],
            "write" if self.kind == Kind::Prints => &["ENOSPC", "EIO", "EINTR"],
            "write" | "pwrite64" | "writev" | "fsync" | "fdatasync" => &["ENOSPC", "EDQUOT", "EIO", "EINTR"],
            "open" | "openat" if self.kind == Kind::Changes => &["ENOSPC", "EDQUOT", "EIO", "EINTR", "EACCES"],
            "flock" => &["ENOLCK", "EINTR"],
            "read" | "pread64" | "open" | "openat" => &["EIO", "EINTR"],
            call if call.starts_with("mkdir") || call.starts_with("link") || call.starts_with("rename") => {
                &["ENOSPC", "EDQUOT", "EIO", "EACCES"]
            }
            call if call.starts_with("unlink") || call.starts_with("rmdir") => &["EIO", "EACCES"],
            _ => &["EIO"],
        }
    }

    /// Whether an error asks for nothing but to make the call again.
    pub(crate) fn is_made_again(&self, error: &str) -> bool {
        error == "EINTR"
            && matches!(
                &*self.call,
                "write" | "pwrite64" | "writev" | "fsync" | "fdatasync" | "read" | "pread64"
            )
    }
}
