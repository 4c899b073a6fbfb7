//! What is wrong with an item's objects, in words: why it matters, and what mends it.

use microsecrets::item::{Ailment, ItemError};
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::text::shown;
use microsecrets::time::Timestamp;
use microsecrets::trust::Distrust;

use super::account::span;
use super::{Commands, Finding};
use crate::error::{CliError, file_option};

/// How long 0.3.4 must have written nothing, until its time is over, in seconds.
const MIGRATED: i64 = 30 * 86_400;

/// An item whose ailments are told.
pub(crate) struct Told<'a> {
    pub(crate) item: &'a Item,
    pub(crate) commands: Commands<'a>,
    /// The command that mends it.
    pub(crate) fix: String,
    /// The version that could be made the current one again, and something newer that could not.
    pub(crate) restorable: Option<(Number, Option<String>)>,
}

impl Told<'_> {
    pub(crate) fn finding(&self, ailment: Ailment) -> Finding {
        match ailment {
            Ailment::HeadRefused { source } => self.head_refused(*source),
            Ailment::HeadOutdated { key } => self.head_outdated(&key),
            Ailment::HeadAhead { seconds } => self.head_ahead(seconds),
            Ailment::Expires { at, is_over } => self.expires(at, is_over),
            Ailment::BytesLost { key } => self.bytes_lost(&key),
            Ailment::Interrupted { number, what } => self.interrupted(number, what),
            Ailment::LogGap { first, count } => self.log_gap(first, count),
            Ailment::Inconsistent { number, broken } => {
                let says = format!("version {number} of the {}: {broken}", self.item);
                let why = "somebody has changed the history, or put an older state of it back";
                let mend = self.commands.put_back(&self.item.log_key(number));
                Finding::failure("log", self.item, says, why).mend(format!("look who wrote it: {mend}"))
            }
            Ailment::Distrusted { key, source } => self.distrusted(&key, *source),
            Ailment::Unreadable { key, count, source } => self.unreadable(&key, count, *source),
            Ailment::Orphan { key, size } => {
                let says = format!(
                    "{}: {size} bytes that were never committed, and cannot be any more",
                    shown(&key)
                );
                let why = "readers with 0.3.4 may take them for a version, and they are paid for";
                Finding::warning("orphan", key, says, why).mend(&self.fix)
            }
            Ailment::Unnamed { key, may_be_committed } => self.unnamed(key, may_be_committed),
            Ailment::Unseen { key } => {
                let says = format!("{}: an upload of 0.3.4 that is newer than the head", shown(&key));
                let why = "readers see it only with --scan, until the next write takes it over";
                Finding::warning("unseen", key, says, why).mend(self.commands.own("migrate", "--apply"))
            }
            Ailment::Migration { last, now } => self.migration(last, now),
            Ailment::NotSigned { source } => self.not_signed(*source),
            Ailment::LogNotSigned {
                first,
                last,
                count,
                source,
            } => self.log_not_signed(first, last, count, *source),
            other => Finding::failure(
                "objects",
                self.item,
                format!("{other:?}"),
                "it is not as this program leaves it",
            ),
        }
    }

    /// What makes one of the log's versions the current one again, if one is whole.
    fn restore(&self) -> Option<String> {
        let (number, newer) = self.restorable.as_ref()?;
        let again = format!("{} makes version {number} the current one again", self.fix);
        Some(match newer {
            None => again,
            Some(newer) => format!(
                "{again}, though {} is newer: look for a newer head first: {}",
                shown(newer),
                self.by_hand()
            ),
        })
    }

    fn by_hand(&self) -> String {
        self.commands.put_back(&self.item.head_key())
    }

    fn unnamed(&self, key: String, may_be_committed: bool) -> Finding {
        let says = format!("{} is ours, and no record names it", shown(&key));
        match may_be_committed {
            true => Finding::warning(
                "unnamed",
                key,
                says,
                "a write of it may be under way; if not, its writer died",
            )
            .mend(format!(
                "when a later write is done, {} removes what a dead writer left",
                self.fix
            )),
            false => {
                let mend = format!(
                    "put its log entry back, or, if it is not meant: {}",
                    self.commands.remove(&key)
                );
                Finding::warning(
                    "unnamed",
                    key,
                    says,
                    "it was committed, and its record is lost or not to be believed",
                )
                .mend(mend)
            }
        }
    }

    fn head_refused(&self, source: ItemError) -> Finding {
        let says = match source {
            ItemError::HeadMissing { key, .. } => {
                format!("the {} has no head, though {} is ours", self.item, shown(&key))
            }
            source => format!(
                "readers refuse the head of the {}: {}",
                self.item,
                CliError::from(source).told().0
            ),
        };
        let why = "nobody can read or write it; somebody removed or changed the head, or its first upload is under way";
        let by_hand = || {
            format!(
                "no version of the log is whole: {}; or publish it again",
                self.by_hand()
            )
        };
        Finding::failure("head", self.item, says, why).mend(self.restore().unwrap_or_else(by_hand))
    }

    fn head_outdated(&self, key: &str) -> Finding {
        let says = format!("the head of the {} is older than {}", self.item, shown(key));
        let why = "writers refuse it, and readers believe an old version: an older state was put back";
        let by_hand = || {
            let remove = self.commands.remove(key);
            format!(
                "put a newer head back: {}; or, if what is newer is not meant, {remove}",
                self.by_hand()
            )
        };
        Finding::failure("head-outdated", self.item, says, why).mend(self.restore().unwrap_or_else(by_hand))
    }

    fn head_ahead(&self, seconds: i64) -> Finding {
        let says = format!(
            "the head of the {} is dated {} ahead of the store's clock",
            self.item,
            span(seconds)
        );
        let why = "until then all versions are dated as late; a clock was wrong, or somebody means to outlast others";
        Finding::warning("future-dated", self.item, says, why).mend("look whose clock is wrong; it passes by itself")
    }

    fn expires(&self, at: Timestamp, is_over: bool) -> Finding {
        let again = self.commands.own("upload", file_option(self.item).trim_end());
        let mend = format!("publish it again, with another --expires: {again}");
        let finding = match is_over {
            true => {
                let says = format!("the current version of the {} expired at {at}", self.item);
                Finding::failure("expires", self.item, says, "nobody reads it any more")
            }
            false => {
                let says = format!("the current version of the {} expires at {at}", self.item);
                Finding::warning("expires", self.item, says, "then nobody reads it any more")
            }
        };
        finding.mend(mend)
    }

    fn bytes_lost(&self, key: &str) -> Finding {
        let says = format!(
            "{} is gone: the bytes of the current version of the {}",
            shown(key),
            self.item
        );
        let again = self.commands.own("upload", file_option(self.item).trim_end());
        let mend = format!("{}; or publish it again: {again} < FILE", self.commands.put_back(key));
        Finding::failure("bytes", key, says, "nobody can read it").mend(mend)
    }

    fn interrupted(&self, number: Number, what: &str) -> Finding {
        let says = format!(
            "version {number} of the {} has no {what}: a write was interrupted, or is under way",
            self.item
        );
        let why = "only the head has it, so it is lost when the head is";
        let mend = format!("{}; the next write does it too", self.fix);
        Finding::warning("interrupted", self.item, says, why).mend(mend)
    }

    fn log_gap(&self, first: Number, count: u64) -> Finding {
        let says = match count {
            1 => format!("the log of the {} has no entry of version {first}", self.item),
            _ => format!(
                "the log of the {} lacks {count} entries, the first of version {first}",
                self.item
            ),
        };
        let why = "what those versions were, and who wrote them, is not known any more";
        let mend = self.commands.put_back(&self.item.log_key(first));
        Finding::warning("log", self.item, says, why).mend(mend)
    }

    /// What is wrong with a single object.
    fn distrusted(&self, key: &str, source: ItemError) -> Finding {
        let remove = || self.commands.remove(key);
        let (check, why, mend) = match &source {
            ItemError::OutsideGrammar { .. } => (
                "outside-grammar",
                "0.3.4 takes the greatest key whatever it is, so readers or writers refuse to guess",
                format!("look what it is, and remove it: {}", remove()),
            ),
            ItemError::FutureDated { .. } => (
                "future-dated",
                "it would be the latest version until that time, so readers or writers refuse it",
                format!(
                    "keep its content, remove it ({}), and publish the content again",
                    remove()
                ),
            ),
            ItemError::Distrusted {
                source: Distrust::Encryption { .. } | Distrust::OtherKey { .. },
                ..
            } => (
                "encryption",
                "who wrote it may not use the service's key, or did not use microsecrets; readers refuse it",
                format!("look who wrote it, and remove it: {}", remove()),
            ),
            ItemError::Distrusted {
                source: Distrust::TooOld { .. },
                ..
            } => (
                "min-version",
                "readers refuse it; an older version may have been put back",
                format!(
                    "look with {}; if it is meant, lower `min-version`",
                    self.commands.own("history", "")
                ),
            ),
            _ => (
                "untrusted",
                "it was changed or put there by other means than microsecrets; readers refuse it",
                format!("look who wrote it: {}", self.commands.put_back(key)),
            ),
        };
        let (told, _) = CliError::from(source).told();
        let told = match told.contains(key) {
            true => told,
            false => format!("{}: {told}", shown(key)),
        };
        Finding::failure(check, key, told, why).mend(mend)
    }

    fn unreadable(&self, key: &str, count: usize, source: ItemError) -> Finding {
        let (told, hint) = CliError::from(source).told();
        let says = match count {
            1 => format!("an object of the {} cannot be looked at: {told}", self.item),
            _ => format!(
                "{count} objects of the {} cannot be looked at; of the first: {told}",
                self.item
            ),
        };
        let why = "whether they are as they shall be is not known";
        Finding::warning("objects", key, says, why).mend_if(hint)
    }

    fn migration(&self, last: Option<Timestamp>, now: Timestamp) -> Finding {
        let since = last.map(|last| now.as_unix() - last.as_unix());
        if let (Some(last), Some(..=MIGRATED)) = (last, since) {
            let says = format!("the {} is in migration; 0.3.4 last wrote it at {last}", self.item);
            return Finding::ok("migration", self.item, says);
        }
        let says = match since {
            Some(since) => format!(
                "the {} is in migration, and 0.3.4 has not written it for {}",
                self.item,
                span(since)
            ),
            None => format!(
                "the {} is in migration, and nothing that 0.3.4 wrote is left",
                self.item
            ),
        };
        let why = "readers need two requests instead of one, and an unsigned upload may still become the latest";
        Finding::warning("migration", self.item, says, why).mend(self.commands.own("migrate", "--finish"))
    }

    fn not_signed(&self, source: ItemError) -> Finding {
        let says = format!(
            "the current version of the {}: {}",
            self.item,
            CliError::from(source).told().0
        );
        let why = "readers that pin a key refuse it; who wrote it is not shown";
        let file = file_option(self.item);
        let adopt = self.commands.own("re-sign", &format!("{file}--sign --adopt"));
        let mend = match &self.restorable {
            Some((number, _)) => format!("{} puts the signed record of version {number} back", self.fix),
            None => format!("look who wrote it; if it is meant: {adopt}"),
        };
        Finding::failure("signatures", self.item, says, why).mend(mend)
    }

    fn log_not_signed(&self, first: Number, last: Number, count: usize, source: ItemError) -> Finding {
        let which = match count {
            1 => format!("version {first}"),
            _ => format!("{count} versions from {first} to {last}"),
        };
        let told = CliError::from(source).told().0;
        let says = format!("{which} of the {} cannot be verified; of the last: {told}", self.item);
        let why = "readers that pin a key refuse them; somebody wrote without signing, or with another key, after the first \
                   that is signed";
        let mend = "look who wrote them; what another key signed is read when that key is pinned too (`verify-keys`)";
        Finding::warning("signatures", self.item, says, why).mend(mend)
    }
}
