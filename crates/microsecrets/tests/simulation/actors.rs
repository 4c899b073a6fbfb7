//! Those who act in a run: our writers, readers and prunes, and 0.3.4's. Each judges what came of its operation.

use std::sync::Arc;

use microsecrets::checksum::Checksum;
use microsecrets::item::*;
use microsecrets::name::{Number, VersionName};
use microsecrets::record::{ChangeKind, VersionRef};
use microsecrets::secret::SecretString;
use microsecrets::store::{Body, Get, List, Store};
use microsecrets::time::Timestamp;
use microsecrets::trust::{Checks, RequiredEncryption};

use crate::common::{NoKeys, file_content, legacy_document, nth, variables};
use crate::ledger::{Intent, Ledger, Truth, Verdict, Wanted, ensure, same};
use crate::store::Client;
use crate::world::{Operation, World};

/// 0.3.4's clocks may be so much ahead that writers refuse its versions, for a while.
const REFUSED_AHEAD: i64 = 9;

/// What an actor does.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Write(String),
    Finish,
    Prune,
    Read,
    History,
    LegacyWrite(String),
    LegacyRead,
}

pub(crate) struct Actor {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
    client: Client,
    checks: Checks,
}

impl Actor {
    pub(crate) fn new(world: &Arc<World>, index: usize) -> Self {
        Self {
            world: world.clone(),
            index,
            client: Client::new(world, index),
            checks: Checks::new(RequiredEncryption::Store),
        }
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            store: &self.client,
            checks: &self.checks,
            item: &self.world.item,
        }
    }

    pub(crate) fn below(&self, most: u64) -> u64 {
        self.world.state().dice.below(most)
    }

    pub(crate) async fn run(self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Write(id) => {
                    let (wanted, expected) = self.choose();
                    self.write(id, wanted, expected).await;
                }
                Task::Finish => self.finish().await,
                Task::Prune => self.prune().await,
                Task::Read => self.read().await,
                Task::History => self.history().await,
                Task::LegacyWrite(id) => self.legacy_write(&id).await,
                Task::LegacyRead => self.legacy_read().await,
            }
        }
    }

    pub(crate) fn judge(&self, judge: impl FnOnce(&mut Ledger, &Operation) -> Verdict) {
        self.world.judge(self.index, judge);
    }

    /// What a writer wants, and now and then over which number.
    fn choose(&self) -> (Wanted, Option<u64>) {
        let state = &mut *self.world.state();
        let (dice, current) = (&mut state.dice, state.ledger.current());
        let expected = dice.once_in(8).then_some(current);
        let wanted = match dice.below(10) {
            0 => Wanted::Deletion,
            1 | 2 if current > 0 => Wanted::Rollback(1 + dice.below(current)),
            3..5 => Wanted::Upload(one_content(&self.world, dice.below(4))),
            _ if self.world.item.is_file() => Wanted::Upload(one_content(&self.world, dice.below(4))),
            _ => {
                // Its own variable, and now and then one that others change, too.
                let own = (format!("V{}", self.index), Some(format!("{}", dice.below(1000))));
                let shared = ("SHARED".to_owned(), dice.once_in(2).then(|| dice.below(3).to_string()));
                let edits = if dice.once_in(4) { vec![own, shared] } else { vec![own] };
                Wanted::Edits(edits)
            }
        };
        (wanted, expected)
    }

    pub(crate) async fn write(&self, id: String, wanted: Wanted, expected: Option<u64>) {
        let intent = Intent {
            wanted: wanted.clone(),
            expected,
            refused: false,
        };
        self.world.state().ledger.intents.insert(id.clone(), intent);
        let begin = self.world.begin(self.index, "write", id.clone()).await;
        let outcome = match self.content(&wanted).await {
            Ok((kind, make)) => self.commit(&id, expected, kind, make).await,
            Err(error) => Err(error),
        };
        self.judge(|ledger, operation| match outcome {
            Ok(Outcome::Committed(committed)) => acknowledged(&self.world, ledger, &id, &committed),
            Ok(_) => refused(ledger, &id),
            Err(ItemError::Unknown { .. }) => ensure(operation.faults > 0, || {
                format!("nobody knows what came of {id}, though no answer was lost")
            }),
            Err(error) => {
                refused(ledger, &id)?;
                ensure(excused(ledger, operation, begin, &wanted, &error), || {
                    format!("{id} failed without need: {error}")
                })
            }
        });
    }

    /// How to make what is wanted; a rollback reads it first.
    async fn content(&self, wanted: &Wanted) -> Result<(ChangeKind, Make), ItemError> {
        Ok(match wanted {
            Wanted::Deletion => (ChangeKind::Delete, Make::Truth(Truth::Nothing)),
            Wanted::Upload(truth) => (ChangeKind::Upload, Make::Truth(truth.clone())),
            Wanted::Edits(edits) => {
                let secret =
                    |(name, value): &(String, Option<String>)| (name.clone(), value.clone().map(SecretString::new));
                let edits = edits.iter().map(secret).collect();
                (ChangeKind::Set, Make::Edits(Edits::new(self.world.item.clone(), edits)))
            }
            Wanted::Rollback(to) => {
                let version = Reader::new(self.access()).read(&Selector::Number(nth(*to))).await?;
                let kind = ChangeKind::Rollback(VersionRef::Number(nth(*to)));
                (kind, Make::Truth(truth_of(version.content).await?))
            }
        })
    }

    async fn commit(
        &self,
        id: &str,
        expected: Option<u64>,
        kind: ChangeKind,
        mut make: Make,
    ) -> Result<Outcome, ItemError> {
        let on_conflict = match make {
            Make::Edits(_) => OnConflict::Reapply,
            Make::Truth(_) => OnConflict::Report,
        };
        let decide = |base: &Base<'_>| {
            let current = base.record().map_or(0, |record| record.number.get());
            if expected.is_some_and(|expected| expected != current) {
                return Ok(Decision::Keep);
            }
            let content = match &mut make {
                Make::Truth(truth) => content_of(truth),
                Make::Edits(edits) => match edits.apply(base)? {
                    Applied::Variables(variables) => Content::Environment(variables),
                    _ => return Ok(Decision::Keep),
                },
            };
            let change = Change::new(kind.clone(), content).message(Some(id.to_owned()));
            Ok(Decision::Commit(change))
        };
        let user = format!("actor{}@test", self.index);
        Writer::new(self.access(), &NoKeys, "alias/none", &user)
            .write(on_conflict, decide)
            .await
    }

    async fn finish(&self) {
        let begin = self.world.begin(self.index, "finish_migration", String::new()).await;
        let writer = Writer::new(self.access(), &NoKeys, "alias/none", "finisher@test");
        let outcome = writer.finish_migration().await;
        self.judge(|ledger, operation| match outcome {
            Ok(Outcome::Committed(committed)) => {
                let record = committed.entry.record();
                let version = ledger.version(record.number.get());
                ensure(version.is_some_and(|version| same(&version.record, record)), || {
                    format!("a migration ended with number {}, which is another", record.number)
                })
            }
            Ok(_) => Ok(()),
            Err(ItemError::Unknown { .. }) => ensure(operation.faults > 0, || "unknown without a fault".to_owned()),
            Err(error) => ensure(excused(ledger, operation, begin, &Wanted::Deletion, &error), || {
                format!("the end of a migration failed: {error}")
            }),
        });
    }

    async fn prune(&self) {
        let begin = self.world.begin(self.index, "prune", String::new()).await;
        let policy = self.policy();
        self.world.state().operations[self.index].policy = Some(policy.clone());
        let result = self.prune_by(&policy).await;
        self.judge(|ledger, operation| match result {
            Ok(()) => Ok(()),
            Err(ItemError::Absent { .. }) => Ok(()),
            Err(error @ (ItemError::HeadMissing { .. } | ItemError::NeverAdopted { .. })) => {
                // Bytes before any commit are a large file's.
                let is_adopted = matches!(error, ItemError::NeverAdopted { .. });
                ensure(is_adopted || self.world.large, || format!("a prune failed: {error}"))?;
                ensure(ledger.versions.first().is_none_or(|first| first.at > begin), || {
                    "a prune does not find the head".to_owned()
                })
            }
            Err(ItemError::CurrentVersion { .. } | ItemError::NoSuchNumber { .. }) if policy.only.is_some() => Ok(()),
            Err(ItemError::Store(_)) if operation.faults > 0 => Ok(()),
            Err(error) => Err(format!("a prune failed: {error}")),
        });
    }

    async fn prune_by(&self, policy: &PrunePolicy) -> Result<(), ItemError> {
        for record in self.access().prunable(policy).await? {
            self.access().remove_bytes(&record).await?;
        }
        Ok(())
    }

    fn policy(&self) -> PrunePolicy {
        let now = self.world.memory.now();
        let state = &mut *self.world.state();
        let (dice, ledger) = (&mut state.dice, &state.ledger);
        let mut policy = PrunePolicy::default();
        match dice.below(5) {
            0 => policy.keep = Some(1 + dice.below(2)),
            1 => policy.older_than = Timestamp::from_unix(now - dice.below(3) as i64),
            2 => policy.only = Number::new(1 + dice.below(ledger.current() + 1)),
            3 => policy
                .protect
                .extend(ledger.versions.first().map(|first| first.record.checksum())),
            _ => {}
        }
        policy
    }

    /// 0.3.4 uploads: its clock names the version, and nothing is asked.
    async fn legacy_write(&self, id: &str) {
        self.world.begin(self.index, "0.3.4 writes", id.to_owned()).await;
        let skew = match self.below(32) {
            0 => REFUSED_AHEAD,
            ahead => ahead as i64 % 6 - 2,
        };
        let bytes = match self.world.item.is_file() {
            // Now and then the same bytes as ours.
            true if self.below(4) == 0 => b"a".to_vec(),
            true => id.as_bytes().to_vec(),
            false => legacy_document(&[("L", id)]),
        };
        // Whether it worked is for 0.3.4 to know.
        let _answer = self
            .client
            .legacy_put(legacy_key(&self.world, skew, &bytes), bytes)
            .await;
    }

    /// 0.3.4 reads: the greatest key, whatever it is. What we acknowledged it sees, too.
    pub(crate) async fn legacy_read(&self) {
        self.world.begin(self.index, "0.3.4 reads", String::new()).await;
        let complete = self.world.state().ledger.complete;
        let Ok(page) = self.client.list(List::prefix(self.world.item.versions_prefix())).await else {
            return;
        };
        if page.continuation.is_some() {
            return;
        }
        let greatest = page.entries.last().map(|entry| entry.key.clone());
        self.judge(|ledger, _| {
            let version = ledger
                .version(complete)
                .filter(|version| !version.pruned && version.truth != Truth::Nothing);
            let key = version.map(|version| self.world.item.version_key(&version.record.name));
            ensure(key.is_none() || greatest >= key, || {
                format!("0.3.4 does not see the acknowledged number {complete}")
            })
        });
        let Some(key) = greatest else { return };
        if let Ok(object) = self.client.get(Get::whole(&key, 2 << 20)).await
            && let Body::Whole(bytes) = object.body
        {
            let name = self.world.item.version_at(&key).unwrap();
            self.judge(|_, _| {
                ensure(Checksum::of(bytes.expose()) == name.checksum(), || {
                    format!("{key} is torn")
                })
            });
        }
    }
}

/// Where 0.3.4 puts bytes, by a clock that is so many seconds ahead.
pub(crate) fn legacy_key(world: &World, ahead: i64, bytes: &[u8]) -> String {
    let at = Timestamp::from_unix(world.memory.now() + ahead).unwrap();
    world
        .item
        .version_key(&VersionName::after(None, at, Checksum::of(bytes)).unwrap())
}

/// How the content of a change is made.
enum Make {
    Truth(Truth),
    Edits(Edits),
}

/// One of a few contents, so that they are equal now and then. Where files are large, half of these are.
pub(crate) fn one_content(world: &World, choice: u64) -> Truth {
    if !world.item.is_file() {
        let value = choice.to_string();
        return Truth::Variables([("U".to_owned(), value)].into());
    }
    Truth::Bytes(match choice {
        0 | 1 if world.large => crate::common::large(b'x' + choice as u8),
        0 => Vec::new(),
        1 => b"a".to_vec(),
        2 => b"b".to_vec(),
        _ => b"c".to_vec(),
    })
}

fn content_of(truth: &Truth) -> Content {
    match truth {
        Truth::Nothing => Content::Deletion,
        Truth::Bytes(bytes) => file_content(bytes),
        Truth::Variables(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            Content::Environment(variables(&pairs))
        }
    }
}

/// What a reader got.
pub(crate) async fn truth_of(content: VersionContent) -> Result<Truth, ItemError> {
    match content {
        VersionContent::Environment(document) => Ok(Truth::variables(&document.variables)),
        VersionContent::File(bytes) => Ok(Truth::Bytes(bytes.expose().to_vec())),
        VersionContent::Stream(mut stream) => {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(Truth::Bytes(bytes))
        }
        _ => unreachable!("there is no fourth kind of content"),
    }
}

/// An acknowledged write is in the chain, once, as what was acknowledged.
fn acknowledged(world: &World, ledger: &mut Ledger, id: &str, committed: &Committed) -> Verdict {
    let record = committed.entry.record();
    let number = record.number.get();
    let version = ledger.version(number);
    ensure(version.is_some_and(|version| same(&version.record, record)), || {
        format!("{id} is acknowledged as number {number}, which it is not")
    })?;
    ensure(record.message.as_deref() == Some(id), || {
        format!("{id} is told that it committed somebody else's number {number}")
    })?;
    let left_out = |note: &Note| matches!(note, Note::Unfinished { .. });
    if !committed.notes.iter().any(left_out) {
        ledger.complete = ledger.complete.max(number);
        ledger.check_raced(&world.item, number, &committed.notes)?;
    }
    Ok(())
}

/// A write that its writer calls a failure is not in the chain, and never will be.
fn refused(ledger: &mut Ledger, id: &str) -> Verdict {
    let message = Some(id);
    let committed = ledger
        .versions
        .iter()
        .find(|version| version.record.message.as_deref() == message);
    if let Some(intent) = ledger.intents.get_mut(id) {
        intent.refused = true;
    }
    match committed {
        Some(version) => Err(format!(
            "{id} is called a failure, and is number {}",
            version.record.number
        )),
        None => Ok(()),
    }
}

/// Whether there was a reason for a write to fail.
fn excused(ledger: &Ledger, operation: &Operation, begin: u64, wanted: &Wanted, error: &ItemError) -> bool {
    let is_ahead = |seconds: i64| seconds <= REFUSED_AHEAD;
    match (error, wanted) {
        (ItemError::Store(_), _) => operation.faults > 0,
        (ItemError::Conflict { by, .. }, _) => {
            let rival = ledger.version(by.number.get());
            rival.is_some_and(|rival| rival.at > begin)
        }
        (ItemError::Clash { .. }, _) => ledger.commits_since(begin) > 0,
        (ItemError::FutureDated { seconds, .. }, _) => is_ahead(*seconds),
        (ItemError::VersionDeleted { number, .. }, Wanted::Rollback(to)) => {
            number.get() == *to
                && ledger
                    .version(*to)
                    .is_some_and(|version| version.truth == Truth::Nothing)
        }
        (ItemError::Pruned { number, .. }, Wanted::Rollback(to)) => {
            number.get() == *to && ledger.version(*to).is_some_and(|version| version.pruned)
        }
        _ => false,
    }
}
