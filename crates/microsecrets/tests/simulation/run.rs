//! One run: an item or two, a few actors, a schedule, and what must be true in the end. All of it follows from a seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use microsecrets::store::memory::Kept;

use crate::actors::{Actor, Task};
use crate::common::{large, legacy_document};
use crate::dice::Dice;
use crate::ledger::{Ledger, Truth, Verdict, Wanted, ensure};
use crate::legacy::legacy_key;
use crate::sabotage::Sabotage;
use crate::store::Client;
use crate::tally::Tally;
use crate::theme::{Kind, Start, Theme};
use crate::vouched::Vouched;
use crate::world::{Both, Side, World};
use crate::writers::one_content;

/// Something that writes, by its name.
type Write<'w> = &'w dyn Fn(&str);

/// A run that failed: what was wrong, and all that led to it.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) what: String,
    pub(crate) trace: String,
}

/// A bucket as runs begin with it.
struct Beginning {
    objects: BTreeMap<String, Kept>,
    ledgers: [Ledger; 2],
    vouched: Vouched,
    now: i64,
}

/// Runs seeds, on one thread. What many runs begin with is made once.
pub(crate) struct Runner {
    runtime: tokio::runtime::Runtime,
    beginnings: BTreeMap<Theme, Beginning>,
    /// Where readers remember what they saw: in memory, where there is such a folder.
    memories: tempfile::TempDir,
    runs: u64,
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
            memories: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            runs: 0,
        }
    }

    /// Runs one seed.
    pub(crate) fn run(&mut self, seed: u64, sabotage: Option<Sabotage>) -> Result<Tally, Box<Failure>> {
        let (theme, mut dice) = (Theme::of(seed), Dice::new(seed ^ 0x5eed));
        let actors = 2 + dice.below(4).min(dice.below(4)) as usize;
        let world = self.world(theme, dice, actors);
        let runtime = self.runtime.handle().clone();
        let _context = runtime.enter();
        let done = catch_unwind(AssertUnwindSafe(|| {
            world.state().sabotage = sabotage;
            let killed = Self::act(&world, actors)?;
            Self::end(&world, actors)?;
            Ok(killed)
        }));
        if let Some(folder) = &world.memories {
            std::fs::remove_dir_all(folder).unwrap();
        }
        let result = done.unwrap_or_else(|_| Err("a panic".to_owned()));
        match result {
            Ok(killed) => Ok(tally(&world, killed)),
            Err(what) => Err(Box::new(Failure {
                seed,
                what,
                trace: trace(&world, &format!("{theme:?}, {actors} actors")),
            })),
        }
    }

    /// A world in which a run begins.
    fn world(&mut self, theme: Theme, dice: Dice, actors: usize) -> Arc<World> {
        let runtime = self.runtime.handle().clone();
        let beginning = self.beginnings.entry(theme.at_the_beginning()).or_insert_with(|| {
            let _context = runtime.enter();
            Beginning::new(theme.at_the_beginning())
        });
        // One more, who comes in the end.
        let mut world = World::new(theme, dice, actors + 1);
        if theme.remembering {
            self.runs += 1;
            let folder = self.memories.path().join(self.runs.to_string());
            std::fs::create_dir(&folder).unwrap();
            world.memories = Some(folder);
        }
        world.memory.set_now(beginning.now);
        for (key, kept) in &beginning.objects {
            world.memory.restore(key, kept.clone());
        }
        let mut state = world.state();
        state.ledgers = Both(beginning.ledgers.clone());
        state.vouched = beginning.vouched.clone();
        world.memory.unique_etags(state.dice.once_in(2));
        world.memory.versioned(state.dice.once_in(2));
        if state.dice.once_in(8) {
            world.memory.set_page(2);
        }
        state.faults = *state.dice.one_of(&[0, 0, 40, 15]);
        drop(state);
        Arc::new(world)
    }

    /// Lets all actors do what they do.
    fn act(world: &Arc<World>, actors: usize) -> Result<u64, String> {
        let mut running: Vec<Option<Running>> = Vec::new();
        for index in 0..actors {
            // Most is about one item; the first actor writes there.
            let beside = world.theme.two && index > 0 && world.state().dice.once_in(3);
            let side = if beside { Side::Source } else { Side::Target };
            let tasks = tasks(world, index, side);
            running.push(Some(Box::pin(Actor::new(world, index, side).run(tasks))));
        }
        schedule(world, running)
    }

    /// Whatever happened, somebody who comes later can write and read; and all that must be there is.
    fn end(world: &Arc<World>, fresh: usize) -> Verdict {
        world.memory.set_page(1_000);
        deliver(world);
        world.state().faults = 0;
        world.memory.set_now(world.memory.now() + 60);
        let sides = if world.theme.two {
            &[Side::Target, Side::Source][..]
        } else {
            &[Side::Target]
        };
        for side in sides {
            Self::end_of(world, fresh, *side)?;
        }
        let state = &world.state();
        if world.theme.attacked {
            return Ok(());
        }
        state.ledgers[Side::Target].check_promoted(&state.ledgers[Side::Source])?;
        state.ledgers[Side::Source].check_promoted(&state.ledgers[Side::Target])
    }

    fn end_of(world: &Arc<World>, fresh: usize, side: Side) -> Verdict {
        let fresh_one = Actor::new(world, fresh, side);
        let content = match world.is_file() {
            true => Truth::Bytes(b"fresh".to_vec()),
            false => Truth::Variables([("FRESH".to_owned(), "1".to_owned())].into()),
        };
        let attacked = world.theme.attacked;
        let last = async move {
            let wanted = Wanted::Upload(content);
            fresh_one.write_as("fresh".to_owned(), wanted, None, true).await;
            if attacked {
                return fresh_one.believe().await;
            }
            fresh_one.read_current().await;
            fresh_one.history().await;
            fresh_one.legacy_read().await;
        };
        schedule(world, vec![Some(Box::pin(last))])?;
        if attacked {
            // Whoever may put anything anywhere can keep others from writing.
            return Ok(());
        }
        let ledger = &world.state().ledgers[side];
        let newest = ledger.versions.last().and_then(|last| last.record.message.as_deref());
        ensure(newest == Some("fresh"), || "nobody can write any more".to_owned())?;
        ledger.check_bucket(&world.memory)
    }
}

impl Beginning {
    fn new(theme: Theme) -> Self {
        let world = Arc::new(World::new(theme, Dice::new(0), 2));
        Self::begin(&world, Side::Target, theme.start);
        if theme.two {
            // What is promoted must be there.
            let start = if theme.start == Start::Nothing {
                Start::OursTwice
            } else {
                theme.start
            };
            Self::begin(&world, Side::Source, start);
        }
        let (objects, now) = (world.memory.snapshot(), world.memory.now());
        let state = world.state();
        let (ledgers, vouched) = (state.ledgers.0.clone(), state.vouched.clone());
        Self {
            objects,
            ledgers,
            vouched,
            now,
        }
    }

    fn begin(world: &Arc<World>, side: Side, start: Start) {
        let legacy = |id: &str| {
            let bytes = match world.theme.kind {
                Kind::Environment => legacy_document(&[("L", id)]),
                Kind::SmallFile => id.as_bytes().to_vec(),
                Kind::LargeFile => large(id.as_bytes()[1]),
            };
            world.memory.set_now(world.memory.now() + 1);
            let key = legacy_key(world, side, 0, &bytes);
            world.memory.put_raw(&key, &bytes, None);
            world.state().ledgers[side].legacy_wrote(&key, &bytes);
        };
        let ours = |id: &str| {
            world.memory.set_now(world.memory.now() + 1);
            let content = one_content(world, side as u64);
            let (actor, id) = (Actor::new(world, 0, side), id.to_owned());
            let write = async move { actor.write_as(id, Wanted::Upload(content), None, true).await };
            schedule(world, vec![Some(Box::pin(write))]).unwrap();
        };
        let (first, second): (Option<Write<'_>>, Option<Write<'_>>) = match start {
            Start::Nothing => (None, None),
            Start::OursTwice => (Some(&ours), Some(&ours)),
            Start::LegacyTwice => (Some(&legacy), Some(&legacy)),
            Start::InMigration => (Some(&legacy), Some(&ours)),
        };
        let (one, other) = if side == Side::Source {
            ("s1", "s2")
        } else {
            ("b1", "b2")
        };
        first.into_iter().for_each(|write| write(one));
        second.into_iter().for_each(|write| write(other));
    }
}

/// What an actor does: most write ours or read ours. Where there is an attacker, it is the last one.
fn tasks(world: &World, index: usize, side: Side) -> Vec<Task> {
    let theme = world.theme;
    let mut state = world.state();
    let is_attacker = theme.attacked && index == state.operations.len() - 2;
    let dice = &mut state.dice;
    let count = match is_attacker {
        true if theme.remembering => 4 + dice.below(4),
        true => 1 + dice.below(4),
        // Whoever remembers something must come back.
        false if theme.remembering => 3 + dice.below(3),
        false => 1 + dice.below(2).min(dice.below(3)),
    };
    let task = |round: u64| {
        let id = format!("a{index}.{round}");
        if is_attacker {
            return if dice.once_in(5) {
                Task::WriteUnsigned(id)
            } else {
                Task::Attack
            };
        }
        if theme.remembering && !dice.once_in(3) {
            return Task::Read;
        }
        if theme.signed && dice.once_in(8) {
            return Task::ReSign;
        }
        if theme.two && side == Side::Target && dice.once_in(4) {
            return Task::Promote(id);
        }
        if theme.migrating && dice.once_in(2) {
            return match dice.below(6) {
                0 | 1 => Task::Apply,
                2 | 3 => Task::Finish,
                _ => Task::LegacyWrite(id),
            };
        }
        match dice.below(20) {
            0..9 => Task::Write(id),
            9..13 => Task::Read,
            13 => Task::History,
            // They trust what they find where nobody demands signatures; see `Theme::attacked`.
            14 | 15 if theme.attacked => Task::Read,
            18 if theme.attacked => Task::Read,
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

fn tally(world: &World, killed: u64) -> Tally {
    let state = world.state();
    let mut tally = state.counts.clone();
    let is_adopted = |version: &&crate::ledger::Version| version.record.message.is_none();
    for ledger in &state.ledgers.0 {
        let versions = || ledger.versions.iter();
        tally.committed += ledger.current();
        tally.refused += ledger.intents.values().filter(|intent| intent.refused).count() as u64;
        tally.by_legacy += ledger.legacy.len() as u64;
        tally.adopted += versions().filter(is_adopted).count() as u64;
        tally.pruned += versions().filter(|version| version.pruned).count() as u64;
    }
    tally += Tally {
        requests: state.step(),
        killed,
        signed: world.theme.signed.into(),
        attacked: world.theme.attacked.into(),
        ..Tally::default()
    };
    tally
}

/// All that happened, in words.
fn trace(world: &World, about: &str) -> String {
    let lines = world.state().take_trace();
    let shorter = |text: &str| text.replace("services/api/", "").replace("services/stage/", "stage/");
    let lines = lines.iter().map(|line| {
        let (subject, how) = (shorter(&line.subject), shorter(&line.how));
        format!("  {}: {} {subject}: {how}\n", line.actor, line.what)
    });
    format!("  {about}\n{}", lines.collect::<String>())
}
