//! The reference model: what the store was told, request by request. The sequence of successful swaps of the head is the
//! truth, and everything else is compared with it.

use std::collections::BTreeMap;

use microsecrets::document::{Document, Variables};
use microsecrets::item::{Note, PrunePolicy};
use microsecrets::layout::Item;
use microsecrets::name::{Nonce, VersionName};
use microsecrets::record::{ChangeKind, Head, MAX_INLINE_FILE, Record, SignedRecord, State, VersionRef};
use microsecrets::store::Mark;
use microsecrets::store::memory::Memory;

use crate::store::Sent;

/// What is wrong, if anything.
pub(crate) type Verdict = Result<(), String>;

/// What a version holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Truth {
    /// An environment's variables.
    Variables(BTreeMap<String, String>),
    /// A file's bytes.
    Bytes(Vec<u8>),
    /// Nothing: it is a deletion.
    Nothing,
}

/// What a writer wants.
#[derive(Clone)]
pub(crate) enum Wanted {
    Upload(Truth),
    Edits(Vec<(String, Option<String>)>),
    Deletion,
    /// The content of this number.
    Rollback(u64),
    /// The content of the other item's version, as it was read.
    Promotion(Truth, VersionRef),
}

/// A write, known by the message in its record.
#[derive(Clone)]
pub(crate) struct Intent {
    pub(crate) wanted: Wanted,
    /// The number that must be current before.
    pub(crate) expected: Option<u64>,
    /// Its writer was told that it is not and never will be committed.
    pub(crate) refused: bool,
}

/// A version that was committed.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) record: Record,
    pub(crate) truth: Truth,
    /// The bytes that its head carried.
    raw: Vec<u8>,
    /// When.
    pub(crate) at: u64,
    /// Whether a prune ever removed its bytes.
    pub(crate) pruned: bool,
    /// When its head was put again, to end a migration or for another signature, and by whom.
    pub(crate) again: Vec<(u64, usize)>,
}

/// What 0.3.4 wrote.
#[derive(Clone)]
pub(crate) struct LegacyWrite {
    pub(crate) truth: Truth,
    bytes: Vec<u8>,
    at: u64,
}

/// What a reader may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Absent,
    Deleted(u64),
    Legacy(String),
    Number(u64),
}

/// What readers see from one moment on.
#[derive(Clone)]
struct View {
    since: u64,
    by_default: Seen,
    scanning: Seen,
}

#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) item: Item,
    /// How many effects there were.
    pub(crate) step: u64,
    pub(crate) versions: Vec<Version>,
    pub(crate) intents: BTreeMap<String, Intent>,
    pub(crate) legacy: BTreeMap<String, LegacyWrite>,
    /// The greatest number that was acknowledged with nothing left out.
    pub(crate) complete: u64,
    views: Vec<View>,
    /// Commits whose large bytes were removed by who lost.
    given_up: Vec<Nonce>,
}

/// Something that must hold.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Truth {
    pub(crate) fn variables(variables: &Variables) -> Self {
        let pairs = variables.iter();
        Self::Variables(
            pairs
                .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
                .collect(),
        )
    }

    pub(crate) fn of(item: &Item, bytes: &[u8]) -> Result<Self, String> {
        if item.is_file() {
            return Ok(Self::Bytes(bytes.to_vec()));
        }
        let document = Document::parse(bytes).map_err(|error| error.to_string())?;
        Ok(Self::variables(&document.variables))
    }

    /// What edits make of it.
    pub(crate) fn edited(&self, edits: &[(String, Option<String>)]) -> Self {
        let mut variables = match self {
            Self::Variables(variables) => variables.clone(),
            Self::Bytes(_) | Self::Nothing => BTreeMap::new(),
        };
        for (name, value) in edits {
            match value {
                Some(value) => variables.insert(name.clone(), value.clone()),
                None => variables.remove(name),
            };
        }
        Self::Variables(variables)
    }
}

impl Ledger {
    pub(crate) fn new(item: Item) -> Self {
        Self {
            item,
            step: 0,
            versions: Vec::new(),
            intents: BTreeMap::new(),
            legacy: BTreeMap::new(),
            complete: 0,
            views: Vec::new(),
            given_up: Vec::new(),
        }
    }

    pub(crate) fn current(&self) -> u64 {
        self.versions.len() as u64
    }

    pub(crate) fn version(&self, number: u64) -> Option<&Version> {
        self.versions.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    pub(crate) fn named(&self, name: &VersionName) -> Option<&Version> {
        self.versions.iter().find(|version| version.record.name == *name)
    }

    /// Whether anybody committed since a moment.
    pub(crate) fn commits_since(&self, begin: u64) -> usize {
        self.versions.iter().filter(|version| version.at > begin).count()
    }

    /// A put by one of ours had its effect.
    pub(crate) fn wrote(&mut self, memory: &Memory, actor: usize, key: &str, sent: &Sent, replaced: bool) -> Verdict {
        if key == self.item.head_key() {
            return self.swapped(memory, actor, sent);
        }
        ensure(!replaced, || format!("{key} was there and is overwritten"))?;
        match self.item.number_at(key) {
            Some(number) => self.logged(number.get(), sent.bytes.expose()),
            None => self.put_bytes(key, sent),
        }
    }

    /// The head was swapped: a version is committed.
    fn swapped(&mut self, memory: &Memory, actor: usize, sent: &Sent) -> Verdict {
        let head = Head::parse(sent.bytes.expose()).map_err(|error| error.to_string())?;
        let record = head.record();
        let number = record.number.get();
        let last = self.versions.last();
        if last.is_some_and(|last| last.record.nonce == record.nonce) {
            return self.put_again(actor, &head);
        }
        ensure(number == self.current() + 1, || {
            format!("number {number} is committed after {}", self.current())
        })?;
        let parent = last.map(|last| &last.record);
        ensure(record.parent.as_ref() == parent.map(|parent| &parent.name), || {
            format!("number {number} has another parent than the version before it")
        })?;
        ensure(parent.is_none_or(|parent| record.name > parent.name), || {
            format!("the name of number {number} is not after the one before it")
        })?;
        let known = self.versions.iter().any(|version| version.record.nonce == record.nonce);
        ensure(!known && !self.given_up.contains(&record.nonce), || {
            format!("number {number} was committed before, or given up by its writer")
        })?;
        let migration = record.kind == ChangeKind::Adopted || parent.is_some_and(|parent| parent.migration);
        ensure(record.migration == migration, || {
            format!("number {number} begins or ends a migration")
        })?;
        let truth = self.content(memory, &head)?;
        self.check_intent(record, &truth)?;
        self.versions.push(Version {
            record: record.clone(),
            truth,
            raw: head.bytes().expose().to_vec(),
            at: self.step,
            pruned: false,
            again: Vec::new(),
        });
        self.look();
        Ok(())
    }

    /// The content of what is committed: in the head, or put before.
    pub(crate) fn content(&self, memory: &Memory, head: &Head) -> Result<Truth, String> {
        let (record, item) = (head.record(), &self.item);
        if record.state == State::Deleted {
            return Ok(Truth::Nothing);
        } else if record.inline {
            return Truth::of(item, head.bytes().expose());
        }
        let kept = memory.object(&item.version_key(&record.name));
        let kept = kept.ok_or_else(|| format!("number {} is committed without its bytes", record.number))?;
        ensure(kept.mark.is_none_or(|mark| mark == Mark::Ours(record.nonce)), || {
            format!("number {} shares its bytes with another writer", record.number)
        })?;
        Truth::of(item, &kept.bytes)
    }

    /// The end of a migration, or another signature: the same version, but for this.
    fn put_again(&mut self, actor: usize, head: &Head) -> Verdict {
        let step = self.step;
        let last = self.versions.last_mut().ok_or("put again, but never before")?;
        let found = head.record();
        let right = same(&last.record, found) && last.raw == head.bytes().expose();
        ensure(right && (last.record.migration || !found.migration), || {
            format!("number {} is put again as something else", found.number)
        })?;
        let is_new = last.record != *found;
        last.record = found.clone();
        if is_new {
            last.again.push((step, actor));
            self.look();
        }
        Ok(())
    }

    /// Whether a version is what its writer wanted, and wanted once.
    fn check_intent(&self, record: &Record, truth: &Truth) -> Verdict {
        let number = record.number;
        if record.kind == ChangeKind::Adopted {
            let legacy = self.legacy.get(&self.item.version_key(&record.name));
            return ensure(legacy.is_some_and(|legacy| legacy.truth == *truth), || {
                format!("number {number} is adopted, but 0.3.4 never wrote it")
            });
        }
        let message = record.message.clone().unwrap_or_default();
        let intent = self
            .intents
            .get(&message)
            .ok_or_else(|| format!("nobody wanted number {number}"))?;
        let twice = self
            .versions
            .iter()
            .any(|version| version.record.message == record.message);
        ensure(!twice, || {
            format!("{message} is committed twice, last as number {number}")
        })?;
        ensure(!intent.refused, || {
            format!("{message} was refused, and is committed as number {number}")
        })?;
        ensure(
            intent.expected.is_none_or(|expected| expected == self.current()),
            || format!("{message} is committed over another version than the expected one"),
        )?;
        let parent = self.versions.last().map_or(&Truth::Nothing, |last| &last.truth);
        let right = match &intent.wanted {
            Wanted::Upload(wanted) => truth == wanted,
            Wanted::Edits(edits) => *truth == parent.edited(edits),
            Wanted::Deletion => *truth == Truth::Nothing,
            Wanted::Rollback(to) => self.version(*to).is_some_and(|version| version.truth == *truth),
            Wanted::Promotion(wanted, source) => {
                let kind = matches!(&record.kind, ChangeKind::Promote(_, version) if version == source);
                kind && truth == wanted
            }
        };
        ensure(right, || {
            format!("number {number}, {message}, is not what was wanted: {parent:?} became {truth:?}")
        })
    }

    fn logged(&self, number: u64, bytes: &[u8]) -> Verdict {
        let entry = SignedRecord::parse(bytes).map_err(|error| error.to_string())?;
        let version = self.version(number);
        let committed = version.is_some_and(|version| same(&version.record, entry.record()));
        ensure(committed, || {
            format!("log entry {number} is not what was committed as {number}")
        })
    }

    /// Ours were put at a version's key: of what is committed, or of a large file.
    fn put_bytes(&mut self, key: &str, sent: &Sent) -> Verdict {
        let item = &self.item;
        let nonce = sent.mark.ok_or_else(|| format!("{key} is put without a mark"))?;
        let bytes = sent.bytes.expose();
        let committed = self
            .versions
            .iter_mut()
            .find(|version| version.record.nonce == nonce && version.record.inline);
        if let Some(version) = committed {
            return ensure(
                item.version_key(&version.record.name) == key && version.raw == bytes,
                || format!("{key} holds other bytes than the committed ones"),
            );
        }
        ensure(item.is_file() && bytes.len() as u64 > MAX_INLINE_FILE, || {
            format!("{key} is put and not committed")
        })
    }

    /// 0.3.4 wrote a version.
    pub(crate) fn legacy_wrote(&mut self, key: &str, bytes: &[u8]) {
        let Ok(truth) = Truth::of(&self.item, bytes) else {
            return;
        };
        let (bytes, at) = (bytes.to_vec(), self.step);
        // Written again it is still what it was.
        let write = LegacyWrite { truth, bytes, at };
        self.legacy.entry(key.to_owned()).or_insert(write);
        self.look();
    }

    /// An object is gone: removed by a prune that follows a policy, or by who lost.
    pub(crate) fn removed(&mut self, key: &str, mark: Option<Mark>, policy: Option<&PrunePolicy>) -> Verdict {
        let (current, name) = (self.current(), self.item.version_at(key));
        let version = self
            .versions
            .iter_mut()
            .find(|version| name.as_ref() == Some(&version.record.name));
        match (version, policy) {
            (Some(version), Some(policy)) => {
                let number = version.record.number.get();
                ensure(number < current, || {
                    format!("a prune removed the current version, {number}")
                })?;
                version.pruned = true;
                ensure(allows(policy, &version.record, current), || {
                    format!("a prune removed number {number}, which it promised to keep")
                })
            }
            (Some(version), None) => {
                let ours = mark == Some(Mark::Ours(version.record.nonce));
                let what = if ours { "committed" } else { "somebody else's" };
                Err(format!(
                    "who lost removed the {what} bytes of {}",
                    version.record.number
                ))
            }
            (None, Some(_)) => Err(format!("a prune removed {key}, which has no number")),
            (None, None) => match mark {
                Some(Mark::Ours(nonce)) => {
                    self.given_up.push(nonce);
                    Ok(())
                }
                _ => Err(format!("{key}, which 0.3.4 wrote, was removed")),
            },
        }
    }

    /// Remembers what readers see from now on.
    fn look(&mut self) {
        let item = &self.item;
        let last = self.versions.last().map(|last| &last.record);
        let greatest = self.legacy.keys().next_back();
        let beyond = greatest.filter(|key| last.is_none_or(|last| **key > item.version_key(&last.name)));
        let head = match last {
            None => Seen::Absent,
            Some(last) if last.state == State::Deleted => Seen::Deleted(last.number.get()),
            Some(last) => Seen::Number(last.number.get()),
        };
        let scanning = beyond.map_or_else(|| head.clone(), |key| Seen::Legacy(key.clone()));
        let migration = last.is_none_or(|last| last.migration);
        let by_default = if migration { scanning.clone() } else { head };
        let since = self.step;
        self.views.push(View {
            since,
            by_default,
            scanning,
        });
    }

    /// Whether something was to be seen at some moment since `begin`.
    pub(crate) fn was_visible(&self, begin: u64, scan: bool, seen: &Seen) -> bool {
        let first = self.views.partition_point(|view| view.since <= begin);
        let before = first.checked_sub(1).map(|before| &self.views[before]);
        let absent = before.is_none() && *seen == Seen::Absent;
        let mut views = before.into_iter().chain(&self.views[first..]);
        absent
            || views.any(|view| {
                *seen
                    == if scan {
                        view.scanning.clone()
                    } else {
                        view.by_default.clone()
                    }
            })
    }

    /// Every write of 0.3.4 that came before a commit and after its base is told to the one who committed.
    pub(crate) fn check_raced(&self, number: u64, notes: &[Note]) -> Verdict {
        let Some(version) = self.version(number) else {
            return Ok(());
        };
        let base = self.version(number - 1).map(|base| &base.record.name);
        self.check_told(number, base, version.at, notes)
    }

    /// The same of whoever put the head of a version again: a commit over the version that it keeps.
    pub(crate) fn check_raced_again(&self, number: u64, actor: usize, notes: &[Note]) -> Verdict {
        let Some(version) = self.version(number) else {
            return Ok(());
        };
        let own = version.again.iter().rev().find(|(_, by)| *by == actor);
        let at = own.map_or(0, |(at, _)| *at);
        self.check_told(number, Some(&version.record.name), at, notes)
    }

    /// What 0.3.4 wrote beyond the head, the last of it.
    pub(crate) fn legacy_beyond(&self) -> Option<String> {
        let greatest = self.legacy.keys().next_back()?;
        (!self.is_adopted_or_passed(greatest)).then(|| greatest.clone())
    }

    /// Whether the head is what 0.3.4 wrote there, or comes after it.
    pub(crate) fn is_adopted_or_passed(&self, key: &str) -> bool {
        let last = self.versions.last();
        last.is_some_and(|last| self.item.version_key(&last.record.name).as_str() >= key)
    }

    fn check_told(&self, number: u64, base: Option<&VersionName>, at: u64, notes: &[Note]) -> Verdict {
        let base = base.map(|base| self.item.version_key(base));
        let own = self
            .version(number)
            .map(|version| self.item.version_key(&version.record.name));
        for (key, legacy) in &self.legacy {
            let passed_over = legacy.at < at && base.as_ref().is_none_or(|base| key > base);
            let told = || {
                notes
                    .iter()
                    .any(|note| matches!(note, Note::RacedBy { key: told } if told == key))
            };
            // Somebody else has made it a version, and its bytes were pruned before this one looked: it is in the history.
            let pruned = || {
                let mut versions = self.versions.iter();
                versions.any(|version| version.pruned && self.item.version_key(&version.record.name) == *key)
            };
            ensure(!passed_over || own.as_ref() == Some(key) || told() || pruned(), || {
                format!("number {number} passed over {key} in silence")
            })?;
        }
        Ok(())
    }

    /// What was promoted is what the source's version holds that is named.
    pub(crate) fn check_promoted(&self, source: &Self) -> Verdict {
        for version in &self.versions {
            let ChangeKind::Promote(service, named) = &version.record.kind else {
                continue;
            };
            let truth = match named {
                VersionRef::Number(number) => source.version(number.get()).map(|version| &version.truth),
                VersionRef::Name(name) => {
                    let legacy = source.legacy.get(&source.item.version_key(name));
                    legacy.map(|legacy| &legacy.truth)
                }
            };
            ensure(
                service == source.item.service() && truth == Some(&version.truth),
                || format!("number {} is no {}", version.record.number, version.record.kind),
            )?;
        }
        Ok(())
    }

    /// What the bucket must hold in the end: what 0.3.4 wrote, every record, and the bytes of what was not pruned.
    pub(crate) fn check_bucket(&self, memory: &Memory) -> Verdict {
        let item = &self.item;
        for (key, legacy) in &self.legacy {
            let name = item.version_at(key);
            let version = name.as_ref().and_then(|name| self.named(name));
            let pruned = version.is_some_and(|version| version.pruned);
            let kept = memory.object(key);
            ensure(pruned || kept.is_some_and(|kept| kept.bytes == legacy.bytes), || {
                format!("{key}, which 0.3.4 wrote, is gone or changed")
            })?;
        }
        for version in &self.versions {
            let record = &version.record;
            let entry = memory.object(&item.log_key(record.number));
            let entry = entry.and_then(|kept| SignedRecord::parse(&kept.bytes).ok());
            ensure(entry.is_some_and(|entry| same(record, entry.record())), || {
                format!("the log entry of number {} is missing or wrong", record.number)
            })?;
            let kept = memory.object(&item.version_key(&record.name));
            let kept = kept.map(|kept| Truth::of(item, &kept.bytes));
            let right = match kept {
                _ if record.state == State::Deleted => kept.is_none(),
                None => version.pruned,
                Some(truth) => truth.as_ref() == Ok(&version.truth),
            };
            ensure(right, || {
                format!("the bytes of number {} are missing or wrong", record.number)
            })?;
        }
        Ok(())
    }
}

/// Whether two records are of one version: only the end of a migration and another signer make them differ.
pub(crate) fn same(one: &Record, other: &Record) -> bool {
    let other = Record {
        migration: one.migration,
        signer: one.signer,
        ..other.clone()
    };
    *one == other
}

/// Whether a policy lets a version go, below a current one that can only have grown since the prune looked.
fn allows(policy: &PrunePolicy, record: &Record, current: u64) -> bool {
    let number = record.number.get();
    let kept = policy.keep.unwrap_or(1).max(1);
    let only = policy
        .only
        .map_or(number + kept <= current, |only| only == record.number);
    let older = policy.older_than.is_none_or(|then| record.name.second() < then);
    only && older && !policy.protect.contains(&record.checksum())
}
