//! What another process of the same user can read in `/proc` while secrets are fetched, and once the command is there.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strict_fake::{Fault, test_tls};

use crate::common::TestEnvironment;
use crate::common::canary::Canary;
use crate::fake::Place;

/// How often it is looked at while it has secrets.
const POLLS: usize = 150;

/// What tells of a process's memory.
const CLOSED: &str = "environ mem maps smaps auxv pagemap fd map_files io syscall";

/// Looks at process `$1`, from when it is closed until it is another program: which of the files can be opened, and its
/// arguments. A look during which it became another one does not count.
const WATCH: &str = r#"
pid=$1; shift
is_ours() { read -r name < /proc/$pid/comm && [ "$name" = microsecrets ]; }
look() { open=; for file in "$@"; do if true < /proc/$pid/$file; then open="$open $file"; fi; done; }
{
    while is_ours && true < /proc/$pid/environ; do :; done
    while is_ours; do
        look "$@"
        read -r words < /proc/$pid/cmdline
        is_ours && echo "before:$open words $words"
    done
    look "$@"
    echo "after:$open"
    cat /proc/$pid/environ
} 2>/dev/null
"#;

/// What was seen: lines of looks before, the look after, and the environment of the command.
fn watch(place: &Place, arguments: &[&str], user: u32) -> (Vec<String>, String) {
    let seen = Arc::new(AtomicUsize::new(0));
    let enough = Arc::clone(&seen);
    // The first answer has all secrets; the second comes when it was looked at often enough.
    let fault = Fault::call("GetObject", move |_| {
        for _ in 0..6_000 {
            if enough.load(Ordering::SeqCst) >= POLLS {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let held = place.fake.fail(fault.nth(2));
    let mut child = place.microsecrets(arguments).spawn();
    // A process that ended, and that nobody has waited for, keeps its name.
    let mut watcher = Command::new("timeout");
    watcher
        .args(["-s", "KILL", "90", "/bin/sh", "-c", WATCH, "sh"])
        .arg(child.id().to_string())
        .args(CLOSED.split(' '));
    if rustix::process::geteuid().is_root() {
        watcher.uid(user).gid(user);
    }
    let mut watcher = watcher.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).split(b'\n');
    let mut before = Vec::new();
    let mut after = String::new();
    for line in lines.by_ref() {
        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
        if line.starts_with("before:") {
            seen.fetch_add(1, Ordering::SeqCst);
            before.push(line);
        } else {
            after += &line;
        }
    }
    watcher.wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(held.fired(), 1, "it was never held");
    (before, after)
}

#[test]
fn nobody_reads_them_until_the_command_is_there() {
    let (secret, mut place) = (Canary::new(), Place::new());
    place.upload(&format!("A={}\n", secret.text));
    let upload = place
        .microsecrets(&["upload", "-q", "-f", "f"])
        .stdin(secret.text.repeat(10))
        .run();
    upload.ends(0);
    place.machine = TestEnvironment::unprivileged();
    place.machine.write("ca.pem", test_tls::CA);
    let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(place.machine.path("")).unwrap());
    assert_ne!(user, 0, "nothing is closed to root");
    let (mut before, after) = watch(&place, &["with-env", "-a", "-f", "f:placed", "--", "sleep", "60"], user);
    assert!(before.len() >= POLLS, "looked only {} times", before.len());
    // Arguments are read piece by piece: the last look may have seen them go, while it became the command.
    if let Some(last) = before.pop_if(|last| !last.contains("with-env")) {
        assert!(!secret.is_in(last.as_bytes()), "{last}");
    }
    for look in &before {
        assert!(look.starts_with("before: words "), "open: {look}");
        assert!(look.contains("with-env") && !secret.is_in(look.as_bytes()), "{look}");
    }
    // The command is as open as any other: who looks, and where, would have seen it.
    assert!(
        after.starts_with("after: environ") && after.contains(" maps "),
        "{after}"
    );
    assert!(secret.is_in(after.as_bytes()), "{after}");
}
