//! The history of an item: its records, newest first, and between them what 0.3.4 wrote.
//!
//! Numbers and names grow together (a new name comes after every name there is), so records and keys are merged like two
//! sorted lists, and a binary search over the log finds the record of a name.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::listing::{AT_ONCE, Listed, WrittenBy};
use super::newest::Newest;
use super::{Access, FetchedHead, ItemError, MAX_ATTEMPTS, is_live};
use crate::name::{Number, VersionName};
use crate::record::{Record, SignedRecord};

/// How many missing log entries in a row a search passes over. A crash leaves one out, until the next write.
const MAX_GAP: u64 = 100;

/// One version in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its number; 0.3.4's versions that were never adopted have none.
    pub number: Option<Number>,
    /// Its name; unknown when its record is missing.
    pub name: Option<VersionName>,
    /// How many bytes it has.
    pub size: Option<u64>,
    /// Its log entry; `None` for 0.3.4's, and when it is missing.
    pub entry: Option<SignedRecord>,
    /// Where its bytes are.
    pub bytes: Presence,
    /// What its signature is worth.
    pub signed: Signed,
}

impl Row {
    /// Its record; `None` for 0.3.4's, and when it is missing.
    pub fn record(&self) -> Option<&Record> {
        self.entry.as_ref().map(SignedRecord::record)
    }
}

/// What a record's signature is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Signed {
    /// There is one, and it is none of a pinned key.
    Bad,
    /// There is none.
    No,
    /// There is one, and no key is pinned to verify it with.
    NotVerified,
    /// It is a pinned key's.
    Verified,
}

/// Where a version's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Presence {
    /// It is the current version.
    Current,
    /// It is a deletion and has none.
    Deletion,
    /// At its key.
    Kept,
    /// They were pruned.
    Pruned,
    /// Its record is missing, so nobody knows.
    Unknown,
}

/// Where a page of a history ended: what comes next is older.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The greatest number that was not shown; 0 when all were.
    number: u64,
    /// What was shown last, if it has a name.
    name: Option<VersionName>,
}

/// A page of a history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The versions, newest first.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` after the last version.
    pub next: Option<Cursor>,
}

/// A row, and whether its writer must still be asked for: bytes that no record names are 0.3.4's, or were never
/// committed.
struct Candidate {
    row: Row,
    unknown: Option<Listed>,
}

impl Access<'_> {
    /// A page of the history, from a cursor on: at most `limit` versions.
    ///
    /// Costs a request for the head, one for each version, and one listing, whatever the length of the history; a few
    /// more listings where 0.3.4 wrote more than a thousand versions between two of ours.
    pub async fn history(&self, from: Option<Cursor>, limit: usize) -> Result<HistoryPage, ItemError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(page) = self.page(from.clone(), limit.max(1)).await? {
                return Ok(page);
            }
        }
        Err(self.changing())
    }

    /// One attempt; `None` when the first head came meanwhile.
    async fn page(&self, from: Option<Cursor>, limit: usize) -> Result<Option<HistoryPage>, ItemError> {
        let head = self.head_by_anybody().await?;
        let newest = head.as_ref().map_or(0, |head| head.record().number.get());
        let is_first = from.is_none();
        let from = from.unwrap_or(Cursor {
            number: newest,
            name: None,
        });
        let lowest = from.number.saturating_sub(limit as u64 - 1).max(1);
        let numbers: Vec<Number> = (lowest..=from.number).rev().filter_map(Number::new).collect();
        let entries = self.entries(head.as_ref(), &numbers).await?;
        let oldest = entries.iter().rev().flatten().next().filter(|_| lowest > 1);
        let keys = Newest::all(self)
            .from(oldest.map(|entry| &entry.record().name))
            .before(from.name.as_ref());
        let (candidates, next) = merged(newest, &from, numbers.into_iter().zip(entries), keys, limit).await?;
        let Some(mut rows) = self.only_versions(candidates, head.is_some()).await? else {
            return Ok(None);
        };
        for row in &mut rows {
            row.signed = row.entry.as_ref().map_or(Signed::No, |entry| self.signed(entry));
        }
        if rows.is_empty() && next.is_none() && is_first {
            return Err(self.absent());
        }
        Ok(Some(HistoryPage { rows, next }))
    }

    /// What a log entry's signature is worth.
    pub fn signed(&self, entry: &SignedRecord) -> Signed {
        match (entry.signature(), self.checks.check_signature(entry)) {
            (None, _) => Signed::No,
            (Some(_), Err(_)) => Signed::Bad,
            (Some(_), Ok(())) if self.checks.demand_signatures() => Signed::Verified,
            (Some(_), Ok(())) => Signed::NotVerified,
        }
    }

    /// The log entries of these numbers, asked for side by side, whoever signed them; the head's is at hand.
    pub(super) async fn entries(
        &self,
        head: Option<&FetchedHead>,
        numbers: &[Number],
    ) -> Result<Vec<Option<SignedRecord>>, ItemError> {
        let entry = async |number: Number| match head {
            Some(current) if current.record().number == number => Ok(Some(current.head.entry().clone())),
            _ => self.log_entry(number).await,
        };
        let entries = stream::iter(numbers.iter().map(|number| entry(*number)));
        entries.buffered(AT_ONCE).try_collect().await
    }

    /// Leaves out what was put and never committed. Without a head nobody knows what was, unless it has just come.
    async fn only_versions(&self, candidates: Vec<Candidate>, has_head: bool) -> Result<Option<Vec<Row>>, ItemError> {
        let unknown: Vec<Listed> = candidates
            .iter()
            .filter_map(|candidate| candidate.unknown.clone())
            .collect();
        let mut authors = self.written_by(&unknown).await?.into_iter();
        let mut rows = Vec::with_capacity(candidates.len());
        for Candidate { row, unknown } in candidates {
            let author = unknown.as_ref().and_then(|_| authors.next());
            match (author, unknown) {
                (None | Some(WrittenBy::Legacy), _) => rows.push(row),
                (Some(WrittenBy::Us), _) if !has_head && self.head_changed(None).await? => return Ok(None),
                (Some(WrittenBy::Us), Some(listed)) if !has_head => {
                    let item = self.item.clone();
                    return Err(ItemError::HeadMissing { item, key: listed.key });
                }
                _ => {}
            }
        }
        Ok(Some(rows))
    }

    /// The log entry of a name, by a binary search; `None` when none names it.
    pub(super) async fn entry_of(
        &self,
        head: &FetchedHead,
        name: &VersionName,
    ) -> Result<Option<SignedRecord>, ItemError> {
        let found = self.last_entry(head, |candidate| candidate <= name).await?;
        Ok(found.filter(|entry| entry.record().name == *name))
    }

    /// The last log entry whose name satisfies a condition that holds for all names up to some point and for none after.
    /// Where signatures are demanded, one that is not signed is as good as missing.
    pub(super) async fn last_entry(
        &self,
        head: &FetchedHead,
        holds: impl Fn(&VersionName) -> bool,
    ) -> Result<Option<SignedRecord>, ItemError> {
        if holds(&head.record().name) {
            return Ok(Some(head.head.entry().clone()));
        }
        let (mut low, mut high) = (1, head.record().number.get());
        let mut last = None;
        // What is below `low` holds or is unknown; what is from `high` on does not.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.nearest_entry(low, middle).await? {
                Some(entry) if holds(&entry.record().name) => {
                    low = middle + 1;
                    last = Some(entry);
                }
                Some(entry) => high = entry.record().number.get(),
                None => low = middle + 1,
            }
        }
        Ok(last)
    }

    /// The log entry of a number, or of the nearest one below it that has one, but not below `lowest`.
    async fn nearest_entry(&self, lowest: u64, number: u64) -> Result<Option<SignedRecord>, ItemError> {
        let lowest = lowest.max(number.saturating_sub(MAX_GAP));
        for number in (lowest..=number).rev().filter_map(Number::new) {
            let entry = self.log_entry(number).await?;
            if let Some(entry) = entry.filter(|entry| self.checks.check_signature(entry).is_ok()) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Merges records and keys, newest first, into at most `limit` rows; and says where the next page begins.
async fn merged(
    newest: u64,
    from: &Cursor,
    entries: impl Iterator<Item = (Number, Option<SignedRecord>)>,
    mut keys: Newest<'_>,
    limit: usize,
) -> Result<(Vec<Candidate>, Option<Cursor>), ItemError> {
    let mut entries = entries.peekable();
    let mut key = keys.next().await?;
    let mut candidates = Vec::new();
    let mut cursor = from.clone();
    while candidates.len() < limit {
        let recorded = entries
            .peek()
            .map(|(_, entry)| entry.as_ref().map(|entry| &entry.record().name));
        let candidate = match (recorded, key.take()) {
            (None, None) => break,
            // No record names it.
            (None, Some((name, listed))) => unrecorded(name, listed),
            (Some(Some(recorded)), Some((name, listed))) if name > *recorded => unrecorded(name, listed),
            (Some(_), next) => {
                let Some((number, entry)) = entries.next() else { break };
                cursor.number = number.get() - 1;
                let named = entry.as_ref().map(|entry| &entry.record().name);
                let has_bytes = next.as_ref().map(|(name, _)| name) == named;
                key = next.filter(|_| entry.is_none() || !has_bytes);
                recorded_row(number, entry, number.get() == newest, has_bytes)
            }
        };
        cursor.name = candidate.row.name.clone().or(cursor.name);
        if key.is_none() {
            key = keys.next().await?;
        }
        candidates.push(candidate);
    }
    let more = cursor.number > 0 || key.is_some();
    Ok((candidates, more.then_some(cursor)))
}

fn unrecorded(name: VersionName, listed: Listed) -> Candidate {
    let row = Row {
        number: None,
        name: Some(name),
        size: Some(listed.size),
        entry: None,
        bytes: Presence::Kept,
        signed: Signed::No,
    };
    Candidate {
        row,
        unknown: Some(listed),
    }
}

fn recorded_row(number: Number, entry: Option<SignedRecord>, is_current: bool, has_bytes: bool) -> Candidate {
    let record = entry.as_ref().map(SignedRecord::record);
    let bytes = match record {
        None => Presence::Unknown,
        Some(record) if !is_live(record) => Presence::Deletion,
        Some(_) if is_current => Presence::Current,
        Some(_) if has_bytes => Presence::Kept,
        Some(_) => Presence::Pruned,
    };
    let row = Row {
        number: Some(number),
        name: record.map(|record| record.name.clone()),
        size: record.map(|record| record.size),
        entry,
        bytes,
        signed: Signed::No,
    };
    Candidate { row, unknown: None }
}
