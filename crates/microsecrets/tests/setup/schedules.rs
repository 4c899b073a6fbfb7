//! Two administrators set up one service at once, with different readers. A seed decides who goes on after every single
//! request, and who is killed in the middle of it.
//!
//! The model is small: however they met, one key has each alias, whoever came to an end uses that one and names the keys
//! that it made in vain, and when both have run once more, both readers may read and there is nothing left to do.
//!
//! `MICROSECRETS_SEED=N` runs one seed, `MICROSECRETS_SETUP_SEEDS=N` so many.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use microsecrets::setup::{Done, SetupFailure};
use strict_fake::{Principal, StrictFake};

#[allow(dead_code, reason = "shared with the simulation of items")]
#[path = "../simulation/dice.rs"]
mod dice;

use self::dice::Dice;
use super::{ACCOUNT, OTHER, READER, World, run, wish_of};

const SEEDS: u64 = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

type Run<'w> = Pin<Box<dyn Future<Output = Result<Done, SetupFailure>> + 'w>>;

/// Somebody who sets up, as far as they have come.
struct Actor<'w> {
    admin: Principal,
    run: Option<Run<'w>>,
    done: Option<Done>,
}

impl<'w> Actor<'w> {
    fn new(world: &'w World, name: &str, reader: &'static str) -> Self {
        let admin = world.fake.admin(name, "a secret", ACCOUNT);
        let of_run = admin.clone();
        let run = async move { Ok(world.set_up_as(&of_run, &wish_of("api", reader), 4).await?.1) };
        let (run, done): (Option<Run<'w>>, _) = (Some(Box::pin(run)), None);
        Self { admin, run, done }
    }

    fn requests(&self, fake: &StrictFake) -> usize {
        let of_it = |key: Option<&str>| key == Some(&self.admin.access_key);
        let requests = fake.requests();
        requests
            .iter()
            .filter(|request| of_it(request.access_key.as_deref()))
            .count()
    }

    /// Goes on until the store has answered one request more, or until it has ended.
    async fn go_on(&mut self, fake: &StrictFake) {
        let before = self.requests(fake);
        while let Some(run) = &mut self.run {
            let mut ended = None;
            poll_fn(|context| {
                if let Poll::Ready(result) = run.as_mut().poll(context) {
                    ended = Some(result);
                }
                Poll::Ready(())
            })
            .await;
            if let Some(result) = ended {
                self.done = Some(result.expect("nothing is wrong with the account"));
                self.run = None;
            }
            if self.requests(fake) > before {
                return;
            }
            // The connection is driven by a task of its own.
            tokio::time::sleep(std::time::Duration::from_micros(100)).await;
        }
    }
}

/// One schedule; gives how many of the two were killed.
async fn schedule(seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let world = World::new();
    let mut actors = [
        Actor::new(&world, "AKIAANN", READER),
        Actor::new(&world, "AKIABOB", OTHER),
    ];
    let mut killed = 0;
    while actors.iter().any(|actor| actor.run.is_some()) {
        let actor = &mut actors[dice.below(2) as usize];
        if actor.run.is_some() && dice.once_in(40) {
            actor.run = None;
            killed += 1;
        }
        // Some go on for a while, else neither would ever be far ahead.
        for _ in 0..=dice.below(6) {
            actor.go_on(&world.fake).await;
        }
    }
    let used = |done: &Done| [done.key.clone().unwrap(), done.signing_key.clone().unwrap()];
    let finished: Vec<&Done> = actors.iter().filter_map(|actor| actor.done.as_ref()).collect();
    let in_use: BTreeSet<_> = finished.iter().flat_map(|done| used(done)).collect();
    let in_vain: BTreeSet<_> = finished.iter().flat_map(|done| done.unused.iter().cloned()).collect();
    assert!(finished.is_empty() || in_use.len() == 2, "seed {seed}: {in_use:?}");
    assert!(in_use.is_disjoint(&in_vain), "seed {seed}: {in_vain:?}");
    if killed == 0 {
        assert_eq!(
            world.keys(),
            in_use.len() + in_vain.len(),
            "seed {seed}: a key nobody names"
        );
    }
    for (actor, reader) in actors.iter().zip([READER, OTHER]) {
        world.set_up_as(&actor.admin, &wish_of("api", reader), 4).await.unwrap();
    }
    let state = world.state("api").await;
    for key in &state[6..8] {
        assert!(key.contains(READER) && key.contains(OTHER), "seed {seed}: {key}");
    }
    for (actor, reader) in actors.iter().zip([READER, OTHER]) {
        let (plan, _) = world.set_up_as(&actor.admin, &wish_of("api", reader), 4).await.unwrap();
        assert_eq!(plan.steps, [], "seed {seed}: something is left to do");
    }
    killed
}

#[test]
#[allow(clippy::print_stderr, reason = "what was run")]
fn however_two_meet_one_key_is_used_and_both_readers_may() {
    if let Some(seed) = setting("MICROSECRETS_SEED") {
        run(schedule(seed));
        return;
    }
    let seeds = setting("MICROSECRETS_SETUP_SEEDS").unwrap_or(SEEDS);
    let killed: usize = (0..seeds).map(|seed| run(schedule(seed))).sum();
    eprintln!("{seeds} seeds, {killed} killed");
    assert!(killed > 0, "nobody was killed");
}
