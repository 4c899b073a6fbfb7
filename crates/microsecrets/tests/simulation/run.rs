//! One run: an item, a few actors, a schedule, and what must be true in the end. All of it follows from a seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use microsecrets::layout::Item;
use microsecrets::store::memory::Kept;

use crate::actors::{Actor, Task};
use crate::common::{large, legacy_document};
use crate::dice::Dice;
use crate::ledger::{Ledger, Truth, Verdict, Wanted, ensure};
use crate::sabotage::Sabotage;
use crate::store::Client;
use crate::world::World;

/// Something that writes, by its name.
type Write<'w> = &'w dyn Fn(&str);

/// What a run is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Environment,
    SmallFile,
    LargeFile,
}

/// How its item begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Start {
    Nothing,
    OursTwice,
    LegacyTwice,
    InMigration,
}

const STARTS: [Start; 4] = [Start::Nothing, Start::OursTwice, Start::LegacyTwice, Start::InMigration];

/// A run that failed: what was wrong, and all that led to it.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) what: String,
    pub(crate) trace: String,
}

/// What happened in a run, or in many.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) committed: u64,
    pub(crate) refused: u64,
    pub(crate) killed: u64,
    pub(crate) by_legacy: u64,
    pub(crate) adopted: u64,
    pub(crate) pruned: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.committed += other.committed;
        self.refused += other.refused;
        self.killed += other.killed;
        self.by_legacy += other.by_legacy;
        self.adopted += other.adopted;
        self.pruned += other.pruned;
    }
}

/// A bucket as runs begin with it.
struct Beginning {
    objects: BTreeMap<String, Kept>,
    ledger: Ledger,
    now: i64,
}

/// Runs seeds, on one thread. What many runs begin with is made once.
pub(crate) struct Runner {
    runtime: tokio::runtime::Runtime,
    beginnings: BTreeMap<(Kind, Start), Beginning>,
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

impl Runner {
    pub(crate) fn new() -> Self {
        Self {
            // Only for its clock, by which the client would give up; nothing ever waits for it.
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            beginnings: BTreeMap::new(),
        }
    }

    /// What a seed is about.
    pub(crate) fn kind(seed: u64) -> Kind {
        match Dice::new(seed).below(512) {
            0 => Kind::LargeFile,
            1..192 => Kind::SmallFile,
            _ => Kind::Environment,
        }
    }

    /// Runs one seed.
    pub(crate) fn run(&mut self, seed: u64, sabotage: Option<Sabotage>) -> Result<Tally, Box<Failure>> {
        let (kind, mut dice) = (Self::kind(seed), Dice::new(seed ^ 0x5eed));
        let start = *dice.one_of(&STARTS);
        let actors = 2 + dice.below(4).min(dice.below(4)) as usize;
        let world = self.world(kind, start, dice, actors);
        let runtime = self.runtime.handle().clone();
        let _context = runtime.enter();
        let done = catch_unwind(AssertUnwindSafe(|| {
            world.state().sabotage = sabotage;
            let killed = Self::act(&world, actors)?;
            Self::end(&world, actors)?;
            Ok(killed)
        }));
        let result = done.unwrap_or_else(|_| Err("a panic".to_owned()));
        match result {
            Ok(killed) => Ok(Tally {
                killed,
                ..tally(&world)
            }),
            Err(what) => Err(Box::new(Failure {
                seed,
                what,
                trace: trace(&world, &format!("{kind:?}, {start:?}, {actors} actors")),
            })),
        }
    }

    /// A world in which a run begins.
    fn world(&mut self, kind: Kind, start: Start, dice: Dice, actors: usize) -> Arc<World> {
        let runtime = self.runtime.handle().clone();
        let beginning = self.beginnings.entry((kind, start)).or_insert_with(|| {
            let _context = runtime.enter();
            Beginning::new(kind, start)
        });
        let world = new_world(kind, dice, actors);
        world.memory.set_now(beginning.now);
        for (key, kept) in &beginning.objects {
            world.memory.restore(key, kept.clone());
        }
        let mut state = world.state();
        state.ledger = beginning.ledger.clone();
        world.memory.unique_etags(state.dice.once_in(2));
        world.memory.versioned(state.dice.once_in(2));
        if state.dice.once_in(8) {
            world.memory.set_page(2);
        }
        state.faults = *state.dice.one_of(&[0, 0, 40, 15]);
        drop(state);
        world
    }

    /// Lets all actors do what they do.
    fn act(world: &Arc<World>, actors: usize) -> Result<u64, String> {
        let mut running: Vec<Option<Running>> = Vec::new();
        for index in 0..actors {
            let tasks = tasks(world, index);
            running.push(Some(Box::pin(Actor::new(world, index).run(tasks))));
        }
        schedule(world, running)
    }

    /// Whatever happened, somebody who comes later can write and read; and all that must be there is.
    fn end(world: &Arc<World>, fresh: usize) -> Verdict {
        world.memory.set_page(1_000);
        deliver(world);
        world.state().faults = 0;
        world.memory.set_now(world.memory.now() + 60);
        let fresh_one = Actor::new(world, fresh);
        let content = match world.item.is_file() {
            true => Truth::Bytes(b"fresh".to_vec()),
            false => Truth::Variables([("FRESH".to_owned(), "1".to_owned())].into()),
        };
        let last = async move {
            fresh_one.write("fresh".to_owned(), Wanted::Upload(content), None).await;
            fresh_one.read_current().await;
            fresh_one.history().await;
            fresh_one.legacy_read().await;
        };
        schedule(world, vec![Some(Box::pin(last))])?;
        let ledger = &world.state().ledger;
        let newest = ledger.versions.last().and_then(|last| last.record.message.as_deref());
        ensure(newest == Some("fresh"), || "nobody can write any more".to_owned())?;
        ledger.check_bucket(world)
    }
}

impl Beginning {
    fn new(kind: Kind, start: Start) -> Self {
        let world = new_world(kind, Dice::new(0), 1);
        let legacy = |id: &str| {
            let bytes = match kind {
                Kind::Environment => legacy_document(&[("L", id)]),
                Kind::SmallFile => id.as_bytes().to_vec(),
                Kind::LargeFile => large(id.as_bytes()[1]),
            };
            world.memory.set_now(world.memory.now() + 1);
            let key = crate::actors::legacy_key(&world, 0, &bytes);
            world.memory.put_raw(&key, &bytes, None);
            world.state().ledger.legacy_wrote(&world.item, &key, &bytes);
        };
        let ours = |id: &str| {
            world.memory.set_now(world.memory.now() + 1);
            let content = crate::actors::one_content(&world, 0);
            let (actor, id) = (Actor::new(&world, 0), id.to_owned());
            let write = async move { actor.write(id, Wanted::Upload(content), None).await };
            schedule(&world, vec![Some(Box::pin(write))]).unwrap();
        };
        let (first, second): (Option<Write<'_>>, Option<Write<'_>>) = match start {
            Start::Nothing => (None, None),
            Start::OursTwice => (Some(&ours), Some(&ours)),
            Start::LegacyTwice => (Some(&legacy), Some(&legacy)),
            Start::InMigration => (Some(&legacy), Some(&ours)),
        };
        first.into_iter().for_each(|write| write("b1"));
        second.into_iter().for_each(|write| write("b2"));
        let (objects, now) = (world.memory.snapshot(), world.memory.now());
        let ledger = world.state().ledger.clone();
        Self { objects, ledger, now }
    }
}

fn new_world(kind: Kind, dice: Dice, actors: usize) -> Arc<World> {
    let service = "api".parse().unwrap();
    let item = match kind {
        Kind::Environment => Item::environment(service),
        Kind::SmallFile | Kind::LargeFile => Item::file(service, "tls.pem".parse().unwrap()),
    };
    // One more, who comes in the end.
    Arc::new(World::new(item, kind == Kind::LargeFile, dice, actors + 1))
}

/// What an actor does: most write ours or read ours.
fn tasks(world: &World, index: usize) -> Vec<Task> {
    let dice = &mut world.state().dice;
    let count = 1 + dice.below(2).min(dice.below(3));
    let task = |round: u64| {
        let id = format!("a{index}.{round}");
        match dice.below(20) {
            0..9 => Task::Write(id),
            9..13 => Task::Read,
            13 => Task::History,
            14 | 15 => Task::Prune,
            16 | 17 => Task::LegacyWrite(id),
            18 => Task::LegacyRead,
            _ => Task::Finish,
        }
    };
    (0..count).map(task).collect()
}

/// Lets one request after the other happen, until all are done or killed; says how many were killed.
fn schedule(world: &Arc<World>, mut running: Vec<Option<Running>>) -> Result<u64, String> {
    // Whoever is alone has any place.
    let alone = running.len() == 1;
    for actor in &mut running {
        poll(actor);
    }
    let sticky = *world.state().dice.one_of(&[0, 4, 7]);
    let (mut killed, mut last) = (0, 0);
    loop {
        let Some(granted) = world.state().grant(last, sticky) else {
            return Ok(killed);
        };
        last = granted;
        let place = if alone { 0 } else { granted };
        poll(&mut running[place]);
        let died = world.state().killed.take();
        if died.is_some() {
            running[place] = None;
            killed += 1;
        }
        if let Some(what) = world.state().take_failure() {
            return Err(what);
        }
        let (ticks, arrives) = {
            let dice = &mut world.state().dice;
            (dice.once_in(10), dice.once_in(6))
        };
        if ticks {
            world.memory.set_now(world.memory.now() + 1);
        }
        if arrives {
            deliver(world);
        }
    }
}

fn poll(actor: &mut Option<Running>) {
    if let Some(running) = actor
        && running
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    {
        *actor = None;
    }
}

/// Lets what is late arrive.
fn deliver(world: &Arc<World>) {
    let late = std::mem::take(&mut world.state().late);
    for (actor, request) in late {
        Client::new(world, actor).deliver(&request);
    }
}

fn tally(world: &World) -> Tally {
    let ledger = &world.state().ledger;
    let versions = || ledger.versions.iter();
    let is_adopted = |version: &&crate::ledger::Version| version.record.message.is_none();
    Tally {
        requests: ledger.step,
        committed: ledger.current(),
        refused: ledger.intents.values().filter(|intent| intent.refused).count() as u64,
        killed: 0,
        by_legacy: ledger.legacy.len() as u64,
        adopted: versions().filter(is_adopted).count() as u64,
        pruned: versions().filter(|version| version.pruned).count() as u64,
    }
}

/// All that happened, in words.
fn trace(world: &World, about: &str) -> String {
    let lines = world.state().take_trace();
    let prefix = format!("services/{}/", world.item.service());
    let lines = lines.iter().map(|line| {
        let (subject, how) = (line.subject.replace(&prefix, ""), line.how.replace(&prefix, ""));
        format!("  {}: {} {subject}: {how}\n", line.actor, line.what)
    });
    format!("  {about}\n{}", lines.collect::<String>())
}
