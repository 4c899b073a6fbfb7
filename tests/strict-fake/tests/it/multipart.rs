//! Uploads in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart};
use strict_fake::{Bucket, StrictFake};

use crate::common::*;

const MIB: usize = 1024 * 1024;

async fn create(s3: &S3) -> String {
    let created = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("large")
        .metadata("microsecrets", "n0nce");
    created.send().await.expect("created").upload_id.expect("an id")
}

async fn part(s3: &S3, upload: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let part = s3
        .upload_part()
        .bucket(BUCKET)
        .key("large")
        .upload_id(upload)
        .part_number(number);
    let part = part.body(ByteStream::from(body)).send().await.expect("a part");
    let completed = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
    completed.set_checksum_crc32(part.checksum_crc32).build()
}

fn complete(
    s3: &S3,
    upload: &str,
    parts: Vec<CompletedPart>,
) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    s3.complete_multipart_upload()
        .bucket(BUCKET)
        .key("large")
        .upload_id(upload)
        .multipart_upload(parts)
}

/// Two parts, 6 MiB together.
async fn two_parts(s3: &S3, upload: &str) -> Vec<CompletedPart> {
    vec![
        part(s3, upload, 1, vec![1; 5 * MIB]).await,
        part(s3, upload, 2, vec![2; MIB]).await,
    ]
}

#[tokio::test]
async fn parts_make_an_object() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let upload = create(&s3).await;
    let parts = two_parts(&s3, &upload).await;
    assert_eq!(fake.uploads(BUCKET), ["large"]);
    assert!(fake.keys(BUCKET).is_empty());
    let done = complete(&s3, &upload, parts)
        .if_none_match("*")
        .send()
        .await
        .expect("complete");
    assert!(done.e_tag().is_some_and(|e| e.ends_with("-2\"")), "{:?}", done.e_tag());
    assert!(fake.uploads(BUCKET).is_empty());
    let object = fake.object(BUCKET, "large").expect("there");
    assert_eq!((object.body.len(), object.parts), (6 * MIB, 2));
    assert_eq!(
        object.attributes.metadata.get("microsecrets").map(String::as_str),
        Some("n0nce")
    );
    assert_eq!(get(&s3, "large").await, object.body);
}

#[tokio::test]
async fn an_existing_object_stays() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    put(&s3, "large", b"first").await;
    let upload = create(&s3).await;
    let parts = two_parts(&s3, &upload).await;
    let refused = refusal(complete(&s3, &upload, parts).if_none_match("*").send().await);
    assert_eq!(refused.brief(), (412, "PreconditionFailed"));
    assert_eq!(get(&s3, "large").await, b"first");
    assert_eq!(fake.uploads(BUCKET), ["large"]);
}

#[tokio::test]
async fn parts_have_to_be_right() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let upload = create(&s3).await;
    let mut parts = two_parts(&s3, &upload).await;
    parts.reverse();
    assert_eq!(
        code(complete(&s3, &upload, parts.clone()).send().await),
        "InvalidPartOrder"
    );
    parts.reverse();
    let mut forged = parts.clone();
    forged[0].e_tag = Some("\"0\"".into());
    assert_eq!(code(complete(&s3, &upload, forged).send().await), "InvalidPart");
    let small = vec![
        part(&s3, &upload, 3, vec![3; 10]).await,
        part(&s3, &upload, 4, vec![4; 10]).await,
    ];
    assert_eq!(
        refusal(complete(&s3, &upload, small).send().await).brief(),
        (400, "EntityTooSmall")
    );
    assert_eq!(code(complete(&s3, &upload, vec![]).send().await), "MalformedXML");
    let wrong_size = complete(&s3, &upload, parts.clone()).mpu_object_size(1).send().await;
    assert_eq!(code(wrong_size), "InvalidRequest");
    assert!(complete(&s3, &upload, parts).send().await.is_ok());
}

#[tokio::test]
async fn an_upload_ends_once() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let upload = create(&s3).await;
    let parts = two_parts(&s3, &upload).await;
    complete(&s3, &upload, parts.clone()).send().await.expect("complete");
    assert_eq!(
        refusal(complete(&s3, &upload, parts).send().await).brief(),
        (404, "NoSuchUpload")
    );
    let upload = create(&s3).await;
    let abort = || {
        s3.abort_multipart_upload()
            .bucket(BUCKET)
            .key("large")
            .upload_id(&upload)
            .send()
    };
    assert!(abort().await.is_ok());
    assert_eq!(refusal(abort().await).brief(), (404, "NoSuchUpload"));
    let late = s3
        .upload_part()
        .bucket(BUCKET)
        .key("large")
        .upload_id(&upload)
        .part_number(1);
    assert_eq!(
        code(late.body(ByteStream::from_static(b"1")).send().await),
        "NoSuchUpload"
    );
    let elsewhere = create(&s3).await;
    let wrong_key = s3
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("other")
        .upload_id(elsewhere)
        .send()
        .await;
    assert_eq!(code(wrong_key), "NoSuchUpload");
}

#[tokio::test]
async fn unfinished_uploads_are_listed() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    for key in ["b", "a", "c"] {
        s3.create_multipart_upload()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .expect("created");
    }
    let list = || s3.list_multipart_uploads().bucket(BUCKET);
    let first = list().max_uploads(2).send().await.expect("list");
    let keys: Vec<_> = first.uploads().iter().filter_map(|u| u.key()).collect();
    assert_eq!((keys, first.is_truncated()), (vec!["a", "b"], Some(true)));
    let rest = list()
        .set_key_marker(first.next_key_marker)
        .set_upload_id_marker(first.next_upload_id_marker);
    let rest = rest.send().await.expect("list");
    assert_eq!(rest.uploads().iter().filter_map(|u| u.key()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(list().prefix("b").send().await.expect("list").uploads().len(), 1);
}

#[tokio::test]
async fn checksums_of_parts_become_one() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    for (kind, suffix) in [(ChecksumType::Composite, "-2"), (ChecksumType::FullObject, "")] {
        let created = s3
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("large")
            .checksum_type(kind.clone());
        let created = created
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .expect("created");
        let upload = created.upload_id().expect("an id");
        let parts = two_parts(&s3, upload).await;
        let done = complete(&s3, upload, parts).send().await.expect("complete");
        let checksum = done.checksum_crc32().expect("a checksum").to_owned();
        assert_eq!(done.checksum_type(), Some(&kind));
        assert_eq!(
            checksum.split_once('-').map_or("", |(_, count)| count),
            suffix.trim_start_matches('-')
        );
        let got = s3
            .get_object()
            .bucket(BUCKET)
            .key("large")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let got = got.expect("get");
        assert_eq!(got.checksum_crc32(), Some(checksum.as_str()));
        // The client verifies a checksum of everything by itself.
        assert_eq!(
            got.body.collect().await.expect("the checksum fits").to_vec().len(),
            6 * MIB
        );
    }
}

#[tokio::test]
async fn checksums_of_parts_have_to_be_named() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let created = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("large")
        .checksum_algorithm(ChecksumAlgorithm::Crc32);
    let upload = created.send().await.expect("created").upload_id.expect("an id");
    let mut parts = two_parts(&s3, &upload).await;
    parts[1].checksum_crc32 = None;
    let refused = refusal(complete(&s3, &upload, parts.clone()).send().await);
    assert_eq!(refused.brief(), (400, "InvalidRequest"));
    assert!(
        refused.message.contains("It was missing for part 2"),
        "{}",
        refused.message
    );
    parts[1].checksum_crc32 = Some("AAAAAA==".into());
    assert_eq!(code(complete(&s3, &upload, parts).send().await), "InvalidPart");
    let other = s3
        .upload_part()
        .bucket(BUCKET)
        .key("large")
        .upload_id(&upload)
        .part_number(3);
    let other = other
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .body(ByteStream::from_static(b"1"))
        .send()
        .await;
    assert!(refusal(other).message.starts_with("Checksum Type mismatch occurred"));
    let odd = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("large")
        .checksum_algorithm(ChecksumAlgorithm::Sha256);
    assert_eq!(
        code(odd.checksum_type(ChecksumType::FullObject).send().await),
        "InvalidRequest"
    );
}

#[tokio::test]
async fn both_rights_on_the_key_are_needed() {
    let (fake, _) = fake();
    let key = fake.kms().create_key("microsecrets-api");
    let writer = fake.principal("AKIAWRITER", "secret", ACCOUNT);
    fake.allow(&writer, "s3:PutObject", "*");
    let s3 = s3(&fake, &writer);
    let create = || {
        let create = s3
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("large")
            .server_side_encryption("aws:kms".into());
        create.ssekms_key_id(&key).send()
    };
    assert!(refusal(create().await).message.contains("kms:GenerateDataKey"));
    fake.allow(&writer, "kms:GenerateDataKey", &key);
    let upload = create().await.expect("allowed").upload_id.expect("an id");
    let send = s3
        .upload_part()
        .bucket(BUCKET)
        .key("large")
        .upload_id(&upload)
        .part_number(1);
    assert!(
        refusal(send.body(ByteStream::from_static(b"1")).send().await)
            .message
            .contains("kms:Decrypt")
    );
    fake.allow(&writer, "kms:Decrypt", &key);
    let parts = vec![part(&s3, &upload, 1, vec![1; 10]).await];
    let done = complete(&s3, &upload, parts).send().await.expect("complete");
    assert_eq!(done.ssekms_key_id(), Some(key.as_str()));
    assert_eq!(fake.kms_uses().last().map(|u| u.operation.as_str()), Some("Decrypt"));
}

#[tokio::test]
async fn many_parts_go_to_disk() {
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .spill_over(6 * MIB as u64)
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let upload = create(&s3).await;
    let mut parts = vec![];
    for number in 1..=4u8 {
        parts.push(part(&s3, &upload, i32::from(number), vec![number; 5 * MIB]).await);
    }
    complete(&s3, &upload, parts).send().await.expect("complete");
    let got = get(&s3, "large").await;
    assert_eq!(got.len(), 20 * MIB);
    assert!((1..=4u8).all(|n| got[usize::from(n - 1) * 5 * MIB..][..5 * MIB].iter().all(|b| *b == n)));
}
