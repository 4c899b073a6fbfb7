//! The store in S3 and the keys in KMS, against a strict stand-in for both and against servers that answer nonsense.
#![allow(clippy::unwrap_used, reason = "a test ends where its expectation does")]

mod environment;
mod keys;
mod listing;
mod malformed;
mod multipart;
mod network;
mod reading;
mod writing;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use microsecrets::aws::{AccessKey, Aws, AwsSettings};
use microsecrets::name::Nonce;
use microsecrets::secret::{SecretBytes, SecretString};
use microsecrets::store::s3::S3Store;
use microsecrets::store::{
    Body, Condition, ContentType, Encryption, Object, Payload, Put, RetryPolicy, Source, Store, StoreError, Stored,
};
use strict_fake::{Bucket, Principal, StrictFake};

const BUCKET: &str = "example-microsecrets";
const ACCOUNT: &str = "111122223333";
const NONCE: Nonce = Nonce::from_bytes(*b"0123456789abcdef");

/// A bucket, a key to encrypt under, and somebody who may do everything.
struct World {
    fake: StrictFake,
    key: String,
    admin: Principal,
}

impl World {
    fn new() -> Self {
        Self::with(StrictFake::builder().bucket(BUCKET, Bucket::default()))
    }

    fn with(builder: strict_fake::Builder) -> Self {
        let fake = builder.start();
        let key = fake.kms().create_key("microsecrets-api");
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", ACCOUNT);
        Self { fake, key, admin }
    }

    /// The way to the fake, as somebody.
    fn settings(&self, who: &Principal) -> AwsSettings {
        settings(&self.fake.endpoint(), who)
    }

    async fn aws(&self) -> Aws {
        Aws::open(self.settings(&self.admin)).await.unwrap()
    }

    async fn store(&self) -> S3Store {
        S3Store::new(self.aws().await, BUCKET, Some(ACCOUNT.to_owned()))
    }

    async fn store_of(&self, who: &Principal) -> S3Store {
        S3Store::new(Aws::open(self.settings(who)).await.unwrap(), BUCKET, None)
    }

    /// How the tests write: under the key's ARN.
    fn encryption(&self) -> Encryption {
        Encryption::Kms(self.key.clone())
    }

    fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Put {
        let payload = Payload::Bytes(SecretBytes::new(bytes.to_vec()));
        Put::new(key, payload, condition, self.encryption()).content_type(ContentType::Json)
    }

    fn upload(&self, key: &str, source: Announced) -> Put {
        let payload = Payload::Source(Box::new(source));
        Put::new(key, payload, Condition::Absent, self.encryption()).marked(NONCE)
    }

    fn operations(&self) -> Vec<String> {
        self.fake.operations()
    }
}

fn settings(endpoint: &str, who: &Principal) -> AwsSettings {
    let mut settings = AwsSettings::default();
    settings.region = Some("us-east-1".to_owned());
    settings.endpoint = Some(endpoint.to_owned());
    settings.retry = impatient();
    settings.access_key = Some(AccessKey {
        id: who.access_key.clone(),
        secret: SecretString::new(who.secret_key.clone()),
        session_token: None,
    });
    settings
}

/// Somebody, for servers that ask for nobody.
fn somebody() -> Principal {
    Principal {
        name: "somebody".to_owned(),
        access_key: "AKIASOMEBODY".to_owned(),
        secret_key: "somebody's secret".to_owned(),
        account: ACCOUNT.to_owned(),
    }
}

/// Quick retries, and an end soon.
fn impatient() -> RetryPolicy {
    let mut policy = RetryPolicy::with_timeout(Duration::from_millis(900));
    policy.attempts = 4;
    policy.base = Duration::from_millis(1);
    policy.cap = Duration::from_millis(4);
    policy
}

async fn put(store: &S3Store, put: Put) -> Stored {
    store.put(put).await.unwrap()
}

/// The bytes of an object that was read whole.
fn bytes(object: &Object) -> &[u8] {
    match &object.body {
        Body::Whole(bytes) => bytes.expose(),
        Body::None | Body::Stream(_) | _ => panic!("it was not read whole"),
    }
}

/// The error of what should have failed.
fn failed<T>(result: Result<T, StoreError>) -> StoreError {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error,
    }
}

/// An error and what lies beneath it, a line each.
fn lines(error: &StoreError) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        lines.push(error.to_string());
        source = error.source();
    }
    lines
}

/// Bytes that are `announced` in number, of which there are `real` ones, and whose end may fail.
struct Announced {
    announced: u64,
    real: u64,
    end: Option<&'static str>,
    at: u64,
    rewound: Arc<AtomicUsize>,
}

impl Announced {
    fn of(size: u64) -> Self {
        Self {
            announced: size,
            real: size,
            end: None,
            at: 0,
            rewound: Arc::default(),
        }
    }

    /// The byte at a place.
    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    fn all(size: u64) -> Vec<u8> {
        (0..size).map(Self::byte).collect()
    }
}

impl Source for Announced {
    fn size(&self) -> u64 {
        self.announced
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (buffer.len() as u64).min(self.real - self.at).min(700_001);
        if length == 0
            && let Some(why) = self.end
        {
            return Err(io::Error::other(why));
        }
        for (byte, at) in buffer.iter_mut().zip(self.at..self.at + length) {
            *byte = Self::byte(at);
        }
        self.at += length;
        Ok(length as usize)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        self.rewound.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
