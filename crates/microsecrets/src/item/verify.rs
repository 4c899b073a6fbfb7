//! The chain of records: each names the one before it, so a version that was dropped, swapped, or put in is found.

use std::fmt;

use futures_util::{StreamExt as _, stream};

use super::listing::{AT_ONCE, first_key};
use super::{Access, ItemError, MAX_ATTEMPTS};
use crate::name::{Number, VersionName};
use crate::record::{Record, SignedRecord};
use crate::store::List;

/// A chain of records without a bad link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chain {
    /// The first number that was verified.
    pub first: Number,
    /// The current version's number.
    pub last: Number,
}

/// The first link of a chain that does not hold.
#[derive(Debug)]
#[non_exhaustive]
pub struct BadLink {
    /// The number of the version.
    pub number: Number,
    /// What is wrong with it.
    pub broken: Broken,
}

/// What is wrong with a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum Broken {
    /// It is in the log, but the head is an older one.
    Beyond,
    /// Its log entry cannot be believed, or read.
    Entry(Box<ItemError>),
    /// The head and the log say different things about the current version.
    Head,
    /// There is no log entry.
    Missing,
    /// Its name does not come after the name of the version before.
    Order,
    /// It does not name the version before it as its parent.
    Parent {
        /// What it names.
        found: Option<VersionName>,
        /// The version before it.
        wanted: Option<VersionName>,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &Option<VersionName>| name.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        match self {
            Self::Beyond => f.write_str("it is in the log, but the head is an older one"),
            Self::Entry(error) => error.fmt(f),
            Self::Head => f.write_str("the head and the log say different things about it"),
            Self::Missing => f.write_str("it has no log entry"),
            Self::Order => f.write_str("its name does not come after that of the version before"),
            Self::Parent { found, wanted } => {
                write!(
                    f,
                    "its parent is {}, but the version before is {}",
                    named(found),
                    named(wanted)
                )
            }
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Entry(error) => error.source(),
            _ => None,
        }
    }
}

impl Access<'_> {
    /// Verifies every record from a number on, up to the head, and that each names the one before it. Answers the first
    /// link that does not hold, the oldest.
    ///
    /// # Errors
    ///
    /// What stands in the way of the head; the head itself is the last link.
    pub async fn verify_chain(&self, first: Number) -> Result<Result<Chain, BadLink>, ItemError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(verified) = self.try_to_verify(first).await? {
                return Ok(verified);
            }
        }
        Err(self.changing())
    }

    /// One attempt; `None` when a newer version was committed meanwhile.
    async fn try_to_verify(&self, first: Number) -> Result<Option<Result<Chain, BadLink>>, ItemError> {
        let Some(head) = self.head().await? else {
            return Err(if self.checks.demand_signatures() {
                self.never_signed()
            } else {
                self.absent()
            });
        };
        let (current, last) = (head.head.entry(), head.record().number);
        if first > last {
            let item = self.item.clone();
            return Err(ItemError::NoSuchNumber { item, number: first });
        }
        // The one before the first tells its name, whoever signed it.
        let before = match Number::new(first.get() - 1) {
            Some(number) => self.log_entry(number).await.ok().flatten(),
            None => None,
        };
        let mut before = before.map(|entry| entry.record().name.clone());
        let numbers = (first.get()..=last.get()).filter_map(Number::new);
        let entries = stream::iter(numbers).map(|number| async move { (number, self.log_entry(number).await) });
        let mut entries = std::pin::pin!(entries.buffered(AT_ONCE));
        while let Some((number, entry)) = entries.next().await {
            // What lies before the first is not verified, and may be gone.
            let is_known = before.is_some() || number == Number::FIRST;
            match self.link(number, entry, current, before.as_ref(), is_known) {
                Ok(name) => before = Some(name),
                Err(broken) => return Ok(Some(Err(BadLink { number, broken }))),
            }
        }
        // A head that was put back is older than what the log knows.
        let beyond = List::prefix(self.item.log_prefix()).start_after(self.item.log_key(last));
        let beyond = first_key(self.store, beyond).await?;
        match beyond.and_then(|key| self.item.number_at(&key)) {
            None => Ok(Some(Ok(Chain { first, last }))),
            Some(_) if self.head_changed(Some(&head.etag)).await? => Ok(None),
            Some(number) => Ok(Some(Err(BadLink {
                number,
                broken: Broken::Beyond,
            }))),
        }
    }

    /// The name of a version whose record holds. The one before it may be unknown.
    fn link(
        &self,
        number: Number,
        entry: Result<Option<SignedRecord>, ItemError>,
        current: &SignedRecord,
        before: Option<&VersionName>,
        is_known: bool,
    ) -> Result<VersionName, Broken> {
        let is_current = number == current.record().number;
        let entry = match entry {
            Ok(Some(entry)) => entry,
            // A crash leaves the newest one out, until the next write.
            Ok(None) if is_current => current.clone(),
            Ok(None) => return Err(Broken::Missing),
            Err(error) => return Err(Broken::Entry(Box::new(error))),
        };
        let record = entry.record();
        if is_current && !is_put_again(record, current.record()) {
            return Err(Broken::Head);
        }
        // The head was verified already, and may have been signed again since: it says the same.
        if !is_current && let Err(distrust) = self.checks.check_signature(&entry) {
            let error = self.distrust(&self.item.log_key(number), distrust);
            return Err(Broken::Entry(Box::new(error)));
        }
        if is_known && record.parent.as_ref() != before {
            return Err(Broken::Parent {
                found: record.parent.clone(),
                wanted: before.cloned(),
            });
        }
        match before {
            Some(before) if record.name <= *before => Err(Broken::Order),
            _ => Ok(record.name.clone()),
        }
    }
}

/// Whether a head says what was committed: whoever puts it again ends a migration, or signs it, and changes nothing else.
pub(super) fn is_put_again(committed: &Record, head: &Record) -> bool {
    let put_again = Record {
        migration: head.migration,
        signer: head.signer,
        ..committed.clone()
    };
    put_again == *head
}
