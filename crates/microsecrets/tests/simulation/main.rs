//! A simulator of schedules: a few processes read, write, promote, sign, migrate, prune and delete, ours and 0.3.4's, and a
//! seed decides who goes on at every single request, whose answer is lost, who is killed, what arrives late, and what an
//! attacker puts in between.
//!
//! Two reference models see every request's effect. The first (`ledger`) holds the protocol to its promises: the swaps of
//! the head are one chain, a number means one version for ever, an acknowledged write is in the chain once and visible to
//! every later read, a refused one never is, edits change their own variables and no others, readers see whole versions
//! that were current while they read, what is promoted is what the other service's version holds that is named, and what
//! 0.3.4 wrote stays in the bucket and is passed over by nobody in silence, also not by the end of a migration.
//!
//! The second (`vouched`) is about trust, in a fifth of the runs. Writers sign, change their key in the middle, and
//! accept now and then what they are shown that nobody signed; readers pin one key or both, some with a least number or a
//! file that remembers what they saw. In half of those runs somebody without a key puts forged, old and foreign heads, log
//! entries and bytes. Whatever he does, who pins believes nothing that was not signed, for this item, as it is; what is
//! signed is made of nothing else; and who remembers goes neither back nor sideways.
//!
//! 100,000 seeds run in the test command, always the same. A failure prints its seed and every request that led to it:
//!
//! * `MICROSECRETS_SEED=N cargo test --test simulation` runs that seed alone. Salts and signatures are random, and so is the
//!   order of two environments' names in one second; so it runs up to 200 times, until it fails. (Files have no salt.)
//! * `MICROSECRETS_SEEDS=5000000 MICROSECRETS_BASE=random cargo test --test simulation` runs millions from a random seed
//!   on, which is printed; `MICROSECRETS_BASE=N` runs them from there again.
#![allow(clippy::unwrap_used, clippy::result_large_err, clippy::print_stderr, missing_docs)]

mod actors;
mod attacker;
mod believers;
#[path = "../common/mod.rs"]
mod common;
mod dice;
mod ledger;
mod legacy;
mod readers;
mod run;
mod sabotage;
mod signers;
mod store;
mod tally;
mod theme;
mod vouched;
mod world;
mod writers;

use std::time::Instant;

use self::run::{Failure, Runner};
use self::sabotage::Sabotage;
use self::tally::Tally;
use self::theme::{Kind, Theme};

const SEEDS: u64 = 100_000;
const BASE: u64 = 0;

/// How often a seed is run again until it fails.
const AGAIN: usize = 200;

const THREADS: u64 = 2;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The first seed.
fn base() -> u64 {
    if std::env::var("MICROSECRETS_BASE").as_deref() != Ok("random") {
        return setting("MICROSECRETS_BASE").unwrap_or(BASE);
    }
    let random = microsecrets::secret::random_bytes();
    let base = random[..6].iter().fold(0, |base, byte| base << 8 | u64::from(*byte));
    eprintln!("MICROSECRETS_BASE={base}");
    base
}

fn fail(failure: &Failure) -> ! {
    panic!(
        "{}\n\nMICROSECRETS_SEED={}\n{}\n{0}",
        failure.what, failure.seed, failure.trace
    );
}

/// Runs many seeds, on a few threads.
fn run_all(base: u64, seeds: u64) -> Tally {
    let share = |thread: u64| {
        let (mut runner, mut tally) = (Runner::new(), Tally::default());
        for seed in (thread..seeds).step_by(THREADS as usize) {
            tally += runner.run(base.wrapping_add(seed), None)?;
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || share(thread))).collect();
        let mut all = Tally::default();
        for thread in threads {
            let result: Result<Tally, Box<Failure>> = thread.join().unwrap();
            all += result.unwrap_or_else(|failure| fail(&failure));
        }
        all
    })
}

#[test]
fn no_schedule_breaks_a_promise() {
    if let Some(seed) = setting("MICROSECRETS_SEED") {
        let mut runner = Runner::new();
        for _ in 0..AGAIN {
            runner.run(seed, None).unwrap_or_else(|failure| fail(&failure));
        }
        return eprintln!("seed {seed} does not fail");
    }
    let (begin, base, seeds) = (Instant::now(), base(), setting("MICROSECRETS_SEEDS").unwrap_or(SEEDS));
    let tally = run_all(base, seeds);
    eprintln!(
        "{seeds} seeds from {base} in {:.1} s: {tally:?}",
        begin.elapsed().as_secs_f64()
    );
    check_that_all_took_part(&tally, seeds);
}

/// A simulator that hardly does anything finds nothing.
fn check_that_all_took_part(tally: &Tally, seeds: u64) {
    let enough = [
        ("commits", tally.committed, 1),
        ("refused writes", tally.refused, 10),
        ("kills", tally.killed, 20),
        ("writes of 0.3.4", tally.by_legacy, 2),
        ("adoptions", tally.adopted, 4),
        ("prunes", tally.pruned, 100),
        ("migrations begun", tally.applied, 200),
        ("migrations ended", tally.finished, 50),
        ("promotes", tally.promoted, 50),
        ("runs with signatures", tally.signed, 10),
        ("signed heads", tally.signed_heads, 5),
        ("heads signed again", tally.re_signed, 1_000),
        ("accepted unsigned versions", tally.accepted, 50),
        ("attacks", tally.attacks, 20),
        ("reads believed under attack", tally.believed, 20),
        ("reads refused under attack", tally.distrusted, 100),
        ("writes refused under attack", tally.distrusted_bases, 200),
        ("reads compared with what was seen", tally.remembered, 40),
        ("reads that would have gone back", tally.went_back, 2_000),
    ];
    for (what, count, one_in) in enough {
        // A few seeds may have none of what is rare.
        assert!(count >= seeds / one_in, "hardly any {what}: {count} in {seeds} runs");
    }
}

/// A seed among the first few that finds a sabotage; the simulator could not fail without one.
fn is_found(sabotage: Sabotage, among: fn(Theme) -> bool) {
    let mut runner = Runner::new();
    let seeds = (BASE..).filter(|seed| among(Theme::of(*seed)));
    let found = seeds.take(600).find_map(|seed| runner.run(seed, Some(sabotage)).err());
    let failure = found.unwrap_or_else(|| panic!("nobody notices {sabotage:?}"));
    eprintln!("{sabotage:?}: seed {}: {}", failure.seed, failure.what);
}

#[test]
fn heads_that_ignore_if_match_are_noticed() {
    is_found(Sabotage::HeadsIgnoreIfMatch, |theme| !theme.attacked);
}

#[test]
fn first_heads_that_ignore_if_none_match_are_noticed() {
    is_found(Sabotage::FirstHeadsIgnoreIfNoneMatch, |theme| !theme.attacked);
}

#[test]
fn heads_that_are_acknowledged_and_not_kept_are_noticed() {
    is_found(Sabotage::HeadsAreNotKept, |theme| !theme.attacked);
}

#[test]
fn lost_answers_that_count_as_failures_are_noticed() {
    is_found(Sabotage::LostAnswersAreFailures, |theme| !theme.attacked);
}

#[test]
fn deletes_that_hit_another_version_are_noticed() {
    is_found(Sabotage::DeletesHitTheGreatest, |theme| !theme.attacked);
}

#[test]
fn marks_that_are_not_kept_are_noticed() {
    // Only large files are put before they are committed.
    is_found(Sabotage::MarksAreNotKept, |theme| theme.kind == Kind::LargeFile);
}

#[test]
fn heads_that_are_stale_are_noticed() {
    is_found(Sabotage::HeadsAreStale, |theme| !theme.attacked);
}

#[test]
fn listings_that_end_early_are_noticed() {
    is_found(Sabotage::ListingsEndEarly, |theme| !theme.attacked);
}

#[test]
fn log_entries_under_another_number_are_noticed() {
    is_found(Sabotage::LogEntriesAreShifted, |theme| !theme.attacked);
}

#[test]
fn late_writes_of_0_3_4_that_the_end_of_a_migration_passes_over_are_noticed() {
    is_found(Sabotage::LateWritesAreHidden, |theme| {
        theme.migrating && !theme.attacked
    });
}

#[test]
fn promotes_of_what_is_not_current_any_more_are_noticed() {
    is_found(Sabotage::PromotesAreStale, |theme| theme.two && !theme.attacked);
}

#[test]
fn readers_that_believe_anybody_are_noticed() {
    is_found(Sabotage::SignaturesAreNotVerified, |theme| theme.attacked);
}

#[test]
fn writers_that_sign_over_what_nobody_was_shown_are_noticed() {
    is_found(Sabotage::UnsignedIsAcceptedUnasked, |theme| theme.attacked);
}

#[test]
fn readers_that_forget_what_they_saw_are_noticed() {
    is_found(Sabotage::StateIsIgnored, |theme| theme.attacked && theme.remembering);
}
