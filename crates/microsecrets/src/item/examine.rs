//! What is wrong with an item's objects: for `doctor`. Mending it is in `repair`.
//!
//! Looks at every object of an item, so it takes as many requests as there are objects. What it says holds for one head:
//! when that changes meanwhile it looks again, since a commit changes what the other objects mean.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};

use super::ailment::{Ailment, Examination};
use super::listing::{AT_ONCE, Listed, Pages, WRITER_TOLERANCE};
use super::verify::{Broken, is_put_again};
use super::{Access, FetchedHead, ItemError, MAX_ATTEMPTS, check_life, check_not_ahead, is_live};
use crate::layout::Item;
use crate::name::{Number, VersionName};
use crate::record::{ChangeKind, MAX_INLINE_FILE, Record, RecordError, SignedRecord};
use crate::store::{ETag, Encryption, ErrorKind, Get, List, Mark};
use crate::time::{MAX_AHEAD, Timestamp};
use crate::trust::{Distrust, RequiredEncryption};

/// What tells one state of a head's object from another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HeadState {
    Absent,
    Is(ETag),
    /// A file that no store wrote, so that nothing can be said of it.
    Unreadable,
}

/// A version's object, as far as its metadata tells.
pub(super) struct Examined {
    pub(super) listed: Listed,
    pub(super) mark: Option<Mark>,
    pub(super) encryption: Encryption,
}

/// All that was seen of an item while its head stayed the same.
pub(super) struct Look {
    pub(super) state: HeadState,
    /// When the store wrote the head.
    modified: Option<Timestamp>,
    pub(super) head: Option<FetchedHead>,
    /// Why readers refuse it.
    pub(super) refused: Option<ItemError>,
    /// The numbers that the log has an object of, whatever is in it.
    numbers: BTreeSet<Number>,
    /// The greatest key of the log.
    last_logged: Option<String>,
    /// The records of the log that can be believed, apart from their signatures, by number.
    pub(super) entries: Vec<SignedRecord>,
    /// The first number of those that passes for signed.
    signed_since: Option<Number>,
    versions: Vec<Examined>,
    date: Timestamp,
    required: RequiredEncryption,
    ailments: Vec<Ailment>,
}

impl Access<'_> {
    /// Everything that is wrong with the item.
    pub async fn examine(&self) -> Result<Examination, ItemError> {
        let mut look = self.look().await?;
        let mut ailments = std::mem::take(&mut look.ailments);
        look.judge_head(self, &mut ailments);
        look.judge_log(self, &mut ailments);
        look.judge_versions(self, &mut ailments);
        look.judge_legacy(&mut ailments);
        Ok(Examination {
            current: look.head.as_ref().map(|head| head.record().clone()),
            encryption: look.head.map(|head| head.encryption),
            records: look.entries.len(),
            signed_since: look.signed_since.filter(|_| self.checks.demand_signatures()),
            versions: look.versions.len(),
            ailments,
        })
    }

    /// Looks at everything, again and again until the head is the same in the end.
    pub(super) async fn look(&self) -> Result<Look, ItemError> {
        for _ in 0..MAX_ATTEMPTS {
            let (state, modified) = self.head_state().await?;
            let (head, refused) = match self.head_by_anybody().await {
                Ok(head) => (head, None),
                Err(error) if is_of_content(&error) => (None, Some(error)),
                Err(error) => return Err(error),
            };
            let is_same = match &head {
                Some(head) => state == HeadState::Is(head.etag.clone()),
                None => refused.is_some() || state == HeadState::Absent,
            };
            if !is_same {
                continue;
            }
            let mut look = Look {
                state,
                modified,
                head,
                refused,
                numbers: BTreeSet::new(),
                last_logged: None,
                entries: Vec::new(),
                signed_since: None,
                versions: Vec::new(),
                date: Timestamp::now(),
                required: self.checks.required_encryption().await?,
                ailments: Vec::new(),
            };
            self.look_at_log(&mut look).await?;
            self.look_at_versions(&mut look).await?;
            if self.head_state().await?.0 == look.state {
                return Ok(look);
            }
        }
        Err(self.changing())
    }

    /// The state of the head, and when the store wrote it.
    pub(super) async fn head_state(&self) -> Result<(HeadState, Option<Timestamp>), ItemError> {
        match self.store.get(Get::attributes(self.item.head_key())).await {
            Ok(object) => Ok((HeadState::Is(object.etag), Some(object.modified))),
            Err(error) if matches!(error.kind, ErrorKind::Damaged(_)) => Ok((HeadState::Unreadable, None)),
            Err(error) => self.absent_head(error).await.map(|()| (HeadState::Absent, None)),
        }
    }

    async fn look_at_log(&self, look: &mut Look) -> Result<(), ItemError> {
        let mut pages = Pages::new(self.store, List::prefix(self.item.log_prefix()));
        while let Some(page) = pages.next().await? {
            for entry in page.entries {
                look.last_logged = Some(entry.key.clone());
                match self.item.number_at(&entry.key) {
                    Some(number) => drop(look.numbers.insert(number)),
                    None => look.distrust(ItemError::OutsideGrammar { key: entry.key.clone() }, entry.key),
                }
            }
        }
        let numbers: Vec<Number> = look.numbers.iter().copied().collect();
        let fetched = stream::iter(numbers).map(|number| async move { (number, self.log_entry(number).await) });
        let mut fetched = std::pin::pin!(fetched.buffered(AT_ONCE));
        while let Some((number, entry)) = fetched.next().await {
            match entry {
                Ok(Some(entry)) => look.entries.push(entry),
                Ok(None) => drop(look.numbers.remove(&number)),
                Err(error) => look.not_read(error, self.item.log_key(number))?,
            }
        }
        Ok(())
    }

    async fn look_at_versions(&self, look: &mut Look) -> Result<(), ItemError> {
        let (versions, date) = self.versions_after(None).await?;
        look.date = date;
        let asked = async |listed: Listed| (self.store.get(Get::attributes(&listed.key)).await, listed);
        let asked = stream::iter(versions).map(asked);
        let mut asked = std::pin::pin!(asked.buffered(AT_ONCE));
        while let Some((object, listed)) = asked.next().await {
            match object {
                Ok(object) => look.versions.push(Examined {
                    mark: object.mark,
                    encryption: object.encryption,
                    listed,
                }),
                // It was pruned meanwhile.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => look.not_read(error.into(), listed.key)?,
            }
        }
        Ok(())
    }
}

impl Look {
    fn distrust(&mut self, source: ItemError, key: String) {
        let source = Box::new(source);
        self.ailments.push(Ailment::Distrusted { key, source });
    }

    /// An object that cannot be believed or read is an ailment; anything else ends the examination.
    fn not_read(&mut self, error: ItemError, key: String) -> Result<(), ItemError> {
        if is_of_content(&error) {
            self.distrust(error, key);
            return Ok(());
        }
        if !is_of_rights(&error) {
            return Err(error);
        }
        let known = self.ailments.iter_mut().find_map(|ailment| match ailment {
            Ailment::Unreadable { count, .. } => Some(count),
            _ => None,
        });
        match known {
            Some(count) => *count += 1,
            None => self.ailments.push(Ailment::Unreadable {
                key,
                count: 1,
                source: Box::new(error),
            }),
        }
        Ok(())
    }

    /// The greatest number that the log has an object of beyond the head.
    pub(super) fn logged_beyond(&self) -> Option<Number> {
        let current = self.head.as_ref()?.record().number;
        self.numbers.last().copied().filter(|last| *last > current)
    }

    fn judge_head(&mut self, access: &Access<'_>, ailments: &mut Vec<Ailment>) {
        let Some(head) = &self.head else {
            let source = self.refused.take().or_else(|| self.missing_head(access));
            ailments.extend(source.map(|source| Ailment::HeadRefused {
                source: Box::new(source),
            }));
            return;
        };
        let (record, number) = (head.record(), head.record().number);
        let key = access.item.head_key();
        if let Err(source) = access.checks.check_number(Some(number)) {
            let source = Box::new(access.distrust(&key, source));
            ailments.push(Ailment::Distrusted {
                key: key.clone(),
                source,
            });
        }
        if let Err(source) = access.checks.check_signature(head.head.entry()) {
            let source = Box::new(access.distrust(&key, source));
            ailments.push(Ailment::NotSigned { source });
        }
        let (is_over, is_told) = match check_life(record, self.date) {
            Err(_) => (true, true),
            Ok(note) => (false, note.is_some()),
        };
        let at = record.expires.filter(|_| is_told);
        ailments.extend(at.map(|at| Ailment::Expires { at, is_over }));
        let seconds = record.name.second().as_unix() - self.date.as_unix();
        if seconds > MAX_AHEAD {
            ailments.push(Ailment::HeadAhead { seconds });
        }
        if !self.numbers.contains(&number) {
            let what = "log entry";
            ailments.push(Ailment::Interrupted { number, what });
        }
        let has_bytes = self.version(&record.name).is_some();
        if is_live(record) && !has_bytes {
            ailments.push(match record.inline {
                true => Ailment::Interrupted { number, what: "bytes" },
                false => Ailment::BytesLost {
                    key: access.item.version_key(&record.name),
                },
            });
        }
        ailments.extend(self.beyond(access, record).map(|key| Ailment::HeadOutdated { key }));
    }

    /// Evidence that there was a head: without any, only 0.3.4 has written here.
    fn missing_head(&self, access: &Access<'_>) -> Option<ItemError> {
        let marked = || self.versions.iter().rev().find(|version| version.mark.is_some());
        let key = self.last_logged.clone();
        let key = key.or_else(|| marked().map(|version| version.listed.key.clone()))?;
        let item = access.item.clone();
        Some(ItemError::HeadMissing { item, key })
    }

    /// What makes writers refuse a head with this record: a log entry beyond it, or bytes that were put after their commit.
    pub(super) fn beyond(&self, access: &Access<'_>, record: &Record) -> Option<String> {
        let own = access.item.log_key(record.number);
        let put_after = |version: &&Examined| {
            let is_beyond = version.listed.name.as_ref().is_some_and(|name| *name > record.name);
            version.mark.is_some() && is_beyond && !is_large(access.item, &version.listed)
        };
        let logged = self.last_logged.clone().filter(|last| *last > own);
        logged.or_else(|| {
            let version = self.versions.iter().rev().find(put_after);
            version.map(|version| version.listed.key.clone())
        })
    }

    fn judge_log(&mut self, access: &Access<'_>, ailments: &mut Vec<Ailment>) {
        let head = self.head.as_ref().map(|head| head.head.entry());
        ailments.extend(self.gap());
        let mut not_signed: Vec<(Number, Distrust)> = Vec::new();
        for entry in &self.entries {
            let number = entry.record().number;
            // The head may have been signed again since.
            let current = head.filter(|head| head.record().number == number);
            match access.checks.check_signature(current.unwrap_or(entry)) {
                Ok(()) => self.signed_since = self.signed_since.or(Some(number)),
                // Signing began later.
                Err(Distrust::Unsigned) if self.signed_since.is_none() => {}
                // That is said of the head.
                Err(_) if current.is_some() => {}
                Err(distrust) => not_signed.push((number, distrust)),
            }
        }
        let (first, count) = (not_signed.first().map(|(first, _)| *first), not_signed.len());
        let ailment = first
            .zip(not_signed.pop())
            .map(|(first, (last, distrust))| Ailment::LogNotSigned {
                first,
                last,
                count,
                source: Box::new(access.distrust(&access.item.log_key(last), distrust)),
            });
        ailments.extend(ailment);
        self.judge_chain(ailments);
    }

    fn judge_chain(&self, ailments: &mut Vec<Ailment>) {
        let mut broken = |number, broken| ailments.push(Ailment::Inconsistent { number, broken });
        let links = self.entries.windows(2).map(|pair| (pair[0].record(), pair[1].record()));
        let head = self.head.as_ref().map(FetchedHead::record);
        let logged = head.and_then(|head| self.entry(head.number.get()));
        // A crash leaves the newest one out of the log.
        let last = head.filter(|_| logged.is_none());
        let last = last.and_then(|head| Some((self.entry(head.number.get() - 1)?.record(), head)));
        for (before, record) in links.chain(last) {
            if let Some(how) = link(before, record) {
                broken(record.number, how);
            }
        }
        if let (Some(head), Some(logged)) = (head, logged)
            && !is_put_again(logged.record(), head)
        {
            broken(head.number, Broken::Head);
        }
    }

    fn entry(&self, number: u64) -> Option<&SignedRecord> {
        let found = self
            .entries
            .binary_search_by_key(&number, |entry| entry.record().number.get());
        found.ok().map(|at| &self.entries[at])
    }

    fn version(&self, name: &VersionName) -> Option<&Examined> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.listed.name.as_ref() == Some(name))
    }

    /// The numbers below the head that the log has nothing of.
    fn gap(&self) -> Option<Ailment> {
        let current = self.head.as_ref()?.record().number;
        let below = self.numbers.range(..current);
        let count = current.get() - 1 - below.clone().count() as u64;
        // Numbers are in order, so the first that is not in its place is above a gap.
        let first = below.zip(1..).find(|(number, place)| number.get() != *place);
        let first = first.map_or_else(|| current.get() - count, |(_, place)| place);
        let first = Number::new(first).filter(|_| count > 0)?;
        Some(Ailment::LogGap { first, count })
    }

    fn judge_versions(&self, access: &Access<'_>, ailments: &mut Vec<Ailment>) {
        let head = self.head.as_ref().map(FetchedHead::record);
        let records = self.entries.iter().map(SignedRecord::record).chain(head);
        let records: BTreeMap<&VersionName, &Record> = records.map(|record| (&record.name, record)).collect();
        for version in &self.versions {
            let key = version.listed.key.clone();
            let record = version.listed.name.as_ref().and_then(|name| records.get(name));
            if let Err(source) = self.check_version(access, version, record.copied()) {
                let source = Box::new(source);
                ailments.push(Ailment::Distrusted { key, source });
            } else if version.mark.is_some() && record.is_none() {
                ailments.push(match self.is_orphan(access, version) {
                    true => Ailment::Orphan {
                        size: version.listed.size,
                        key,
                    },
                    false => Ailment::Unnamed {
                        key,
                        may_be_committed: is_large(access.item, &version.listed),
                    },
                });
            }
        }
    }

    /// Whether a version's object is encrypted as demanded, in the grammar, and what its record is about; without a
    /// record it may not be ahead of the clock.
    fn check_version(&self, access: &Access<'_>, version: &Examined, record: Option<&Record>) -> Result<(), ItemError> {
        let key = &version.listed.key;
        let distrust = |source| access.distrust(key, source);
        self.required.check(&version.encryption).map_err(distrust)?;
        let name = version.listed.named()?;
        match record {
            _ if version.mark == Some(Mark::Malformed) => Err(distrust(Distrust::OtherCommit)),
            Some(record) => is_of_record(record, version).map_err(distrust),
            None => check_not_ahead(key, name, self.date, MAX_AHEAD),
        }
    }

    /// Whether bytes that no record names can never be committed: they were there before the current version's writer
    /// looked around, so whoever put them began from an older head, and cannot win any more.
    ///
    /// A record that is missing could name them; and the head may have been put again since its commit, so that the time
    /// of its object alone does not say when that was.
    fn is_orphan(&self, access: &Access<'_>, version: &Examined) -> bool {
        let (Some(head), Some(modified)) = (&self.head, self.modified) else {
            return false;
        };
        let record = head.record();
        let known = self
            .entries
            .partition_point(|entry| entry.record().number < record.number);
        let is_older = version.listed.modified.plus(WRITER_TOLERANCE) < modified.min(record.time);
        is_large(access.item, &version.listed) && known as u64 == record.number.get() - 1 && is_older
    }

    fn judge_legacy(&self, ailments: &mut Vec<Ailment>) {
        let Some(record) = self.head.as_ref().map(FetchedHead::record) else {
            return;
        };
        let versions = self.versions.iter().rev().filter(|version| version.mark.is_none());
        let last = versions
            .filter_map(|version| Some((version.listed.name.as_ref()?, version)))
            .next();
        match (record.migration, last) {
            (true, last) => ailments.push(Ailment::Migration {
                last: last.map(|(name, _)| name.second()),
                now: self.date,
            }),
            (false, Some((name, version))) if *name > record.name => ailments.push(Ailment::Unseen {
                key: version.listed.key.clone(),
            }),
            _ => {}
        }
    }
}

/// Whether two records, one after the other, are a chain.
fn link(before: &Record, record: &Record) -> Option<Broken> {
    if record.number.get() != before.number.get() + 1 {
        return None;
    }
    if record.parent.as_ref() != Some(&before.name) {
        return Some(Broken::Parent {
            found: record.parent.clone(),
            wanted: Some(before.name.clone()),
        });
    }
    (record.name <= before.name).then_some(Broken::Order)
}

/// Whether an object is the one that a record is about, as far as its metadata tells.
pub(super) fn is_of_record(record: &Record, version: &Examined) -> Result<(), Distrust> {
    check_mark(record, version.mark)?;
    if version.listed.size != record.size {
        return Err(Distrust::Checksum {
            wanted: record.checksum().to_string(),
        });
    }
    Ok(())
}

/// Whether bytes carry the mark of the commit that a record is of. What carries none, 0.3.4 has put: before it was adopted;
/// or over ours, the same bytes of a file in the same second, and so under the same name. (No two environments of ours are
/// the same bytes.)
pub(super) fn check_mark(record: &Record, mark: Option<Mark>) -> Result<(), Distrust> {
    let is_its_own = match mark {
        None => record.kind == ChangeKind::Adopted || record.item.is_file(),
        mark => mark == Some(Mark::Ours(record.nonce)),
    };
    is_its_own.then_some(()).ok_or(Distrust::OtherCommit)
}

/// Whether bytes are put before their commit, because no head can carry them.
fn is_large(item: &Item, listed: &Listed) -> bool {
    item.is_file() && listed.size > MAX_INLINE_FILE
}

/// Whether an error is about what an object holds, and not about reaching it. What a newer program wrote is none of that:
/// it is not to be mended.
pub(super) fn is_of_content(error: &ItemError) -> bool {
    match error {
        ItemError::Record { source, .. } => !matches!(source, RecordError::Newer { .. }),
        ItemError::Store(error) => matches!(error.kind, ErrorKind::TooLarge { .. } | ErrorKind::Damaged(_)),
        ItemError::Distrusted { .. } | ItemError::Document { .. } => true,
        _ => false,
    }
}

/// Whether an error is about who may read an object.
fn is_of_rights(error: &ItemError) -> bool {
    matches!(error, ItemError::Store(error) if matches!(error.kind, ErrorKind::Denied(_) | ErrorKind::KeyUnusable | ErrorKind::KeyNotFound))
}
