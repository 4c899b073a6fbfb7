//! Those who act in a run: our writers, readers and prunes, 0.3.4's, and an attacker. Each judges what came of its
//! operation.

use std::cell::Cell;
use std::sync::Arc;

use microsecrets::checksum::Checksum;
use microsecrets::item::*;
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::time::Timestamp;
use microsecrets::trust::{Checks, RequiredEncryption};

use crate::ledger::{Ledger, Verdict, ensure};
use crate::signers::{BOTH, Signer};
use crate::store::Client;
use crate::world::{Operation, Side, World};

/// What an actor does.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Write(String),
    /// Writes what the other service's item holds.
    Promote(String),
    /// Writes without a key where everybody else signs.
    WriteUnsigned(String),
    Apply,
    Finish,
    ReSign,
    Prune,
    Read,
    History,
    LegacyWrite(String),
    LegacyRead,
    Attack,
}

pub(crate) struct Actor {
    pub(crate) world: Arc<World>,
    pub(crate) index: usize,
    /// Whose item it works on.
    pub(crate) side: Side,
    pub(crate) client: Client,
    pub(crate) checks: Checks,
    /// What it has seen, which it remembers in a file: the number and the checksum, by its own head.
    pub(crate) seen: Cell<Option<(u64, Checksum)>>,
}

impl Actor {
    pub(crate) fn new(world: &Arc<World>, index: usize, side: Side) -> Self {
        let mut pins = BOTH;
        if world.state().dice.once_in(2) {
            pins.reverse();
        }
        Self {
            world: world.clone(),
            index,
            side,
            client: Client::new(world, index),
            checks: checks(world, &pins),
            seen: Cell::new(None),
        }
    }

    pub(crate) fn item(&self) -> &Item {
        &self.world.items[self.side]
    }

    pub(crate) fn access(&self) -> Access<'_> {
        self.access_to(self.side)
    }

    pub(crate) fn access_to(&self, side: Side) -> Access<'_> {
        Access {
            store: &self.client,
            checks: &self.checks,
            item: &self.world.items[side],
        }
    }

    pub(crate) fn below(&self, most: u64) -> u64 {
        self.world.state().dice.below(most)
    }

    pub(crate) async fn begin(&self, what: &'static str, subject: String) -> u64 {
        self.world.begin(self.index, what, subject).await
    }

    pub(crate) async fn run(self, tasks: Vec<Task>) {
        for task in tasks {
            match task {
                Task::Write(id) => {
                    let (wanted, expected) = self.choose();
                    self.write(id, wanted, expected).await;
                }
                Task::Promote(id) => self.promote(id).await,
                Task::WriteUnsigned(id) => self.write_unsigned(id).await,
                Task::Apply => self.apply().await,
                Task::Finish => self.finish().await,
                Task::ReSign => self.re_sign().await,
                Task::Prune => self.prune().await,
                Task::Read if self.world.theme.attacked => self.believe().await,
                Task::Read => self.read().await,
                Task::History => self.history().await,
                Task::LegacyWrite(id) => self.legacy_write(&id).await,
                Task::LegacyRead => self.legacy_read().await,
                Task::Attack => self.attack().await,
            }
        }
    }

    pub(crate) fn judge(&self, judge: impl FnOnce(&mut Ledger, &Operation) -> Verdict) {
        self.world.judge(self.index, self.side, judge);
    }

    async fn prune(&self) {
        let begin = self.begin("prune", String::new()).await;
        let policy = self.policy();
        self.world.state().operations[self.index].policy = Some(policy.clone());
        let result = self.prune_by(&policy).await;
        self.judge(|ledger, operation| match result {
            Ok(()) => Ok(()),
            Err(ItemError::Absent { .. }) => Ok(()),
            Err(error @ (ItemError::HeadMissing { .. } | ItemError::NeverAdopted { .. })) => {
                // Bytes before any commit are a large file's.
                let is_adopted = matches!(error, ItemError::NeverAdopted { .. });
                ensure(is_adopted || self.world.large(), || format!("a prune failed: {error}"))?;
                ensure(ledger.versions.first().is_none_or(|first| first.at > begin), || {
                    "a prune does not find the head".to_owned()
                })
            }
            Err(ItemError::CurrentVersion { .. } | ItemError::NoSuchNumber { .. }) if policy.only.is_some() => Ok(()),
            Err(ItemError::Store(_)) if operation.faults > 0 => Ok(()),
            Err(error) => Err(format!("a prune failed: {error}")),
        });
    }

    async fn prune_by(&self, policy: &PrunePolicy) -> Result<(), ItemError> {
        for record in self.access().prunable(policy).await? {
            self.access().remove_bytes(&record).await?;
        }
        Ok(())
    }

    fn policy(&self) -> PrunePolicy {
        let now = self.world.memory.now();
        let state = &mut *self.world.state();
        let (dice, ledger) = (&mut state.dice, &state.ledgers[self.side]);
        let mut policy = PrunePolicy::default();
        match dice.below(5) {
            0 => policy.keep = Some(1 + dice.below(2)),
            1 => policy.older_than = Timestamp::from_unix(now - dice.below(3) as i64),
            2 => policy.only = Number::new(1 + dice.below(ledger.current() + 1)),
            3 => policy
                .protect
                .extend(ledger.versions.first().map(|first| first.record.checksum())),
            _ => {}
        }
        policy
    }
}

/// What is demanded of what the store answers: where writers sign, that one of these did.
pub(crate) fn checks(world: &World, pins: &[Signer]) -> Checks {
    let mut checks = Checks::new(RequiredEncryption::Store);
    if world.theme.signed {
        checks.verify_keys = pins.iter().map(|signer| signer.public()).collect();
    }
    checks
}
