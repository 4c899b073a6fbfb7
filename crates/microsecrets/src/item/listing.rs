//! What lies beyond a head, and which items and services there are.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Access, ItemError, check_not_ahead};
use crate::layout::{Item, ItemKind, SERVICES};
use crate::name::{Number, ServiceName, VersionName};
use crate::record::MAX_INLINE_FILE;
use crate::store::{Entry, ErrorKind, Get, List, Operation, Page, Store, StoreError};
use crate::time::Timestamp;

/// How many objects are asked about at once.
pub(super) const AT_ONCE: usize = 16;

/// How far a listed name may be ahead of the listing's clock before a *writer* refuses it, in seconds: the store's own
/// machines may differ by that much. A writer's tolerance is small, because its own name comes after the listed one.
pub(super) const WRITER_TOLERANCE: i64 = 5;

/// How many pages in a row may hold nothing: a store that goes on so for ever is no store.
const MAX_EMPTY_PAGES: usize = 100;

/// The pages of a listing, one after the other: each begins after the one before has ended.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    next: Option<List>,
    /// What the pages so far ended with.
    last: String,
    empty: usize,
}

impl<'a> Pages<'a> {
    pub(super) fn new(store: &'a dyn Store, request: List) -> Self {
        Self {
            store,
            next: Some(request),
            last: String::new(),
            empty: 0,
        }
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let page = self.store.list(request.clone()).await?;
        self.check(&request, &page)?;
        if page.continuation.is_some() {
            self.next = Some(List {
                continuation: page.continuation.clone(),
                ..request
            });
        }
        Ok(Some(page))
    }
}

impl Pages<'_> {
    fn check(&mut self, request: &List, page: &Page) -> Result<(), StoreError> {
        let bad = |what: &str| StoreError::new(Operation::List, &request.prefix, ErrorKind::Malformed(what.to_owned()));
        let keys = || page.entries.iter().map(|entry| &entry.key).chain(&page.groups);
        let Some(last) = keys().max() else {
            self.empty += 1;
            return match self.empty {
                MAX_EMPTY_PAGES => Err(bad("its pages are empty, and do not end")),
                _ => Ok(()),
            };
        };
        if keys().min().is_some_and(|first| *first <= self.last) {
            return Err(bad("a page does not begin after the one before"));
        }
        (self.last, self.empty) = (last.clone(), 0);
        Ok(())
    }
}

/// The first key of a listing, if there is one.
pub(super) async fn first_key(store: &dyn Store, request: List) -> Result<Option<String>, StoreError> {
    let mut pages = Pages::new(store, request.limit(1));
    while let Some(page) = pages.next().await? {
        if let Some(first) = page.entries.into_iter().next() {
            return Ok(Some(first.key));
        }
    }
    Ok(None)
}

/// A key of a listing of versions, and the name that it says, if it is in the grammar.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The name.
    pub name: Option<VersionName>,
    /// How many bytes its object has.
    pub size: u64,
    /// When the store wrote it.
    pub modified: Timestamp,
}

impl Listed {
    pub(super) fn new(item: &Item, entry: Entry) -> Self {
        Self {
            name: item.version_at(&entry.key),
            key: entry.key,
            size: entry.size,
            modified: entry.modified,
        }
    }

    /// The name, which must be in the grammar: 0.3.4 takes the greatest key whatever it is, so nobody else may quietly
    /// take another.
    pub(super) fn named(&self) -> Result<&VersionName, ItemError> {
        self.name
            .as_ref()
            .ok_or_else(|| ItemError::OutsideGrammar { key: self.key.clone() })
    }
}

/// Who wrote the bytes at a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WrittenBy {
    /// They carry our mark.
    Us,
    /// They carry none.
    Legacy,
    /// They are gone.
    Nobody,
}

/// What lies beyond a head.
pub(super) struct Beyond {
    /// The keys of versions, in order.
    pub(super) versions: Vec<Listed>,
    /// The store's clock in the listing of versions.
    pub(super) date: Timestamp,
    /// The greatest key of a log entry, if any.
    pub(super) log: Option<String>,
}

impl Access<'_> {
    /// Lists the versions after a name; all of them without one.
    pub(super) async fn versions_after(
        &self,
        name: Option<&VersionName>,
    ) -> Result<(Vec<Listed>, Timestamp), ItemError> {
        let mut request = List::prefix(self.item.versions_prefix());
        if let Some(name) = name {
            request = request.start_after(self.item.version_key(name));
        }
        let (mut versions, mut date) = (Vec::new(), Timestamp::now());
        let mut pages = Pages::new(self.store, request);
        while let Some(page) = pages.next().await? {
            date = page.date;
            versions.extend(page.entries.into_iter().map(|entry| Listed::new(self.item, entry)));
        }
        Ok((versions, date))
    }

    /// The greatest of the item's keys that satisfies a condition, with the clock of the listing. Constant memory.
    pub(super) async fn greatest_version(
        &self,
        matches: impl Fn(&Listed) -> bool,
    ) -> Result<(Option<Listed>, Timestamp), ItemError> {
        let mut pages = Pages::new(self.store, List::prefix(self.item.versions_prefix()));
        let (mut greatest, mut date) = (None, Timestamp::now());
        while let Some(page) = pages.next().await? {
            date = page.date;
            let last = page
                .entries
                .into_iter()
                .rev()
                .map(|entry| Listed::new(self.item, entry))
                .find(&matches);
            greatest = last.or(greatest);
        }
        Ok((greatest, date))
    }

    /// Looks at what lies beyond a head, or at everything without one.
    pub(super) async fn beyond(&self, name: Option<&VersionName>, number: Option<Number>) -> Result<Beyond, ItemError> {
        let mut log = List::prefix(self.item.log_prefix());
        if let Some(number) = number {
            log = log.start_after(self.item.log_key(number));
        }
        // One entry is enough to know.
        let (versions, log) = tokio::join!(self.versions_after(name), first_key(self.store, log));
        let (versions, date) = versions?;
        Ok(Beyond {
            versions,
            date,
            log: log?,
        })
    }

    /// Who wrote each of these, asked a few at a time, in their order.
    pub(super) async fn written_by(&self, versions: &[Listed]) -> Result<Vec<WrittenBy>, ItemError> {
        let asked = stream::iter(versions.iter().map(|listed| self.author(&listed.key)));
        asked.buffered(AT_ONCE).try_collect().await
    }

    pub(super) async fn author(&self, key: &str) -> Result<WrittenBy, ItemError> {
        match self.store.get(Get::attributes(key)).await {
            Ok(object) if object.mark.is_some() => Ok(WrittenBy::Us),
            Ok(_) => Ok(WrittenBy::Legacy),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(WrittenBy::Nobody),
            Err(error) => Err(error.into()),
        }
    }

    /// The greatest of 0.3.4's versions in what lies beyond a head, and the greatest evidence that the head is not the
    /// latest one of ours: marked bytes that are no large file, or a log entry.
    ///
    /// Names may be as far ahead as the head's, which is believed whatever the clock says: they run no further.
    pub(super) async fn sort_out(&self, head: Option<&VersionName>, beyond: &Beyond) -> Result<SortedOut, ItemError> {
        if let Some(last) = beyond.versions.last() {
            last.named()?;
        }
        let authors = self.written_by(&beyond.versions).await?;
        let mut sorted = SortedOut {
            legacy: None,
            ours: beyond.log.clone(),
        };
        for (listed, author) in beyond.versions.iter().zip(authors) {
            let Some(name) = &listed.name else { continue };
            if head.is_none_or(|head| name.second() > head.second()) {
                check_not_ahead(&listed.key, name, beyond.date, WRITER_TOLERANCE)?;
            }
            // Uncommitted bytes of a large file may lie anywhere: they are put before the commit.
            let may_be_uncommitted = self.item.is_file() && listed.size > MAX_INLINE_FILE;
            match author {
                WrittenBy::Us if !may_be_uncommitted => sorted.ours = Some(listed.key.clone()),
                WrittenBy::Legacy => sorted.legacy = Some(listed.clone()),
                WrittenBy::Us | WrittenBy::Nobody => {}
            }
        }
        Ok(sorted)
    }
}

/// See [`Access::sort_out`].
pub(super) struct SortedOut {
    pub(super) legacy: Option<Listed>,
    pub(super) ours: Option<String>,
}

/// The names of all services that have anything in a store.
pub async fn services(store: &dyn Store) -> Result<Vec<ServiceName>, StoreError> {
    let mut names = BTreeSet::new();
    let mut pages = Pages::new(store, List::prefix(SERVICES).delimiter('/'));
    while let Some(page) = pages.next().await? {
        names.extend(
            page.groups
                .iter()
                .filter_map(|group| last_segment(group, SERVICES)?.parse().ok()),
        );
    }
    Ok(names.into_iter().collect())
}

/// All items of a service, the environment first, whoever wrote them.
pub async fn items_of(store: &dyn Store, service: &ServiceName) -> Result<Vec<Item>, StoreError> {
    let mut kinds = BTreeSet::new();
    let base = format!("{SERVICES}{service}/");
    let environment = Item::environment(service.clone());
    for prefix in [environment.versions_prefix(), environment.head_key()] {
        let page = store.list(List::prefix(prefix).limit(1)).await?;
        if !page.entries.is_empty() {
            kinds.insert(ItemKind::Environment);
            break;
        }
    }
    for place in ["files/", "head/file/"] {
        let prefix = format!("{base}{place}");
        let mut pages = Pages::new(store, List::prefix(&prefix).delimiter('/'));
        while let Some(page) = pages.next().await? {
            let groups = page.groups.iter().filter_map(|group| last_segment(group, &prefix));
            let heads = page.entries.iter().filter_map(|entry| entry.key.strip_prefix(&prefix));
            let labels = groups
                .chain(heads.filter(|_| place == "head/file/"))
                .filter_map(|label| label.parse().ok());
            kinds.extend(labels.map(ItemKind::File));
        }
    }
    Ok(kinds.into_iter().map(|kind| Item::new(service.clone(), kind)).collect())
}

/// The items of a service that anything is left of, and the keys that belong to none of them.
pub async fn survey(store: &dyn Store, service: &ServiceName) -> Result<(Vec<Item>, Vec<String>), StoreError> {
    let (mut items, mut foreign) = (BTreeSet::new(), Vec::new());
    let mut pages = Pages::new(store, List::prefix(format!("{SERVICES}{service}/")));
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            match Item::at(service, &entry.key) {
                Some(item) => drop(items.insert(item)),
                None => foreign.push(entry.key),
            }
        }
    }
    Ok((items.into_iter().collect(), foreign))
}

/// `name` of a group `<prefix>name/`.
fn last_segment<'g>(group: &'g str, prefix: &str) -> Option<&'g str> {
    group.strip_prefix(prefix)?.strip_suffix('/')
}
