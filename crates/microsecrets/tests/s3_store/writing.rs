//! PutObject and DeleteObject.

use microsecrets::store::{Condition, Delete, ETag, Encryption, ErrorKind, Get, Payload, Put, Store as _, Which};
use strict_fake::{Failure, Fault, Sse};

use super::*;

#[tokio::test]
async fn an_object_is_written_with_its_key_mark_type_and_checksum() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent).marked(NONCE)).await;

    let object = world.fake.object(BUCKET, "x").unwrap();
    assert_eq!(object.body, b"secret".as_slice());
    assert_eq!(object.attributes.sse, Sse::kms(&world.key));
    assert_eq!(object.attributes.content_type.as_deref(), Some("application/json"));
    assert_eq!(object.attributes.metadata["microsecrets"], NONCE.to_string());
    assert_eq!(object.attributes.acl, None);

    let requests = world.fake.requests();
    let [request] = requests.as_slice() else {
        panic!("{:?}", world.operations())
    };
    assert_eq!(request.header("if-none-match"), Some("*"));
    assert_eq!(
        request.header("x-amz-server-side-encryption-aws-kms-key-id"),
        Some(world.key.as_str())
    );
    assert_eq!(
        request.header("x-amz-server-side-encryption-bucket-key-enabled"),
        Some("false")
    );
    assert_eq!(request.header("x-amz-expected-bucket-owner"), Some(ACCOUNT));
    // As other stores than S3 understand it: a length and a checksum in the head, no chunks, no trailer.
    assert_eq!(request.header("content-length"), Some("6"));
    assert!(request.header("x-amz-checksum-crc32").is_some());
    assert_eq!(request.header("x-amz-trailer"), None);
    assert_eq!(request.header("content-encoding"), None);
}

#[tokio::test]
async fn aes256_needs_no_key() {
    let world = World::new();
    let store = world.store().await;
    let payload = Payload::Bytes(SecretBytes::new(b"secret".to_vec()));
    put(&store, Put::new("x", payload, Condition::Absent, Encryption::Aes256)).await;
    assert_eq!(world.fake.object(BUCKET, "x").unwrap().attributes.sse, Sse::Aes256);
    assert!(world.fake.kms_uses().is_empty());
}

#[tokio::test]
async fn only_the_first_writes_an_absent_object() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"1", Condition::Absent)).await;
    let error = failed(store.put(world.put("x", b"2", Condition::Absent)).await);
    assert_eq!(
        (error.kind, error.maybe_applied),
        (ErrorKind::PreconditionFailed, false)
    );
    assert_eq!(world.fake.object(BUCKET, "x").unwrap().body, b"1".as_slice());
}

#[tokio::test]
async fn an_object_is_replaced_only_as_it_was_read() {
    let world = World::new();
    let store = world.store().await;
    let first = put(&store, world.put("x", b"1", Condition::Absent)).await;
    let second = put(&store, world.put("x", b"2", Condition::Is(first.etag.clone()))).await;
    assert_ne!(first.etag, second.etag);
    let error = failed(store.put(world.put("x", b"3", Condition::Is(first.etag.clone()))).await);
    assert_eq!(error.kind, ErrorKind::PreconditionFailed);
    let error = failed(store.put(world.put("y", b"3", Condition::Is(first.etag))).await);
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_conflict_of_conditions_is_tried_again() {
    let world = World::new();
    let store = world.store().await;
    let conflict = world
        .fake
        .fail(Fault::on("PutObject", Failure::Status(409, "ConditionalRequestConflict")).times(2));
    put(&store, world.put("x", b"1", Condition::Absent)).await;
    assert_eq!(conflict.fired(), 2);
    let conflict = world
        .fake
        .fail(Fault::on("PutObject", Failure::Status(409, "ConditionalRequestConflict")).always());
    let error = failed(store.put(world.put("y", b"1", Condition::Absent)).await);
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::Unavailable, false));
    assert_eq!(error.code.as_deref(), Some("ConditionalRequestConflict"));
    assert_eq!(conflict.fired(), 4);
}

#[tokio::test]
async fn an_answer_that_names_another_key_is_an_error() {
    let world = World::new();
    let store = world.store().await;
    // Resolved by S3, when it may point elsewhere than when it was looked up.
    let encryption = Encryption::Kms("alias/microsecrets-api".to_owned());
    let payload = Payload::Bytes(SecretBytes::new(b"secret".to_vec()));
    let error = failed(store.put(Put::new("x", payload, Condition::Absent, encryption)).await);
    assert_eq!(
        error.kind,
        ErrorKind::WrongEncryption {
            used: world.encryption()
        }
    );
    assert!(error.maybe_applied);
}

#[tokio::test]
async fn the_bucket_does_not_choose_the_encryption() {
    let world = World::new();
    let store = world.store().await;
    for encryption in [
        Encryption::None,
        Encryption::Store,
        Encryption::Other("SSE-C".to_owned()),
    ] {
        let payload = Payload::Bytes(SecretBytes::new(b"secret".to_vec()));
        let error = failed(store.put(Put::new("x", payload, Condition::Absent, encryption)).await);
        assert!(matches!(error.kind, ErrorKind::InvalidSetting(_)), "{error}");
    }
    assert!(world.operations().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_not_forgotten() {
    let world = World::new();
    let store = world.store().await;
    world.fake.fail(Fault::on("PutObject", Failure::LoseAnswer));
    let error = failed(store.put(world.put("x", b"1", Condition::Absent)).await);
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::PreconditionFailed, true));
    assert_eq!(world.fake.object(BUCKET, "x").unwrap().body, b"1".as_slice());
}

#[tokio::test]
async fn a_put_without_an_answer_may_have_been_applied() {
    let world = World::new();
    let store = world.store().await;
    world.fake.fail(Fault::on("PutObject", Failure::StallAnswer));
    let error = failed(store.put(world.put("x", b"1", Condition::Absent)).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
    assert!(error.maybe_applied);
    world
        .fake
        .fail(Fault::on("PutObject", Failure::Status(500, "InternalError")).always());
    let error = failed(store.put(world.put("y", b"1", Condition::Absent)).await);
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::Unavailable, true));
}

#[tokio::test]
async fn a_put_that_was_refused_was_not_applied() {
    let world = World::new();
    let writer = world.fake.principal("AKIAWRITER", "the writer's secret", ACCOUNT);
    let error = failed(
        world
            .store_of(&writer)
            .await
            .put(world.put("x", b"1", Condition::Absent))
            .await,
    );
    assert!(matches!(error.kind, ErrorKind::Denied(_)), "{error}");
    assert!(!error.maybe_applied);
    let slow = world
        .fake
        .fail(Fault::on("PutObject", Failure::Status(503, "SlowDown")).always());
    let error = failed(world.store().await.put(world.put("x", b"1", Condition::Absent)).await);
    assert_eq!(
        (error.kind, error.maybe_applied, slow.fired()),
        (ErrorKind::Throttled, false, 4)
    );
}

#[tokio::test]
async fn a_missing_right_to_the_key_is_named() {
    let world = World::new();
    let writer = world.fake.principal("AKIAWRITER", "the writer's secret", ACCOUNT);
    world.fake.allow(&writer, "s3:*", "*");
    let error = failed(
        world
            .store_of(&writer)
            .await
            .put(world.put("x", b"1", Condition::Absent))
            .await,
    );
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action.as_deref(), Some("kms:GenerateDataKey"));
    assert_eq!(denial.resource.as_deref(), Some(world.key.as_str()));
}

#[tokio::test]
async fn an_object_is_deleted_whatever_it_is_or_only_as_it_was() {
    let world = World::new();
    let store = world.store().await;
    let delete = |which| store.delete(Delete::new("x", which));
    let first = put(&store, world.put("x", b"1", Condition::Absent)).await;
    let error = failed(delete(Which::WithETag(ETag::new("\"other\""))).await);
    assert_eq!(error.kind, ErrorKind::PreconditionFailed);
    delete(Which::WithETag(first.etag)).await.unwrap();
    assert_eq!(failed(store.get(Get::attributes("x")).await).kind, ErrorKind::NotFound);
    delete(Which::Any).await.unwrap();

    let second = put(&store, world.put("x", b"2", Condition::Absent)).await;
    delete(Which::WithVersionId(second.version_id.unwrap())).await.unwrap();
    assert!(
        world
            .fake
            .versions(BUCKET, "x")
            .iter()
            .all(|version| version.body != b"2".as_slice())
    );
}

#[tokio::test]
async fn what_is_not_there_is_deleted_already() {
    let world = World::new();
    let store = world.store().await;
    store.delete(Delete::new("x", Which::Any)).await.unwrap();
    store
        .delete(Delete::new("x", Which::WithETag(ETag::new("\"e\""))))
        .await
        .unwrap();
}
