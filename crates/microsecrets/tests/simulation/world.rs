//! What the actors of a run share: the store, the scheduler's book of who waits for what, and the ledgers.

use std::ops::{Index, IndexMut};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use microsecrets::item::PrunePolicy;
use microsecrets::layout::Item;
use microsecrets::store::memory::Memory;

use crate::dice::Dice;
use crate::ledger::{Ledger, Verdict};
use crate::sabotage::Sabotage;
use crate::store::Request;
use crate::tally::Tally;
use crate::theme::{Kind, Theme};
use crate::vouched::{Shown, Vouched};

/// No operation needs more requests than this, whatever the others do. (Edits start again when others commit first.)
const MOST_REQUESTS: usize = 400;

/// Which of the two items that there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// The one that most is about.
    Target,
    /// Another service's, whose versions are promoted.
    Source,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Target => Self::Source,
            Self::Source => Self::Target,
        }
    }
}

/// A thing for each item.
pub(crate) struct Both<T>(pub(crate) [T; 2]);

impl<T> Index<Side> for Both<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        &self.0[side as usize]
    }
}

impl<T> IndexMut<Side> for Both<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        &mut self.0[side as usize]
    }
}

pub(crate) struct World {
    pub(crate) memory: Memory,
    /// The heads before the current ones, for a sabotage.
    pub(crate) stale: Memory,
    pub(crate) items: Both<Item>,
    pub(crate) theme: Theme,
    /// Where readers keep what they remember.
    pub(crate) memories: Option<PathBuf>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) ledgers: Both<Ledger>,
    /// What holders of a key signed, of both items.
    pub(crate) vouched: Vouched,
    /// What is counted while it happens.
    pub(crate) counts: Tally,
    /// Whether somebody has begun to sign with the new key.
    pub(crate) rotated: bool,
    pub(crate) sabotage: Option<Sabotage>,
    /// One request in so many has a fault; none with 0.
    pub(crate) faults: u64,
    /// What each actor is doing.
    pub(crate) operations: Vec<Operation>,
    /// Requests whose sender has given up waiting, and that are still on their way.
    pub(crate) late: Vec<(usize, Arc<Request>)>,
    /// Who was killed by the last request.
    pub(crate) killed: Option<usize>,
    waiting: Vec<Waiting>,
    granted: Option<u64>,
    tickets: u64,
    trace: Vec<Line>,
    failure: Option<String>,
}

/// What an actor is doing.
#[derive(Default)]
pub(crate) struct Operation {
    pub(crate) requests: usize,
    pub(crate) faults: usize,
    /// What a prune has promised to keep.
    pub(crate) policy: Option<PrunePolicy>,
    /// Whether it writes without a key, as somebody who holds none.
    pub(crate) stranger: bool,
    /// What it was shown that nobody signed, and accepts as a base.
    pub(crate) shown: Option<Shown>,
    /// Whether it ends a migration.
    pub(crate) finishes: bool,
    /// Whether it reads what it will promote.
    pub(crate) promotes: bool,
}

/// One that waits for its turn.
struct Waiting {
    ticket: u64,
    actor: usize,
    waker: Waker,
}

/// A line of the trace; put into words only when it is needed.
pub(crate) struct Line {
    pub(crate) actor: usize,
    pub(crate) what: &'static str,
    pub(crate) subject: String,
    pub(crate) how: String,
}

impl World {
    pub(crate) fn new(theme: Theme, dice: Dice, actors: usize) -> Self {
        let items = Both(["api", "stage"].map(|service| {
            let service = service.parse().unwrap();
            match theme.kind {
                Kind::Environment => Item::environment(service),
                Kind::SmallFile | Kind::LargeFile => Item::file(service, "tls.pem".parse().unwrap()),
            }
        }));
        let ledgers = Both(items.0.clone().map(Ledger::new));
        Self {
            memory: Memory::new("simulated"),
            stale: Memory::new("simulated"),
            items,
            theme,
            memories: None,
            state: Mutex::new(State {
                dice,
                ledgers,
                vouched: Vouched::default(),
                counts: Tally::default(),
                rotated: false,
                sabotage: None,
                faults: 0,
                operations: (0..actors).map(|_| Operation::default()).collect(),
                late: Vec::new(),
                killed: None,
                waiting: Vec::new(),
                granted: None,
                tickets: 0,
                trace: Vec::new(),
                failure: None,
            }),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        self.theme.kind != Kind::Environment
    }

    /// Whether its files are larger than a head can carry.
    pub(crate) fn large(&self) -> bool {
        self.theme.kind == Kind::LargeFile
    }

    /// Whose object a key is.
    pub(crate) fn side_of(&self, key: &str) -> Side {
        match key.starts_with("services/stage/") {
            true => Side::Source,
            false => Side::Target,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // After a panic the trace is still wanted.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the scheduler lets this actor go on.
    pub(crate) fn turn(&self, actor: usize) -> Turn<'_> {
        let (world, ticket) = (self, None);
        Turn { world, actor, ticket }
    }

    /// Begins an operation, and tells the moment.
    pub(crate) async fn begin(&self, actor: usize, what: &'static str, subject: String) -> u64 {
        self.turn(actor).await;
        let mut state = self.state();
        state.operations[actor] = Operation::default();
        state.note(actor, what, subject, "begins");
        state.step()
    }

    /// Whoever ends an operation lets the ledger judge what came of it.
    pub(crate) fn judge(&self, actor: usize, side: Side, judge: impl FnOnce(&mut Ledger, &Operation) -> Verdict) {
        let mut guard = self.state();
        let state = &mut *guard;
        let verdict = judge(&mut state.ledgers[side], &state.operations[actor]);
        state.judged(actor, verdict);
    }

    /// What must hold while an operation goes on.
    pub(crate) fn check_trust(&self, check: impl FnOnce(&Vouched, &mut Tally) -> Verdict) {
        let mut guard = self.state();
        let state = &mut *guard;
        let verdict = check(&state.vouched, &mut state.counts);
        state.record(verdict);
    }

    /// The same by what was signed, and by whom.
    pub(crate) fn judge_trust(&self, actor: usize, judge: impl FnOnce(&Vouched, &mut Tally) -> Verdict) {
        let mut guard = self.state();
        let state = &mut *guard;
        let verdict = judge(&state.vouched, &mut state.counts);
        state.judged(actor, verdict);
    }
}

impl State {
    /// How many effects there were.
    pub(crate) fn step(&self) -> u64 {
        self.ledgers[Side::Target].step
    }

    /// One more effect.
    pub(crate) fn tick(&mut self) {
        self.ledgers.0.iter_mut().for_each(|ledger| ledger.step += 1);
    }

    fn judged(&mut self, actor: usize, verdict: Verdict) {
        let how = verdict.as_ref().err().map_or("ends", |_| "ends WRONGLY");
        self.note(actor, "operation", String::new(), how);
        self.record(verdict);
    }

    pub(crate) fn note(&mut self, actor: usize, what: &'static str, subject: String, how: impl Into<String>) {
        let how = how.into();
        self.trace.push(Line {
            actor,
            what,
            subject,
            how,
        });
    }

    /// Only the first failure counts: what follows may be its consequence.
    pub(crate) fn record(&mut self, verdict: Verdict) {
        if let Err(what) = verdict {
            self.failure.get_or_insert(what);
        }
    }

    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    pub(crate) fn take_trace(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.trace)
    }

    pub(crate) fn count_request(&mut self, actor: usize) {
        self.operations[actor].requests += 1;
        if self.operations[actor].requests > MOST_REQUESTS {
            self.record(Err(format!("an operation of actor {actor} never ends")));
        }
    }

    /// Lets one of those who wait go on: who went on last, as often as `sticky` of 8 times, else anybody.
    pub(crate) fn grant(&mut self, last: usize, sticky: u64) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        let same = self.waiting.iter().position(|waiting| waiting.actor == last);
        let stays = self.dice.below(8) < sticky;
        let anybody = self.dice.below(self.waiting.len() as u64) as usize;
        let chosen = same.filter(|_| stays).unwrap_or(anybody);
        let Waiting { ticket, actor, waker } = self.waiting.remove(chosen);
        self.granted = Some(ticket);
        waker.wake();
        Some(actor)
    }
}

/// See [`World::turn`].
pub(crate) struct Turn<'a> {
    world: &'a World,
    actor: usize,
    ticket: Option<u64>,
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.state();
        let waker = context.waker().clone();
        let Some(ticket) = self.ticket else {
            state.tickets += 1;
            let (ticket, actor) = (state.tickets, self.actor);
            state.waiting.push(Waiting { ticket, actor, waker });
            drop(state);
            self.ticket = Some(ticket);
            return Poll::Pending;
        };
        if state.granted == Some(ticket) {
            state.granted = None;
            return Poll::Ready(());
        }
        if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.ticket == ticket) {
            waiting.waker = waker;
        }
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Who is killed waits no more; neither do the siblings of a request that failed.
        let mut state = self.world.state();
        state.waiting.retain(|waiting| Some(waiting.ticket) != self.ticket);
    }
}

/// Runs what never waits for anybody: a request to the store in memory.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
