//! What an examination tells: the words between it, `repair` and `doctor`.

use super::ItemError;
use super::verify::Broken;
use crate::name::Number;
use crate::record::Record;
use crate::store::Encryption;
use crate::time::Timestamp;

/// What was found when all objects of an item were looked at.
#[derive(Debug)]
#[non_exhaustive]
pub struct Examination {
    /// The record of the head, whoever signed it; `None` when there is no head, or one that cannot be believed.
    pub current: Option<Record>,
    /// How the head is encrypted.
    pub encryption: Option<Encryption>,
    /// How many records the log has that can be believed.
    pub records: usize,
    /// The first number that is signed by a pinned key, if one is pinned.
    pub signed_since: Option<Number>,
    /// How many objects hold the bytes of versions.
    pub versions: usize,
    /// Everything that is wrong. In a healthy item nothing is, or only that it is in migration.
    pub ailments: Vec<Ailment>,
}

/// Something that is not as this program leaves it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ailment {
    /// The current version's bytes are gone, and no head carries them.
    BytesLost {
        /// Where they were.
        key: String,
    },
    /// An object of the item cannot be believed.
    Distrusted {
        /// Its key.
        key: String,
        /// Why.
        source: Box<ItemError>,
    },
    /// The current version's life has ended, or most of it is over.
    Expires {
        /// When it ends.
        at: Timestamp,
        /// Whether nobody reads it any more.
        is_over: bool,
    },
    /// The head's name is ahead of the store's clock.
    HeadAhead {
        /// By how many seconds.
        seconds: i64,
    },
    /// The head is older than what lies beyond it: writers refuse it.
    HeadOutdated {
        /// What lies beyond it.
        key: String,
    },
    /// Readers refuse the head, or there is none though something of ours is there.
    HeadRefused {
        /// Why.
        source: Box<ItemError>,
    },
    /// Two records disagree.
    Inconsistent {
        /// The number of the later one.
        number: Number,
        /// How.
        broken: Broken,
    },
    /// A version's bytes, or its log entry, are missing because a write was interrupted; the head has them.
    Interrupted {
        /// The current version's number.
        number: Number,
        /// What is missing.
        what: &'static str,
    },
    /// Log entries below the head are missing.
    LogGap {
        /// The first number that is missing.
        first: Number,
        /// How many are.
        count: u64,
    },
    /// Log entries below the head, from after the first that is, are not signed by a pinned key.
    LogNotSigned {
        /// The first number of those.
        first: Number,
        /// The last one.
        last: Number,
        /// How many there are.
        count: usize,
        /// Why the last one is not believed.
        source: Box<ItemError>,
    },
    /// The item is in migration.
    Migration {
        /// When 0.3.4 last wrote it, as far as what it wrote is still there.
        last: Option<Timestamp>,
        /// The store's clock.
        now: Timestamp,
    },
    /// The head is not signed by a pinned key.
    NotSigned {
        /// Why.
        source: Box<ItemError>,
    },
    /// Bytes that were put for a version that was never committed, and can be no more.
    Orphan {
        /// Their key.
        key: String,
        /// How many there are.
        size: u64,
    },
    /// Bytes of ours that no record names.
    Unnamed {
        /// Their key.
        key: String,
        /// Whether they may be of a write that is under way. Others were committed, and their record is lost.
        may_be_committed: bool,
    },
    /// Objects that could not be looked at.
    Unreadable {
        /// The key of the first one.
        key: String,
        /// How many there are.
        count: usize,
        /// Why not.
        source: Box<ItemError>,
    },
    /// A version of 0.3.4 that default readers do not see: the item is not in migration.
    Unseen {
        /// Its key.
        key: String,
    },
}
