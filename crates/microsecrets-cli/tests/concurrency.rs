//! Many processes at one store.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use common::TestEnvironment;

/// Starts uploads that all read from pipes, then lets all of them go at once.
fn upload_at_once(environment: &TestEnvironment, uploads: &[(Vec<String>, String)]) -> Vec<Output> {
    let children: Vec<_> = uploads
        .iter()
        .map(|(options, content)| {
            let (reader, writer) = std::io::pipe().unwrap();
            let arguments = [&["upload".to_owned(), "-s".to_owned(), "api".to_owned()], &options[..]].concat();
            (
                environment.microsecrets(&arguments).stdin_from(reader).spawn(),
                writer,
                content,
            )
        })
        .collect();
    let children: Vec<_> = children
        .into_iter()
        .map(|(child, mut writer, content)| {
            std::io::Write::write_all(&mut writer, content.as_bytes()).unwrap();
            (child, writer)
        })
        .collect();
    let (children, writers): (Vec<_>, Vec<_>) = children.into_iter().unzip();
    // Only the end of the input lets them go on; until here no child has one, since pipes are not inherited.
    drop(writers);
    children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect()
}

fn version(output: &Output) -> Option<u64> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix("  version: ").map(|number| number.parse().unwrap()))
}

#[test]
fn thirty_two_files_are_uploaded_at_once() {
    let environment = TestEnvironment::new();
    let uploads: Vec<_> = (0..32)
        .map(|number| {
            (
                vec!["-f".to_owned(), format!("file-{number}")],
                format!("{number} ").repeat(50),
            )
        })
        .collect();
    for (output, (options, content)) in upload_at_once(&environment, &uploads).iter().zip(&uploads) {
        assert_eq!(
            version(output),
            Some(1),
            "{options:?} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        environment
            .microsecrets(&["download", "-s", "api", "-f", &options[1]])
            .run()
            .prints(content);
    }
    let list = environment.microsecrets(&["list", "api"]).run().raw_stdout();
    assert_eq!(list.lines().count(), 33);
}

/// Somebody wins each number, and everybody else is told who did.
fn one_environment_is_uploaded_by_many(before: u64) {
    let environment = TestEnvironment::new();
    for number in 0..before {
        environment.upload(&format!("A=before {number}\n"));
    }
    let uploads: Vec<_> = (0..8)
        .map(|number| (Vec::new(), format!("A=writer {number}\n")))
        .collect();
    let mut winners = Vec::new();
    for (output, (_, content)) in upload_at_once(&environment, &uploads).iter().zip(&uploads) {
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        match version(output) {
            Some(number) => {
                assert_eq!(output.status.code(), Some(0), "{said}");
                winners.push((number, content.trim_end().trim_start_matches("A=").to_owned()));
            }
            None => {
                assert_eq!(output.status.code(), Some(4), "{said}");
                let start = "error: the environment of api was changed by somebody else: version ";
                assert!(said.starts_with(start), "{said}");
                assert!(
                    said.ends_with(
                        " (upload)\nhint: look with `microsecrets history` and `microsecrets diff`, then decide again\n"
                    ),
                    "{said}"
                );
            }
        }
    }
    winners.sort();
    let numbers: Vec<u64> = winners.iter().map(|(number, _)| *number).collect();
    let expected: Vec<u64> = (before + 1..).take(winners.len()).collect();
    assert!(!winners.is_empty() && numbers == expected, "{winners:?}");
    for (number, value) in &winners {
        let download = environment
            .microsecrets(&["download", "-s", "api", "--at", &number.to_string()])
            .run();
        download.prints(&format!("{{\n  \"A\": \"{value}\"\n}}\n"));
    }
    let list = environment
        .microsecrets(&["list", "api", "--format", "json"])
        .run()
        .raw_stdout();
    assert!(
        list.contains(&format!("\"version\":{}}}", before as usize + winners.len())),
        "{list}"
    );
    environment.upload("A=after\n");
}

#[test]
fn one_environment_is_uploaded_by_eight_at_once() {
    one_environment_is_uploaded_by_many(2);
}

/// The store is made by whoever comes first, too.
#[test]
fn the_first_environment_is_uploaded_by_eight_at_once() {
    one_environment_is_uploaded_by_many(0);
}

/// Not by chance: the one upload is stopped after it has read what it will replace, until the other is done.
#[test]
fn an_upload_that_comes_too_late_replaces_nothing_and_is_told_who_was_first() {
    let environment = TestEnvironment::new();
    environment.upload("A=first\n");
    let lock = File::open(environment.path("store/.microsecrets/lock")).unwrap();
    lock.lock().unwrap();
    let mut late = environment
        .microsecrets(&["upload", "-s", "api", "-v"])
        .stdin("A=late\n")
        .spawn();
    let mut said = BufReader::new(late.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("list services/api/log/environment/")));
    let id = rustix::process::Pid::from_child(&late);
    rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
    lock.unlock().unwrap();
    environment.upload("A=second\n");
    rustix::process::kill_process(id, rustix::process::Signal::CONT).unwrap();

    let said: Vec<String> = said.collect();
    assert_eq!(late.wait().unwrap().code(), Some(4), "{said:?}");
    let (error, hint) = (&said[said.len() - 2], &said[said.len() - 1]);
    assert!(
        error.starts_with("error: the environment of api was changed by somebody else: version 2 by ann@"),
        "{error}"
    );
    assert!(error.ends_with(" (upload)"), "{error}");
    assert_eq!(
        hint,
        "hint: look with `microsecrets history` and `microsecrets diff`, then decide again"
    );
    environment
        .microsecrets(&["download", "-s", "api"])
        .run()
        .prints("{\n  \"A\": \"second\"\n}\n");
    let third = environment.microsecrets(&["download", "-s", "api", "--at", "3"]).run();
    third.ends(3);
}

#[test]
fn readers_see_whole_versions_and_never_go_back() {
    let environment = TestEnvironment::new();
    environment.upload("N=0\nCOPY=0\n");
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=20 {
                environment.upload(&format!("N={number}\nCOPY={number}\n"));
            }
            written.store(true, Ordering::Release);
        });
        let reader = || {
            let mut last = 0;
            let mut reads = 0;
            while !written.load(Ordering::Acquire) || reads < 5 {
                let arguments = [
                    "with-env",
                    "-s",
                    "api",
                    "-w",
                    "N COPY",
                    "--",
                    "sh",
                    "-c",
                    "echo $N $COPY",
                ];
                let run = environment.microsecrets(&arguments).run();
                let text = run.raw_stdout();
                let numbers: Vec<u32> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
                assert!(numbers.len() == 2 && numbers[0] == numbers[1], "{text} {}", run.stderr);
                assert!(numbers[0] >= last, "{} after {last}", numbers[0]);
                (last, reads) = (numbers[0], reads + 1);
            }
        };
        scope.spawn(reader);
        scope.spawn(reader);
    });
    assert_eq!(
        environment
            .microsecrets(&["download", "-s", "api", "--at", "21"])
            .run()
            .status
            .code(),
        Some(0)
    );
}
