//! What is in a request and in an answer besides keys and rights: damaged bytes, metadata, access control lists.

use std::collections::BTreeMap;

use microsecrets::item::{Base, Change, Decision};
use microsecrets::item::{Content, ItemError, OnConflict, Outcome};
use microsecrets::record::{ChangeKind, Head};
use microsecrets::store::ErrorKind;
use strict_fake::{Failure, Fault};

use super::{distrust, of_store};
use crate::process::{environment, file, in_memory, variables};
use crate::run;
use crate::worlds::{BUCKET, FakeAws};

/// S3's own checksums are not compared: the SHA-256 in key and record is, which S3 has no part in.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    run(async {
        let aws = FakeAws::new();
        let item = file("x");
        let ann = aws.ann(&item).await;
        ann.upload_file(b"0123456789").await.unwrap();
        let head = aws.fake.object(BUCKET, &item.head_key()).unwrap().body;
        let bytes_begin = head.len() - Head::parse(&head).unwrap().bytes().len();
        for at in bytes_begin..head.len() {
            let flipped = flip(&aws, &item.head_key(), at, false);
            let why = distrust(ann.current().await);
            assert!(why.starts_with("its bytes do not match their checksum "), "{why}");
            assert_eq!(flipped.fired(), 1);
        }
        // In the line before them a flipped bit is no valid record, or one about something else, or only a remark.
        for at in (0..bytes_begin).step_by(7) {
            flip(&aws, &item.head_key(), at, false);
            match ann.current().await {
                Ok(bytes) => assert_eq!(bytes, b"0123456789"),
                Err(error) => assert!(
                    matches!(error, ItemError::Record { .. } | ItemError::Distrusted { .. }),
                    "{error}"
                ),
            }
        }
    });
}

#[test]
fn a_flipped_bit_of_a_large_file_is_found_at_its_end() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&file("x")).await;
        let committed = ann.upload_file(&vec![7; (1 << 20) + 1]).await.unwrap();
        for at in [0, 70_000, 1 << 20] {
            flip(&aws, &committed.key, at, false);
            let why = distrust(ann.current().await);
            assert!(why.starts_with("its bytes do not match their checksum "), "{why}");
        }
        ann.current().await.unwrap();
    });
}

/// On the way back, who damages bytes may take away what would contradict them.
#[test]
fn an_answer_without_its_headers_is_no_answer() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&environment()).await;
        ann.upload("A=1").await.unwrap();
        flip(&aws, &environment().head_key(), 900, true);
        let error = of_store(ann.current().await);
        assert_eq!(error.kind, ErrorKind::Malformed("it has no ETag".to_owned()));
    });
}

fn flip(aws: &FakeAws, key: &str, at: usize, strip_checksums: bool) -> strict_fake::FaultHandle {
    aws.fake.clear_faults();
    let failure = Failure::CorruptBody { at, strip_checksums };
    aws.fake.fail(Fault::on("GetObject", failure).key(key))
}

/// S3 allows 2 KB. What may be long is in the record, which is no metadata.
#[test]
fn an_objects_metadata_is_its_mark_and_nothing_else() {
    run(async {
        let aws = FakeAws::new();
        let ann = aws.ann(&environment()).await;
        let long = "a message in any language: grüß dich. ".repeat(60);
        let decide = |_: &Base<'_>| {
            let content = Content::Environment(variables("A=1"));
            let change = Change::new(ChangeKind::Upload, content).message(Some(long.clone()));
            Ok(Decision::Commit(change))
        };
        let Outcome::Committed(committed) = ann.writer().write(OnConflict::Report, decide).await.unwrap() else {
            panic!("it was to be committed");
        };
        let record = committed.entry.record();
        assert_eq!(record.message.as_deref(), Some(long.as_str()));
        for key in aws.fake.keys(BUCKET) {
            let metadata = aws.fake.object(BUCKET, &key).unwrap().attributes.metadata;
            let expected = match key == committed.key {
                true => BTreeMap::from([("microsecrets".to_owned(), record.nonce.to_string())]),
                false => BTreeMap::new(),
            };
            assert_eq!(metadata, expected, "{key}");
        }
    });
}

/// The buckets of today refuse them: the owner of the bucket owns every object.
#[test]
fn no_access_control_list_is_ever_sent() {
    run(async {
        let aws = FakeAws::new();
        aws.ann(&environment()).await.upload("A=1").await.unwrap();
        let ann = aws.ann(&file("x")).await;
        ann.commit(ChangeKind::Upload, || in_memory(&vec![1; (1 << 20) + 1]))
            .await
            .unwrap();
        for request in aws.fake.requests() {
            let mut names = request.headers.iter().map(|(name, _)| name.as_str());
            assert!(!names.any(|name| name == "x-amz-acl" || name.starts_with("x-amz-grant")));
        }
    });
}
