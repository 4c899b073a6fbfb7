//! The rules that only S3 and KMS have: whose bucket, which key, whose rights. On the strict fake, because emulators
//! accept what AWS refuses.

mod adoptions;
mod attacker;
mod bases;
mod bodies;
mod chains;
mod encryption;
mod flips;
mod forgeries;
mod keys;
mod lifetimes;
mod owner;
mod replays;
mod rights;
mod signatures;
mod swaps;
mod writes;

use microsecrets::checksum::Checksum;
use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use microsecrets::store::{Encryption, ErrorKind, StoreError};
use microsecrets::trust::{RequiredEncryption, VerifyKey};
use strict_fake::{Attributes, Principal, Raw, Sse};

use crate::process::Process;
use crate::worlds::{BUCKET, FakeAws};

/// SSE-KMS, under whatever key.
fn unpinned() -> RequiredEncryption {
    RequiredEncryption::Kms(None)
}

/// SSE-KMS under one key.
fn pinned(arn: &str) -> RequiredEncryption {
    RequiredEncryption::Kms(Some(arn.parse().unwrap()))
}

/// The alias of the key that signs.
const SIGNING: &str = "alias/microsecrets-signing/api";

impl FakeAws {
    /// A key that signs, made when it is first asked for: its ARN and its public half.
    fn signing_key(&self, alias: &str) -> (String, VerifyKey) {
        let kms = self.fake.kms();
        let arn = kms.resolve(alias).unwrap_or_else(|| kms.create_signing_key(alias));
        let public = VerifyKey::from_spki(&kms.public_key(&arn)).unwrap();
        (arn, public)
    }

    /// A process that believes only what one of these keys has signed.
    async fn believer(&self, keys: &[VerifyKey], item: &Item) -> Process {
        let mut process = self.ann(item).await;
        process.checks.verify_keys = keys.to_vec();
        process
    }

    /// A process that signs, and believes only what it would sign.
    async fn signer(&self, item: &Item) -> Process {
        let (_, public) = self.signing_key(SIGNING);
        let mut process = self.believer(&[public], item).await;
        process.sign_with = Some(SIGNING.to_owned());
        process
    }

    /// A process of the administrator's that demands SSE-KMS.
    async fn ann(&self, item: &Item) -> Process {
        self.process(&self.admin, unpinned(), item).await
    }

    /// Somebody who may do exactly this: `action resource`, with `KEY` for the key's ARN and `BUCKET` for the bucket's.
    fn somebody(&self, name: &str, rights: &[&str]) -> Principal {
        let who = self.fake.principal(name, "somebody's secret", crate::worlds::ACCOUNT);
        for right in rights {
            let (action, resource) = right.split_once(' ').unwrap();
            let resource = match resource {
                "KEY" => self.key.clone(),
                resource => resource.replace("BUCKET", &format!("arn:aws:s3:::{BUCKET}")),
            };
            self.fake.allow(&who, action, &resource);
        }
        who
    }

    /// Lets the bucket lie about the encryption of an object that is there.
    fn forge(&self, key: &str, algorithm: Option<&str>, kms_key: Option<&str>) {
        let object = self.fake.object(BUCKET, key).unwrap();
        let sse = algorithm.map_or(Sse::Absent, |algorithm| Sse::Forged {
            algorithm: algorithm.to_owned(),
            key: kms_key.map(ToOwned::to_owned),
        });
        let attributes = Attributes {
            sse,
            ..object.attributes
        };
        let raw = Raw {
            attributes,
            ..Raw::default()
        };
        self.fake.put_raw(BUCKET, key, object.body, raw);
    }

    /// What 0.3.4 wrote: bytes without a head. An environment, and where its bytes lie.
    fn legacy(&self) -> (Item, String) {
        let item = Item::environment("legacy".parse().unwrap());
        let bytes = br#"{"environment": {"A": "1"}, "metadata": {}}"#;
        let name = format!("2020-01-01.00-00-00.{}", Checksum::of(bytes));
        let key = item.version_key(&name.parse().unwrap());
        self.fake.put_raw(BUCKET, &key, bytes.as_slice(), Raw::default());
        self.forge(&key, Some("aws:kms"), Some(&self.key));
        (item, key)
    }

    /// How many objects were put, or begun to be.
    fn puts(&self) -> usize {
        let operations = self.fake.operations();
        let puts = ["PutObject", "CreateMultipartUpload"];
        operations.iter().filter(|name| puts.contains(&name.as_str())).count()
    }
}

/// The store's own error.
#[track_caller]
fn of_store<T>(result: Result<T, ItemError>) -> StoreError {
    match result.err().unwrap() {
        ItemError::Store(error) => error,
        error => panic!("{error}"),
    }
}

/// The action and the resource that were denied.
#[track_caller]
fn denied(error: &StoreError) -> (String, String) {
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}");
    };
    (denial.action.clone().unwrap(), denial.resource.clone().unwrap())
}

/// Why something is not believed: one line.
#[track_caller]
fn distrust<T>(result: Result<T, ItemError>) -> String {
    match result.err().unwrap() {
        ItemError::Distrusted { source, .. } => source.to_string(),
        error => panic!("{error}"),
    }
}

fn kms(arn: &str) -> Encryption {
    Encryption::Kms(arn.to_owned())
}
