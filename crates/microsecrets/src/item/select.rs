//! How a version is said: a number, `current`, `previous`, a checksum or its beginning, a name, or a time.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::listing::{Listed, Pages, WrittenBy};
use super::newest::Newest;
use super::{Access, FetchedHead, ItemError, Selector, is_live};
use crate::checksum::Checksum;
use crate::name::{Number, VersionName};
use crate::record::SignedRecord;
use crate::store::List;
use crate::time::Timestamp;

/// How many versions an error about an ambiguous one lists.
const MAX_CANDIDATES: usize = 10;

/// A version, as a person says it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum VersionSpec {
    /// The one that was current at a time: `@2026-11-23T08:00Z`.
    At(Timestamp),
    /// The one in the head: `current`.
    Current,
    /// The one with this name.
    Name(VersionName),
    /// The one with this number.
    Number(Number),
    /// The one whose checksum begins so: `sha:` and at least 8 hex digits, or all 64 of them.
    Prefix(String),
    /// The one before the current one: `previous`.
    Previous,
}

impl FromStr for VersionSpec {
    type Err = VersionSpecError;

    fn from_str(text: &str) -> Result<Self, VersionSpecError> {
        if let Some(time) = text.strip_prefix('@') {
            let time = Timestamp::parse_loosely(time).ok_or(VersionSpecError::Time)?;
            return Ok(Self::At(time));
        }
        if let Some(prefix) = text.strip_prefix("sha:") {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let is_prefix = (8..=64).contains(&prefix.len()) && prefix.bytes().all(is_hex);
            return is_prefix
                .then(|| Self::Prefix(prefix.to_owned()))
                .ok_or(VersionSpecError::Prefix);
        }
        match text {
            "current" => return Ok(Self::Current),
            "previous" => return Ok(Self::Previous),
            _ => {}
        }
        if let Ok(checksum) = text.parse::<Checksum>() {
            return Ok(Self::Prefix(checksum.to_string()));
        }
        if let Ok(name) = text.strip_suffix(".json").unwrap_or(text).parse() {
            return Ok(Self::Name(name));
        }
        let number = text.parse().ok().and_then(Number::new);
        number.map(Self::Number).ok_or(VersionSpecError::Unknown)
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "@{time}"),
            Self::Current => f.write_str("current"),
            Self::Name(name) => name.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Prefix(prefix) => write!(f, "sha:{prefix}"),
            Self::Previous => f.write_str("previous"),
        }
    }
}

/// Why a text says no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionSpecError {
    /// `sha:` without 8 to 64 lower-case hex digits.
    #[error("sha: needs 8 to 64 lower-case hex digits")]
    Prefix,
    /// `@` without a time.
    #[error("@ needs a time in UTC, like 2026-11-23T08:00Z")]
    Time,
    /// Nothing that says a version.
    #[error("a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME")]
    Unknown,
}

impl Access<'_> {
    /// Finds the version that is meant, by its number where it has one. `current` and a number cost no request.
    ///
    /// # Errors
    ///
    /// [`ItemError::Ambiguous`] and [`ItemError::NoSuchVersion`]; those of the store.
    pub async fn resolve(&self, spec: &VersionSpec) -> Result<Selector, ItemError> {
        match spec {
            VersionSpec::Current => Ok(Selector::Current),
            VersionSpec::Number(number) => Ok(Selector::Number(*number)),
            VersionSpec::Name(name) => self.committed(self.head().await?.as_ref(), name).await,
            VersionSpec::Previous => self.previous().await,
            VersionSpec::Prefix(prefix) => self.with_prefix(prefix).await,
            VersionSpec::At(time) => self.current_at(*time).await,
        }
    }

    fn no_such(&self, what: String) -> ItemError {
        let item = self.item.clone();
        ItemError::NoSuchVersion { item, what }
    }

    /// A version by its number, if a record names it; else by its name, if 0.3.4 wrote it. Bytes that were put and never
    /// committed are no version.
    async fn committed(&self, head: Option<&FetchedHead>, name: &VersionName) -> Result<Selector, ItemError> {
        if let Some(head) = head
            && let Some(entry) = self.entry_of(head, name).await?
        {
            return Ok(Selector::Number(entry.record().number));
        }
        match self.author(&self.item.version_key(name)).await? {
            WrittenBy::Legacy => Ok(Selector::Name(name.clone())),
            WrittenBy::Us | WrittenBy::Nobody => Err(self.no_such(format!("the name {name}"))),
        }
    }

    /// The version before the current one, which in a migration may be one of 0.3.4 beyond the head.
    async fn previous(&self) -> Result<Selector, ItemError> {
        let head = self.head().await?;
        let record = head.as_ref().map(FetchedHead::record);
        let mut beyond = Newest::all(self).from(record.map(|record| &record.name));
        let is_beyond = |name: &VersionName| record.is_none_or(|record| *name > record.name);
        let mut current = None;
        if record.is_none_or(|record| record.migration) {
            while let Some((name, listed)) = self.next_legacy(&mut beyond).await?.filter(|(name, _)| is_beyond(name)) {
                if current.replace(listed).is_some() {
                    return Ok(Selector::Name(name));
                }
            }
        }
        let none = || ItemError::NoPrevious {
            item: self.item.clone(),
        };
        let Some(record) = record else {
            return Err(if current.is_some() { none() } else { self.absent() });
        };
        if current.is_some() {
            return Ok(Selector::Number(record.number));
        } else if let Some(number) = Number::new(record.number.get() - 1) {
            return Ok(Selector::Number(number));
        }
        let mut before = Newest::all(self).before(Some(&record.name));
        match self.next_legacy(&mut before).await? {
            Some((name, _)) => Ok(Selector::Name(name)),
            None => Err(none()),
        }
    }

    /// The next older version that 0.3.4 wrote.
    async fn next_legacy(&self, keys: &mut Newest<'_>) -> Result<Option<(VersionName, Listed)>, ItemError> {
        while let Some((name, listed)) = keys.next().await? {
            if self.author(&listed.key).await? == WrittenBy::Legacy {
                return Ok(Some((name, listed)));
            }
        }
        Ok(None)
    }

    /// The one version whose checksum begins so. Versions of equal content (a file that was put back) are one to who
    /// names them by their content: the newest that was committed.
    async fn with_prefix(&self, prefix: &str) -> Result<Selector, ItemError> {
        let head = self.head().await?;
        let mut names: BTreeMap<Checksum, Vec<VersionName>> = BTreeMap::new();
        let mut note = |name: VersionName| {
            let (checksum, others) = (name.checksum(), names.len());
            let is_meant = checksum.to_string().starts_with(prefix);
            if is_meant && (others < MAX_CANDIDATES || names.contains_key(&checksum)) {
                names.entry(checksum).or_default().push(name);
            }
        };
        let mut pages = Pages::new(self.store, List::prefix(self.item.versions_prefix()));
        while let Some(page) = pages.next().await? {
            let listed = page.entries.iter();
            listed
                .filter_map(|entry| self.item.version_at(&entry.key))
                .for_each(&mut note);
        }
        // A crash may have left out its bytes.
        let current = head.as_ref().map(FetchedHead::record).filter(|record| is_live(record));
        current.iter().for_each(|record| note(record.name.clone()));
        let mut found = Vec::new();
        for names in names.into_values() {
            found.extend(self.newest_committed(head.as_ref(), names).await?);
        }
        let what = match prefix.len() {
            64 => format!("the checksum {prefix}"),
            _ => format!("a checksum that begins with {prefix}"),
        };
        if found.len() > 1 {
            let mut candidates: Vec<VersionName> = found.into_iter().map(|(name, _)| name).collect();
            candidates.sort();
            let item = self.item.clone();
            return Err(ItemError::Ambiguous { item, what, candidates });
        }
        let found = found.pop().map(|(_, selector)| selector);
        found.ok_or_else(|| self.no_such(what))
    }

    /// The newest of these that is a version: a large file that lost is none, even if its bytes are there.
    async fn newest_committed(
        &self,
        head: Option<&FetchedHead>,
        names: Vec<VersionName>,
    ) -> Result<Option<(VersionName, Selector)>, ItemError> {
        for name in names.into_iter().rev() {
            match self.committed(head, &name).await {
                Ok(selector) => return Ok(Some((name, selector))),
                Err(ItemError::NoSuchVersion { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The version that was current at a time: the last one committed up to then, or what 0.3.4 wrote after it.
    async fn current_at(&self, time: Timestamp) -> Result<Selector, ItemError> {
        let head = self.head().await?;
        let entry = match &head {
            Some(head) => self.last_entry(head, |name| name.second() <= time).await?,
            None => None,
        };
        let record = entry.as_ref().map(SignedRecord::record);
        let name = record.map(|record| &record.name);
        let mut since = Newest::all(self).from(name).until(time);
        let legacy = self.next_legacy(&mut since).await?;
        if let Some((legacy, _)) = legacy.filter(|(legacy, _)| name.is_none_or(|name| legacy > name)) {
            return Ok(Selector::Name(legacy));
        }
        let number = record.map(|record| Selector::Number(record.number));
        number.ok_or_else(|| self.no_such(format!("a time up to {time}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKSUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_says_a_version_is_told_back() {
        let name = format!("2026-11-23.07-58-01_000002.{CHECKSUM}");
        let prefix = format!("sha:{CHECKSUM}");
        for (text, told) in [
            ("12", "12"),
            ("current", "current"),
            ("previous", "previous"),
            ("sha:e3b0c442", "sha:e3b0c442"),
            (CHECKSUM, &prefix),
            (&name, &name),
            (&format!("{name}.json"), &name),
            ("@2026-11-23T08:00Z", "@2026-11-23T08:00:00Z"),
        ] {
            let spec: VersionSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), told);
        }
    }

    #[test]
    fn nothing_else_says_one() {
        use VersionSpecError::{Prefix, Time, Unknown};
        for (text, error) in [
            ("", Unknown),
            ("0", Unknown),
            ("-1", Unknown),
            ("latest", Unknown),
            (&CHECKSUM[..8], Unknown),
            ("sha:e3b0c44", Prefix),
            ("sha:E3B0C442", Prefix),
            ("sha:e3b0c44g", Prefix),
            ("@yesterday", Time),
            ("@2026-11-23T08:00", Time),
        ] {
            assert_eq!(text.parse::<VersionSpec>(), Err(error), "{text}");
        }
    }
}
