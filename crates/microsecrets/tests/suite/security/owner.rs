//! Whose bucket it is: a bucket that was deleted and made again by somebody else gets no secret and gives none.

use microsecrets::checksum::{Checksum, Digest};
use microsecrets::item::{ItemError, Selector, items_of, services};
use microsecrets::record::ChangeKind;
use microsecrets::store::ErrorKind;
use microsecrets::store::s3::S3Store;
use strict_fake::Bucket;

use super::unpinned;
use crate::process::{environment, file, from_source, in_memory, nth};
use crate::sources::Generated;
use crate::worlds::{ACCOUNT, BUCKET, FakeAws};
use crate::{meanwhile, run};

const HEADER: &str = "x-amz-expected-bucket-owner";

/// Everything that the library ever asks of S3, in one life of a service.
#[test]
fn every_request_says_whose_bucket_it_expects() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&environment()).await;
        let first = ann.upload("A=1").await.unwrap();
        ann.set("B", "2").await.unwrap();
        ann.read(&nth(1)).await.unwrap();
        let digest = Digest::Sha256(first.entry.record().checksum());
        ann.read(&Selector::Digest(digest)).await.unwrap();
        ann.read(&Selector::Digest(Digest::Sha256(Checksum::of_nothing())))
            .await
            .unwrap_err();
        ann.delete().await.unwrap();

        let ann = aws.ann(&file("large")).await;
        ann.commit(ChangeKind::Upload, || from_source(Generated::new(9 << 20, 0)))
            .await
            .unwrap();
        ann.current().await.unwrap();
        // One that loses, and removes its bytes; one that fails, and gives its parts back.
        let lost = ann.commit_after(
            ChangeKind::Upload,
            || in_memory(&vec![1; (1 << 20) + 1]),
            || {
                meanwhile(async || {
                    aws.ann(&file("large")).await.upload_file(b"bob").await.unwrap();
                });
            },
        );
        lost.await.unwrap_err();
        let failing = || from_source(Generated::new(9 << 20, 0).failing("it changed"));
        ann.commit(ChangeKind::Upload, failing).await.unwrap_err();

        let (legacy, _) = aws.legacy();
        aws.ann(&legacy).await.current().await.unwrap();
        aws.ann(&legacy).await.set("B", "2").await.unwrap();

        services(&*ann.store).await.unwrap();
        items_of(&*ann.store, &"api".parse().unwrap()).await.unwrap();

        let requests = aws.fake.requests();
        let to_s3: Vec<_> = requests.iter().filter(|request| request.service == "s3").collect();
        let saying_so = to_s3.iter().filter(|request| request.header(HEADER) == Some(ACCOUNT));
        assert_eq!(saying_so.count(), to_s3.len());
        let mut operations: Vec<_> = to_s3.iter().map(|request| request.operation.as_str()).collect();
        operations.sort_unstable();
        operations.dedup();
        // That none was forgotten: these are all.
        assert_eq!(
            operations,
            [
                "AbortMultipartUpload",
                "CompleteMultipartUpload",
                "CreateMultipartUpload",
                "DeleteObject",
                "GetObject",
                "HeadObject",
                "ListObjectsV2",
                "PutObject",
                "UploadPart",
            ]
        );
    });
}

#[test]
fn a_bucket_of_another_owner_gives_nothing_and_gets_nothing() {
    run(async {
        let aws = FakeAws::new();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        let before = aws.fake.keys(BUCKET);
        let mut process = aws.ann(&environment()).await;
        process.store = Box::new(S3Store::new(
            aws.aws(&aws.admin).await,
            BUCKET,
            Some("999999999999".to_owned()),
        ));
        for failed in [
            process.current().await.err().unwrap(),
            process.upload("A=2").await.err().unwrap(),
        ] {
            assert!(
                matches!(&failed, ItemError::DeniedOrAbsent { source, .. }
                if matches!(source.kind, ErrorKind::Denied(_))),
                "{failed}"
            );
        }
        assert_eq!(aws.fake.keys(BUCKET), before);
    });
}

/// A bucket in an account's own namespace: its name says whose it is.
#[test]
fn the_owner_in_a_buckets_name_is_expected() {
    run(async {
        let aws = FakeAws::new();
        for (account, works) in [(ACCOUNT, true), ("999999999999", false)] {
            let bucket = format!("example-{account}-us-east-1-an");
            aws.fake.add_bucket(&bucket, Bucket::default());
            aws.fake.clear_requests();
            let mut process = aws.process(&aws.admin, unpinned(), &environment()).await;
            process.store = Box::new(S3Store::new(aws.aws(&aws.admin).await, &bucket, None));
            assert_eq!(process.upload("A=1").await.is_ok(), works, "{bucket}");
            let requests = aws.fake.requests();
            let mut to_s3 = requests.iter().filter(|request| request.service == "s3");
            assert!(to_s3.all(|request| request.header(HEADER) == Some(account)));
            assert_eq!(aws.fake.keys(&bucket).is_empty(), !works);
        }
    });
}

#[test]
fn without_an_owner_none_is_expected() {
    run(async {
        let aws = FakeAws::new();
        let mut process = aws.ann(&environment()).await;
        process.store = Box::new(S3Store::new(aws.aws(&aws.admin).await, BUCKET, None));
        process.upload("A=1").await.unwrap();
        assert!(
            aws.fake
                .requests()
                .iter()
                .all(|request| request.header(HEADER).is_none())
        );
    });
}
