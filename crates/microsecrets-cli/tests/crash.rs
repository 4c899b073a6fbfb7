//! Uploads that are killed at random moments: readers see the old version or the new one, and the next upload works.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Random, TestEnvironment};

/// The same moments in every run, as far as a machine can.
const SEED: u64 = 20_160_504;
const KILLS: usize = 30;

/// What is uploaded: options, and the content for a number.
struct Kind {
    options: &'static [&'static str],
    content: fn(u32) -> Vec<u8>,
}

fn environment_of(number: u32) -> Vec<u8> {
    format!("N={number}\n").into_bytes()
}

fn file_of(number: u32) -> Vec<u8> {
    format!("{number:08}").repeat(100).into_bytes()
}

fn large_file_of(number: u32) -> Vec<u8> {
    format!("{number:08}").repeat(5 << 15).into_bytes()
}

impl Kind {
    fn upload(&self, environment: &TestEnvironment, number: u32) -> common::Run {
        let arguments = [&["upload", "-q", "-s", "api"], self.options].concat();
        environment.microsecrets(&arguments).stdin((self.content)(number))
    }

    /// The number in the current version.
    #[track_caller]
    fn current(&self, environment: &TestEnvironment, at: &[&str]) -> u32 {
        let arguments = [&["download", "-s", "api"], self.options, at].concat();
        let run = environment.microsecrets(&arguments).run();
        assert_eq!((run.status.code(), run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        if self.options.is_empty() {
            return run.raw_stdout().split('"').nth(3).unwrap().parse().unwrap();
        }
        let number = String::from_utf8(run.stdout[..8].to_vec()).unwrap().parse().unwrap();
        assert!(run.stdout == (self.content)(number), "not whole");
        number
    }

    fn is_killed_again_and_again(&self) {
        let environment = TestEnvironment::new();
        let start = Instant::now();
        assert!(self.upload(&environment, 0).run().status.success());
        // Moments are parts of how long an upload takes here.
        let usual = start.elapsed();
        let mut random = Random(SEED);
        let (mut current, mut committed) = (0, 0);
        for number in 1..=KILLS as u32 {
            let mut child = self.upload(&environment, number).spawn();
            std::thread::sleep(
                usual
                    .mul_f64(random.below(1000) as f64 / 800.0)
                    .min(Duration::from_secs(2)),
            );
            child.kill().unwrap();
            child.wait().unwrap();

            let now = self.current(&environment, &[]);
            assert!(
                now == current || now == number,
                "{now} after {current}, when {number} was killed"
            );
            committed += u32::from(now == number);
            current = now;
            if number % 5 == 0 {
                let again = self.upload(&environment, number + 1000).run();
                assert_eq!(
                    (again.status.code(), again.stderr.as_str()),
                    (Some(0), ""),
                    "after {number} was killed"
                );
                current = self.current(&environment, &[]);
                assert_eq!(current, number + 1000);
                committed += 1;
            }
        }
        // Every number is a version that can be read, and the last one is the current one.
        let numbers: Vec<u32> = (1..=committed + 1)
            .map(|version| self.current(&environment, &["--at", &version.to_string()]))
            .collect();
        assert_eq!(numbers.last(), Some(&current));
        let next = (committed + 2).to_string();
        let arguments = [&["download", "-s", "api"], self.options, &["--at", &next]].concat();
        environment.microsecrets(&arguments).run().ends(3);
    }
}

#[test]
fn an_environment() {
    let options = &[];
    let content = environment_of;
    Kind { options, content }.is_killed_again_and_again();
}

#[test]
fn a_file() {
    let options = &["-f", "blob"];
    let content = file_of;
    Kind { options, content }.is_killed_again_and_again();
}

#[test]
fn a_large_file() {
    let options = &["-f", "blob"];
    let content = large_file_of;
    Kind { options, content }.is_killed_again_and_again();
}

/// The store itself is made by an upload: one that is killed meanwhile leaves a folder that the next one can use.
#[test]
fn the_first_upload() {
    let mut random = Random(SEED);
    for round in 0..KILLS {
        let environment = TestEnvironment::new();
        let mut child = environment
            .microsecrets(&["upload", "-q", "-s", "api"])
            .stdin("N=1\n")
            .spawn();
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let again = environment
            .microsecrets(&["upload", "-q", "-s", "api"])
            .stdin("N=2\n")
            .run();
        assert_eq!(
            (again.status.code(), again.stderr.as_str()),
            (Some(0), ""),
            "round {round}"
        );
        environment
            .microsecrets(&["download", "-s", "api"])
            .run()
            .prints("{\n  \"N\": \"2\"\n}\n");
    }
}
