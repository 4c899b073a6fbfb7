//! Every command when it cannot print what it has, and those that hold secrets when they are killed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use strict_fake::{Failure, Fault};

use crate::calls::{ALL, Help, one_of_each};
use crate::common::{Run, skip, wait_until};
use crate::worlds::{World, files, talkative};

#[test]
#[allow(clippy::print_stderr)]
fn with_nowhere_to_print_to_show_nothing_elsewhere() {
    let mut runs = 0;
    for script in [
        r#"exec "$@" >&-"#,
        r#"exec "$@" >/dev/full"#,
        r#"exec "$@" 2>&-"#,
        r#"exec "$@" >&- 2>/dev/full"#,
    ] {
        let world = World::folder();
        let calls = one_of_each(&world);
        let help = Help::of(&world, &calls);
        for call in &calls {
            let outcome = call.run(&world, &help, &ALL).through(script).run();
            let what = format!("{call} {script}");
            // Only where standard output is as usual it may have the result.
            world.hides(&outcome, call.shows && script.contains("\"$@\" 2>"), &what);
            fs::remove_file(world.machine().path("microsecrets.toml")).ok();
            runs += 1;
        }
        world.left_nothing(&script);
    }
    eprintln!("{runs} runs");
}

/// A program that has secrets in its memory and waits.
struct Held {
    name: &'static str,
    child: Child,
    /// What keeps it waiting.
    _input: Option<std::io::PipeWriter>,
}

/// Any limit on the size of core files is lifted, and no signal is ignored: whoever runs the tests in the background may
/// have handed that down.
fn with_core_files(run: Run) -> Run {
    run.through(
        "ulimit -c unlimited 2>/dev/null; env --default-signal true 2>/dev/null && exec env --default-signal \"$@\"; \
         exec \"$@\"",
    )
}

/// Starts one that reads secrets from a pipe; it has read more than half of what a pipe holds when this returns.
fn reading(world: &World, arguments: &[&str], name: &'static str) -> Held {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let run = talkative(world.run(arguments)).stdin_from(reader);
    let child = with_core_files(run).spawn();
    let secret = format!("A={}\n", world.secret.text.repeat(2_000));
    writer.write_all(secret.as_bytes()).unwrap();
    Held {
        name,
        child,
        _input: Some(writer),
    }
}

/// An editor that ends when it is told to, and says nothing.
const WAITS: &str = "exec > /dev/null 2>&1\nwhile [ -e outputs/editing ]; do sleep 0.05; done\n";

/// Each way to have secrets in memory for a long time.
fn held(world: &World) -> Vec<Held> {
    let machine = world.machine();
    let started = machine.path("outputs/editing");
    machine.script("editor", format!("#!/bin/sh\n: > outputs/editing\n{WAITS}"));
    let editing = with_core_files(talkative(world.run(&["edit", "-v"]))).spawn();
    wait_until("the editor is there", || started.exists());
    let printing = with_core_files(talkative(world.run(&["download", "-v", "-f", "f"])));
    let mut printing = printing.spawn();
    // There is more than the pipe holds.
    let stdout = printing.stdout.as_mut().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    let held = |name, child| Held {
        name,
        child,
        _input: None,
    };
    let mut all = vec![
        held("edit", editing),
        held("download", printing),
        reading(world, &["upload", "-v"], "upload"),
        reading(world, &["set", "A", "-v"], "set"),
    ];
    if let Some(place) = &world.place {
        let fault = place
            .fake
            .fail(Fault::on("GetObject", Failure::Stall).key("*/head/file/f"));
        let run = talkative(world.run(&["with-env", "-v", "-a", "-f", "f:outputs/stalled", "--", "true"]));
        let child = with_core_files(run).spawn();
        wait_until("the second answer is waited for", || fault.fired() == 1);
        all.push(held("with-env", child));
    }
    all
}

/// Kills it; answers how it ended, and what it said.
///
/// Rust's own handler of SEGV and BUS leaves only the second one, after a fault that was none, to the system.
fn killed(world: &World, mut child: Child, signal: Signal) -> (ExitStatus, Vec<u8>) {
    let begin = Instant::now();
    let status = loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "{signal:?} does not end it");
        kill_process(Pid::from_child(&child), signal).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    // Its editor lives on, and has the same standard error.
    fs::remove_file(world.machine().path("outputs/editing")).ok();
    let mut said = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    (status, said)
}

/// The names of files that look like a core.
fn cores(world: &World) -> Vec<String> {
    let all = files(&world.machine().path("")).into_iter();
    let names = all.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| name.starts_with("core")).collect()
}

/// Whether a program that may be dumped is, so that it means something when ours is not. It is the command of `with-env`,
/// which is as any other.
fn others_leave_cores(world: &World) -> bool {
    let ready = world.machine().path("outputs/ready");
    let command = ["with-env", "-a", "--", "sh", "-c", ": > outputs/ready; exec sleep 60"];
    let child = with_core_files(world.run(&command)).spawn();
    wait_until("the command is there", || ready.exists());
    fs::remove_file(ready).unwrap();
    let (status, _) = killed(world, child, Signal::ABORT);
    for name in cores(world) {
        fs::remove_file(world.machine().path(&name)).unwrap();
    }
    status.core_dumped()
}

#[test]
fn by_a_signal_leave_no_core_and_show_nothing() {
    for world in [World::folder(), World::bucket()] {
        if !others_leave_cores(&world) {
            skip("this system makes no core files; that ours makes none says nothing");
        }
        for signal in [
            Signal::ABORT,
            Signal::SEGV,
            Signal::QUIT,
            Signal::BUS,
            Signal::TERM,
            Signal::KILL,
        ] {
            for Held { name, child, _input } in held(&world) {
                if name == "edit" && signal == Signal::QUIT {
                    // The keyboard's signals are the editor's.
                    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
                }
                let (status, said) = killed(&world, child, signal);
                let what = format!("{name} {signal:?}");
                assert!(!status.success() && !status.core_dumped(), "{what}: {status}");
                world.knows_nothing(&said, &[&world.secret], &what);
                assert!(cores(&world).is_empty(), "{what}: {:?}", cores(&world));
            }
            // What was killed cannot remove its private file, which lies in memory, and goes with it.
            for (path, _) in world.private_files() {
                fs::remove_file(path).unwrap();
            }
            world.left_nothing(&format!("{signal:?}"));
            if let Some(place) = &world.place {
                place.fake.clear_faults();
            }
        }
    }
}

/// Standard error that nobody reads any more.
#[test]
fn without_a_reader_show_nothing() {
    let world = World::folder();
    for arguments in [
        &["download", "-v", "-d"][..],
        &["show", "--values", "-v"],
        &["get", "A", "-d"],
    ] {
        let mut run = talkative(world.run(arguments));
        run.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = run.command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        world.knows_nothing(&output.stderr, &[&world.secret], &format!("{arguments:?}"));
    }
    world.left_nothing(&"no reader");
}
