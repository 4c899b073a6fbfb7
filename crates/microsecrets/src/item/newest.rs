//! An item's version keys, newest first. Stores list only upwards; but names begin with their time, so the parts of the
//! time are rolled up, and walked from the last one down: constant memory, and a few listings for each time there is.

use super::listing::{Listed, Pages};
use super::{Access, ItemError};
use crate::name::VersionName;
use crate::store::{List, Page};
use crate::time::Timestamp;

/// The characters after which the next part of a name begins: year, month, day, hour, minute.
const PARTS: [char; 5] = ['-', '-', '.', '-', '-'];

/// Keys between two bounds, newest first.
pub(super) struct Newest<'a> {
    access: Access<'a>,
    /// Keys before this one are not wanted.
    lower: String,
    /// Keys from this one on are not wanted.
    upper: Option<String>,
    /// What comes next is at the end; a group stands for all keys that begin so.
    stack: Vec<Node>,
    begun: bool,
}

enum Node {
    Group { prefix: String, depth: usize },
    Key(Listed),
}

impl Node {
    fn text(&self) -> &str {
        match self {
            Self::Group { prefix, .. } => prefix,
            Self::Key(listed) => &listed.key,
        }
    }
}

impl<'a> Newest<'a> {
    /// All keys of versions.
    pub(super) fn all(access: &Access<'a>) -> Self {
        Self {
            access: *access,
            lower: access.item.versions_prefix(),
            upper: None,
            stack: Vec::new(),
            begun: false,
        }
    }

    /// Only those from the second of a name on.
    pub(super) fn from(mut self, name: Option<&VersionName>) -> Self {
        if let Some(name) = name {
            self.lower.push_str(&name.second().in_name());
        }
        self
    }

    /// Only those before a name.
    pub(super) fn before(mut self, name: Option<&VersionName>) -> Self {
        self.upper = name.map(|name| self.access.item.version_key(name));
        self
    }

    /// Only those up to a time.
    pub(super) fn until(mut self, time: Timestamp) -> Self {
        let after = format!("{}{}", self.access.item.versions_prefix(), time.plus(1).in_name());
        self.upper = Some(after);
        self
    }

    /// The next older key that is a version's.
    pub(super) async fn next(&mut self) -> Result<Option<(VersionName, Listed)>, ItemError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin().await?;
        }
        while let Some(node) = self.stack.pop() {
            match node {
                Node::Key(listed) => {
                    if let Some(name) = listed.name.clone() {
                        return Ok(Some((name, listed)));
                    }
                }
                Node::Group { prefix, depth } => self.open(prefix, depth).await?,
            }
        }
        Ok(None)
    }

    /// One page is enough for most: only what has more keys than that is walked part by part.
    async fn begin(&mut self) -> Result<(), ItemError> {
        let prefix = self.access.item.versions_prefix();
        let request = List::prefix(&prefix).start_after(&self.lower);
        let page = self.access.store.list(request).await?;
        let reaches_upper = |page: &Page| {
            let last = page.entries.last().map(|entry| &entry.key);
            self.upper
                .as_ref()
                .is_some_and(|upper| last.is_some_and(|last| last >= upper))
        };
        if page.continuation.is_none() || reaches_upper(&page) {
            self.push(page, PARTS.len());
        } else {
            self.stack.push(Node::Group { prefix, depth: 0 });
        }
        Ok(())
    }

    async fn open(&mut self, prefix: String, depth: usize) -> Result<(), ItemError> {
        let mut request = List::prefix(prefix);
        if let Some(delimiter) = PARTS.get(depth) {
            request = request.delimiter(*delimiter);
        }
        let mut pages = Pages::new(self.access.store, request);
        while let Some(page) = pages.next().await? {
            self.push(page, depth + 1);
        }
        Ok(())
    }

    /// Puts what a page holds onto the stack, as far as it is within the bounds.
    fn push(&mut self, page: Page, depth: usize) {
        let groups = page.groups.into_iter().map(|prefix| Node::Group { prefix, depth });
        let item = self.access.item;
        let keys = page
            .entries
            .into_iter()
            .map(|entry| Node::Key(Listed::new(item, entry)));
        let mut nodes: Vec<Node> = groups.chain(keys).filter(|node| self.is_within(node)).collect();
        nodes.sort_by(|a, b| a.text().cmp(b.text()));
        self.stack.append(&mut nodes);
    }

    /// Whether a key, or any key of a group, is within the bounds.
    fn is_within(&self, node: &Node) -> bool {
        let text = node.text();
        let lower = match node {
            Node::Group { .. } => self.lower.get(..text.len()).unwrap_or(&self.lower),
            Node::Key(_) => &self.lower,
        };
        text >= lower && self.upper.as_ref().is_none_or(|upper| text < upper.as_str())
    }
}
