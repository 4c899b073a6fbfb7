//! Where the bytes of a secret go, as strace sees it: to what was asked for, and nowhere else.

use std::fs;
use std::path::Path;

use crate::common::has_strace;
use crate::worlds::{World, talkative};

/// The calls by which bytes or files come to be, and the one by which the program hides its memory, from strace too.
const TRACED: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,\
    symlink,symlinkat,link,linkat,rename,renameat,renameat2,mknod,mknodat,memfd_create,prctl";

/// What a run wrote of the secret, and which files it made; each as strace tells it.
struct Seen {
    written: Vec<String>,
    made: Vec<String>,
    calls: usize,
}

fn seen(world: &World, arguments: &[&str]) -> Seen {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("log");
    let words = [
        "-f",
        "-y",
        "-s",
        "100000",
        "-o",
        log.to_str().unwrap(),
        "-e",
        TRACED,
        "-e",
        "inject=prctl:retval=0",
    ];
    talkative(world.run(arguments))
        .by_way_of("strace", &words)
        .run()
        .ends(0);
    let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let calls: Vec<&str> = log.lines().filter(|line| line.contains('(')).collect();
    let is_made = |line: &&&str| {
        let opens = ["O_CREAT", "O_TMPFILE", "memfd_create", "creat("]
            .iter()
            .any(|sign| line.contains(sign));
        let others = ["mkdir", "symlink", "link(", "linkat(", "rename", "mknod"];
        let makes = others
            .iter()
            .any(|call| line.split('(').next().unwrap().contains(call.trim_end_matches('(')));
        (opens || makes) && !line.contains(" = -1 ")
    };
    let told = |lines: Vec<&&str>| lines.iter().map(|line| (**line).chars().take(300).collect()).collect();
    Seen {
        written: told(
            calls
                .iter()
                .filter(|line| world.secret.is_in(line.as_bytes()))
                .collect(),
        ),
        made: told(calls.iter().filter(is_made).collect()),
        calls: calls.len(),
    }
}

/// Commands that read, and whether the secret is their result, or placed below `outputs`.
const READ: [(&[&str], bool, bool); 6] = [
    (&["with-env", "-v", "-a", "--", "true"], false, false),
    (
        &["with-env", "-v", "-a", "-f", "f:outputs/traced", "--", "true"],
        false,
        true,
    ),
    (&["download", "-v", "-f", "f:outputs/downloaded"], false, true),
    (&["download", "-v"], true, false),
    (&["get", "-v", "A"], true, false),
    (&["show", "-v"], false, false),
];

#[test]
fn of_a_run_show_it_written_to_its_destination_only() {
    if !has_strace("where bytes go was NOT looked at") {
        return;
    }
    for world in [World::folder(), World::bucket()] {
        let outputs = world.machine().path("outputs");
        let is_output = |line: &str| line.contains(outputs.to_str().unwrap()) || line.contains("\"outputs/");
        for (arguments, prints, places) in READ {
            let Seen { written, made, calls } = seen(&world, arguments);
            assert!(calls > 10, "strace told nothing");
            let is_due = |line: &&String| places && is_output(line) || prints && line.contains("write(1<pipe");
            let elsewhere: Vec<_> = written.iter().filter(|line| !is_due(line)).collect();
            assert!(elsewhere.is_empty(), "{arguments:?}: {elsewhere:?}");
            assert_eq!(!written.is_empty(), prints || places, "{arguments:?}: {written:?}");
            let others: Vec<_> = made.iter().filter(|line| !is_output(line)).collect();
            assert!(others.is_empty(), "{arguments:?}: {others:?}");
            assert_eq!(!made.is_empty(), places, "{arguments:?}: {made:?}");
        }
        world.left_nothing(&"traced");
    }
}

/// Writers send it to the store, sealed or in TLS, and make files only there.
#[test]
fn of_a_write_show_it_nowhere() {
    if !has_strace("where bytes go was NOT looked at") {
        return;
    }
    for world in [World::folder(), World::bucket()] {
        let machine = world.machine();
        for arguments in [
            &["set", "-v", "A", "--from-file", "inputs/value"][..],
            &["upload", "-v", "--force", "--dotenv", "inputs/dotenv"],
            &["upload", "-v", "-f", "f", "inputs/large"],
            &["rollback", "-v", "previous", "--yes"],
            &["promote", "-v", "--to", "web"],
        ] {
            let Seen { written, made, calls } = seen(&world, arguments);
            assert!(calls > 10 && written.is_empty(), "{arguments:?}: {written:?}");
            let store = machine.path("store");
            let is_store = |line: &str| line.contains(store.to_str().unwrap()) || is_beside(line, &store);
            let others: Vec<_> = made.iter().filter(|line| !is_store(line)).collect();
            assert!(others.is_empty(), "{arguments:?}: {others:?}");
        }
        world.left_nothing(&"traced");
    }
}

/// Whether a call names a file by a handle of a folder in the store.
fn is_beside(line: &str, store: &Path) -> bool {
    line.contains(&format!("<{}", store.display()))
}
