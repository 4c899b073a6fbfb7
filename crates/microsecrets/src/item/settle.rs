//! How a commit ended whose answer was lost, or was no.
//!
//! A 412 may be our own doing: a lost answer, a retry, and somebody who committed on top. So who won is found out by the
//! nonce, in the head or in the log entry of the number; a checksum never proves ownership, for files have no salt.
//! Whoever puts the head again for the same version (the end of a migration) keeps its nonce.

use super::{Access, FetchedHead, Rival};
use crate::record::Record;

/// How a commit ended.
pub(super) enum Settled {
    /// It is the current version.
    Won,
    /// It was committed, and somebody has committed on top since.
    WonAndSuperseded,
    /// It never was and never will be committed.
    Lost(Box<Rival>),
    /// The same, but nobody else has committed either: the base's head was put again.
    BasePutAgain,
    /// Neither can be shown.
    Unknown,
}

impl Rival {
    pub(super) fn of(record: &Record) -> Box<Self> {
        Box::new(Self {
            number: record.number,
            time: record.time,
            user: record.user.clone(),
            kind: record.kind.to_string(),
        })
    }
}

impl Access<'_> {
    /// Finds out how the commit of `record` over `base` ended, whose put was refused or got no answer.
    ///
    /// `maybe_applied` says whether any answer was lost on the way.
    pub(super) async fn settle(&self, record: &Record, base: Option<&FetchedHead>, maybe_applied: bool) -> Settled {
        let Ok(head) = self.head().await else {
            return Settled::Unknown;
        };
        if let Some(head) = &head {
            let found = head.record();
            if found.nonce == record.nonce {
                return Settled::Won;
            } else if found.number == record.number {
                return Settled::Lost(Rival::of(found));
            } else if found.number < record.number {
                let put_again = base.is_some_and(|base| base.record().nonce == found.nonce && base.etag != head.etag);
                return if put_again && !maybe_applied {
                    Settled::BasePutAgain
                } else {
                    Settled::Unknown
                };
            }
        }
        match self.vouched_entry(record.number).await {
            Ok(Some(entry)) if entry.record().nonce == record.nonce => Settled::WonAndSuperseded,
            Ok(Some(entry)) => Settled::Lost(Rival::of(entry.record())),
            Ok(None) | Err(_) => Settled::Unknown,
        }
    }
}
