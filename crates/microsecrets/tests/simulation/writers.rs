//! Our writers: what they want, how they commit it, and whether they may end as they do.

use microsecrets::item::*;
use microsecrets::record::{ChangeKind, VersionRef};
use microsecrets::secret::SecretString;

use crate::actors::Actor;
use crate::common::{file_content, nth, variables};
use crate::ledger::{Intent, Ledger, Seen, Truth, Verdict, Wanted, ensure, same};
use crate::legacy::REFUSED_AHEAD;
use crate::sabotage::Sabotage;
use crate::signers::{Signer, SigningKeys};
use crate::vouched::Shown;
use crate::world::{Operation, World};

/// How the content of a change is made.
enum Make {
    Truth(Truth),
    Edits(Edits),
}

impl Actor {
    /// What a writer wants, and now and then over which number.
    pub(crate) fn choose(&self) -> (Wanted, Option<u64>) {
        let state = &mut *self.world.state();
        let (dice, current) = (&mut state.dice, state.ledgers[self.side].current());
        let expected = dice.once_in(8).then_some(current);
        let wanted = match dice.below(10) {
            0 => Wanted::Deletion,
            1 | 2 if current > 0 => Wanted::Rollback(1 + dice.below(current)),
            3..5 => Wanted::Upload(one_content(&self.world, dice.below(4))),
            _ if self.world.is_file() => Wanted::Upload(one_content(&self.world, dice.below(4))),
            _ => {
                // Its own variable, and now and then one that others change, too.
                let own = (format!("V{}", self.index), Some(format!("{}", dice.below(1000))));
                let shared = ("SHARED".to_owned(), dice.once_in(2).then(|| dice.below(3).to_string()));
                let edits = if dice.once_in(4) { vec![own, shared] } else { vec![own] };
                Wanted::Edits(edits)
            }
        };
        (wanted, expected)
    }

    /// A writer, which signs if anybody does, and now and then accepts what it is shown that nobody signed.
    async fn writer(&self, accepts: bool) -> Result<Writer<'_>, ItemError> {
        let user = format!("actor{}@test", self.index);
        let mut writer = Writer::new(self.access(), &SigningKeys, "alias/none", &user);
        if !self.world.theme.signed {
            return Ok(writer);
        }
        writer.sign_with = Some(self.signs_with().name().to_owned());
        if accepts && let Some(unsigned) = self.access().unsigned().await? {
            let shown = match unsigned.version.map(|version| version.facts) {
                None => Shown::Deletion,
                Some(Facts { entry: Some(entry), .. }) => Shown::Record(entry.line().to_vec()),
                Some(facts) => Shown::Legacy(facts.key),
            };
            writer.adopt = unsigned.accepts;
            let state = &mut *self.world.state();
            state.counts.accepted += 1;
            if state.sabotage != Some(Sabotage::UnsignedIsAcceptedUnasked) {
                state.operations[self.index].shown = Some(shown);
            }
        }
        Ok(writer)
    }

    /// The old key, until somebody begins to sign with the new one; from then on only a few still have the old one.
    pub(crate) fn signs_with(&self) -> Signer {
        let state = &mut *self.world.state();
        state.rotated |= state.dice.once_in(6);
        match state.rotated && !state.dice.once_in(6) {
            true => Signer::New,
            false => Signer::Old,
        }
    }

    fn accepts(&self) -> bool {
        self.world.theme.signed && self.below(3) == 0
    }

    fn intend(&self, id: &str, wanted: &Wanted, expected: Option<u64>) {
        let intent = Intent {
            wanted: wanted.clone(),
            expected,
            refused: false,
        };
        let mut state = self.world.state();
        state.ledgers[self.side].intents.insert(id.to_owned(), intent);
    }

    pub(crate) async fn write(&self, id: String, wanted: Wanted, expected: Option<u64>) {
        let accepts = self.accepts();
        self.write_as(id, wanted, expected, accepts).await;
    }

    pub(crate) async fn write_as(&self, id: String, wanted: Wanted, expected: Option<u64>, accepts: bool) {
        self.intend(&id, &wanted, expected);
        let begin = self.begin("write", id.clone()).await;
        let committed = async {
            let (kind, make) = self.content(&wanted).await?;
            let writer = self.writer(accepts).await?;
            commit(&writer, &id, expected, kind, make).await
        };
        self.written(&id, begin, &wanted, committed.await);
    }

    /// Reads the other service's item and publishes what it holds.
    pub(crate) async fn promote(&self, id: String) {
        let begin = self.begin("promote", id.clone()).await;
        let Some((truth, version)) = self.read_to_promote(begin).await else {
            return;
        };
        self.world.state().counts.promoted += 1;
        let kind = ChangeKind::Promote(self.world.items[self.side.other()].service().clone(), version.clone());
        let wanted = Wanted::Promotion(truth.clone(), version);
        self.intend(&id, &wanted, None);
        let accepts = self.accepts();
        let committed = async {
            let writer = self.writer(accepts).await?;
            commit(&writer, &id, None, kind, Make::Truth(truth)).await
        };
        self.written(&id, begin, &wanted, committed.await);
    }

    /// Somebody whose key nobody pins, or who has none, writes all the same.
    pub(crate) async fn write_unsigned(&self, id: String) {
        let (wanted, _) = self.choose();
        if matches!(wanted, Wanted::Rollback(_)) {
            return;
        }
        self.intend(&id, &wanted, None);
        self.begin("write unsigned", id.clone()).await;
        self.world.state().operations[self.index].stranger = true;
        let anybody = self.checks.without_signatures();
        let access = Access {
            checks: &anybody,
            ..self.access()
        };
        let writer = Writer::new(access, &SigningKeys, "alias/none", "eve@test");
        if let Ok((kind, make)) = self.content(&wanted).await {
            let committed = commit(&writer, &id, None, kind, make).await.is_ok();
            self.world.state().counts.attacks += u64::from(committed);
        }
    }

    /// Judges how a write ended.
    fn written(&self, id: &str, begin: u64, wanted: &Wanted, outcome: Result<Outcome, ItemError>) {
        if self.world.theme.attacked {
            return self.written_under_attack(id, outcome);
        }
        self.judge(|ledger, operation| match outcome {
            Ok(Outcome::Committed(committed)) => acknowledged(ledger, id, &committed),
            Ok(_) => refused(ledger, id),
            Err(ItemError::Unknown { .. }) => ensure(operation.faults > 0, || {
                format!("nobody knows what came of {id}, though no answer was lost")
            }),
            Err(error) => {
                refused(ledger, id)?;
                ensure(self.excused(ledger, operation, begin, wanted, &error), || {
                    format!("{id} failed without need: {error}")
                })
            }
        });
    }

    /// Whoever may put anything anywhere can keep others from writing. What is acknowledged was signed all the same.
    fn written_under_attack(&self, id: &str, outcome: Result<Outcome, ItemError>) {
        self.world.judge_trust(self.index, |vouched, counts| match outcome {
            Ok(Outcome::Committed(committed)) => {
                let record = committed.entry.record();
                let signed = vouched.heads.iter().any(|head| same(&head.record, record));
                let own = record.message.as_deref() == Some(id);
                ensure(signed && own, || format!("{id} is acknowledged, and was not put"))
            }
            Err(ItemError::Distrusted { source, .. }) if source.is_of_signature() => {
                counts.distrusted_bases += 1;
                Ok(())
            }
            _ => Ok(()),
        });
    }

    /// How to make what is wanted; a rollback reads it first.
    async fn content(&self, wanted: &Wanted) -> Result<(ChangeKind, Make), ItemError> {
        Ok(match wanted {
            Wanted::Deletion => (ChangeKind::Delete, Make::Truth(Truth::Nothing)),
            Wanted::Upload(truth) | Wanted::Promotion(truth, _) => (ChangeKind::Upload, Make::Truth(truth.clone())),
            Wanted::Edits(edits) => {
                let secret =
                    |(name, value): &(String, Option<String>)| (name.clone(), value.clone().map(SecretString::new));
                let edits = edits.iter().map(secret).collect();
                (ChangeKind::Set, Make::Edits(Edits::new(self.item().clone(), edits)))
            }
            Wanted::Rollback(to) => {
                let version = Reader::new(self.access()).read(&Selector::Number(nth(*to))).await?;
                let kind = ChangeKind::Rollback(VersionRef::Number(nth(*to)));
                (kind, Make::Truth(truth_of(version.content).await?))
            }
        })
    }

    /// `migrate --apply`: what 0.3.4 wrote gets a head, and nothing else is changed.
    pub(crate) async fn apply(&self) {
        let begin = self.begin("migrate --apply", String::new()).await;
        let beyond = self.world.state().ledgers[self.side].legacy_beyond();
        let accepts = self.accepts();
        let kept = async {
            let writer = self.writer(accepts).await?;
            writer
                .write(OnConflict::Report, |_: &Base<'_>| Ok(Decision::Keep))
                .await
        };
        let kept = kept.await;
        if self.world.theme.attacked {
            return;
        }
        self.world.state().counts.applied += u64::from(beyond.is_some() && kept.is_ok());
        self.judge(|ledger, operation| match kept {
            Ok(Outcome::Kept { entry, .. }) => {
                let number = entry.as_ref().map_or(0, |entry| entry.record().number.get());
                let known = entry
                    .as_ref()
                    .zip(ledger.version(number))
                    .is_none_or(|(entry, version)| same(&version.record, entry.record()));
                ensure(
                    known && (number > 0 || ledger.versions.first().is_none_or(|first| first.at > begin)),
                    || format!("number {number} is said to be the head"),
                )?;
                ensure(beyond.is_none_or(|key| ledger.is_adopted_or_passed(&key)), || {
                    "what 0.3.4 wrote last has no head".to_owned()
                })
            }
            Ok(_) => Err("a migration began with a version of its own".to_owned()),
            Err(error) => ensure(
                self.excused(ledger, operation, begin, &Wanted::Deletion, &error),
                || format!("the beginning of a migration failed: {error}"),
            ),
        });
    }

    /// `migrate --finish`.
    pub(crate) async fn finish(&self) {
        let begin = self.begin("migrate --finish", String::new()).await;
        self.world.state().operations[self.index].finishes = true;
        let accepts = self.accepts();
        let finished = async { self.writer(accepts).await?.finish_migration().await };
        let outcome = finished.await;
        self.put_again("the end of a migration", begin, outcome, |counts| &mut counts.finished);
    }

    /// `re-sign`: the current version, by the key that is signed with now.
    pub(crate) async fn re_sign(&self) {
        let begin = self.begin("re-sign", String::new()).await;
        {
            // Keys are changed for a reason.
            let state = &mut *self.world.state();
            state.rotated |= state.dice.once_in(2);
        }
        let accepts = self.accepts();
        let signed = async { self.writer(accepts).await?.re_sign().await };
        let outcome = signed.await;
        self.put_again("another signature", begin, outcome, |counts| &mut counts.re_signed);
    }

    /// Judges what keeps its number, and is put again.
    fn put_again(
        &self,
        what: &str,
        begin: u64,
        outcome: Result<Outcome, ItemError>,
        count: impl FnOnce(&mut crate::tally::Tally) -> &mut u64,
    ) {
        if self.world.theme.attacked {
            return;
        }
        *count(&mut self.world.state().counts) += u64::from(matches!(outcome, Ok(Outcome::Committed(_))));
        self.judge(|ledger, operation| match outcome {
            Ok(Outcome::Committed(committed)) => {
                let record = committed.entry.record();
                let version = ledger.version(record.number.get());
                ensure(version.is_some_and(|version| same(&version.record, record)), || {
                    format!("{what} was put as number {}, which is another", record.number)
                })?;
                let left_out = |note: &Note| matches!(note, Note::Unfinished { .. });
                match committed.notes.iter().any(left_out) {
                    true => Ok(()),
                    false => ledger.check_raced_again(record.number.get(), self.index, &committed.notes),
                }
            }
            Ok(_) => Ok(()),
            Err(ItemError::Unknown { .. }) => ensure(operation.faults > 0, || "unknown without a fault".to_owned()),
            Err(error) => ensure(
                self.excused(ledger, operation, begin, &Wanted::Deletion, &error),
                || format!("{what} failed: {error}"),
            ),
        });
    }

    /// Whether there was a reason for a write to fail.
    fn excused(&self, ledger: &Ledger, operation: &Operation, begin: u64, wanted: &Wanted, error: &ItemError) -> bool {
        let is_ahead = |seconds: i64| seconds <= REFUSED_AHEAD;
        match (error, wanted) {
            (ItemError::Store(_), _) => operation.faults > 0,
            (ItemError::Conflict { by, .. }, _) => {
                let rival = ledger.version(by.number.get());
                rival.is_some_and(|rival| rival.at > begin)
            }
            (ItemError::Clash { .. }, _) => ledger.commits_since(begin) > 0,
            (ItemError::FutureDated { seconds, .. }, _) => is_ahead(*seconds),
            // What 0.3.4 wrote is not signed; it was seen beyond the head, or where there was none.
            (ItemError::Distrusted { key, source }, _) if source.is_of_signature() => {
                ledger.was_visible(begin, true, &Seen::Legacy(key.clone()))
            }
            (ItemError::NeverSigned { .. }, _) => {
                self.world.theme.signed && ledger.versions.first().is_none_or(|first| first.at > begin)
            }
            // Who is to be shown what is not signed reads it first.
            (ItemError::HeadMissing { .. }, _) if self.world.theme.signed => {
                self.world.large() && ledger.versions.first().is_none_or(|first| first.at > begin)
            }
            (ItemError::VersionDeleted { number, .. }, Wanted::Rollback(to)) => {
                number.get() == *to
                    && ledger
                        .version(*to)
                        .is_some_and(|version| version.truth == Truth::Nothing)
            }
            (ItemError::Pruned { number, .. }, Wanted::Rollback(to)) => {
                number.get() == *to && ledger.version(*to).is_some_and(|version| version.pruned)
            }
            _ => false,
        }
    }
}

async fn commit(
    writer: &Writer<'_>,
    id: &str,
    expected: Option<u64>,
    kind: ChangeKind,
    mut make: Make,
) -> Result<Outcome, ItemError> {
    let on_conflict = match make {
        Make::Edits(_) => OnConflict::Reapply,
        Make::Truth(_) => OnConflict::Report,
    };
    let decide = |base: &Base<'_>| {
        let current = base.record().map_or(0, |record| record.number.get());
        if expected.is_some_and(|expected| expected != current) {
            return Ok(Decision::Keep);
        }
        let content = match &mut make {
            Make::Truth(truth) => content_of(truth),
            Make::Edits(edits) => match edits.apply(base)? {
                Applied::Variables(variables) => Content::Environment(variables),
                _ => return Ok(Decision::Keep),
            },
        };
        let change = Change::new(kind.clone(), content).message(Some(id.to_owned()));
        Ok(Decision::Commit(change))
    };
    writer.write(on_conflict, decide).await
}

/// One of a few contents, so that they are equal now and then. Where files are large, half of these are.
pub(crate) fn one_content(world: &World, choice: u64) -> Truth {
    if !world.is_file() {
        let value = choice.to_string();
        return Truth::Variables([("U".to_owned(), value)].into());
    }
    Truth::Bytes(match choice {
        0 | 1 if world.large() => crate::common::large(b'x' + choice as u8),
        0 => Vec::new(),
        1 => b"a".to_vec(),
        2 => b"b".to_vec(),
        _ => b"c".to_vec(),
    })
}

fn content_of(truth: &Truth) -> Content {
    match truth {
        Truth::Nothing => Content::Deletion,
        Truth::Bytes(bytes) => file_content(bytes),
        Truth::Variables(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            Content::Environment(variables(&pairs))
        }
    }
}

/// What a reader got.
pub(crate) async fn truth_of(content: VersionContent) -> Result<Truth, ItemError> {
    match content {
        VersionContent::Environment(document) => Ok(Truth::variables(&document.variables)),
        VersionContent::File(bytes) => Ok(Truth::Bytes(bytes.expose().to_vec())),
        VersionContent::Stream(mut stream) => {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(Truth::Bytes(bytes))
        }
        _ => unreachable!("there is no fourth kind of content"),
    }
}

/// An acknowledged write is in the chain, once, as what was acknowledged.
fn acknowledged(ledger: &mut Ledger, id: &str, committed: &Committed) -> Verdict {
    let record = committed.entry.record();
    let number = record.number.get();
    let version = ledger.version(number);
    ensure(version.is_some_and(|version| same(&version.record, record)), || {
        format!("{id} is acknowledged as number {number}, which it is not")
    })?;
    ensure(record.message.as_deref() == Some(id), || {
        format!("{id} is told that it committed somebody else's number {number}")
    })?;
    let left_out = |note: &Note| matches!(note, Note::Unfinished { .. });
    if !committed.notes.iter().any(left_out) {
        ledger.complete = ledger.complete.max(number);
        ledger.check_raced(number, &committed.notes)?;
    }
    Ok(())
}

/// A write that its writer calls a failure is not in the chain, and never will be.
fn refused(ledger: &mut Ledger, id: &str) -> Verdict {
    let message = Some(id);
    let committed = ledger
        .versions
        .iter()
        .find(|version| version.record.message.as_deref() == message);
    if let Some(intent) = ledger.intents.get_mut(id) {
        intent.refused = true;
    }
    match committed {
        Some(version) => Err(format!(
            "{id} is called a failure, and is number {}",
            version.record.number
        )),
        None => Ok(()),
    }
}
