//! What was committed, as far as the store has ever shown it: a number is given once, and means one version for ever.

use std::collections::BTreeMap;

use microsecrets::name::{Nonce, VersionName};
use microsecrets::record::Record;

use super::World;

/// The versions that were seen, by number.
#[derive(Default)]
pub(crate) struct Ledger {
    seen: BTreeMap<u64, (Nonce, VersionName)>,
}

impl Ledger {
    /// Looks at the head and at all log entries. Panics when a number means another version than before, or when the head
    /// goes back.
    pub(crate) fn observe(&mut self, world: &World) {
        let greatest = self.greatest();
        let Some(head) = world.head() else {
            assert_eq!(greatest, 0, "the head is gone");
            assert!(world.log(1).is_none(), "a log without a head");
            return;
        };
        let number = head.record().number.get();
        assert!(number >= greatest, "the head went back from {greatest} to {number}");
        self.record(head.record());
        for logged in 1..=number + 1 {
            if let Some(entry) = world.log(logged) {
                assert_eq!(entry.record().number.get(), logged);
                self.record(entry.record());
            }
        }
        assert_eq!(self.greatest(), number, "something is logged that was never committed");
    }

    fn record(&mut self, record: &Record) {
        let version = (record.nonce, record.name.clone());
        let before = self.seen.entry(record.number.get()).or_insert_with(|| version.clone());
        assert_eq!(*before, version, "number {} means two versions", record.number);
    }

    /// The greatest number that was seen; 0 for none.
    pub(crate) fn greatest(&self) -> u64 {
        self.seen.keys().next_back().copied().unwrap_or(0)
    }

    /// The name of a version.
    pub(crate) fn name(&self, number: u64) -> &VersionName {
        &self.seen[&number].1
    }
}
