//! Our readers, and what they may see: some version that was current while they read, whole, and nothing else; where
//! they pin keys, nothing that no pinned key signed.

use std::str::FromStr as _;

use microsecrets::checksum::Digest;
use microsecrets::item::*;
use microsecrets::record::{State, VersionRef};
use microsecrets::time::Timestamp;

use crate::actors::Actor;
use crate::believers::Demand;
use crate::common::nth;
use crate::ledger::{Ledger, Seen, Truth, Verdict, ensure, same};
use crate::world::{Operation, World};

/// A history ends: no run has more pages than this.
const MOST_PAGES: usize = 60;

/// What came of a read.
pub(crate) type Got = Result<(Facts, Truth), ItemError>;

impl Actor {
    /// One of the ways to read.
    pub(crate) async fn read(&self) {
        match self.below(8) {
            0..4 => self.read_current().await,
            4 => self.read_number().await,
            5 => self.read_named().await,
            6 => self.read_pinned().await,
            _ => self.resolve().await,
        }
    }

    pub(crate) async fn read_current(&self) {
        let scan = self.below(3) == 0;
        let demand = self.demand();
        let begin = self.begin("read", format!("scan: {scan}, {demand}")).await;
        let got = self.get(&demand, self.side, scan, &Selector::Current).await;
        self.remember(&got).await;
        self.judge(|ledger, operation| current(&self.world, ledger, operation, (begin, scan), &demand, &got));
    }

    async fn read_number(&self) {
        let current = self.world.state().ledgers[self.side].current();
        let number = 1 + self.below(current + 2);
        let demand = self.demand();
        let begin = self.begin("read", format!("{number}, {demand}")).await;
        let committed = self.world.state().ledgers[self.side].current();
        let got = self
            .get(&demand, self.side, false, &Selector::Number(nth(number)))
            .await;
        self.judge(|ledger, operation| match got {
            Err(ItemError::NoSuchNumber { .. }) => ensure(number > committed, || format!("number {number} is gone")),
            got => numbered(&self.world, ledger, operation, begin, &demand, number, &got),
        });
    }

    /// Reads the other item's current version, or now and then an older one, to publish it here.
    pub(crate) async fn read_to_promote(&self, begin: u64) -> Option<(Truth, VersionRef)> {
        let (side, demand) = (self.side.other(), self.full_demand());
        let known = self.world.state().ledgers[side].current();
        let number = (known > 0 && self.below(4) == 0).then(|| 1 + self.below(known));
        let selector = number.map_or(Selector::Current, |number| Selector::Number(nth(number)));
        self.world.state().operations[self.index].promotes = true;
        let got = self.get(&demand, side, false, &selector).await;
        self.world.state().operations[self.index].promotes = false;
        if !self.world.theme.attacked {
            self.world.judge(self.index, side, |ledger, operation| match number {
                Some(number) => numbered(&self.world, ledger, operation, begin, &demand, number, &got),
                None => current(&self.world, ledger, operation, (begin, false), &demand, &got),
            });
        }
        let (facts, truth) = got.ok()?;
        let version = facts
            .number()
            .map_or_else(|| VersionRef::Name(facts.name.clone()), VersionRef::Number);
        Some((truth, version))
    }

    /// Reads a committed version by its name, or by its checksum and nothing else.
    async fn read_named(&self) {
        let Some((number, name)) = self.any_version() else {
            return;
        };
        let begin = self.begin("read", name.to_string()).await;
        let selector = match self.below(2) {
            0 => Selector::Name(name),
            _ => Selector::Digest(Digest::Sha256(name.checksum())),
        };
        let demand = self.full_demand();
        let got = self.get(&demand, self.side, false, &selector).await;
        self.judge(|ledger, operation| match got {
            Ok((_, truth)) => {
                let right = ledger.version(number).is_some_and(|version| version.truth == truth);
                ensure(right, || format!("number {number} has other content by its name"))
            }
            Err(ItemError::Absent { .. }) => {
                ensure(ledger.current() == 0, || "it is there, and is not found".to_owned())
            }
            Err(error) => gone(&self.world, ledger, operation, begin, &demand, number, &error),
        });
    }

    /// Reads the current version, if it is the one that is pinned.
    async fn read_pinned(&self) {
        let Some((number, name)) = self.any_version() else {
            return;
        };
        let begin = self.begin("read pinned", name.to_string()).await;
        let pin = Selector::CurrentWith(Digest::Sha256(name.checksum()));
        let demand = self.full_demand();
        let got = self.get(&demand, self.side, false, &pin).await;
        self.judge(|ledger, operation| match got {
            Ok((facts, truth)) => {
                ensure(facts.name.checksum() == name.checksum(), || {
                    "a pin is not obeyed".to_owned()
                })?;
                let seen = seen(ledger, &facts, &truth)?;
                ensure(ledger.was_visible(begin, false, &seen), || {
                    format!("{seen:?} was not current")
                })
            }
            Err(ItemError::PinMismatch { .. }) => {
                let stayed = ledger.current() == number && ledger.commits_since(begin) == 0;
                let stayed = stayed && !ledger.versions.iter().any(|version| version.record.migration);
                ensure(!stayed, || format!("number {number} is current and pinned"))
            }
            Err(error) => gone(&self.world, ledger, operation, begin, &demand, number, &error),
        });
    }

    fn any_version(&self) -> Option<(u64, microsecrets::name::VersionName)> {
        let state = &mut *self.world.state();
        let records = state.ledgers[self.side].versions.iter().map(|version| &version.record);
        let live: Vec<_> = records.filter(|record| record.state == State::Live).collect();
        if live.is_empty() {
            return None;
        }
        let record = state.dice.one_of(&live);
        Some((record.number.get(), record.name.clone()))
    }

    /// Finds a version as a person says it, and reads that.
    async fn resolve(&self) {
        let now = self.world.memory.now();
        let said = match self.below(3) {
            0 => VersionSpec::Previous,
            1 => VersionSpec::At(Timestamp::from_unix(now - self.below(4) as i64).unwrap()),
            _ => match self.any_version() {
                Some((_, name)) => {
                    VersionSpec::from_str(&format!("sha:{}", &name.checksum().to_string()[..16])).unwrap()
                }
                None => VersionSpec::Previous,
            },
        };
        let begin = self.begin("resolve", said.to_string()).await;
        let before = self.world.state().ledgers[self.side].current();
        let selector = match self.access().resolve(&said).await {
            Ok(selector) => selector,
            Err(error) => return self.judge(|ledger, operation| unresolved(ledger, operation, &said, before, &error)),
        };
        let end = self.world.state().ledgers[self.side].current();
        self.judge(|ledger, _| resolved(ledger, &said, &selector, before, end));
        let Selector::Number(number) = selector else { return };
        let demand = self.full_demand();
        let got = self.get(&demand, self.side, false, &selector).await;
        self.judge(|ledger, operation| numbered(&self.world, ledger, operation, begin, &demand, number.get(), &got));
    }

    /// Reads a history, page by page.
    pub(crate) async fn history(&self) {
        let begin = self.begin("history", String::new()).await;
        let limit = *self.world.state().dice.one_of(&[1, 2, 20]);
        let demand = self.full_demand();
        let (mut rows, mut from) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = match self.access().history(from, limit).await {
                Ok(page) => page,
                Err(error) => {
                    return self
                        .judge(|ledger, operation| no_history(&self.world, ledger, operation, begin, &demand, &error));
                }
            };
            rows.extend(page.rows);
            from = page.next;
            if from.is_none() {
                self.check_rows(&rows);
                return self.judge(|ledger, _| match self.world.theme.attacked {
                    true => Ok(()),
                    false => told(ledger, &rows),
                });
            }
        }
        self.judge(|_, _| Err("a history does not end".to_owned()));
    }
}

/// Which version was read; its bytes must be the ones that were committed, or that 0.3.4 wrote.
fn seen(ledger: &Ledger, facts: &Facts, truth: &Truth) -> Result<Seen, String> {
    let Some(entry) = &facts.entry else {
        let legacy = ledger.legacy.get(&facts.key);
        ensure(legacy.is_some_and(|legacy| legacy.truth == *truth), || {
            format!("{} was read, and 0.3.4 never wrote it so", facts.key)
        })?;
        return Ok(Seen::Legacy(facts.key.clone()));
    };
    let number = entry.record().number.get();
    let version = ledger.version(number);
    let right = version.is_some_and(|version| same(&version.record, entry.record()) && version.truth == *truth);
    ensure(right, || {
        format!("number {number} was read, and is not what was committed")
    })?;
    Ok(Seen::Number(number))
}

/// What was current at some moment since `begin`.
fn current(
    world: &World,
    ledger: &Ledger,
    operation: &Operation,
    (begin, scan): (u64, bool),
    demand: &Demand,
    got: &Got,
) -> Verdict {
    let seen = match got {
        Ok((facts, truth)) => seen(ledger, facts, truth)?,
        Err(ItemError::Absent { .. }) => Seen::Absent,
        Err(ItemError::Deleted { number, .. }) => Seen::Deleted(number.get()),
        Err(error) => return excused(world, ledger, operation, begin, demand, error),
    };
    ensure(ledger.was_visible(begin, scan, &seen), || {
        format!("{seen:?} was read, and was not current since step {begin}")
    })
}

/// Whether there was a reason for a read of the current version to fail.
fn excused(
    world: &World,
    ledger: &Ledger,
    operation: &Operation,
    begin: u64,
    demand: &Demand,
    error: &ItemError,
) -> Verdict {
    let none_yet = || ledger.versions.first().is_none_or(|first| first.at > begin);
    let excused = match error {
        ItemError::Store(_) => operation.faults > 0,
        // The bytes of a large file whose first commit is still to come, or never came.
        ItemError::HeadMissing { .. } => world.large() && none_yet(),
        ItemError::Busy { .. } => ledger.commits_since(begin) > 2,
        ItemError::NeverSigned { .. } => world.theme.signed && none_yet(),
        // What 0.3.4 wrote is not signed; and who pins one of two keys does not believe the other.
        ItemError::Distrusted { key, source } if source.is_of_signature() => {
            ledger.was_visible(begin, true, &Seen::Legacy(key.clone())) || demand.may_miss_a_key(ledger)
        }
        _ => false,
    };
    ensure(excused, || format!("a read failed: {error}"))
}

/// The same for a version that may be gone.
fn gone(
    world: &World,
    ledger: &Ledger,
    operation: &Operation,
    begin: u64,
    demand: &Demand,
    number: u64,
    error: &ItemError,
) -> Verdict {
    match error {
        ItemError::NoSuchVersion { .. } | ItemError::Pruned { .. } => {
            let pruned = ledger.version(number).is_some_and(|version| version.pruned);
            ensure(pruned, || format!("number {number} is not found, and was never pruned"))
        }
        ItemError::Deleted { number, .. } => {
            // By name the head decides, also where 0.3.4 wrote something beyond it.
            let deleted = ledger
                .version(number.get())
                .is_some_and(|version| version.truth == Truth::Nothing);
            let current = number.get() == ledger.current() || ledger.commits_since(begin) > 0;
            ensure(deleted && current, || {
                format!("number {number} is no deletion, or not current")
            })
        }
        error => excused(world, ledger, operation, begin, demand, error),
    }
}

/// What a number means never changes.
fn numbered(
    world: &World,
    ledger: &Ledger,
    operation: &Operation,
    begin: u64,
    demand: &Demand,
    number: u64,
    got: &Got,
) -> Verdict {
    let deleted = ledger
        .version(number)
        .is_some_and(|version| version.truth == Truth::Nothing);
    match got {
        Ok((facts, truth)) => {
            let seen = seen(ledger, facts, truth)?;
            ensure(seen == Seen::Number(number), || {
                format!("number {number} was asked for, not {seen:?}")
            })
        }
        Err(ItemError::VersionDeleted { .. }) => ensure(deleted, || format!("number {number} is no deletion")),
        Err(ItemError::Deleted { .. }) => Err("a number was asked for, not the current version".to_owned()),
        Err(error) => gone(world, ledger, operation, begin, demand, number, error),
    }
}

/// A person's words mean a version that they meant at some moment between `before` and `end`.
fn resolved(ledger: &Ledger, said: &VersionSpec, selector: &Selector, before: u64, end: u64) -> Verdict {
    let legacy = !ledger.legacy.is_empty();
    let number = match selector {
        Selector::Number(number) => number.get(),
        Selector::Name(name) => {
            let known = ledger.legacy.keys().any(|key| key.contains(&name.to_string()));
            return ensure(known, || format!("{said} is {name}, which 0.3.4 never wrote"));
        }
        _ => return Err(format!("{said} is something else")),
    };
    let second = |number: u64| ledger.version(number).map(|version| version.record.name.second());
    let right = match said {
        VersionSpec::Previous if legacy => number <= end,
        VersionSpec::Previous => (before..=end).contains(&(number + 1)),
        VersionSpec::At(time) => {
            let last = (1..=end)
                .rev()
                .find(|number| second(*number).is_some_and(|second| second <= *time));
            let known = (1..=before)
                .rev()
                .find(|number| second(*number).is_some_and(|second| second <= *time));
            Some(number) <= last && Some(number) >= known
        }
        VersionSpec::Prefix(prefix) => {
            let checksum = |version: &crate::ledger::Version| version.record.checksum().to_string();
            ledger
                .version(number)
                .is_some_and(|version| checksum(version).starts_with(prefix))
        }
        _ => false,
    };
    ensure(right, || {
        format!("{said} is number {number}, between {before} and {end} versions")
    })
}

fn unresolved(ledger: &Ledger, operation: &Operation, said: &VersionSpec, before: u64, error: &ItemError) -> Verdict {
    let excused = match error {
        ItemError::Store(_) => operation.faults > 0,
        ItemError::NoSuchVersion { .. } | ItemError::NoPrevious { .. } | ItemError::NeverAdopted { .. } => match said {
            VersionSpec::Previous => before < 2,
            VersionSpec::At(time) => ledger
                .versions
                .first()
                .is_none_or(|first| first.record.name.second() > *time || before == 0),
            _ => ledger.versions.iter().any(|version| version.pruned),
        },
        ItemError::Absent { .. } => before == 0,
        _ => false,
    };
    ensure(excused, || format!("{said} is not found: {error}"))
}

/// A history tells every number once, as what was committed, and between them only what 0.3.4 wrote.
fn told(ledger: &Ledger, rows: &[Row]) -> Verdict {
    let mut numbers = Vec::new();
    for row in rows {
        let Some(number) = row.number else {
            let key = row
                .name
                .as_ref()
                .map(|name| ledger.item.version_key(name))
                .unwrap_or_default();
            ensure(ledger.legacy.contains_key(&key), || {
                format!("{key} is told, and 0.3.4 never wrote it")
            })?;
            continue;
        };
        let (record, version) = (row.record(), ledger.version(number.get()));
        let right = record
            .zip(version)
            .is_some_and(|(record, version)| same(record, &version.record));
        ensure(right, || format!("number {number} is told as something else"))?;
        numbers.push(number.get());
    }
    let newest = numbers.first().copied().unwrap_or(0);
    ensure(numbers.iter().copied().eq((1..=newest).rev()), || {
        format!("a history tells the numbers {numbers:?}")
    })
}

fn no_history(
    world: &World,
    ledger: &Ledger,
    operation: &Operation,
    begin: u64,
    demand: &Demand,
    error: &ItemError,
) -> Verdict {
    if world.theme.attacked {
        return Ok(());
    }
    match error {
        ItemError::Absent { .. } => ensure(ledger.was_visible(begin, false, &Seen::Absent), || {
            "a history is gone".to_owned()
        }),
        error => excused(world, ledger, operation, begin, demand, error),
    }
}
