//! What an attacker makes who may put anything anywhere in the bucket, but cannot sign.

use bytes::Bytes;
use microsecrets::checksum::Checksum;
use microsecrets::document::{Document, Metadata};
use microsecrets::layout::Item;
use microsecrets::name::{Nonce, Number, VersionName};
use microsecrets::record::{ChangeKind, Head, Record, Signature, SignedRecord, State};
use microsecrets::secret::SecretBytes;
use microsecrets::trust::VerifyKey;
use strict_fake::{Handle, Object, Raw, Sse};

use crate::process::variables;
use crate::worlds::{BUCKET, FakeAws};

/// What an attacker wants to be started, or signed.
pub(super) const EVIL: &str = "LD_PRELOAD=/tmp/evil.so";

/// What is nowhere but in [`EVIL`].
const MARKS_EVIL: &[u8] = b"evil.so";

/// A record, and bytes that fit it.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) record: Record,
    pub(super) bytes: Vec<u8>,
}

impl Forged {
    /// The next version after one, with this content.
    pub(super) fn after(base: &Record, content: &str) -> Self {
        Self::numbered(base, base.number.next().unwrap().get(), content)
    }

    /// A later version than one, with this number and content.
    pub(super) fn numbered(base: &Record, number: u64, content: &str) -> Self {
        let number = Number::new(number).unwrap();
        let bytes = match base.item.is_file() {
            true => content.as_bytes().to_vec(),
            false => document(&base.item, number, content),
        };
        let record = Record {
            number,
            state: State::Live,
            inline: true,
            name: VersionName::after(Some(&base.name), base.time, Checksum::of(&bytes)).unwrap(),
            parent: Some(base.name.clone()),
            size: bytes.len() as u64,
            kind: ChangeKind::Upload,
            nonce: Nonce::random(),
            signer: None,
            ..base.clone()
        };
        Self { record, bytes }
    }

    /// The same, but for something in the record.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(&mut self.record);
        self
    }

    /// A deletion in its place.
    pub(super) fn deletion(self) -> Self {
        let deletion = self.with(|record| {
            let name = VersionName::after(Some(&record.name), record.time, Checksum::of_nothing());
            record.name = name.unwrap();
            (record.state, record.kind) = (State::Deleted, ChangeKind::Delete);
            (record.inline, record.size, record.mode) = (false, 0, None);
        });
        Self {
            bytes: Vec::new(),
            ..deletion
        }
    }

    /// Its log entry, not signed.
    pub(super) fn entry(&self) -> SignedRecord {
        SignedRecord::new(self.record.clone()).unwrap()
    }

    /// Its log entry with any signature.
    pub(super) fn signed(&self, signature: Vec<u8>) -> SignedRecord {
        self.entry().signed(Signature::new(signature))
    }

    /// Its head, not signed.
    pub(super) fn head(&self) -> Vec<u8> {
        head(self.entry(), &self.bytes)
    }
}

/// A document as this tool writes it.
pub(super) fn document(item: &Item, number: Number, text: &str) -> Vec<u8> {
    let document = Document {
        variables: variables(text),
        metadata: Metadata::new(1.0, "eve@test", item, number),
    };
    document.to_bytes().unwrap().expose().to_vec()
}

/// The bytes of a head.
pub(super) fn head(entry: SignedRecord, bytes: &[u8]) -> Vec<u8> {
    let head = Head::new(entry, SecretBytes::new(bytes.to_vec())).unwrap();
    head.to_bytes().expose().to_vec()
}

/// The head of an item as it is now.
pub(super) fn current(fake: &Handle, item: &Item) -> Head {
    Head::parse(&fake.object(BUCKET, &item.head_key()).unwrap().body).unwrap()
}

/// Puts other bytes in the place of an object, which keeps its headers.
pub(super) fn overwrite(fake: &Handle, key: &str, body: impl Into<Bytes>) {
    let raw = Raw {
        attributes: fake.object(BUCKET, key).unwrap().attributes,
        ..Raw::default()
    };
    fake.put_raw(BUCKET, key, body, raw);
}

/// Puts an object as it is in another place too.
pub(super) fn copy(fake: &Handle, from: &str, to: &str) {
    let object = fake.object(BUCKET, from).unwrap();
    let raw = Raw {
        attributes: object.attributes,
        ..Raw::default()
    };
    fake.put_raw(BUCKET, to, object.body, raw);
}

/// Puts all objects of one fake into another, whose keys have the same names.
pub(super) fn copy_all(from: &Handle, to: &Handle) {
    for key in from.keys(BUCKET) {
        let object = from.object(BUCKET, &key).unwrap();
        let raw = Raw {
            attributes: object.attributes,
            ..Raw::default()
        };
        to.put_raw(BUCKET, &key, object.body, raw);
    }
}

/// Puts an object under a KMS key, as ours or as 0.3.4's.
pub(super) fn plant(fake: &Handle, kms_key: &str, key: &str, body: impl Into<Bytes>, mark: Option<Nonce>) {
    let mark = mark.map(|nonce| ("microsecrets".to_owned(), nonce.to_string()));
    let mut raw = Raw::encrypted(Sse::kms(kms_key));
    raw.attributes.metadata = mark.into_iter().collect();
    fake.put_raw(BUCKET, key, body, raw);
}

impl FakeAws {
    /// A record with the signature of a key, which only the administrator can make.
    pub(super) fn sign(&self, alias: &str, record: Record) -> SignedRecord {
        let (arn, _) = self.signing_key(alias);
        let entry = SignedRecord::new(record).unwrap();
        let signature = self.fake.kms().sign(&arn, entry.line());
        entry.signed(Signature::new(signature))
    }

    /// All records that a key has signed, wherever and whenever they were in the bucket.
    pub(super) fn signed_by(&self, key: &VerifyKey) -> Vec<Record> {
        let objects = self.all_objects();
        let records = objects.iter().filter_map(|(_, body)| record_in(body));
        let signed = records.filter(|entry| {
            let signature = entry.signature();
            signature.is_some_and(|signature| key.verifies(entry.line(), signature))
        });
        signed.map(|entry| entry.record().clone()).collect()
    }

    /// That a key has signed neither what an attacker wants nor a number above this one.
    #[track_caller]
    pub(super) fn assert_nothing_evil_is_signed(&self, key: &VerifyKey, most: u64, context: &str) {
        let signed = self.signed_by(key);
        for record in &signed {
            assert!(record.number.get() <= most, "{context}: {record:?}");
        }
        for (object, body) in self.all_objects() {
            if !body.windows(MARKS_EVIL.len()).any(|window| window == MARKS_EVIL) {
                continue;
            }
            let bytes = Head::parse(&body).map_or_else(|_| body.to_vec(), |head| head.bytes().expose().to_vec());
            let checksum = Checksum::of(&bytes);
            let is_signed = signed.iter().any(|record| record.checksum() == checksum);
            assert!(!is_signed, "{context}: {object}");
        }
    }

    /// All objects as they are.
    pub(super) fn snapshot(&self) -> Vec<Object> {
        let keys = self.fake.keys(BUCKET).into_iter();
        keys.filter_map(|key| self.fake.object(BUCKET, &key)).collect()
    }

    /// Makes the bucket what it was, and lets it forget what came after.
    pub(super) fn restore(&self, objects: &[Object]) {
        for key in self.fake.keys(BUCKET) {
            self.fake.remove(BUCKET, &key);
        }
        for object in objects {
            let raw = Raw {
                attributes: object.attributes.clone(),
                ..Raw::default()
            };
            self.fake.put_raw(BUCKET, &object.key, object.body.clone(), raw);
        }
    }

    /// Every object that ever was, by its key.
    fn all_objects(&self) -> Vec<(String, Bytes)> {
        let keys = self.fake.keys(BUCKET).into_iter();
        let objects = keys.flat_map(|key| self.fake.versions(BUCKET, &key));
        objects.map(|object| (object.key, object.body)).collect()
    }
}

/// The record that an object begins with, if it does.
fn record_in(body: &[u8]) -> Option<SignedRecord> {
    match Head::parse(body) {
        Ok(head) => Some(head.entry().clone()),
        Err(_) => SignedRecord::parse(body).ok(),
    }
}
