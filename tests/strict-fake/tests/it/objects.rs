//! Reading, writing and deleting objects.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_s3::primitives::{ByteStream, DateTimeFormat};
use aws_sdk_s3::types::{ChecksumMode, ObjectCannedAcl};
use strict_fake::{Attributes, Bucket, EtagStyle, Raw, Sse, StrictFake};

use crate::common::*;

#[tokio::test]
async fn what_is_put_is_got() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("services/api/äß +%")
        .metadata("microsecrets", "n0nce");
    let put = put
        .content_type("text/plain")
        .body(ByteStream::from_static(b"secret"))
        .send()
        .await
        .expect("put");
    let got = s3
        .get_object()
        .bucket(BUCKET)
        .key("services/api/äß +%")
        .checksum_mode(ChecksumMode::Enabled);
    let got = got.send().await.expect("get");
    assert_eq!(
        got.metadata().and_then(|m| m.get("microsecrets")).map(String::as_str),
        Some("n0nce")
    );
    assert_eq!(got.content_type(), Some("text/plain"));
    assert_eq!(got.content_encoding(), None);
    assert_eq!(got.e_tag(), put.e_tag());
    assert_eq!(got.version_id(), put.version_id());
    assert_eq!(got.checksum_crc32(), put.checksum_crc32());
    assert!(got.checksum_crc32().is_some());
    assert_eq!(got.body.collect().await.expect("the body").to_vec(), b"secret");
    assert_eq!(
        fake.object(BUCKET, "services/api/äß +%").expect("there").body,
        &b"secret"[..]
    );
}

#[tokio::test]
async fn head_says_what_get_says_but_the_bytes() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    put(&s3, "a", b"12345").await;
    let head = s3.head_object().bucket(BUCKET).key("a").send().await.expect("head");
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.content_type(), Some("application/octet-stream"));
    let refusal = refusal(s3.head_object().bucket(BUCKET).key("b").send().await);
    assert_eq!(refusal.status, 404);
}

#[tokio::test]
async fn a_missing_object_and_a_missing_bucket_differ() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let missing = refusal(s3.get_object().bucket(BUCKET).key("a").send().await);
    assert_eq!(missing.brief(), (404, "NoSuchKey"));
    let missing = refusal(s3.get_object().bucket("no-such-bucket").key("a").send().await);
    assert_eq!(missing.brief(), (404, "NoSuchBucket"));
    let missing = refusal(
        s3.get_object()
            .bucket(BUCKET)
            .key("a")
            .version_id("no-such")
            .send()
            .await,
    );
    assert_eq!(missing.brief(), (404, "NoSuchVersion"));
}

#[tokio::test]
async fn reads_can_be_conditional() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let etag = put(&s3, "a", b"1").await;
    let get = || s3.get_object().bucket(BUCKET).key("a");
    let unchanged = refusal(get().if_none_match(&etag).send().await);
    assert_eq!(unchanged.status, 304);
    assert!(get().if_none_match("\"0\"").send().await.is_ok());
    assert!(get().if_match(&etag).send().await.is_ok());
    assert_eq!(
        refusal(get().if_match("\"0\"").send().await).brief(),
        (412, "PreconditionFailed")
    );
    let unchanged = get().if_none_match(&etag).send().await.expect_err("304");
    assert_eq!(
        unchanged.raw_response().expect("an answer").headers().get("etag"),
        Some(etag.as_str())
    );
}

#[tokio::test]
async fn a_range_is_a_part_without_checksum() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    put(&s3, "a", b"0123456789").await;
    let get = |range: &str| s3.get_object().bucket(BUCKET).key("a").range(range);
    let got = get("bytes=2-4")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("a range");
    assert_eq!(got.content_range(), Some("bytes 2-4/10"));
    assert_eq!(got.content_length(), Some(3));
    assert_eq!(got.checksum_crc32(), None);
    assert_eq!(got.body.collect().await.expect("the body").to_vec(), b"234");
    let got = get("bytes=-3").send().await.expect("a suffix");
    assert_eq!(got.body.collect().await.expect("the body").to_vec(), b"789");
    assert_eq!(refusal(get("bytes=10-").send().await).brief(), (416, "InvalidRange"));
}

#[tokio::test]
async fn only_the_first_creates() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let put = || s3.put_object().bucket(BUCKET).key("a").if_none_match("*");
    assert!(put().body(ByteStream::from_static(b"1")).send().await.is_ok());
    let second = refusal(put().body(ByteStream::from_static(b"2")).send().await);
    assert_eq!(second.brief(), (412, "PreconditionFailed"));
    assert_eq!(get(&s3, "a").await, b"1");
    // A deleted object is none.
    s3.delete_object().bucket(BUCKET).key("a").send().await.expect("delete");
    assert!(put().body(ByteStream::from_static(b"3")).send().await.is_ok());
}

#[tokio::test]
async fn compare_and_swap() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let put_if = |etag: &str, body: &'static [u8]| {
        s3.put_object()
            .bucket(BUCKET)
            .key("a")
            .if_match(etag)
            .body(ByteStream::from_static(body))
            .send()
    };
    assert_eq!(refusal(put_if("\"0\"", b"1").await).brief(), (404, "NoSuchKey"));
    let etag = put(&s3, "a", b"1").await;
    let swapped = put_if(&etag, b"2")
        .await
        .expect("the ETag is right")
        .e_tag
        .expect("an ETag");
    assert_eq!(refusal(put_if(&etag, b"3").await).brief(), (412, "PreconditionFailed"));
    assert_eq!(get(&s3, "a").await, b"2");
    // An ETag without quotation marks is the same ETag.
    assert!(put_if(swapped.trim_matches('"'), b"4").await.is_ok());
    s3.delete_object().bucket(BUCKET).key("a").send().await.expect("delete");
    assert_eq!(refusal(put_if(&etag, b"5").await).brief(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn of_many_racers_one_wins() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let etag = put(&s3, "a", b"0").await;
    let racers = (1..=32u8).map(|n| {
        let put = s3
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .if_match(&etag)
            .body(ByteStream::from(vec![n]));
        tokio::spawn(put.send())
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.expect("no panic") {
            Ok(_) => won += 1,
            lost => assert_eq!(refusal(lost).status, 412),
        }
    }
    assert_eq!((won, fake.versions(BUCKET, "a").len()), (1, 2));
}

#[tokio::test]
async fn other_forms_of_write_conditions_are_not_implemented() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let put = || {
        s3.put_object()
            .bucket(BUCKET)
            .key("a")
            .body(ByteStream::from_static(b"1"))
    };
    for put in [
        put().if_none_match("\"0\""),
        put().if_match("*"),
        put().if_match("\"0\"").if_none_match("*"),
    ] {
        assert_eq!(refusal(put.send().await).brief(), (501, "NotImplemented"));
    }
}

#[tokio::test]
async fn etags_are_about_bytes_alone() {
    let (fake, admin) = fake();
    let key = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let put = |name: &str, nonce: &str, body: &'static [u8]| {
        let put = s3
            .put_object()
            .bucket(BUCKET)
            .key(name)
            .metadata("microsecrets", nonce)
            .ssekms_key_id(&key);
        put.server_side_encryption("aws:kms".into())
            .body(ByteStream::from_static(body))
            .send()
    };
    let first = put("a", "1", b"same").await.expect("put").e_tag;
    let second = put("b", "2", b"same").await.expect("put").e_tag;
    let third = put("a", "1", b"other").await.expect("put").e_tag;
    assert_eq!(first, second);
    assert_ne!(first, third);
    // Not the MD5, which SSE-S3 has.
    let md5 = "\"51037a4a37730f52c8732586d3aaa316\"";
    assert_ne!(first.as_deref(), Some(md5));
    let plain = s3
        .put_object()
        .bucket(BUCKET)
        .key("c")
        .body(ByteStream::from_static(b"same"))
        .send()
        .await;
    assert_eq!(plain.expect("put").e_tag(), Some(md5));
}

#[tokio::test]
async fn etags_may_always_be_md5() {
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .etags(EtagStyle::Md5)
        .start();
    let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
    let key = fake.kms().create_key("microsecrets-api");
    let put = s3(&fake, &admin)
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .ssekms_key_id(key);
    let put = put
        .server_side_encryption("aws:kms".into())
        .body(ByteStream::from_static(b"same"))
        .send()
        .await;
    assert_eq!(put.expect("put").e_tag(), Some("\"51037a4a37730f52c8732586d3aaa316\""));
}

#[tokio::test]
async fn metadata_ends_at_two_kilobytes() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let put = |size: usize| {
        let put = s3
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .metadata("name", "x".repeat(size - "name".len()));
        put.body(ByteStream::from_static(b"1")).send()
    };
    assert!(put(2048).await.is_ok());
    assert_eq!(refusal(put(2049).await).brief(), (400, "MetadataTooLarge"));
}

#[tokio::test]
async fn acls_end_where_ownership_is_enforced() {
    let free = Bucket {
        enforced_ownership: false,
        ..Bucket::default()
    };
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .bucket("with-acls", free)
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let put = |bucket: &str, acl: ObjectCannedAcl| {
        s3.put_object()
            .bucket(bucket)
            .key("a")
            .acl(acl)
            .body(ByteStream::from_static(b"1"))
            .send()
    };
    let refused = refusal(put(BUCKET, ObjectCannedAcl::Private).await);
    assert_eq!(refused.brief(), (400, "AccessControlListNotSupported"));
    assert!(put(BUCKET, ObjectCannedAcl::BucketOwnerFullControl).await.is_ok());
    assert!(put("with-acls", ObjectCannedAcl::Private).await.is_ok());
    assert_eq!(
        fake.object("with-acls", "a").and_then(|o| o.attributes.acl).as_deref(),
        Some("private")
    );
}

#[tokio::test]
async fn deletions_leave_a_marker() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    put(&s3, "a", b"1").await;
    let deleted = s3.delete_object().bucket(BUCKET).key("a").send().await.expect("delete");
    assert_eq!(deleted.delete_marker(), Some(true));
    let marker = deleted.version_id().expect("a version").to_owned();
    let gone = s3.get_object().bucket(BUCKET).key("a").send().await.expect_err("gone");
    assert_eq!(
        gone.raw_response()
            .expect("an answer")
            .headers()
            .get("x-amz-delete-marker"),
        Some("true")
    );
    let refused = refusal(s3.get_object().bucket(BUCKET).key("a").version_id(&marker).send().await);
    assert_eq!(refused.brief(), (405, "MethodNotAllowed"));
    // Without the marker the object is there again.
    s3.delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(marker)
        .send()
        .await
        .expect("delete the marker");
    assert_eq!(get(&s3, "a").await, b"1");
    let version = fake.object(BUCKET, "a").expect("there").version_id;
    s3.delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(version)
        .send()
        .await
        .expect("delete for good");
    assert!(fake.versions(BUCKET, "a").is_empty());
}

#[tokio::test]
async fn a_bucket_without_versions_overwrites() {
    let fake = StrictFake::builder()
        .bucket(
            BUCKET,
            Bucket {
                versioning: false,
                ..Bucket::default()
            },
        )
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    put(&s3, "a", b"1").await;
    put(&s3, "a", b"2").await;
    assert_eq!(fake.versions(BUCKET, "a").len(), 1);
    let got = s3.get_object().bucket(BUCKET).key("a").send().await.expect("get");
    assert_eq!(got.version_id(), None);
    let deleted = s3.delete_object().bucket(BUCKET).key("a").send().await.expect("delete");
    assert_eq!((deleted.delete_marker(), deleted.version_id()), (None, None));
    assert!(fake.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn deletions_can_be_conditional() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let delete = |etag: &str| s3.delete_object().bucket(BUCKET).key("a").if_match(etag).send();
    assert_eq!(refusal(delete("*").await).brief(), (412, "PreconditionFailed"));
    assert_eq!(refusal(delete("\"0\"").await).brief(), (404, "NoSuchKey"));
    let etag = put(&s3, "a", b"1").await;
    assert_eq!(refusal(delete("\"0\"").await).brief(), (412, "PreconditionFailed"));
    assert_eq!(get(&s3, "a").await, b"1");
    assert!(delete(&etag).await.is_ok());
    assert!(fake.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn the_clock_of_the_fake_dates_everything() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    fake.set_clock(300);
    put(&s3, "a", b"1").await;
    let head = s3.head_object().bucket(BUCKET).key("a").send().await.expect("head");
    let modified = head.last_modified().expect("a time").secs();
    let stored = fake.object(BUCKET, "a").expect("there").last_modified;
    assert_eq!(UNIX_EPOCH + Duration::from_secs(modified.unsigned_abs()), stored);
    assert!(fake.now() >= stored);
    fake.freeze_clock(stored);
    let gone = s3
        .get_object()
        .bucket(BUCKET)
        .key("b")
        .send()
        .await
        .expect_err("not there");
    let date = gone.raw_response().expect("an answer").headers().get("date");
    let modified = head.last_modified().and_then(|t| t.fmt(DateTimeFormat::HttpDate).ok());
    assert_eq!(date, modified.as_deref());
}

#[tokio::test]
async fn a_test_can_play_a_hostile_bucket() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let raw = Raw {
        attributes: Attributes {
            metadata: [("microsecrets".to_owned(), "forged".to_owned())].into(),
            sse: Sse::Forged {
                algorithm: "aws:kms".into(),
                key: Some("alias/of-a-stranger".into()),
            },
            ..Attributes::default()
        },
        etag: Some("abc".into()),
        last_modified: Some(UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
        no_checksum: true,
    };
    fake.put_raw(BUCKET, "a", "forged", raw);
    let got = s3
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("get");
    assert_eq!(got.ssekms_key_id(), Some("alias/of-a-stranger"));
    assert_eq!(got.e_tag(), Some("\"abc\""));
    assert_eq!(got.last_modified().map(|t| t.secs()), Some(1_000_000_000));
    assert_eq!(got.checksum_crc64_nvme(), None);
    let absent = Raw {
        attributes: Attributes {
            sse: Sse::Absent,
            ..Attributes::default()
        },
        ..Raw::default()
    };
    fake.put_raw(BUCKET, "b", "naked", absent);
    let got = s3.get_object().bucket(BUCKET).key("b").send().await.expect("get");
    assert_eq!(got.server_side_encryption(), None);
    assert_eq!(fake.keys(BUCKET), ["a", "b"]);
    assert!(fake.remove(BUCKET, "a") && !fake.remove(BUCKET, "a"));
    put(&s3, "b", b"newer").await;
    assert!(fake.remove_newest(BUCKET, "b"));
    assert_eq!(get(&s3, "b").await, b"naked");
}

#[tokio::test]
async fn large_bodies_go_to_disk_and_come_back() {
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .spill_over(100_000)
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    put(&s3, "large", &body).await;
    assert_eq!(get(&s3, "large").await, body);
    let part = s3
        .get_object()
        .bucket(BUCKET)
        .key("large")
        .range("bytes=300000-300009")
        .send()
        .await
        .expect("get");
    assert_eq!(
        part.body.collect().await.expect("the body").to_vec(),
        &body[300_000..300_010]
    );
}
