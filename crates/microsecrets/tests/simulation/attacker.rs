//! One who may put anything anywhere in the bucket, and holds no key that anybody pins.

use microsecrets::checksum::Checksum;
use microsecrets::document::{Document, Metadata};
use microsecrets::name::{Nonce, VersionName};
use microsecrets::record::{ChangeKind, Head, Record, Signature, SignedRecord, State};
use microsecrets::secret::SecretBytes;
use microsecrets::store::Mark;

use crate::actors::Actor;
use crate::common::variables;
use crate::signers::Signer;

impl Actor {
    /// Puts one forgery, made of what lies there now.
    pub(crate) async fn attack(&self) {
        // Whoever remembers is attacked with what was signed once.
        let attack = match self.world.memories.is_some() && self.below(3) > 0 {
            true => 3,
            false => self.below(12),
        };
        // An attack is one request, and others need many: he bides his time.
        for _ in 0..=self.below(8) {
            self.world.turn(self.index).await;
        }
        let what = match attack {
            0 => self.put_forged("a head that nobody signed", |entry| entry),
            1 => self.put_forged("a head that a stranger signed", |entry| {
                let signature = Signer::Stranger.sign(entry.line());
                entry.signed(Signature::new(signature))
            }),
            2 => self.put_with_anothers_signature(),
            3..=5 => self.put_back(),
            6 => self.put_the_other_items_head(),
            7 => self.strip(),
            8 => self.flip(),
            9 => self.forge_log(),
            10 => self.forge_bytes(),
            _ => self.remove_head(),
        };
        let mut state = self.world.state();
        state.tick();
        state.counts.attacks += u64::from(what.is_some());
        state.note(self.index, "attack", String::new(), what.unwrap_or("nothing to attack"));
    }

    fn head(&self) -> Option<Head> {
        let kept = self.world.memory.object(&self.item().head_key())?;
        Head::parse(&kept.bytes).ok()
    }

    fn put_head(&self, bytes: &[u8]) {
        self.world.memory.put_raw(&self.item().head_key(), bytes, None);
    }

    fn put_forged(&self, what: &'static str, sign: impl FnOnce(SignedRecord) -> SignedRecord) -> Option<&'static str> {
        let (record, bytes) = forged(self.head()?.record())?;
        let entry = sign(SignedRecord::new(record).ok()?);
        self.put_head(&[entry.to_bytes(), bytes].concat());
        Some(what)
    }

    /// A true signature under a record that it is not of.
    fn put_with_anothers_signature(&self) -> Option<&'static str> {
        let signature = Signature::new(self.head()?.entry().signature()?.der().to_vec());
        self.put_forged("a head with another one's signature", |entry| entry.signed(signature))
    }

    /// A head that was there once: it was signed.
    fn put_back(&self) -> Option<&'static str> {
        let bytes = {
            let state = &mut *self.world.state();
            let seen = state.vouched.seen.iter().filter(|(side, _)| *side == self.side);
            let seen: Vec<_> = seen.map(|(_, bytes)| bytes).collect();
            (!seen.is_empty()).then(|| (*state.dice.one_of(&seen)).clone())?
        };
        self.put_head(&bytes);
        Some("an old head")
    }

    fn put_the_other_items_head(&self) -> Option<&'static str> {
        let other = self.world.items[self.side.other()].head_key();
        self.put_head(&self.world.memory.object(&other)?.bytes);
        Some("the other item's head")
    }

    fn strip(&self) -> Option<&'static str> {
        let (entry, bytes) = self.head()?.into_parts();
        let unsigned = SignedRecord::new(entry.record().clone()).ok()?;
        self.put_head(&[unsigned.to_bytes(), bytes.expose().to_vec()].concat());
        Some("the head without its signature")
    }

    /// Other bytes under a record that was signed.
    fn flip(&self) -> Option<&'static str> {
        let head = self.head().filter(|head| head.record().state == State::Live)?;
        let (record, evil) = forged(head.record())?;
        let bytes = match record.item.is_file() {
            true => b"evil".to_vec(),
            false => evil,
        };
        self.put_head(&[head.entry().to_bytes(), bytes].concat());
        Some("the head with other bytes")
    }

    /// A log entry that nobody signed, or another number's.
    fn forge_log(&self) -> Option<&'static str> {
        let head = self.head()?;
        let (mut record, _) = forged(head.record())?;
        let entry = match self.below(3) {
            0 => head.entry().clone(),
            1 => SignedRecord::new(record.clone()).ok()?,
            _ => {
                record.number = head.record().number;
                let entry = SignedRecord::new(record.clone()).ok()?;
                let signature = Signer::Stranger.sign(entry.line());
                entry.signed(Signature::new(signature))
            }
        };
        self.world
            .memory
            .put_raw(&self.item().log_key(record.number), &entry.to_bytes(), None);
        Some("a log entry")
    }

    /// Bytes at a version's key: where a version lies, or as a newer one.
    fn forge_bytes(&self) -> Option<&'static str> {
        let head = self.head()?;
        let (record, bytes) = forged(head.record())?;
        let (name, mark) = match self.below(3) {
            0 => (head.record().name.clone(), Some(Mark::Ours(head.record().nonce))),
            1 => (record.name, Some(Mark::Ours(record.nonce))),
            _ => (record.name, None),
        };
        self.world.memory.put_raw(&self.item().version_key(&name), &bytes, mark);
        Some("a version's bytes")
    }

    fn remove_head(&self) -> Option<&'static str> {
        self.world.memory.remove(&self.item().head_key())?;
        Some("the head is removed")
    }
}

/// The version that an attacker would like to come next.
fn forged(base: &Record) -> Option<(Record, Vec<u8>)> {
    let number = base.number.next()?;
    let bytes = match base.item.is_file() {
        true => b"evil".to_vec(),
        false => {
            let document = Document {
                variables: variables(&[("EVIL", "1")]),
                metadata: Metadata::new(1.0, "eve@test", &base.item, number),
            };
            document.to_bytes().ok()?.expose().to_vec()
        }
    };
    let record = Record {
        number,
        state: State::Live,
        inline: true,
        name: VersionName::after(Some(&base.name), base.time, Checksum::of(&bytes))?,
        parent: Some(base.name.clone()),
        size: bytes.len() as u64,
        mode: None,
        kind: ChangeKind::Upload,
        message: Some("forged".to_owned()),
        nonce: Nonce::random(),
        ..base.clone()
    };
    let _fits = Head::new(SignedRecord::new(record.clone()).ok()?, SecretBytes::new(bytes.clone())).ok()?;
    Some((record, bytes))
}
