//! Signing what is written, and what may be signed: only what is built on versions that the writer's own pinned keys
//! vouch for. Otherwise a writer would put its signature under an attacker's variable.

use super::commit::{Candidate, Writer};
use super::listing::{Listed, Pages};
use super::{Access, Facts, FetchedHead, ItemError, Reader, Selector, Version, is_live};
use crate::checksum::Checksum;
use crate::name::Number;
use crate::record::{Head, Record, Signature, SignedRecord};
use crate::store::List;
use crate::trust::Distrust;

/// How many log entries are looked at for one that is signed.
const MAX_LOOK_BACK: usize = 100;

/// The current version where no pinned key vouches for it: what a person must see before it is taken as a base.
#[non_exhaustive]
pub struct Unsigned {
    /// What the field `adopt` of a [`Writer`] has to say to take exactly this as a base, and nothing that comes after.
    pub accepts: Vec<Checksum>,
    /// The version, which is nobody's word; `None` when it is a deletion.
    pub version: Option<Version>,
}

impl Access<'_> {
    /// The current version, if no pinned key vouches for it.
    pub async fn unsigned(&self) -> Result<Option<Unsigned>, ItemError> {
        let head = self.head_by_anybody().await?;
        let anybody = self.checks.without_signatures();
        let access = Access {
            checks: &anybody,
            ..*self
        };
        let version = match Reader::new(access).scan(true).read(&Selector::Current).await {
            Ok(version) => Some(version),
            Err(ItemError::Absent { .. } | ItemError::Deleted { .. }) => None,
            Err(error) => return Err(error),
        };
        let accepts = self.accepted_as_shown(head.as_ref(), version.as_ref());
        Ok((!accepts.is_empty()).then_some(Unsigned { accepts, version }))
    }

    /// What accepts exactly the version that is shown: the head was looked at before it, and may have been another one.
    fn accepted_as_shown(&self, head: Option<&FetchedHead>, shown: Option<&Version>) -> Vec<Checksum> {
        let unsigned = |entry: &&SignedRecord| self.checks.check_signature(entry).is_err();
        let head = head.map(|head| head.head.entry()).filter(unsigned);
        match shown.map(|version| &version.facts) {
            Some(Facts { entry: Some(entry), .. }) => Some(entry).filter(unsigned).map(identity).into_iter().collect(),
            Some(Facts { key, .. }) => {
                let beneath = head.map(|entry| beneath(entry, key));
                beneath.into_iter().chain([Checksum::of(key.as_bytes())]).collect()
            }
            None => {
                let deletion = head.filter(|entry| !is_live(entry.record()));
                deletion.map(identity).into_iter().collect()
            }
        }
    }

    /// The newest version that a pinned key vouches for and whose bytes are there; `None` when there is none among the
    /// last hundred.
    pub async fn last_signed(&self) -> Result<Option<Version>, ItemError> {
        let mut numbers = Vec::new();
        let mut pages = Pages::new(self.store, List::prefix(self.item.log_prefix()));
        while let Some(page) = pages.next().await? {
            numbers.extend(page.entries.iter().filter_map(|entry| self.item.number_at(&entry.key)));
        }
        let reader = Reader::new(*self).past(true);
        for number in numbers.into_iter().rev().take(MAX_LOOK_BACK) {
            match self.vouched_entry(number).await {
                Ok(Some(entry)) if is_live(entry.record()) => {}
                _ => continue,
            }
            if let Ok(version) = reader.read(&Selector::Number(number)).await {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

/// What names a head exactly: its record, and with it its bytes.
fn identity(entry: &SignedRecord) -> Checksum {
    Checksum::of(entry.line())
}

/// What names a head as what lies beneath a version of 0.3.4's: it was not shown, and is no base without that version.
fn beneath(entry: &SignedRecord, key: &str) -> Checksum {
    Checksum::of(&[entry.line(), b"\n", key.as_bytes()].concat())
}

impl Writer<'_> {
    /// Refuses to write what its own readers would refuse.
    pub(super) fn check_signing(&self) -> Result<(), ItemError> {
        match (&self.sign_with, self.access.checks.demand_signatures()) {
            (None, true) => Err(ItemError::SignatureNeeded {
                item: self.access.item.clone(),
            }),
            (Some(key), false) => Err(ItemError::SignerNotPinned { key: key.clone() }),
            _ => Ok(()),
        }
    }

    /// The head to write over; where something was accepted, [`Writer::check_accepted`] looks who vouches for it.
    pub(super) async fn base(&self) -> Result<Option<FetchedHead>, ItemError> {
        if self.adopt.is_empty() {
            self.access.head().await
        } else {
            self.access.head_by_anybody().await
        }
    }

    /// A head to write over is vouched for, or it was accepted: by itself, or with the version of 0.3.4's that lies
    /// beyond it and is adopted first.
    pub(super) fn check_accepted(&self, head: &FetchedHead, legacy: Option<&Listed>) -> Result<(), ItemError> {
        if self.adopt.is_empty() {
            return Ok(());
        }
        let entry = head.head.entry();
        let accepted = |name: Checksum| self.adopt.contains(&name);
        let vouched = self.access.checks.check_signature(entry).or_else(|distrust| {
            let is_accepted =
                accepted(identity(entry)) || legacy.is_some_and(|listed| accepted(beneath(entry, &listed.key)));
            is_accepted.then_some(()).ok_or(distrust)
        });
        vouched
            .and_then(|()| self.access.checks.check_number(Some(entry.record().number)))
            .map_err(|source| self.access.distrust(&self.access.item.head_key(), source))
    }

    /// Where a later version is known to have been, none is begun with: all of it was removed, or this is another place.
    pub(super) fn check_may_begin(&self) -> Result<(), ItemError> {
        match self.access.checks.min_version {
            Some(number) if number > Number::FIRST => Err(ItemError::NoSuchNumber {
                item: self.access.item.clone(),
                number,
            }),
            _ => Ok(()),
        }
    }

    /// What 0.3.4 wrote is not signed: it is taken over only when it was accepted.
    pub(super) fn check_adopted(&self, key: &str) -> Result<(), ItemError> {
        if !self.access.checks.demand_signatures() || self.adopt.contains(&Checksum::of(key.as_bytes())) {
            Ok(())
        } else {
            Err(self.access.distrust(key, Distrust::Unsigned))
        }
    }

    /// The signer that a new record names before it is signed: with one pinned key, it is that one.
    pub(super) fn expected_signer(&self) -> Option<Checksum> {
        let keys = &self.access.checks.verify_keys;
        self.sign_with
            .as_ref()
            .and_then(|_| keys.first())
            .map(|key| key.fingerprint())
    }

    /// Which pinned key has signed a record.
    pub(super) fn signer_of(&self, entry: &SignedRecord) -> Option<Checksum> {
        let signature = entry.signature()?;
        let mut keys = self.access.checks.verify_keys.iter();
        keys.find(|key| key.verifies(entry.line(), signature))
            .map(|key| key.fingerprint())
    }

    /// Signs the record of a new head, if it is to be signed.
    pub(super) async fn sign(&self, head: Head) -> Result<Head, ItemError> {
        let Some(key) = &self.sign_with else {
            return Ok(head);
        };
        let (entry, bytes) = head.into_parts();
        Head::new(self.signed_by(key, entry).await?, bytes).map_err(|source| ItemError::NewRecord { source })
    }

    /// Signs a record, and finds the signature to be a pinned key's before anything is written.
    async fn signed_by(&self, key: &str, mut entry: SignedRecord) -> Result<SignedRecord, ItemError> {
        let not_pinned = || ItemError::SignerNotPinned { key: key.to_owned() };
        // Twice, when several keys are pinned and it is not the first of them that signs.
        for _ in 0..2 {
            let der = self.keys.sign(key, entry.line()).await?;
            let signed = entry.signed(Signature::new(der));
            let signer = self.signer_of(&signed).ok_or_else(not_pinned)?;
            if signed.record().signer == Some(signer) {
                return Ok(signed);
            }
            let record = Record {
                signer: Some(signer),
                ..signed.record().clone()
            };
            entry = SignedRecord::new(record).map_err(|source| ItemError::NewRecord { source })?;
        }
        Err(not_pinned())
    }

    /// Signs the record of a large file, whose bytes are there already, and go again when that fails.
    pub(super) async fn sign_large(&self, candidate: Candidate) -> Result<Candidate, ItemError> {
        let Candidate { head, large } = candidate;
        let name = head.record().name.clone();
        match self.sign(head).await {
            Ok(head) => Ok(Candidate { head, large }),
            Err(error) => {
                self.remove_large(&name, large.as_ref()).await;
                Err(error)
            }
        }
    }
}
