//! Listings in the byte order of keys, which is not the order of folders: `a-b` comes before `a/b`, but after `a`.

use std::collections::VecDeque;
use std::fs::File;

use rustix::fs::FileType;

use super::error::Fault;
use super::seal::{self, Sealed};
use super::tree::{Folder, is_own, is_segment, may_lead_to_key};
use crate::store::{Entry, List, Page};
use crate::time::Timestamp;

/// The most keys and groups of a page, as in S3.
const PAGE: usize = 1000;

/// Answers one page. Only folders that may hold a wanted key are looked into.
pub(super) fn list(root: &Folder, request: &List) -> Result<Page, Fault> {
    let mut page = Collector::new(request);
    let (folders, _) = request.prefix.rsplit_once('/').unwrap_or_default();
    let names = || folders.split('/').filter(|_| !folders.is_empty());
    // No key begins with such a prefix, or with the name of the store's own folder.
    let possible = names().all(is_segment) && !request.prefix.starts_with('/') && !names().next().is_some_and(is_own);
    if possible && page.limit > 0 {
        let path = if folders.is_empty() {
            String::new()
        } else {
            format!("{folders}/")
        };
        if let Some(folder) = root.below(names())? {
            walk(&folder, &path, &mut page)?;
        }
    }
    Ok(page.finish())
}

/// Offers all keys below a folder, in order, until the page is full.
fn walk(folder: &Folder, path: &str, page: &mut Collector<'_>) -> Result<(), Fault> {
    let mut entries: VecDeque<String> = folder
        .entries()?
        .into_iter()
        .filter_map(|(name, kind)| match kind {
            FileType::RegularFile => Some(format!("{path}{name}")),
            // With its slash a folder stands where its keys do.
            FileType::Directory if !(path.is_empty() && is_own(&name)) => Some(format!("{path}{name}/")),
            // Not ours: a symbolic link is not followed, and what is no file has no bytes.
            _ => None,
        })
        .filter(|key| may_lead_to_key(key) && page.wants(key))
        .collect();
    entries.make_contiguous().sort_unstable();
    while let Some(key) = entries.pop_front() {
        if page.is_full() {
            return Ok(());
        }
        if !page.wants(&key) {
            continue;
        }
        let name = &key[path.len()..];
        match name.strip_suffix('/') {
            Some(name) => {
                // Gone in the meantime is as good as never there.
                if let Some(below) = folder.folder(name)? {
                    walk(&below, &key, page)?;
                }
            }
            None => {
                if let Some(file) = folder.file(name)? {
                    page.offer(key, file, folder)?;
                }
            }
        }
    }
    Ok(())
}

/// A page in the making.
struct Collector<'a> {
    request: &'a List,
    limit: usize,
    entries: Vec<Entry>,
    groups: Vec<String>,
    /// The last key or group that is on the page.
    last: Option<String>,
    /// Whether there is more than fits.
    more: bool,
}

impl<'a> Collector<'a> {
    fn new(request: &'a List) -> Self {
        Self {
            request,
            limit: request.limit.map_or(PAGE, |limit| PAGE.min(limit.into())),
            entries: Vec::new(),
            groups: Vec::new(),
            last: None,
            more: false,
        }
    }

    fn is_full(&self) -> bool {
        self.more
    }

    /// Whether a key, or a key below a folder (which ends in a slash), may still come onto the page.
    fn wants(&self, key: &str) -> bool {
        let prefix = &self.request.prefix;
        let begins = key.starts_with(prefix.as_str()) || (key.ends_with('/') && prefix.starts_with(key));
        begins
            && is_after(key, self.request.start_after.as_deref())
            && is_after(key, self.request.continuation.as_deref())
            && !self.is_rolled_up(key, self.request.continuation.as_deref())
            && !self.is_rolled_up(key, self.last.as_deref())
    }

    /// Whether a key belongs to a group that is on a page already. What holds the delimiter is a group, never a key.
    fn is_rolled_up(&self, key: &str, group: Option<&str>) -> bool {
        group.is_some_and(|group| self.group_of(group) == Some(group) && key.starts_with(group))
    }

    fn group_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.request.delimiter?;
        let rest = key.strip_prefix(self.request.prefix.as_str())?;
        let at = key.len() - rest.len() + rest.find(delimiter)?;
        Some(&key[..at + delimiter.len_utf8()])
    }

    fn offer(&mut self, key: String, file: File, folder: &Folder) -> Result<(), Fault> {
        if self.entries.len() + self.groups.len() == self.limit {
            self.more = true;
            return Ok(());
        }
        if let Some(group) = self.group_of(&key) {
            self.groups.push(group.to_owned());
            self.last = Some(group.to_owned());
            return Ok(());
        }
        let path = folder.path_of(key.rsplit_once('/').map_or(&*key, |(_, name)| name));
        let metadata = file.metadata().map_err(|source| super::FolderError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        self.last = Some(key.clone());
        self.entries.push(Entry {
            key,
            modified: seal::modified(&metadata),
            // A file that is not ours is listed like any other, for those above to refuse; its size says nothing.
            size: Sealed::read(file, path).map_or(metadata.len(), |sealed| sealed.size),
        });
        Ok(())
    }

    fn finish(self) -> Page {
        Page {
            entries: self.entries,
            groups: self.groups,
            continuation: self.last.filter(|_| self.more),
            date: Timestamp::now(),
        }
    }
}

/// Whether a key, or any key below a folder, comes after another key.
fn is_after(key: &str, other: Option<&str>) -> bool {
    other.is_none_or(|other| key > other || (key.ends_with('/') && other.starts_with(key)))
}
