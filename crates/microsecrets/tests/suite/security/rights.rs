//! Whose rights: what is missing is named, and nothing is half done.

use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use microsecrets::store::ErrorKind;
use strict_fake::Principal;

use super::{denied, of_store, unpinned};
use crate::process::{Process, environment, file, nth};
use crate::run;
use crate::worlds::{BUCKET, FakeAws};

/// What a reader needs.
const READER: [&str; 2] = ["s3:GetObject BUCKET/services/api/*", "kms:Decrypt KEY"];

/// What a writer needs.
const WRITER: [&str; 6] = [
    "s3:GetObject BUCKET/services/api/*",
    "s3:PutObject BUCKET/services/api/*",
    "s3:ListBucket BUCKET",
    "kms:DescribeKey KEY",
    "kms:GenerateDataKey KEY",
    "kms:Decrypt KEY",
];

async fn process(aws: &FakeAws, who: &Principal, item: &Item) -> Process {
    aws.process(who, unpinned(), item).await
}

/// A service with an environment, a small file and a large one.
async fn filled() -> FakeAws {
    let aws = FakeAws::new();
    aws.ann(&environment()).await.upload("A=1").await.unwrap();
    aws.ann(&file("small")).await.upload_file(b"small").await.unwrap();
    aws.ann(&file("large"))
        .await
        .upload_file(&vec![1; (1 << 20) + 1])
        .await
        .unwrap();
    aws.fake.clear_requests();
    aws
}

#[test]
fn a_reader_needs_two_rights() {
    run(async {
        let aws = filled().await;
        let reader = aws.somebody("AKIAREADER", &READER);
        for item in [environment(), file("small"), file("large")] {
            let process = process(&aws, &reader, &item).await;
            process.current().await.unwrap();
            process.read(&nth(1)).await.unwrap();
        }
        assert!(
            aws.fake
                .requests()
                .iter()
                .all(|request| request.operation == "GetObject")
        );
    });
}

#[test]
fn a_reader_without_one_of_them_is_told_which() {
    run(async {
        let aws = filled().await;
        let no_key = aws.somebody("AKIANOKEY", &READER[..1]);
        let error = of_store(process(&aws, &no_key, &environment()).await.current().await);
        assert_eq!(denied(&error), ("kms:Decrypt".to_owned(), aws.key.clone()));

        let no_object = aws.somebody("AKIANOOBJECT", &READER[1..]);
        let error = process(&aws, &no_object, &environment()).await.current().await;
        let Err(ItemError::DeniedOrAbsent { source, .. }) = error else {
            panic!("it is not said that it may be absent");
        };
        let head = format!("arn:aws:s3:::{BUCKET}/services/api/head/environment");
        assert_eq!(denied(&source), ("s3:GetObject".to_owned(), head));
    });
}

/// A 403 alone never sends a reader to what 0.3.4 wrote: else a head under a foreign key would.
#[test]
fn a_reader_who_may_list_is_told_that_it_is_denied() {
    run(async {
        let aws = filled().await;
        let lister = aws.somebody("AKIALISTER", &["s3:GetObject BUCKET/*", "s3:ListBucket BUCKET"]);
        let error = of_store(process(&aws, &lister, &environment()).await.current().await);
        assert_eq!(denied(&error).0, "kms:Decrypt");
        let absent = process(&aws, &lister, &file("none")).await.current().await;
        assert!(matches!(absent, Err(ItemError::Absent { .. })));
    });
}

#[test]
fn a_writer_needs_six_rights() {
    run(async {
        for item in [environment(), file("x")] {
            let aws = FakeAws::new();
            let writer = aws.somebody("AKIAWRITER", &WRITER);
            let process = process(&aws, &writer, &item).await;
            for round in 0..2 {
                let published = match (item.is_file(), round) {
                    (false, _) => process.upload("A=1").await,
                    (true, 0) => process.upload_file(b"small").await,
                    (true, _) => process.upload_file(&vec![1; (1 << 20) + 1]).await,
                };
                assert!(published.unwrap().notes.is_empty());
            }
            assert!(
                aws.fake
                    .requests()
                    .iter()
                    .all(|request| request.error.as_deref() != Some("AccessDenied"))
            );
        }
    });
}

#[test]
fn a_writer_without_one_of_them_writes_nothing_and_is_told_which() {
    run(async {
        let aws = filled().await;
        for missing in WRITER {
            let rights: Vec<_> = WRITER.into_iter().filter(|right| *right != missing).collect();
            let writer = aws.somebody("AKIAWRITER", &rights);
            let before = aws.fake.keys(BUCKET);
            let process = process(&aws, &writer, &environment()).await;
            let error = of_store(process.upload("A=2").await);
            let (action, _) = missing.split_once(' ').unwrap();
            assert_eq!(denied(&error).0, action);
            assert_eq!(aws.fake.keys(BUCKET), before, "without {action}");
            assert!(!matches!(error.kind, ErrorKind::NotFound));
        }
        assert_eq!(aws.ann(&environment()).await.text().await.unwrap(), "A=1");
    });
}

#[test]
fn a_reader_of_one_service_can_do_nothing_with_another() {
    run(async {
        let aws = filled().await;
        let other = aws.fake.kms().create_key("microsecrets-web");
        let web = aws.somebody("AKIAWEB", &["s3:* BUCKET/services/web/*", "kms:DescribeKey KEY"]);
        aws.fake.allow(&web, "kms:*", &other);
        for item in [environment(), file("small"), file("large")] {
            let process = process(&aws, &web, &item).await;
            assert!(process.current().await.is_err());
            assert!(process.read(&nth(1)).await.is_err());
            assert!(process.delete().await.is_err());
        }
        let decrypted = aws
            .fake
            .kms_uses()
            .into_iter()
            .filter(|key_use| key_use.principal.contains("akiaweb"));
        assert_eq!(decrypted.count(), 0);
        assert_eq!(aws.puts(), 0);
    });
}
