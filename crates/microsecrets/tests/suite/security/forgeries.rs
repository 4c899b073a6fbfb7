//! Forgeries of somebody who may put any object and use no key: by a seed, so that each can be made again.
//!
//! `MICROSECRETS_SEED=N` makes those of another seed.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use microsecrets::item::{ItemError, Reader, Selector};
use microsecrets::layout::Item;
use microsecrets::name::{Nonce, Number};
use microsecrets::record::Record;
use serde_json::Value;
use strict_fake::Principal;

use super::attacker::{EVIL, Forged, current, head, overwrite};
use super::{SIGNING, pinned};
use crate::dice::Dice;
use crate::process::{Process, environment, file};
use crate::worlds::{ALIAS, BUCKET, FakeAws};
use crate::{run, together};

/// How many forgeries there are, and by how many threads they are tried.
const FORGERIES: u64 = 1_000;
const THREADS: usize = 2;

/// Puts objects as nobody but this person, without any of this library's care.
struct Forger {
    s3: Client,
}

impl Forger {
    fn new(aws: &FakeAws, who: &Principal) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(Credentials::new(&who.access_key, &who.secret_key, None, None, "test"))
            .region(Region::new("us-east-1"))
            .endpoint_url(aws.fake.endpoint())
            .force_path_style(true);
        Self {
            s3: Client::from_conf(config.build()),
        }
    }

    /// Puts an object; the error code of S3 when it is refused.
    async fn put(&self, put: &Put, encryption: Encryption<'_>) -> Result<(), String> {
        let mut request = self.s3.put_object().bucket(BUCKET).key(&put.key);
        request = match encryption {
            Encryption::Unsaid => request,
            Encryption::Aes256 => request.server_side_encryption(ServerSideEncryption::Aes256),
            Encryption::AwsS3 => request.server_side_encryption(ServerSideEncryption::AwsKms),
            Encryption::Key(name) => request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(name),
        };
        if let Some(mark) = put.mark {
            request = request.metadata("microsecrets", mark.to_string());
        }
        let sent = request.body(ByteStream::from(put.body.clone())).send().await;
        sent.map(|_| ())
            .map_err(|error| error.code().unwrap_or_default().to_owned())
    }
}

/// How an object is to be encrypted.
#[derive(Clone, Copy, Debug)]
enum Encryption<'a> {
    Unsaid,
    Aes256,
    /// A key is not named, so it is the account's `aws/s3`.
    AwsS3,
    Key(&'a str),
}

/// What needs no right on any key. The first two are SSE-S3 in the end, the others SSE-KMS.
const FREE: [Encryption<'static>; 4] = [
    Encryption::Unsaid,
    Encryption::Aes256,
    Encryption::AwsS3,
    Encryption::Key("alias/aws/s3"),
];

struct Put {
    key: String,
    body: Vec<u8>,
    mark: Option<Nonce>,
}

/// An item that is forged, and who reads it.
struct Victim {
    item: Item,
    /// Its versions: their records, and their heads when they were current.
    versions: Vec<(Record, Vec<u8>)>,
    contents: Vec<Vec<u8>>,
    /// Pins the KMS key.
    by_key: Process,
    /// Pins the public key, and no KMS key.
    by_signature: Process,
    /// Pins nothing.
    by_nothing: Process,
}

impl Victim {
    async fn new(aws: &FakeAws, item: Item, versions: usize) -> Self {
        let ann = aws.signer(&item).await;
        let mut victim = Self {
            by_key: aws.process(&aws.admin, pinned(&aws.key), &item).await,
            by_nothing: aws.ann(&item).await,
            by_signature: ann,
            item,
            versions: Vec::new(),
            contents: Vec::new(),
        };
        for version in 0..versions {
            let text = format!("A={version}");
            let committed = match victim.item.is_file() {
                true => victim.by_signature.upload_file(text.as_bytes()).await,
                false => victim.by_signature.upload(&text).await,
            };
            let record = committed.unwrap().entry.record().clone();
            let head = aws.fake.object(BUCKET, &victim.item.head_key()).unwrap().body;
            victim.versions.push((record, head.to_vec()));
            victim.contents.push(text.into_bytes());
        }
        victim
    }

    /// Lets 0.3.4 write it, for all that its readers know.
    fn in_migration(self, aws: &FakeAws) -> Self {
        let now = current(&aws.fake, &self.item);
        let mut record = now.record().clone();
        record.migration = true;
        let body = head(aws.sign(SIGNING, record), now.bytes().expose());
        overwrite(&aws.fake, &self.item.head_key(), body);
        self
    }

    /// Whether a process takes something for a version that is none.
    async fn is_deceived(&self, process: &Process, selector: &Selector, scan: bool) -> bool {
        let read = async || {
            let version = Reader::new(process.access()).scan(scan).read(selector).await?;
            crate::process::content(version).await
        };
        let genuine = match selector {
            Selector::Current => self.contents.last(),
            Selector::Number(number) => self.contents.get(number.get() as usize - 1),
            _ => None,
        };
        match read().await {
            Ok(content) => genuine != Some(&content),
            // Nobody has deleted anything.
            Err(ItemError::Deleted { .. } | ItemError::VersionDeleted { .. }) => true,
            Err(ItemError::Store(error)) => panic!("{error}"),
            Err(_) => false,
        }
    }
}

/// What is put, and what is read then.
struct Forgery {
    what: &'static str,
    puts: Vec<Put>,
    selector: Selector,
}

/// Makes a forgery.
fn forge(dice: &mut Dice, victim: &Victim, stranger: &Record) -> Forgery {
    let (newest, newest_head) = match victim.versions.last() {
        Some((record, head)) => (record, head.as_slice()),
        None => (stranger, &b"{}\n-\n"[..]),
    };
    let number = match dice.below(4) {
        0 => newest.number.get(),
        1 => 1 + dice.below(Number::MAX.get()),
        _ => newest.number.get() + 1,
    };
    let content = format!("{EVIL} NONCE={}", dice.below(u64::MAX));
    let base = Record {
        item: victim.item.clone(),
        ..newest.clone()
    };
    let mut forged = Forged::numbered(&base, number, &content);
    if dice.once_in(8) {
        forged = forged.deletion();
    }
    let item = &victim.item;
    let put = |key: String, body: Vec<u8>, mark: Option<Nonce>| Put { key, body, mark };
    let bytes_at = item.version_key(&forged.record.name);
    let nonce = forged.record.nonce;
    let entry = forged.entry().to_bytes();
    let numbered = Selector::Number(forged.record.number);
    let named = Selector::Name(forged.record.name.clone());
    match dice.below(8) {
        0 => Forgery {
            what: "a head",
            puts: vec![put(item.head_key(), forged.head(), None)],
            selector: numbered,
        },
        1 => Forgery {
            what: "a whole version",
            puts: vec![
                put(item.log_key(forged.record.number), entry, None),
                put(bytes_at, forged.bytes.clone(), Some(nonce)),
                put(item.head_key(), forged.head(), None),
            ],
            selector: if dice.once_in(2) { numbered } else { named },
        },
        2 => {
            let older = Number::new(1 + dice.below(newest.number.get())).unwrap();
            let forged = Forged::numbered(&base, older.get(), &content);
            let bytes_at = item.version_key(&forged.record.name);
            Forgery {
                what: "an older version",
                puts: vec![
                    put(item.log_key(older), forged.entry().to_bytes(), None),
                    put(bytes_at, forged.bytes.clone(), Some(forged.record.nonce)),
                ],
                selector: Selector::Number(older),
            }
        }
        3 | 4 => Forgery {
            what: "a version of 0.3.4's",
            puts: vec![put(bytes_at, forged.bytes.clone(), None)],
            selector: named,
        },
        5 => Forgery {
            what: "bytes of ours",
            puts: vec![put(bytes_at, forged.bytes.clone(), Some(nonce))],
            selector: named,
        },
        6 => Forgery {
            what: "the signed head, changed",
            puts: vec![put(item.head_key(), changed(dice, newest_head, &forged), None)],
            selector: numbered,
        },
        _ => {
            let key = match dice.below(3) {
                0 => item.log_key(newest.number),
                1 => item.version_key(&newest.name),
                _ => item.head_key(),
            };
            Forgery {
                what: "anything",
                puts: vec![put(key, anything(dice, newest_head), None)],
                selector: Selector::Number(newest.number),
            }
        }
    }
}

/// A head with one field as an attacker wants it, the signature as it was, and either content.
fn changed(dice: &mut Dice, head: &[u8], forged: &Forged) -> Vec<u8> {
    let mut parts = head.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap();
    let (line, signature, content) = (part(), part(), part());
    let mut record: Value = serde_json::from_slice(line).unwrap();
    let wanted = forged.entry();
    let mut wanted: Value = serde_json::from_slice(wanted.line()).unwrap();
    let fields: Vec<String> = wanted.as_object().unwrap().keys().cloned().collect();
    let evil = dice.once_in(2);
    for field in &fields {
        // What has to fit the content is changed with it, and one thing more.
        let fits = evil && ["name", "sha256", "size", "inline", "state", "kind"].contains(&field.as_str());
        if fits || dice.once_in(fields.len() as u64) {
            record[field] = wanted[field].take();
        }
    }
    match dice.below(4) {
        0 => record["migration"] = Value::Bool(true),
        1 => record["number"] = Value::from(1 + dice.below(Number::MAX.get())),
        2 => record["expires"] = Value::from("2999-01-01T00:00:00Z"),
        _ => {}
    }
    let content = if evil { &forged.bytes } else { content };
    [record.to_string().as_bytes(), b"\n", signature, b"\n", content].concat()
}

/// Bytes that mean nothing, or hardly.
fn anything(dice: &mut Dice, head: &[u8]) -> Vec<u8> {
    let mut bytes = match dice.below(3) {
        0 => (0..dice.below(3_000)).map(|_| dice.below(256) as u8).collect(),
        1 => {
            let line = |dice: &mut Dice| {
                (0..dice.below(300))
                    .map(|_| 32 + dice.below(95) as u8)
                    .collect::<Vec<_>>()
            };
            let lines: Vec<_> = (0..dice.below(5)).map(|_| line(dice)).collect();
            lines.join(&b'\n')
        }
        _ => head.to_vec(),
    };
    for _ in 0..=dice.below(5) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        match bytes.get_mut(at) {
            Some(byte) => *byte = byte.wrapping_add(1 + dice.below(255) as u8),
            None => bytes.push(0),
        }
    }
    bytes
}

/// What is forged, each in its own state.
async fn victims(aws: &FakeAws) -> Vec<Victim> {
    let service = |name: &str| Item::environment(name.parse().unwrap());
    vec![
        Victim::new(aws, environment(), 3).await,
        Victim::new(aws, file("x"), 3).await,
        Victim::new(aws, service("moving"), 3).await.in_migration(aws),
        Victim::new(aws, file("moving"), 2).await.in_migration(aws),
        Victim::new(aws, service("empty"), 0).await,
        Victim::new(aws, file("empty"), 0).await,
    ]
}

fn seed() -> u64 {
    let seed = std::env::var("MICROSECRETS_SEED").ok();
    seed.map_or(0, |seed| seed.parse().unwrap())
}

#[test]
fn no_forgery_of_who_may_use_no_key_is_accepted() {
    let seed = seed();
    let tallies = together(THREADS, async |thread| {
        let aws = FakeAws::new();
        let eve = aws.somebody("AKIAEVE", &["s3:PutObject BUCKET/*"]);
        let forger = Forger::new(&aws, &eve);
        // The account has one, or S3 makes it.
        aws.fake.kms().aws_s3_key();
        let victims = victims(&aws).await;
        let stranger = victims[0].versions[0].0.clone();
        let (mut forgeries, mut deceptive) = (0, 0);
        for number in (thread as u64..FORGERIES).step_by(THREADS) {
            let mut dice = Dice::new(seed.wrapping_mul(FORGERIES).wrapping_add(number));
            let victim = dice.one_of(&victims);
            let encryption = *dice.one_of(&FREE);
            let forgery = forge(&mut dice, victim, &stranger);
            let context = format!(
                "MICROSECRETS_SEED={seed}, forgery {number}: {} for the {} with {encryption:?}",
                forgery.what, victim.item
            );
            for put in &forgery.puts {
                forger
                    .put(put, encryption)
                    .await
                    .unwrap_or_else(|code| panic!("{context}: {code}"));
            }
            let scan = dice.once_in(2);
            for selector in [&Selector::Current, &forgery.selector] {
                for process in [&victim.by_key, &victim.by_signature] {
                    let deceived = victim.is_deceived(process, selector, scan).await;
                    assert!(!deceived, "{context}, {selector:?}: {:?}", process.checks);
                }
            }
            deceptive += usize::from(victim.is_deceived(&victim.by_nothing, &Selector::Current, scan).await);
            forgeries += 1;
            for put in &forgery.puts {
                assert!(aws.fake.remove_newest(BUCKET, &put.key));
            }
        }
        for victim in &victims {
            for process in [&victim.by_key, &victim.by_signature] {
                assert_eq!(
                    process.current().await.ok().as_ref(),
                    victim.contents.last(),
                    "they were forged for ever"
                );
            }
        }
        (forgeries, deceptive)
    });
    assert_eq!(tallies.iter().map(|tally| tally.0).sum::<u64>(), FORGERIES);
    // They are good ones: who pins nothing believes many of them.
    let deceptive: usize = tallies.iter().map(|tally| tally.1).sum();
    assert!(
        deceptive > 150,
        "MICROSECRETS_SEED={seed}: only {deceptive} would deceive anybody"
    );
}

/// What the pin rests on.
#[test]
fn nobody_puts_an_object_under_a_key_without_a_right_on_it() {
    run(async {
        let aws = FakeAws::new();
        let eve = aws.somebody("AKIAEVE", &["s3:PutObject BUCKET/*", "s3:GetObject BUCKET/*"]);
        let forger = Forger::new(&aws, &eve);
        let put = Put {
            key: environment().head_key(),
            body: b"evil".to_vec(),
            mark: None,
        };
        for name in [aws.key.as_str(), ALIAS] {
            let refused = forger.put(&put, Encryption::Key(name)).await;
            assert_eq!(refused, Err("AccessDenied".to_owned()));
        }
        assert_eq!(aws.fake.keys(BUCKET), [""; 0]);
        aws.fake.kms().aws_s3_key();
        for encryption in FREE {
            forger.put(&put, encryption).await.unwrap();
        }
    });
}
