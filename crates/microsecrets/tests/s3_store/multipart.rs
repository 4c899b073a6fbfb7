//! Uploads of files.

use std::sync::atomic::Ordering;

use microsecrets::store::{Condition, ErrorKind, Store as _};
use strict_fake::{Failure, Fault};

use super::*;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_small_file_is_one_request() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.upload("x", Announced::of(8 * MIB))).await;
    assert_eq!(world.operations(), ["PutObject"]);
    assert_eq!(world.fake.object(BUCKET, "x").unwrap().body, Announced::all(8 * MIB));
    put(&store, world.upload("empty", Announced::of(0))).await;
    assert!(world.fake.object(BUCKET, "empty").unwrap().body.is_empty());
}

#[tokio::test]
async fn a_large_file_is_sent_in_parts_and_appears_at_the_end() {
    let world = World::new();
    let store = world.store().await;
    let size = 43 * MIB + 1;
    let stored = put(&store, world.upload("x", Announced::of(size))).await;
    let object = world.fake.object(BUCKET, "x").unwrap();
    assert!(object.body == Announced::all(size));
    assert_eq!(object.parts, 6);
    assert_eq!(stored.etag.as_str(), format!("\"{}\"", object.etag));
    assert_eq!(stored.version_id.as_deref(), Some(object.version_id.as_str()));
    assert_eq!(object.attributes.metadata["microsecrets"], NONCE.to_string());
    assert!(world.fake.uploads(BUCKET).is_empty());
    let requests = world.fake.requests();
    for request in &requests {
        let conditional = request.operation == "CompleteMultipartUpload";
        assert_eq!(
            request.header("if-none-match"),
            conditional.then_some("*"),
            "{}",
            request.operation
        );
        assert_eq!(
            request.header("x-amz-expected-bucket-owner"),
            Some(ACCOUNT),
            "{}",
            request.operation
        );
    }
    assert_eq!(requests.len(), 8);
}

#[tokio::test]
async fn a_part_is_sent_again_from_memory() {
    let world = World::new();
    let store = world.store().await;
    let slow = world
        .fake
        .fail(Fault::on("UploadPart", Failure::Status(503, "SlowDown")).times(2));
    let reset = world.fake.fail(Fault::on("UploadPart", Failure::Reset).nth(3));
    let source = Announced::of(20 * MIB);
    let rewound = source.rewound.clone();
    put(&store, world.upload("x", source)).await;
    assert_eq!((slow.fired(), reset.fired(), rewound.load(Ordering::SeqCst)), (2, 1, 0));
    assert!(world.fake.object(BUCKET, "x").unwrap().body == Announced::all(20 * MIB));
}

#[tokio::test]
async fn a_source_that_is_not_what_was_announced_is_never_seen() {
    let world = World::new();
    let store = world.store().await;
    for size in [MIB, 9 * MIB] {
        for (real, end) in [
            (size - 1, None),
            (size + 1, None),
            (size, Some("the file was changed meanwhile")),
        ] {
            let source = Announced {
                real,
                end,
                ..Announced::of(size)
            };
            let error = failed(store.put(world.upload("x", source)).await);
            assert_eq!(
                (&error.kind, error.maybe_applied),
                (&ErrorKind::UnreadableSource, false)
            );
            if let Some(why) = end {
                assert_eq!(lines(&error)[1], why);
            }
            assert!(world.fake.object(BUCKET, "x").is_none());
            assert!(world.fake.uploads(BUCKET).is_empty(), "the parts were left behind");
        }
    }
}

#[tokio::test]
async fn a_conflict_at_the_end_starts_over() {
    let world = World::new();
    let store = world.store().await;
    let conflict = Failure::Status(409, "ConditionalRequestConflict");
    let fault = world
        .fake
        .fail(Fault::on("CompleteMultipartUpload", conflict.clone()).times(2));
    let source = Announced::of(9 * MIB);
    let rewound = source.rewound.clone();
    put(&store, world.upload("x", source)).await;
    assert_eq!((fault.fired(), rewound.load(Ordering::SeqCst)), (2, 2));
    assert_eq!(
        world.operations().iter().filter(|name| *name == "UploadPart").count(),
        6
    );
    assert!(world.fake.uploads(BUCKET).is_empty());

    world.fake.fail(Fault::on("CompleteMultipartUpload", conflict).always());
    let error = failed(store.put(world.upload("y", Announced::of(9 * MIB))).await);
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::Unavailable, false));
    assert!(world.fake.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn a_key_that_is_taken_meanwhile_is_not_overwritten() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"first", Condition::Absent)).await;
    let error = failed(store.put(world.upload("x", Announced::of(9 * MIB))).await);
    assert_eq!(
        (error.kind, error.maybe_applied),
        (ErrorKind::PreconditionFailed, false)
    );
    assert_eq!(world.fake.object(BUCKET, "x").unwrap().body, b"first".as_slice());
    assert!(world.fake.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn a_lost_answer_at_the_end_is_found_out() {
    let world = World::new();
    let store = world.store().await;
    let lost = world
        .fake
        .fail(Fault::on("CompleteMultipartUpload", Failure::LoseAnswer));
    let stored = put(&store, world.upload("x", Announced::of(9 * MIB))).await;
    assert_eq!(
        stored.etag.as_str(),
        format!("\"{}\"", world.fake.object(BUCKET, "x").unwrap().etag)
    );
    assert_eq!(lost.fired(), 1);
    assert_eq!(world.operations().last().map(String::as_str), Some("HeadObject"));
}

#[tokio::test]
async fn a_lost_answer_is_not_forgotten_when_it_starts_over() {
    let world = World::new();
    let store = world.store().await;
    world
        .fake
        .fail(Fault::on("CompleteMultipartUpload", Failure::LoseAnswer));
    let conflict = Failure::Status(409, "ConditionalRequestConflict");
    let fault = world.fake.fail(Fault::on("CompleteMultipartUpload", conflict).nth(2));
    put(&store, world.upload("x", Announced::of(9 * MIB))).await;
    assert_eq!(fault.fired(), 1);
    assert_eq!(world.fake.versions(BUCKET, "x").len(), 1);
    assert!(world.fake.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn an_upload_that_is_gone_did_not_succeed() {
    let world = World::new();
    let store = world.store().await;
    world
        .fake
        .fail(Fault::on("CompleteMultipartUpload", Failure::Status(404, "NoSuchUpload")).always());
    let error = failed(store.put(world.upload("x", Announced::of(9 * MIB))).await);
    assert_eq!(error.code.as_deref(), Some("NoSuchUpload"));
    assert!(!error.maybe_applied);
    put(&store, world.put("x", b"somebody else's", Condition::Absent)).await;
    let error = failed(store.put(world.upload("x", Announced::of(9 * MIB))).await);
    assert_eq!(error.kind, ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn a_part_that_stalls_ends_the_upload() {
    let world = World::new();
    let store = world.store().await;
    let stalls = world.fake.fail(Fault::on("UploadPart", Failure::Stall).nth(2));
    let error = failed(store.put(world.upload("x", Announced::of(20 * MIB))).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
    assert_eq!((stalls.fired(), error.maybe_applied), (1, false));
    assert!(world.fake.uploads(BUCKET).is_empty());
}

#[tokio::test]
async fn a_completion_without_an_answer_may_have_been_applied() {
    let world = World::new();
    let store = world.store().await;
    world
        .fake
        .fail(Fault::on("CompleteMultipartUpload", Failure::StallAnswer));
    let error = failed(store.put(world.upload("x", Announced::of(9 * MIB))).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
    assert!(error.maybe_applied);
    assert!(world.fake.object(BUCKET, "x").is_some(), "what succeeded was undone");
}

#[tokio::test]
async fn the_key_is_compared_before_any_byte_is_sent() {
    let world = World::new();
    let store = world.store().await;
    let encryption = Encryption::Kms("alias/microsecrets-api".to_owned());
    let payload = Payload::Source(Box::new(Announced::of(9 * MIB)));
    let error = failed(store.put(Put::new("x", payload, Condition::Absent, encryption)).await);
    assert_eq!(
        error.kind,
        ErrorKind::WrongEncryption {
            used: world.encryption()
        }
    );
    assert!(!error.maybe_applied);
    assert_eq!(world.operations(), ["CreateMultipartUpload", "AbortMultipartUpload"]);
}
