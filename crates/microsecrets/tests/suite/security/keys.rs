//! Which key encrypts: an alias is looked up once, and what is sent, compared and answered is the key's ARN.

use std::sync::Arc;
use std::time::Duration;

use microsecrets::item::{ItemError, Selector};
use microsecrets::keys::KmsKeys;
use microsecrets::layout::Item;
use microsecrets::record::ChangeKind;
use microsecrets::store::ErrorKind;
use microsecrets::trust::Checks;
use strict_fake::{Failure, Fault};

use super::{distrust, kms, of_store, pinned};
use crate::process::{Process, environment, file, from_source, nth, number};
use crate::run;
use crate::sources::Generated;
use crate::worlds::{ACCOUNT, ALIAS, BUCKET, FakeAws};

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";

#[test]
fn an_alias_is_given_and_the_arn_is_sent() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&file("x")).await;
        ann.upload_file(b"small").await.unwrap();
        ann.commit(ChangeKind::Upload, || from_source(Generated::new(9 << 20, 0)))
            .await
            .unwrap();
        let requests = aws.fake.requests();
        let said = requests
            .iter()
            .filter(|request| request.header(ALGORITHM).is_some() || request.operation == "PutObject");
        let said: Vec<_> = said.collect();
        assert!(said.iter().any(|request| request.operation == "CreateMultipartUpload"));
        for request in said {
            assert_eq!(request.header(ALGORITHM), Some("aws:kms"));
            assert_eq!(request.header(KEY), Some(aws.key.as_str()));
            assert_eq!(request.header(BUCKET_KEY), Some("false"));
        }
        // One look-up a write.
        let lookups: Vec<_> = requests.iter().filter(|request| request.service == "kms").collect();
        assert_eq!(lookups.len(), 2);
        assert!(
            lookups
                .iter()
                .all(|request| request.operation == "DescribeKey" && request.key.as_deref() == Some(ALIAS))
        );
        // The reader is told the ARN too, and what CloudTrail shows is each object by its own name.
        let version = ann.version(&Selector::Current).await.unwrap();
        assert_eq!(version.facts.encryption, kms(&aws.key));
        for key_use in aws.fake.kms_uses() {
            let object = key_use.object.unwrap();
            let context = ("aws:s3:arn".to_owned(), format!("arn:aws:s3:::{BUCKET}/{object}"));
            assert_eq!(key_use.encryption_context, [context]);
        }
    });
}

/// Whoever may move an alias does not decide, between the look-up and the write, what an object is encrypted under.
#[test]
fn an_alias_that_moves_during_a_write_changes_nothing() {
    run(async {
        let aws = FakeAws::new();
        let other = aws.fake.kms().create_key("other");
        aws.fake.fail(Fault::call("PutObject", move |fake| {
            fake.kms().set_alias(ALIAS, &other);
        }));
        let ann = aws.ann(&environment()).await;
        ann.upload("A=1").await.unwrap();
        assert_ne!(aws.fake.kms().resolve(ALIAS).unwrap(), aws.key);
        let mut uses = aws.fake.kms_uses().into_iter();
        assert!(uses.all(|key_use| key_use.key_arn == aws.key));
    });
}

#[test]
fn an_alias_that_moved_is_noticed_before_anything_is_written() {
    run(async {
        let aws = FakeAws::new();
        let mut ann = aws.ann(&environment()).await;
        ann.upload("A=1").await.unwrap();
        let other = aws.fake.kms().create_key("other");
        aws.fake.kms().set_alias(ALIAS, &other);
        let puts = aws.puts();
        let moved = ann.upload("A=2").await.unwrap_err();
        assert!(
            matches!(&moved, ItemError::KeyMoved { current, next, .. } if *current == aws.key && *next == other),
            "{moved}"
        );
        assert_eq!(aws.puts(), puts);
        // It may have been on purpose.
        ann.new_key = true;
        assert_eq!(number(&ann.upload("A=2").await.unwrap()), 2);
        let version = ann.version(&Selector::Current).await.unwrap();
        assert_eq!(version.facts.encryption, kms(&other));
        // From then on the new key is the one.
        ann.new_key = false;
        assert_eq!(number(&ann.upload("A=3").await.unwrap()), 3);
    });
}

#[test]
fn nothing_is_written_under_another_key_than_the_pinned_one() {
    run(async {
        let aws = FakeAws::new();
        let other = aws.fake.kms().create_key("other");
        let elsewhere = aws.fake.kms_of(ACCOUNT, "eu-west-1").create_key("elsewhere");
        for pin in [other, elsewhere] {
            let mut ann = aws.process(&aws.admin, pinned(&pin), &environment()).await;
            // A new key is accepted, but not one that is not the pinned one.
            ann.new_key = true;
            let why = distrust(ann.upload("A=1").await);
            assert_eq!(why, format!("it is encrypted under {}, but {pin} is pinned", aws.key));
            assert_eq!((aws.puts(), aws.fake.keys(BUCKET).len()), (0, 0));
        }
    });
}

#[test]
fn nothing_is_read_under_another_key_than_the_pinned_one() {
    run(async {
        let aws = FakeAws::new();
        let large = Generated::new((1 << 20) + 1, 0).bytes();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        aws.ann(&file("large")).await.upload_file(&large).await.unwrap();
        let other = aws.fake.kms().create_key("other");
        for item in [environment(), file("large")] {
            for selector in [Selector::Current, nth(1)] {
                let right = aws.process(&aws.admin, pinned(&aws.key), &item).await;
                right.read(&selector).await.unwrap();
                let wrong = aws.process(&aws.admin, pinned(&other), &item).await;
                let why = distrust(wrong.read(&selector).await);
                assert_eq!(why, format!("it is encrypted under {}, but {other} is pinned", aws.key));
                // Nor is it written upon.
                assert!(wrong.delete().await.is_err());
            }
        }
    });
}

#[test]
fn a_key_that_is_disabled_reads_and_writes_nothing() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&environment()).await;
        ann.upload("A=1").await.unwrap();
        for pending in [false, true] {
            match pending {
                false => aws.fake.kms().disable_key(&aws.key),
                true => aws.fake.kms().schedule_key_deletion(&aws.key),
            }
            let puts = aws.puts();
            assert_eq!(of_store(ann.current().await).kind, ErrorKind::KeyUnusable);
            assert_eq!(of_store(ann.upload("A=2").await).kind, ErrorKind::KeyUnusable);
            // Named by its ARN, it is S3 that says so.
            let mut by_arn = aws.ann(&file("new")).await;
            by_arn.key_name.clone_from(&aws.key);
            assert_eq!(of_store(by_arn.upload_file(b"x").await).kind, ErrorKind::KeyUnusable);
            // Only the last of them was sent to S3.
            assert_eq!(aws.puts(), puts + 1);
            aws.fake.kms().enable_key(&aws.key);
            ann.current().await.unwrap();
        }
    });
}

#[test]
fn without_its_alias_nothing_is_written_and_everything_is_read() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&environment()).await;
        ann.upload("A=1").await.unwrap();
        aws.fake.kms().remove_alias(ALIAS);
        let puts = aws.puts();
        let error = of_store(ann.upload("A=2").await);
        assert_eq!((error.kind, error.subject.as_str()), (ErrorKind::KeyNotFound, ALIAS));
        assert_eq!(aws.puts(), puts);
        assert_eq!(ann.text().await.unwrap(), "A=1");
    });
}

/// A process that believes only what is under the key that the service's alias stands for.
async fn pinning_the_alias(aws: &FakeAws, item: &Item) -> Process {
    let mut process = aws.ann(item).await;
    process.checks = Checks::with_alias(Arc::new(KmsKeys::new(aws.aws(&aws.admin).await)), ALIAS);
    process
}

#[test]
fn a_pinned_alias_is_looked_up_once_and_its_key_is_demanded() {
    run(async {
        let aws = FakeAws::new();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        let reader = pinning_the_alias(&aws, &environment()).await;
        aws.fake.clear_requests();
        assert_eq!(reader.text().await.unwrap(), "A=1");
        let mut operations = aws.fake.operations();
        operations.sort();
        assert_eq!(operations, ["DescribeKey", "GetObject"]);
        reader.read(&nth(1)).await.unwrap();
        reader.current().await.unwrap();
        let operations = aws.fake.operations();
        assert_eq!(operations.iter().filter(|name| *name == "DescribeKey").count(), 1);

        // Who has looked demands the key that was found, and who looks now the one that is found now.
        let other = aws.fake.kms().create_key(ALIAS);
        reader.current().await.unwrap();
        let late = pinning_the_alias(&aws, &environment()).await;
        for selector in [Selector::Current, nth(1)] {
            let why = distrust(late.read(&selector).await);
            assert_eq!(why, format!("it is encrypted under {}, but {other} is pinned", aws.key));
        }
        aws.forge(&environment().head_key(), Some("aws:kms"), Some(&other));
        late.current().await.unwrap();
        let why = distrust(reader.current().await);
        assert_eq!(why, format!("it is encrypted under {other}, but {} is pinned", aws.key));
    });
}

/// Neither waits for the other: whichever is held up is answered last.
#[test]
fn a_pinned_alias_is_looked_up_beside_the_first_request() {
    run(async {
        let aws = FakeAws::new();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        for held_up in ["GetObject", "DescribeKey"] {
            let reader = pinning_the_alias(&aws, &environment()).await;
            let delay = Failure::Delay(Duration::from_secs(1));
            let delayed = aws.fake.fail(Fault::on(held_up, delay));
            aws.fake.clear_requests();
            reader.current().await.unwrap();
            assert_eq!(delayed.fired(), 1);
            let operations = aws.fake.operations();
            assert_eq!(operations.len(), 2);
            assert_eq!(operations[1], held_up);
        }
    });
}

/// What cannot be looked up is not demanded less.
#[test]
fn a_pinned_alias_that_stands_for_no_key_is_no_pin_to_read_under() {
    run(async {
        let aws = FakeAws::new();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        aws.ann(&file("large"))
            .await
            .upload_file(&vec![1; (1 << 20) + 1])
            .await
            .unwrap();
        let (legacy, _) = aws.legacy();
        aws.fake.kms().remove_alias(ALIAS);
        for item in [environment(), file("large"), legacy] {
            let reader = pinning_the_alias(&aws, &item).await;
            let error = of_store(reader.current().await);
            assert_eq!((error.kind, error.subject.as_str()), (ErrorKind::KeyNotFound, ALIAS));
        }
    });
}
