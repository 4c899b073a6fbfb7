//! A simulator of schedules: a few processes read, write, prune and delete one item, ours and 0.3.4's, and a seed decides
//! who goes on at every single request, whose answer is lost, who is killed, and what arrives late.
//!
//! A reference model (`ledger`) sees every request's effect. It holds the protocol to its promises: the swaps of the head
//! are one chain, a number means one version for ever, an acknowledged write is in the chain once and visible to every
//! later read, a refused one never is, edits change their own variables and no others, readers see whole versions that
//! were current while they read, and what 0.3.4 wrote stays in the bucket and is passed over by nobody in silence.
//!
//! 50,000 seeds run in the test command, always the same. A failure prints its seed and every request that led to it:
//!
//! * `MICROSECRETS_SEED=N cargo test --test simulation` runs that seed alone. Salts are random, and so is the order of
//!   two environments' names in one second; so it runs up to 200 times, until it fails. (Files have no salt.)
//! * `MICROSECRETS_SEEDS=5000000 MICROSECRETS_BASE=random cargo test --test simulation` runs millions from a random seed
//!   on, which is printed; `MICROSECRETS_BASE=N` runs them from there again.
#![allow(clippy::unwrap_used, clippy::result_large_err, clippy::print_stderr, missing_docs)]

mod actors;
#[path = "../common/mod.rs"]
mod common;
mod dice;
mod ledger;
mod readers;
mod run;
mod sabotage;
mod store;
mod world;

use std::time::Instant;

use self::run::{Failure, Kind, Runner, Tally};
use self::sabotage::Sabotage;

const SEEDS: u64 = 50_000;
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
    assert!(tally.committed > seeds, "hardly anything was committed");
    assert!(tally.refused > seeds / 20, "hardly anybody was in another's way");
    assert!(
        tally.adopted > seeds / 20 && tally.by_legacy > seeds / 4,
        "0.3.4 hardly took part"
    );
    assert!(
        tally.pruned > seeds / 100 && tally.killed > seeds / 20,
        "hardly anything was pruned, or anybody killed"
    );
}

/// A seed among the first few that finds a sabotage; the simulator could not fail without one.
fn is_found(sabotage: Sabotage, kind: Option<Kind>) {
    let mut runner = Runner::new();
    let seeds = (BASE..).filter(|seed| kind.is_none_or(|kind| Runner::kind(*seed) == kind));
    let found = seeds.take(600).find_map(|seed| runner.run(seed, Some(sabotage)).err());
    let failure = found.unwrap_or_else(|| panic!("nobody notices {sabotage:?}"));
    eprintln!("{sabotage:?}: seed {}: {}", failure.seed, failure.what);
}

#[test]
fn heads_that_ignore_if_match_are_noticed() {
    is_found(Sabotage::HeadsIgnoreIfMatch, None);
}

#[test]
fn first_heads_that_ignore_if_none_match_are_noticed() {
    is_found(Sabotage::FirstHeadsIgnoreIfNoneMatch, None);
}

#[test]
fn heads_that_are_acknowledged_and_not_kept_are_noticed() {
    is_found(Sabotage::HeadsAreNotKept, None);
}

#[test]
fn lost_answers_that_count_as_failures_are_noticed() {
    is_found(Sabotage::LostAnswersAreFailures, None);
}

#[test]
fn deletes_that_hit_another_version_are_noticed() {
    is_found(Sabotage::DeletesHitTheGreatest, None);
}

#[test]
fn marks_that_are_not_kept_are_noticed() {
    // Only large files are put before they are committed.
    is_found(Sabotage::MarksAreNotKept, Some(Kind::LargeFile));
}

#[test]
fn heads_that_are_stale_are_noticed() {
    is_found(Sabotage::HeadsAreStale, None);
}

#[test]
fn listings_that_end_early_are_noticed() {
    is_found(Sabotage::ListingsEndEarly, None);
}

#[test]
fn log_entries_under_another_number_are_noticed() {
    is_found(Sabotage::LogEntriesAreShifted, None);
}
