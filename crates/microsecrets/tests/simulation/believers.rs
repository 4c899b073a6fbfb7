//! Readers that pin keys: what they demand, that they believe nothing else, and what they remember.

use std::fmt;
use std::time::Duration;

use microsecrets::checksum::{Checksum, Digest};
use microsecrets::freshness::{self, StateFile};
use microsecrets::item::*;
use microsecrets::record::State;
use microsecrets::time::Timestamp;
use microsecrets::trust::Checks;

use crate::actors::{Actor, checks};
use crate::common::nth;
use crate::ledger::{Ledger, ensure};
use crate::readers::Got;
use crate::sabotage::Sabotage;
use crate::signers::{BOTH, Signer};
use crate::world::Side;
use crate::writers::truth_of;

/// Nobody else holds the lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a reader demands.
pub(crate) struct Demand {
    checks: Checks,
    pins: Vec<Signer>,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.checks.demand_signatures() {
            true => write!(f, "pinned: {:?}", self.pins),
            false => f.write_str("no key pinned"),
        }
    }
}

impl Demand {
    /// Whether there is a version that another key signed than the one that is pinned.
    pub(crate) fn may_miss_a_key(&self, ledger: &Ledger) -> bool {
        let [pin] = self.pins[..] else { return false };
        let own = Some(pin.fingerprint());
        let mut versions = ledger.versions.iter();
        versions.any(|version| version.record.signer != own || !version.again.is_empty())
    }
}

impl Actor {
    /// What everybody demands.
    pub(crate) fn full_demand(&self) -> Demand {
        self.demand_of(BOTH.to_vec())
    }

    /// The same, or what those demand who pin one key only.
    pub(crate) fn demand(&self) -> Demand {
        let pins = match self.world.theme.signed {
            true => self.below(8),
            false => 7,
        };
        self.demand_of(match pins {
            0 => vec![Signer::Old],
            1 => vec![Signer::New],
            _ => BOTH.to_vec(),
        })
    }

    fn demand_of(&self, pins: Vec<Signer>) -> Demand {
        let mut checks = checks(&self.world, &pins);
        if self.world.state().sabotage == Some(Sabotage::SignaturesAreNotVerified) {
            checks = checks.without_signatures();
        }
        Demand { checks, pins }
    }

    /// Reads a version. Whatever it is, it was signed by one whom the reader pins, if signatures are demanded.
    pub(crate) async fn get(&self, demand: &Demand, side: Side, scan: bool, selector: &Selector) -> Got {
        let access = Access {
            checks: &demand.checks,
            ..self.access_to(side)
        };
        let got = match Reader::new(access).scan(scan).read(selector).await {
            Ok(version) => truth_of(version.content).await.map(|truth| (version.facts, truth)),
            Err(error) => Err(error),
        };
        if self.world.theme.signed {
            self.check_trust(demand, side, &got);
        }
        got
    }

    fn check_trust(&self, demand: &Demand, side: Side, got: &Got) {
        let item = &self.world.items[side];
        self.world.check_trust(|vouched, counts| match got {
            Ok((facts, truth)) => {
                counts.believed += u64::from(self.world.theme.attacked);
                vouched.check_believed(item, &demand.pins, facts.entry.as_ref(), truth)
            }
            Err(ItemError::Deleted { number, .. } | ItemError::VersionDeleted { number, .. }) => {
                vouched.check_deleted(item, &demand.pins, *number)
            }
            Err(ItemError::Distrusted { source, .. }) if source.is_of_signature() => {
                counts.distrusted += u64::from(self.world.theme.attacked);
                Ok(())
            }
            Err(_) => Ok(()),
        });
    }

    /// Reads in one of all ways where an attacker writes: the answer may be any error, and nothing that nobody signed.
    pub(crate) async fn believe(&self) {
        // Whoever remembers in a file needs no least number.
        let remembers = self.world.memories.is_some();
        let mut demand = if remembers { self.full_demand() } else { self.demand() };
        let seen = self.seen.get();
        if let Some((number, _)) = seen.filter(|_| !remembers && self.below(2) == 0) {
            demand.checks.min_version = Some(nth(number));
        }
        let minimum = demand.checks.min_version;
        let subject = format!("{demand}, at least {minimum:?}");
        self.begin("read under attack", subject).await;
        let scan = self.below(3) == 0;
        let Some(selector) = self.any_selector().await else {
            return;
        };
        let got = self.get(&demand, self.side, scan, &selector).await;
        if let Ok((facts, _)) = &got {
            let number = facts.number();
            self.world.check_trust(|_, _| {
                ensure(number >= minimum, || {
                    format!("{number:?} was read, and {minimum:?} is the least")
                })
            });
        }
        if selector == Selector::Current {
            self.remember(&got).await;
        }
    }

    /// A version, said in any way there is; most are the current one.
    async fn any_selector(&self) -> Option<Selector> {
        let signed = {
            let state = &mut *self.world.state();
            let heads = state.vouched.heads.iter().map(|head| &head.record);
            let live: Vec<_> = heads
                .filter(|record| record.state == State::Live && record.item == *self.item())
                .collect();
            (!live.is_empty()).then(|| (*state.dice.one_of(&live)).clone())
        };
        // What is remembered is the current version.
        let most = if self.world.memories.is_some() { 40 } else { 10 };
        let said = match (self.below(most), signed) {
            (0, Some(record)) => return Some(Selector::Number(record.number)),
            (1, Some(record)) => return Some(Selector::Name(record.name)),
            (2, Some(record)) => return Some(Selector::Digest(Digest::Sha256(record.checksum()))),
            (3, Some(record)) => return Some(Selector::CurrentWith(Digest::Sha256(record.checksum()))),
            (4, Some(record)) => VersionSpec::Prefix(record.checksum().to_string()),
            (5, _) => VersionSpec::Previous,
            (6, _) => VersionSpec::At(Timestamp::from_unix(self.world.memory.now() - 1).unwrap()),
            _ => return Some(Selector::Current),
        };
        self.access().resolve(&said).await.ok()
    }

    /// What a history calls verified was signed.
    pub(crate) fn check_rows(&self, rows: &[Row]) {
        let signed = self.world.theme.signed;
        self.world.check_trust(|vouched, _| {
            let verified = rows.iter().filter(|row| row.signed == Signed::Verified);
            for row in verified {
                let entry = row.entry.as_ref().filter(|_| signed);
                let known = entry.is_some_and(|entry| vouched.knows(entry).is_some());
                ensure(known, || {
                    format!("number {:?} is called verified, and nobody signed it", row.number)
                })?;
            }
            Ok(())
        });
    }

    /// Compares what was read with what this reader saw before, as `--state` does. It neither goes back nor sideways; and
    /// where nobody attacks, nothing ever seems to.
    pub(crate) async fn remember(&self, got: &Got) {
        let (number, checksum) = match got {
            Ok((facts, _)) => (facts.number(), facts.name.checksum()),
            Err(ItemError::Deleted { number, .. }) => (Some(*number), Checksum::of_nothing()),
            Err(_) => return,
        };
        let Some(folder) = &self.world.memories else {
            return self.seen.set(number.map(|number| (number.get(), checksum)));
        };
        let file = StateFile::new(folder.join(self.index.to_string()));
        let version = freshness::Seen::new("simulated", self.item(), number, checksum);
        let ignored = self.world.state().sabotage == Some(Sabotage::StateIsIgnored);
        let accepted = ignored || file.observe(&[version], false, PATIENCE).await.is_ok();
        let number = number.map_or(0, |number| number.get());
        let is_newer = self
            .seen
            .get()
            .is_none_or(|(before, known)| number > before || number == before && checksum == known);
        if accepted {
            self.seen.set(Some((number, checksum)));
        }
        self.world.check_trust(|_, counts| {
            counts.remembered += 1;
            counts.went_back += u64::from(!accepted);
            ensure(accepted == is_newer, || {
                format!("number {number} is accepted: {accepted}, though it is newer: {is_newer}")
            })?;
            ensure(accepted || self.world.theme.attacked, || {
                format!("number {number} seems to be older, and nobody attacks")
            })
        });
    }
}
