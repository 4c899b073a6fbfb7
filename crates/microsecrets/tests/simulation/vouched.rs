//! The reference model of trust: every head that a holder of a key put, and from which base. Whatever an attacker does,
//! a reader that pins believes nothing else, and a writer signs nothing that is made of anything else.

use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::record::{ChangeKind, Head, Record, SignedRecord, State, VersionRef};
use microsecrets::store::memory::Kept;

use crate::ledger::{Intent, Truth, Verdict, Wanted, ensure, same};
use crate::signers::Signer;
use crate::world::{Operation, Side};

/// What a writer was shown that nobody signed, and accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// The deletion that is current.
    Deletion,
    /// The version with this record.
    Record(Vec<u8>),
    /// 0.3.4's, at this key.
    Legacy(String),
}

/// A head that a holder of a key put.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) record: Record,
    pub(crate) truth: Truth,
    pub(crate) signer: Signer,
    line: Vec<u8>,
}

#[derive(Clone, Default)]
pub(crate) struct Vouched {
    pub(crate) heads: Vec<Signed>,
    /// Every head that was ever put, by whomever: what an attacker may have kept.
    pub(crate) seen: Vec<(Side, Vec<u8>)>,
}

impl Vouched {
    /// One of ours puts a head over another one, or over none.
    pub(crate) fn put(
        &mut self,
        side: Side,
        (bytes, truth): (&[u8], Truth),
        before: Option<&Kept>,
        operation: &Operation,
        intent: Option<&Intent>,
    ) -> Verdict {
        let head = Head::parse(bytes).map_err(|error| error.to_string())?;
        self.seen.push((side, bytes.to_vec()));
        if operation.stranger {
            return Ok(());
        }
        let (entry, number) = (head.entry(), head.record().number);
        let signer = Signer::of(entry).ok_or_else(|| format!("number {number} is put, and nobody signed it"))?;
        let base = before.map(|before| Head::parse(&before.bytes));
        let base = base.transpose().map_err(|_| "a head is built on what is none")?;
        if let Some(base) = &base {
            let shown = operation.shown.as_ref();
            ensure(self.may_be_base(base, head.record(), shown), || {
                let found = base.record().number;
                format!("number {number} is signed, and built on number {found}, which nobody signed or was shown")
            })?;
        }
        ensure(
            self.may_be_signed(&head, &truth, base.as_ref(), operation, intent),
            || format!("number {number} is signed, and made of what nobody signed or was shown: {truth:?}"),
        )?;
        self.heads.push(Signed {
            record: head.record().clone(),
            truth,
            signer,
            line: entry.line().to_vec(),
        });
        Ok(())
    }

    pub(crate) fn knows(&self, entry: &SignedRecord) -> Option<&Signed> {
        self.heads.iter().find(|signed| signed.line == entry.line())
    }

    /// A base is vouched for, or is exactly what the writer accepted; 0.3.4's is accepted with what lies beneath it.
    fn may_be_base(&self, base: &Head, record: &Record, shown: Option<&Shown>) -> bool {
        let accepted = match shown {
            None => false,
            Some(Shown::Deletion) => base.record().state == State::Deleted,
            Some(Shown::Record(line)) => base.entry().line() == line,
            Some(Shown::Legacy(_)) => record.kind == ChangeKind::Adopted,
        };
        accepted || self.knows(base.entry()).is_some()
    }

    /// What is signed follows from what the writer wants, and from what was signed before or shown to it.
    fn may_be_signed(
        &self,
        head: &Head,
        truth: &Truth,
        base: Option<&Head>,
        operation: &Operation,
        intent: Option<&Intent>,
    ) -> bool {
        let record = head.record();
        if let Some(base) = base.filter(|base| base.record().nonce == record.nonce) {
            return same(base.record(), record) && base.bytes().expose() == head.bytes().expose();
        }
        if record.kind == ChangeKind::Adopted {
            let key = record.item.version_key(&record.name);
            return operation.shown == Some(Shown::Legacy(key));
        }
        let base = base.filter(|base| base.record().state == State::Live);
        let beneath = base.and_then(|base| Truth::of(&record.item, base.bytes().expose()).ok());
        let signed = |service, number, truth: &Truth| {
            let mut heads = self.heads.iter();
            heads.any(|head| {
                head.record.item.service() == service && head.record.number == number && head.truth == *truth
            })
        };
        match intent.map(|intent| &intent.wanted) {
            None => false,
            Some(Wanted::Upload(wanted)) => truth == wanted,
            Some(Wanted::Deletion) => *truth == Truth::Nothing,
            Some(Wanted::Edits(edits)) => *truth == beneath.unwrap_or(Truth::Nothing).edited(edits),
            Some(Wanted::Rollback(to)) => {
                Number::new(*to).is_some_and(|number| signed(record.item.service(), number, truth))
            }
            Some(Wanted::Promotion(wanted, _)) => match &record.kind {
                ChangeKind::Promote(service, VersionRef::Number(number)) => {
                    truth == wanted && signed(service, *number, truth)
                }
                _ => false,
            },
        }
    }

    /// What a reader that pins believes was signed, as it is, for this item, by one whom the reader pins.
    pub(crate) fn check_believed(
        &self,
        item: &Item,
        pins: &[Signer],
        entry: Option<&SignedRecord>,
        truth: &Truth,
    ) -> Verdict {
        let entry = entry.ok_or("what nobody signed was believed")?;
        let number = entry.record().number;
        let signer = Signer::of(entry).filter(|signer| pins.contains(signer));
        let signer = signer.ok_or_else(|| format!("number {number} was believed, and no pinned key signed it"))?;
        let known = self
            .knows(entry)
            .is_some_and(|signed| signed.signer == signer && signed.record.item == *item && signed.truth == *truth);
        ensure(known, || {
            format!("number {number} was believed, and nobody ever signed that for the {item}: {truth:?}")
        })
    }

    /// A deletion that is believed was signed, too.
    pub(crate) fn check_deleted(&self, item: &Item, pins: &[Signer], number: Number) -> Verdict {
        let known = self.heads.iter().any(|signed| {
            signed.record.item == *item
                && signed.record.number == number
                && signed.record.state == State::Deleted
                && pins.contains(&signed.signer)
        });
        ensure(known, || {
            format!("the deletion with number {number} was believed, and nobody signed it")
        })
    }
}
