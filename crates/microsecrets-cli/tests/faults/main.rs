//! Something goes wrong between the program and the store, in every way that a network, a proxy or a service has to fail:
//! at one request of every command that talks to it, or at every single one (`MICROSECRETS_EVERY_FAULT=1`). It is tried again, or the command fails as a whole: it
//! ends, it says why, it starts nothing on less than everything, leaves no file in part, and no version half or twice.
//! The same command works when nothing goes wrong any more.

#![allow(clippy::unwrap_used, reason = "a test ends where its expectation does")]

mod commands;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fake.rs"]
mod fake;
mod judge;
mod kinds;
mod special;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use commands::{Command, commands};
use common::Random;
use fault_proxy::Plan;
use judge::{Undisturbed, judge};
use kinds::{Disturbance, disturbances};
use world::World;

/// Most runs wait for something.
const WORKERS: usize = 8;

struct Case<'a> {
    command: &'a (Command, Undisturbed),
    disturbance: &'a Disturbance,
    nth: usize,
}

impl Case<'_> {
    /// Disturbs the command; answers whether it came through.
    fn run(&self, world: &World) -> bool {
        let (command, undisturbed) = self.command;
        world.put_back();
        let Disturbance { fault, times, .. } = self.disturbance;
        world.proxy.plan(Some(Plan {
            fault: fault.clone(),
            nth: self.nth,
            times: *times,
        }));
        let outcome = world.run(command, &self.disturbance.options());
        let fired = world.proxy.seen().fired;
        world.proxy.plan(None);
        assert!(fired > 0, "it never happened");
        judge(world, command, undisturbed, self.disturbance, &outcome)
    }

    fn what(&self) -> String {
        let Disturbance { fault, times, .. } = self.disturbance;
        let times = if *times == usize::MAX {
            "from then on".to_owned()
        } else {
            format!("{times} times")
        };
        let words: Vec<&str> = self.command.0.arguments.iter().take(4).copied().collect();
        format!("{}: {fault:?} at {} {times}", words.join(" "), self.nth)
    }
}

/// Every command as it is when nothing goes wrong.
fn undisturbed(world: &World) -> Vec<(Command, Undisturbed)> {
    let run = |command: Command| {
        let undisturbed = Undisturbed::of(world, &command);
        (command, undisturbed)
    };
    commands().into_iter().map(run).collect()
}

/// Of each command each fault at one request, by chance; at every request with `MICROSECRETS_EVERY_FAULT`.
fn cases<'a>(commands: &'a [(Command, Undisturbed)], disturbances: &'a [Disturbance]) -> Vec<Case<'a>> {
    let every = std::env::var_os("MICROSECRETS_EVERY_FAULT").is_some();
    let mut random = Random(seed());
    let mut of = |command: &'a (Command, Undisturbed), disturbance: &'a Disturbance| {
        let end = command.1.seen.of(disturbance.fault.counts());
        let one = random.below(end.max(1) as u64) as usize + 1;
        let all = (1..=end).filter(move |nth| every || *nth == one);
        all.map(move |nth| Case {
            command,
            disturbance,
            nth,
        })
    };
    let pairs = disturbances
        .iter()
        .flat_map(|disturbance| commands.iter().map(move |command| (command, disturbance)));
    pairs
        .flat_map(|(command, disturbance)| of(command, disturbance))
        .collect()
}

/// The same places every time, so that a change is judged by itself; another seed looks at others.
#[allow(clippy::print_stderr)]
fn seed() -> u64 {
    let given = std::env::var("MICROSECRETS_TEST_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    eprintln!("MICROSECRETS_TEST_SEED={seed}");
    seed
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

#[test]
#[allow(clippy::print_stderr)]
fn every_command_survives_every_fault() {
    let start = Instant::now();
    let commands = undisturbed(&World::new());
    let disturbances = disturbances();
    let cases = cases(&commands, &disturbances);
    let (next, through, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let world = World::new();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match catch_unwind(AssertUnwindSafe(|| case.run(&world))) {
                        Ok(came_through) => _ = through.fetch_add(usize::from(came_through), Ordering::SeqCst),
                        Err(panic) => wrong
                            .lock()
                            .unwrap()
                            .push(format!("{}\n    {}", case.what(), said(&*panic))),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    eprintln!(
        "{} commands, {} faults, {} runs, {} came through, {} s",
        commands.len(),
        disturbances.len(),
        cases.len(),
        through.into_inner(),
        start.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{} runs:\n{}", wrong.len(), wrong.join("\n"));
}
