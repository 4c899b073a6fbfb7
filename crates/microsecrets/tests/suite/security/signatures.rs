//! What a signature costs, what is said where one is missing or wrong, and what is left of one that was of no use.

use std::error::Error as _;
use std::slice;

use microsecrets::checksum::Checksum;
use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use microsecrets::name::{Nonce, Number};
use microsecrets::record::{ChangeKind, Record, SignedRecord};
use microsecrets::time::Timestamp;
use strict_fake::{Fault, LoggedRequest};

use super::SIGNING;
use super::attacker::{Forged, current, head, overwrite};
use crate::process::{Process, environment, file, from_source, nth};
use crate::sources::Generated;
use crate::worlds::{BUCKET, FakeAws};
use crate::{meanwhile, run};

/// A file that no head can carry.
static LARGE: [u8; (1 << 20) + 1] = [1; (1 << 20) + 1];

/// Another key that signs.
const OTHER: &str = "alias/other";

/// What is wrong, and why: both lines.
#[track_caller]
fn said<T>(result: Result<T, ItemError>) -> String {
    let error = result.err().unwrap();
    format!("{error}: {}", error.source().unwrap())
}

#[test]
fn each_way_not_to_be_believed_has_its_own_words() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.signer(&environment()).await;
        let committed = ann.upload("A=1").await.unwrap();
        let (_, other) = aws.signing_key(OTHER);
        let other = other.fingerprint();
        let good = current(&aws.fake, &environment());
        let (record, bytes) = (good.record(), good.bytes().expose());
        let changed = |change: &dyn Fn(&mut Record)| {
            let mut record = record.clone();
            change(&mut record);
            record
        };
        let unsigned = SignedRecord::new(record.clone()).unwrap();
        let foreign = |record| {
            let signature = good.entry().signature().unwrap().clone();
            SignedRecord::new(record).unwrap().signed(signature)
        };
        let signed = |change: &dyn Fn(&mut Record)| aws.sign(SIGNING, changed(change));
        let web = Item::environment("web".parse().unwrap());
        let expired = Timestamp::from_unix(1_000_000_000);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let other_bytes = text(bytes).replace("{\"A\": \"1\"}", "{\"A\": \"2\"}");
        let not_base64 = text(&head(unsigned.clone(), bytes)).replace("\n-\n", "\n--\n");

        let head_key = environment().head_key();
        for (body, wanted) in [
            (
                head(unsigned, bytes),
                format!("{head_key} is not trusted: it is not signed, but a signature is required"),
            ),
            (
                head(foreign(changed(&|record| record.migration = true)), bytes),
                format!("{head_key} is not trusted: its signature is not valid"),
            ),
            (
                // Who signs with a key that is not pinned may say that it is a pinned one.
                head(aws.sign(OTHER, record.clone()), bytes),
                format!("{head_key} is not trusted: its signature is not valid"),
            ),
            (
                head(aws.sign(OTHER, changed(&|record| record.signer = Some(other))), bytes),
                format!(
                    "{head_key} is not trusted: it is signed by another key than the pinned: by {other}, as it says"
                ),
            ),
            (
                head(signed(&|record| record.expires = expired), bytes),
                format!(
                    "{} is not trusted: it expired at 2001-09-09T01:46:40Z, by the store's clock",
                    committed.key
                ),
            ),
            (
                head(signed(&|record| record.bucket = "staging".to_owned()), bytes),
                format!("{head_key} is not trusted: it was committed to the bucket staging, not to {BUCKET}"),
            ),
            (
                head(signed(&|record| record.item = web.clone()), bytes),
                format!("{head_key} is not trusted: it is the environment of web, not the environment of api"),
            ),
            (
                head(signed(&|record| record.item = file("x")), bytes),
                format!("{head_key} is not trusted: it is the file x of api, not the environment of api"),
            ),
            (
                head(good.entry().clone(), other_bytes.as_bytes()),
                format!(
                    "{head_key} is not trusted: its bytes do not match their checksum {}",
                    record.checksum()
                ),
            ),
            (
                head(signed(&|record| record.number = Number::new(7).unwrap()), bytes),
                format!("{head_key} is not a valid environment: the document says another version number"),
            ),
            (
                not_base64.into_bytes(),
                format!("{head_key} is not valid: its signature is not base64"),
            ),
        ] {
            overwrite(&aws.fake, &head_key, body);
            assert_eq!(said(ann.current().await), wanted);
        }
    });
}

/// Read by its number, a version is its log entry's, which is held to the same.
#[test]
fn an_older_version_is_believed_no_more_than_the_current_one() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.signer(&environment()).await;
        let first = ann.upload("A=1").await.unwrap().entry;
        let second = ann.upload("A=2").await.unwrap().entry;
        let key = environment().log_key(Number::FIRST);
        for (entry, why) in [
            (
                SignedRecord::new(first.record().clone()).unwrap(),
                "it is not signed, but a signature is required",
            ),
            (aws.sign(OTHER, first.record().clone()), "its signature is not valid"),
            (second, "its record is of version 2, not of 1"),
        ] {
            overwrite(&aws.fake, &key, entry.to_bytes());
            assert_eq!(said(ann.read(&nth(1)).await), format!("{key} is not trusted: {why}"));
        }
        overwrite(&aws.fake, &key, first.to_bytes());
        assert_eq!(ann.read(&nth(1)).await.unwrap(), b"A=1");
    });
}

/// The names of the operations of each of four writes, sorted: a first version, a second one, an edit or a large file,
/// and a deletion.
async fn costs(aws: &FakeAws, process: &Process) -> Vec<Vec<String>> {
    let mut costs = Vec::new();
    for round in 0..4 {
        aws.fake.clear_requests();
        let large = || from_source(Generated::new((1 << 20) + 1, 0));
        let written = match (round, process.item.is_file()) {
            (3, _) => process.delete().await,
            (2, true) => process.commit(ChangeKind::Upload, large).await,
            (2, false) => process.set("B", "2").await,
            (_, true) => process.upload_file(b"small").await,
            (_, false) => process.upload("A=1").await,
        };
        written.unwrap();
        let mut operations = aws.fake.operations();
        operations.sort();
        costs.push(operations);
    }
    costs
}

#[test]
fn a_signature_costs_the_writer_one_request_and_the_reader_none() {
    run(async {
        for item in [environment(), file("x")] {
            let (plain, signing) = (FakeAws::new(), FakeAws::new());
            let unsigned = costs(&plain, &plain.ann(&item).await).await;
            let signed = costs(&signing, &signing.signer(&item).await).await;
            for (mut unsigned, signed) in unsigned.into_iter().zip(signed) {
                unsigned.push("Sign".to_owned());
                unsigned.sort();
                assert_eq!(signed, unsigned, "{item}");
            }
            let reader = signing.signer(&item).await;
            signing.fake.clear_requests();
            for selector in [nth(1), nth(2), nth(3)] {
                reader.read(&selector).await.unwrap();
            }
            reader.current().await.unwrap_err();
            let mut asked = signing.fake.operations();
            asked.dedup();
            assert_eq!(asked, ["GetObject"]);
            assert_eq!(signing.fake.requests().len(), 2 * 3 + 1);
        }
    });
}

/// The record says by whom it is signed before it is. Where that was a wrong guess, it is signed once more.
#[test]
fn of_two_pinned_keys_the_second_signs_with_two_requests() {
    run(async {
        let aws = FakeAws::new();
        let (_, first) = aws.signing_key(OTHER);
        let (_, second) = aws.signing_key(SIGNING);
        for (pins, most) in [([second.clone(), first.clone()], 1), ([first, second.clone()], 2)] {
            let mut ann = aws.signer(&environment()).await;
            ann.checks.verify_keys = pins.to_vec();
            for large in [false, true] {
                ann.item = if large { file("x") } else { environment() };
                aws.fake.clear_requests();
                let committed = match large {
                    false => ann.upload("A=1").await.unwrap(),
                    true => ann.upload_file(&LARGE).await.unwrap(),
                };
                let operations = aws.fake.operations();
                let signs = operations.iter().filter(|operation| *operation == "Sign");
                assert_eq!(signs.count(), most);
                assert_eq!(committed.entry.record().signer, Some(second.fingerprint()));
            }
            // One of the pins is enough for a reader, whatever the other one is.
            let reader = aws.believer(slice::from_ref(&second), &environment()).await;
            assert_eq!(reader.text().await.unwrap(), "A=1");
        }
    });
}

/// Whoever signs with a key that its own readers would not believe is told before anything is written.
#[test]
fn nothing_is_written_that_is_signed_by_a_key_that_is_not_pinned() {
    run(async {
        let aws = FakeAws::new();
        let mut ann = aws.signer(&environment()).await;
        aws.signing_key(OTHER);
        ann.sign_with = Some(OTHER.to_owned());
        for item in [environment(), file("x")] {
            ann.item = item;
            let error = match ann.item.is_file() {
                false => ann.upload("A=1").await.unwrap_err(),
                true => ann.upload_file(b"small").await.unwrap_err(),
            };
            assert!(
                matches!(&error, ItemError::SignerNotPinned { key } if key == OTHER),
                "{error}"
            );
            assert_eq!(aws.fake.keys(BUCKET), [""; 0]);
        }
    });
}

/// Where a large file was put, and the nonce that it was put with.
fn large_put(requests: &[LoggedRequest], checksum: &str) -> (String, Nonce) {
    let named = |request: &&LoggedRequest| request.key.as_deref().is_some_and(|key| key.contains(checksum));
    let mut puts = requests.iter().filter(named).filter_map(|request| {
        let mark = request.header("x-amz-meta-microsecrets")?;
        Some((request.key.clone().unwrap(), mark.parse().unwrap()))
    });
    let put = puts.next().unwrap();
    assert_eq!(puts.next(), None);
    put
}

/// A large file is signed before its commit, which may fail.
#[test]
fn a_large_file_that_lost_leaves_nothing_signed() {
    run(async {
        for size in [(1 << 20) + 1, 9 << 20] {
            let aws = FakeAws::new();
            let (_, key) = aws.signing_key(SIGNING);
            let item = file("x");
            let ann = aws.signer(&item).await;
            ann.upload_file(b"base").await.unwrap();
            aws.fake.clear_requests();
            let bob_commits = || {
                meanwhile(async || {
                    let bob = aws.signer(&item).await;
                    bob.upload_file(b"bob").await.unwrap();
                });
            };
            let large = || from_source(Generated::new(size, 0));
            let lost = ann
                .commit_after(ChangeKind::Upload, large, bob_commits)
                .await
                .unwrap_err();
            assert!(matches!(lost, ItemError::Conflict { .. }), "{lost}");
            let checksum = Generated::new(size, 0).checksum().to_string();
            let (bytes, nonce) = large_put(&aws.fake.requests(), &checksum);
            // It was signed, in vain: its head was refused. The other signature is bob's.
            let operations = aws.fake.operations();
            assert_eq!(operations.iter().filter(|name| *name == "Sign").count(), 2);
            assert!(aws.signed_by(&key).iter().all(|record| record.nonce != nonce));
            assert_eq!(aws.signed_by(&key).len(), 2 * 2, "both small versions, in head and log");
            assert!(
                aws.fake.versions(BUCKET, &bytes).is_empty(),
                "not even under a delete marker"
            );
            assert!(aws.fake.uploads(BUCKET).is_empty());
            assert_eq!(ann.current().await.unwrap(), b"bob");
        }
    });
}

/// The bytes of a large file are there before it is signed.
#[test]
fn a_large_file_that_is_not_signed_leaves_nothing() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.signer(&file("x")).await;
        ann.upload_file(b"base").await.unwrap();
        let before = aws.fake.keys(BUCKET);
        let (arn, _) = aws.signing_key(SIGNING);
        aws.fake.kms().disable_key(&arn);
        aws.fake.clear_requests();
        ann.upload_file(&LARGE).await.unwrap_err();
        let (bytes, _) = large_put(&aws.fake.requests(), &Checksum::of(&LARGE).to_string());
        assert!(aws.fake.versions(BUCKET, &bytes).is_empty());
        assert_eq!(aws.fake.keys(BUCKET), before);
        assert_eq!(ann.current().await.unwrap(), b"base");
    });
}

/// An attacker takes the place of the head while a large file is put: whether it was committed is known to be unknown,
/// so its bytes stay, and nothing says that they are a version.
#[test]
fn a_large_file_whose_base_an_attacker_takes_away_is_not_committed() {
    run(async {
        let aws = FakeAws::new();
        let item = file("x");
        let (_, key) = aws.signing_key(SIGNING);
        let ann = aws.signer(&item).await;
        ann.upload_file(b"base").await.unwrap();
        let place = item.clone();
        let attack = aws.fake.fail(
            Fault::call("PutObject", move |fake| {
                let base = current(fake, &place).record().clone();
                overwrite(fake, &place.head_key(), Forged::after(&base, "evil.so").head());
            })
            .key(item.head_key()),
        );
        aws.fake.clear_requests();
        ann.upload_file(&LARGE).await.unwrap_err();
        assert_eq!(attack.fired(), 1);
        let (_, nonce) = large_put(&aws.fake.requests(), &Checksum::of(&LARGE).to_string());
        assert!(aws.signed_by(&key).iter().all(|record| record.nonce != nonce));
        aws.assert_nothing_evil_is_signed(&key, 1, "a large file");
    });
}
