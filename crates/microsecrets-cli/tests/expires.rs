//! `--expires`: the end of a version's life, by the store's clock.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;
#[path = "common/trust.rs"]
mod trust;

use std::time::{Duration, SystemTime};

use common::canary::Canary;
use fake::Place;
use trust::Trust;

const MINUTE: u64 = 60;

/// A bucket whose clock stands still, with a secret that lives ten minutes.
struct Living {
    place: Place,
    canary: Canary,
    birth: SystemTime,
}

impl Living {
    fn new() -> Self {
        let (place, canary, birth) = (Place::new(), Canary::new(), SystemTime::now());
        place.fake.freeze_clock(birth);
        let living = Self { place, canary, birth };
        living.upload(&["--expires", "10m"]).ends(0);
        living
    }

    fn upload(&self, options: &[&str]) -> common::Outcome {
        let arguments = [&["upload", "-q"], options].concat();
        let run = self
            .place
            .microsecrets(&arguments)
            .stdin(format!("A={}\n", self.canary.text));
        run.run()
    }

    /// So many seconds after it was born.
    fn at(&self, seconds: u64) {
        self.place.fake.freeze_clock(self.birth + Duration::from_secs(seconds));
    }

    #[track_caller]
    fn is_over(&self, arguments: &[&str], status: i32) {
        let outcome = self.place.microsecrets(arguments).run();
        outcome.fails(
            status,
            "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n\
             \x20 caused by: it expired at [TIME], by the store's clock\n\
             hint: publish it again, with another --expires\n",
        );
        self.canary.is_not_in(&outcome);
        assert!(!self.place.machine.exists("started"));
    }

    #[track_caller]
    fn says(&self, warning: &str) {
        let get = self.place.microsecrets(&["get", "A"]).run();
        get.prints_and_says(&self.canary.text, warning);
        let with_env = self.place.microsecrets(&["with-env", "-w", "A B", "--", "true"]).run();
        with_env.prints_and_says("", warning);
    }
}

#[test]
fn is_warned_of_near_its_end_and_then_over() {
    let living = Living::new();
    living.says("");
    living.at(8 * MINUTE - 1);
    living.says("");
    let warning = "warning: this version expires at [TIME]: publish it again before that\n";
    living.at(8 * MINUTE);
    living.says(warning);
    living.at(10 * MINUTE - 1);
    living.says(warning);
    living.at(10 * MINUTE);
    living.is_over(&["with-env", "-a", "--", "touch", "started"], 122);
    for arguments in [
        &["get", "A"][..],
        &["get", "A", "--at", "1"],
        &["download"],
        &["show"],
        &["edit"],
        &["promote", "--to", "web"],
        &["rollback", "1", "--yes"],
    ] {
        living.is_over(arguments, 6);
    }
    // It is still known that it was there.
    living.place.microsecrets(&["history"]).run().ends(0);
}

/// Whoever follows the hint has a version that lives, also when its content is the same.
#[test]
fn begins_anew_when_it_is_published_again() {
    for how in ["upload", "upload without an end", "set", "set to the same"] {
        let living = Living::new();
        living.at(11 * MINUTE);
        let set = |name, value: &str| {
            let arguments = ["set", "-q", name, "--expires", "10m"];
            living.place.microsecrets(&arguments).stdin(value).run()
        };
        let outcome = match how {
            "upload" => living.upload(&["--expires", "10m"]),
            "upload without an end" => living.upload(&[]),
            "set" => set("B", "2"),
            _ => set("A", &living.canary.text),
        };
        outcome.ends(0);
        living.canary.is_not_in(&outcome);
        living.says("");
        assert!(
            living
                .place
                .microsecrets(&["get", "A", "--min-version", "2"])
                .run()
                .status
                .success()
        );
    }
}

/// That the current version is over is no reason against going back from it.
#[test]
fn that_is_over_can_be_rolled_back_from() {
    let living = Living::new();
    living.upload(&["--force"]).ends(0);
    living.upload(&["--force", "--expires", "10m"]).ends(0);
    living.at(10 * MINUTE);
    living.is_over(&["get", "A"], 6);
    let outcome = living.place.microsecrets(&["rollback", "-q", "2", "--yes"]).run();
    outcome.prints_and_says(
        "[CHECKSUM]\n",
        "note: the current version expired at [TIME], so what changes is not shown\n",
    );
    living.says("");
}

#[test]
fn is_a_time_span_that_is_not_over_at_once() {
    let trust = Trust::empty();
    let hint = "hint: `microsecrets upload --help` shows what can be said\n";
    for (life, why) in [
        ("0s", "a version that nobody could ever read is not published"),
        ("0d", "a version that nobody could ever read is not published"),
        ("90", "an age is a number and one of d, h, m, s: 90d"),
        ("1w", "an age is a number and one of d, h, m, s: 90d"),
    ] {
        trust.fails(
            trust.run(&["upload", "--expires", life], &[]).stdin(trust.pair()),
            2,
            &format!("error: --expires cannot be '{life}': {why}\n{hint}"),
        );
    }
    // Further than any calendar goes is no end that anybody sees.
    trust.upload(&["--expires", "4294967295d"]);
    trust.run(&["get", "A"], &[]).run().prints(&trust.canary.text);
}
